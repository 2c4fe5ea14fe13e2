"""The git client against the rehearsal's forge, over the wire, with the real git.

Covered: reading, writing, trailers; writers that meet; lost answers; a clone that breaks or is shared;
hostile values; what failures mean; that the token stays out of sight.
Left out: ssh transport (needs a server), gpg signing (the ssh kind is shown).
"""

from __future__ import annotations

import base64
import contextlib
import multiprocessing
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clients.git import GitJournals, GitRepository
from pipelines.clients.git.command import checked_branch, checked_line, checked_path
from pipelines.clients.git.messages import message
from pipelines.errors import (
    AccessDenied,
    CouldNotTell,
    LockgateError,
    Misbehaved,
    NotYet,
    Refused,
    Unreachable,
)
from pipelines.ports import Repository
from pipelines.rehearsal.forge import Forge
from pipelines.rehearsal.server import Fault
from tests.forges import (
    ANN,
    BOT,
    BRANCH,
    PREFIX,
    PROMOTION,
    TOKENS,
    ask,
    blob,
    clone,
    length,
    line,
    opened,
    protect,
    push,
    running,
    template,
)

PUSH = "git-receive-pack$"
FETCH = "git-upload-pack"
TRAILERS = {"Lockgate-Promotion": "p-1", "Lockgate-Stage": "shift-10", "Lockgate-Share": "10"}


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


def write(git: Repository, changes: Mapping[str, str | None], **more: str) -> str:
    values = {"branch": "main", "subject": "Share 10 %", "body": "", **more}
    return git.commit(changes=changes, trailers=TRAILERS, **values).sha  # type: ignore[arg-type]


# ------------------------------------------------------------------ reading, writing


def test_a_commit_lands_on_the_remote(git: GitRepository, other: GitRepository) -> None:
    """Files, author, subject, trailers and time, read by somebody else; the rest of the tree is kept."""
    before = datetime.now(UTC) - timedelta(seconds=2)
    made = git.commit(
        "main", {"clusters/a.yaml": "a: ä\n", "b.yaml": "b\n"}, subject="Share 10 %", body="Why.\n\nMore.",
        trailers=TRAILERS,
    )  # fmt: skip
    assert other.head("main") == made.sha
    assert other.files("", "main") == {
        "platform.yaml": "tiers: {}\n",
        "clusters/a.yaml": "a: ä\n",
        "b.yaml": "b\n",
    }
    assert (made.subject, made.trailers) == ("Share 10 %", TRAILERS)
    assert made.author == "lockgate[bot] <lockgate@acme.example>"
    assert before <= made.at <= datetime.now(UTC)
    assert other.find("main", TRAILERS) == made


def test_a_file_is_deleted_and_deleting_again_changes_nothing(git: GitRepository) -> None:
    write(git, {"a.yaml": "1\n"})
    gone = write(git, {"a.yaml": None})
    assert git.read("a.yaml", "main") is None
    assert write(git, {"a.yaml": None}) == gone


def test_the_same_again_makes_no_empty_commit(git: GitRepository) -> None:
    """The newest commit touching these files is returned, even when the branch went on."""
    first = write(git, {"a.yaml": "1\n"})
    write(git, {"b.yaml": "2\n"})
    count = length(git)
    assert write(git, {"a.yaml": "1\n"}) == first
    assert write(git, {}) == git.head("main")
    assert length(git) == count


def test_reading_by_commit_and_by_branch(git: GitRepository, other: GitRepository) -> None:
    """A branch is read as it is now, a commit as it was; what is not there is None."""
    first = write(git, {"a.yaml": "1\n"})
    assert other.read("a.yaml", "main") == "1\n"
    second = write(git, {"a.yaml": "2\n"})
    assert [other.read("a.yaml", at) for at in (first, second, "main")] == ["1\n", "2\n", "2\n"]
    assert other.read("nothing.yaml", "main") is None
    assert other.read("a.yaml", "no-branch") is None
    assert other.files("clusters", "no-branch") == {}
    assert other.head("no-branch") is None
    assert other.read("clusters", BRANCH) is None
    assert list(other.files("clusters/prod", BRANCH)) == ["clusters/prod/risk/fraud-scorer/isvc.yaml"]


