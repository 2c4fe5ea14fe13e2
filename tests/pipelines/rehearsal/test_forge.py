"""The rehearsal's forge answers as GitHub does, over the wire, refusals included.

Covered: identities and tokens, pull requests and their refusals, mergeability, required checks and
reviews, the three merge methods, protection, git over HTTP, restart, paging, the page for people.
PyGithub against it is in test_github.py, the git client in test_git.py.
Left out, as the forge leaves it out: webhooks, GraphQL, merge queues, rulesets.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from github import Auth, Github, GithubIntegration
from hypothesis import given
from hypothesis import strategies as st

from pipelines.clients.git import GitRepository
from pipelines.errors import AccessDenied
from pipelines.rehearsal.forge import APP_ID, INSTALLATION_ID, Forge
from pipelines.rehearsal.forge import page as forge_page
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
    said,
    seeded,
    template,
)  # fmt: skip

ISVC = "clusters/prod/risk/fraud-scorer/isvc.yaml"


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


def merge(forge: Forge, number: int, *, login: str = ANN, **body: str) -> requests.Response:
    return ask(forge, "PUT", f"{PREFIX}/pulls/{number}/merge", body, login=login)


def pull(forge: Forge, number: int) -> dict:
    return ask(forge, "GET", f"{PREFIX}/pulls/{number}").json()


def settled(forge: Forge, number: int) -> str:
    """The mergeable_state once it was computed."""
    pull(forge, number)
    return pull(forge, number)["mergeable_state"]


# ------------------------------------------------------------------- identities


@pytest.mark.parametrize("token", ["", "nobody", "ghp_bot", TOKENS[BOT] + "x", "a.b.c"])
def test_an_unknown_token_is_nobody(forge: Forge, token: str) -> None:
    """401 for every token that is not an account's: there is no default user."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = requests.get(f"{forge.api_url}/user", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert "login" not in answer.json()


@pytest.mark.parametrize(
    "header", ["Basic !!!", "Basic " + base64.b64encode(b"\xff\xfe").decode(), "Digest x"]
)
def test_a_header_that_is_no_credential_is_refused(forge: Forge, header: str) -> None:
    answer = requests.get(f"{forge.api_url}/user", headers={"Authorization": header}, timeout=5)
    assert answer.status_code == 401


def test_every_token_is_its_own_account(forge: Forge) -> None:
    for login, token in TOKENS.items():
        assert ask(forge, "GET", "/user", token=token).json()["login"] == login


def test_two_accounts_cannot_share_a_token(tmp_path: Path) -> None:
    """Separation of duties could not be tested with a shared token."""
    with pytest.raises(ValueError, match="token of its own"):
        Forge(tmp_path, accounts={"a": "same", "b": "same"}, app_account="a")


def test_pygithub_authenticates_as_the_app_over_the_wire(forge: Forge, git: GitRepository) -> None:
    """JWT signed with the App's key → installation token → the App's account; the token is not the JWT."""
    app = Auth.AppAuth(APP_ID, forge.app_private_key)
    with GithubIntegration(auth=app, base_url=forge.api_url, seconds_between_requests=0) as integration:
        assert integration.get_app().slug == "lockgate"
        assert integration.get_app_installation(INSTALLATION_ID).permissions["contents"] == "write"
    installation = app.get_installation_auth(INSTALLATION_ID)
    with Github(auth=installation, base_url=forge.api_url, seconds_between_requests=0) as github:
        opened(forge)
        assert github.get_repo(REPOSITORY).get_pull(1).user.login == BOT
        assert ask(forge, "GET", "/user", token=installation.token).status_code == 403
        assert ask(forge, "GET", PREFIX, token=app.token).status_code == 401


def test_another_key_is_not_the_app(forge: Forge, tmp_path: Path) -> None:
    with running(tmp_path / "other") as other:
        stranger = Auth.AppAuth(APP_ID, other.app_private_key)
        assert ask(forge, "GET", "/app", token=stranger.token).status_code == 401
    imposter = Auth.AppAuth(APP_ID + 1, forge.app_private_key)
    assert said(ask(forge, "GET", "/app", token=imposter.token)) == "Integration not found"
    known = Auth.AppAuth(APP_ID, forge.app_private_key)
    assert ask(forge, "POST", "/app/installations/1/access_tokens", token=known.token).status_code == 404


