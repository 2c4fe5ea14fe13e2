"""Answers in words: each way in which they cannot be judged or are not good enough, planted and named.

Covered: our own format, lm-eval's samples, MLflow's table; scorers of ours, of a package, recorded ones.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Gate, Question, Status, Verdict
from gates.evaluation.answers import Answers, AnswersSettings
from gates.evaluation.answers.judging import _compared, measured
from gates.evaluation.answers.scorers import Item, UnknownScorer, exact_match, scorer, token_f1
from gates.evaluation.estimates import Counted, Paired
from pipelines.journal.lines import verdict_from_data, verdict_to_data
from tests.gates.evaluation.tables import CHAMPION_DIGEST, champion, said
from tests.questions import DIGEST, Folder, question

Line = dict[str, Any]
COUNT = 300


def lines(found: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(one) + "\n" for one in found).encode()


def questions() -> list[Line]:
    """Three hundred about two topics, and five about a third."""
    topics = ["loans", "cards"] * 150
    topics[:5] = ["other"] * 5
    return [
        {"id": f"q{n}", "question": f"What is {n} and {n}?", "reference": f"The {2 * n}.", "topic": topics[n]}
        for n in range(COUNT)
    ]


def answers(right: Callable[[int], bool]) -> list[Line]:
    """An answer to each, and a score that somebody gave it."""
    return [
        {"id": f"q{n}", "answer": f"{2 * n}" if right(n) else "I do not know", "helpful": 0.6 + n % 4 / 10}
        for n in range(COUNT)
    ]


GOOD, POOR = answers(lambda n: n % 20 != 0), answers(lambda n: n % 2 == 0)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder as the repository, and settings that pin what lies in it."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def put(self, key: str, content: bytes | Sequence[Line], **changes: Any) -> Shelf:
        """Write a file and pin it."""
        data = content if isinstance(content, bytes) else lines(content)
        sha256 = hashlib.sha256(data).hexdigest()
        (self.folder / sha256).write_bytes(data)  # what another shelf has put stays
        pin = "sha256" if key == "golden_set" else f"{key}_sha256"
        return Shelf(self.folder, {**self.settings, key: sha256, pin: sha256, **changes})

    def set(self, **changes: Any) -> Shelf:
        """With other settings."""
        return Shelf(self.folder, {**self.settings, **changes})

    def judge(self, asked: Question | None = None) -> Verdict:
        """Ask the gate."""
        gate = Answers(AnswersSettings(**self.settings), repository=Folder(self.folder))
        assert isinstance(gate, Gate)
        return gate.judge(asked or question(stable=champion()))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Everything in place for a PASS."""
    return (
        Shelf(tmp_path)
        .put("golden_set", questions())
        .put("answers", GOOD, answers_digests={"candidate": DIGEST, "stable": CHAMPION_DIGEST})
        .put("champion_answers", GOOD)
        .set(scorers=("exact_match",), floors={"exact_match": 0.9}, margins={"exact_match": 0.02})
    )


# ------------------------------------------------------------------------- judged


def test_good_answers_pass(shelf: Shelf) -> None:
    """With the mean, its interval, its limits; the evidence is JSON and comes back equal."""
    verdict = shelf.judge()
    assert said(verdict) == (Status.PASS, "shown_on_golden_set"), verdict.sentence
    assert "On 300 questions" in verdict.sentence
    assert "exact_match 0.95 (0.9189 to 0.9717, 300 rows, at least 0.9)" in verdict.sentence
    assert "margin 0.02" in verdict.sentence
    found = {(one.name, one.arm): one for one in verdict.evidence.measurements}
    assert found["exact_match", "candidate"].threshold == 0.9
    assert found["exact_match_difference", ""].threshold == -0.02
    data = verdict_to_data(verdict)
    assert verdict_to_data(verdict_from_data(json.loads(json.dumps(data, allow_nan=False)))) == data