def test_a_commit_that_is_nowhere_is_told(git: GitRepository) -> None:
    with pytest.raises(Misbehaved, match="has no commit ffffffffff"):
        git.read("a.yaml", "f" * 40)
    with pytest.raises(Misbehaved, match="to start new from"):
        write(git, {"a": "1"}, branch="new", base="nowhere")


def test_bytes_that_are_no_text(git: GitRepository, forge: Forge) -> None:
    """Read as bytes; as text it is told, and a folder's texts leave it out."""
    content = forge.world.content
    tree = content.git("mktree", "-z", text=f"100644 blob {blob(forge, bytes([255, 0]))}\tx.bin\0")
    sha = content.commit(tree, [], "binary", "ann")
    content.move("binary", sha, None)
    assert git.read_bytes("x.bin", "binary") == b"\xff\x00"
    assert git.files("", "binary") == {}
    with pytest.raises(Misbehaved, match="not UTF-8"):
        git.read("x.bin", "binary")


def test_links_and_submodules_are_no_files(git: GitRepository, forge: Forge) -> None:
    """A link in the repository points nowhere on this machine."""
    content = forge.world.content
    rows = f"120000 blob {blob(forge, b'/etc/passwd')}\tlink\0160000 commit {git.head('main')}\tmodule\0"
    content.move("odd", content.commit(content.git("mktree", "-z", text=rows), [], "odd", "ann"), None)
    assert git.read("link", "odd") is None
    assert git.files("", "odd") == {}


def test_a_new_branch_starts_from_its_base(git: GitRepository, other: GitRepository) -> None:
    base = git.head("main")
    made = write(git, {"a.yaml": "1\n"}, branch="lockgate/p", base="main")
    assert other.head("lockgate/p") == made
    assert other.read("platform.yaml", "lockgate/p") == "tiers: {}\n"
    write(git, {"b.yaml": "2\n"}, branch="lockgate/q", base=str(base))
    assert length(git, "lockgate/q") == 2
    nothing = git.commit(
        "lockgate/r", {"platform.yaml": "tiers: {}\n"}, subject="s", body="", trailers={}, base="main"
    )
    assert (nothing.sha, git.head("lockgate/r")) == (base, None)


def test_branches_may_follow_one_another_in_name(git: GitRepository) -> None:
    """``a`` deleted and ``a/b`` made: names that cannot stand side by side as files."""
    push(git, "a", {"x": "1"}, base="main")
    assert git.read("x", "a") == "1"
    git.delete_branch("a")
    git.delete_branch("a")
    push(git, "a/b", {"x": "2"}, base="main")
    assert (git.read("x", "a/b"), git.read("x", "a")) == ("2", None)


def test_found_by_all_trailers_exactly(git: GitRepository) -> None:
    """A value that merely begins alike, stands in the body, or belongs to another key is not it."""
    wanted = write(git, {"a": "1"})
    git.commit(
        "main",
        {"a": "2"},
        subject="Lockgate-Share: 10",
        body="Lockgate-Share: 10",
        trailers={"Lockgate-Share": "100"},
    )
    git.commit("main", {"a": "3"}, subject="x", body="", trailers={"X-Lockgate-Share": "10"})
    assert found(git, {"Lockgate-Share": "10"}) == wanted
    assert found(git, {"Lockgate-Share": "10", "Lockgate-Stage": "shift-25"}) is None
    assert found(git, {"Lockgate-Share": "1"}) is None
    again = write(git, {"a": "4"})
    assert found(git, TRAILERS) == again
    assert git.find("nowhere", TRAILERS) is None


def found(git: Repository, trailers: Mapping[str, str]) -> str | None:
    commit = git.find("main", trailers)
    return commit.sha if commit else None


