"""The GitHub client against the rehearsal's forge, over the wire, with PyGithub as it is.

Covered: finding, opening and adopting pull requests; statuses; every outcome of a merge; lost answers;
comments; tokens and App credentials; what each failure means; doctor.
Left out: the forge's own rules (test_forge.py).
"""

from __future__ import annotations

import importlib
import inspect
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pipelines.clients import github as client
from pipelines.clients.git import GitRepository
from pipelines.clients.github import MEANINGS, AppCredentials, GithubForge, translated
from pipelines.errors import AccessDenied, CouldNotTell, LockgateError, Misbehaved, Refused, Unreachable
from pipelines.ports import Forge as ForgePort
from pipelines.rehearsal.forge import APP_ID, INSTALLATION_ID, Forge
from pipelines.rehearsal.server import Fault
from tests.forges import (
    ANN,
    BOB,
    BOT,
    BRANCH,
    PREFIX,
    REPOSITORY,
    TOKENS,
    approve,
    ask,
    clone,
    opened,
    protect,
    push,
    running,
    template,
)  # fmt: skip

ISVC = "clusters/prod/risk/fraud-scorer/isvc.yaml"
EXCEPTIONS = importlib.import_module("github.GithubException")
CREATE, MERGE = rf"^/api/v3{PREFIX}/pulls$", r"/pulls/\d+/merge$"


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
def connect(forge: Forge) -> Iterator[Callable[..., GithubForge]]:
    made: list[GithubForge] = []

    def make(**changes: Any) -> GithubForge:
        arguments: dict[str, Any] = {
            "api_url": forge.api_url, "repository": REPOSITORY, "auth": TOKENS[BOT], "required_reviews": 0,
        }  # fmt: skip
        made.append(GithubForge(**{**arguments, **changes}))
        return made[-1]

    yield make
    for one in made:
        one.disconnect()


@pytest.fixture
def hub(connect: Callable[..., GithubForge]) -> GithubForge:
    return connect()


def propose(hub: ForgePort) -> int:
    found = hub.open_pull_request(branch=BRANCH, base="main", title="Promote v2", body="why")
    return found.number


def count(forge: Forge, method: str, path: str) -> int:
    return sum(1 for seen in forge.requests if seen == (method, f"/api/v3{path}"))


def join(hub: ForgePort, number: int, head: str) -> client.Merge:
    return hub.merge(number, head_sha=head, title="Promote v2", body="Lockgate-Stage: merge")


# ------------------------------------------------------------------ pull requests


def test_a_pull_request_is_copied_whole(hub: GithubForge, git: GitRepository, forge: Forge) -> None:
    """Every field the steps use is there, and reading them later asks nobody."""
    number = propose(hub)
    hub.pull_request(number)
    seen = hub.pull_request(number)
    before = len(forge.requests)
    assert (seen.number, seen.author, seen.state, seen.mergeable) == (1, BOT, "open", "yes")
    assert (seen.head_sha, seen.base_sha) == (git.head(BRANCH), git.head("main"))
    assert (seen.merge_sha, seen.merged_by, seen.approvals) == ("", "", ())
    assert seen.url == forge.pull_page(number)
    assert len([one for one in forge.requests[before:] if one[1].startswith("/api")]) == 0


def test_found_by_branch_newest_first(hub: GithubForge, git: GitRepository, forge: Forge) -> None:
    """None before there is one; a closed one until a newer one exists; never another branch's."""
    push(git, "other", {"x": "1"}, base="main")
    assert hub.find_pull_request(BRANCH) is None
    first = propose(hub)
    opened(forge, branch="other")
    hub.close(first)
    closed = hub.find_pull_request(BRANCH)
    assert closed is not None
    assert (closed.number, closed.state) == (first, "closed")
    second = propose(hub)
    assert second != first
    newest = hub.find_pull_request(BRANCH)
    assert newest is not None
    assert newest.number == second


