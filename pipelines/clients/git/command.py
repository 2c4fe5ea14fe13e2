"""One git process: argument lists only, an environment of our own, and what its failures mean.

The token reaches git as configuration in the environment (``http.<host>.extraHeader``), which only the
same user can read: it stands in no argument list, no configuration file and no error text. Redirects are
not followed, since git would send the header along.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved, Refused, Unreachable

SYSTEM = "git"
_PASSED_ON = (
    "PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "SSH_AUTH_SOCK", "TMPDIR",
)  # fmt: skip
_BROKEN = re.compile(
    r"not a git repository|bad config|bad object|bad tree|unable to read|corrupt|loose object|invalid object"
    r"|missing (blob|tree|commit)|inflate|\.lock': File exists|packfile|unable to (map|open) ",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"authentication failed|could not read (username|password)|terminal prompts disabled|permission denied"
    r"|permission to .* denied|error: 40[13]\b|HTTP 40[13]\b|hook declined|GH0\d\d|push declined"
    r"|not authorized",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"repository .*not found|does not appear to be a git repository|error: 404\b|HTTP 404\b", re.IGNORECASE
)
_AWAY = re.compile(
    r"could not resolve|couldn't connect|failed to connect|connection (refused|reset|timed out|closed)"
    r"|timed? ?out|HTTP (5\d\d|429)|error: (5\d\d|429)\b|RPC failed|early EOF|hung up|unexpected disconnect"
    r"|SSL|TLS|certificate|empty reply|transfer closed|network is unreachable|no route to host"
    r"|unable to access|unable to rewind",
    re.IGNORECASE,
)
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/@+=-]{0,199}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one git process left."""

    code: int
    out: bytes
    err: str
    """Standard error without secrets."""


class CacheBroken(Exception):
    """The local clone cannot be read or written; a fresh one can."""


