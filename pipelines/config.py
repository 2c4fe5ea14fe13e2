"""Secrets by reference, masked wherever text leaves the process, and the log that goes through the mask."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import structlog

from pipelines.errors import Problem, SpecInvalid
from pipelines.ports import Finding

MASK = "********"
SHORTEST = 4
"""Characters below which a secret is refused: easily guessed, and masking it would blot out words."""
_SHORTEST_LINE = 16
"""Lines of a secret of several lines, such as a private key, are masked one by one from this length on."""
_RUN = "[A-Za-z0-9+/_-]"


class Secrets:
    """Reads secrets where platform.yaml says they are, and hides every one it ever handed out."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._forms: set[str] = set()
        self._base64: set[str] = set()
        self._plain: re.Pattern[str] | None = None
        self._encoded: re.Pattern[str] | None = None
        self._findings: list[Finding] = []

    def __repr__(self) -> str:
        return f"Secrets({MASK})"

    def value(self, reference: str, purpose: str = "") -> str:
        """The secret a reference stands for; white space around it is dropped.

        Args:
            reference: ``env:NAME`` or ``file:/absolute/path``.
            purpose: key path that needs it, such as ``systems.forge.token``.

        Raises:
            SpecInvalid: there is none, or it is too short; says which variable or file to fill, and for what.
        """
        kind, _, where = reference.partition(":")
        if kind == "env":
            return self._checked(self._environ.get(where), f"the environment variable {where}", purpose)
        if kind == "file":
            return self._checked(self._read(Path(where), purpose), f"the file {where}", purpose)
        raise _invalid(purpose, "is no reference to a secret", "write env:NAME or file:/absolute/path")

    def remember(self, secret: str) -> str:
        """Mask this one too from now on, such as a session token a server gave us; returns it."""
        if len(secret) >= SHORTEST:
            self._forms.update(_forms(secret))
            self._base64.update(_base64_cores(secret))
            self._plain = re.compile("|".join(_longest_first(self._forms)))
            cores = "|".join(_longest_first(self._base64))
            # Anchored where a run of base64 begins, so that a long run is walked through once.
            self._encoded = re.compile(f"(?<!{_RUN}){_RUN}*(?:{cores}){_RUN}*=*")
        return secret

    def mask(self, text: str) -> str:
        """The text with every remembered secret replaced.

        Also found are its forms in URLs, JSON, Python and HTML, and any base64 text it is part of, which is
        how basic authentication carries it.
        """
        if self._plain is None or self._encoded is None:
            return text
        return self._encoded.sub(MASK, self._plain.sub(MASK, text))

    def diagnose(self) -> list[Finding]:
        """Warnings about the places secrets were read from."""
        return list(self._findings)

    def _checked(self, secret: str | None, place: str, purpose: str) -> str:
        secret = (secret or "").strip()
        if not secret:
            raise _invalid(purpose, f"needs a secret, but {place} is not set or empty", f"fill {place}")
        if len(secret) < SHORTEST:
            message = f"{place} holds fewer than {SHORTEST} characters, which is no secret"
            raise _invalid(purpose, message, f"fill {place}")
        return self.remember(secret)

    def _read(self, path: Path, purpose: str) -> str:
        try:
            if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
                self._warn(path)
            return path.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            message = f"the file {path} cannot be read: {why}"
            raise _invalid(purpose, message, "make it a text file this user may read") from None

    def _warn(self, path: Path) -> None:
        finding = Finding(
            system="secrets",
            what="rights",
            good=False,
            sentence=f"the secret in {path} can be read by other users of this machine",
            advice=f"chmod 600 {path}",
        )
        if finding not in self._findings:
            self._findings.append(finding)


def _invalid(purpose: str, message: str, hint: str) -> SpecInvalid:
    return SpecInvalid([Problem("platform.yaml", 0, purpose, message, hint)])


def _longest_first(texts: Iterable[str]) -> list[str]:
    return [re.escape(text) for text in sorted(texts, key=len, reverse=True)]


def _forms(secret: str) -> Iterator[str]:
    """The secret and what it looks like in URLs, JSON, Python and HTML; and its lines, when long enough."""
    lines = [line.strip() for line in secret.splitlines() if "-----" not in line]
    for text in (secret, *(line for line in lines if len(line) >= _SHORTEST_LINE)):
        for encoded in (quote(text, safe=""), quote(text), quote_plus(text)):
            yield encoded
            yield re.sub("%..", lambda found: found[0].lower(), encoded)
        yield text
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield repr(text)[1:-1]
        yield html.escape(text)


def _base64_cores(secret: str) -> Iterator[str]:
    """The characters of base64 that depend on the secret alone, wherever it begins in the encoded text."""
    data = secret.encode()
    for offset in range(3):
        first = -(-offset * 8 // 6)
        last = (offset + len(data)) * 8 // 6
        core = base64.b64encode(b"\0" * offset + data).decode()[first:last]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))


class _MaskedFormatter(logging.Formatter):
    """For what libraries log by themselves, tracebacks included."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return self._secrets.mask(super().format(record))


def configure_logging(secrets: Secrets, *, verbose: bool = False) -> None:
    """Send all logs to stderr through the mask; ``verbose`` adds debug lines of ours and of libraries."""
    level = logging.DEBUG if verbose else logging.INFO

    def masked(logger: Any, method: str, rendered: str | MutableMapping[str, Any]) -> str:
        return secrets.mask(str(rendered))

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event"], bool_as_flag=False
            ),
            masked,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_MaskedFormatter(secrets))
    logging.basicConfig(handlers=[handler], level=level if verbose else logging.WARNING, force=True)
