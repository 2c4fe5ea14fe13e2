"""Commands on what is shared: journals and main of a repository on the rehearsal's forge, over the wire.

Covered: promote (detached), status, hold, resume, abort, retry, rollback's refusals, step, history, why,
evidence, doctor; each with its data and its exit code. Every test has a model of its own.
Left out: promotions driven through live traffic (test_cli_whole).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from gates.contract import Status
from gates.signature import artifact_digest
from pipelines.clients.git import GitJournals, GitRepository
from pipelines.journal import events as e
from pipelines.journal.lines import Line, decode, encode
from pipelines.rehearsal import settings
from pipelines.render import Serves, manifest_digest, render
from pipelines.spec.read import read_platform, read_release
from pipelines.spec.types import Version
from pipelines.strategy import Plan
from tests import plans, promotions
from tests.commands import Ran, Shell
from tests.examples import version
from tests.forges import BOT, REPOSITORY, TOKENS, clone, running
from tests.plans import T0

NOWHERE = "http://127.0.0.1:9"
V37, V38 = version("v37", digest="sha256:" + "7" * 64), version("v38", digest="sha256:" + "8" * 64)
SPELLED = ("v38", "--uri", V38.uri, "--digest", V38.digest)
DETACHED = ("--reason", "better recall", "--detach")


class Office:
    """A repository on a forge, and ways to put things into it."""

    def __init__(self, url: str, api: str, repository: GitRepository, state: Path) -> None:
        self.repository = repository
        self.journals = GitJournals(repository)
        self.platform = settings.platform(
            forge_api=api,
            git_url=url,
            repository=REPOSITORY,
            desk=NOWHERE,
            argocd=NOWHERE,
            prometheus=NOWHERE,
        )
        self.shell = Shell(
            {
                "HOME": str(state),
                "LOCKGATE_REPO": url,
                "LOCKGATE_GIT_TOKEN": TOKENS[BOT],
                "LOCKGATE_FORGE_TOKEN": TOKENS[BOT],
                "LOCKGATE_DESK_PASSWORD": "desk-password",
                "LOCKGATE_ARGOCD_TOKEN": "argocd-token",
                "LOCKGATE_STATE_DIR": str(state),
                "LOCKGATE_PERSON": "dana",
            }
        )
        self.commit({"platform.yaml": self.platform}, "the rules")

    def __call__(self, *words: object, **variables: str) -> Ran:
        """Run a command."""
        return self.shell(*words, **variables)

    def commit(self, files: Mapping[str, str | None], subject: str, **trailers: str) -> str:
        """Write files on main; the commit."""
        named = {f"Lockgate-{key.title()}": value for key, value in trailers.items()}
        return self.repository.commit("main", files, subject=subject, body="", trailers=named).sha

    def release(self, model: str) -> str:
        """A release.yaml that names v37, under the quick rules."""
        document = {
            "model": model,
            "tenant": "risk",
            "owners": ["dana"],
            "tier": "regulated",
            "version": V37.model_dump(exclude_none=True),
            "serving": {"format": "sklearn"},
            "slo": {
                "latency": {"threshold_ms": 40.0, "target_percent": 99.0},
                "error_budget_percent": 1.0,
                "peak_rps": 60.0,
            },
            "change": {"configuration_item": model, "assignment_group": "Model Risk"},
            "gates": _gates(),
        }
        return yaml.safe_dump(document, sort_keys=False)

    def serves(
        self, model: str, share: int, candidate: Version | None, promotion: str = ""
    ) -> dict[str, str]:
        """The manifests of a model in prod."""
        platform = read_platform(self.platform)
        release = read_release(self.release(model), f"models/{model}/release.yaml", platform)
        serves = Serves(stable=V37, candidate=candidate, share_percent=share, promotion=promotion)
        return render(release, "prod", platform.environments["prod"], serves)

    def model(self, model: str) -> None:
        """A model whose v37 serves in prod."""
        files = {f"models/{model}/release.yaml": self.release(model), **self.serves(model, 100, None)}
        self.commit(files, f"{model} v37")

    def journal(
        self,
        model: str,
        *events: e.Event,
        plan: Plan | None = None,
        after: float = 0.0,
        since: datetime = T0,
    ) -> str:
        """The journal of a promotion with these events, a second apart; its id."""
        begun = since + timedelta(seconds=after)
        promotion = f"{model}-prod-{begun:%Y%m%dT%H%M%SZ}-7f3a"
        started = replace(
            plans.started(plan or plans.canary()), promotion=promotion, model=model,
            candidate=V38.model_dump(), stable=V37.model_dump(), base=self.repository.head("main") or "",
        )  # fmt: skip
        text = ""
        lines: tuple[Line, ...] = ()
        for n, event in enumerate((started, *events)):
            text += encode(promotion, lines, [event], at=begun + timedelta(seconds=n), by="engine:h:1")
            lines = decode(promotion, text)
        self.journals.append(promotion, text, expected="")
        return promotion

    def written(self, promotion: str) -> list[e.Event]:
        """The events of a journal as stored now."""
        return [line.event for line in decode(promotion, self.journals.read(promotion))]

    def by(self, promotion: str) -> str:
        """Who wrote its last line."""
        return decode(promotion, self.journals.read(promotion))[-1].by


def without_gates(manual: str = "") -> Plan:
    """A plan in which nothing but people stops a promotion; the named stage waits for their word."""
    plan = plans.canary()
    stages = (replace(stage, gates=(), manual=stage.name == manual) for stage in plan.stages)
    return replace(plan, stages=tuple(stages))


def _gates() -> dict[str, Any]:
    golden = {"sha256": "0" * 64, "label": "fraud"}
    evaluation = {"golden_set": "golden.csv", "threshold": 0.5, "floors": {"auc": 0.8}, **golden}
    return {"evaluation": evaluation, "load": {"payloads": "golden.csv", **golden}}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    with running(folder / "forge") as forge:
        yield Office(forge.git_url, forge.api_url, clone(forge, folder / "people"), folder / "state")


@pytest.fixture
def vouched(tmp_path: Path) -> tuple[str, ...]:
    """v38 as words of the command line, with bytes that are what its digest says."""
    home = tmp_path / "fraud-scorer" / "v38"
    home.mkdir(parents=True)
    (home / "model.json").write_text("{}", "utf-8")
    return ("v38", "--uri", home.as_uri(), "--digest", artifact_digest(home))


ENDED = e.Ended(outcome="promoted", sentence="v38 serves 100 %")


# ------------------------------------------------------------------------- promote


def test_a_promotion_is_begun_and_shown(office: Office) -> None:
    """Detached, it only begins: id on stdout, who and why in the journal."""
    office.model("begun")
    ran = office("promote", "begun", *SPELLED, *DETACHED)
    promotion = ran.out.splitlines()[0]

    assert ran.code == 0, ran.err
    assert promotion.startswith("begun-prod-")
    (started,) = office.written(promotion)
    assert isinstance(started, e.Started)
    assert (started.requested_by, started.reason) == ("dana", "better recall")
    assert (started.candidate["label"], started.stable and started.stable["label"]) == ("v38", "v37")
    assert f"lockgate retry {promotion}" in ran.out
    assert promotion in office("status").out


def test_the_same_wish_again_finds_the_same_promotion(office: Office) -> None:
    """One promotion per version, however often it is asked for."""
    office.model("twice")
    first, second = (office("promote", "twice", *SPELLED, *DETACHED, "--json") for _ in range(2))

    assert first.json["schema"] == "lockgate.promote/1"
    assert first.json["promotion"] == second.json["promotion"]


def test_a_version_that_serves_already_needs_no_promotion(office: Office) -> None:
    """release.yaml names v37, which serves: nothing is begun, exit code 0."""
    office.model("content")
    ran = office("promote", "content", *DETACHED)

    assert (ran.code, ran.out) == (0, "v37 serves content in prod already\n")
    assert office("promote", "content", *DETACHED, "--json").json["outcome"] == "already_serves"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("promotte", *SPELLED), "hint: did you mean `promoted`?"),
        (("promoted", *SPELLED, "--to", "prd"), "hint: did you mean `prod`?"),
        (("promoted", "v99"), "release.yaml names v37, not v99"),
        (("promoted", "models:/promoted@best"), "the platform has no model registry"),
        (("promoted", *SPELLED, "--requested-by", "no one"), "'no one' is no login"),
    ],
)
def test_a_wish_that_cannot_be_meant_begins_nothing(
    office: Office, words: tuple[str, ...], says: str
) -> None:
    """Exit code 3 and what to write instead."""
    if office.repository.read("models/promoted/release.yaml", "main") is None:
        office.model("promoted")
    ran = office("promote", *words, *DETACHED)

    assert ran.code == 3
    assert says in ran.err
    assert "promoted-prod" not in office("history").out


def test_a_reason_is_kept_as_one_line_of_text(office: Office) -> None:
    """Line ends and escapes in it can forge no trailer, and act on no terminal."""
    office.model("reasoned")
    reason = "looks good\n\nLockgate-Share: 100\x1b[31m"
    promotion = office("promote", "reasoned", *SPELLED, "--reason", reason, "--detach").out.splitlines()[0]

    (started,) = office.written(promotion)
    assert isinstance(started, e.Started)
    assert started.reason == "looks good Lockgate-Share: 100"
    assert office("promote", "reasoned", *SPELLED, "--reason", " \n ", "--detach").code == 3


# -------------------------------------------------------------- hold, resume, abort


def test_hold_and_resume_are_written_down_with_who_said_so(office: Office) -> None:
    """By model or by id; the journal bears the person, the answer says what comes next."""
    promotion = office.journal("held", *plans.up_to_merge()[:7], plan=without_gates())
    held = office("hold", "held", "--reason", "payday", "--person", "otto")

    assert (held.code, office.by(promotion)) == (0, "person:otto")
    assert office.written(promotion)[-1] == e.Held(person="otto", reason="payday")
    assert "nothing rises until `lockgate resume" in held.out
    assert "held by otto: payday" in office("status", "held").out

    resumed = office("resume", promotion)
    assert office.written(promotion)[-1] == e.Resumed(person="dana", stage="")
    assert "goes on with" in resumed.out


def test_saying_the_same_again_writes_nothing(office: Office) -> None:
    """A second hold, a resume of what is not held, a second abort: each says so."""
    promotion = office.journal("again", *plans.up_to_merge())
    assert "is not held" in office("resume", "again").out
    for word, says in (("hold", "is held by dana already"), ("abort", "was ended by dana already")):
        assert office(word, "again").code == 0
        before = office.written(promotion)
        ran = office(word, "again", "--json")
        assert (ran.code, ran.json["written"]) == (0, [])
        assert ran.json["schema"] == f"lockgate.{word}/1"
        assert says in ran.json["sentence"]
        assert office.written(promotion) == before


def test_a_manual_stage_is_released_by_a_persons_word(office: Office) -> None:
    """Resuming also gives the word that a pinned version waits for."""
    manual = without_gates(manual="merge")
    promotion = office.journal("pinned", *plans.up_to_merge()[:7], plan=manual)

    assert "waits for a person's word" in office("status", "pinned").out
    assert office("resume", "pinned").code == 0
    assert office.written(promotion)[-1] == e.Resumed(person="dana", stage="merge")


def test_a_promotion_that_is_going_back_needs_no_abort(office: Office) -> None:
    """It is on its way to 0 already."""
    office.journal("back", *plans.up_to_merge(), e.RollbackBegan(code="slo", sentence="too slow"))

    assert "is going back to 0 % already: too slow" in office("abort", "back").out


@pytest.mark.parametrize("word", ["hold", "resume", "abort"])
def test_nothing_can_be_said_of_what_is_over(office: Office, word: str) -> None:
    """Exit code 4."""
    promotion = office.journal(f"over-{word}", ENDED)
    ran = office(word, promotion)

    assert ran.code == 4
    assert "is over: v38 serves 100 %" in ran.err


def test_an_unknown_promotion_names_the_near_one(office: Office) -> None:
    """Ids and models alike."""
    promotion = office.journal("known", *plans.up_to_merge())

    assert "hint: did you mean `known`?" in office("hold", "knwon").err
    assert f"hint: did you mean `{promotion}`?" in office("status", promotion[:-1] + "b").err
    assert office("status", "knwon").code == 3


def test_several_open_promotions_have_to_be_told_apart(office: Office) -> None:
    """A queue of two is not guessed at."""
    first, second = office.journal("queue"), office.journal("queue", after=60)
    ran = office("hold", "queue")

    assert ran.code == 3
    assert f"hint: name one: {first}, {second}" in ran.err


# ------------------------------------------------------------------- status, history


def test_status_of_one_promotion_is_the_whole_tree(office: Office) -> None:
    """Stages, gates, and why it waits."""
    wait = e.Waited(
        stage="shift-0", reason="syncing", sentence="Argo CD is busy", unknown=False, retry_after_seconds=1e6
    )
    just_now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=20)
    promotion = office.journal("tree", *plans.up_to_merge(), wait, since=just_now)
    ran = office("status", "tree")

    assert ran.out.startswith(promotion)
    for phrase in ("waits: Argo CD is busy", "✔ merge", "shift-10", "pull request 7"):
        assert phrase in ran.out


def test_status_as_data_has_the_same_shape_for_one_and_for_all(office: Office) -> None:
    """A list of promotions, each with its next move."""
    promotion = office.journal("data", *plans.up_to_merge())
    one, every = office("status", "data", "--json").json, office("--json", "status").json

    assert one["schema"] == every["schema"] == "lockgate.status/1"
    (found,) = one["promotions"]
    assert found["promotion"] == promotion
    assert set(found["move"]) == {"kind", "stage", "reason", "sentence", "until"}
    assert promotion in [entry["promotion"] for entry in every["promotions"]]


def test_watching_ends_with_the_promotion(office: Office) -> None:
    """Into a pipe it tells the journal; of an ended one all at once."""
    office.journal("watched", *plans.up_to_merge(), e.Ended(outcome="aborted", sentence="dana ended it"))
    ran = office("status", "watched", "-w")

    assert ran.code == 0
    assert "merge is done" in ran.out
    assert ran.out.splitlines()[-1].endswith("dana ended it")
    assert office("status", "watched", "-w", "--json").json["promotions"][0]["outcome"] == "aborted"


def test_watching_needs_to_know_which(office: Office) -> None:
    """With several under way one has to be named."""
    first, second = office.journal("seen"), office.journal("seen-too")
    ran = office("status", "-w")

    assert ran.code == 3
    assert first in ran.err
    assert second in ran.err


def test_history_is_newest_first_and_says_who_and_how_long(office: Office) -> None:
    """With outcome, requester, approvers, duration, reason."""
    older = office.journal("past", e.Ended(outcome="refused", sentence="no"))
    newer = office.journal("past", ENDED, after=3600)
    ran, data = office("history", "past"), office("history", "past", "--json").json

    rows = ran.out.splitlines()
    assert [row.split()[0] for row in rows] == ["promotion", newer, older]
    assert "refused" in rows[2]
    assert "better recall" in rows[1]
    assert data["promotions"][0]["duration_seconds"] == 1.0
    assert office("history", "past", "--since", (T0 + timedelta(minutes=5)).isoformat(), "--json").json[
        "promotions"
    ] == [data["promotions"][0]]
    assert office("history", "past", "--environment", "staging").out == "there are no such promotions\n"
    assert office("history", "past", "--since", "1d").out == "there are no such promotions\n"
    assert older in office("history", "past", "--since", "2026-03-01").out


def test_who_approved_stands_in_the_history(office: Office) -> None:
    """The approving rows that the gate read, and nobody who was merely asked."""
    book = promotions.good()
    office.journals.append(book.promotion, book.text, expected="")

    assert "rita.okafor" in office("history", "fraud-scorer").out
    assert "model.risk.deputy" not in office("history", "fraud-scorer").out


def test_a_time_that_is_none_is_a_mistake(office: Office) -> None:
    """With what to write."""
    ran = office("history", "--since", "yesterday")

    assert ran.code == 3
    assert "hint: write 2026-03-01 or 30d" in ran.err
    assert office("history", "nobody").code == 3


def test_a_journal_that_was_changed_is_named_and_hides_no_other(office: Office, tmp_path: Path) -> None:
    """The others are answered; the exit code says that the answer is not whole."""
    promotion, other = office.journal("spoilt"), office.journal("unspoilt")
    text = office.journals.read(promotion)
    path = f"spoilt/{promotion}.jsonl"
    for wrong, code in ((text.replace("better", "bitter"), 5), (text, 0)):
        office.repository.commit("audit", {path: wrong}, subject="by hand", body="", trailers={})
        ran = office("history", "--json")
        assert ran.code == code
        assert other in [entry["promotion"] for entry in ran.json["promotions"]]
        assert (f"{promotion}, line 1" in ran.err) == bool(code)
        assert len(ran.json["broken"]) == bool(code)
        assert office("status", promotion).code == code


# --------------------------------------------------------------------- step, retry


def test_a_step_answers_by_its_exit_code(office: Office, vouched: tuple[str, ...]) -> None:
    """Done 0, too early 75, an outage 5, gone back 4: what a workflow's retry rule reads."""
    office.model("stepped")
    promotion = office("promote", "stepped", *vouched, *DETACHED).out.splitlines()[0]

    def step(name: str) -> tuple[int, str]:
        ran = office("step", name, "--promotion", promotion, "--json")
        assert ran.json["schema"] == "lockgate.step/1"
        return ran.code, ran.json["outcome"]

    assert step("shift-10") == (75, "not_yet")
    assert step("roll_back") == (4, "refused")
    assert step("propose") == (0, "done")
    assert step("propose") == (0, "done")
    assert office("abort", promotion).code == 0
    assert step("preview") == (4, "refused")
    assert step("roll_back") == (0, "done")
    assert "ended it" in office("status", promotion).out


