"""The evaluation gate over the wire: every verdict of its table, each with a planted cause.

Models are small V2 servers on loopback. The client of production asks them, except where that client would
refuse an answer before the gate sees it: there a lenient one does, as a third party's might.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from gates.contract import Gate, Status, Verdict
from gates.evaluation import Evaluation, EvaluationSettings
from gates.golden.table import BATCH_ROWS
from pipelines.clients.inference import V2Inference
from pipelines.errors import Misbehaved, Unreachable
from pipelines.journal.lines import verdict_from_data, verdict_to_data
from tests.questions import Folder, arm, question

Model = Callable[[list[float]], float]

_ROWS = 600


def sigmoid(value: float) -> float:
    """A probability."""
    return 1 / (1 + math.exp(-value))


def good(row: list[float]) -> float:
    """What the labels were drawn from."""
    return sigmoid(2.5 * row[0] + 1.5 * row[1])


def blurred(row: list[float]) -> float:
    """Misses one of the two features: clearly worse."""
    return sigmoid(1.5 * row[1])


def wrong_way(row: list[float]) -> float:
    """Learned the opposite."""
    return 1 - good(row)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a golden set of 600 rows."""
    dice = np.random.default_rng(7)
    rows = dice.normal(size=(_ROWS, 2))
    labels = dice.random(_ROWS) < np.array([good(list(row)) for row in rows])
    folder = tmp_path_factory.mktemp("repository")
    lines = [f"{a!r},{b!r},{int(y)}" for (a, b), y in zip(rows.tolist(), labels, strict=True)]
    (folder / "golden.csv").write_text("\n".join(["a,b,fraud", *lines, ""]))
    return folder


@pytest.fixture
def settings(golden: Path) -> EvaluationSettings:
    """Requirements that the good model meets with room to spare."""
    return EvaluationSettings(
        golden_set="golden.csv",
        sha256=hashlib.sha256((golden / "golden.csv").read_bytes()).hexdigest(),
        label="fraud",
        threshold=0.5,
        floors={"auc": 0.8, "accuracy": 0.75, "recall": 0.7, "precision": 0.7},
        ceilings={"log_loss": 0.6, "flagged": 0.7},
        margins={"auc": 0.02, "accuracy": 0.05, "recall": 0.05, "log_loss": 0.05},
    )