def test_a_pull_request_of_another_branch_is_not_taken_for_ours(hub: GithubForge, forge: Forge) -> None:
    """A filter that GitHub ignores, or a fork's branch of one name, must not be adopted."""
    opened(forge)
    listed = ask(forge, "GET", f"{PREFIX}/pulls").json()
    listed[0]["head"]["ref"] = "somebody/else"
    forge.arm(answer("GET", CREATE, listed))
    assert hub.find_pull_request(BRANCH) is None
    listed[0]["head"] = {**listed[0]["head"], "ref": BRANCH, "repo": None}
    forge.arm(answer("GET", CREATE, listed))
    assert hub.find_pull_request(BRANCH) is None


def answer(method: str, path: str, body: Any, status: int = 200, **more: Any) -> Fault:
    """A planted answer in place of the forge's."""
    return Fault(
        method, path + r"|" + path.replace("$", r"\?"), status=status, body=requests.compat.json.dumps(body),
        content_type="application/json", **more,
    )  # fmt: skip


def test_opening_twice_adopts_the_first(hub: GithubForge, forge: Forge) -> None:
    assert propose(hub) == propose(hub) == 1
    assert count(forge, "POST", f"{PREFIX}/pulls") == 2


@pytest.mark.parametrize("when", ["after", "before"])
def test_a_502_on_create_makes_one_pull_request(hub: GithubForge, forge: Forge, when: str) -> None:
    """After the effect it is adopted; before it the failure is told. It is never posted again blindly."""
    forge.arm(Fault("POST", CREATE, when))
    if when == "after":
        assert propose(hub) == 1
    else:
        with pytest.raises(Unreachable):
            propose(hub)
        assert propose(hub) == 1
    assert len(ask(forge, "GET", f"{PREFIX}/pulls").json()) == 1
    assert count(forge, "POST", f"{PREFIX}/pulls") == (1 if when == "after" else 2)


def test_nothing_to_merge_is_refused(hub: GithubForge) -> None:
    with pytest.raises(Refused, match="No commits between main and main"):
        hub.open_pull_request(branch="main", base="main", title="x", body="")
    with pytest.raises(Refused, match="head"):
        hub.open_pull_request(branch="nowhere", base="main", title="x", body="")


def test_already_exists_but_nowhere_to_be_found_is_told(hub: GithubForge, forge: Forge) -> None:
    """GitHub says there is one and shows none: no pull request is invented."""
    error = {"message": "Validation Failed", "errors": [{"message": "A pull request already exists for x."}]}
    forge.arm(answer("POST", CREATE, error, 422))
    with pytest.raises(Refused, match="already exists"):
        propose(hub)


HOSTILE = 'v2\n\n</h1><script>"$(id)" {{ 7*7 }} `x` --upload-pack=touch'


def test_hostile_text_arrives_as_data(hub: GithubForge, forge: Forge) -> None:
    found = hub.open_pull_request(branch=BRANCH, base="main", title=HOSTILE, body=HOSTILE)
    seen = ask(forge, "GET", f"{PREFIX}/pulls/{found.number}").json()
    assert (seen["title"], seen["body"]) == (HOSTILE, HOSTILE)


def test_approvals_are_of_this_very_head(
    connect: Callable[..., GithubForge], git: GitRepository, forge: Forge
) -> None:
    """A newer commit, a withdrawn approval and a mere comment do not approve; a comment withdraws nothing."""
    hub = connect(required_reviews=1)
    number = propose(hub)
    approve(forge, number, login=ANN)
    approve(forge, number, login=BOB)
    approve(forge, number, login=BOB, event="COMMENT")
    assert hub.pull_request(number).approvals == (ANN, BOB)
    approve(forge, number, login=BOB, event="REQUEST_CHANGES")
    assert hub.pull_request(number).approvals == (ANN,)
    push(git, BRANCH, {ISVC: "share: 100\n"})
    moved = [hub.pull_request(number) for _ in range(2)]
    assert moved[1].approvals == ()
    assert moved[1].mergeable == "blocked"


