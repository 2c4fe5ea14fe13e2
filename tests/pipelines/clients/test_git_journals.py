"""Journals on a branch of their own, against the rehearsal's forge, over the wire.

Covered: appending, listing, writers that meet, lost answers, outages, odd names, spoilt files.
Left out: what the lines say (test_journal.py); the transport (test_git.py).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.clients.git import GitJournals, GitRepository
from pipelines.errors import JournalMoved, Misbehaved, Refused, Unreachable
from pipelines.ports import JournalStore
from pipelines.rehearsal.forge import Forge
from pipelines.rehearsal.server import Fault
from tests.forges import ANN, PROMOTION, blob, clone, length, line, push, running, template

PUSH = "git-receive-pack$"


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("seed"))


@pytest.fixture
def forge(seed: Path, tmp_path: Path) -> Iterator[Forge]:
    shutil.copytree(seed, tmp_path, dirs_exist_ok=True)
    with running(tmp_path / "forge") as started:
        yield started


@pytest.fixture
def git(forge: Forge, tmp_path: Path) -> GitRepository:
    return clone(forge, tmp_path / "clone")


@pytest.fixture
def other(forge: Forge, tmp_path: Path) -> GitRepository:
    """The same repository seen from another machine."""
    return clone(forge, tmp_path / "other", ANN)


@pytest.fixture
def journals(git: GitRepository) -> GitJournals:
    return GitJournals(git)


def test_a_journal_grows_by_whole_lines(journals: JournalStore, git: GitRepository) -> None:
    """The first line makes the branch, with a history of its own, and a file under the model's name."""
    assert (journals.promotions(), journals.read(PROMOTION)) == ((), "")
    journals.append(PROMOTION, line(1), expected="")
    journals.append(PROMOTION, line(2) + line(3), expected=line(1))
    assert journals.read(PROMOTION) == line(1) + line(2) + line(3)
    assert list(git.files("", "audit")) == [f"fraud-scorer/{PROMOTION}.jsonl"]
    assert length(git, "audit") == 2
    for torn in ("half", "a\nhalf"):
        with pytest.raises(ValueError, match="whole lines"):
            journals.append(PROMOTION, torn, expected="")


def test_promotions_are_listed_oldest_first(journals: JournalStore) -> None:
    """By the time in their ids, whatever the model's name."""
    ids = ["zeta-prod-20260101T000000Z-aa", "alpha-prod-20270101T000000Z-bb", "mid-prod-20260601T000000Z-cc"]
    for one in ids:
        journals.append(one, "first line without a model\n", expected="")
    assert journals.promotions() == (ids[0], ids[2], ids[1])


def test_a_journal_that_moved_is_not_written(
    journals: JournalStore, other: GitRepository, git: GitRepository
) -> None:
    journals.append(PROMOTION, line(1), expected="")
    GitJournals(other).append(PROMOTION, line(2), expected=line(1))
    for stale in ("", line(1), line(9)):
        with pytest.raises(JournalMoved):
            journals.append(PROMOTION, line(3), expected=stale)
    assert journals.read(PROMOTION) == line(1) + line(2)


def test_of_two_writers_of_one_journal_exactly_one_wins(forge: Forge, tmp_path: Path) -> None:
    """Every round, on two machines at once; the loser is told and nothing of it is written."""
    stores = [GitJournals(clone(forge, tmp_path / f"j{n}")) for n in range(2)]
    text = ""
    for turn in range(4):
        gate = threading.Barrier(2)

        def attempt(n: int, turn: int = turn, text: str = text, gate: threading.Barrier = gate) -> bool:
            gate.wait(10)
            try:
                stores[n].append(PROMOTION, f'{{"turn":{turn},"by":{n}}}\n', expected=text)
            except JournalMoved:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(attempt, range(2)))
        assert sorted(won) == [False, True]
        text += f'{{"turn":{turn},"by":{won.index(True)}}}\n'
        assert stores[turn % 2].read(PROMOTION) == text


def test_of_many_who_begin_at_the_same_instant_exactly_one_does(forge: Forge, tmp_path: Path) -> None:
    """None knew of another; those who lost are told, and find the one that is there."""
    stores = [GitJournals(clone(forge, tmp_path / f"j{n}")) for n in range(6)]
    gate = threading.Barrier(len(stores))

    def begin(n: int) -> bool:
        known = stores[n].promotions()
        gate.wait(30)
        try:
            stores[n].begin(f"m-prod-20260101T00000{n}Z-{n:04x}", line(1, "m"), beside=known)
        except JournalMoved:
            return False
        return True

    with ThreadPoolExecutor(len(stores)) as pool:
        won = list(pool.map(begin, range(len(stores))))
    assert sum(won) == 1
    n = won.index(True)
    assert {store.promotions() for store in stores} == {(f"m-prod-20260101T00000{n}Z-{n:04x}",)}


