"""The engine for workflows: what is launched next, and what becomes of nodes, as a real Argo 4.0 does it.

Covered: order, results and `depends`, `when`, retries, items, outputs, suspends and people's words,
deadlines, shutdown, the exit handler, the shape of the status. Left out: expressions and conditions by
themselves (test_run_language), processes (test_run_runner).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.workflow.running import BadWorkflow, Launch, Run, read_workflow, unsupported
from pipelines.workflow.running.engine import NotSuspended
from pipelines.workflow.running.nodes import node_id

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

HEAD = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wf}
spec:
  entrypoint: main
"""
DO = """
    - name: do
      inputs: {parameters: [{name: word, value: nothing}]}
      container: {image: i, command: [do], args: ["{{inputs.parameters.word}}"]}
      outputs: {parameters: [{name: said, valueFrom: {path: /tmp/said, default: none}}]}
"""


def workflow(templates: str, head: str = HEAD, **spec: Any) -> Any:
    """A manifest: templates in YAML, the rest as usual."""
    manifest = yaml.safe_load(head + "  templates:\n" + templates)
    manifest["spec"].update(spec)
    return manifest


def begin(templates: str, parameters: Mapping[str, str] | None = None, **spec: Any) -> Run:
    """Submit a workflow made of templates."""
    return Run(read_workflow(workflow(templates, **spec)), parameters, now=NOW)


def dag(tasks: str, more: str = DO, **spec: Any) -> Run:
    """Submit a DAG whose tasks use the template `do` unless they say otherwise."""
    written = yaml.safe_load(tasks)
    for task in written:
        task.setdefault("template", "do")
    manifest = workflow("    - name: main\n      dag: {}\n" + more, **spec)
    manifest["spec"]["templates"][0]["dag"] = {"tasks": written}
    return Run(read_workflow(manifest), now=NOW)


Script = Mapping[str, Sequence[int | None]]


def play(
    run: Run, script: Script | None = None, outputs: Mapping[str, Mapping[str, str]] | None = None
) -> list[str]:
    """Let every container end as scripted (display name of the task -> exit codes; 0 by default).

    Returns the display names in the order of launching. Time stands still but for what the run waits for.
    """
    left = {name: list(codes) for name, codes in (script or {}).items()}
    launched, now = [], NOW
    for _ in range(200):
        ready = run.ready(now)
        for launch in ready:
            launched.append(launch.display_name)
            codes = left.get(launch.display_name) or left.get(launch.display_name.partition("(")[0]) or [0]
            code = codes.pop(0) if len(codes) > 1 else codes[0]
            run.finished(launch.node, now, exit_code=code, outputs=(outputs or {}).get(launch.display_name))
        if run.finished_at or (not ready and run.wakes_at is None):
            return launched
        if not ready and run.wakes_at is not None:
            now = max(now, run.wakes_at) + timedelta(microseconds=1)
    raise AssertionError("it goes on for ever")


def phases(run: Run) -> dict[str, str]:
    """Display name -> phase, of everything but the first node."""
    return {node.display_name: node.phase for node in run.nodes.values() if node.name != run.name}


# --------------------------------------------------------------------------- one container


def test_a_container_is_launched_with_its_words_and_ends_the_workflow() -> None:
    """Command and arguments are words; the workflow ends as its only node does."""
    run = begin("""
    - name: main
      container: {image: img, command: [say], args: ["{{workflow.parameters.who}} & co", "b"]}
""", {"who": "a b"})  # fmt: skip
    (launch,) = run.ready(NOW)

    assert (launch.command, launch.image) == (("say", "a b & co", "b"), "img")
    assert run.phase == "Running"
    assert run.ready(NOW) == []
    run.finished(launch.node, NOW, exit_code=0, message="not shown")
    assert run.message == ""
    assert (run.phase, run.nodes["wf"].phase) == ("Succeeded", "Succeeded")


def test_a_container_that_fails_says_its_exit_code() -> None:
    """In the words of a real server."""
    run = begin("    - {name: main, container: {image: i, command: [x]}}\n")
    play(run, {"wf": [4]})

    assert (run.phase, run.message) == ("Failed", "main: Error (exit code 4)")
    assert run.status()["nodes"]["wf"]["outputs"] == {"exitCode": "4"}


def test_a_container_that_was_lost_is_an_error_without_exit_code() -> None:
    """A deleted pod is neither a yes nor a no of its command."""
    run = begin("    - {name: main, container: {image: i, command: [x]}}\n")
    (launch,) = run.ready(NOW)
    run.finished(launch.node, NOW, exit_code=None, message="pod deleted")

    assert (run.phase, run.message) == ("Error", "pod deleted")
    assert "exitCode" not in run.status()["nodes"]["wf"].get("outputs", {})