@pytest.mark.parametrize(
    ("changes", "new", "old", "reason"),
    [
        ({"margins": {}}, POOR, GOOD, "below_floor"),
        ({"margins": {}, "floors": {"exact_match": 0.94}}, GOOD, GOOD, "not_shown_above_floor"),
        ({"floors": {}}, POOR, GOOD, "worse_than_champion"),
        ({"floors": {}, "margins": {"exact_match": 0.001}}, GOOD, GOOD, "not_shown_as_good_as_champion"),
    ],
)
def test_worse_answers_are_refused(
    shelf: Shelf, changes: dict[str, Any], new: list[Line], old: list[Line], reason: str
) -> None:
    """Shown to be worse, or merely not shown to be as good."""
    verdict = shelf.put("answers", new).put("champion_answers", old).set(**changes).judge()
    assert said(verdict) == (Status.FAIL, reason)


def test_the_answers_that_fell_are_named(shelf: Shelf) -> None:
    """A reviewer reads those first."""
    verdict = shelf.put("answers", POOR).judge()
    fell: Any = verdict.evidence.facts["fell"]
    assert fell["exact_match"]["lower"] == 150
    assert fell["exact_match"]["higher"] == 15
    assert fell["exact_match"]["furthest"][:3] == ["q1", "q3", "q5"]
    adjusted: Any = verdict.evidence.facts["holm_p"]
    assert adjusted["exact_match"] < 1e-6


def test_a_first_version_has_nobody_to_beat(shelf: Shelf) -> None:
    """Its floor holds as for any."""
    verdict = shelf.set(champion_answers="", champion_answers_sha256="").judge(question(stable=None))
    assert said(verdict) == (Status.PASS, "shown_on_golden_set")
    assert "no champion to compare with" in verdict.sentence


def test_slices_of_questions(shelf: Shelf) -> None:
    """A topic where the candidate fell is caught; one with few questions is insufficient."""
    cards = [one["topic"] == "cards" for one in questions()]
    fell = [{**one, "answer": "no"} if cards[n] and n % 3 else one for n, one in enumerate(GOOD)]
    wanted = shelf.set(slices=("topic",), slice_margins={"exact_match": 0.1}, floors={}, margins={})
    wanted = wanted.set(floors={"exact_match": 0.5})
    assert "1 of 3 slices are insufficient" in wanted.judge().sentence
    verdict = wanted.put("answers", fell).judge()
    assert said(verdict) == (Status.FAIL, "slice_worse_than_champion")
    assert "in topic=cards" in verdict.sentence
    floored = wanted.put("answers", fell).set(slice_margins={}, slice_floors={"exact_match": 0.6}).judge()
    assert said(floored) == (Status.FAIL, "slice_below_floor")
    required = wanted.set(required_slices=("topic=other",)).judge()
    assert said(required) == (Status.UNKNOWN, "slice_insufficient")
    narrow = wanted.set(slice_margins={"exact_match": 0.01}, required_slices=("topic=loans",)).judge()
    assert said(narrow) == (Status.FAIL, "slice_not_shown_as_good_as_champion")
    high = wanted.set(
        slice_margins={}, slice_floors={"exact_match": 0.99}, required_slices=("topic=cards",)
    ).judge()
    assert said(high) == (Status.FAIL, "slice_not_shown_above_floor")


# -------------------------------------------------------------------- cannot be judged


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"[1]\n", "line 1 is no object"),
        (b'{"id": "a"}\n{"id": \n', "line 2 is no JSON"),
        (b'{"id": "a", "id": "b"}\n', "a key stands twice"),
        (b'{"id": "a", "x": NaN}\n', "NaN is no number"),
        (b'{"id": ""}\n', "line 1 has no id"),
        (b'{"id": true}\n', "line 1 has no id"),
        (b'{"id": "a", "reference": ["b"]}\n', "a reference that is neither words nor a number"),
        (b'{"id": "a", "x": "\xff"}\n', "line 1 is no JSON"),
        (b'{"id": "a"}\n' * 5, "more than 4 lines"),
        (b'{"id": "' + b"x" * (5 << 20) + b'"}\n', "longer than"),
        (b"[" * 100_000 + b"\n", "line 1 is no JSON"),
    ],
)
def test_questions_that_cannot_be_read(shelf: Shelf, content: bytes, says: str) -> None:
    """Each with the line."""
    verdict = shelf.put("golden_set", content, maximum_rows=4, minimum_rows=2).judge()
    assert said(verdict) == (Status.FAIL, "golden_set_invalid")
    assert says in verdict.sentence


