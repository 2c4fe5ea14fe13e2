"""Secrets: read where platform.yaml says, refused when unfit, masked in every form that leaves us."""

from __future__ import annotations

import base64
import html
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import MASK, Secrets, configure_logging
from pipelines.errors import SpecInvalid

SECRET = "p/ss w+rd&\"quote'<é"


def holding(secret: str) -> Secrets:
    """Secrets that already handed out this one."""
    secrets = Secrets({"TOKEN": secret})
    secrets.value("env:TOKEN")
    return secrets


def test_reads_a_variable() -> None:
    """``env:NAME`` is the variable of the environment that was passed in, without white space around it."""
    assert Secrets({"TOKEN": " abcdef\n"}).value("env:TOKEN") == "abcdef"


def test_reads_a_file(tmp_path: Path) -> None:
    """``file:/path`` is the file's content; a file for its owner alone gives no warning."""
    file = tmp_path / "token"
    file.write_text("abcdef\n")
    file.chmod(0o600)
    secrets = Secrets({})

    assert secrets.value(f"file:{file}") == "abcdef"
    assert secrets.diagnose() == []


def test_warns_of_a_file_others_can_read(tmp_path: Path) -> None:
    """The warning names the file and the command, once; the secret is used."""
    file = tmp_path / "token"
    file.write_text("abcdef")
    file.chmod(0o644)
    secrets = Secrets({})

    assert secrets.value(f"file:{file}") == secrets.value(f"file:{file}") == "abcdef"
    (finding,) = secrets.diagnose()
    assert finding.good is False
    assert finding.advice == f"chmod 600 {file}"
    assert "can be read by other users" in finding.sentence


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("env:GITHUB_TOKEN", "needs a secret, but the environment variable GITHUB_TOKEN is not set or empty"),
        ("env:EMPTY", "the environment variable EMPTY is not set or empty"),
        ("env:SHORT", "the environment variable SHORT holds fewer than 4 characters"),
        ("file:/nowhere/token", "the file /nowhere/token is not set or empty"),
        ("file:/", "the file / cannot be read: Is a directory"),
        ("ghp_pasted", "is no reference to a secret"),
    ],
)
def test_says_what_is_missing_and_for_what(reference: str, message: str) -> None:
    """The message names the variable or file and the key that needs it; a pasted secret is not repeated."""
    with pytest.raises(SpecInvalid) as refused:
        Secrets({"EMPTY": " ", "SHORT": "abc"}).value(reference, "systems.forge.token")

    assert message in str(refused.value)
    assert "platform.yaml: systems.forge.token: " in str(refused.value)
    assert "ghp_pasted" not in str(refused.value)


def test_refuses_a_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no text are not guessed at, nor repeated."""
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe\xff")
    file.chmod(0o600)

    with pytest.raises(SpecInvalid, match="cannot be read: UnicodeDecodeError"):
        Secrets({}).value(f"file:{file}")


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower().replace("%c3%a9", "%c3%a9"),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
        html.escape(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"svc.lockgate:{SECRET}".encode()).decode(),
        base64.b64encode(f"x-access-token:{SECRET}".encode()).decode(),
        base64.b64encode(f"{SECRET}:".encode()).decode(),
    ],
)
def test_masks_every_form(form: str) -> None:
    """In a URL, in JSON, Python or HTML, in base64, as basic authentication: only the mask is left."""
    masked = holding(SECRET).mask(f"before {form} after")

    assert masked == f"before {MASK} after"


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=40),
    user=st.text(max_size=9),
)
def test_no_secret_survives_basic_authentication(secret: str, user: str) -> None:
    """Whatever user and secret: neither the secret nor what decodes to it is left."""
    header = base64.b64encode(f"{user}:{secret}".encode()).decode()

    masked = holding(secret).mask(f"Authorization: Basic {header} {secret}")

    assert header not in masked
    assert secret not in masked.replace(MASK, "").replace("Authorization: Basic", "")


def test_masks_the_lines_of_a_private_key() -> None:
    """A key of several lines is masked as a whole and line by line, as tracebacks and logs break it up."""
    lines = [
        "-----BEGIN KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0B",
        "AQEFAASCBKcwggSjAgEAAoIB",
        "-----END KEY-----",
    ]
    secrets = holding("\n".join(lines))

    assert secrets.mask("\n".join(lines)) == MASK
    assert secrets.mask(lines[2]) == MASK
    assert secrets.mask(lines[0]) == lines[0]


def test_masks_what_servers_gave_us() -> None:
    """A token that was fetched is remembered too; one of three characters would blot out words."""
    secrets = Secrets({})

    assert secrets.mask("session-token") == "session-token"
    assert secrets.remember("session-token") == "session-token"
    assert secrets.remember("abc") == "abc"
    assert secrets.mask("a session-token, abc") == f"a {MASK}, abc"


def test_masks_all_and_the_longest_first() -> None:
    """A secret that contains another leaves no rest."""
    secrets = holding("abcdef")
    secrets.remember("abcdefghij")

    assert secrets.mask("abcdefghij abcdef") == f"{MASK} {MASK}"


def test_masks_long_texts_quickly() -> None:
    """A megabyte of base64 that holds no secret costs well under a second."""
    began = time.monotonic()

    text = "QUJD" * 250_000
    assert holding("long-enough-secret").mask(text) == text
    assert time.monotonic() - began < 5


def test_shows_nothing_of_itself() -> None:
    """Neither the representation nor the text of the store holds a secret."""
    secrets = holding("abcdef")

    assert "abcdef" not in repr(secrets) + str(secrets)
    assert MASK in repr(secrets)


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging_as_before")
def test_logs_go_to_stderr_through_the_mask(capsys: pytest.CaptureFixture[str]) -> None:
    """Events, their values and their tracebacks lose every secret; stdout stays free for data."""
    configure_logging(holding("abcdef"))
    log = structlog.get_logger()

    log.info("called", url="https://h/?token=abcdef", nested={"a": ["abcdef"]})
    log.debug("not shown")
    try:
        raise ValueError("refused abcdef")
    except ValueError:
        log.exception("failed")

    out, err = capsys.readouterr()
    assert out == ""
    assert "abcdef" not in err
    assert f"token={MASK}" in err
    assert f"refused {MASK}" in err
    assert "event=called" in err
    assert "level=info" in err
    assert "not shown" not in err


@pytest.mark.usefixtures("_logging_as_before")
def test_what_libraries_log_is_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings of libraries are shown, their debug lines only when asked for, and all are masked."""
    configure_logging(holding("abcdef"))
    library = logging.getLogger("urllib3.connectionpool")
    library.warning("retrying %s", "/x?key=abcdef")
    library.debug("quiet")
    quiet = capsys.readouterr().err
    configure_logging(holding("abcdef"), verbose=True)
    library.debug("loud %s", "abcdef")
    structlog.get_logger().debug("ours")
    loud = capsys.readouterr().err

    assert quiet == f"WARNING urllib3.connectionpool: retrying /x?key={MASK}\n"
    assert f"loud {MASK}" in loud
    assert "event=ours" in loud
