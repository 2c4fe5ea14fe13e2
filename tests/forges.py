"""A forge with three accounts, and short ways to do by hand what people do there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from pipelines.clients.git import GitRepository
from pipelines.rehearsal.forge import Forge

BOT, ANN, BOB = "lockgate[bot]", "ann", "bob"
TOKENS = {BOT: "ghp_bot_91c2d7f0", ANN: "ghp_ann_0d4e77aa", BOB: "ghp_bob_52aa19ce"}
REPOSITORY = "acme/ml-gitops"
PREFIX = f"/repos/{REPOSITORY}"
PROMOTION = "fraud-scorer-prod-20261121T031500Z-7f3a"
BRANCH = "lockgate/fraud-scorer-prod-20261121T031500Z-7f3a"


@contextmanager
def running(folder: Path) -> Iterator[Forge]:
    """A forge that is stopped at the end; started again on the same folder it knows everything."""
    forge = Forge(folder, repository=REPOSITORY, accounts=TOKENS, app_account=BOT)
    forge.start()
    try:
        yield forge
    finally:
        forge.stop()


def clone(forge: Forge, folder: Path, login: str = BOT, **changes: Any) -> GitRepository:
    """The git client as one account."""
    arguments: dict[str, Any] = {
        "url": forge.git_url, "folder": folder, "token": TOKENS[login], "author_name": login,
        "author_email": f"{login.removesuffix('[bot]')}@acme.example", "timeout_seconds": 30,
    }  # fmt: skip
    return GitRepository(**{**arguments, **changes})


def ask(
    forge: Forge, method: str, path: str, body: Mapping[str, Any] | None = None, *, login: str = ANN,
    token: str | None = None,
) -> requests.Response:  # fmt: skip
    """One REST call as an account."""
    headers = {"Authorization": f"Bearer {token or TOKENS[login]}"}
    return requests.request(method, forge.api_url + path, json=body, headers=headers, timeout=20)


def said(response: requests.Response) -> str:
    """GitHub's words in a refusal, details included."""
    answer = response.json()
    details = [
        one["message"] if isinstance(one, dict) and "message" in one else str(one)
        for one in answer.get("errors", [])
    ]
    return " ".join([answer["message"], *details])


def push(
    repository: GitRepository, branch: str, files: Mapping[str, str | None], *, base: str | None = None
) -> str:
    """Commit files to a branch; the commit's SHA."""
    return repository.commit(
        branch, files, subject=f"Change {', '.join(files)}", body="", trailers={}, base=base
    ).sha


def seeded(forge: Forge, folder: Path) -> GitRepository:
    """Main with one file, and a branch with one more."""
    repository = clone(forge, folder)
    push(repository, "main", {"platform.yaml": "tiers: {}\n"})
    push(repository, BRANCH, {"clusters/prod/risk/fraud-scorer/isvc.yaml": "share: 0\n"}, base="main")
    return repository


def template(folder: Path) -> Path:
    """A folder with a seeded forge and a clone, to be copied by each test instead of made anew."""
    with running(folder / "forge") as forge:
        seeded(forge, folder / "clone")
    return folder


def opened(forge: Forge, *, login: str = BOT, branch: str = BRANCH, title: str = "Promote v2") -> int:
    """A pull request made over REST; its number."""
    body = {"title": title, "head": branch, "base": "main", "body": "why"}
    response = ask(forge, "POST", f"{PREFIX}/pulls", body, login=login)
    assert response.status_code == 201, response.text
    return int(response.json()["number"])


def approve(forge: Forge, number: int, *, login: str = ANN, event: str = "APPROVE") -> requests.Response:
    """Review a pull request as an account."""
    return ask(
        forge, "POST", f"{PREFIX}/pulls/{number}/reviews", {"event": event, "body": "read"}, login=login
    )


def protect(
    forge: Forge, branch: str = "main", *, contexts: list[str] | None = None, reviews: int = 0
) -> None:
    """Protect a branch: required statuses and approving reviews."""
    rules = {
        "required_status_checks": {"strict": False, "contexts": contexts or []},
        "required_pull_request_reviews": {"required_approving_review_count": reviews},
        "enforce_admins": True,
        "restrictions": None,
    }
    assert ask(forge, "PUT", f"{PREFIX}/branches/{branch}/protection", rules).status_code == 200


def blob(forge: Forge, data: bytes) -> str:
    """Store bytes in the forge's repository; their object name."""
    done = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"],
        cwd=forge.world.content.path,
        input=data,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def length(git: GitRepository, branch: str = "main") -> int:
    """Commits on a branch."""
    return int(git.look(branch, lambda tip: git.git.text("rev-list", "--count", tip)) or 0)


def line(n: int, model: str = "fraud-scorer") -> str:
    """A journal line, as far as the store looks into it."""
    return f'{{"n":{n},"data":{{"model":"{model}"}}}}\n'
