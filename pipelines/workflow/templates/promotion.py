"""A tier's WorkflowTemplate: the tasks of its graph, each a pod that runs one step, or a wait without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hera.workflows import DAG, Counter, Gauge, Label, Parameter, Suspend, Task, WorkflowTemplate
from hera.workflows import models as m

from pipelines.spec.types import Tier
from pipelines.workflow import graph
from pipelines.workflow.templates.pods import (
    ACCOUNT,
    EXECUTOR,
    LARGE,
    MESSAGE,
    OUTPUTS,
    PART_OF,
    Pods,
    again,
    executor_patch,
    run_as,
)

PROMOTION = "{{tasks.start.outputs.parameters.promotion}}"
TOLD = ("sentence", "status")
"""What every step leaves: a sentence for people, and done, not_yet, unknown or refused."""
FORM = ("model", "version", "environment", "requested-by", "reason", "urgency", "promotion")
STAGE = "{{inputs.parameters.stage}}"
"""The one argument that is no option: it is written into the graph, never given."""
FORM_TRIES = 20
"""About half an hour: a form that could not be read by then is one for a person."""
DAY = 86400


def promotion(
    name: str, tier: Tier, pods: Pods, *, models: Sequence[str], environments: Sequence[str]
) -> WorkflowTemplate:
    """The template that moves promotions of one tier.

    Args:
        name: of the tier.
        tier: its policy.
        pods: makes the containers.
        models: the choices for ``model``: those of the tier; empty: nothing is offered.
        environments: the choices for ``environment``.
    """
    platform = pods.platform
    preview = any(one.preview is not None for one in platform.environments.values())
    tasks = graph.tasks(tier, preview=preview)
    with WorkflowTemplate(
        name=graph.template_of(name),
        labels={PART_OF: "promotions"},
        annotations=_annotations(name, tier),
        entrypoint="promotion",
        arguments=_form(models, environments),
        workflow_metadata=m.WorkflowMetadata(labels={PART_OF: "promotions"}),
        ttl_strategy=m.TTLStrategy(seconds_after_success=3 * DAY, seconds_after_completion=14 * DAY),
        volumes=pods.volumes(),
        **common(),
    ) as made:
        _templates(pods, tasks, made.name or "")
        with DAG(name="promotion"):
            for task in tasks:
                _task(task)
    return made


def common() -> dict[str, Any]:
    """What all our workflows have: who their pods are, and how long these are kept."""
    return {
        "service_account_name": ACCOUNT,
        "automount_service_account_token": False,
        "executor": m.ExecutorConfig(service_account_name=EXECUTOR),
        "security_context": run_as(),
        "pod_spec_patch": executor_patch(),
        "pod_gc": m.PodGC(strategy="OnPodCompletion", delete_delay_duration="10m"),
        "pod_metadata": m.Metadata(labels={PART_OF: "promotions"}),
    }


def _annotations(name: str, tier: Tier) -> dict[str, str]:
    shares = " → ".join(f"{share} %" for share in tier.shares)
    approved = "; a change request is approved before the last share" if tier.approval else ""
    text = (
        f"Moves a version of a model of the tier **{name}** ({tier.strategy}) to {shares} of live requests, "
        f"through its gates{approved}. Ended early, it goes back to 0 %. What a task that waits is waiting "
        "for stands in its message, and in `lockgate status`; the sweeper answers it. Resuming a task by "
        "hand promotes nothing."
    )
    return {
        "workflows.argoproj.io/title": f"Promote a model of the tier {name}",
        "workflows.argoproj.io/description": text,
    }


def _form(models: Sequence[str], environments: Sequence[str]) -> list[Parameter]:
    # Neither of the first two has a value beforehand: nobody should promote what they did not choose.
    return [
        Parameter(name="model", description="The model to be promoted.", enum=list(models) or None),
        Parameter(
            name="version",
            description="Its version's label; blank for the one that release.yaml on main names.",
            value="",
        ),
        Parameter(name="environment", description="Where to.", enum=list(environments)),
        Parameter(name="requested-by", description="Your login. Who asks cannot also approve.", value=""),
        Parameter(name="reason", description="Why, in a sentence; approvers read it.", value=""),
        Parameter(
            name="urgency",
            description="An emergency is told to approvers; it skips nothing.",
            value="normal",
            enum=["normal", "emergency"],
        ),
        Parameter(
            name="promotion",
            description="The id of a promotion to take up again; blank for a new one.",
            value="",
        ),
    ]


def _templates(pods: Pods, tasks: Sequence[graph.Task], template: str) -> None:
    """The containers and the wait; Hera adds each to the workflow that is being written."""
    kinds = {task.kind for task in tasks}
    begun = _counter("promotions_started", "Promotions begun or taken up again.")
    form = (*(_given(name) for name in FORM), f"--template={template}", "--labels={{workflow.labels.json}}")
    outputs = ("promotion", "first", *TOLD)
    pods.container(
        "start",
        _words("start", *form),
        inputs=FORM,
        outputs=outputs,
        retry=again(FORM_TRIES),
        metrics=[begun],
    )
    for name, one_at_a_time in (("step", None), ("step-on-main", _one_at_a_time())):
        _step(
            pods,
            name,
            STAGE,
            inputs=("stage",),
            outputs=("first",),
            metrics=[_seconds()],
            synchronization=one_at_a_time,
        )
    if "gate" in kinds:
        _gate(pods)
    if "ask" in kinds:
        _step(pods, "ask", "approve", "--asked")
    _step(pods, "roll-back", "roll_back", synchronization=_one_at_a_time())
    text = "Workflows of promotions that ended, by how the promotion did."
    ended = _counter("promotions_ended", text, outcome="{{outputs.parameters.outcome}}")
    _step(pods, "outcome", "outcome", outputs=("outcome",), metrics=[ended])
    Suspend(name="wait", inputs=[Parameter(name="stage")], outputs=[_answer()])


def _gate(pods: Pods) -> None:
    """A gate alone, which may send load or answer a golden set."""
    verdicts = _counter(
        "gate_verdicts",
        "Verdicts of gates on previews.",
        gate="{{inputs.parameters.gate}}",
        verdict="{{outputs.parameters.verdict}}",
    )
    words = ("judge", _given("gate"))
    _step(pods, "gate", *words, inputs=("gate",), outputs=("verdict",), room=LARGE, metrics=[verdicts])


def _step(
    pods: Pods,
    template: str,
    *words: str,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    **more: Any,
) -> None:
    """A step of the promotion, asked again where it says so."""
    pods.container(
        template,
        _words(*words, _given("promotion")),
        inputs=(*inputs, "promotion"),
        outputs=(*outputs, *TOLD),
        retry=again(),
        **more,
    )


def _words(name: str, *options: str) -> list[str]:
    who = "--workflow={{workflow.name}}"
    return ["step", name, *options, who, f"--outputs={OUTPUTS}", f"--message={MESSAGE}"]


def _given(name: str) -> str:
    """An option with the value of the input of its name, as one argument: no value can be an option."""
    return f"--{name}={{{{inputs.parameters.{name}}}}}"


def _answer() -> m.Parameter:
    # Resumed without an answer: no. As a plain model, since Hera's own Parameter drops an output's choices.
    return m.Parameter(
        name="answer",
        description="go: the next task is started. stop: the workflow ends.",
        enum=[graph.GO, graph.STOP],
        value_from=m.ValueFrom(default=graph.STOP, supplied=m.SuppliedValueFrom()),
    )


def _one_at_a_time() -> m.Synchronization:
    name = "lockgate-{{workflow.parameters.model}}-{{workflow.parameters.environment}}"
    return m.Synchronization(mutexes=[m.Mutex(name=name)])


def _labels(**labels: str) -> list[Label]:
    which = {
        "model": "{{workflow.parameters.model}}",
        "environment": "{{workflow.parameters.environment}}",
    }
    return [Label(key=key, value=value) for key, value in {**which, **labels}.items()]


def _counter(name: str, text: str, **labels: str) -> Counter:
    return Counter(name=f"lockgate_{name}", help=text, labels=_labels(**labels), value="1")


def _seconds() -> Gauge:
    return Gauge(
        name="lockgate_stage_seconds",
        help="How long a stage's pods took, in all, when it last ended.",
        labels=_labels(stage="{{inputs.parameters.stage}}", status="{{status}}"),
        value="{{duration}}",
        realtime=False,
    )


_TEMPLATES: dict[graph.Kind, str] = {
    "start": "start",
    "step": "step",
    "main": "step-on-main",
    "gate": "gate",
    "ask": "ask",
    "wait": "wait",
    "roll_back": "roll-back",
    "outcome": "outcome",
}


def _task(task: graph.Task) -> Task:
    """One node; Hera adds it to the DAG that is being written."""
    arguments = {"promotion": PROMOTION}
    if task.kind == "start":
        arguments = {name: f"{{{{workflow.parameters.{name}}}}}" for name in FORM}
    elif task.kind in ("step", "main"):
        arguments["stage"] = task.stage
    elif task.kind == "gate":
        arguments["gate"] = task.gate
    elif task.kind == "wait":
        arguments = {"stage": task.stage}
    return Task(
        name=task.name,
        template=_TEMPLATES[task.kind],
        arguments=arguments,
        depends=task.depends or None,
        when=task.when or None,
    )
