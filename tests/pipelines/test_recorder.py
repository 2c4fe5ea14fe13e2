"""The recorder: appends on top of what it read, gives way to another driver, writes no secret.

Left out: the store in git (test_git_journals).
"""

from __future__ import annotations

from datetime import datetime

import pytest

from pipelines.config import Secrets
from pipelines.errors import JournalBroken, JournalMoved
from pipelines.journal import events as e
from pipelines.steps.recorder import Recorder
from tests import plans
from tests.plans import PROMOTION, T0, done


class Memory:
    """A store of journals in memory, with the one rule that counts: an append says what it follows."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def promotions(self) -> tuple[str, ...]:
        return tuple(self.texts)

    def read(self, promotion: str) -> str:
        return self.texts.get(promotion, "")

    def append(self, promotion: str, lines: str, *, expected: str) -> None:
        if self.read(promotion) != expected:
            raise JournalMoved(promotion)
        self.texts[promotion] = expected + lines


class Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        return T0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a recorder does not sleep")


@pytest.fixture
def store() -> Memory:
    """A store with one promotion begun."""
    store = Memory()
    Recorder(store, Noon(), PROMOTION, "person:dana").add(plans.started(plans.canary()))
    return store


def recorder(store: Memory, by: str = "engine:here:1", **settings: object) -> Recorder:
    """A recorder that has read what is there."""
    made = Recorder(store, Noon(), PROMOTION, by, **settings)  # type: ignore[arg-type]
    made.read()
    return made


def test_what_is_added_is_in_the_state_and_in_the_store(store: Memory) -> None:
    """The state that comes back is the one another reader folds."""
    state = recorder(store).add(plans.PROPOSED, done("propose"))

    assert "propose" in state.done
    assert state == recorder(store).read()
    assert "dana" == state.started.requested_by


def test_no_promotion_is_no_state() -> None:
    """Nothing there, nothing folded."""
    assert recorder(Memory()).read() is None


def test_a_persons_line_in_between_is_read_and_followed(store: Memory) -> None:
    """A driver and a person do not lose each other's lines."""
    driver = recorder(store)
    recorder(store, "person:oscar").add(e.Held(person="oscar", reason="incident"))

    state = driver.add(done("propose"))

    assert state.held is not None
    assert "propose" in state.done


def test_another_drivers_line_in_between_stops_this_one(store: Memory) -> None:
    """Two drivers of one promotion: the one that comes second writes nothing and says why."""
    first, second = recorder(store), recorder(store, "engine:there:2")
    first.add(done("propose"))
    before = store.read(PROMOTION)

    with pytest.raises(JournalMoved, match=r"another driver is moving this promotion"):
        second.add(done("propose"))
    assert before == store.read(PROMOTION)
    with pytest.raises(JournalMoved):
        second.read()


def test_a_driver_that_starts_later_goes_on_where_another_died(store: Memory) -> None:
    """What stands there when it first reads is the past, whoever wrote it."""
    recorder(store).add(done("propose"))

    state = recorder(store, "engine:there:2").add(done("preview"))

    assert {"propose", "preview"} == set(state.done)


def test_a_store_that_never_settles_is_given_up(store: Memory) -> None:
    """After some tries somebody else is moving it, whoever that is."""
    restless = recorder(store)
    store.append = lambda promotion, lines, *, expected: (_ for _ in ()).throw(JournalMoved(promotion))  # type: ignore[method-assign]

    with pytest.raises(JournalMoved):
        restless.add(done("propose"))


def test_a_changed_journal_is_not_added_to(store: Memory) -> None:
    """Its first wrong line is named instead."""
    store.texts[PROMOTION] = store.texts[PROMOTION].replace("dana", "eve!")

    with pytest.raises(JournalBroken, match=r"line 1"):
        recorder(store)


def test_no_secret_is_written(store: Memory) -> None:
    """A system that repeats our password in its error does not get it into the journal."""
    secrets = Secrets({"PASSWORD": "open-sesame-42"})
    secrets.value("env:PASSWORD")
    waited = e.Waited(
        stage="approve", reason="r", sentence="401 for open-sesame-42", unknown=True, retry_after_seconds=1.0
    )
    verdict = plans.judged("slo", "judge", plans.Status.UNKNOWN)
    verdict.verdict["evidence"]["facts"]["said"] = ["open-sesame-42"]  # type: ignore[index]

    recorder(store, mask=secrets.mask).add(waited, verdict)

    assert "open-sesame-42" not in store.read(PROMOTION)
    assert store.read(PROMOTION).count("********") == 2
