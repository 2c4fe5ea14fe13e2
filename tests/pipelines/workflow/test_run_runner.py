"""lockgate workflow run: a workflow's containers as processes of this machine.

Covered: order, outputs through files, retries, answers, refusals before anything starts, what is ended when a
run ends, the dry run, data for programs. Left out: what follows what (test_run_engine), what a person types
at a terminal.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from pipelines.workflow.running import Launch, Run, read_workflow
from pipelines.workflow.running.processes import Machine, moved
from pipelines.workflow.running.runner import Runner
from tests.commands import Ran, Shell
from tests.pipelines.workflow.test_run_engine import NOW, workflow

HELLO = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: hello}
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: world, enum: [world, moon]}, {name: code, value: "0"}]}
  templates:
    - name: main
      dag:
        tasks:
          - {name: say, template: say}
          - {name: ask, template: ask, depends: say.Succeeded}
          - name: go
            template: echo
            depends: ask.Succeeded
            when: "{{tasks.ask.outputs.parameters.answer}} == go"
            arguments: {parameters: [{name: word, value: "{{tasks.say.outputs.parameters.said}}"}]}
    - name: say
      retryStrategy: {limit: 3, expression: "asInt(lastRetry.exitCode) == 75"}
      container:
        image: example.org/say
        command: [python, -c]
        args:
          - |
            import os, sys
            open("/tmp/out/said", "w").write("hi " + os.environ["WHO"] + "\\n")
            print("try", sys.argv[1])
            sys.exit(int("{{workflow.parameters.code}}") or (75 if sys.argv[1] == "0" else 0))
          - "{{retries}}"
        env: [{name: WHO, value: "{{workflow.parameters.who}}"}]
      outputs: {parameters: [{name: said, valueFrom: {path: /tmp/out/said}}]}
    - name: ask
      suspend: {}
      outputs: {parameters: [{name: answer, enum: [go, stop], valueFrom: {supplied: {}, default: stop}}]}
    - name: echo
      inputs: {parameters: [{name: word}]}
      container:
        image: example.org/echo
        command: [python, -c, "import sys; print(sys.argv[1:])"]
        args: ["{{inputs.parameters.word}}", "$HOME; ls | cat"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the workflow hello in it."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "hello.yaml").write_text(HELLO)
    return tmp_path / "flows"


def run(folder: Path, *words: str, file: str = "hello.yaml") -> Ran:
    """Run a file of the folder, with this Python for the word python."""
    shell = Shell({"HOME": str(folder.parent), "LOCKGATE_STATE_DIR": str(folder.parent / "state")})
    return shell("workflow", "run", folder / file, "--exec-map", f"python={sys.executable}", *words)


def test_a_workflow_runs_with_its_parameters_tries_and_answers(folder: Path) -> None:
    """Outputs go from file to argument; words stay words; the tree is on stdout, what happens on stderr."""
    ran = run(folder, "-p", "who=moon", "--answer", "ask=go")

    assert ran.code == 0, ran.err
    assert "go | ['hi moon', '$HOME; ls | cat']" in ran.err.splitlines()
    assert "say(1) | try 1" in ran.err.splitlines()
    lines = ran.out.splitlines()
    assert lines[0] == "✔ hello Succeeded"
    assert any("✖ say(0) Failed" in line and "(exit code 75)" in line for line in lines)
    assert "├─ ✔ ask Succeeded: answer=go" in lines
    assert lines[-1] == "hello: Succeeded"


def test_the_default_is_the_answer_where_nobody_is_asked(folder: Path) -> None:
    """With --yes; what depends on another answer is skipped."""
    ran = run(folder, "--yes")

    assert ran.code == 0
    assert "○ go Skipped" in ran.out


def test_a_failure_is_exit_code_4(folder: Path) -> None:
    """A code that is not to be tried again ends it."""
    ran = run(folder, "-p", "code=4", "--yes")

    assert ran.code == 4
    assert "retryStrategy.expression evaluated to false" in ran.out
    assert "○ ask Omitted" in ran.out


def test_without_terminal_and_answer_it_says_which_answer_is_wanted(folder: Path) -> None:
    """And nothing is left running."""
    ran = run(folder)

    assert ran.code == 3
    assert "error: --answer: ask waits for an answer\n\nhint: --answer ask=VALUE" in ran.err


def test_an_answer_has_to_be_in_the_enum(folder: Path) -> None:
    """The real server would take anything; a person is told."""
    ran = run(folder, "--answer", "ask=maybe")

    assert ran.code == 3
    assert "ask: 'maybe' is none of go, stop" in ran.err


def test_parameters_are_held_against_what_is_declared(folder: Path) -> None:
    """All problems at once, before anything starts."""
    ran = run(folder, "-p", "who=mars", "-p", "cod=1")

    assert ran.code == 3
    assert "who: 'mars' is none of world, moon" in ran.err
    assert "cod: hello takes no such parameter (hint: did you mean `code`?)" in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-p", "who"), "'who' is no name=value"),
        (("-p", "who=moon", "-p", "who=world"), "who is given twice"),
        (("--entrypoint", "nothing"), "there is no template nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(folder: Path, words: tuple[str, ...], says: str) -> None:
    """With exit code 3."""
    ran = run(folder, *words, "--yes")

    assert (ran.code, says in ran.err) == (3, True), ran.err


def test_a_dry_run_starts_nothing(folder: Path) -> None:
    """And shows every command as it would be started, outputs standing for themselves."""
    ran = run(folder, "--dry-run", "--answer", "ask=go")

    assert ran.code == 0
    assert [line.partition(":")[0] for line in ran.out.splitlines()[:1]] == ["say(0)"]
    answered = run(folder, "--dry-run", "--answer", "ask=go", "--answer", "say.said=hello")
    assert "hello '$HOME; ls | cat'" in answered.out
    assert "ask: (suspended) answer=go" in ran.out
    assert ran.out.splitlines()[-2].endswith("'<said>' '$HOME; ls | cat'")


def test_the_status_is_data_for_programs(folder: Path) -> None:
    """In Argo's own shape."""
    ran = run(folder, "--json", "--yes")

    assert ran.json["schema"] == "lockgate.workflow.run/1"
    assert (ran.json["phase"], ran.json["workflow"]) == ("Succeeded", "hello")
    assert {"say", "ask", "go"} <= {node["displayName"] for node in ran.json["nodes"].values()}
    assert run(folder, "--json", "--dry-run").json["steps"][0]["node"] == "say(0)"