# ---------------------------------------------------------------- pull requests


def test_a_pull_request_shows_what_git_says(forge: Forge, git: GitRepository) -> None:
    """Head, base, author, files and commits come from the repository; URLs stay on this host."""
    number = opened(forge)
    seen = pull(forge, number)
    assert seen["head"]["sha"] == git.head(BRANCH)
    assert seen["base"]["sha"] == git.head("main")
    assert (seen["user"]["login"], seen["changed_files"], seen["commits"]) == (BOT, 1, 1)
    assert all(seen[key].startswith(forge.url) for key in ("url", "html_url", "issue_url", "commits_url"))
    files = ask(forge, "GET", f"{PREFIX}/pulls/{number}/files").json()
    assert [(file["filename"], file["status"], file["additions"]) for file in files] == [(ISVC, "added", 1)]
    commits = ask(forge, "GET", f"{PREFIX}/pulls/{number}/commits").json()
    assert [commit["sha"] for commit in commits] == [git.head(BRANCH)]


def test_a_second_pull_request_for_the_same_branches_is_refused(forge: Forge, git: GitRepository) -> None:
    opened(forge)
    again = ask(forge, "POST", f"{PREFIX}/pulls", {"title": "x", "head": f"acme:{BRANCH}", "base": "main"})
    assert again.status_code == 422
    assert f"A pull request already exists for acme:{BRANCH}." in said(again)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": "main"}, "No commits between main and main"),
        ({"head": "nowhere"}, "'field': 'head'"),
        ({"base": "nowhere"}, "'field': 'base'"),
        ({"title": ""}, "missing_field"),
    ],
)
def test_a_pull_request_that_makes_no_sense_is_refused(
    forge: Forge, git: GitRepository, change: dict, words: str
) -> None:
    body = {"title": "x", "head": BRANCH, "base": "main", **change}
    answer = ask(forge, "POST", f"{PREFIX}/pulls", body)
    assert answer.status_code == 422
    assert words in said(answer)


def test_the_list_filters_by_owner_and_branch(forge: Forge, git: GitRepository) -> None:
    """``head`` without an owner filters nothing, as at GitHub; with one it names exactly one branch."""
    push(git, "other", {"x": "1"}, base="main")
    opened(forge)
    opened(forge, branch="other")

    def numbers(query: str) -> list[int]:
        return [one["number"] for one in ask(forge, "GET", f"{PREFIX}/pulls?{query}").json()]

    assert numbers(f"head=acme:{BRANCH}") == [1]
    assert numbers("head=acme:other&base=main") == [2]
    assert numbers("head=someone:other") == []
    assert numbers("head=other") == [2, 1]
    assert numbers("state=closed") == []
    assert numbers("direction=asc") == [1, 2]


def test_lists_come_in_pages(forge: Forge, git: GitRepository) -> None:
    """``Link`` names the pages; PyGithub follows them."""
    opened(forge)
    for n in range(5):
        assert ask(forge, "POST", f"{PREFIX}/issues/1/comments", {"body": f"n{n}"}).status_code == 201
    first = ask(forge, "GET", f"{PREFIX}/issues/1/comments?per_page=2")
    assert 'rel="next"' in first.headers["Link"]
    assert 'rel="prev"' not in first.headers["Link"]
    with Github(
        auth=Auth.Token(TOKENS[ANN]), base_url=forge.api_url, per_page=2, seconds_between_requests=0
    ) as github:
        found = github.get_repo(REPOSITORY).get_pull(1).get_issue_comments()
        assert [comment.body for comment in found] == ["n0", "n1", "n2", "n3", "n4"]


def test_a_deleted_branch_closes_its_pull_request(forge: Forge, git: GitRepository) -> None:
    number = opened(forge)
    git.delete_branch(BRANCH)
    assert (pull(forge, number)["state"], pull(forge, number)["merged"]) == ("closed", False)


def test_a_branch_pushed_to_main_by_hand_is_merged(forge: Forge, git: GitRepository, tmp_path: Path) -> None:
    """Somebody who pushes the branch's commits to main has merged it, and the forge says so."""
    number = opened(forge)
    head = git.head(BRANCH)
    answer = ask(forge, "PATCH", f"{PREFIX}/git/refs/heads/main", {"sha": head})
    assert answer.status_code == 200
    assert (pull(forge, number)["merged"], pull(forge, number)["merge_commit_sha"]) == (True, head)