def test_close_and_close_again(hub: GithubForge, git: GitRepository) -> None:
    number = propose(hub)
    hub.close(number)
    hub.close(number)
    assert hub.pull_request(number).state == "closed"
    again = propose(hub)
    join(hub, again, str(git.head(BRANCH)))
    with pytest.raises(Refused, match="is merged"):
        hub.close(again)


# ------------------------------------------------------------------------- merge


def test_merge_makes_a_merge_commit_with_the_files(
    hub: GithubForge, git: GitRepository, forge: Forge
) -> None:
    """The commit on main has both parents and carries the trailers given."""
    number, head = propose(hub), str(git.head(BRANCH))
    push(git, "main", {"meanwhile.yaml": "1\n"})
    merged = join(hub, number, head)
    assert (merged.outcome, merged.sha) == ("merged", git.head("main"))
    assert {ISVC, "meanwhile.yaml"} <= set(git.files("", "main"))
    found = git.find("main", {"Lockgate-Stage": "merge"})
    assert found is not None
    assert found.sha == merged.sha
    seen = hub.pull_request(number)
    assert (seen.state, seen.merge_sha, seen.merged_by) == ("merged", merged.sha, BOT)
    assert join(hub, number, head).outcome == "merged"
    assert count(forge, "PUT", f"{PREFIX}/pulls/{number}/merge") == 1


@pytest.mark.parametrize("fault", [502, 504])
def test_a_lost_merge_answer_merges_once(
    hub: GithubForge, git: GitRepository, forge: Forge, fault: int
) -> None:
    number, head = propose(hub), str(git.head(BRANCH))
    forge.arm(Fault("PUT", MERGE, "after", status=fault))
    merged = join(hub, number, head)
    assert (merged.outcome, merged.sha) == ("merged", git.head("main"))
    assert count(forge, "PUT", f"{PREFIX}/pulls/{number}/merge") == 1


def test_a_merge_that_never_arrived_is_not_ready(hub: GithubForge, git: GitRepository, forge: Forge) -> None:
    number, head = propose(hub), str(git.head(BRANCH))
    forge.arm(Fault("PUT", MERGE, "before"))
    first = join(hub, number, head)
    assert (first.outcome, "not merged yet" in first.sentence) == ("not_ready", True)
    assert join(hub, number, head).outcome == "merged"


def test_a_slow_merge_past_the_time_out_is_found(
    connect: Callable[..., GithubForge], git: GitRepository, forge: Forge
) -> None:
    hub = connect(timeout_seconds=1)
    number, head = propose(hub), str(git.head(BRANCH))
    forge.arm(Fault("PUT", MERGE, "after", delay_seconds=1.5))
    assert join(hub, number, head).outcome == "merged"


def test_a_moved_head_is_not_merged(hub: GithubForge, git: GitRepository) -> None:
    """Neither when seen beforehand, nor when it moves between the look and the merge."""
    number, judged, main = propose(hub), str(git.head(BRANCH)), git.head("main")
    push(git, BRANCH, {ISVC: "share: 100\n"})
    assert join(hub, number, judged).outcome == "head_moved"
    assert git.head("main") == main


def test_a_head_that_moves_at_the_last_moment_is_409(
    hub: GithubForge, git: GitRepository, forge: Forge
) -> None:
    """The forge alone can see it; the answer is the same."""
    number, judged = propose(hub), str(git.head(BRANCH))
    stale = ask(forge, "GET", f"{PREFIX}/pulls/{number}").json()
    push(git, BRANCH, {ISVC: "share: 100\n"})
    forge.arm(answer("GET", rf"/pulls/{number}$", stale))
    assert join(hub, number, judged).outcome == "head_moved"
    assert count(forge, "PUT", f"{PREFIX}/pulls/{number}/merge") == 1