def test_history_of_a_merged_file_is_the_merge(git: GitRepository, forge: Forge) -> None:
    """What counts on main is the merge commit, whose tree has everybody else's newer files too."""
    push(git, "main", {"meanwhile.yaml": "1\n"})
    number = opened(forge)
    merged = ask(forge, "PUT", f"{PREFIX}/pulls/{number}/merge", {"merge_method": "merge"}).json()["sha"]
    path = "clusters/prod/risk/fraud-scorer/isvc.yaml"
    assert [commit.sha for commit in git.log("main", path)] == [merged]
    same = git.commit("main", {path: "share: 0\n"}, subject="s", body="", trailers={})
    assert same.sha == merged
    assert git.log("main", "never.yaml") == git.log("nowhere", path) == ()


# -------------------------------------------------------------------- writers that meet


def test_writers_of_different_models_all_land(forge: Forge, tmp_path: Path) -> None:
    """Five machines push to main at once: nobody is lost, nobody is doubled, nothing is forced."""
    clones = [clone(forge, tmp_path / f"m{n}") for n in range(5)]

    def work(n: int) -> list[str]:
        return [write(clones[n], {f"clusters/m{n}.yaml": f"{share}\n"}) for share in (10, 25)]

    with ThreadPoolExecutor(5) as pool:
        made = [sha for shas in pool.map(work, range(5)) for sha in shas]
    git = clones[0]
    assert git.files("clusters", "main") == {f"clusters/m{n}.yaml": "25\n" for n in range(5)}
    assert len(set(made)) == 10
    assert length(git) == 11


def _write_in_process(url: str, folder: str, n: int) -> None:
    git = GitRepository(url, folder=Path(folder), token=TOKENS[BOT], author_name="p", author_email="p@x")
    write(git, {f"clusters/p{n}.yaml": "1\n"})