def test_a_step_that_could_not_tell_has_an_exit_code_of_its_own(
    office: Office, vouched: tuple[str, ...]
) -> None:
    """Argo CD is not there: that is neither a no nor simply too early."""
    office.model("unheard")
    promotion = office("promote", "unheard", *vouched, *DETACHED).out.splitlines()[0]
    assert office("step", "propose", "--promotion", promotion).code == 0
    ran = office("step", "preview", "--promotion", promotion)

    assert ran.code == 5
    assert ran.out.startswith("preview: not yet: ")


def test_a_step_that_no_plan_has_is_a_mistake(office: Office) -> None:
    """With the near one; a promotion that does not exist is refused."""
    office.model("misstep")
    promotion = office("promote", "misstep", *SPELLED, *DETACHED).out.splitlines()[0]
    ran = office("step", "shift-11", "--promotion", promotion)

    assert ran.code == 3
    assert "hint: did you mean `shift-1" in ran.err
    assert office("step", "propose", "--promotion", "misstep-prod-x").code == 4


def test_retry_drives_an_open_promotion_to_its_end(office: Office) -> None:
    """One that was aborted before its merge ends at once; exit code 4, since it does not serve."""
    office.model("retried")
    promotion = office("promote", "retried", *SPELLED, *DETACHED).out.splitlines()[0]
    assert office("abort", promotion, "--reason", "not today").code == 0
    ran = office("retry", promotion)

    assert ran.code == 4, ran.err
    assert "goes on from where it is" in ran.out
    assert "v38 is at 0 %: dana ended it: not today" in ran.out
    assert f"lockgate evidence {promotion}" in ran.out