def test_missing_checks_are_not_ready_with_the_forges_words(
    hub: GithubForge, git: GitRepository, forge: Forge
) -> None:
    protect(forge, contexts=["lockgate/evaluation"])
    number, head = propose(hub), str(git.head(BRANCH))
    early = join(hub, number, head)
    assert early.outcome == "not_ready"
    assert 'Required status check "lockgate/evaluation" is expected.' in early.sentence
    assert hub.pull_request(number).mergeable == "blocked"
    hub.set_status(head, name="lockgate/evaluation", state="success", sentence="good", url="")
    assert join(hub, number, head).outcome == "merged"


def test_our_own_count_of_reviews_holds_without_protection(
    connect: Callable[..., GithubForge], git: GitRepository, forge: Forge
) -> None:
    """Nobody is asked to merge while approvals are missing."""
    hub = connect(required_reviews=1)
    number, head = propose(hub), str(git.head(BRANCH))
    early = join(hub, number, head)
    assert (early.outcome, early.sentence) == ("not_ready", "#1 has 0 of 1 approving reviews")
    assert count(forge, "PUT", f"{PREFIX}/pulls/{number}/merge") == 0
    approve(forge, number)
    assert join(hub, number, head).outcome == "merged"


def test_a_base_that_moves_meanwhile_is_not_ready(hub: GithubForge, git: GitRepository, forge: Forge) -> None:
    number, head = propose(hub), str(git.head(BRANCH))
    words = "Base branch was modified. Review and try the merge again."
    forge.arm(answer("PUT", MERGE, {"message": words}, 405))
    early = join(hub, number, head)
    assert (early.outcome, words in early.sentence) == ("not_ready", True)
    assert join(hub, number, head).outcome == "merged"


def test_conflicts_are_refused(hub: GithubForge, git: GitRepository) -> None:
    number, head = propose(hub), str(git.head(BRANCH))
    push(git, "main", {ISVC: "share: 50\n"})
    outcomes = [join(hub, number, head) for _ in range(2)]
    assert outcomes[-1].outcome == "refused"
    assert "conflicts" in outcomes[-1].sentence
    assert hub.pull_request(number).mergeable == "no"


def test_closed_by_a_person_is_refused(hub: GithubForge, git: GitRepository, forge: Forge) -> None:
    number, head = propose(hub), str(git.head(BRANCH))
    ask(forge, "PATCH", f"{PREFIX}/pulls/{number}", {"state": "closed"}, login=ANN)
    outcome = join(hub, number, head)
    assert (outcome.outcome, outcome.sentence) == ("refused", "#1 was closed without merging")


def test_merged_by_a_person_is_told_with_the_name(hub: GithubForge, git: GitRepository, forge: Forge) -> None:
    """At the judged head it counts as merged; at another head it does not."""
    number, head = propose(hub), str(git.head(BRANCH))
    assert ask(forge, "PUT", f"{PREFIX}/pulls/{number}/merge", {}, login=ANN).status_code == 200
    outcome = join(hub, number, head)
    assert (outcome.outcome, outcome.sentence) == ("merged", "#1 is merged by ann")
    assert hub.pull_request(number).merged_by == ANN
    elsewhere = join(hub, number, "0" * 40)
    assert (elsewhere.outcome, "not at the judged 0000000000" in elsewhere.sentence) == ("refused", True)


def test_a_draft_is_blocked(hub: GithubForge, forge: Forge) -> None:
    body = {"title": "x", "head": BRANCH, "base": "main", "draft": True}
    number = ask(forge, "POST", f"{PREFIX}/pulls", body).json()["number"]
    assert hub.pull_request(number).mergeable == "blocked"


def test_an_answer_that_says_not_merged_is_not_taken_for_a_yes(
    hub: GithubForge, git: GitRepository, forge: Forge
) -> None:
    number, head = propose(hub), str(git.head(BRANCH))
    forge.arm(answer("PUT", MERGE, {"merged": False, "message": "queued"}))
    assert join(hub, number, head).outcome == "not_ready"


