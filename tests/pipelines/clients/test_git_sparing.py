"""What the git client spares itself, counted, and that nothing old is ever told because of it.

Covered: processes and questions to the remote for each use; branches moved, deleted or made by others after
they were last seen; a clone that another process made anew. Over the wire, with the real git.
Left out: what is read and written (test_git, test_git_journals).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.clients.git import GitJournals, GitRepository
from pipelines.errors import JournalMoved
from pipelines.rehearsal.forge import Forge
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.server import Fault
from tests.forges import ANN, PROMOTION, clone, length, line, push, running, template

Processes = Callable[[], list[str]]
TRAILERS = {"Lockgate-Promotion": "p-1", "Lockgate-Stage": "shift-10"}
LIST = ["GET info/refs", "POST git-upload-pack"]
FETCH = [*LIST, "POST git-upload-pack"]
PUSH = ["GET info/refs", "POST git-receive-pack"]


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
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Gives the git commands that this process, or the forge in it, started since it was asked last."""
    real, log = shutil.which("git"), tmp_path / "commands"
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$1" >> {log}\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    log.touch()

    def started() -> list[str]:
        commands = [name for name in log.read_text().split() if name != "http-backend"]
        log.write_text("")
        return commands

    return started


def asked(forge: Forge) -> list[str]:
    """What the forge was asked over git since this was called last."""
    seen = [f"{method} {path.partition('.git/')[2]}" for method, path in forge.requests if ".git/" in path]
    forge.requests.clear()
    return seen


# ------------------------------------------------------------------------- what is spared


def test_a_line_of_a_journal_is_two_processes_and_one_push(
    git: GitRepository, forge: Forge, processes: Processes
) -> None:
    """Nothing is fetched first: the push says by itself whether somebody was there before."""
    journals = GitJournals(git)
    journals.append(PROMOTION, line(1), expected="")
    processes(), asked(forge)
    for n in (2, 3):
        journals.append(PROMOTION, "".join(map(line, [n])), expected="".join(map(line, range(1, n))))
        assert processes() == ["fast-import", "push"]
        assert asked(forge) == PUSH


def test_a_journal_that_nobody_else_wrote_to_is_read_by_one_question(
    git: GitRepository, forge: Forge, processes: Processes
) -> None:
    journals = GitJournals(git)
    journals.append(PROMOTION, line(1), expected="")
    processes(), asked(forge)
    assert journals.read(PROMOTION) == line(1)
    assert (processes(), asked(forge)) == (["ls-remote"], LIST)


def test_a_branch_that_stands_still_is_not_fetched_again(
    git: GitRepository, forge: Forge, processes: Processes
) -> None:
    """The same files are not even read again."""
    git.files("", "main")
    processes(), asked(forge)
    for _ in range(2):
        assert git.files("", "main") == {"platform.yaml": "tiers: {}\n"}
        assert (processes(), asked(forge)) == (["ls-remote"], LIST)


def test_whoever_takes_a_reading_for_good_a_while_asks_once_for_all(
    forge: Forge, tmp_path: Path, other: GitRepository, processes: Processes
) -> None:
    """Old by that much, never by more; what others wrote is met in writing, and read from then on."""
    sweeping = clone(forge, tmp_path / "sweeping", good_for_seconds=60.0)
    assert sweeping.read("a", "main") is None
    push(other, "main", {"a": "1\n"})
    processes(), asked(forge)
    assert sweeping.read("a", "main") is None
    assert (processes(), asked(forge)) == ([], [])

    push(sweeping, "main", {"b": "2\n"})
    assert other.files("", "main") == {"platform.yaml": "tiers: {}\n", "a": "1\n", "b": "2\n"}
    assert sweeping.read("a", "main") == "1\n"

    short = clone(forge, tmp_path / "short", good_for_seconds=0.2)
    short.read("a", "main")
    push(other, "main", {"a": "3\n"})
    wait_until("the reading is too old", lambda: short.read("a", "main") == "3\n", seconds=5)


def test_a_journal_that_moved_behind_a_reading_is_not_written_over(
    forge: Forge, tmp_path: Path, other: GitRepository
) -> None:
    GitJournals(other).append(PROMOTION, line(1), expected="")
    journals = GitJournals(clone(forge, tmp_path / "sweeping", good_for_seconds=60.0))
    assert journals.read(PROMOTION) == line(1)
    GitJournals(other).append(PROMOTION, line(2), expected=line(1))

    assert journals.read(PROMOTION) == line(1)
    with pytest.raises(JournalMoved):
        journals.append(PROMOTION, line(3), expected=line(1))
    assert journals.read(PROMOTION) == line(1) + line(2)