class Lenient:
    """Gives on whatever scores came back."""

    def infer(
        self, url: str, model: str, rows: Sequence[Sequence[float]], *, columns: Sequence[str]
    ) -> list[float]:
        """Ask once, check nothing."""
        data = [value for row in rows for value in row]
        tensor = {"name": "x", "datatype": "FP64", "shape": [len(rows), len(columns)], "data": data}
        body = json.dumps({"inputs": [tensor]}).encode()
        request = urllib.request.Request(
            f"{url}/v2/models/{model}/infer", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["outputs"][0]["data"]


class World:
    """Two models behind one server, and the gate that asks them."""

    def __init__(self, server: HTTPServer, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def serve(self, version: str, answer: Callable[[list[list[float]]], list[Any]]) -> str:
        """Put a model on the wire; what it gives for all rows of a request is its answer."""

        def handle(request: Request) -> Response:
            tensor = request.get_json()["inputs"][0]
            count, width = tensor["shape"]
            rows = [tensor["data"][i * width : (i + 1) * width] for i in range(count)]
            scores = answer(rows)
            output = {"name": "score", "datatype": "FP64", "shape": [count], "data": scores}
            return Response(json.dumps({"outputs": [output]}), content_type="application/json")

        self._server.expect_request(f"/{version}/v2/models/fraud-scorer/infer").respond_with_handler(handle)
        return self._server.url_for(f"/{version}")

    def judge(
        self,
        settings: EvaluationSettings,
        candidate: Model | Callable[[list[list[float]]], list[Any]],
        champion: Model | None = good,
        *,
        inference: Any = None,
        whole: bool = False,
    ) -> Verdict:
        """Ask the gate; ``whole`` models answer all rows of a request at once."""
        answer: Any = candidate if whole else lambda rows: [candidate(row) for row in rows]
        asked = question(
            candidate=arm("candidate", "v2", self.serve("v2", answer)),
            stable=arm("stable", "v1", self.serve("v1", lambda rows: [champion(row) for row in rows]))
            if champion
            else None,
        )
        return self.gate(settings, inference).judge(asked)

    def gate(self, settings: EvaluationSettings, inference: Any = None) -> Evaluation:
        """The gate on its own."""
        return Evaluation(
            settings, repository=Folder(self._folder), inference=inference or V2Inference(batch_rows=250)
        )


@pytest.fixture
def world(httpserver: HTTPServer, golden: Path) -> Iterator[World]:
    """Models to be put on the wire."""
    yield World(httpserver, golden)
    httpserver.check_handler_errors()


def said(verdict: Verdict) -> tuple[Status, str]:
    """Status and reason."""
    return verdict.status, verdict.reason


class TestPass:
    """A candidate as good as it must be."""

    def test_shows_everything_required(self, world: World, settings: EvaluationSettings) -> None:
        """All measures of both arms with bounds and rows are kept, beside what they were held against."""
        verdict = world.judge(settings, good, champion=lambda row: good(row) * 0.98)
        assert said(verdict) == (Status.PASS, "shown_on_golden_set")
        rows = {(one.name, one.arm): one for one in verdict.evidence.measurements}
        auc = rows["auc", "candidate"]
        assert (auc.threshold, auc.samples) == (0.8, _ROWS)
        assert auc.low is not None
        assert auc.low >= 0.8
        assert rows["auc", "stable"].threshold is None
        assert rows["auc_difference", ""].threshold == -0.02
        assert rows["log_loss_difference", ""].threshold == 0.05
        assert rows["flagged", "candidate"].threshold == 0.7

    def test_keeps_the_golden_set_and_the_flips(self, world: World, settings: EvaluationSettings) -> None:
        """Counts both ways, and at most twenty rows of each by number."""
        champion = lambda row: min(1.0, good(row) + 0.15)  # noqa: E731
        relaxed = replace(settings, margins={"auc": 0.02})
        verdict = world.judge(relaxed, good, champion=champion)
        facts = verdict.evidence.facts
        assert facts["golden_set_sha256"] == settings.sha256
        labels: Any = facts["labels"]
        assert labels["0"] + labels["1"] == facts["rows"] == _ROWS
        flips: Any = facts["flips"]
        assert flips["newly_flagged"] == 0
        assert flips["no_longer_flagged"] > 20
        assert len(flips["no_longer_flagged_rows"]) == 20
        assert flips["no_longer_flagged"] == flips["newly_right"] + flips["newly_wrong"]

    def test_travels_through_the_journal(self, world: World, settings: EvaluationSettings) -> None:
        """The evidence is JSON and comes back equal."""
        data = verdict_to_data(world.judge(settings, good))
        assert verdict_to_data(verdict_from_data(json.loads(json.dumps(data, allow_nan=False)))) == data

    def test_the_first_version_ever_has_nobody_to_beat(
        self, world: World, settings: EvaluationSettings
    ) -> None:
        """Margins ask for nothing then, and the evidence says so."""
        verdict = world.judge(settings, good, champion=None)
        assert said(verdict) == (Status.PASS, "shown_on_golden_set")
        assert verdict.evidence.facts["champion"] is False
        assert "no champion" in verdict.sentence

    def test_a_champion_without_address_does_not_matter_without_margins(
        self, world: World, settings: EvaluationSettings
    ) -> None:
        """Nothing was asked about it."""
        asked = question(
            candidate=arm("candidate", "v2", world.serve("v2", lambda rows: [good(row) for row in rows]))
        )
        verdict = world.gate(replace(settings, margins={})).judge(asked)
        assert said(verdict) == (Status.PASS, "shown_on_golden_set")

    def test_rows_need_not_be_repeated(self, world: World, settings: EvaluationSettings) -> None:
        """0 repeated rows sends none, so dice go unnoticed."""
        dice = itertools.count()
        noisy = lambda row: good(row) * (1 - 1e-6 * (next(dice) % 2))  # noqa: E731
        assert said(world.judge(replace(settings, repeat_rows=0), noisy))[0] is Status.PASS


class TestGoldenSet:
    """A golden set that cannot be used never changes for a commit: FAIL."""

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"golden_set": "other.csv"}, "golden_set_missing"),
            ({"sha256": "0" * 64}, "golden_set_differs"),
            ({"label": "chargeback"}, "golden_set_invalid"),
            ({"maximum_rows": _ROWS - 1}, "golden_set_invalid"),
            ({"minimum_rows": _ROWS + 1}, "golden_set_too_small"),
            ({"minimum_per_label": 400}, "golden_set_too_small"),
        ],
    )
    def test_refused(
        self, world: World, settings: EvaluationSettings, changes: dict[str, Any], reason: str
    ) -> None:
        """Before either model is asked anything."""
        verdict = world.gate(replace(settings, **changes)).judge(question())
        assert said(verdict) == (Status.FAIL, reason)