def test_no_right_to_merge_is_not_an_outcome(hub: GithubForge, git: GitRepository, forge: Forge) -> None:
    number, head = propose(hub), str(git.head(BRANCH))
    forge.arm(answer("PUT", MERGE, {"message": "Resource not accessible by integration"}, 403))
    with pytest.raises(AccessDenied, match="Resource not accessible"):
        join(hub, number, head)
    forge.arm(answer("PUT", MERGE, {"message": "Validation Failed"}, 422))
    with pytest.raises(Refused, match="Validation Failed"):
        join(hub, number, head)


# ---------------------------------------------------------- statuses and comments


def test_a_status_is_written_once(hub: GithubForge, git: GitRepository, forge: Forge) -> None:
    """The same again asks nothing of GitHub; a change does; a long sentence is cut to 140 characters."""
    head = str(git.head(BRANCH))
    for state in ("pending", "pending", "success"):
        hub.set_status(head, name="lockgate/load", state=state, sentence="p99 " * 50, url="http://r/1")  # type: ignore[arg-type]
    assert count(forge, "POST", f"{PREFIX}/statuses/{head}") == 2
    (seen,) = ask(forge, "GET", f"{PREFIX}/commits/{head}/status").json()["statuses"]
    assert (seen["state"], seen["target_url"]) == ("success", "http://r/1")
    assert (len(seen["description"]), seen["description"][-1]) == (140, "…")


def test_a_status_of_an_unknown_commit_is_told(hub: GithubForge) -> None:
    with pytest.raises(LockgateError, match="0000000000"):
        hub.set_status("0" * 40, name="x", state="success", sentence="", url="")


def test_one_comment_is_written_and_rewritten(hub: GithubForge, forge: Forge) -> None:
    """Found by its marker and by who wrote it: a person's quotation of it is left alone."""
    number = propose(hub)
    quoted = "<!-- lockgate:gates --> I say"
    ask(forge, "POST", f"{PREFIX}/issues/{number}/comments", {"body": quoted}, login=ANN)
    for body in ("first", "second", "second"):
        hub.comment(number, marker="lockgate:gates", body=body)
    hub.comment(number, marker="lockgate:other", body="x" * 70_000)
    bodies = [one["body"] for one in ask(forge, "GET", f"{PREFIX}/issues/{number}/comments").json()]
    assert bodies[:2] == [quoted, "<!-- lockgate:gates -->\nsecond"]
    assert len(bodies[2]) == 65_000
    assert sum(method == "PATCH" for method, _ in forge.requests) == 1


@pytest.mark.parametrize("marker", ["", "a-->b", "a--b", "x\ny", "<b>", "-x"])
def test_a_marker_that_would_not_stay_hidden_is_refused(hub: GithubForge, forge: Forge, marker: str) -> None:
    with pytest.raises(Refused, match="hidden marker"):
        hub.comment(1, marker=marker, body="x")
    assert forge.requests == []


def test_a_comment_is_rewritten_and_not_begun(hub: GithubForge, forge: Forge) -> None:
    """Where one is only to be kept true, none is written anew."""
    number = opened(forge)
    hub.comment(number, marker="m", body="never", begin=False)
    assert ask(forge, "GET", f"{PREFIX}/issues/{number}/comments").json() == []

    hub.comment(number, marker="m", body="1")
    hub.comment(number, marker="m", body="2", begin=False)
    (found,) = ask(forge, "GET", f"{PREFIX}/issues/{number}/comments").json()
    assert found["body"] == "<!-- m -->\n2"


def test_a_token_that_cannot_say_whose_it_is_is_told(
    connect: Callable[..., GithubForge], forge: Forge
) -> None:
    """The token of a job may not ask who it is: its own comment is found by the login given."""
    number = opened(forge)
    job = connect(login=BOT)
    forge.arm(Fault("GET", "/api/v3/user$", "before", status=403))
    for body in ("1", "2"):
        job.comment(number, marker="m", body=body)

    assert len(ask(forge, "GET", f"{PREFIX}/issues/{number}/comments").json()) == 1