def test_an_argument_without_value_is_refused() -> None:
    """As a real server refuses the submission."""
    with pytest.raises(BadWorkflow, match=r"spec\.arguments\.who\.value"):
        begin("    - {name: main, suspend: {}}\n", arguments={"parameters": [{"name": "who"}]})


def test_a_value_outside_of_its_enum_is_taken() -> None:
    """The real server does not enforce it either; whoever is started has to look."""
    arguments = {"parameters": [{"name": "who", "value": "a", "enum": ["a"]}]}
    run = begin("    - {name: main, container: {image: i, command: ['{{workflow.parameters.who}}']}}\n",
                {"who": "z"}, arguments=arguments)  # fmt: skip

    assert run.ready(NOW)[0].command == ("z",)


def test_a_placeholder_that_nothing_gives_is_an_error_before_anything_starts() -> None:
    """It never reaches a command as braces."""
    run = begin(
        "    - {name: main, container: {image: i, command: [x], args: ['{{inputs.parameters.no}}']}}\n"
    )

    assert (run.phase, play(run)) == ("Error", [])
    assert "inputs.parameters.no" in run.message


@given(st.text(alphabet="{}workflow.parameters=who '\"\\\n$()`;|&", max_size=40))
def test_a_value_is_data(value: str) -> None:
    """Whatever it holds arrives as it is, also when it looks like a placeholder."""
    run = begin("""
    - name: main
      dag:
        tasks:
          - name: a
            template: do
            arguments: {parameters: [{name: word, value: "<{{workflow.parameters.who}}>"}]}
""" + DO, {"who": value})  # fmt: skip

    assert run.ready(NOW)[0].command == ("do", f"<{value}>")


# ------------------------------------------------------------------------------------- DAG


def test_tasks_wait_for_those_they_depend_on() -> None:
    """And those that depend on nothing start side by side."""
    run = dag("[{name: a}, {name: b}, {name: c, dependencies: [a, b]}, {name: d, depends: c}]")

    assert play(run) == ["a", "b", "c", "d"]
    assert run.phase == "Succeeded"


@pytest.mark.parametrize(
    ("depends", "code", "runs"),
    [
        ("a", 0, True), ("a", 1, False), ("a", None, False),
        ("a.Succeeded", 0, True), ("a.Failed", 1, True), ("a.Failed", None, False), ("a.Errored", None, True),
        ("a.Failed || a.Errored", None, True), ("!a.Failed", 0, True), ("!(a.Failed && a.Errored)", 1, True),
        ("a.Skipped", 0, False), ("a.Omitted", 0, False), ("a.Daemoned", 0, False),
        ("a.AnySucceeded", 0, False), ("a.AllFailed", 1, False),
    ],
)  # fmt: skip
def test_depends_asks_for_results(depends: str, code: int | None, runs: bool) -> None:
    """By name; without a result: succeeded, skipped or daemoned."""
    run = dag(f"[{{name: a}}, {{name: b, depends: '{depends}'}}]")
    play(run, {"a": [code]})

    assert phases(run)["b"] == ("Succeeded" if runs else "Omitted")


def test_what_is_omitted_passes_its_branchs_end_on() -> None:
    """A DAG whose last tasks were omitted ended as the tasks before them did."""
    run = dag("[{name: a}, {name: b, depends: a}, {name: c, depends: b}]")
    play(run, {"a": [1]})

    assert phases(run) == {"a": "Failed", "b": "Omitted", "c": "Omitted"}
    assert run.phase == "Failed"


def test_a_failure_that_was_attended_to_is_none_of_the_workflow() -> None:
    """The end of a branch is that of its last task."""
    run = dag("[{name: a}, {name: mend, depends: a.Failed || a.Errored || a.Omitted}]")
    play(run, {"a": [1]})

    assert (phases(run)["mend"], run.phase) == ("Succeeded", "Succeeded")


def test_a_branch_that_failed_does_not_stop_the_others() -> None:
    """They end first; only then is the DAG over."""
    run = dag("[{name: a}, {name: b}, {name: c, depends: b}]")
    play(run, {"a": [1]})

    assert (phases(run)["c"], run.phase) == ("Succeeded", "Failed")


def test_a_task_continues_on_what_its_forerunner_allows() -> None:
    """`continueOn` widens what is enough, and forgives at the end."""
    run = dag("[{name: a, continueOn: {failed: true}}, {name: b, dependencies: [a]}]")
    play(run, {"a": [1]})

    assert (phases(run)["b"], run.phase) == ("Succeeded", "Succeeded")