def test_a_commit_that_is_at_hand_asks_nobody(git: GitRepository, forge: Forge, processes: Processes) -> None:
    at = push(git, "main", {"a": "1\n"})
    processes(), asked(forge)
    assert git.read("a", at) == "1\n"
    assert processes() == ["ls-tree", "cat-file"]
    assert git.read("a", at) == "1\n"
    assert (processes(), asked(forge)) == ([], [])


def test_any_number_of_files_is_read_and_written_by_as_many_processes_as_one(
    git: GitRepository, processes: Processes
) -> None:
    git.head("main")
    many = {f"clusters/{n}.yaml": f"{n}\n" for n in range(200)}
    push(git, "main", {"a": "1\n"})
    processes()
    at = push(git, "main", dict(many))
    assert processes() == ["fast-import", "push", "log"]
    assert git.files("clusters", at) == many
    assert processes() == ["ls-tree", "cat-file"]


def test_a_branch_that_others_keep_moving_is_fetched_without_a_list_first(
    git: GitRepository, other: GitRepository, forge: Forge
) -> None:
    """A list and a fetch are more than a fetch; once it stands still, it is listed again."""
    git.read("a", "main")
    costs = []
    for n in (1, 2, None, None):
        if n:
            push(other, "main", {"a": f"{n}\n"})
        asked(forge)
        git.read("a", "main")
        costs.append(asked(forge))
    assert costs == [LIST + FETCH, FETCH, LIST, LIST]


# ------------------------------------------------------------------- and nothing is old


def test_whatever_others_pushed_is_seen_by_every_question(git: GitRepository, other: GitRepository) -> None:
    """However often the same was asked before."""
    mine, theirs = GitJournals(git), GitJournals(other)
    text = ""
    for n in (1, 2, 3):
        made = other.commit("main", {"a": f"{n}\n"}, subject="s", body="", trailers=TRAILERS)
        theirs.append(PROMOTION, line(n), expected=text)
        text += line(n)
        assert git.head("main") == made.sha
        assert git.find("main", TRAILERS) == made
        assert git.log("main", "a")[0] == made
        assert (git.read("a", "main"), git.files("", "main")["a"]) == (f"{n}\n", f"{n}\n")
        assert (mine.read(PROMOTION), mine.promotions(), mine.read(PROMOTION)) == (text, (PROMOTION,), text)


def test_a_commit_follows_what_others_pushed_since_the_branch_was_seen(
    git: GitRepository, other: GitRepository
) -> None:
    push(git, "main", {"mine": "1\n"})
    push(other, "main", {"theirs": "1\n"})
    push(git, "main", {"mine": "2\n"})
    assert git.files("", "main") == {"mine": "2\n", "theirs": "1\n", "platform.yaml": "tiers: {}\n"}
    assert length(git) == 4


def test_what_others_wrote_already_is_not_written_again(git: GitRepository, other: GitRepository) -> None:
    """And what reads so only where the branch was seen last is."""
    push(git, "main", {"a": "1\n"})
    theirs = push(other, "main", {"a": "2\n"})
    assert push(git, "main", {"a": "2\n"}) == theirs
    push(other, "main", {"a": "3\n"})
    assert push(git, "main", {"a": "2\n"}) == git.head("main")
    assert git.read("a", "main") == "2\n"


def test_a_branch_deleted_by_others_begins_anew_from_its_base(
    git: GitRepository, other: GitRepository
) -> None:
    """A plain push would bring the old one back, with all that was thrown away."""
    push(git, "lockgate/p", {"thrown": "away\n"}, base="main")
    other.delete_branch("lockgate/p")
    base = push(other, "main", {"meanwhile": "1\n"})
    push(git, "lockgate/p", {"a": "1\n"}, base="main")
    assert git.files("", "lockgate/p").keys() == {"a", "meanwhile", "platform.yaml"}
    assert [commit.sha for commit in git.log("lockgate/p", "meanwhile")] == [base]


def test_journals_deleted_by_others_are_not_brought_back(git: GitRepository, other: GitRepository) -> None:
    journals = GitJournals(git)
    journals.append(PROMOTION, line(1), expected="")
    other.delete_branch("audit")
    with pytest.raises(JournalMoved):
        journals.append(PROMOTION, line(2), expected=line(1))
    assert (other.head("audit"), journals.read(PROMOTION)) == (None, "")