def test_a_pull_request_is_found_by_the_head_that_was_checked(
    hub: GithubForge, git: GitRepository, forge: Forge
) -> None:
    """Of that owner's branch into that base, at that very commit, and open."""
    number = opened(forge)
    sha = hub.pull_request(number).head_sha
    asked = {"owner": "acme", "branch": BRANCH, "base": "main", "head_sha": sha}

    assert hub.number_of(**asked) == number
    for other in ({"owner": "bob"}, {"branch": "main"}, {"base": "audit"}, {"head_sha": "0" * 40}):
        assert hub.number_of(**{**asked, **other}) is None, other
    hub.close(number)
    assert hub.number_of(**asked) is None


def test_a_lost_comment_is_found_again(hub: GithubForge, forge: Forge) -> None:
    number = propose(hub)
    forge.arm(Fault("POST", "/comments$", "after"))
    with pytest.raises(Unreachable):
        hub.comment(number, marker="m", body="x")
    hub.comment(number, marker="m", body="x")
    assert len(ask(forge, "GET", f"{PREFIX}/issues/{number}/comments").json()) == 1


# --------------------------------------------------------------------- identities


@pytest.fixture
def app(connect: Callable[..., GithubForge], forge: Forge) -> GithubForge:
    key = forge.app_private_key
    return connect(auth=AppCredentials(app_id=APP_ID, installation_id=INSTALLATION_ID, private_key=key))


def test_an_app_does_the_whole_job(
    app: GithubForge, git: GitRepository, forge: Forge, tmp_path: Path
) -> None:
    """REST and git with installation tokens alone; the second comment finds the first by the App's login."""
    number, head = propose(app), str(git.head(BRANCH))
    app.comment(number, marker="m", body="1")
    app.comment(number, marker="m", body="2")
    assert len(ask(forge, "GET", f"{PREFIX}/issues/{number}/comments").json()) == 1
    assert join(app, number, head).outcome == "merged"
    by_app = clone(forge, tmp_path / "app", token=app.git_token)
    assert push(by_app, "main", {"share.yaml": "10\n"}) == git.head("main")
    assert count(forge, "POST", f"/app/installations/{INSTALLATION_ID}/access_tokens") == 1


def test_a_key_that_cannot_sign_is_told_without_showing_it(connect: Callable[..., GithubForge]) -> None:
    secret = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----"
    credentials = AppCredentials(app_id=1, installation_id=2, private_key=secret)
    with pytest.raises(AccessDenied, match="private key cannot be used") as caught:
        connect(auth=credentials)
    assert "c2VjcmV0" not in str(caught.value) + repr(credentials)


# ------------------------------------------------------------- what failures mean


def test_each_exception_of_pygithub_has_a_meaning() -> None:
    """A class added by a newer PyGithub turns this red before it reaches anybody."""
    classes = {
        kind for _, kind in inspect.getmembers(EXCEPTIONS, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == "github.GithubException"
    }  # fmt: skip
    assert len(classes) >= 9
    assert classes <= set(MEANINGS)


def test_each_exception_of_requests_is_no_refusal() -> None:
    kinds = [
        kind
        for _, kind in inspect.getmembers(requests.exceptions, inspect.isclass)
        if issubclass(kind, requests.RequestException)
    ]
    for kind in kinds:
        made = kind("x", "y", 0) if kind is requests.exceptions.JSONDecodeError else kind("x")
        assert isinstance(translated(made, "it"), CouldNotTell)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AccessDenied), (403, AccessDenied), (404, Misbehaved), (302, Misbehaved), (408, Unreachable),
     (429, Unreachable), (500, Unreachable), (503, Unreachable), (400, Refused), (405, Refused),
     (422, Refused)],
)  # fmt: skip
def test_a_status_without_a_class_of_its_own_has_a_meaning(status: int, kind: type[LockgateError]) -> None:
    error = EXCEPTIONS.GithubException(status, {"message": "words\nmore"}, {})
    made = translated(error, "could not look")
    assert type(made) is kind
    assert "words more" in str(made)


