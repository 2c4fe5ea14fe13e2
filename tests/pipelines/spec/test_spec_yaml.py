"""Strict YAML: what is refused and why, where every value stands, and edits that touch one value only.

Covered: the refusals one by one, all problems at once, sizes and depths, positions, edit as properties.
Left out: what the values must look like, which test_spec_read.py says.
"""

from __future__ import annotations

from datetime import date, datetime

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SpecInvalid
from pipelines.spec.scalars import near, path_text, show, unwanted
from pipelines.spec.yaml import MAX_BYTES, MAX_DEPTH, MAX_PROBLEMS, Document, edit, load, load_all


def told(text: str) -> list[str]:
    """Everything the loader says about a text."""
    return [str(problem) for problem in load(text, "f.yaml").problems]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("text", "text"),
        ('"no"', "no"),
        ("'012'", "012"),
        ("0", 0),
        ("-7", -7),
        ("120", 120),
        ("0.5", 0.5),
        ("-1.25", -1.25),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("v1.2.3", "v1.2.3"),
        ("90s", "90s"),
        ("host:8080", "host:8080"),
        ("2026-11-21", date(2026, 11, 21)),
        ("2026-11-21T03:00:00+00:00", datetime.fromisoformat("2026-11-21T03:00:00+00:00")),
        ("[1, a]", [1, "a"]),
        ("{b: 1}", {"b": 1}),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_means_what_every_reader_understands(written: str, meant: object) -> None:
    """Text, numbers, true, false, null, instants, lists and maps are read."""
    document = load(f"key: {written}", "f.yaml")

    assert document.problems == []
    assert document.value == {"key": meant}


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("no", "`no` is true or false to some YAML readers", 'write true or false, or "no" in quotes'),
        ("Yes", "`Yes` is true or false", '"Yes" in quotes'),
        ("on", "`on` is true or false", '"on" in quotes'),
        ("OFF", "`OFF` is true or false", '"OFF" in quotes'),
        ("y", "`y` is true or false", '"y" in quotes'),
        ("N", "`N` is true or false", '"N" in quotes'),
        ("True", "`True` is a keyword to some", "write true, or"),
        ("NULL", "`NULL` is a keyword to some", "write null, or"),
        ("1_0", "`1_0` is a number to some", "write 10 if it is a number"),
        ("1_000.5", "`1_000.5` is a number to some", "write 1000.5"),
        ("012", "`012` is an octal number", "write 12 if it is a number"),
        ("-00", "`-00` is an octal number", "in quotes if it is text"),
        ("0x1F", "`0x1F` is a number in another base", 'write "0x1F" in quotes'),
        ("0o17", "`0o17` is a number in another base", 'write "0o17" in quotes'),
        ("12:30:45", "`12:30:45` is a number of base sixty", 'write "12:30:45" in quotes'),
        ("8:30", "`8:30` is a number of base sixty", 'write "8:30" in quotes'),
        (".inf", "`.inf` is no number that can be compared", "in quotes"),
        ("-.INF", "`-.INF` is no number", "in quotes"),
        (".nan", "`.nan` is no number", "in quotes"),
        ("1e3", "`1e3` is a number to some YAML readers and text to others", "write the number out"),
        (".5", "`.5` is a number to some", "write the number out"),
        ("5.", "`5.` is a number to some", "write the number out"),
        ("+1", "`+1` is a number to some", "write the number out"),
        ("1234567890123456789012", "is a number to some YAML readers", "in quotes"),
        ("=", "`=` has a meaning of its own", 'write "=" in quotes'),
        ("2026-13-40", "looks like a date but cannot be read as one", '"2026-13-40" in quotes'),
        ("2026-11-21 25:00:00", "looks like a date but cannot be read as one", "2026-12-24T18:00:00Z"),
        ("&a x", "has the anchor &a", "remove it"),
        ("*a", "uses the alias *a", "write the value out"),
        ("!!str 3", "has the tag `!!str`", "remove it"),
        (
            "!!python/object/apply:os.system [ls]",
            "has the tag `!!python/object/apply:os.system`",
            "remove it",
        ),
        ("{{ model }}", "has a key that is not text", "needs quotes"),
        ("{on: 1}", "has the key `on`, which is true or false", 'write "on":'),
        ("{1: 1}", "has the key `1`, which is not text", 'write "1":'),
        ("{? [a] : 1}", "has a key that is not text", "needs quotes"),
        ("{<<: {a: 1}}", "uses the merge key <<", "write the keys out"),
        ("{&k a: 1}", 'has an anchor or tag on the key "a"', "remove it"),
        ("{a: 1, a: 2}", "is written twice; first on line 1", "keep one of the two"),
        (r'{"a\0": 1}', "has a key that holds the character U+0000", "remove it"),
        (r'"a\0b"', "holds the character U+0000 (control character)", "remove it"),
        (r'"\u202E"', "holds the character U+202E (RIGHT-TO-LEFT OVERRIDE)", "remove it"),
        (r'"\uD800"', "holds the character U+D800", "remove it"),
        (r'"\U00110000"', "cannot be read: ", ""),
        ("a: b", "is not YAML: mapping values are not allowed here", "needs quotes; or the indentation"),
        ("%x", "cannot start any token", "needs quotes"),
        ("[a, b", "is not YAML: while parsing a flow sequence", "a bracket or brace is not closed"),
        ('"a', "is not YAML: while scanning a quoted scalar", "a quote is not closed"),
        ("\tx", "holds a tab", "indent with spaces"),
        ("a\u202eb", "holds the character U+202E (RIGHT-TO-LEFT OVERRIDE)", "remove it"),
        ("a\rb", "holds the character U+000D", "remove it"),
        ("a\x00b", "holds the character U+0000", "remove it"),
        ("a\x85b", "holds the character U+0085", "remove it"),
    ],
)
def test_refuses_what_readers_disagree_about(written: str, message: str, hint: str) -> None:
    """Each surprise is refused with the value seen and how to write it."""
    problem = load(f"key: {written}", "f.yaml").problems[0]

    assert problem.line == 1
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: is empty"),
        ("# nothing but a comment\n", "f.yaml: is empty"),
        ("---\n", "f.yaml:1: should hold keys and values, got null"),
        ("- a\n", 'f.yaml:1: should hold keys and values, got ["a"]'),
        ("2026-11-21", "f.yaml:1: should hold keys and values, got the date 2026-11-21"),
        ("a: 1\n---\nb: 1\n", "f.yaml:2: has more than one document (hint: keep the first)"),
        ("%YAML 1.1\n---\na: 1\n", "f.yaml:1: has a % directive (hint: remove it)"),
        ("\ufeffa: 1", "without byte order mark"),
        ("a: 1 #" + "x" * MAX_BYTES, f"at most {MAX_BYTES} are read"),
        ("? [a]\n: 1\nb: 2\n", "f.yaml:1: has a key that is not text"),
    ],
)
def test_refuses_a_file_that_is_no_single_map(text: str, message: str) -> None:
    """One document, one map, of bearable size."""
    assert message in told(text)[0]