def test_when_decides_and_a_skipped_task_is_good_enough() -> None:
    """What waits for it goes on."""
    run = dag("[{name: a, when: '1 == 2'}, {name: b, depends: a}, {name: c, depends: '!a.Skipped'}]")
    play(run)

    assert phases(run) == {"a": "Skipped", "b": "Succeeded", "c": "Omitted"}
    assert run.nodes["wf.a"].message == "when '1 == 2' evaluated false"


def test_a_when_that_makes_no_sense_is_an_error_of_its_task() -> None:
    """With the reason."""
    run = dag("[{name: a, when: 'x =='}, {name: b, depends: a.Errored}]")
    play(run)

    assert phases(run) == {"a": "Error", "b": "Succeeded"}


def test_outputs_are_handed_on() -> None:
    """From the file of one to the argument of another, and out of the DAG."""
    run = dag("""
- {name: a}
- name: b
  depends: a
  arguments: {parameters: [{name: word, value: "got {{tasks.a.outputs.parameters.said}}"}]}
""")  # fmt: skip
    (launch,) = run.ready(NOW)
    assert launch.outputs == (("said", "/tmp/said"),)
    run.finished(launch.node, NOW, exit_code=0, outputs={"said": "hello\n"})

    assert run.ready(NOW)[0].command == ("do", "got hello")


def test_an_output_that_was_not_written_has_its_default_or_is_an_error() -> None:
    """Exit code 0 alone is not enough when a promised file is missing."""
    more = DO.replace(", default: none", "")
    for template, phase in ((DO, "Succeeded"), (more, "Error")):
        run = dag("[{name: a}]", template)
        play(run)
        assert phases(run) == {"a": phase}


def test_a_reference_to_an_output_that_is_not_there_waits_for_ever() -> None:
    """A task behind a skipped one that wants its output gets no node, and the workflow does not end."""
    run = dag("""
- {name: a, when: "1 == 2"}
- {name: b, depends: a, when: "{{tasks.a.outputs.parameters.said}} == go"}
""")
    play(run)

    assert phases(run) == {"a": "Skipped"}
    assert run.phase == "Running"


def test_a_dag_with_a_stuck_task_ends_by_terminate() -> None:
    """A DAG fails as a whole once it is told to end."""
    run = dag("[{name: a, when: '1 == 2'}, {name: b, depends: a, when: '{{tasks.a.exitCode}} == 0'}]")
    run.terminate(NOW)

    assert (run.phase, run.message) == ("Failed", "Stopped with strategy 'Terminate'")


def test_only_the_targets_of_a_dag_and_what_they_need_run() -> None:
    """Others get no node."""
    manifest = workflow("    - name: main\n      dag: {target: b, tasks: [{name: a, template: do}, "
                        "{name: b, template: do, depends: a}, {name: c, template: do}]}\n" + DO)  # fmt: skip
    run = Run(read_workflow(manifest), now=NOW)

    assert play(run) == ["a", "b"]
    assert run.phase == "Succeeded"


def test_a_dag_gives_outputs_of_its_tasks() -> None:
    """By `valueFrom.parameter`, by an expression, or its default."""
    run = begin("""
    - name: main
      dag:
        tasks:
          - {name: inner, template: group}
          - name: last
            template: do
            depends: inner
            arguments:
              parameters:
                - name: word
                  value: "{{tasks.inner.outputs.parameters.one}}/{{tasks.inner.outputs.parameters.two}}"
    - name: group
      outputs:
        parameters:
          - {name: one, valueFrom: {parameter: "{{tasks.a.outputs.parameters.said}}"}}
          - {name: two, valueFrom: {expression: "tasks.b.outputs.parameters.said == 'x' ? 'yes' : 'no'"}}
          - {name: three, valueFrom: {parameter: "{{tasks.a.outputs.parameters.no}}", default: d}}
      dag: {tasks: [{name: a, template: do}, {name: b, template: do}]}
""" + DO)  # fmt: skip
    launched = play(run, outputs={"a": {"said": "A"}, "b": {"said": "x"}})

    assert launched == ["a", "b", "last"]
    assert run.nodes["wf.last"].inputs == {"word": "A/yes"}
    assert [one.value for one in run.nodes["wf.inner"].outputs] == ["A", "yes", "d"]


def test_a_global_output_is_known_to_all() -> None:
    """By `globalName`."""
    run = dag("[{name: a}, {name: b, depends: a, arguments: {parameters: [{name: word, "
              "value: '{{workflow.outputs.parameters.g}}'}]}}]",
              DO.replace("name: said,", "name: said, globalName: g,"))  # fmt: skip
    play(run, outputs={"a": {"said": "wide"}})

    assert run.nodes["wf.b"].inputs == {"word": "wide"}