class GitCommand:
    """Runs git on one bare clone, against one remote."""

    def __init__(
        self, url: str, git_dir: Path, *, token: str | Callable[[], str] | None, timeout_seconds: float,
        settings: Mapping[str, str], identity: tuple[str, str],
    ) -> None:  # fmt: skip
        self.url = _checked_url(url)
        self.git_dir = git_dir
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._settings = {
            "http.followRedirects": "false",
            "http.lowSpeedLimit": "1",
            "http.lowSpeedTime": str(max(int(timeout_seconds), 1)),
            "credential.helper": "",
            "core.hooksPath": os.devnull,
            "gc.autoDetach": "false",
            **settings,
        }
        self._identity = identity

    def __call__(
        self, *arguments: str, data: bytes = b"", extra: Mapping[str, str] | None = None, remote: bool = False
    ) -> Answer:
        """Run one command; the token is at hand only when ``remote``.

        Raises:
            Unreachable: it took longer than the time-out; the whole process group is ended.
        """
        token = self._secret() if remote else ""
        process = self._started(arguments, self._environment(token) | dict(extra or {}))
        try:
            out, err = process.communicate(data, self._timeout_seconds)
        except subprocess.TimeoutExpired:
            raise Unreachable(
                SYSTEM, f"{self.url}: git {arguments[0]} gave no answer within {self._timeout_seconds:g} s"
            ) from None
        finally:
            _end(process)
        return Answer(process.returncode, out, _masked(err.decode(errors="replace"), token))

    def _started(self, arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        # A session of its own, so that a time-out ends the transport helpers too.
        try:
            return subprocess.Popen(
                ["git", *arguments], env=environment, cwd=self.git_dir.parent, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except FileNotFoundError:
            raise Misbehaved(
                SYSTEM, "git is not installed or not on PATH; install git 2.31 or newer"
            ) from None

    def local(self, *arguments: str, data: bytes = b"", extra: Mapping[str, str] | None = None) -> bytes:
        """Standard output of a command that touches only the clone.

        Raises:
            CacheBroken: it failed.
        """
        answer = self(*arguments, data=data, extra=extra)
        if answer.code:
            raise CacheBroken(f"git {arguments[0]}: {_short(answer.err)}")
        return answer.out

    def text(self, *arguments: str, data: bytes = b"", extra: Mapping[str, str] | None = None) -> str:
        """Like :meth:`local`, as text without the last newline."""
        return self.local(*arguments, data=data, extra=extra).decode(errors="replace").rstrip("\n")

    def failure(self, answer: Answer, doing: str) -> CouldNotTell:
        """What a failed command against the remote means.

        Raises:
            CacheBroken: nothing is wrong with the remote; the clone is broken.
        """
        short = _short(answer.err)
        if _BROKEN.search(answer.err):
            raise CacheBroken(f"git {doing}: {short}")
        if _DENIED.search(answer.err):
            return AccessDenied(
                SYSTEM,
                f"{self.url} refused to {doing}: {short}; check the token and its rights to write contents",
            )
        if _MISSING.search(answer.err):
            return Misbehaved(
                SYSTEM,
                f"{self.url}: no such repository, or the token may not see it; check git_url ({short})",
            )
        if _AWAY.search(answer.err):
            return Unreachable(SYSTEM, f"{self.url} gave no answer to {doing}: {short}")
        return Misbehaved(SYSTEM, f"{self.url}: could not {doing}: {short}")

    def _secret(self) -> str:
        return self._token() if callable(self._token) else self._token or ""

    def _environment(self, token: str) -> dict[str, str]:
        settings = dict(self._settings)
        parts = urlsplit(self.url)
        if token and parts.scheme in ("http", "https"):
            settings[f"http.{parts.scheme}://{parts.netloc}/.extraHeader"] = (
                f"Authorization: Basic {_basic(token)}"
            )
        name, email = self._identity
        variables = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        here = str(self.git_dir.parent)
        variables |= {
            "HOME": os.environ.get("HOME", here) if self._needs_home(parts.scheme) else here,
            "LC_ALL": "C",
            "GIT_DIR": str(self.git_dir),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email,
            "GIT_CONFIG_COUNT": str(len(settings)),
        }  # fmt: skip
        for n, (key, value) in enumerate(settings.items()):
            variables |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
        return variables

    def _needs_home(self, scheme: str) -> bool:
        # Keys of ssh and gpg live there; for HTTP it would only bring in somebody's .netrc.
        return scheme == "ssh" or "user.signingKey" in self._settings


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and its transport helpers, and close the pipes; nothing to do after a normal end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream and not stream.closed:
            stream.close()
    process.wait()


def _basic(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


def _masked(text: str, token: str) -> str:
    for secret in (token, _basic(token)) if token else ():
        text = text.replace(secret, "***")
    return text


def _short(text: str) -> str:
    lines = [line.removeprefix("remote: ").strip() for line in text.splitlines()]
    kept = " · ".join(line for line in lines if line and line != "Everything up-to-date")
    return _CONTROL.sub(" ", kept)[:400] or "no reason given"


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http", "ssh", "file") or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise Refused("unsafe_name", f"git_url {url[:200]!r}: write an https://, ssh:// or file:// address")
    if parts.password or (parts.username and parts.scheme != "ssh"):
        raise Refused("unsafe_name", "git_url holds credentials; give the token by reference instead")
    if (parts.hostname or "").startswith("-"):
        raise Refused("unsafe_name", f"git_url {url[:200]!r}: no host begins with '-'")
    return url


def checked_branch(name: str) -> str:
    """A branch name that can be nothing else to git.

    Raises:
        Refused: it begins with '-', holds '..', control characters or the like.
    """
    bad = ("..", "//", "/.", "@{", "./")
    if not _REF.fullmatch(name) or any(part in name for part in bad) or name.endswith(("/", ".", ".lock")):
        raise Refused(
            "unsafe_name", f"{name[:200]!r} cannot be a branch; use letters, digits, '-', '/' and '.'"
        )
    return name


def checked_path(path: str) -> str:
    """A path inside the repository.

    Raises:
        Refused: it is absolute, begins with '-', leaves the repository, or holds control characters.
    """
    parts = path.split("/")
    odd = path.startswith("-") or ".." in path or "\\" in path or _CONTROL.search(path)
    if odd or any(part in ("", ".") or part.lower() == ".git" for part in parts):
        raise Refused(
            "unsafe_name", f"{path[:200]!r} cannot be a path in the repository; write folder/file.yaml"
        )
    return path


def checked_line(value: str, what: str) -> str:
    """Text that stays on its own line.

    Raises:
        Refused: it holds a line break or another control character.
    """
    if _CONTROL.search(value) or "\u2028" in value or "\u2029" in value or "\x85" in value:
        raise Refused("unsafe_name", f"{what} {value[:200]!r} must be one line without control characters")
    return value.strip()
