"""Git logs in as a GitHub App that the environment names, against the rehearsal's forge, over the wire.

Covered: reading and pushing with tokens of the App, their renewal, what is written wrongly, who is asked.
Left out: what the App may do by REST (test_github); the transport (test_git).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.clients.github import api_of
from pipelines.config import MASK, Secrets
from pipelines.errors import InvalidInput
from pipelines.rehearsal.forge import Forge, identity
from pipelines.rehearsal.forge.identity import APP_ID, INSTALLATION_ID
from pipelines.wiring import Desktop, SystemClock, app_token
from tests.commands import Ran, Shell
from tests.forges import BOT, TOKENS, push, running, seeded

MINTING = ("POST", f"/api/v3/app/installations/{INSTALLATION_ID}/access_tokens")


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    with running(tmp_path / "forge") as started:
        seeded(started, tmp_path / "seed")
        started.requests.clear()
        yield started


@pytest.fixture
def key(forge: Forge, tmp_path: Path) -> Path:
    """The App's private key, in a file that only we may read."""
    path = tmp_path / "app.pem"
    path.touch(mode=0o600)
    path.write_text(forge.app_private_key)
    return path


def app(key: Path) -> str:
    return f"{APP_ID}:{INSTALLATION_ID}:file:{key}"


def desktop(forge: Forge, key: Path, folder: Path) -> Desktop:
    secrets = Secrets({})
    token = app_token(app(key), forge.git_url, secrets)
    return Desktop(
        git_url=forge.git_url, git_token=token, folder=folder, secrets=secrets, clock=SystemClock()
    )


def minted(forge: Forge) -> int:
    """Tokens that the App asked for."""
    return sum(seen == MINTING for seen in forge.requests)


def test_git_reads_and_pushes_as_the_app_with_one_token(forge: Forge, key: Path, tmp_path: Path) -> None:
    git = desktop(forge, key, tmp_path / "clone").repository()
    assert git.read("platform.yaml", "main") == "tiers: {}\n"
    assert push(git, "main", {"share.yaml": "10\n"}) == git.head("main")
    assert minted(forge) == 1


def test_a_token_about_to_end_is_renewed(
    forge: Forge, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it ends: git, which cannot ask again in the midst of a push, is given a new one."""
    monkeypatch.setattr(identity, "TOKEN_LIFE", timedelta(seconds=10))
    git = desktop(forge, key, tmp_path / "clone").repository()
    git.head("main")
    monkeypatch.setattr(identity, "TOKEN_LIFE", timedelta(hours=1))
    before = minted(forge)
    push(git, "main", {"share.yaml": "10\n"})
    git.head("main")
    assert minted(forge) == before + 1


def test_a_token_is_masked_as_soon_as_it_is_there(forge: Forge, key: Path) -> None:
    secrets = Secrets({})
    token = app_token(app(key), forge.git_url, secrets)
    assert token is not None
    assert secrets.mask(f"the token {token()}") == f"the token {MASK}"


def status(forge: Forge, tmp_path: Path, **variables: str) -> Ran:
    return Shell({"HOME": str(tmp_path), "LOCKGATE_STATE_DIR": str(tmp_path / "state")})(
        "--repo", forge.git_url, "--json", "status", **variables
    )


def test_a_command_needs_no_token_where_the_app_is_named(forge: Forge, key: Path, tmp_path: Path) -> None:
    assert status(forge, tmp_path).code == 5
    assert status(forge, tmp_path, LOCKGATE_GIT_APP=app(key)).code == 0
    assert minted(forge) == 1


def test_a_token_that_is_given_is_used_and_the_app_is_not_asked(forge: Forge, tmp_path: Path) -> None:
    assert status(forge, tmp_path, LOCKGATE_GIT_TOKEN=TOKENS[BOT], LOCKGATE_GIT_APP="nonsense").code == 0
    assert minted(forge) == 0


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("4711", "does not name an App, its installation and key"),
        ("4711:90210", "does not name an App, its installation and key"),
        ("4711:90210:/run/app.pem", "does not name an App, its installation and key"),
        ("4711:90210:env:NOT_SET", "needs a secret, but the environment variable NOT_SET is not set"),
        ("4711:90210:file:/nowhere/app.pem", "needs a secret, but the file /nowhere/app.pem is not set"),
    ],
)
def test_an_app_that_is_written_wrongly_is_invalid_input(
    forge: Forge, tmp_path: Path, written: str, why: str
) -> None:
    ran = status(forge, tmp_path, LOCKGATE_GIT_APP=written)
    assert ran.code == 3
    assert "LOCKGATE_GIT_APP: " in ran.err
    assert why in ran.err
    assert forge.requests == []


def test_a_key_that_is_none_is_told_without_showing_it(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("c2VjcmV0IGtleQ")
    ran = status(forge, tmp_path, LOCKGATE_GIT_APP=app(tmp_path / "x.pem"))
    assert ran.code == 5
    assert "the App's private key cannot be used" in ran.err
    assert "c2VjcmV0IGtleQ" not in ran.out + ran.err


def test_the_app_is_asked_on_the_repositorys_own_host() -> None:
    """A key that signs for one host is never shown to another."""
    hosts = {
        "https://github.com/acme/m.git": "https://api.github.com",
        "https://acme.ghe.com/acme/m.git": "https://api.acme.ghe.com",
        "https://git.acme.example/acme/m.git": "https://git.acme.example/api/v3",
        "https://git.acme.example:8443/acme/m": "https://git.acme.example:8443/api/v3",
        "https://notgithub.com/acme/m": "https://notgithub.com/api/v3",
    }
    assert {url: api_of(url) for url in hosts} == hosts


@pytest.mark.parametrize("url", ["ssh://git@github.com/acme/m.git", "file:///srv/m.git"])
def test_a_repository_not_reached_over_http_needs_no_app(url: str) -> None:
    assert app_token("nonsense", url, Secrets({})) is None
    with pytest.raises(InvalidInput):
        app_token("nonsense", "https://github.com/acme/m.git", Secrets({}))