def test_items_run_side_by_side_and_their_outputs_are_a_list() -> None:
    """From a list, or from a parameter that holds one."""
    run = dag("""
- name: a
  withParam: '[{"n": 1}, {"n": 2}]'
  arguments: {parameters: [{name: word, value: "{{item.n}}"}]}
- name: b
  depends: a.AnySucceeded
  withItems: [x, y]
  arguments: {parameters: [{name: word, value: "{{item}} {{tasks.a.outputs.parameters.said}}"}]}
""")
    launched = play(run, {"a(1:n:2)": [1]}, outputs={"a(0:n:1)": {"said": "one"}})

    assert launched == ["a(0:n:1)", "a(1:n:2)", "b(0:x)", "b(1:y)"]
    assert run.nodes["wf.b(1:y)"].inputs == {"word": 'y ["one"]'}
    assert phases(run)["a"] == "Failed"


def test_no_items_is_skipped_and_all_failed_is_a_result() -> None:
    """An empty list runs nothing; `AllFailed` looks at every item."""
    run = dag("[{name: a, withItems: [1, 2]}, {name: b, depends: a.AllFailed, withParam: '[]'}]")
    play(run, {"a(0:1)": [1], "a(1:2)": [1]})

    assert (phases(run)["a"], phases(run)["b"]) == ("Failed", "Skipped")


# ----------------------------------------------------------------------------------- steps


STEPS = """
    - name: main
      steps:
        - - {name: a, template: do}
          - {name: b, template: do}
        - - name: c
            template: do
            arguments: {parameters: [{name: word, value: "{{steps.a.outputs.parameters.said}}"}]}
"""


def test_groups_of_steps_follow_one_another() -> None:
    """The steps of a group run side by side."""
    run = begin(STEPS + DO)

    assert [launch.display_name for launch in run.ready(NOW)] == ["a", "b"]
    for name in ("wf[0].a", "wf[0].b"):
        run.finished(run.nodes[name].id, NOW, exit_code=0, outputs={"said": name})
    (launch,) = run.ready(NOW)
    assert (launch.display_name, launch.command) == ("c", ("do", "wf[0].a"))
    assert phases(run)["[0]"] == "Succeeded"


def test_a_group_with_a_failure_ends_the_steps() -> None:
    """After its other steps have ended."""
    run = begin(STEPS + DO)
    play(run, {"a": [1]})

    assert (run.phase, phases(run)["b"]) == ("Failed", "Succeeded")
    assert "c" not in phases(run)


def test_stuck_steps_do_not_end_by_terminate() -> None:
    """As was seen on a real server: only deleting the workflow frees it."""
    run = begin("""
    - name: main
      steps:
        - - {name: ask, template: ask}
        - - name: c
            template: do
            arguments: {parameters: [{name: word, value: "{{steps.ask.outputs.parameters.answer}}"}]}
    - {name: ask, suspend: {}, outputs: {parameters: [{name: answer, valueFrom: {supplied: {}}}]}}
""" + DO)  # fmt: skip
    run.resume({"displayName": "ask"}, NOW)
    run.terminate(NOW)

    assert run.phase == "Running"


# --------------------------------------------------------------------------------- retries


def retrying(strategy: str) -> Run:
    """One container with a retry strategy."""
    container = "container: {image: i, command: [x], args: ['{{retries}}', '{{lastRetry.exitCode}}']}"
    return begin(f"    - {{name: main, retryStrategy: {strategy}, {container}}}\n")


EXPRESSION = '{limit: "5", expression: "asInt(lastRetry.exitCode) == 75"}'


@pytest.mark.parametrize(
    ("strategy", "codes", "tries", "phase", "message"),
    [
        (EXPRESSION, [75, 75, 0], 3, "Succeeded", ""),
        (EXPRESSION, [75, 4], 2, "Failed", "retryStrategy.expression evaluated to false"),
        (EXPRESSION, [75] * 9, 6, "Failed", "No more retries left"),
        (EXPRESSION, [None], 1, "Error", "retryStrategy.expression evaluated to false"),
        ('{limit: 2}', [1, 0], 2, "Succeeded", ""),
        ('{limit: 2}', [None], 1, "Error", "pod deleted"),
        ('{limit: 2, retryPolicy: OnError}', [None, 0], 2, "Succeeded", ""),
        ('{limit: 2, retryPolicy: OnError}', [1], 1, "Failed", "main: Error (exit code 1)"),
        ('{limit: 2, retryPolicy: Always}', [None, 1, 0], 3, "Succeeded", ""),
        ('{limit: 0}', [1], 1, "Failed", "No more retries left"),
        ('{retryPolicy: Sometimes}', [1], 1, "Error", "Sometimes is not a valid RetryPolicy"),
        ('{limit: 3, expression: "lastRetry.status == \'Error\'"}', [None, 0], 2, "Succeeded", ""),
    ],
)  # fmt: skip
def test_retries(strategy: str, codes: list[int | None], tries: int, phase: str, message: str) -> None:
    """By limit, policy and expression; with an expression every end may be tried again."""
    run = retrying(strategy)
    launched = play(run, {"wf": codes})

    assert (len(launched), run.phase, run.message) == (tries, phase, message)
    assert [node.retried for node in run.nodes.values()] == [False] + [True] * tries