def test_questions_that_are_not_meant(shelf: Shelf) -> None:
    """Gone, changed, too few, doubled."""
    assert said(shelf.set(golden_set="gone").judge()) == (Status.FAIL, "golden_set_missing")
    assert said(shelf.set(sha256="0" * 64).judge()) == (Status.FAIL, "golden_set_differs")
    assert said(shelf.set(minimum_rows=301).judge()) == (Status.FAIL, "golden_set_too_small")
    twice = [*questions(), questions()[7]]
    assert said(shelf.put("golden_set", twice).judge()) == (Status.FAIL, "golden_set_doubled")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (GOOD[:-1], "answers_missing"),
        ([*GOOD, GOOD[3]], "answers_doubled"),
        ([*GOOD, {"id": "zz", "answer": "?"}], "answers_of_other_questions"),
        (GOOD[::-1], "answers_reordered"),
    ],
)
def test_answers_that_do_not_belong_to_the_questions(shelf: Shelf, found: list[Line], reason: str) -> None:
    """The candidate is to blame for its own, and not for the champion's."""
    assert said(shelf.put("answers", found).judge()) == (Status.FAIL, reason)
    assert said(shelf.put("champion_answers", found).judge()) == (Status.UNKNOWN, f"champion_{reason}")


def test_answers_of_somebody_else(shelf: Shelf) -> None:
    """Of another artifact, of a champion that serves no more, of nobody."""
    other = "sha256:" + "e" * 64
    asked = question(digest=other, stable=champion())
    assert said(shelf.judge(asked)) == (Status.FAIL, "answers_of_another_model")
    moved = question(stable=replace(champion(), digest=other))
    assert said(shelf.judge(moved)) == (Status.UNKNOWN, "champion_answers_of_another_model")
    unasked = shelf.set(margins={}).judge(moved)
    assert (unasked.status, unasked.evidence.facts["champion"]) == (Status.PASS, False)
    alone = shelf.set(champion_answers="", champion_answers_sha256="")
    assert said(alone.judge()) == (Status.UNKNOWN, "no_champion_answers")
    assert alone.set(margins={}).judge().status is Status.PASS


@pytest.mark.parametrize(
    ("key", "status", "prefix"),
    [("answers", Status.FAIL, ""), ("champion_answers", Status.UNKNOWN, "champion_")],
)
def test_answer_files_are_pinned(shelf: Shelf, key: str, status: Status, prefix: str) -> None:
    """Missing, changed, unusable."""
    gone, changed = shelf.set(**{key: "gone"}).judge(), shelf.set(**{f"{key}_sha256": "0" * 64}).judge()
    assert said(gone) == (status, f"{prefix}answers_file_missing")
    assert said(changed) == (status, f"{prefix}answers_file_differs")
    huge = shelf.put(key, [{"id": "q0", "answer": "yes", "helpful": 10**400}]).judge()
    assert said(huge) == (status, f"{prefix}answers_file_invalid")
    broken = shelf.put(key, [{"id": "q0", "answer": 7}]).judge()
    assert said(broken) == (status, f"{prefix}answers_file_invalid")
    assert "line 1 has no answer in words" in broken.sentence


# ------------------------------------------------------------------------- scorers


def test_a_recorded_score_is_taken_as_it_stands(shelf: Shelf) -> None:
    """Fractions are resampled, on the same questions together."""
    wanted = shelf.set(
        scorers=("recorded:helpful",), floors={"recorded:helpful": 0.7}, margins={"recorded:helpful": 0.05}
    )
    verdict = wanted.judge()
    assert verdict.status is Status.PASS
    (mean,) = [one for one in verdict.evidence.measurements if one.arm == "candidate"]
    assert mean.value == pytest.approx(0.75)
    lower = [{**one, "helpful": one["helpful"] - 0.1 * (n % 3 == 0)} for n, one in enumerate(GOOD)]
    assert said(wanted.put("answers", lower).set(margins={"recorded:helpful": 0.01}).judge()) == (
        Status.FAIL,
        "worse_than_champion",
    )
    nowhere = [{key: one[key] for key in ("id", "answer")} for one in GOOD]
    assert said(wanted.put("answers", nowhere).judge()) == (Status.FAIL, "score_not_recorded")
    assert said(wanted.put("champion_answers", nowhere).judge()) == (
        Status.UNKNOWN,
        "champion_score_not_recorded",
    )
    above = [{**one, "helpful": 4} for one in GOOD]
    assert said(wanted.put("answers", above).judge()) == (Status.FAIL, "score_out_of_range")