def test_what_cannot_be_run_here_is_named_before_anything_starts(folder: Path) -> None:
    """Kinds of templates, programs, files and variables, all at once."""
    marker = folder / "started"
    manifest = f"""
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: odd}}
spec:
  entrypoint: main
  volumes: [{{name: key, secret: {{secretName: s}}}}]
  templates:
    - name: main
      dag: {{tasks: [{{name: a, template: a}}, {{name: b, template: b}}, {{name: c, template: c}}]}}
    - {{name: a, container: {{image: i, command: [touch, {marker}]}}}}
    - {{name: b, script: {{image: i, command: [sh], source: ls}}}}
    - name: c
      container:
        image: i
        command: [no-such-program]
        env:
          - {{name: ABSENT_TOKEN, valueFrom: {{secretKeyRef: {{name: s, key: k}}}}}}
          - {{name: PERHAPS, valueFrom: {{secretKeyRef: {{name: s, key: k, optional: true}}}}}}
        volumeMounts: [{{name: key, mountPath: /no/such/place}}]
"""
    (folder / "odd.yaml").write_text(manifest)
    ran = run(folder, file="odd.yaml")

    assert ran.code == 3
    assert "cannot be run here: template b: script" in ran.err
    assert "needs the program no-such-program, for c" in ran.err
    assert "needs files at /no/such/place, from a secret, for c" in ran.err
    assert "needs the variable ABSENT_TOKEN, for c" in ran.err
    assert "PERHAPS" not in ran.err
    assert not marker.exists()


def test_what_the_lint_refuses_is_not_run(folder: Path) -> None:
    """Its problems are shown; those of other files in the folder are not this workflow's."""
    (folder / "bad.yaml").write_text(HELLO.replace("template: echo", "template: ecko"))
    (folder / "other.yaml").write_text("kind: Workflow\nspec: [")
    ran = run(folder, file="bad.yaml")

    assert ran.code == 3
    assert 'there is no template "ecko"' in ran.err
    assert run(folder, "--yes").code == 0


