"""Who is asking: distinct accounts with one token each, and a GitHub App with its own key.

An unknown, expired or missing token is refused; there is no default user.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipelines.rehearsal.forge.rules import Denied
from pipelines.rehearsal.forge.state import State

APP_ID = 4711
INSTALLATION_ID = 90210
TOKEN_LIFE = timedelta(hours=1)
PERMISSIONS = {
    "checks": "write", "contents": "write", "metadata": "read", "pull_requests": "write", "statuses": "write",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Actor:
    """An account and how it proved itself."""

    login: str
    kind: Literal["user", "app", "installation"]


class Accounts:
    """The accounts of the forge; ``app_account`` is the one the App acts as."""

    def __init__(self, folder: Path, state: State, accounts: Mapping[str, str], app_account: str) -> None:
        if len(set(accounts.values())) != len(accounts) or not all(accounts.values()):
            raise ValueError("every account needs a token of its own")
        self.app_account = app_account
        self.logins = frozenset({*accounts, app_account})
        self._state = state
        self._tokens = {token: login for login, token in accounts.items()}
        self._key_file = folder / "app-private-key.pem"

    @cached_property
    def private_key(self) -> str:
        """The App's key (PEM), made when first asked for."""
        return _key(self._key_file)

    def actor(self, authorization: str) -> Actor:
        """Whom an Authorization header belongs to (Bearer, token or Basic).

        Raises:
            Denied: 401.
        """
        scheme, _, value = authorization.strip().partition(" ")
        if scheme.lower() == "basic":
            value = _password(value)
        elif scheme.lower() not in ("bearer", "token"):
            raise Denied(401, "Requires authentication")
        if login := self._tokens.get(value):
            return Actor(login, "user")
        if self._state.installation_tokens.get(value, "") > datetime.now(UTC).isoformat():
            return Actor(self.app_account, "installation")
        if value.count(".") == 2:
            return self._app(value)
        raise Denied(401, "Bad credentials")

    def _app(self, token: str) -> Actor:
        try:
            public = serialization.load_pem_private_key(self.private_key.encode(), None).public_key()
            claims: dict[str, Any] = jwt.decode(token, public, ["RS256"])  # type: ignore[arg-type]
        except jwt.PyJWTError:
            raise Denied(401, "A JSON web token could not be decoded") from None
        if str(claims.get("iss")) != str(APP_ID):
            raise Denied(401, "Integration not found")
        return Actor(self.app_account, "app")

    def installation_token(self) -> dict[str, Any]:
        """A new token of the installation, good for an hour."""
        token = f"ghs_{secrets.token_hex(18)}"
        expires = datetime.now(UTC) + TOKEN_LIFE
        with self._state.lock:
            self._state.installation_tokens[token] = expires.isoformat()
            self._state.save()
        return {
            "token": token,
            "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "permissions": PERMISSIONS,
            "repository_selection": "selected",
        }

    def user(self, login: str, api_url: str) -> dict[str, Any]:
        """An account as REST answers show it."""
        return {
            "login": login,
            "id": zlib.crc32(login.encode()),
            "type": "Bot" if login == self.app_account else "User",
            "site_admin": False,
            "url": f"{api_url}/users/{login}",
            "html_url": f"{api_url.removesuffix('/api/v3')}/{login}",
        }


def _password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        raise Denied(401, "Bad credentials") from None


def _key(path: Path) -> str:
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
    return path.read_text()