class TestCouldNotTell:
    """What says nothing about the candidate is no FAIL."""

    def test_no_address_of_the_candidate(self, world: World, settings: EvaluationSettings) -> None:
        """Its preview is not up; and the champion is needed as well."""
        verdict = world.gate(settings).judge(question())
        assert said(verdict) == (Status.UNKNOWN, "no_candidate_address")
        assert "1 more requirement does not hold" in verdict.sentence

    def test_no_address_of_the_champion(self, world: World, settings: EvaluationSettings) -> None:
        """A margin cannot be shown without it."""
        verdict = world.gate(settings).judge(question(candidate=arm("candidate", "v2", "http://127.0.0.1:9")))
        assert said(verdict) == (Status.UNKNOWN, "no_champion_address")

    def test_an_outage_passes_through(self, world: World, settings: EvaluationSettings) -> None:
        """Whoever runs the gate records UNKNOWN."""
        nobody = question(candidate=arm("candidate", "v2", "http://127.0.0.1:9"), stable=None)
        with pytest.raises(Unreachable):
            world.gate(settings).judge(nobody)

    def test_a_champion_that_gives_no_scores(self, world: World, settings: EvaluationSettings) -> None:
        """The candidate is not to blame."""
        verdict = world.judge(settings, good, champion=lambda row: 0.5)
        assert said(verdict) == (Status.UNKNOWN, "champion_scores_constant")