def test_a_try_knows_those_before_it() -> None:
    """Their number and the last one's exit code."""
    run = retrying('{limit: "2"}')
    seen: list[Launch] = []
    for code in (75, 1, 0):
        seen += run.ready(NOW)
        run.finished(seen[-1].node, NOW, exit_code=code)

    assert [launch.command for launch in seen] == [("x", "0", "0"), ("x", "1", "75"), ("x", "2", "1")]


def test_backoff_waits_longer_each_time_up_to_its_cap() -> None:
    """And says when it goes on."""
    run = retrying('{limit: 9, backoff: {duration: "10", factor: 2, cap: 30s}}')
    waits, now = [], NOW
    for _ in range(4):
        (launch,) = run.ready(now)
        run.finished(launch.node, now, exit_code=1)
        assert run.ready(now) == []
        assert run.wakes_at is not None
        waits.append((run.wakes_at - now).total_seconds())
        now = run.wakes_at

    assert waits == [10, 20, 30, 30]


def test_backoff_without_a_limit_does_not_wait() -> None:
    """A surprise of the real server, kept: it asks for the limit before it waits."""
    run = retrying("{backoff: {duration: 1h}}")
    (launch,) = run.ready(NOW)
    run.finished(launch.node, NOW, exit_code=1)

    assert len(run.ready(NOW)) == 1


def test_backoff_gives_up_where_it_would_pass_its_longest_duration() -> None:
    """Without waiting for it."""
    run = retrying("{limit: 9, backoff: {duration: 1m, maxDuration: 30s}}")
    play(run, {"wf": [1]})

    assert run.message == "Backoff would exceed max duration limit"


# -------------------------------------------------------------------------------- suspends

GATE = (
    """
    - name: main
      dag:
        tasks:
          - {name: ask, template: ask}
          - {name: go, template: do, depends: ask, when: "{{tasks.ask.outputs.parameters.answer}} == go"}
    - name: ask
      suspend: {}
      outputs: {parameters: [{name: answer, enum: [go, stop], valueFrom: {supplied: {}, default: stop}}]}
"""
    + DO
)
ASK = {"displayName": "ask"}


def test_set_then_resume_goes_on_with_what_was_set() -> None:
    """The way it is meant."""
    run = begin(GATE)
    assert run.ready(NOW) == []
    run.set_output(ASK, {"answer": "go"}, NOW, "as dana said")
    assert run.nodes["wf.ask"].phase == "Running"
    run.resume(ASK, NOW)

    assert play(run) == ["go"]
    assert run.phase == "Succeeded"


def test_resume_without_selector_takes_the_default() -> None:
    """Which is the safe answer."""
    run = begin(GATE)
    run.resume(None, NOW, "Resumed by: map[]")

    assert play(run) == []
    assert phases(run) == {"ask": "Succeeded", "go": "Skipped"}
    assert run.nodes["wf.ask"].message == "Resumed by: map[]"


def test_resume_with_selector_leaves_an_unset_output_unset_and_the_next_task_stuck() -> None:
    """As seen on a real server."""
    run = begin(GATE)
    run.resume(ASK, NOW)

    assert run.nodes["wf.ask"].phase == "Succeeded"
    assert run.status()["nodes"][run.nodes["wf.ask"].id]["outputs"]["parameters"] == [
        {"name": "answer", "valueFrom": {"supplied": {}, "default": "stop"}, "enum": ["go", "stop"]}
    ]
    assert play(run) == []
    assert (run.phase, list(phases(run))) == ("Running", ["ask"])