def test_says_everything_at_once() -> None:
    """A problem does not hide the next; only a syntax error ends the reading."""
    text = "a: no\nb: [012, &x 1]\nc: 1\nc: {d: yes}\n3: *x\ne: : f\n"

    lines = [problem.line for problem in load(text, "f.yaml").problems]

    assert lines == [1, 2, 2, 4, 4, 5, 5, 6]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "{"])
def test_depth_is_bounded(opening: str) -> None:
    """Nesting ends at a depth no file of ours needs."""
    assert "is nested more than 32 deep" in told("a:\n  " + opening * 500)[-1]
    assert MAX_DEPTH == 32


def test_alias_bomb_costs_nothing() -> None:
    """Aliases are never expanded."""
    bomb = "a: &a [x, x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
    )

    assert all("alias" in problem or "anchor" in problem for problem in told(bomb))


def test_number_of_problems_is_bounded() -> None:
    """A file of nonsense is not answered with a book."""
    assert len(told("a:\n" + "  - no\n" * 5000)) == MAX_PROBLEMS
    assert len(told("\t\n" * 5000)) == MAX_PROBLEMS


def test_pasted_secrets_are_not_repeated() -> None:
    """A value under a key for secrets does not come back in a message or hint."""
    problems = told("token: 0123456\nforge: {password: '\\u202e', private_key: 1_2_3}")

    assert len(problems) == 2
    assert "a value that is not repeated here is an octal number" in problems[0]
    assert "123" not in "".join(problems)


def test_knows_the_line_of_everything() -> None:
    """Values stand at their key, entries on their own line, what is missing at the section around it."""
    document = load("a: 1\nb:\n  c:\n    - x\n    - y\n\n  d: >\n    z\n", "f.yaml")

    assert document.line(("a",)) == 1
    assert document.line(("b", "c")) == 3
    assert document.line(("b", "c", 1)) == 5
    assert document.line(("b", "d")) == 7
    assert document.line(("b", "missing", "too")) == 2
    assert Document("f.yaml").line(("a",)) == 0


def test_shows_values_shortly_and_harmlessly() -> None:
    """Messages hold one line, no password of a URL, and nothing that changes the reading order."""
    assert show("a\nb") == '"a\\nb"'
    assert show("\u202e") == '"\\u202e"'
    assert show("https://user:pass@host/x") == '"https://********@host/x"'
    assert len(show("x" * 500)) == 60
    assert path_text(("a", 2, "b.c", "d")) == 'a[2]["b.c"].d'


def test_suggests_only_what_is_near() -> None:
    """A near miss gets its word, few choices are listed, many are not."""
    assert near("canery", ["canary", "pinned"]) == "did you mean `canary`?"
    assert near("zzz", ["b", "a"]) == "known are a, b"
    assert near(3, []) == ""
    assert near("zzz", [f"key{number}" for number in range(20)]) == ""


