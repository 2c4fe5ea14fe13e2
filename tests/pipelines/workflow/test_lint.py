"""lockgate workflow lint: what it refuses, and that it refuses nothing else.

Covered: a planted mistake for every rule, next to what the real lint says; no alarm in valid manifests;
fields against published schemas; near misses; several documents, files and kinds; what is not checked is
said; data for programs; no text makes it fail. Left out: YAML itself (spec tests).
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.workflow.lint import RULES, lint
from pipelines.workflow.lint.fields import table
from tests import docs, schemas
from tests.commands import Shell
from tests.pipelines.workflow import argo_lint
from tests.pipelines.workflow.argo_lint import Case, answers, cases

README = Path(__file__).parent / "README.md"
VALID = sorted(argo_lint.VALID.glob("*.yaml"))
RENDERED = sorted((docs.ROOT / "gitops-repo" / "workflows").rglob("promote-*.yaml"))
"""The templates that the sample repository carries."""


def name(one: Case | Path) -> str:
    """A test's id."""
    return one.name


# --------------------------------------------------------------------------------- the cases


@pytest.mark.parametrize("case", cases(), ids=name)
def test_a_planted_mistake_is_refused_by_its_rule(case: Case) -> None:
    """With file, line, what is wrong and what to do."""
    found = case.findings()

    assert case.rule in {one.rule for one in found}, [str(one) for one in found]
    for one in found:
        assert one.problem.file == case.file
        assert one.problem.line > 0
        assert one.problem.message
        assert one.problem.hint


@pytest.mark.parametrize("path", VALID, ids=name)
def test_a_valid_manifest_has_no_finding(path: Path) -> None:
    """Nothing is cried over that is right."""
    linted = lint({path.name: path.read_text("utf-8")})

    assert [str(one) for one in linted.findings] == []
    assert linted.checked


def test_the_templates_of_the_sample_repository_have_no_finding() -> None:
    """All of them together, with the schedules and events that wake them."""
    folder = docs.ROOT / "gitops-repo" / "workflows"
    linted = lint({str(path): path.read_text("utf-8") for path in folder.rglob("*.yaml")})

    assert [str(one) for one in linted.findings] == []
    assert linted.notes == ()
    assert len(linted.checked) >= len(RENDERED) > 0


def test_every_rule_has_a_mistake_that_it_refuses() -> None:
    """A rule that cannot fail proves nothing; a case for a rule that is gone neither."""
    assert {case.rule for case in cases()} == set(RULES)


def test_every_rule_says_what_it_refuses_and_what_to_do() -> None:
    """In words."""
    assert [rule.id for rule in RULES.values() if not (rule.refuses and rule.fix)] == []


def test_cases_have_names_of_their_own_and_an_answer_each() -> None:
    """What the real lint said is recorded for all; where it accepts, the case says what comes of it."""
    assert [name for name, times in Counter(case.name for case in cases()).items() if times > 1] == []
    assert {case.name for case in cases()} == set(answers())
    assert [case.name for case in cases() if bool(case.why) == bool(answers()[case.name])] == []


def test_the_readme_shows_who_says_what() -> None:
    """The table is the cases'."""
    wanted = argo_lint.table()

    assert docs.kept(README, "lint", wanted) == wanted, docs.HOW.replace("tests/test_docs.py", __file__)


@pytest.fixture(scope="module")
def argo() -> str:
    """The real program; skips where there is none."""
    program = argo_lint.argo()
    if program is None:
        pytest.skip("no argo on the PATH, and LOCKGATE_ARGO_CLI names none")
    return program


def test_the_recorded_answers_are_those_of_the_real_lint(argo: str) -> None:
    """Whether it refuses each mistake, and in which words."""
    assert {case.name: argo_lint.ask(argo, case.text) for case in cases()} == answers()


def test_the_real_lint_accepts_what_is_valid(argo: str) -> None:
    """So that a valid file proves something; the sample repository's templates among them."""
    texts = {path.name: path.read_text("utf-8") for path in (*VALID, *RENDERED)}
    wanted = dict.fromkeys(texts, argo_lint.ACCEPTED)

    assert {file: argo_lint.ask(argo, text) for file, text in texts.items()} == wanted


