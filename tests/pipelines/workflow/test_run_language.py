"""The little languages in workflows: expressions, conditions, depends, placeholders, durations.

Covered: grammar and values of each; what is named instead of answered wrongly; that no text makes one fail in
another way than it should, and that a value is never read as syntax.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.workflow import conditions, depends, durations, expressions
from pipelines.workflow.conditions import BadCondition
from pipelines.workflow.depends import BadDepends
from pipelines.workflow.evaluating import evaluate, is_true, nested, unsupported
from pipelines.workflow.expressions import BadExpression, functions, parse, paths
from pipelines.workflow.placeholders import Missing, placeholders, replace, replace_text

KNOWN = {
    "lastRetry.exitCode": "75",
    "lastRetry.status": "Failed",
    "inputs.parameters.my-name": "x",
    "tasks.a.outputs.parameters": "[]",
    "tasks.a.outputs.parameters.n": "3",
    "word": "go",
}

# ------------------------------------------------------------------------------ expressions


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("asInt(lastRetry.exitCode) == 75", True),
        ("lastRetry.exitCode == 75", False),  # a text is no number, as in Argo
        ("lastRetry.exitCode == '75'", True),
        ("asInt(lastRetry.exitCode) in [5, 75] && lastRetry.status != 'Error'", True),
        ("not (1 == 1) or !false", True),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-2 + 1", -1),
        ("7 % 4", 3),
        ("7 / 2", 3.5),
        ("1 < 2 && 'a' < 'b' && 2.5 >= 2", True),
        ("'a' + \"b\" + `c`", "abc"),
        ("'it\\'s\\n'", "it's\n"),
        ("word == 'go' ? 'yes' : 'no'", "yes"),
        ("word contains 'g' and word startsWith 'g' and word endsWith 'o'", True),
        ("inputs.parameters['my-name']", "x"),
        ("tasks.a.outputs.parameters.n", "3"),
        ("inputs.parameters.none ?? 'd'", "d"),
        ("upper(word) + string(1) + lower('A') + trim(' b ')", "GO1ab"),
        ("len([1, 2]) + len('ab')", 4),
        ("toJson([1, 'a', true, nil])", '[1,"a",true,null]'),
        ("[1, 2, 3][1]", 2),
        ("word | upper()", "GO"),
        ("1 == true", False),
        ("0x10 + 1_000", 1016),
        ("float('1.5') * 2", 3.0),
        ("2 not in [1]", True),
    ],
)
def test_the_value_of_an_expression(text: str, value: object) -> None:
    """As the language has it, with the types it has."""
    found = evaluate(text, KNOWN)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "wants a value"),
        ("1 +", "wants a value where 'the end' stands"),
        ("(1", "wants ')'"),
        ("1 2", "does not go on at '2'"),
        ("a ? b", "wants ':'"),
        ("'open", "cannot be read"),
        ("@", "cannot be read"),
        ("nothing == 1", "there is no nothing"),
        ("word.x", "has no 'x'"),
        ("inputs.none.more", "nothing has a more"),
        ("1 && true", "1 is neither true nor false"),
        ("'a' - 1", "makes no sense"),
        ("1 / 0", "division by zero"),
        ("asInt('x')", "no whole number"),
        ("1 in 'a'", "is no list"),
        ("sprig.trim(word)", "a function of a value, which is not evaluated here"),
        ("word matches 'g.*'", "the operator matches"),
        ("len({a: 1})", "a map"),
        ("1" * 41, "which is too long"),
        ("1..3", "the operator .."),
        ("env('HOME')", "the function env"),
        ("1 | 2", "wants a function behind |"),
        ("'\\ud800'", "holds no character"),
        ("(" * 100, "nested more than 60 deep"),
        ("1" * 10_001, "has 10001 characters"),
    ],
)
def test_what_has_no_value_says_why(text: str, says: str) -> None:
    """Never a wrong one."""
    with pytest.raises(BadExpression) as raised:
        evaluate(text, KNOWN)

    assert says in str(raised.value)


def test_a_condition_has_to_be_true_or_false() -> None:
    """A number is neither."""
    assert is_true("word == 'go'", KNOWN)
    with pytest.raises(BadExpression, match="neither true nor false"):
        is_true("1", KNOWN)


@pytest.mark.parametrize(
    ("text", "names", "called"),
    [
        ("a.b['c'].d + e", {"a.b.c.d", "e"}, set()),
        ("sprig.trim(a.b) == f(c[d])", {"a.b", "c", "d"}, {"sprig.trim", "f"}),
        ("filter(list, {.x == y && # != 1 && #index > 0})", {"list", "y"}, {"filter"}),
        ("let n = a; n + b", {"a", "b"}, set()),
        ("{x: a, 'y': b}[c] ?: d", {"a", "b", "c", "d"}, set()),
        ("a?.b ?? c[1:d]", {"a.b", "c", "d"}, set()),
        ("not a in b ? -c : d..e ^ f ** g", {"a", "b", "c", "d", "e", "f", "g"}, set()),
    ],
)
def test_the_names_in_an_expression(text: str, names: set[str], called: set[str]) -> None:
    """All of the grammar is read, also what is not evaluated."""
    assert paths(parse(text)) == names
    assert functions(parse(text)) == called


def test_what_is_not_evaluated_is_named_without_evaluating() -> None:
    """Before anything runs."""
    assert set(unsupported(parse("map(a, {#}) matches 'x' && {b: 1}.b == 1"))) == {
        "the function map", "a closure", "the operator matches", "a map",
    }  # fmt: skip
    assert list(unsupported(parse("asInt(a.b) == 75"))) == []


def test_names_become_maps_and_the_longer_name_wins() -> None:
    """As Argo lays them out."""
    assert nested({"a.b": "1", "a.b.c": "2", "d": "3"}) == {"a": {"b": {"c": "2"}}, "d": "3"}


@given(st.text(alphabet="ab.('\"[]{}#?:|&!=<>+-*/%^ \\0123\n`,;", max_size=30) | st.text(max_size=20))
@example("''" + "[" * 70)
def test_no_expression_fails_in_another_way(text: str) -> None:
    """Whatever is written, it is a value or a BadExpression."""
    with contextlib.suppress(BadExpression):
        evaluate(text, {"a.b": "1"})


# ------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("when", "met"),
    [
        ("", True),
        ("{{word}} == go", True),
        ("{{word}} != go", False),
        ("'{{word}}' == 'go'", True),
        ("{{ word }}==go && {{n}} >= 3", True),
        ("{{n}} > 10", False),
        ("{{n}} == 3 || x == y", True),
        ("!({{word}} == stop)", True),
        ("{{word}} in (go, stop)", True),
        ("{{word}} in (stop, halt)", False),
        ("true", True),
        ("{{yes}} == true", True),
        ("'{{yes}}' == true", False),  # a text in quotes is no truth value
        ("{{n}} + 1 == 4 && {{n}} * 2 > 5 && -{{n}} < 0", True),
        ("'{{spaced}}' == 'a == b'", True),
        ("'{{quoted}}' == 'it\\'s'", True),
        ('"{{quoted}}" == "it\'s"', True),
        ("'' == '{{empty}}'", True),
        ("{{= word == 'go'}}", True),
        ("abc < abd", True),
    ],
)
def test_whether_a_when_is_met(when: str, met: bool) -> None:
    """Words without quotes are texts, numbers numbers."""
    variables = {
        "word": "go", "n": "3", "yes": "true", "spaced": "a == b", "quoted": "it's", "empty": "",
    }  # fmt: skip

    assert conditions.is_met(when, variables) is met


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("{{word}} = go", "cannot be read from '= go' on"),
        ("{{word}} ==", "wants a value"),
        ("(go == go", "wants ')'"),
        ("go go", "does not go on at 'go'"),
        ("go", "gives 'go', neither true nor false"),
        ("1 && true", "1.0 is neither true nor false"),
        ("go > 1", "'go' is no number"),
        ("1 / 0 == 1", "divides by zero"),
        ("go =~ g", "uses =~, which is not evaluated here"),
        ("{{empty}} == go", "has '' for empty, which is no single word; quote it"),
        ("{{spaced}} == go", "which is no single word; quote it"),
        ("{{none}} == go", "names none, which nothing gives"),
        ("(" * 70, "nested more than 60 deep"),
    ],
)
def test_a_when_that_makes_no_sense_says_why(when: str, says: str) -> None:
    """It is an error of its task, never a yes or a no."""
    with pytest.raises(BadCondition) as raised:
        conditions.is_met(when, {"word": "go", "empty": "", "spaced": "a b"})

    assert says in str(raised.value)


@given(value=st.text(max_size=20))
@example("x' == 'x' || '1' == '1")
@example("go || true")
@example("\\")
def test_a_value_in_a_when_is_never_syntax(value: str) -> None:
    """In quotes it is that text; without, a single word or refused."""
    assert conditions.is_met("'{{v}}' == 'go'", {"v": value}) is (value == "go")
    try:
        assert conditions.is_met("{{v}} == go", {"v": value}) is (value == "go")
    except BadCondition:
        assert value != "go"


@given(st.text(alphabet="ab ()!=<>&|'\"1.,-+{}", max_size=30) | st.text(max_size=20))
def test_no_when_fails_in_another_way(text: str) -> None:
    """Whatever is written."""
    with contextlib.suppress(BadCondition, BadExpression, Missing):
        conditions.is_met(text, {})


# ----------------------------------------------------------------------------------- depends


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", depends.Ref("a")),
        ("a-b.Succeeded", depends.Ref("a-b", "Succeeded")),
        ("a||b&&!c", depends.Both(False, (
            depends.Ref("a"), depends.Both(True, (depends.Ref("b"), depends.Not(depends.Ref("c"))))))),
        ("(a || b) && c.Failed", depends.Both(True, (
            depends.Both(False, (depends.Ref("a"), depends.Ref("b"))), depends.Ref("c", "Failed")))),
        ("!!a", depends.Not(depends.Not(depends.Ref("a")))),
    ],
)  # fmt: skip
def test_what_a_depends_says(text: str, tree: depends.Depends) -> None:
    """&& binds tighter than ||, and a dash belongs to a name."""
    assert depends.parse(text) == tree


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ends where a task should stand"),
        ("a &&", "ends where a task should stand"),
        ("a b", "does not go on at 'b'"),
        ("(a", "a ( that is not closed"),
        ("a & b", "cannot be read from '& b' on"),
        ("&& a", "has '&&' where a task should stand"),
        ("!" * 70 + "a", "nested more than 60 deep"),
    ],
)
def test_a_depends_that_cannot_be_read_says_why(text: str, says: str) -> None:
    """Where it goes wrong."""
    with pytest.raises(BadDepends) as raised:
        depends.parse(text)

    assert says in str(raised.value)


@given(st.text(alphabet="ab.S()!&| -", max_size=30) | st.text(max_size=20))
def test_no_depends_fails_in_another_way(text: str) -> None:
    """Whatever is written."""
    try:
        tree = depends.parse(text)
    except BadDepends:
        return
    named = {ref.task for ref in depends.refs(tree)}
    none = dict.fromkeys(named, frozenset[str]())
    assert depends.holds(tree, none, none) in (True, False)


# ------------------------------------------------------------------------------ placeholders


def test_placeholders_are_found_with_their_places() -> None:
    """Simple ones and expressions, spaces aside."""
    found = list(placeholders("a {{ b.c }} {{=d + 1}} {{ e"))

    assert [(one.inside, one.is_expression) for one in found] == [("b.c", False), ("d + 1", True)]
    assert (found[0].start, found[0].end) == (2, 11)


def test_a_tree_is_replaced_in_every_text_and_what_has_no_value_stays() -> None:
    """Numbers and keys stay as they are."""
    tree = {"a": ["{{x}}-{{y}}", 1, None], "{{x}}": {"b": "{{=asInt(x) + 1}} {{= y}}"}}

    assert replace(tree, {"x": "1"}) == {"a": ["1-{{y}}", 1, None], "{{x}}": {"b": "2 {{= y}}"}}


@pytest.mark.parametrize(
    "name", ["tasks.a.outputs.parameters.x", "steps.a.status", "=tasks.a.exitCode + '1'"]
)
def test_an_output_that_is_not_there_is_missing_and_not_left(name: str) -> None:
    """Argo asks again for such a one, and so do we."""
    with pytest.raises(Missing):
        replace_text(f"{{{{{name}}}}}", {"x": "1"})


def test_an_expression_that_gives_no_text_is_json() -> None:
    """As in Argo."""
    assert replace_text("{{=[1, 'a']}} {{=1 == 1}}", {}) == '[1,"a"] true'


@given(st.text(max_size=20))
@example("{{x}}")
@example("{{=x}}")
def test_a_value_is_not_looked_through_for_placeholders(value: str) -> None:
    """However often it looks like one."""
    assert replace_text("<{{x}}{{=x}}>", {"x": value}) == f"<{value}{value}>"


# -------------------------------------------------------------------------------- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1h30m", 5400), ("1.5s", 1.5), ("100ms", 0.1), ("-5m", -300), ("0", 0), ("2h", 7200)],
)
def test_durations(text: str, seconds: float) -> None:
    """With units as Go reads them, or whole seconds."""
    assert durations.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 m", "1d", "1h30", "m", "1e3s", "999999999h"])
def test_what_is_no_duration(text: str) -> None:
    """Is refused, and said to be none."""
    with pytest.raises(ValueError, match=r"is no duration|longer than Argo can hold"):
        durations.duration(text)


def test_a_bare_number_is_no_duration_of_gos() -> None:
    """Where Argo leaves the reading to Go."""
    with pytest.raises(ValueError, match="is no duration"):
        durations.go_duration("90")


def test_the_tables_of_the_two_languages_agree_on_depth() -> None:
    """One bound for nesting, far below Python's own."""
    assert expressions.MAX_DEPTH == conditions.MAX_DEPTH == depends.MAX_DEPTH