def test_what_makes_no_sense_to_a_suspended_node_is_refused() -> None:
    """Each in the words of a real server."""
    run = begin(GATE)
    with pytest.raises(NotSuspended, match="no suspend nodes matching nodeFieldSelector: displayName=nobody"):
        run.resume({"displayName": "nobody"}, NOW)
    with pytest.raises(NotSuspended, match="node is not expecting output parameter 'reason'"):
        run.set_output(ASK, {"reason": "x"}, NOW)
    run.set_output(ASK, {"answer": "stop"}, NOW)
    with pytest.raises(NotSuspended, match="'answer' was already set"):
        run.set_output(ASK, {"answer": "go"}, NOW)


def test_a_suspend_with_a_duration_resumes_by_itself() -> None:
    """With its default; without one its node is an error."""
    timed = GATE.replace("suspend: {}", "suspend: {duration: 90}")
    for template, phase in ((timed, "Succeeded"), (timed.replace(", default: stop", ""), "Error")):
        run = begin(template)
        assert run.wakes_at == NOW + timedelta(seconds=90)
        run.advance(NOW + timedelta(seconds=91))
        assert phases(run)["ask"] == phase


def test_without_a_default_a_plain_resume_is_refused() -> None:
    """And nothing has changed."""
    run = begin(GATE.replace(", default: stop", ""))
    with pytest.raises(NotSuspended, match="does not have a default value"):
        run.resume(None, NOW)

    assert run.nodes["wf.ask"].phase == "Running"


def test_a_workflow_submitted_suspended_starts_when_it_is_resumed() -> None:
    """`spec.suspend`."""
    run = begin("    - {name: main, container: {image: i, command: [x]}}\n", suspend=True)
    assert run.ready(NOW) == []
    run.resume(None, NOW)

    assert len(run.ready(NOW)) == 1


# ------------------------------------------------------------------- deadlines and shutdown


def test_terminate_ends_everything_and_no_exit_handler_runs() -> None:
    """Not even tasks that would attend to failures."""
    run = dag("[{name: a}, {name: mend, depends: a.Failed}]", onExit="do")
    (launch,) = run.ready(NOW)
    run.terminate(NOW)

    assert (run.phase, run.message) == ("Failed", "Stopped with strategy 'Terminate'")
    assert phases(run)["a"] == "Failed"
    assert launch.node in run.given_up()
    assert play(run) == []


def test_stop_lets_the_exit_handler_run() -> None:
    """And nothing else."""
    run = dag("[{name: a}, {name: mend, depends: a.Failed}]", onExit="do")
    run.ready(NOW)
    run.stop(NOW)

    assert play(run) == ["wf.onExit"]
    assert (run.phase, run.message) == ("Failed", "Stopped with strategy 'Stop'")
    assert "mend" not in phases(run)


def test_a_container_given_up_is_no_longer_listened_to() -> None:
    """Its late end changes nothing."""
    run = dag("[{name: a}]")
    (launch,) = run.ready(NOW)
    run.terminate(NOW)
    run.finished(launch.node, NOW, exit_code=0)

    assert phases(run) == {"a": "Failed"}


def test_the_exit_handler_knows_how_it_went_and_can_spoil_a_success() -> None:
    """`workflow.status`; a handler that fails fails the workflow."""
    run = begin("""
    - {name: main, container: {image: i, command: [x]}}
    - {name: bye, container: {image: i, command: [bye, "{{workflow.status}}", "{{workflow.failures}}"]}}
""", onExit="bye")  # fmt: skip
    run.finished(run.ready(NOW)[0].node, NOW, exit_code=0)
    (launch,) = run.ready(NOW)
    run.finished(launch.node, NOW, exit_code=1)

    assert launch.command == ("bye", "Succeeded", "[]")
    assert run.phase == "Failed"


@pytest.mark.parametrize(
    ("main", "spec", "message"),
    [
        ("container: {image: i, command: [x]}", {"activeDeadlineSeconds": 60}, "Step exceeded its deadline"),
        ("suspend: {}", {"activeDeadlineSeconds": 60}, "Step exceeded its deadline"),
        (
            "activeDeadlineSeconds: 60, container: {image: i, command: [x]}",
            {},
            "Pod was active on the node longer than the specified deadline",
        ),
    ],
)
def test_deadlines_of_workflow_and_template(main: str, spec: dict[str, Any], message: str) -> None:
    """Each ends what has not ended by then."""
    run = begin(f"    - {{name: main, {main}}}\n", **spec)
    run.ready(NOW)
    assert run.wakes_at == NOW + timedelta(seconds=60)
    run.advance(NOW + timedelta(seconds=61))

    assert (run.phase, run.message) == ("Failed", message)