# ---------------------------------------------------------------------------------- the fields


def published(folder: Path) -> dict[str, dict[str, Any]]:
    """Types of published schemas by the short names of our table."""
    found: dict[str, dict[str, Any]] = {}
    for kind in (
        "Workflow",
        "WorkflowTemplate",
        "ClusterWorkflowTemplate",
        "CronWorkflow",
        "WorkflowEventBinding",
    ):
        path = folder / f"argoproj.io_{kind.lower()}_v1alpha1.json"
        if not path.is_file():
            pytest.skip(f"no {path}")
        schema = json.loads(path.read_text())
        found[kind] = schema
        for full, one in schema["$defs"].items():
            short = full.rpartition(".")[2]
            own = f"workflow.v1alpha1.{short}"
            found[short if full == own or own not in schema["$defs"] else f"core.{short}"] = one
    return {short: one for short, one in found.items() if "properties" in one}


def test_the_fields_are_those_that_argo_publishes() -> None:
    """Every type and field of version 4.0, and no other."""
    theirs = {
        short: set(one["properties"]) - {"status"}  # the server's, as are the types below it
        for short, one in published(schemas.FOLDER / "argo-workflows-v4.0.5").items()
        if not short.startswith(
            ("PersistentVolumeClaimStatus", "PersistentVolumeClaimCondition", "ModifyVolume")
        )
    }
    ours = {short: {field.rstrip("!") for field in fields} for short, fields in table().items()}

    assert ours == theirs


def test_no_field_of_ours_is_gone_in_the_newest_version() -> None:
    """What is refused there would be refused by us; what is new there we do not know yet."""
    theirs = published(schemas.FOLDER)

    for short, fields in table().items():
        assert {field.rstrip("!") for field in fields} <= set(theirs[short]["properties"]), short


def test_words_and_types_are_those_that_argo_publishes() -> None:
    """Lists are lists, maps maps, and the words of a field the same."""
    theirs = published(schemas.FOLDER / "argo-workflows-v4.0.5")
    for short, fields in table().items():
        for field, kind in fields.items():
            schema = theirs[short]["properties"][field.rstrip("!")]
            if "|" in kind:
                assert {one for one in schema["enum"] if one} == set(kind.split("|")), (short, field)
            elif "type" in schema and kind not in ("scalar", "int/text", "quantity", "any"):
                wanted = {"[": "array", "{": "object"}.get(
                    kind[0], {"text": "string", "int": "integer", "bool": "boolean"}.get(kind, kind)
                )
                assert schema["type"] in (wanted, "object"), (short, field)


@pytest.mark.parametrize("path", VALID, ids=name)
def test_published_schemas_accept_what_is_valid(path: Path) -> None:
    """A third opinion on every file."""
    for manifest in yaml.safe_load_all(path.read_text("utf-8")):
        assert schemas.schema_errors(manifest) == []


# ----------------------------------------------------------------------- what is said, and how

DAG = (argo_lint.VALID / "dag.yaml").read_text("utf-8")


def told(text: str) -> list[str]:
    """The findings of one text."""
    return [str(one) for one in lint({"a.yaml": text}).findings]


@pytest.mark.parametrize(
    ("find", "write", "says"),
    [
        ("entrypoint: main", "entrypoint: mian",
         'a.yaml:10: spec.entrypoint: unknown_template: there is no template "mian" '
         "(hint: did you mean `main`?)"),
        ("depends: checks.Succeeded,", "depends: checks.Succeded,",
         "a.yaml:41: spec.templates[0].dag.tasks[2].depends: task_result: checks.Succeded is no result "
         "(hint: did you mean `Succeeded`?)"),
        ("        command: [lockgate, step]", "        timeout: 5m\n        command: [lockgate, step]",
         "a.yaml:72: spec.templates[1].container.timeout: misplaced_field: is a field of Template, not of a "
         "Container (hint: move it to the Template)"),
        ("{{item}}", "{{itme}}",
         'a.yaml:39: spec.templates[0].dag.tasks[1].arguments.parameters[0].value: unknown_variable: nothing '
         'gives "itme" (hint: did you mean `item`?)'),
        ("value: finish}", "value: 5}", None),
    ],
)  # fmt: skip
def test_a_finding_says_where_what_and_what_instead(find: str, write: str, says: str | None) -> None:
    """File, line and key path as in `lockgate lint`; the nearest thing that is there."""
    assert DAG.count(find) == 1
    assert told(DAG.replace(find, write)) == ([says] if says else [])