def test_processes_share_one_clone(forge: Forge, git: GitRepository, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    folder = str(tmp_path / "clone")
    workers = [context.Process(target=_write_in_process, args=(forge.git_url, folder, n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert sorted(git.files("clusters", "main")) == [f"clusters/p{n}.yaml" for n in range(3)]


def test_a_push_that_meets_a_newer_head_keeps_both(
    git: GitRepository, other: GitRepository, forge: Forge
) -> None:
    """The branch moves between our look and our push, deterministically."""
    moved: list[str] = []

    def meanwhile() -> None:
        deadline = time.monotonic() + 30
        while not any(path.endswith("git-upload-pack") for _, path in forge.requests):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        moved.append(write(other, {"other.yaml": "1\n"}))

    forge.arm(Fault("GET", "service=git-receive-pack", delay_seconds=1.0, status=502))
    forge.requests.clear()
    thread = threading.Thread(target=meanwhile)
    thread.start()
    mine = write(git, {"mine.yaml": "1\n"})
    thread.join()
    assert {"other.yaml", "mine.yaml"} <= set(git.files("", "main"))
    assert length(git) == 3
    assert {mine, moved[0]} <= {
        commit.sha for path in ("mine.yaml", "other.yaml") for commit in git.log("main", path)
    }


def test_a_branch_that_is_always_busy_is_not_yet(git: GitRepository, forge: Forge) -> None:
    """Ten refusals in a row end in "not yet", and nothing was written."""
    main = git.head("main")
    (forge.world.content.path / "refs" / "heads" / "main.lock").touch()
    with pytest.raises(NotYet, match="moved by others all the time"):
        write(git, {"a": "1"})
    assert git.head("main") == main


# ----------------------------------------------------------------------- lost answers


def test_a_push_whose_answer_was_lost_is_not_doubled(git: GitRepository, forge: Forge) -> None:
    """The commit is found on the branch and returned."""
    count = length(git)
    forge.arm(Fault("POST", PUSH, "after"))
    made = write(git, {"a": "1"})
    assert (git.head("main"), length(git)) == (made, count + 1)


def test_a_lost_push_is_found_below_other_commits(
    git: GitRepository, other: GitRepository, forge: Forge
) -> None:
    """Others went on from ours before we looked."""
    count = length(git)
    forge.arm(Fault("POST", PUSH, "after", delay_seconds=1.0))
    start = git.head("main")

    def meanwhile() -> None:
        deadline = time.monotonic() + 30
        while other.head("main") == start and time.monotonic() < deadline:
            time.sleep(0.01)
        write(other, {"other": "1"})

    thread = threading.Thread(target=meanwhile)
    thread.start()
    made = write(git, {"a": "1"})
    thread.join()
    assert length(git) == count + 2
    assert [commit.sha for commit in git.log("main", "a")] == [made]


def test_a_push_that_never_arrived_is_sent_again(git: GitRepository, forge: Forge) -> None:
    count = length(git)
    forge.arm(Fault("POST", PUSH, "before", times=2))
    write(git, {"a": "1"})
    assert length(git) == count + 1


def test_a_push_that_never_arrives_is_unreachable(git: GitRepository, forge: Forge) -> None:
    """After three tries; the branch is as it was."""
    main = git.head("main")
    forge.arm(Fault("POST", PUSH, "before", times=9))
    with pytest.raises(Unreachable):
        write(git, {"a": "1"})
    assert git.head("main") == main


def test_a_slow_push_past_the_time_out_is_found(forge: Forge, tmp_path: Path) -> None:
    git = clone(forge, tmp_path / "hasty", timeout_seconds=2)
    git.head("main")
    forge.arm(Fault("POST", PUSH, "after", delay_seconds=3.0))
    made = write(git, {"a": "1"})
    assert git.head("main") == made


def test_a_deletion_whose_answer_was_lost_is_done(git: GitRepository, forge: Forge) -> None:
    forge.arm(Fault("POST", PUSH, "after"))
    git.delete_branch(BRANCH)
    assert git.head(BRANCH) is None


# ------------------------------------------------------------------------- the clone


@pytest.mark.parametrize("harm", ["objects", "head", "garbage", "lock", "gone", "blob"])
def test_a_broken_clone_is_made_anew(git: GitRepository, tmp_path: Path, harm: str) -> None:
    """Everything in it can be fetched again, so it is never repaired and never in the way."""
    made = write(git, {"a": "1"})
    folder = tmp_path / "clone" / "clone.git"
    if harm == "objects":
        for file in (folder / "objects").rglob("*"):
            if file.is_file():
                file.chmod(0o600)
                file.write_bytes(b"broken")
    elif harm == "blob":
        oid = git.git.text("rev-parse", f"{made}:a")
        (folder / "objects" / oid[:2] / oid[2:]).unlink()
    elif harm == "head":
        (folder / "HEAD").unlink()
    elif harm == "garbage":
        (folder / "config").write_text("[[[")
    elif harm == "lock":
        for ref in (folder / "refs" / "seen").iterdir():
            ref.with_suffix(".lock").touch()
        write(clone_of(git, tmp_path), {"b": "1"})
    else:
        shutil.rmtree(folder)
    assert git.read("a", made) == "1"
    assert git.read("platform.yaml", "main") == "tiers: {}\n"
    assert write(git, {"c": "1"}) == git.head("main")


def clone_of(git: GitRepository, tmp_path: Path) -> GitRepository:
    return GitRepository(
        git.git.url, folder=tmp_path / "third", token=TOKENS[BOT], author_name="x", author_email="x@y"
    )


def test_a_clone_held_by_another_is_waited_for_and_then_told(forge: Forge, tmp_path: Path) -> None:
    import fcntl

    git = clone(forge, tmp_path / "held", timeout_seconds=0.3)
    (tmp_path / "held").mkdir()
    with (tmp_path / "held" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unreachable, match="another process held the clone"):
            git.head("main")


def test_a_folder_that_vanished_is_made_again(git: GitRepository, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "clone")
    assert git.read("platform.yaml", "main") == "tiers: {}\n"


def test_a_machine_without_git_is_told(git: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Misbehaved, match="git is not installed"):
        git.head("main")


def test_commits_are_signed_when_a_key_is_given(forge: Forge, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    git = clone(forge, tmp_path / "signing", signing_key=str(key))
    made = write(git, {"a": "1"})
    raw = forge.world.content.git("cat-file", "commit", made)
    assert "-----BEGIN SSH SIGNATURE-----" in raw


def test_settings_of_the_machine_do_not_reach_git(
    git: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's hooks, rewrites or identity must not decide what a promotion commits."""
    settings = tmp_path / "gitconfig"
    settings.write_text('[url "http://127.0.0.1:1/"]\n  insteadOf = http://\n[user]\n  name = Mallory\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Mallory")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    made = git.commit("main", {"a": "1"}, subject="s", body="", trailers={})
    assert made.author.startswith("lockgate[bot] ")


# --------------------------------------------------------------------- hostile values

BAD_NAMES = [
    "", "-x", "--upload-pack=touch /tmp/pwned", "../x", "a/../b", "a\nb", "a\x00b", "a b", "$(id)", "`id`",
    "a..b", "/a", "a/", "a//b", "a.lock", "a@{1}", "a\\b", "refs/heads/a:b", "*", "a~1", "é", "a/./b", ".a",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_branch_that_is_more_than_a_name_is_refused(git: GitRepository, forge: Forge, name: str) -> None:
    forge.requests.clear()
    actions: list[Callable[[], object]] = [
        lambda: git.head(name),
        lambda: git.read("a", name),
        lambda: git.delete_branch(name),
        lambda: write(git, {"a": "1"}, branch=name),
        lambda: write(git, {"a": "1"}, branch="new", base=name or "-"),
        lambda: GitJournals(git, name),
    ]
    for action in actions:
        with pytest.raises(Refused, match="cannot be a branch"):
            action()
    assert [seen for seen in forge.requests if seen[0] == "POST" and "receive" in seen[1]] == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "-x",
        "--help",
        "../x",
        "a/../../b",
        "/etc/passwd",
        "a\nb",
        "a\x00",
        ".git/config",
        "a/.GIT/x",
        "a//b",
        "a\\b",
        "./a",
        "a/.",
    ],
)
def test_a_path_that_leaves_the_repository_is_refused(git: GitRepository, forge: Forge, path: str) -> None:
    forge.requests.clear()
    for action in (
        lambda: git.read(path, "main"),
        lambda: git.log("main", path),
        lambda: write(git, {path: "1"}),
    ):
        with pytest.raises(Refused, match="cannot be a path"):
            action()
    assert forge.requests == []


@pytest.mark.parametrize(
    "path", ["$(id).yaml", "a b/c.yaml", ":(top)x", "*.yaml", "{{ x }}", "é.yaml", "x;rm -rf"]
)
def test_a_path_that_is_odd_but_a_path_is_data(git: GitRepository, path: str) -> None:
    write(git, {path: "1\n"})
    assert git.read(path, "main") == "1\n"
    assert len(git.log("main", path)) == 1
    assert path in git.files("", "main")


@pytest.mark.parametrize("value", ["a\nLockgate-Share: 100", "a\rb", "a\x00", "a\u2028b", "\x1b[31m"])
def test_a_value_with_a_line_break_is_refused(git: GitRepository, value: str) -> None:
    with pytest.raises(Refused, match="one line"):
        git.commit("main", {"a": "1"}, subject="s", body="", trailers={"Lockgate-Promotion": value})
    with pytest.raises(Refused, match="one line"):
        git.commit("main", {"a": "1"}, subject=value, body="", trailers={})
    with pytest.raises(Refused, match="one line"):
        git.find("main", {"Lockgate-Promotion": value})


@pytest.mark.parametrize("key", ["", "a b", "-x", "a:b", "a\n", "é"])
def test_a_trailer_by_another_name_is_refused(key: str) -> None:
    with pytest.raises(Refused, match="name of a trailer"):
        message("s", "", {key: "v"})


def test_a_commit_needs_a_subject() -> None:
    with pytest.raises(Refused, match="needs a subject"):
        message("  ", "", {})


@given(body=st.text(), value=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1))
def test_a_body_never_adds_a_trailer(body: str, value: str) -> None:
    """Git reads trailers from the last paragraph, and that one is ours."""
    text = message("subject", f"{body}\n\nLockgate-Share: 100", {"Lockgate-Share": value, "X": "y"}).decode(
        errors="replace"
    )
    last = text.rstrip("\n").split("\n\n")[-1].split("\n")
    assert last == [
        line for line in (f"Lockgate-Share: {value.strip()}" if value.strip() else "", "X: y") if line
    ]


@given(st.text())
def test_names_are_refused_or_harmless(text: str) -> None:
    """Nothing that passes could be an option, leave its folder, or break a line."""
    for check in (checked_branch, checked_path):
        try:
            passed = check(text)
        except Refused:
            continue
        assert not passed.startswith(("-", "/"))
        assert ".." not in passed
        assert passed.isprintable() or check is checked_path
        assert not set(passed) & set("\n\r\0\t")
    with contextlib.suppress(Refused):
        assert "\n" not in checked_line(text, "value")


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=x",
        "ext::sh -c id",
        "http://u:secret@h/x.git",
        "https://tok@h/x",
        "ssh://-oProxyCommand=x/y",
        "http://h/a b",
        "/etc",
    ],
)
def test_an_address_that_is_no_plain_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(Refused) as caught:
        GitRepository(url, folder=tmp_path, token=None, author_name="x", author_email="x@y")
    assert "secret" not in str(caught.value)


# ----------------------------------------------------------------- failures, the token


def test_each_failure_has_its_meaning(forge: Forge, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, object], type[LockgateError]]] = [
        ({"token": "wrong"}, AccessDenied),
        ({"token": None}, AccessDenied),
        ({"url": f"{forge.url}/acme/nothing.git"}, Misbehaved),
        ({"url": "http://127.0.0.1:1/x.git"}, Unreachable),
        ({"url": f"file://{tmp_path}/nothing.git"}, Misbehaved),
    ]
    for n, (changes, kind) in enumerate(cases):
        git = clone(forge, tmp_path / f"c{n}", **changes)
        actions: list[Callable[[], object]] = [
            lambda git=git: git.head("main"),
            lambda git=git: git.read("a", "main"),
        ]
        for action in actions:
            with pytest.raises(kind) as caught:
                action()
            assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("status", "kind"), [(503, Unreachable), (429, Unreachable), (403, AccessDenied), (404, Misbehaved)]
)
def test_each_http_status_has_its_meaning(
    git: GitRepository, forge: Forge, status: int, kind: type[LockgateError]
) -> None:
    for action in (lambda: git.head("main"), lambda: git.read("a", "main")):
        forge.arm(Fault("GET", "info/refs", status=status, body="no"))
        with pytest.raises(kind) as caught:
            action()
        assert type(caught.value) is kind