def test_parallelism_and_mutexes_hold_containers_back() -> None:
    """At most so many at once; one at a time per mutex."""
    run = dag("[{name: a}, {name: b}, {name: c}]", parallelism=2)
    assert [launch.display_name for launch in run.ready(NOW)] == ["a", "b"]
    locked = DO + "      synchronization: {mutexes: [{name: 'm-{{workflow.name}}'}]}\n"
    run = dag("[{name: a}, {name: b}]", locked)
    (launch,) = run.ready(NOW)
    assert run.nodes["wf.b"].message == "Waiting for mutex m-wf"
    run.finished(launch.node, NOW, exit_code=0)

    assert [launch.display_name for launch in run.ready(NOW)] == ["b"]


# ---------------------------------------------------------------------- templates elsewhere


def test_a_workflow_made_from_a_template_takes_its_spec_and_its_own_arguments() -> None:
    """As submitted by a form or an event."""
    template = workflow(
        "    - {name: main, container: {image: i, command: ['{{workflow.parameters.who}}']}}\n"
    )
    template |= {"kind": "WorkflowTemplate", "metadata": {"name": "t"}}
    template["spec"]["arguments"] = {"parameters": [{"name": "who", "value": "a"}]}
    own = {"arguments": {"parameters": [{"name": "who", "value": "b"}]}, "workflowTemplateRef": {"name": "t"}}
    manifest = {"kind": "Workflow", "metadata": {"name": "wf"}, "spec": own}
    run = Run(read_workflow(manifest, [template]), now=NOW)

    assert run.ready(NOW)[0].command == ("b",)
    with pytest.raises(BadWorkflow, match="no WorkflowTemplate t"):
        read_workflow(manifest)


def test_a_task_may_use_a_template_of_another_workflow_template() -> None:
    """And templates named inside it are looked up there."""
    library = workflow(
        "    - name: pair\n      steps: [[{name: x, template: do}]]\n" + DO.replace("[do]", "[far]")
    )
    library |= {"kind": "WorkflowTemplate", "metadata": {"name": "lib"}}
    manifest = workflow(
        "    - name: main\n      dag: {tasks: [{name: a, templateRef: {name: lib, template: pair}}]}\n" + DO
    )
    run = Run(read_workflow(manifest, [library]), now=NOW)

    assert run.ready(NOW)[0].command == ("far", "nothing")


def test_a_template_that_calls_itself_for_ever_is_an_error() -> None:
    """Bounded, as on the real server."""
    run = begin("    - {name: main, steps: [[{name: again, template: main}]]}\n")

    assert run.phase == "Failed"
    assert any(node.message == "max recursion depth exceeded" for node in run.nodes.values())


# -------------------------------------------------------------------------- status and refusals


def test_the_status_has_the_shape_of_argos() -> None:
    """Nodes by id, with names, types, phases, inputs, outputs and what follows them."""
    run = begin(GATE)
    run.set_output(ASK, {"answer": "go"}, NOW, "approved")
    status = run.status()
    ask = status["nodes"][run.nodes["wf.ask"].id]

    assert node_id("wf", "foobar") == f"wf-{0xBF9CF968}"  # a published value of FNV-1a
    assert run.nodes["wf.ask"].id == node_id("wf", "wf.ask")
    assert status["nodes"]["wf"] == {
        "id": "wf", "name": "wf", "displayName": "wf", "type": "DAG", "phase": "Running",
        "templateName": "main", "startedAt": "2026-03-02T09:00:00Z", "finishedAt": None,
        "templateScope": "local/wf",
        "children": [ask["id"]],
    }  # fmt: skip
    assert (ask["type"], ask["boundaryID"], ask["message"]) == ("Suspend", "wf", "approved")
    assert ask["outputs"] == {"parameters": [{"name": "answer", "value": "go", "enum": ["go", "stop"]}]}
    assert (status["phase"], status["progress"]) == ("Running", "0/0")


def test_advancing_twice_changes_nothing() -> None:
    """It may be asked at any time."""
    run = begin(GATE)
    before = run.status()
    run.advance(NOW)

    assert run.status() == before


def test_everything_that_cannot_be_run_is_named_at_once() -> None:
    """Before anything starts; templates that nothing leads to do not count."""
    manifest = workflow("""
    - name: main
      dag:
        tasks:
          - {name: a, template: script}
          - {name: b, template: files, hooks: {exit: {template: files}}}
          - {name: c, template: odd, withSequence: {count: 2}}
    - {name: script, script: {image: i, command: [sh], source: ls}}
    - {name: files, inputs: {artifacts: [{name: f, path: /f}]}, container: {image: i}}
    - name: odd
      retryStrategy: {limit: 1, expression: "sprig.trim(lastRetry.message) matches 'x'"}
      container: {image: i, command: [x], args: ["{{=filter([1], {# > 1})}}"]}
    - {name: unused, resource: {action: get}}
""", volumeClaimTemplates=[{"metadata": {"name": "v"}}])  # fmt: skip

    assert unsupported(read_workflow(manifest)) == [
        "spec.volumeClaimTemplates",
        "template files: a container without command: the image's own is not known here",
        "template files: inputs.artifacts",
        "template main: hooks of b",
        "template main: withSequence of c",
        "template odd: a closure, in 'filter([1], {# > 1})'",
        "template odd: a function of a value, in \"sprig.trim(lastRetry.message) matches 'x'\"",
        "template odd: the function filter, in 'filter([1], {# > 1})'",
        "template odd: the operator matches, in \"sprig.trim(lastRetry.message) matches 'x'\"",
        "template script: script",
    ]
    assert unsupported(read_workflow(workflow(GATE))) == []