def test_all_findings_of_a_file_come_at_once() -> None:
    """Of its fields, its templates and its variables."""
    text = DAG.replace("serviceAccountName: releases", "serviceAcount: x").replace(
        "{{item}}", "{{inputs.parameters.x}}"
    )
    text = text.replace("depends: checks.Succeeded,", "depends: cheks,")

    assert [line.split(": ")[2] for line in told(text)] == [
        "unknown_field",
        "unknown_variable",
        "unknown_task",
    ]


def test_a_circle_is_told_once_with_the_way_around() -> None:
    """From its first task back to it."""
    tasks = [f"{{name: {name}, depends: {other}, template: t}}" for name, other in ("ac", "ba", "cb")]
    text = (
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  entrypoint: m\n"
        "  templates:\n    - {name: t, suspend: {}}\n"
        f"    - {{name: m, dag: {{tasks: [{', '.join(tasks)}]}}}}\n"
    )

    assert [line.partition("cycle: ")[2] for line in told(text)] == [
        "waits for itself: a after c after b after a (hint: remove one of the dependencies)"
    ]


SKIPS = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: w}}
spec:
  entrypoint: main
  templates:
    - name: main
      dag:
        tasks:
          - {{name: first, template: ask}}
          - {{name: a, template: ask, depends: {before}, when: "1 == 1"}}
          - {{name: middle, template: ask, depends: {middle}}}
          - name: last
            template: say
            depends: {depends}
            arguments: {{parameters: [{{name: x, value: "{{{{tasks.a.outputs.parameters.answer}}}}"}}]}}
    - name: ask
      suspend: {{}}
      outputs: {{parameters: [{{name: answer, valueFrom: {{supplied: {{}}, default: stop}}}}]}}
    - name: say
      inputs: {{parameters: [{{name: x}}]}}
      container: {{image: i, command: [echo, "{{{{inputs.parameters.x}}}}"]}}
"""


@pytest.mark.parametrize(
    ("middle", "depends", "missing"),
    [
        ("a", "a", True),
        ("a", "a.Succeeded", False),
        ("a", "a.Succeeded || a.Failed", False),
        ("a", "a.Succeeded || a.Skipped", True),
        ("a", "a.Succeeded || a.Omitted", True),
        ("a", "'!a.Failed'", True),
        ("a", "middle", True),
        ("a.Succeeded", "middle", False),
        ("a.Succeeded", "middle || middle.Omitted", True),
        ("a.Succeeded", "a.Succeeded && middle", False),
    ],
)
def test_whether_an_output_may_be_missing_is_reasoned_over_the_whole_dag(
    middle: str, depends: str, missing: bool
) -> None:
    """A task that may be skipped is no problem for one that runs only when it was not."""
    text = SKIPS.format(before="first", middle=middle, depends=depends)

    assert [line.split(": ")[2] for line in told(text)] == ["output_may_be_missing"] * missing


def test_a_file_mode_in_octal_gets_its_number() -> None:
    """Readers of YAML take it as different numbers; the hint says which one is meant."""
    text = DAG.replace("{name: scratch, emptyDir: {}}", "{name: s, configMap: {name: c, defaultMode: 0755}}")

    assert "write 493, which is that mode for every reader" in "".join(told(text))


def test_files_of_one_run_know_one_another() -> None:
    """A template in one is found from another; one that is in none is said to be not checked."""
    library, user = (argo_lint.VALID / "library.yaml").read_text("utf-8").split("---\n")
    both, alone = lint({"a.yaml": library, "b.yaml": user}), lint({"b.yaml": user})

    assert (both.findings, both.notes) == ((), ())
    assert alone.findings == ()
    assert alone.notes == (
        "b.yaml: Workflow uses-parts: template tell of parts is not in this run, and not checked",
        "b.yaml: Workflow uses-parts: template count of parts is not in this run, and not checked",
    )
    twice = lint({"a.yaml": library, "b.yaml": library})
    assert [one.rule for one in twice.findings] == ["duplicate_name"]


# ------------------------------------------------------------------------------ the command


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in a repository with workflows."""
    (tmp_path / "workflows" / "base").mkdir(parents=True)
    (tmp_path / "workflows" / "base" / "release.yaml").write_text(DAG)
    (tmp_path / "workflows" / "kustomization.yml").write_text(
        "kind: Kustomization\nresources: [base/release.yaml]\n"
    )
    return Shell({"HOME": str(tmp_path), "LOCKGATE_REPO": str(tmp_path)})