TEXT = """\
# kept
version:
  label: v37   # this too
  uri: "s3://b/v37"
  digest: 'sha256:abc'
  alias:
  flow: {p: v1, q: [v2]}
  block: |
    text
  lines: one
    two
other: keep
"""


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("version.label", "v38", "  label: v38   # this too"),
        ("version.label", "1.0", '  label: "1.0"   # this too'),
        ("version.label", "no", '  label: "no"   # this too'),
        ("version.label", "a: {{ b }} # c", '  label: "a: {{ b }} # c"   # this too'),
        ("version.uri", "s3://b/v38", '  uri: "s3://b/v38"'),
        ("version.uri", 'q"\\', '  uri: "q\\"\\\\"'),
        ("version.digest", "sha256:def", "  digest: 'sha256:def'"),
        ("version.digest", "it's", '  digest: "it\'s"'),
        ("version.alias", "models:/m@x", "  alias: models:/m@x"),
        ("version.flow.p", "v9", "  flow: {p: v9, q: [v2]}"),
        ("version.flow.q[0]", "a,b", '  flow: {p: v1, q: ["a,b"]}'),
    ],
)
def test_edit_changes_one_value(key: str, value: str, line: str) -> None:
    """The value changes in the quotes it has, or in those it needs; every other line is the same."""
    after = edit(TEXT, key, value)

    changed = [new for old, new in zip(TEXT.splitlines(), after.splitlines(), strict=True) if old != new]
    assert changed == [line]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version.labl", "v38", "version.labl: is missing, so it cannot be changed"),
        ("version", "v38", "is not one value on one line"),
        ("version.block", "v38", "is not one value on one line"),
        ("version.lines", "v38", "is not one value on one line"),
        ("version.label", "\x00", "cannot become"),
    ],
)
def test_edit_refuses_what_it_cannot_do_in_place(key: str, value: str, message: str) -> None:
    """Nothing is guessed: a key that is not one value on one line is left to people."""
    with pytest.raises(SpecInvalid, match=message):
        edit(TEXT, key, value)


def test_edit_refuses_a_text_that_is_not_strict() -> None:
    """What cannot be read is not written."""
    with pytest.raises(SpecInvalid, match="written twice"):
        edit("a: 1\na: 2\n", "a", "x")


VALUES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


@given(
    value=VALUES,
    ends=st.sampled_from(["\n", "\r\n"]),
    key=st.sampled_from(["label", "uri", "digest", "alias"]),
)
def test_edit_is_read_back_and_touches_nothing_else(value: str, ends: str, key: str) -> None:
    """Whatever the value: it is refused by name, or read back with all other bytes the same."""
    before = TEXT.replace("\n", ends)
    if unwanted(value):
        with pytest.raises(SpecInvalid, match="which holds the character"):
            edit(before, f"version.{key}", value)
        return
    after = edit(before, f"version.{key}", value)

    document = load(after, "f.yaml")
    was, now = load(before, "f.yaml").value, document.value
    assert isinstance(was, dict)
    assert isinstance(now, dict)
    assert document.problems == []
    assert now["version"].pop(key) == value
    was["version"].pop(key)
    assert now == was
    changed = [old for old, new in zip(before.split(ends), after.split(ends), strict=True) if old != new]
    assert len(changed) <= 1


YAMLISH = st.text(st.sampled_from("ab1 \n:-?[]{},&*!|>'\"%@`#~.\\xU\t<=0eé\x00"), max_size=80)


@given(st.one_of(st.text(max_size=200), YAMLISH))
def test_never_raises(text: str) -> None:
    """Any text is read or complained about."""
    document = load(text, "f.yaml")

    assert document.problems or isinstance(document.value, dict)


@given(YAMLISH)
def test_agrees_with_another_reader(text: str) -> None:
    """What passes means the same to a YAML 1.1 reader."""
    document = load(text, "f.yaml")

    if not document.problems:
        assert pyyaml.safe_load(text) == document.value


# ------------------------------------------------------------------------- several documents


def test_every_document_of_a_file_has_its_lines() -> None:
    """Counted from the top of the file; documents without content are left out."""
    first, second = load_all("---\na: 1\n---\n---\n# nothing\n---\nb:\n  c: 2\n...\n", "f.yaml")

    assert (first.value, second.value) == ({"a": 1}, {"b": {"c": 2}})
    assert (first.line(("a",)), second.line(("b", "c"))) == (2, 8)
    assert first.problems == second.problems == []


def test_problems_of_one_document_are_not_those_of_another() -> None:
    """What comes behind a broken one cannot be read."""
    documents = load_all("a: 1\n---\n- no\n---\nb: yes\n---\nc: [\n---\nd: 1\n", "f.yaml")

    assert [[problem.line for problem in one.problems] for one in documents] == [[], [3, 3], [5], [8]]
    assert documents[1].is_spoiled(())


@given(st.one_of(st.text(max_size=200), YAMLISH))
def test_several_documents_never_raise(text: str) -> None:
    """And mean what another reader reads."""
    documents = load_all(text, "f.yaml")

    if not any(one.problems for one in documents):
        others = [one for one in pyyaml.safe_load_all(text) if one is not None]
        assert [one.value for one in documents] == others