ACME = '''
calls = 0

def tone(items):
    """Politeness."""
    return [float("do not" not in item.answer) for item in items]

def fickle(items):
    global calls
    calls += 1
    return [calls / 10] * len(items)

def short(items):
    return [1.0]

def wild(items):
    return [float("nan")] * len(items)

def away(items):
    raise ConnectionError("the judge is away")

def exact_match(items):
    return [1.0] * len(items)
'''


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[None]:
    """Another company's package of scorers is installed."""
    folder = tmp_path / "site"
    metadata = folder / "acme_scorers-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "acme_scorers.py").write_text(ACME)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-scorers\nVersion: 1.0\n")
    names = ("tone", "fickle", "short", "wild", "away", "exact_match")
    points = "".join(f"{name} = acme_scorers:{name}\n" for name in names)
    (metadata / "entry_points.txt").write_text(f"[lockgate.scorers]\n{points}")
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("acme_scorers", None)


@pytest.mark.usefixtures("acme")
def test_a_package_brings_a_scorer(shelf: Shelf) -> None:
    """Named in YAML, found by its entry point; it cannot take the name of ours."""
    wanted = shelf.set(scorers=("tone",), floors={"tone": 0.9}, margins={"tone": 0.05})
    assert wanted.judge().status is Status.PASS
    assert said(wanted.put("answers", POOR).judge()) == (Status.FAIL, "below_floor")
    assert scorer("exact_match") is exact_match


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("name", "reason", "says"),
    [
        ("fickle", "scorer_not_deterministic", "50 of 50 repeated answers differently"),
        ("short", "scorer_unfit", "1 scores for 300 answers"),
        ("wild", "scorer_unfit", "300 of 300 answers no score within 0 to 1, such as nan"),
        ("tune", "unknown_scorer", "no scorer is called 'tune'; installed are away, exact_match"),
    ],
)
def test_a_scorer_that_cannot_be_used_blames_nobody(shelf: Shelf, name: str, reason: str, says: str) -> None:
    """Neither candidate nor champion."""
    verdict = shelf.set(scorers=(name,), floors={name: 0.5}, margins={}).judge()
    assert said(verdict) == (Status.UNKNOWN, reason)
    assert says in verdict.sentence


@pytest.mark.usefixtures("acme")
def test_a_scorer_that_is_away_is_an_outage(shelf: Shelf) -> None:
    """Whoever runs the gate records UNKNOWN."""
    with pytest.raises(ConnectionError):
        shelf.set(scorers=("away",), floors={"away": 0.5}, margins={}).judge()


def item(answer: str, reference: str) -> Item:
    return Item(id="1", question="", reference=reference, answer=answer, words={})


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "f1"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1.0, 1.0),
        ("in Paris, France", "Paris", 0.0, 0.5),
        ("a b c", "c b d", 0.0, 0.8),
        ("the the b b", "b", 0.0, 2 / 3),
        ("", "", 1.0, 1.0),
        ("the", "x", 0.0, 0.0),
        ("no", "yes", 0.0, 0.0),
    ],
)
def test_our_scorers_by_example(answer: str, reference: str, exact: float, f1: float) -> None:
    """As the official script of SQuAD has them."""
    assert exact_match([item(answer, reference)]) == [exact]
    assert token_f1([item(answer, reference)]) == pytest.approx([f1])


@given(st.text(), st.text())
def test_our_scorers_know_no_side(one: str, other: str) -> None:
    """And stay within 0 and 1; an answer always matches itself."""
    for each in (exact_match, token_f1):
        (there,), (back,) = each([item(one, other)]), each([item(other, one)])
        assert there == pytest.approx(back)
        assert 0 <= there <= 1
        assert each([item(one, one)]) == [1.0]