PAGES = ["<html>back soon</html>", "", "<html>\n<p>back</p>\n</html>"]


@pytest.mark.parametrize("page", PAGES)
def test_a_maintenance_page_is_no_empty_repository(
    git: GitRepository, forge: Forge, tmp_path: Path, page: str
) -> None:
    """200 with HTML: neither "no such branch" nor "no such file"."""
    GitJournals(git).append(PROMOTION, line(1), expected="")
    git = clone_of(git, tmp_path)
    journals = GitJournals(git)
    for action in (
        lambda: git.head("main"),
        lambda: git.read("platform.yaml", "main"),
        lambda: git.find("main", TRAILERS),
        lambda: push(git, "main", {"a": "1"}),
        lambda: journals.append(PROMOTION, line(2), expected=line(1)),
    ):
        forge.arm(Fault("GET", "info/refs", status=200, body=page, times=9))
        with pytest.raises(CouldNotTell):
            action()
        forge.faults.clear()


@pytest.mark.parametrize("page", PAGES[:2], ids=["a page", "nothing"])
def test_a_page_of_one_moment_is_asked_behind(git: GitRepository, forge: Forge, page: str) -> None:
    """Those git takes for a list of no branches; one made between two questions is there in the end, too."""
    at = push(git, "main", {"a": "1\n"})
    journals = GitJournals(git)
    journals.append(PROMOTION, line(1), expected="")
    once = Fault("GET", "info/refs", status=200, body=page)
    for action, told in (
        (lambda: git.head("main"), at),
        (lambda: git.read("a", "main"), "1\n"),
        (lambda: journals.read(PROMOTION), line(1)),
    ):
        forge.arm(replace(once))
        assert action() == told
        assert not [fault for fault in forge.faults if fault.times], "the page was shown"
        forge.faults.clear()