def test_closed_by_hand_and_opened_again(forge: Forge, git: GitRepository) -> None:
    number = opened(forge)
    assert ask(forge, "PATCH", f"{PREFIX}/pulls/{number}", {"state": "closed"}).json()["state"] == "closed"
    assert merge(forge, number).status_code == 405
    assert ask(forge, "PATCH", f"{PREFIX}/pulls/{number}", {"state": "open"}).json()["state"] == "open"
    assert ask(forge, "PATCH", f"{PREFIX}/pulls/{number}", {"state": "odd"}).status_code == 422


# ---------------------------------------------------------------- merge and rules


def test_mergeable_is_unknown_until_it_was_asked_for(forge: Forge, git: GitRepository) -> None:
    """And unknown again after either branch has moved."""
    number = opened(forge)
    states = [pull(forge, number)["mergeable"] for _ in range(2)]
    push(git, "main", {"other.yaml": "1\n"})
    states += [pull(forge, number)["mergeable"] for _ in range(2)]
    assert states == [None, True, None, True] or states == [True, True, None, True]


def test_merge_needs_the_very_head(forge: Forge, git: GitRepository) -> None:
    """Another ``sha`` is 409, and nothing moves."""
    number, main = opened(forge), git.head("main")
    judged = git.head(BRANCH)
    push(git, BRANCH, {ISVC: "share: 100\n"})
    answer = merge(forge, number, sha=judged)
    assert (answer.status_code, git.head("main")) == (409, main)
    assert "Head branch was modified" in said(answer)


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_each_merge_method_writes_real_commits(forge: Forge, git: GitRepository, method: str) -> None:
    """Files land on main beside what main got meanwhile; parents are as the method says."""
    push(git, BRANCH, {"second.yaml": "2\n"})
    push(git, "main", {"meanwhile.yaml": "3\n"})
    number, before, head = opened(forge), git.head("main"), git.head(BRANCH)
    answer = merge(forge, number, sha=head, merge_method=method, commit_title="Promote", commit_message="why")
    assert answer.json()["sha"] == git.head("main")
    files = git.files("", "main")
    assert {ISVC, "second.yaml", "meanwhile.yaml"} <= set(files)
    tip = ask(forge, "GET", f"{PREFIX}/commits/main").json()
    parents = [parent["sha"] for parent in tip["parents"]]
    if method == "merge":
        assert parents == [before, head]
        assert tip["commit"]["message"] == "Promote\n\nwhy"
    if method == "squash":
        assert parents == [before]
    if method == "rebase":
        assert len(parents) == 1
        assert ask(forge, "GET", f"{PREFIX}/compare/{before}...main").json()["ahead_by"] == 2


def test_merged_once(forge: Forge, git: GitRepository) -> None:
    number = opened(forge)
    assert ask(forge, "GET", f"{PREFIX}/pulls/{number}/merge").status_code == 404
    assert merge(forge, number, login=BOB).status_code == 200
    main = git.head("main")
    assert merge(forge, number).status_code == 405
    assert git.head("main") == main
    assert ask(forge, "GET", f"{PREFIX}/pulls/{number}/merge").status_code == 204
    assert pull(forge, number)["merged_by"]["login"] == BOB


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_conflicts_are_not_merged(forge: Forge, git: GitRepository, method: str) -> None:
    number = opened(forge)
    push(git, "main", {ISVC: "share: 50\n"})
    assert settled(forge, number) == "dirty"
    answer = merge(forge, number, merge_method=method)
    assert (answer.status_code, said(answer)) == (405, "Pull Request is not mergeable")


def test_an_unknown_method_is_refused(forge: Forge, git: GitRepository) -> None:
    assert merge(forge, opened(forge), merge_method="teleport").status_code == 422


def test_a_draft_is_not_merged(forge: Forge, git: GitRepository) -> None:
    body = {"title": "x", "head": BRANCH, "base": "main", "draft": True}
    number = ask(forge, "POST", f"{PREFIX}/pulls", body).json()["number"]
    assert settled(forge, number) == "draft"
    assert merge(forge, number).status_code == 405