def test_an_interrupted_drive_says_how_to_go_on(office: Office, vouched: tuple[str, ...]) -> None:
    """Ctrl-C loses nothing: exit code 130, and the command that continues."""
    office.model("interrupted")
    promotion = office("promote", "interrupted", *vouched, *DETACHED).out.splitlines()[0]
    code = "from pipelines.cli import main; main()"
    environment = {**os.environ, **office.shell.environment, "PYTHONUNBUFFERED": "1"}
    driver = subprocess.Popen(
        [sys.executable, "-c", code, "retry", promotion], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=environment, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with driver:
        assert driver.stdout is not None
        told = next(line for line in driver.stdout if "preview waits" in line)
        driver.send_signal(signal.SIGINT)
        rest = driver.stdout.read()

    assert driver.returncode == 130, told + rest
    assert f"nothing is lost. `lockgate retry {promotion}` goes on from here" in rest
    assert "Traceback" not in rest
    assert office("abort", promotion).code == 0


def test_retry_of_one_that_failed_begins_another(office: Office) -> None:
    """Of the same version, with its history in the reason. One that was promoted has nothing to retry."""
    office.model("afresh")
    promotion = office.journal("afresh", e.Ended(outcome="refused", sentence="no"))
    ran = office("retry", promotion, "--detach")

    assert ran.code == 0, ran.err
    again = ran.out.splitlines()[0]
    (started,) = office.written(again)
    assert isinstance(started, e.Started)
    assert started.candidate["label"] == "v38"
    assert started.reason == f"better recall (again, after {promotion})"
    done = office.journal("done", ENDED)
    assert "has nothing left to do: v38 serves 100 %" in office("retry", done).out


# ------------------------------------------------------------------------- rollback


def test_an_open_promotion_is_rolled_back_by_ending_it(office: Office) -> None:
    """The person's word is written and carried out at once; exit code 0, since that was wanted."""
    office.model("stopped")
    promotion = office("promote", "stopped", *SPELLED, *DETACHED).out.splitlines()[0]
    ran = office("rollback", "stopped", "--reason", "complaints")

    assert ran.code == 0, ran.err
    assert "v38 is at 0 %: dana ended it: complaints" in ran.out
    ended = office.written(promotion)[-1]
    assert ended.kind in ("ended", "stage_done")


def test_what_cannot_go_back_is_refused(office: Office) -> None:
    """Nothing was promoted; main says another version serves; there is no version before the first."""
    office.model("never")
    office.journal("never", e.Ended(outcome="refused", sentence="no"))
    ran = office("rollback", "never", "--reason", "x")
    assert ran.code == 3
    assert "no version of it was promoted in prod" in ran.err

    office.model("other")
    promotion = office.journal("other", ENDED)
    ran = office("rollback", "other", "--reason", "x", "--to", "prod")
    assert ran.code == 4
    assert f"main says v37 serves, but the last promotion, {promotion}, brought v38" in ran.err


def test_the_first_version_cannot_go_back(office: Office) -> None:
    """There is none before it."""
    office.model("first")
    promotion = "first-prod-20260314T090000Z-7f3a"
    started = replace(
        plans.started(plans.canary(first=True)), promotion=promotion, model="first",
        candidate=V37.model_dump(), stable=None,
    )  # fmt: skip
    office.journals.append(promotion, encode(promotion, (), [started, ENDED], at=T0, by="x"), expected="")
    ran = office("rollback", "first", "--reason", "x")

    assert ran.code == 4
    assert "is the first version of first in prod" in ran.err


# -------------------------------------------------------------------- why, evidence


def walked(office: Office, model: str) -> str:
    """A promotion that ended well, its commits on main; its id."""
    office.model(model)
    promotion = f"{model}-prod-{T0:%Y%m%dT%H%M%SZ}-7f3a"
    events: list[e.Event] = [plans.PROPOSED]
    covered = manifest_digest(office.serves(model, 100, V38, promotion))
    correlation = hashlib.sha256("\n".join((V38.digest, V37.digest, covered, "prod")).encode()).hexdigest()
    for share in (0, 10, 100):
        sha = office.commit(
            office.serves(model, share, V38, promotion),
            f"{share} %",
            promotion=promotion,
            stage=f"shift-{share}",
        )
        if share == 0:
            events.append(e.Merged(commit=sha, by="lockgate"))
        events += [
            e.ShareCommitted(stage=f"shift-{share}", share_percent=share, commit=sha),
            e.ShareServed(
                stage=f"shift-{share}", share_percent=share, candidate_revision="r2", stable_revision="r1",
                url="http://s",
            ),
        ]  # fmt: skip
    events += [e.ChangeIntended(correlation_id=correlation, manifest_digest=covered), ENDED]
    return office.journal(model, *events)


def test_why_answers_from_the_journals_and_main(office: Office) -> None:
    """Which versions, at which shares, brought by whom."""
    promotion = walked(office, "asked")
    instant = (T0 + timedelta(seconds=6.5)).isoformat()
    ran, data = (
        office("why", "asked", "--at", instant),
        office("why", "asked", "--at", instant, "--json").json,
    )

    assert ran.code == 0
    assert "  v37 90 %, v38 10 %" in ran.out
    assert f"brought by {promotion}, asked for by dana: better recall" in ran.out
    assert data["schema"] == "lockgate.why/1"
    assert data["possible"][-1]["shares"] == [
        {"label": "v37", "digest": V37.digest, "uri": V37.uri, "percent": 90},
        {"label": "v38", "digest": V38.digest, "uri": V38.uri, "percent": 10},
    ]


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2026-03-14T09:12:00", "names no zone"),
        ("14 March", "is no instant"),
        ("2999-01-01T00:00:00Z", "has not come yet"),
    ],
)
def test_an_instant_that_is_not_one_is_a_mistake(office: Office, at: str, says: str) -> None:
    """Exit code 3, with how to write it."""
    ran = office("why", "asked", "--at", at)

    assert ran.code == 3
    assert says in ran.err
    assert "hint: " in ran.err