def test_the_workflows_of_the_repository_are_checked_by_default(shell: Shell) -> None:
    """Folders are read to their ground; other kinds are passed over aloud."""
    ran = shell("workflow", "lint")

    assert (ran.code, ran.err) == (0, "")
    assert "passed over, no manifests of Argo Workflows: 1 Kustomization" in ran.out
    assert ran.out.splitlines()[-1] == "1 manifests: no problem"


def test_problems_are_exit_code_3_and_data_for_programs(shell: Shell, tmp_path: Path) -> None:
    """In a stable shape, each with its rule."""
    file = tmp_path / "bad.yaml"
    file.write_text(DAG.replace("entrypoint: main", "entrypoint: mian"))
    ran = shell("workflow", "lint", file, "--json")

    assert ran.code == 3
    assert {key: ran.json[key] for key in ("schema", "checked", "skipped", "not_checked")} == {
        "schema": "lockgate.workflow.lint/1", "checked": ["WorkflowTemplate release"], "skipped": [],
        "not_checked": [],
    }  # fmt: skip
    assert ran.json["problems"] == [
        {
            "rule": "unknown_template", "file": str(file), "line": 10, "path": "spec.entrypoint",
            "message": 'there is no template "mian"', "hint": "did you mean `main`?",
        }
    ]  # fmt: skip
    assert shell("workflow", "lint", file).out.splitlines()[-1] == "1 manifests: 1 problem"


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (None, "is not there"),
        ("kind: Service\n", "holds no manifest of Argo Workflows"),
        ("\udcff", "cannot be read"),
    ],
)
def test_nothing_to_check_is_a_mistake(shell: Shell, tmp_path: Path, write: str | None, says: str) -> None:
    """An empty answer would look like a good one."""
    file = tmp_path / "x.yaml"
    if write is not None:
        file.write_text(write, "utf-8", errors="surrogateescape")
    ran = shell("workflow", "lint", file)

    assert (ran.code, says in ran.err) == (3, True), ran.err


# ------------------------------------------------------------------------------- properties


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree but its root."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


MANIFESTS = [list(yaml.safe_load_all(path.read_text("utf-8"))) for path in VALID]
TEXTS = ["{{", "{{=", "{{inputs.parameters.x}}", "{{=a(", "a.b", "(", "a &&"]
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 99), st.text(max_size=8), st.sampled_from(TEXTS),
    st.builds(list), st.builds(dict), st.builds(lambda: [None]), st.builds(lambda: {"name": None}),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_manifest_makes_it_fail(data: st.DataObject) -> None:
    """Whatever stands anywhere, it answers; and what it says names a rule of the table."""
    manifests = copy.deepcopy(data.draw(st.sampled_from(MANIFESTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        manifest = data.draw(st.sampled_from(manifests))
        *way, last = data.draw(st.sampled_from(list(places(manifest))))
        here = manifest
        for key in way:
            here = here[key]
        if data.draw(st.booleans()):
            here[last] = data.draw(ODD)
        elif isinstance(here, dict):
            here[data.draw(st.sampled_from(["name", "depends", "when", "x"]))] = here.pop(last)
        else:
            here.pop(last)
    linted = lint({"a.yaml": yaml.safe_dump_all(manifests)})

    assert {one.rule for one in linted.findings} <= set(RULES)


@given(st.text(max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    """Also no text that is no YAML at all."""
    lint({"a.yaml": f"kind: Workflow\nspec: {text}"})
    lint({"a.yaml": text})