def test_templates_of_the_folder_are_found(folder: Path) -> None:
    """By workflowTemplateRef; a file with several workflows is refused."""
    template = HELLO.replace("kind: Workflow", "kind: WorkflowTemplate")
    (folder / "hello.yaml").write_text(template)
    (folder / "use.yaml").write_text(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: use}\n"
        "spec: {workflowTemplateRef: {name: hello}, arguments: {parameters: [{name: who, value: moon}]}}\n"
    )
    ran = run(folder, "--answer", "ask=go", file="use.yaml")

    assert ran.code == 0, ran.err
    assert "hi moon" in ran.err
    (folder / "two.yaml").write_text(f"{HELLO}---{HELLO.replace('name: hello', 'name: hallo')}")
    assert "holds 2 workflows" in run(folder, file="two.yaml").err


def test_a_stuck_workflow_is_said_to_be_stuck(folder: Path) -> None:
    """What would wait for ever in Argo ends here, with exit code 4: a list without items has no outputs."""
    text = HELLO.replace("{name: say, template: say}", "{name: say, template: say, withParam: '[]'}")
    (folder / "stuck.yaml").write_text(text.replace("say.Succeeded", "say"))
    text = (folder / "stuck.yaml").read_text()
    (folder / "stuck.yaml").write_text(
        text.replace("depends: ask.Succeeded", "depends: ask.Succeeded && say")
    )
    ran = run(folder, "--answer", "ask=go", file="stuck.yaml")

    assert ran.code == 4
    assert "hello is stuck: a task waits for an output that is not there, as it would in Argo" in ran.out


# --------------------------------------------------------------------------------- processes


class Machinery:
    """A clock that runs as the real one, and can be moved on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.02))


def machine(tmp_path: Path) -> Machine:
    """This machine, with this Python for the word python."""
    return Machine(
        folder=tmp_path, environment={"PATH": "/usr/bin:/bin"}, programs={"python": sys.executable}
    )


def begin(templates: str, clock: Machinery) -> Run:
    """A run that starts now."""
    return Run(read_workflow(workflow(templates)), now=clock.now())


def test_a_process_past_its_deadline_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """Its node failed; nothing of it is left."""
    clock = Machinery()
    code = (
        "import os,subprocess,sys,time; wait = 'import time; time.sleep(60)';"
        "p = subprocess.Popen([sys.executable, '-c', wait]);"
        "open('/tmp/pids', 'w').write(f'{os.getpid()} {p.pid}'); time.sleep(60)"
    )
    run = begin(f"""
    - name: main
      activeDeadlineSeconds: 60
      container: {{image: i, command: [python, -c, "{code}"]}}
      outputs: {{parameters: [{{name: pids, valueFrom: {{path: /tmp/pids, default: ""}}}}]}}
""", clock)  # fmt: skip
    pids: list[int] = []

    def told(node: object, lines: list[str]) -> None:
        """Nothing to show."""

    def sleep(seconds: float) -> None:
        written = list(tmp_path.glob("*/tmp/pids"))
        if written and (text := written[0].read_text()).count(" "):
            pids.extend(int(word) for word in text.split())
            clock.ahead = timedelta(seconds=61)
        time.sleep(0.02)

    clock.sleep = sleep  # type: ignore[method-assign]
    Runner(run, machine(tmp_path), clock, lambda node: {}, told).go()

    assert run.message == "Pod was active on the node longer than the specified deadline"
    assert len(set(pids)) == 2
    there = [psutil.Process(pid) for pid in set(pids) if psutil.pid_exists(pid)]
    assert not [one for one in psutil.wait_procs(there, timeout=10)[1] if one.status() != "zombie"]


@pytest.mark.parametrize(
    ("policy", "code", "says"),
    [
        ("File", "open('/dev/termination-log', 'w').write('it is late')", ": it is late"),
        ("FallbackToLogsOnError", "print('a'); print('b')", ": a\nb"),
        ("File", "print('a')", ""),
        ("File", "open('/dev/termination-log', 'w').write('x' * 9999)", ": " + "x" * 4096),
    ],
)
def test_the_last_words_of_a_container_are_its_nodes_message(
    tmp_path: Path, policy: str, code: str, says: str
) -> None:
    """From the file Kubernetes reads them from, or the end of its output where it is told to."""
    clock = Machinery()
    run = begin(f"""
    - name: main
      container:
        image: i
        command: [python, -c, "import sys; {code}; sys.exit(4)"]
        terminationMessagePolicy: {policy}