def test_an_unknown_scorer_has_an_error_of_its_own() -> None:
    """Not one that could be taken for an outage."""
    with pytest.raises(UnknownScorer):
        scorer("nobody")


# ----------------------------------------------------------------------- the intervals

LOOSE = AnswersSettings(
    golden_set="g",
    sha256="a" * 64,
    answers="a",
    answers_sha256="a" * 64,
    answers_digests={"candidate": DIGEST},
    scorers=("exact_match",),
    floors={"exact_match": 0.5},
)


def test_scores_of_0_and_1_are_counted() -> None:
    """With exact bounds, alone and in pairs."""
    new, old = np.array([1.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0])
    assert measured(new, LOOSE).law == Counted(3, 4)
    assert _compared(new, old, LOOSE).law == Paired(2, 1, 4)


def test_answers_that_all_score_alike_are_no_certainty() -> None:
    """A hundred equal scores leave room for another one."""
    same = np.full(100, 0.5)
    found = measured(same, LOOSE)
    assert (found.value, found.low < 0.5 < found.high) == (0.5, True)
    apart = _compared(same, same - 0.1, LOOSE)
    assert apart.value == pytest.approx(0.1)
    assert apart.high - apart.low == pytest.approx(found.high - found.low)


# ------------------------------------------------------------------------- importers


def samples(right: Callable[[int], bool], filters: Sequence[str] = ("none",)) -> list[Line]:
    """What lm-eval writes with --log_samples."""
    return [
        {
            "doc_id": n,
            "doc": {"question": f"What is {n} and {n}?"},
            "target": f"{2 * n}",
            "arguments": {"gen_args_0": {"arg_0": "…"}},
            "resps": [[f"It is {2 * n}"]],
            "filtered_resps": [f"{2 * n}" if right(n) else "[invalid]"],
            "filter": name,
            "metrics": ["exact_match"],
            "doc_hash": "d",
            "exact_match": float(right(n)) if name != "strict" else 0.0,
        }
        for n in range(COUNT)
        for name in filters
    ]


@pytest.fixture
def harness(shelf: Shelf) -> Shelf:
    """The same questions under lm-eval's numbers."""
    asked = [{**one, "id": str(n)} for n, one in enumerate(questions())]
    return shelf.put("golden_set", asked).set(format="lm_eval")


def test_lm_evals_samples_are_read(harness: Shelf) -> None:
    """Their own metric, and ours on their answers, agree."""
    good = samples(lambda n: n % 20 != 0)
    both = harness.set(scorers=("recorded:exact_match", "exact_match"), floors={"exact_match": 0.9})
    verdict = both.put("answers", good).put("champion_answers", good).set(margins={}).judge()
    assert verdict.status is Status.PASS
    means = {one.name: one.value for one in verdict.evidence.measurements if one.arm == "candidate"}
    assert means == {"recorded:exact_match": 0.95, "exact_match": 0.95}
    old = [{key: one[key] for key in one if key != "metrics"} for one in good]
    assert (
        both.put("answers", old).put("champion_answers", good).set(margins={}).judge().reason
        == verdict.reason
    )


def test_one_of_lm_evals_filters_has_to_be_named(harness: Shelf) -> None:
    """A task with several has a line for each."""
    two = samples(lambda n: n % 20 != 0, ("strict", "flexible"))
    made = harness.set(scorers=("recorded:exact_match",), floors={"recorded:exact_match": 0.9}, margins={})
    made = made.put("answers", two).put("champion_answers", two)
    assert "it has the filters flexible, strict; name one" in made.judge().sentence
    assert made.set(lm_eval_filter="flexible").judge().status is Status.PASS
    assert said(made.set(lm_eval_filter="strict").judge()) == (Status.FAIL, "below_floor")
    assert "it has no filter 'loose'" in made.set(lm_eval_filter="loose").judge().sentence


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"filtered_resps": []}, "has no filtered_resps"),
        ({"doc_id": None}, "has no doc_id"),
        ({"metrics": "exact_match"}, "metrics that are no list"),
    ],
)
def test_samples_that_are_none_of_lm_evals(harness: Shelf, changes: Line, says: str) -> None:
    """Each with its line."""
    verdict = harness.put("answers", [{**one, **changes} for one in samples(lambda n: True)]).judge()
    assert said(verdict) == (Status.FAIL, "answers_file_invalid")
    assert f"line 1 {says}" in verdict.sentence or says in verdict.sentence