def test_required_checks_and_reviews_block_until_satisfied(forge: Forge, git: GitRepository) -> None:
    """Never reported, pending and failing checks block; an approval by another account counts."""
    protect(forge, contexts=["lockgate/evaluation"], reviews=1)
    number, head = opened(forge), git.head(BRANCH)
    seen = []
    for state in (None, "pending", "failure", "success"):
        if state:
            body = {"state": state, "context": "lockgate/evaluation", "description": state}
            assert ask(forge, "POST", f"{PREFIX}/statuses/{head}", body, login=BOT).status_code == 201
        seen.append(said(merge(forge, number, sha=head)).split(". ")[0])
    assert seen[:3] == [
        f'Required status check "lockgate/evaluation" is {word}'
        for word in ("expected", "pending", "failure")
    ]
    assert "approving review is required" in seen[3]
    assert settled(forge, number) == "blocked"
    assert approve(forge, number).status_code == 200
    assert settled(forge, number) == "clean"
    assert merge(forge, number, sha=head).status_code == 200


def test_a_status_of_an_older_head_does_not_count(forge: Forge, git: GitRepository) -> None:
    protect(forge, contexts=["gate"])
    number, old = opened(forge), git.head(BRANCH)
    ask(forge, "POST", f"{PREFIX}/statuses/{old}", {"state": "success", "context": "gate"})
    push(git, BRANCH, {ISVC: "share: 100\n"})
    assert merge(forge, number).status_code == 405


@pytest.mark.parametrize(
    ("conclusion", "good"), [("success", 1), ("skipped", 1), ("neutral", 1), ("failure", 0), (None, 0)]
)
def test_skipped_and_neutral_check_runs_satisfy(
    forge: Forge, git: GitRepository, conclusion: str | None, good: int
) -> None:
    """GitHub's fail-open rule, kept so that nobody forgets it; only the App may report check runs."""
    protect(forge, contexts=["gate"])
    number, head = opened(forge), git.head(BRANCH)
    run = {"name": "gate", "head_sha": head, "conclusion": conclusion}
    assert ask(forge, "POST", f"{PREFIX}/check-runs", run).status_code == 403
    token = Auth.AppAuth(APP_ID, forge.app_private_key).token
    issued = ask(
        forge, "POST", f"/app/installations/{INSTALLATION_ID}/access_tokens", {}, token=token
    ).json()["token"]
    assert ask(forge, "POST", f"{PREFIX}/check-runs", run, token=issued).status_code == 201
    shown = ask(forge, "GET", f"{PREFIX}/commits/{head}/check-runs").json()
    assert (shown["total_count"], shown["check_runs"][0]["conclusion"]) == (1, conclusion)
    assert merge(forge, number).status_code == (200 if good else 405)


def test_a_check_run_and_a_status_of_one_name_are_both_required(forge: Forge, git: GitRepository) -> None:
    protect(forge, contexts=["gate"])
    number, head = opened(forge), git.head(BRANCH)
    token = Auth.AppAuth(APP_ID, forge.app_private_key).token
    issued = ask(
        forge, "POST", f"/app/installations/{INSTALLATION_ID}/access_tokens", {}, token=token
    ).json()["token"]
    run = {"name": "gate", "head_sha": head, "conclusion": "success"}
    assert ask(forge, "POST", f"{PREFIX}/check-runs", run, token=issued).status_code == 201
    ask(forge, "POST", f"{PREFIX}/statuses/{head}", {"state": "failure", "context": "gate"})
    assert merge(forge, number).status_code == 405


def test_nobody_approves_their_own(forge: Forge, git: GitRepository) -> None:
    number = opened(forge, login=ANN)
    answer = approve(forge, number, login=ANN)
    assert (answer.status_code, "Can not approve your own pull request" in said(answer)) == (422, True)
    assert approve(forge, number, login=ANN, event="COMMENT").status_code == 200
    assert approve(forge, number, login=BOB).status_code == 200
    assert approve(forge, number, login=BOB, event="SING").status_code == 422


def test_requested_changes_block_until_withdrawn(forge: Forge, git: GitRepository) -> None:
    protect(forge, reviews=1)
    number = opened(forge)
    approve(forge, number, login=ANN)
    approve(forge, number, login=BOB, event="REQUEST_CHANGES")
    assert said(merge(forge, number)) == "Changes have been requested."
    approve(forge, number, login=BOB)
    assert merge(forge, number).status_code == 200