def test_a_maintenance_page_in_the_midst_of_a_push_is_asked_once_more(
    git: GitRepository, forge: Forge
) -> None:
    """The page names no branch, which is not what the commit was made on; nothing is written anew."""
    journals = GitJournals(git)
    journals.append(PROMOTION, line(1), expected="")
    forge.arm(Fault("GET", "service=git-receive-pack", status=200, body="<html>back soon</html>"))
    journals.append(PROMOTION, line(2), expected=line(1))
    assert (journals.read(PROMOTION), length(git, "audit")) == (line(1) + line(2), 2)


def test_a_redirect_is_not_followed(git: GitRepository, forge: Forge, tmp_path: Path) -> None:
    """The header with the token would go along."""
    with running(tmp_path / "elsewhere") as stranger:
        headers = {"Location": f"{stranger.url}/acme/ml-gitops.git/info/refs?service=git-upload-pack"}
        forge.arm(Fault("GET", "info/refs", status=302, headers=headers))
        with pytest.raises(CouldNotTell):
            git.head("main")
        assert stranger.requests == []


def test_a_protected_branch_is_told_with_the_forges_words(other: GitRepository, forge: Forge) -> None:
    protect(forge)
    with pytest.raises(AccessDenied, match="GH006: Protected branch update failed for refs/heads/main"):
        write(other, {"a": "1"})