class TestScores:
    """Answers of the candidate that are no scores."""

    @pytest.mark.parametrize(
        ("candidate", "reason", "says"),
        [
            (lambda rows: [good(row) for row in rows[:-1]], "scores_missing", "600 rows with 599"),
            (lambda rows: [*map(good, rows[:-1]), float("nan")], "scores_not_finite", "row 600: nan"),
            (lambda rows: [None, *map(good, rows[1:])], "scores_not_finite", "row 1: nan"),
            (lambda rows: [*map(good, rows[:-2]), 1.5, -0.1], "scores_out_of_range", "2 of 600"),
            (lambda rows: [0.25] * len(rows), "scores_constant", "the same score 0.25"),
        ],
        ids=["missing", "nan", "null", "range", "constant"],
    )
    def test_are_named(
        self,
        world: World,
        settings: EvaluationSettings,
        candidate: Callable[[list[list[float]]], list[Any]],
        reason: str,
        says: str,
    ) -> None:
        """With the first row where it happened."""
        verdict = world.judge(settings, candidate, inference=Lenient(), whole=True)
        assert said(verdict) == (Status.FAIL, reason)
        assert says in verdict.sentence

    def test_the_client_of_production_refuses_a_missing_score(
        self, world: World, settings: EvaluationSettings
    ) -> None:
        """So that not even a lenient gate could pass it."""
        with pytest.raises(Misbehaved):
            world.judge(settings, lambda rows: [good(row) for row in rows[:-1]], whole=True)

    def test_that_differ_the_second_time(self, world: World, settings: EvaluationSettings) -> None:
        """A decision that depends on the moment cannot be explained to anybody."""
        calls = itertools.count()
        fickle = lambda rows: [good(row) - 0.001 * (next(calls) >= _ROWS) for row in rows]  # noqa: E731
        verdict = world.judge(settings, fickle, whole=True)
        assert said(verdict) == (Status.FAIL, "not_deterministic")
        assert "50 of 50 repeated rows" in verdict.sentence

    def test_that_are_missing_the_second_time(self, world: World, settings: EvaluationSettings) -> None:
        """A shorter answer to the repeated rows is found as well."""
        verdict = world.judge(
            settings,
            lambda rows: [good(row) for row in rows[: 49 if len(rows) == 50 else None]],
            inference=Lenient(),
            whole=True,
        )
        assert said(verdict) == (Status.FAIL, "scores_missing")
        assert "50 repeated rows with 49" in verdict.sentence


class TestRequirements:
    """Floors, ceilings, margins: missed, and merely not shown."""

    @pytest.mark.parametrize(
        ("requirement", "candidate", "reason", "names"),
        [
            ({"floors": {"auc": 0.8}}, wrong_way, "below_floor", "auc"),
            ({"floors": {"recall": 0.99}}, good, "below_floor", "recall"),
            (
                {"floors": {"precision": 0.1}},
                lambda row: 0.4 * good(row),
                "not_shown_above_floor",
                "undefined",
            ),
            ({"ceilings": {"log_loss": 0.1}}, good, "above_ceiling", "log_loss"),
            ({"ceilings": {"flagged": 0.2}}, good, "above_ceiling", "flagged"),
            ({"margins": {"auc": 0.02}}, blurred, "worse_than_champion", "auc"),
            ({"margins": {"accuracy": 0.02}}, blurred, "worse_than_champion", "accuracy"),
            ({"margins": {"recall": 0.02}}, blurred, "worse_than_champion", "recall"),
            ({"margins": {"log_loss": 0.02}}, blurred, "worse_than_champion", "log_loss"),
        ],
    )
    def test_missed(
        self,
        world: World,
        settings: EvaluationSettings,
        requirement: dict[str, Any],
        candidate: Model,
        reason: str,
        names: str,
    ) -> None:
        """The sentence names the measure, its value and its bounds."""
        only = replace(settings, **{"floors": {}, "ceilings": {}, "margins": {}, **requirement})
        verdict = world.judge(only, candidate)
        assert said(verdict) == (Status.FAIL, reason)
        assert names in verdict.sentence

    @pytest.mark.parametrize(
        ("kind", "measure", "step", "reason"),
        [
            ("floors", "auc", -0.001, "not_shown_above_floor"),
            ("floors", "accuracy", -0.001, "not_shown_above_floor"),
            ("ceilings", "log_loss", 0.001, "not_shown_below_ceiling"),
            ("ceilings", "flagged", 0.001, "not_shown_below_ceiling"),
        ],
    )
    def test_met_by_the_value_but_not_by_its_bound(
        self, world: World, settings: EvaluationSettings, kind: str, measure: str, step: float, reason: str
    ) -> None:
        """A golden set too small to show it is refused under another name than a model too bad."""
        first = world.judge(settings, good)
        value = next(one.value for one in first.evidence.measurements if one.name == measure)
        assert isinstance(value, float)
        only = {"floors": {}, "ceilings": {}, "margins": {}, kind: {measure: value + step}}
        verdict = world.judge(replace(settings, **only), good)
        assert said(verdict) == (Status.FAIL, reason)

    def test_a_loss_that_is_not_ruled_out(self, world: World, settings: EvaluationSettings) -> None:
        """Equal decisions on 600 rows do not exclude a loss of one in a thousand."""
        only = replace(settings, floors={}, ceilings={}, margins={"accuracy": 0.001})
        verdict = world.judge(only, good)
        assert said(verdict) == (Status.FAIL, "not_shown_as_good_as_champion")

    def test_several_missed_name_the_first_and_count_the_rest(
        self, world: World, settings: EvaluationSettings
    ) -> None:
        """All of them stand in the evidence."""
        verdict = world.judge(settings, wrong_way)
        assert said(verdict) == (Status.FAIL, "below_floor")
        assert "more requirements do not hold either" in verdict.sentence