def test_stale_approvals_fall_when_the_branch_says_so(forge: Forge, git: GitRepository) -> None:
    rules = {
        "required_status_checks": None,
        "enforce_admins": True,
        "restrictions": None,
        "required_pull_request_reviews": {"required_approving_review_count": 1, "dismiss_stale_reviews": 1},
    }
    ask(forge, "PUT", f"{PREFIX}/branches/main/protection", rules)
    number = opened(forge)
    approve(forge, number)
    push(git, BRANCH, {ISVC: "share: 100\n"})
    assert "approving review" in said(merge(forge, number))


def test_strict_checks_want_the_base_inside(forge: Forge, git: GitRepository) -> None:
    rules = {
        "required_status_checks": {"strict": True, "contexts": []}, "enforce_admins": True,
        "required_pull_request_reviews": None, "restrictions": None,
    }  # fmt: skip
    ask(forge, "PUT", f"{PREFIX}/branches/main/protection", rules)
    number = opened(forge)
    push(git, "main", {"meanwhile": "1"})
    assert settled(forge, number) == "behind"
    assert merge(forge, number).status_code == 405


# --------------------------------------------------------------- statuses, history


def test_statuses_add_up_to_the_worst(forge: Forge, git: GitRepository) -> None:
    head = git.head(BRANCH)
    address = f"{PREFIX}/commits/{head}/status"
    assert ask(forge, "GET", address).json()["state"] == "pending"
    for context, state in (("a", "success"), ("b", "error"), ("b", "pending"), ("b", "success")):
        ask(forge, "POST", f"{PREFIX}/statuses/{head}", {"state": state, "context": context})
    combined = ask(forge, "GET", address).json()
    assert (combined["state"], combined["total_count"]) == ("success", 2)
    assert len(ask(forge, "GET", f"{PREFIX}/statuses/{head}").json()) == 4


@pytest.mark.parametrize("bad", [{"state": "fine"}, {"state": "success", "description": "x" * 141}])
def test_a_status_github_would_refuse_is_refused(forge: Forge, git: GitRepository, bad: dict) -> None:
    assert ask(forge, "POST", f"{PREFIX}/statuses/{git.head(BRANCH)}", bad).status_code == 422
    assert ask(forge, "POST", f"{PREFIX}/statuses/{'f' * 40}", {"state": "success"}).status_code == 422


def test_compare_counts_both_ways(forge: Forge, git: GitRepository) -> None:
    push(git, "main", {"meanwhile": "1"})
    seen = ask(forge, "GET", f"{PREFIX}/compare/main...{BRANCH}").json()
    assert (seen["status"], seen["ahead_by"], seen["behind_by"]) == ("diverged", 1, 1)
    assert [file["filename"] for file in seen["files"]] == [ISVC]
    assert ask(forge, "GET", f"{PREFIX}/compare/main").status_code == 404
    touched = ask(forge, "GET", f"{PREFIX}/commits?sha=main&path=meanwhile").json()
    assert [commit["sha"] for commit in touched] == [git.head("main")]


def test_refs_move_forward_only(forge: Forge, git: GitRepository) -> None:
    """GitHub's ``force=false`` rule, and main never goes back even when forced."""
    main, head = git.head("main"), git.head(BRANCH)
    assert ask(forge, "POST", f"{PREFIX}/git/refs", {"ref": "refs/heads/new", "sha": head}).status_code == 201
    assert ask(forge, "POST", f"{PREFIX}/git/refs", {"ref": "refs/heads/new", "sha": head}).status_code == 422
    back = ask(forge, "PATCH", f"{PREFIX}/git/refs/heads/new", {"sha": main})
    assert (back.status_code, said(back)) == (422, "Update is not a fast forward")
    assert (
        ask(forge, "PATCH", f"{PREFIX}/git/refs/heads/new", {"sha": main, "force": True}).status_code == 200
    )
    ask(forge, "PATCH", f"{PREFIX}/git/refs/heads/main", {"sha": head})
    assert (
        ask(forge, "PATCH", f"{PREFIX}/git/refs/heads/main", {"sha": main, "force": True}).status_code == 422
    )
    assert ask(forge, "GET", f"{PREFIX}/git/ref/heads/new").json()["url"].endswith("/git/refs/heads/new")
    assert ask(forge, "DELETE", f"{PREFIX}/git/refs/heads/new").status_code == 204
    assert ask(forge, "DELETE", f"{PREFIX}/git/refs/heads/main").status_code == 422
    assert ask(forge, "GET", f"{PREFIX}/branches/new").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/repos/acme/other", f"{PREFIX}/pulls/99", "/nothing", f"{PREFIX}/commits/--all", "/users/nobody"],
)
def test_what_is_not_there_is_404_in_json(forge: Forge, git: GitRepository, path: str) -> None:
    answer = ask(forge, "GET", path)
    assert (answer.status_code, answer.json()["message"]) == (404, "Not Found")