def test_an_unanswered_question_ends_in_time(forge: Forge, tmp_path: Path) -> None:
    git = clone(forge, tmp_path / "hasty", timeout_seconds=0.5)
    forge.arm(Fault("GET", "info/refs", delay_seconds=3.0))
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 0\.5 s"):
        git.head("main")
    assert time.monotonic() - began < 2.5


def test_the_token_is_nowhere_to_be_seen(git: GitRepository, forge: Forge, tmp_path: Path) -> None:
    """Not in any process's arguments while git works, not in the clone, not in an error."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("this system shows no processes as files")
    secrets = [TOKENS[BOT].encode(), base64.b64encode(f"x-access-token:{TOKENS[BOT]}".encode())]
    seen: list[bytes] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.extend(arguments() - set(seen))
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for n in range(5):
            write(git, {"a": f"{n}\n"})
        forge.arm(Fault("POST", PUSH, times=9, body=TOKENS[BOT]))
        with pytest.raises(Unreachable) as caught:
            write(git, {"a": "x\n"})
    finally:
        done.set()
        watcher.join()
    assert any(b"git-remote-http" in line or b"remote-http" in line for line in seen)
    files = [file.read_bytes() for file in (tmp_path / "clone").rglob("*") if file.is_file()]
    for text in [*seen, *files, str(caught.value).encode()]:
        assert not any(secret in text for secret in secrets)


def arguments() -> set[bytes]:
    """Arguments of all processes now."""
    found = set()
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                found.add(Path(f"/proc/{name}/cmdline").read_bytes())
            except OSError:
                continue
    return found


def test_doctor(git: GitRepository, forge: Forge, tmp_path: Path) -> None:
    """Reach and rights; the push that tells is a dry run."""
    before = forge.world.content.branches()
    reach, rights = git.diagnose()
    assert (reach.good, rights.good) == (True, True)
    assert forge.world.content.branches() == before
    (bad,) = clone(forge, tmp_path / "x", token="wrong").diagnose()
    assert (bad.good, bool(bad.advice)) == (False, True)
    forge.arm(Fault("GET", "service=git-receive-pack", status=403, body="no"))
    assert git.diagnose()[1].good is False
    with running(tmp_path / "empty") as empty:
        assert clone(empty, tmp_path / "y").diagnose()[1].good is None