class TestSettings:
    """What can be written in YAML, checked the way the reader checks it."""

    GOOD: ClassVar[dict[str, Any]] = {
        "golden_set": "golden/fraud.csv",
        "sha256": "a" * 64,
        "label": "fraud",
        "threshold": 0.5,
        "floors": {"auc": 0.9},
    }

    def read(self, **changes: Any) -> EvaluationSettings:
        """As from YAML."""
        return TypeAdapter(EvaluationSettings).validate_json(
            json.dumps({**self.GOOD, **changes}), strict=True
        )

    def test_read(self) -> None:
        """The least that can be said."""
        assert self.read() == EvaluationSettings(**self.GOOD)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"golden_set": "/etc/passwd"}, "inside the repository"),
            ({"golden_set": "../golden.csv"}, "inside the repository"),
            ({"golden_set": ""}, "at least 1 character"),
            ({"sha256": "A" * 64}, "64 lower-case hexadecimal"),
            ({"threshold": 1.5}, "between lowest_score and highest_score"),
            ({"floors": {"acu": 0.9}}, "floors.acu"),
            ({"floors": {"auc": 90}}, "less than or equal to 1"),
            ({"floors": {}}, "set floors, ceilings or margins"),
            ({"alpha": 0.5}, "less than 0.5"),
            ({"minimum_rows": 500, "maximum_rows": 100}, "minimum_rows must not be above"),
            ({"ceilings": {"log_loss": 0.3}, "highest_score": 9.0}, "log_loss needs probabilities"),
            ({"margins": {"log_loss": 0.3}, "lowest_score": -1.0}, "log_loss needs probabilities"),
        ],
    )
    def test_refused(self, changes: dict[str, Any], says: str) -> None:
        """With the key and what to write."""
        with pytest.raises(ValidationError, match=says):
            self.read(**changes)


def test_is_a_gate(world: World, settings: EvaluationSettings) -> None:
    """It has everything that the registry asks for."""
    assert isinstance(world.gate(settings), Gate)


def test_importing_it_loads_no_heavy_library() -> None:
    """Every command imports the ports, and the ports this room's protocol."""
    heavy = "{'numpy', 'scipy', 'sklearn', 'locust', 'gevent', 'pydantic'}"
    code = f"import sys, gates.evaluation, gates.load, gates.signature; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"


