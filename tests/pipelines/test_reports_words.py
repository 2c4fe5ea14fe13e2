"""How values are written: one visible line, units shown, and nothing that acts on a terminal or a browser."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Measurement
from pipelines.reports.words import (
    MAX_CHARACTERS,
    address,
    clean,
    clock,
    count,
    measured,
    number,
    short,
    span,
    stamp,
    who,
)

AT = datetime(2026, 3, 14, 10, 5, 9, 700_000, tzinfo=timezone(timedelta(hours=1)))


@given(st.text(alphabet=st.characters(), max_size=200))
def test_whatever_comes_in_one_visible_line_comes_out(text: str) -> None:
    """No control, format or surrogate character survives, and never a second line."""
    out = clean(text)
    assert out
    assert len(out.splitlines()) == 1
    assert not any(unicodedata.category(letter).startswith("C") for letter in out)
    assert clean(out) == out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("\x9b31mred", "red"),
        ("\x1bcreset", "reset"),
        ("\x1b", "–"),
        ("a\r\nb\tc\x00\x07d", "a b cd"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("", "–"),
        (None, "None"),
    ],
)
def test_terminal_sequences_leave_their_text_only(text: object, shown: str) -> None:
    """A sequence goes as a whole, not only its first character."""
    assert clean(text) == shown


def test_a_long_value_is_cut_and_says_so() -> None:
    """Nobody can drown a report in one field."""
    assert len(clean("x" * 9999)) == MAX_CHARACTERS
    assert clean("x" * 9999).endswith("…")
    assert clean("x" * 50, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("good", ["https://github.com/a/b/pull/4?x=1#y", "http://127.0.0.1:8080/x"])
def test_an_http_address_is_a_link(good: str) -> None:
    """Those that a forge or a change desk gives."""
    assert address(good) == good


@pytest.mark.parametrize(
    "bad",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        " https://x",
        "data:text/html,x",
        "ftp://x",
        "//evil",
        "https://",
        'https://x"onclick=alert(1)',
        "https://x y",
        "https://x\n",
        "https://x\x1b]8;;",
        "",
    ],
)
def test_nothing_else_is_a_link(bad: str) -> None:
    """A planted scheme, quote, space or control character leaves plain text."""
    assert address(bad) == ""


def test_instants_are_in_utc_and_say_so() -> None:
    """Whatever zone they came in."""
    assert stamp(AT) == "2026-03-14 09:05:09 UTC"
    assert clock(AT.astimezone(UTC)) == clock(AT) == "09:05:09 UTC"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (-3, "0.0 s"),
        (1.74, "1.7 s"),
        (9.96, "10 s"),
        (45, "45 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_have_the_two_units_that_matter(seconds: float, written: str) -> None:
    """Tenths below ten seconds, and never sixty of anything."""
    assert span(seconds) == written


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (None, "ms", "–"),
        (True, "", "yes"),
        (False, "", "no"),
        (12345, "requests", "12,345 requests"),
        (0.5, "percent", "0.50 %"),
        (99.999, "percent", "100.00 %"),
        (12.3456, "ms", "12.35 ms"),
        (0.000123456, "", "0.0001235"),
        ("sha256:ab\x1b[1m", "", "sha256:ab"),
        (3, "\x1b[1mparsecs", "3 parsecs"),
    ],
)
def test_numbers_carry_their_unit(value: str | float | bool | None, unit: str, written: str) -> None:
    """Percent with two decimals, counts with their thousands, nothing for nothing."""
    assert number(value, unit) == written


def test_one_look_and_two_looks() -> None:
    """Counted things are spelled right."""
    assert (count(1, "look"), count(1200, "look")) == ("1 look", "1,200 looks")


def test_a_commit_is_shown_by_its_first_twelve_digits() -> None:
    """As people compare them."""
    assert short("abcdef0123456789") == "abcdef012345"


def test_a_measurement_on_one_line() -> None:
    """Name, arm, value, interval, threshold and n, each only where there is one."""
    whole = Measurement(
        name="slow_share",
        value=0.4,
        unit="percent",
        arm="candidate",
        samples=900,
        low=0.1,
        high=1.1,
        threshold=1.0,
    )
    assert measured(whole).line == ("slow share, candidate: 0.40 % (0.10 % to 1.10 %), against 1.00 %, n 900")
    assert measured(Measurement(name="problems", value=0)).line == "problems: 0"
    assert measured(Measurement(name="x", value=1, low=0.5)).interval == "0.5 to –"
    assert measured(Measurement(name="digest", value="sha256:" + "a" * 64)).long
    assert not measured(whole).long


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("person:dana", "dana"),
        ("person:a:b", "a:b"),
        ("engine:ci-7:4242", "lockgate (ci-7:4242)"),
        ("engine:::1:7", "lockgate (::1:7)"),
        ("cron", "cron"),
    ],
)
def test_who_wrote_a_line(by: str, said: str) -> None:
    """A person by name, lockgate by host and process, anything else as it is."""
    assert who(by) == said