# ------------------------------------------------------------------------ what a real server did


SEEN: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "argo_seen.yaml").read_text("utf-8"))


def as_seen(one: dict[str, Any]) -> Run:
    """The same workflow here, its containers ending as they did there, and people doing the same."""
    manifest = {"kind": "Workflow", "metadata": {"name": one["name"]}, "spec": one["spec"]}
    run = Run(read_workflow(manifest), now=NOW)
    codes = {name: list(each) for name, each in one.get("codes", {}).items()}
    now = NOW
    for did in [*one.get("did", ()), ""]:
        for _ in range(20):
            for launch in run.ready(now):
                name = launch.display_name
                if name not in one.get("runs", ()):
                    code = codes.get(name.partition("(")[0], [0]).pop(0) if codes else 0
                    says, wrote = one.get("says", {}).get(name, ""), one.get("wrote", {}).get(name)
                    run.finished(launch.node, now, exit_code=code, outputs=wrote, message=says)
            now = max(now, run.wakes_at or now) + timedelta(microseconds=1)
        if did in ("terminate", "stop"):
            getattr(run, did)(now)
        elif did:
            run.resume({"displayName": did["resume"]}, now, "Resumed by: map[User:client]")
    return run


@pytest.mark.parametrize("one", SEEN, ids=[one["name"] for one in SEEN])
def test_every_node_becomes_what_it_became_on_a_real_server(one: dict[str, Any]) -> None:
    """Recorded from Argo 4.0.2: the same nodes with the same ids, phases, outputs and words.

    Only what is wrong with the grammar of a `when` is said in words of our own.
    """
    run = as_seen(one)

    assert (run.phase, run.message) == (one["phase"], one["message"])
    found: dict[str, dict[str, Any]] = {}
    for node in run.nodes.values():
        outputs = {output.name: output.value for output in node.outputs}
        of_node = {
            "id": node.id, "displayName": node.display_name, "type": node.kind, "phase": node.phase,
            "message": node.message, "outputs": outputs,
        }  # fmt: skip
        found[node.name] = {key: value for key, value in of_node.items() if value}
    for node in (*found.values(), *one["nodes"].values()):
        node["message"] = str(node.get("message", "")).partition("': ")[0]
    assert found == one["nodes"]


# --------------------------------------------------------------------------------- properties

TASKS = ["a", "b", "c", "d", "e"]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[str, dict[str, list[int | None]]]:
    """A DAG without cycles, and how each container ends."""
    tasks = []
    for index, name in enumerate(TASKS):
        before = draw(st.lists(st.sampled_from(TASKS[:index]), unique=True)) if index else []
        results = [
            f"{other}.{draw(st.sampled_from(['Succeeded', 'Failed', 'Errored', 'Skipped', 'Omitted']))}"
            for other in before
        ]
        joined = draw(st.sampled_from([" && ", " || "])).join(results)
        when = draw(st.sampled_from(["", ", when: '1 == 2'"]))
        tasks.append(f"{{name: {name}, depends: '{joined}'{when}}}")
    ends = {name: [draw(st.sampled_from([0, 1, None]))] for name in TASKS}
    return f"[{', '.join(tasks)}]", ends


@given(graphs())
def test_every_workflow_ends_and_every_task_once(graph: tuple[str, dict[str, list[int | None]]]) -> None:
    """No task is launched twice or before what it depends on, and none is left without an end."""
    tasks, ends = graph
    run = dag(tasks)
    launched = play(run, ends)

    assert run.finished_at is not None
    assert len(launched) == len(set(launched))
    assert set(phases(run)) == set(TASKS)
    for name, phase in phases(run).items():
        ended = {0: "Succeeded", 1: "Failed", None: "Error"}[ends[name][0]]
        assert phase == (ended if name in launched else phase)
        assert (phase in ("Skipped", "Omitted")) == (name not in launched)