def test_an_append_to_what_only_others_saw_is_no_refusal(git: GitRepository, other: GitRepository) -> None:
    """Judged by what was seen here last, this text would be another's."""
    mine, theirs = GitJournals(git), GitJournals(other)
    mine.append(PROMOTION, line(1), expected="")
    theirs.append(PROMOTION, line(2), expected=line(1))
    mine.append(PROMOTION, line(3), expected=line(1) + line(2))
    assert theirs.read(PROMOTION) == line(1) + line(2) + line(3)


def test_an_append_that_was_lost_after_others_moved_on_is_found(
    git: GitRepository, other: GitRepository, forge: Forge
) -> None:
    """Our push arrived, its answer did not, and another promotion's line stands on ours."""
    mine = GitJournals(git)
    mine.append(PROMOTION, line(1), expected="")
    forge.arm(Fault("POST", "git-receive-pack$", "after"))
    mine.append(PROMOTION, line(2), expected=line(1))
    GitJournals(other).append("other-prod", "x\n", expected="")
    mine.append(PROMOTION, line(2), expected=line(1))
    assert (mine.read(PROMOTION), length(git, "audit")) == (line(1) + line(2), 3)


@pytest.mark.parametrize("writes", [True, False])
def test_a_clone_that_another_process_made_anew_is_taken_as_it_is(
    git: GitRepository, forge: Forge, tmp_path: Path, *, writes: bool
) -> None:
    """What was in the old one is fetched; the new one is not thrown away for lacking it."""
    at = push(git, "main", {"a": "1\n"})
    git.read("a", "main")
    folder = tmp_path / "clone" / "clone.git"
    shutil.rmtree(folder)
    clone(forge, tmp_path / "clone").head("main")
    born = (folder / "HEAD").stat().st_mtime_ns
    if writes:
        push(git, "main", {"b": "1\n"})
    assert git.read("platform.yaml", at) == "tiers: {}\n"
    assert git.read("a", "main") == "1\n"
    assert (folder / "HEAD").stat().st_mtime_ns == born


def test_what_a_killed_writer_left_is_not_in_the_way(git: GitRepository, tmp_path: Path) -> None:
    """Half a commit and a lock: the clone is made anew."""
    push(git, "main", {"a": "1\n"})
    folder = tmp_path / "clone" / "clone.git"
    (folder / "refs" / "made" / "draft.lock").touch()
    (folder / "objects" / "pack" / "tmp_pack_x").write_bytes(b"PACK")
    made = push(git, "main", {"a": "2\n"})
    assert (git.head("main"), git.read("a", made), length(git)) == (made, "2\n", 3)
    assert not (folder / "objects" / "pack" / "tmp_pack_x").exists()


# ------------------------------------------------------------------ commits in one process


def test_a_file_may_take_a_folders_place_and_the_last_one_may_go(git: GitRepository) -> None:
    push(git, "main", {"a/b": "1\n"})
    push(git, "main", {"a/b": None, "a": "2\n"})
    assert git.files("", "main") == {"a": "2\n", "platform.yaml": "tiers: {}\n"}
    push(git, "main", {"a": None, "platform.yaml": None})
    assert git.files("", "main") == {}


def test_an_author_by_an_odd_name_is_written_as_one(forge: Forge, tmp_path: Path) -> None:
    """Not as a mail address, and not as a command of the stream that git is told."""
    git = clone(forge, tmp_path / "x", author_name="Ann <root@x> 1 +0000", author_email="a>b")
    made = git.commit("main", {"a": "1\n"}, subject="s", body="", trailers={})
    assert made.author == "Ann root@x 1 +0000 <ab>"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(
    files=st.dictionaries(
        st.text(st.sampled_from('ab"\\ :$*{}\u00e4#~'), min_size=1, max_size=6)
        .map(lambda name: f"x{name.replace(chr(92), '')}y"),
        st.one_of(TEXT, st.just('done\n\nD "platform.yaml"\nreset refs/heads/main\n')),
        min_size=1,
        max_size=3,
    ),
    body=st.one_of(TEXT, st.just("M 100644 inline evil\ndata 1\nx\ndone")),
)  # fmt: skip
def test_names_and_texts_are_written_as_they_are(
    git: GitRepository, files: Mapping[str, str], body: str
) -> None:
    """Nothing in them is a word of the stream in which git is told what to commit."""
    made = git.commit("odd", files, subject="s", body=body, trailers=TRAILERS, base="main")
    there = git.files("", made.sha)
    assert {path: there[path] for path in files} == dict(files)
    assert there["platform.yaml"] == "tiers: {}\n"
    assert "evil" not in there
    assert Counter(made.trailers) == Counter(TRAILERS)