@pytest.mark.parametrize(
    "error", [AssertionError("x"), AttributeError("y"), RuntimeError("redirected"), KeyError("z")]
)
def test_whatever_else_escapes_is_misbehaviour(error: Exception) -> None:
    assert type(translated(error, "it")) is Misbehaved


def test_a_stranger_is_denied(connect: Callable[..., GithubForge]) -> None:
    """And the token is not in the message."""
    with pytest.raises(AccessDenied, match="Bad credentials") as caught:
        connect(auth="ghp_wrong_token").pull_request(1)
    assert "ghp_wrong_token" not in str(caught.value)


def test_a_repository_that_is_not_there(connect: Callable[..., GithubForge]) -> None:
    with pytest.raises(Misbehaved, match="not visible with these credentials"):
        connect(repository="acme/nothing").pull_request(1)


def test_nobody_listening_is_unreachable(connect: Callable[..., GithubForge]) -> None:
    with pytest.raises(Unreachable):
        connect(api_url="http://127.0.0.1:1/api/v3").pull_request(1)


@pytest.mark.parametrize(
    ("status", "body", "kind_of_body", "kind"),
    [
        (200, "<html>maintenance</html>", "text/html", Misbehaved),
        (200, '{"number": ', "application/json", Misbehaved),
        (200, "[]", "application/json", Misbehaved),
        (200, '{"number": "one", "url": 7}', "application/json", Misbehaved),
        (200, "{}", "application/json", Misbehaved),
        (429, '{"message": "slow down"}', "application/json", Unreachable),
        (403, '{"message": "API rate limit exceeded for x"}', "application/json", Unreachable),
        (403, '{"message": "You have exceeded a secondary rate limit"}', "application/json", Unreachable),
    ],
)
def test_nonsense_is_told_apart_from_an_outage(
    hub: GithubForge, forge: Forge, status: int, body: str, kind_of_body: str, kind: type[LockgateError]
) -> None:
    """No answer that makes no sense becomes a pull request; no limit is slept away for long."""
    number = propose(hub)
    headers = (
        {"X-RateLimit-Reset": str(int(time.time()) + 3600), "Retry-After": "3600"} if status == 429 else {}
    )
    forge.arm(
        Fault(
            "GET", "/pulls/1", status=status, body=body, content_type=kind_of_body, times=9, headers=headers
        )
    )
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        hub.pull_request(number)
    assert type(caught.value) is kind
    assert time.monotonic() - began < 8


def test_a_read_survives_one_bad_gateway(hub: GithubForge, forge: Forge) -> None:
    number = propose(hub)
    forge.arm(Fault("GET", "/pulls/1$"))
    assert hub.pull_request(number).number == number


# ------------------------------------------------------------------------- doctor


def test_doctor_finds_what_is_good(hub: GithubForge, app: GithubForge, forge: Forge) -> None:
    protect(forge, contexts=["gate"])
    for one in (hub, app):
        findings = one.diagnose()
        assert [finding.what for finding in findings] == ["reach", "rights", "settings", "settings"]
        assert all(finding.good and not finding.advice for finding in findings)
    assert "Enterprise Server 3.17.0" in hub.diagnose()[0].sentence


def test_doctor_says_what_to_do(connect: Callable[..., GithubForge], forge: Forge) -> None:
    (reach,) = connect(auth="ghp_wrong").diagnose()
    assert (reach.good, reach.advice) == (False, "check api_url, the network and the credentials")
    findings = connect().diagnose()
    assert (findings[3].good, "not protected" in findings[3].sentence) == (False, True)
    shown = ask(forge, "GET", PREFIX).json()
    shown |= {"permissions": {"push": False, "pull": True, "admin": False}, "allow_merge_commit": False}
    forge.arm(answer("GET", rf"{PREFIX}$", shown))
    poor = connect().diagnose()
    assert [poor[1].good, poor[2].good] == [False, None]
    assert "write access" in poor[1].advice