def test_a_body_that_is_no_object_is_400(forge: Forge) -> None:
    headers = {"Authorization": f"token {TOKENS[ANN]}"}
    answer = requests.post(f"{forge.api_url}{PREFIX}/pulls", data="<xml>", headers=headers, timeout=5)
    assert answer.status_code == 400


# ------------------------------------------------------------- protection, restart


def test_protection_reads_back_as_pygithub_expects(forge: Forge, git: GitRepository) -> None:
    with Github(auth=Auth.Token(TOKENS[ANN]), base_url=forge.api_url, seconds_between_writes=0) as github:
        branch = github.get_repo(REPOSITORY).get_branch("main")
        assert branch.protected is False
        branch.edit_protection(strict=False, contexts=["a", "b"], required_approving_review_count=2)
        rules = branch.get_protection()
        assert sorted(rules.required_status_checks.contexts) == ["a", "b"]
        assert rules.required_pull_request_reviews.required_approving_review_count == 2
        branch.remove_protection()
    assert ask(forge, "GET", f"{PREFIX}/branches/main/protection").status_code == 404
    assert ask(forge, "DELETE", f"{PREFIX}/branches/main/protection").status_code == 404


def test_only_the_app_pushes_to_a_protected_branch(forge: Forge, git: GitRepository, tmp_path: Path) -> None:
    """Machines commit shares to main; people go through a pull request."""
    protect(forge, reviews=1)
    person = clone(forge, tmp_path / "ann", ANN)
    with pytest.raises(AccessDenied, match="GH006"):
        push(person, "main", {"sneaked.yaml": "1\n"})
    assert ask(forge, "PATCH", f"{PREFIX}/git/refs/heads/main", {"sha": git.head(BRANCH)}).status_code == 422
    assert push(git, "main", {"share.yaml": "10\n"}) == git.head("main")
    assert push(person, BRANCH, {"note.yaml": "1\n"}) == git.head(BRANCH)


def test_main_is_never_rewritten_or_deleted_by_git(forge: Forge, git: GitRepository, tmp_path: Path) -> None:
    """Not even by the App; other branches may be, as at GitHub."""
    address = forge.git_url.replace("http://", f"http://x-access-token:{TOKENS[BOT]}@")
    folder = tmp_path / "by-hand"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )

    subprocess.run(["git", "clone", "-q", address, str(folder)], check=True)
    run("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--amend", "-m", "rewritten")
    assert "Cannot force-push" in run("push", "--force", "origin", "main").stderr
    assert "rejected" in run("push", "origin", ":main").stderr
    assert run("push", "--force", "origin", f"main:{BRANCH}").returncode == 0


def test_git_speaks_only_to_known_tokens(forge: Forge, git: GitRepository, tmp_path: Path) -> None:
    for user, password, status in (("", "", 401), ("x", "wrong", 401), ("anything", TOKENS[BOB], 200)):
        answer = requests.get(
            f"{forge.git_url}/info/refs?service=git-upload-pack", auth=(user, password), timeout=5
        )
        assert answer.status_code == status
    escape = requests.get(f"{forge.git_url}/objects/info/packs", auth=("x", TOKENS[BOB]), timeout=5)
    assert escape.status_code == 404


def test_a_large_push_goes_through(forge: Forge, git: GitRepository) -> None:
    """More than git's one-megabyte buffer, so that the request comes chunked."""
    lines = "\n".join(str(hash((n, "x"))) for n in range(150_000))
    push(git, "big", {"big.txt": lines}, base="main")
    assert git.read("big.txt", "big") == lines