def test_a_journal_is_begun_beside_those_that_are_known_and_those_of_other_kinds(
    journals: GitJournals, other: GitRepository
) -> None:
    """Of another model, of another environment; one of its own kind that is not known stops it."""
    kin, own = PROMOTION.replace("7f3a", "0001"), PROMOTION
    for one in (PROMOTION.replace("prod", "staging"), PROMOTION.replace("scorer", "scorer-2"), kin):
        GitJournals(other).append(one, line(1), expected="")
    with pytest.raises(JournalMoved):
        journals.begin(own, line(1), beside=())
    journals.begin(own, line(1), beside=(kin,))
    with pytest.raises(JournalMoved):
        journals.begin(own, line(2), beside=(kin, own))
    assert journals.read(own) == line(1)


def test_journals_of_other_promotions_do_not_disturb(forge: Forge, tmp_path: Path) -> None:
    """Four promotions append at once; each wins, since nobody wrote to its file."""
    stores = [GitJournals(clone(forge, tmp_path / f"j{n}")) for n in range(4)]

    def work(n: int) -> None:
        for turn in range(3):
            stores[n].append(f"m{n}-prod", "x\n", expected="x\n" * turn)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert [stores[0].read(f"m{n}-prod") for n in range(4)] == ["x\n" * 3] * 4


def test_a_lost_answer_to_an_append_is_success(
    journals: JournalStore, forge: Forge, git: GitRepository
) -> None:
    """Found at once by the same call, or by the next one after a crash."""
    forge.arm(Fault("POST", PUSH, "after"))
    journals.append(PROMOTION, line(1), expected="")
    journals.append(PROMOTION, line(1), expected="")
    assert journals.read(PROMOTION) == line(1)
    assert length(git, "audit") == 1


def test_a_listing_serves_one_reading_each(journals: GitJournals, other: GitRepository, forge: Forge) -> None:
    """200 journals are read for the price of one question; the second read of each asks again."""
    content = forge.world.content
    blob_id = blob(forge, line(1).encode())
    rows = "".join(f"100644 blob {blob_id}\tm-prod-20260101T000000Z-{n:04x}.jsonl\0" for n in range(200))
    folder = content.git("mktree", "-z", text=rows)
    tree = content.git("mktree", "-z", text=f"040000 tree {folder}\tm\0")
    content.move("audit", content.commit(tree, [], "many", "ann"), None)
    forge.requests.clear()
    began = time.monotonic()
    texts = {one: journals.read(one) for one in journals.promotions()}
    assert time.monotonic() - began < 2
    assert (len(texts), set(texts.values())) == (200, {line(1)})
    assert len(forge.requests) <= 5
    first = min(texts)
    GitJournals(other).append(first, line(2), expected=line(1))
    assert journals.read(first) == line(1) + line(2)


def test_an_append_by_ourselves_is_seen_after_a_listing(journals: GitJournals) -> None:
    journals.append(PROMOTION, line(1), expected="")
    journals.promotions()
    journals.append(PROMOTION, line(2), expected=line(1))
    assert journals.read(PROMOTION) == line(1) + line(2)


def test_two_files_of_one_promotion_are_told(journals: GitJournals, git: GitRepository) -> None:
    push(git, "audit", {f"a/{PROMOTION}.jsonl": "1\n", f"b/{PROMOTION}.jsonl": "2\n"})
    with pytest.raises(Misbehaved, match="several journals"):
        journals.read(PROMOTION)


def test_a_spoilt_byte_is_left_for_the_chain_to_find(journals: GitJournals, forge: Forge) -> None:
    content = forge.world.content
    folder = content.git(
        "mktree", "-z", text=f"100644 blob {blob(forge, bytes([120, 255, 10]))}\t{PROMOTION}.jsonl\0"
    )
    tree = content.git("mktree", "-z", text=f"040000 tree {folder}\tm\0")
    content.move("audit", content.commit(tree, [], "spoilt", "ann"), None)
    assert journals.read(PROMOTION) == "x\ufffd\n"


@pytest.mark.parametrize("name", ["", "../x", "-x", "a/b", "a\nb", "A..b", "x y"])
def test_a_promotion_by_an_odd_name_is_refused(journals: GitJournals, name: str) -> None:
    with pytest.raises(Refused, match="id of a promotion"):
        journals.read(name)
    with pytest.raises(Refused, match="id of a promotion"):
        journals.append(name, "x\n", expected="")


@pytest.mark.parametrize("model", ["../../etc", "", "a/b", "-x", 7])
def test_a_model_by_an_odd_name_makes_no_odd_folder(
    journals: GitJournals, git: GitRepository, model: object
) -> None:
    journals.append(PROMOTION, line(1, str(model)), expected="")
    assert list(git.files("", "audit")) in ([f"fraud-scorer/{PROMOTION}.jsonl"], [f"7/{PROMOTION}.jsonl"])


def test_an_outage_is_no_empty_journal(journals: GitJournals, forge: Forge) -> None:
    """Neither reading nor listing takes silence for "nothing was ever promoted"."""
    journals.append(PROMOTION, line(1), expected="")
    forge.arm(Fault("GET", "info/refs", status=503, times=9))
    for action in (
        journals.promotions,
        lambda: journals.read(PROMOTION),
        lambda: journals.append(PROMOTION, line(2), expected=line(1)),
    ):
        with pytest.raises(Unreachable):
            action()