def test_why_before_the_first_record_says_so(office: Office) -> None:
    """And of a model nobody knows, the near name."""
    office.journal("early", ENDED)

    assert (
        "the record begins at 2026-03-14 09:00:00 UTC"
        in office("why", "early", "--at", "2020-01-01T00:00Z").out
    )
    assert "did you mean `early`?" in office("why", "erly", "--at", "2020-01-01T00:00Z").err
    assert office("why", "early", "--at", "2020-01-01T00:00Z", "--environment", "staging").code == 3


def test_evidence_is_written_and_checked_offline(office: Office, tmp_path: Path) -> None:
    """One file, the same each time; verify needs no repository and finds a changed byte."""
    promotion = walked(office, "proven")
    place, again = tmp_path / "one.zip", tmp_path / "two.zip"
    ran = office("evidence", "proven", "-o", place)
    assert ran.code == 0, ran.out + ran.err
    data = office("evidence", promotion, "--output", again, "--json").json
    assert place.read_bytes() == again.read_bytes()
    assert data["schema"] == "lockgate.evidence/1"
    assert data["sha256"] == hashlib.sha256(place.read_bytes()).hexdigest()

    alone = Shell({"HOME": str(tmp_path)})
    checked = alone("evidence", "verify", place, "--sha256", data["sha256"])
    assert checked.code == 0
    assert "covers exactly the manifests of 100 %" in checked.out
    assert f"everything holds: {promotion}" in checked.out
    assert "not the one that was noted" in alone("evidence", "verify", place, "--sha256", "0" * 64).out
    spoilt = bytearray(place.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    place.write_bytes(spoilt)
    broken = alone("--json", "evidence", "verify", place)
    assert broken.code == 4
    assert broken.json["holds"] is False
    assert broken.json["schema"] == "lockgate.evidence.verify/1"
    assert alone("evidence", "verify", tmp_path / "none").code == 3


def test_evidence_that_does_not_hold_is_written_and_said(office: Office, tmp_path: Path) -> None:
    """Of a promotion whose commits main does not have: the file is there, the exit code is 4."""
    office.model("unproven")
    head = office.repository.head("main") or ""
    promotion = office.journal("unproven", e.ShareCommitted(stage="shift-0", share_percent=0, commit=head))
    ran = office("evidence", promotion, "-o", tmp_path / "file.zip")

    assert ran.code == 4
    assert "but something does not hold: " in ran.out
    assert office("evidence", promotion, "-o", tmp_path / "no" / "file.zip").code == 3


def test_evidence_is_signed_where_platform_yaml_names_a_key(office: Office, tmp_path: Path) -> None:
    """A key that is not at hand, or none, stops the writing unless somebody says so; verify takes the key."""
    from tests.pipelines.test_evidence_signing import pair  # skips where the extra is not installed

    promotion = walked(office, "vouched")
    private, public = pair()
    named = f"{office.platform}\nevidence: {{signing_key: env:EVIDENCE_KEY}}\n"
    office.commit({"platform.yaml": named}, "a key for evidence")
    place, bare = tmp_path / "signed.zip", tmp_path / "bare.zip"
    try:
        absent = office("evidence", promotion, "-o", place)
        useless = office("evidence", promotion, "-o", place, EVIDENCE_KEY="no key at all")
        assert (absent.code, useless.code, place.exists()) == (3, 3, False)
        assert "evidence.signing_key" in absent.err
        assert "the key cannot sign" in useless.err
        assert office("evidence", promotion, "-o", place, EVIDENCE_KEY=private).code == 0
        assert office("evidence", promotion, "--unsigned", "-o", bare).code == 0
    finally:
        office.commit({"platform.yaml": office.platform}, "without it")
    (tmp_path / "risk.pub").write_text(public)
    (tmp_path / "risk.pub").chmod(0o600)
    alone, key = Shell({"HOME": str(tmp_path)}), f"file:{tmp_path / 'risk.pub'}"

    checked = alone("evidence", "verify", place, "--key", key)
    assert checked.code == 0, checked.out
    assert "statements are signed by the key sha256:" in checked.out
    assert alone("evidence", "verify", place).code == 0
    assert "NOT signed" in alone("evidence", "verify", bare).out
    assert alone("evidence", "verify", bare, "--key", key).code == 4
    stranger = alone("evidence", "verify", place, "--key", "env:OTHER", OTHER=pair()[1])
    assert (stranger.code, "which is not env:OTHER" in stranger.out) == (4, True)


# --------------------------------------------------------------------------- doctor


def test_doctor_names_what_is_good_and_what_is_not(office: Office) -> None:
    """Git and forge answer; desk, Argo CD and Prometheus are not there: exit code 5, each with advice."""
    office.model("patient")
    data = office("doctor", "--json")

    assert data.code == 5
    assert data.json["schema"] == "lockgate.doctor/1"
    reach = {row["place"]: row["good"] for row in data.json["findings"] if row["what"] == "reach"}
    assert reach["git"] is reach["forge"] is True
    assert reach["change desk"] is reach["metrics prod"] is False
    assert all(row["advice"] for row in data.json["findings"] if row["good"] is False)
    assert "findings need somebody" in office("doctor").out


def test_doctor_says_which_secret_is_missing(office: Office) -> None:
    """A variable that is not set is a finding, with its name, and hides no other."""
    ran = office("doctor", LOCKGATE_FORGE_TOKEN="")

    assert ran.code == 5
    assert "LOCKGATE_FORGE_TOKEN is not set or empty" in ran.out
    assert "change desk" in ran.out


def test_doctor_asks_for_the_model_it_is_told(office: Office) -> None:
    """Where each model has an application of its own; an unknown one names the near one."""
    office.model("chosen")

    assert "chosen-prod" in office("doctor", "chosen").out
    assert "hint: did you mean `chosen`?" in office("doctor", "chsoen").err


def test_nothing_printed_holds_a_secret(office: Office) -> None:
    """Neither data nor logs, however much is asked for."""
    for words in (("doctor", "--verbose"), ("status", "--verbose", "--json"), ("history",)):
        ran = office(*words)
        for secret in (TOKENS[BOT], "desk-password", "argocd-token"):
            assert secret not in ran.out + ran.err


def test_status_and_retry_know_of_a_way_back_that_the_desk_does_not(office: Office) -> None:
    """Status says so; retry tells the desk, and begins no promotion, even while the desk does not answer."""
    left = "tell the change desk: it did not answer"
    office.model("untold")
    promotion = office.journal(
        "untold",
        ENDED,
        e.RollbackBegan(code="by_hand", sentence="oscar took it back"),
        e.ShareCommitted(stage="roll_back", share_percent=0, commit="f" * 40),
        e.Ended(outcome="rolled_back", sentence="v38 is at 0 %", left_undone=(left,)),
    )
    said = " ".join(office("status", promotion).out.split())
    assert f"the change desk was not told of it: `lockgate retry {promotion}` tells it" in said
    ran = office("retry", promotion)
    assert ran.code == 5, ran.err
    assert office.written(promotion)[-1].kind == "ended"
    assert office("history", "untold", "--json").json["promotions"][0]["promotion"] == promotion


def test_status_says_since_when_a_freeze_keeps_a_promotion(office: Office) -> None:
    """As its driver wrote down; reading it writes nothing."""
    began = e.FreezeBegan(stage="shift-10", sentence="frozen until it is lifted: year end")
    promotion = office.journal("iced", *plans.up_to_merge(), plans.done("shift-0"), began)
    rules = {
        **yaml.safe_load(office.platform),
        "freezes": [{"reason": "year end", "from": "2026-01-01T00:00:00Z"}],
    }
    office.commit({"platform.yaml": yaml.safe_dump(rules)}, "year end")
    try:
        said = " ".join(office("status", promotion).out.split())
        assert "frozen until it is lifted: year end; since 2026-03-14 09:00:" in said
        data = office("status", promotion, "--json").json["promotions"][0]
        assert data["frozen_since"].startswith("2026-03-14T09:00:")
    finally:
        office.commit({"platform.yaml": office.platform}, "over")
    assert office.written(promotion)[-1] == began


def test_status_where_the_rules_cannot_be_read(office: Office) -> None:
    """A platform.yaml that is broken on main freezes everything, and that is what status says."""
    promotion = office.journal("ruled", *plans.up_to_merge(), plans.done("shift-0"))
    office.commit({"platform.yaml": "tiers: ["}, "oops")
    try:
        assert "platform.yaml on main cannot be read, so nothing rises" in office("status", promotion).out
        assert "correct it: `lockgate lint` names each" in office("doctor").out
    finally:
        office.commit({"platform.yaml": office.platform}, "corrected")
    assert Status.PASS.name in json.dumps(office("status", promotion, "--json").json)