def test_a_forge_started_again_knows_everything(tmp_path: Path) -> None:
    with running(tmp_path / "forge") as forge:
        git = seeded(forge, tmp_path / "clone")
        number, head = opened(forge), git.head(BRANCH)
        protect(forge, contexts=["gate"], reviews=1)
        approve(forge, number)
        ask(forge, "POST", f"{PREFIX}/statuses/{head}", {"state": "success", "context": "gate"})
        ask(forge, "POST", f"{PREFIX}/issues/{number}/comments", {"body": "hello"})
    with running(tmp_path / "forge") as again:
        assert [one["body"] for one in ask(again, "GET", f"{PREFIX}/issues/{number}/comments").json()] == [
            "hello"
        ]
        assert settled(again, number) == "clean"
        assert merge(again, number, sha=head).status_code == 200
        assert said(ask(again, "POST", f"{PREFIX}/pulls", {"title": "x", "head": BRANCH, "base": "main"}))


def test_comments_are_edited_by_their_writer_alone(forge: Forge, git: GitRepository) -> None:
    opened(forge)
    key = ask(forge, "POST", f"{PREFIX}/issues/1/comments", {"body": "mine"}, login=BOT).json()["id"]
    assert ask(forge, "PATCH", f"{PREFIX}/issues/comments/{key}", {"body": "yours"}).status_code == 403
    assert (
        ask(forge, "PATCH", f"{PREFIX}/issues/comments/{key}", {"body": "mine 2"}, login=BOT).status_code
        == 200
    )
    assert ask(forge, "PATCH", f"{PREFIX}/issues/comments/999", {"body": "x"}).status_code == 404
    for bad in ("", "x" * 65537):
        assert ask(forge, "POST", f"{PREFIX}/issues/1/comments", {"body": bad}).status_code == 422


def test_rate_limit_is_shown(forge: Forge) -> None:
    answer = ask(forge, "GET", "/rate_limit")
    assert answer.json()["rate"]["limit"] == int(answer.headers["X-RateLimit-Limit"]) == 5000


# -------------------------------------------------------------- the page for people

HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}$(id)"


def test_the_page_shows_everything_as_data(forge: Forge, git: GitRepository) -> None:
    """No markup from a title, body, file, status, review or comment reaches the reader."""
    push(git, BRANCH, {"<b>.yaml": HOSTILE})
    number, head = opened(forge, title=HOSTILE), git.head(BRANCH)
    body = {
        "state": "success",
        "context": HOSTILE,
        "description": HOSTILE,
        "target_url": "javascript:alert(1)",
    }
    assert ask(forge, "POST", f"{PREFIX}/statuses/{head}", body).status_code == 201
    ask(forge, "POST", f"{PREFIX}/pulls/{number}/reviews", {"event": "APPROVE", "body": HOSTILE})
    ask(forge, "POST", f"{PREFIX}/issues/{number}/comments", {"body": HOSTILE})
    shown = requests.get(forge.pull_page(number), timeout=5)
    assert "<script>" not in shown.text
    assert "javascript:" not in shown.text
    assert shown.text.count("&lt;script&gt;") >= 6
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_page_tells_how_a_pull_request_stands(forge: Forge, git: GitRepository) -> None:
    protect(forge, contexts=["gate"])
    number = opened(forge)

    def page() -> str:
        return requests.get(forge.pull_page(number), timeout=5).text

    assert "Required status check &quot;gate&quot; is expected." in page()
    ask(
        forge,
        "POST",
        f"{PREFIX}/statuses/{git.head(BRANCH)}",
        {"state": "success", "context": "gate", "target_url": "http://r/1"},
    )
    assert "Ready to merge." in page()
    assert "href='http://r/1'" in page()
    push(git, "main", {ISVC: "share: 9\n"})
    assert "Conflicts" in page()
    ask(forge, "PATCH", f"{PREFIX}/pulls/{number}", {"state": "closed"})
    assert "Closed without merging." in page()
    assert requests.get(forge.pull_page(99), timeout=5).status_code == 404


@given(st.text(alphabet="<>\"'&x/ ="))
def test_escaping_leaves_no_markup(text: str) -> None:
    """Whatever is reported as a check, the table has the same tags."""
    from pipelines.rehearsal.forge.state import Check

    check = Check(id=1, sha="f", context=text, state="success", description=text, target_url=text, login="x")
    assert forge_page._checks([check]).count("<") == len(["<table", "<tr", "<td", "<td", "<td", "</table"])