def test_likelihoods_have_no_answer_in_words(harness: Shelf) -> None:
    """Their metrics stand beside them."""
    chosen = [{**one, "filtered_resps": [[-3.0, False], [-4.0, True]]} for one in samples(lambda n: True)]
    made = harness.set(scorers=("recorded:exact_match",), floors={"recorded:exact_match": 0.9}, margins={})
    assert made.put("answers", chosen).put("champion_answers", chosen).judge().status is Status.PASS


def table(right: Callable[[int], bool], **changes: Any) -> bytes:
    """What MLflow writes as eval_results_table.json."""
    columns = ["id", "inputs", "outputs", "exact_match/v1/score", "tone/value", "token_count"]
    rows = [
        [f"q{n}", "…", f"{2 * n}" if right(n) else "?", right(n), 0.75 + n % 2 / 10, 3] for n in range(COUNT)
    ]
    return json.dumps({"columns": columns, "data": rows, **changes}).encode()


def test_mlflows_table_is_read(shelf: Shelf) -> None:
    """Its scores are those of columns that end in /score or /value."""
    good = table(lambda n: n % 20 != 0)
    made = shelf.put("answers", good).put("champion_answers", good).set(format="mlflow", margins={})
    names = ("recorded:exact_match/v1", "recorded:tone", "exact_match")
    verdict = made.set(scorers=names, floors={"recorded:tone": 0.7}).judge()
    assert verdict.status is Status.PASS
    means = {one.name: one.value for one in verdict.evidence.measurements if one.arm == "candidate"}
    assert means == pytest.approx(dict(zip(names, (0.95, 0.8, 0.95), strict=True)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[]", "no table of columns and data"),
        (table(bool, columns=["id"]), "0 columns 'outputs'"),
        (table(bool, columns=["id", "id", "outputs", "a", "b", "c"]), "2 columns 'id'"),
        (table(bool, data=[["q0"]]), "row 1 does not have 6 cells"),
        (table(bool, data=[["q0", "", None, 1, 1, 1]]), "line 1 has no outputs in words"),
        (table(bool, data=[["q0", "", "", 1, 1, 1]] * 6), "more than 5 rows"),
    ],
)
def test_tables_that_are_none_of_mlflows(shelf: Shelf, content: bytes, says: str) -> None:
    """Each with what is wrong."""
    few = questions()[:5]
    made = shelf.put("golden_set", few, maximum_rows=5, minimum_rows=2)
    verdict = made.set(format="mlflow").put("answers", content).judge()
    assert said(verdict) == (Status.FAIL, "answers_file_invalid")
    assert says in verdict.sentence


def test_settings_leave_nothing_open() -> None:
    """Each key that would is named."""
    least = {key: getattr(LOOSE, key) for key in AnswersSettings.__dataclass_fields__}
    for changes, says in (
        ({"golden_set": "/etc/passwd"}, "golden_set must be a path inside"),
        ({"answers_sha256": "x"}, "answers_sha256 must be 64"),
        ({"champion_answers": "c"}, "champion_answers_sha256 must be 64"),
        ({"answers_digests": {}}, "must name the candidate"),
        ({"answers_digests": {"candidate": "v2"}}, "answers_digests.candidate must be"),
        ({"floors": {}}, "asked for nothing"),
        ({"floors": {"tone": 0.5}}, "floors names tone"),
        ({"scorers": ("exact_match", "exact_match")}, "twice"),
        ({"slice_floors": {"exact_match": 0.1}}, "need slices"),
        ({"lowest_score": 1.0}, "lowest_score must be below"),
        ({"minimum_rows": 200_000}, "minimum_rows must not be above"),
    ):
        with pytest.raises(ValueError, match=says):
            AnswersSettings(**{**least, **changes})