class TestWhatIsSent:
    """Features alone, all of them, in the file's order, batch by batch."""

    def described(self, golden: Path, tmp_path: Path, rows: int = _ROWS) -> tuple[Path, dict[str, Any]]:
        """The golden set with ids and regions between its features."""
        header, *lines = (golden / "golden.csv").read_text().splitlines()
        assert header == "a,b,fraud"
        split = [line.split(",") for line in lines]
        many = [split[n % len(split)] for n in range(rows)]
        text = "a,payment,region,b,fraud\n" + "".join(
            f"{a},p{n},{'north' if n % 2 else 'south'},{b},{y}\n" for n, (a, b, y) in enumerate(many)
        )
        (tmp_path / "described.csv").write_text(text)
        return tmp_path, {
            "golden_set": "described.csv",
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "row_id": "payment",
            "attributes": ("region",),
            "slices": ("region",),
        }

    def test_no_id_no_attribute_and_no_label(
        self, world: World, settings: EvaluationSettings, golden: Path, tmp_path: Path
    ) -> None:
        """A model never sees what it is judged by; slices are told apart all the same."""
        folder, changes = self.described(golden, tmp_path)
        asked = Noting(V2Inference())
        gate = Evaluation(replace(settings, **changes), repository=Folder(folder), inference=asked)
        served = world.serve("v2", lambda rows: [good(row) for row in rows])
        verdict = gate.judge(question(candidate=arm("candidate", "v2", served), stable=None))
        assert said(verdict) == (Status.PASS, "shown_on_golden_set")
        assert asked.columns == {("a", "b")}
        assert [len(rows) for rows in asked.sent] == [_ROWS, 50]
        slices: Any = verdict.evidence.facts["slices"]
        assert [one["rows"] for one in slices] == [_ROWS / 2, _ROWS / 2]

    def test_a_golden_set_of_several_batches(
        self, settings: EvaluationSettings, golden: Path, tmp_path: Path
    ) -> None:
        """Each batch must come back whole: scores that are missing here cannot be made up for there."""
        rows = BATCH_ROWS + 100
        folder, changes = self.described(golden, tmp_path, rows)
        asked = question(candidate=arm("candidate", "v2", "http://v2"), stable=None)
        wanted = replace(settings, **changes, floors={"auc": 0.8}, ceilings={}, margins={})
        gate = Evaluation(wanted, repository=Folder(folder), inference=Noting(Straight()))
        assert gate.judge(asked).evidence.facts["rows"] == rows
        gate = Evaluation(wanted, repository=Folder(folder), inference=Shifting())
        verdict = gate.judge(asked)
        assert said(verdict) == (Status.FAIL, "scores_missing")
        assert f"{BATCH_ROWS} rows with {BATCH_ROWS - 1}" in verdict.sentence

    def test_a_golden_set_without_a_feature_cannot_be_asked_about(
        self, world: World, settings: EvaluationSettings, golden: Path
    ) -> None:
        """Everything in it describes rows."""
        described = replace(settings, attributes=("a", "b"))
        assert said(world.gate(described).judge(question())) == (Status.FAIL, "golden_set_invalid")

    def test_a_server_that_mixes_up_the_rows_of_a_request(
        self, world: World, settings: EvaluationSettings
    ) -> None:
        """Another company of rows, another score: caught by asking again."""
        verdict = world.judge(settings, lambda rows: [good(row) for row in reversed(rows)], whole=True)
        assert said(verdict) == (Status.FAIL, "not_deterministic")


class Noting:
    """Passes everything on, and remembers it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.columns: set[tuple[str, ...]] = set()
        self.sent: list[Sequence[Sequence[float]]] = []

    def infer(
        self, url: str, model: str, rows: Sequence[Sequence[float]], *, columns: Sequence[str]
    ) -> list[float]:
        """Ask."""
        self.columns.add(tuple(columns))
        self.sent.append(rows)
        answer: list[float] = self._inner.infer(url, model, rows, columns=columns)
        return answer


class Straight:
    """The good model without a wire."""

    def infer(
        self, url: str, model: str, rows: Sequence[Sequence[float]], *, columns: Sequence[str]
    ) -> list[float]:
        """Score."""
        return [good(list(row)) for row in rows]


class Shifting:
    """Gives one score too few for the first rows, and one too many for the next."""

    def __init__(self) -> None:
        self._spare: list[float] = []

    def infer(
        self, url: str, model: str, rows: Sequence[Sequence[float]], *, columns: Sequence[str]
    ) -> list[float]:
        """As many as there are rows, taken over all requests."""
        scores = [*self._spare, *(good(list(row)) for row in rows)]
        self._spare = scores[len(rows) - 1 :]
        return scores[: len(rows) - 1]