""", clock)  # fmt: skip
    Runner(run, machine(tmp_path), clock, lambda node: {}, lambda node, lines: None).go()

    assert run.message == f"main: Error (exit code 4){says}"


def test_a_program_that_cannot_be_started_is_an_error_of_its_node(tmp_path: Path) -> None:
    """Without exit code, as a pod that never ran."""
    clock = Machinery()
    run = begin("    - {name: main, container: {image: i, command: [/no/such]}}\n", clock)
    Runner(run, machine(tmp_path), clock, lambda node: {}, lambda node, lines: None).go()

    assert (run.phase, run.nodes["wf"].exit_code) == ("Error", None)
    assert "No such file" in run.message


def test_a_process_ended_by_a_signal_has_the_exit_code_of_a_container(tmp_path: Path) -> None:
    """137 for a kill."""
    clock = Machinery()
    code = "import os; os.kill(os.getpid(), 9)"
    run = begin(f"    - {{name: main, container: {{image: i, command: [python, -c, '{code}']}}}}\n", clock)
    Runner(run, machine(tmp_path), clock, lambda node: {}, lambda node, lines: None).go()

    assert run.nodes["wf"].exit_code == 137


def test_tasks_side_by_side_run_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for what the other writes."""
    clock = Machinery()
    code = (
        "import pathlib,sys,time; here, there = map(pathlib.Path, sys.argv[1:]); here.write_text('x');"
        "[time.sleep(0.02) for _ in range(1500) if not there.exists()]; sys.exit(not there.exists())"
    )
    one, two = tmp_path / "one", tmp_path / "two"
    (tmp_path / "scratch").mkdir()
    run = begin(f"""
    - name: main
      dag:
        tasks:
          - name: a
            template: meet
            arguments: {{parameters: [{{name: p, value: {one}}}, {{name: q, value: {two}}}]}}
          - name: b
            template: meet
            arguments: {{parameters: [{{name: p, value: {two}}}, {{name: q, value: {one}}}]}}
    - name: meet
      inputs: {{parameters: [{{name: p}}, {{name: q}}]}}
      container:
        image: i
        command: [python, -c, "{code}"]
        args: ["{{{{inputs.parameters.p}}}}", "{{{{inputs.parameters.q}}}}"]
""", clock)  # fmt: skip
    Runner(run, machine(tmp_path / "scratch"), clock, lambda node: {}, lambda node, lines: None).go()

    assert run.phase == "Succeeded"


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("/work", "ROOT/work"),
        ("/work/out.json", "ROOT/work/out.json"),
        ("--outputs=/work", "--outputs=ROOT/work"),
        ("echo hi > /work/x; cat /work/y", "echo hi > ROOT/work/x; cat ROOT/work/y"),
        ("/workshop", "/workshop"),
        ("/home/work", "/home/work"),
        ("https://example.org/work", "https://example.org/work"),
        ("/tmp/out.txt", "ROOT/tmp/out.txt"),
        ("/tmp/out.txt.bak", "/tmp/out.txt.bak"),
    ],
)
def test_paths_of_the_pod_are_moved_and_others_are_not(text: str, there: str) -> None:
    """A path by itself or in a text; never part of another name."""
    assert moved(text, ["/work", "/tmp/out.txt", "/"], Path("ROOT")) == there


def test_a_launch_is_a_value() -> None:
    """It says all that is needed to start it, and can be compared."""
    manifest = workflow("    - {name: main, container: {image: i, command: [x]}}\n")
    first, second = (Run(read_workflow(manifest), now=NOW).ready(NOW)[0] for _ in range(2))

    assert isinstance(first, Launch)
    assert first == second
