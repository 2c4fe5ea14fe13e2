"""What keeps promotions going that nobody looks after: the sweeper, the trigger, the events that wake it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hera.workflows import CronWorkflow, WorkflowTemplate
from hera.workflows import models as m

from pipelines.workflow.templates.pods import LARGE, PART_OF, Pods
from pipelines.workflow.templates.promotion import common

SWEEP, WANTED = "lockgate-sweep", "lockgate-wanted"
LOOKS = replace(LARGE, seconds=900)
SWEEPS_SECONDS = 45
"""How long one pod sweeps, pass after pass: what is live is looked at as often as its tier says, not once a
minute. The rest of the minute is for the pod's start and for a pass that takes longer: a pod that were still
there when the next one is due would cost that one's whole minute."""
WORKING_HOURS = "*/15 6-15 * * 1-5"
"""When promotions begin by themselves; an overlay changes it."""


def sweep(pods: Pods) -> Iterator[WorkflowTemplate | CronWorkflow]:
    """All the time: look after each promotion that Argo drives. A pod that takes longer is not overtaken."""
    words = ["sweep", f"--for={SWEEPS_SECONDS}"]
    yield _template(pods, SWEEP, words, "Looks after promotions that wait, or whose workflow is gone")
    yield _schedule(SWEEP, "* * * * *")


def wanted(pods: Pods) -> Iterator[WorkflowTemplate | CronWorkflow]:
    """Begin what main wants and nobody has begun; the schedule catches what no event told of."""
    words = ["promote", "--wanted", "--driver=argo"]
    title = "Begins every promotion that main wants and that is not under way"
    yield _template(pods, WANTED, words, title, m.Synchronization(mutexes=[m.Mutex(name=WANTED)]))
    yield _schedule(WANTED, WORKING_HOURS)


def _template(
    pods: Pods, name: str, words: list[str], title: str, synchronization: m.Synchronization | None = None
) -> WorkflowTemplate:
    with WorkflowTemplate(
        name=name,
        labels={PART_OF: "machinery"},
        annotations={"workflows.argoproj.io/title": title},
        entrypoint=words[0],
        workflow_metadata=m.WorkflowMetadata(labels={PART_OF: "machinery"}),
        synchronization=synchronization,
        ttl_strategy=m.TTLStrategy(seconds_after_success=600, seconds_after_completion=86400),
        volumes=pods.volumes(),
        **common(),
    ) as made:
        pods.container(words[0], words, room=LOOKS, drives=True)
    return made


def _schedule(name: str, schedule: str) -> CronWorkflow:
    return CronWorkflow(
        name=name,
        labels={PART_OF: "machinery"},
        schedules=[schedule],
        timezone="Etc/UTC",
        concurrency_policy="Forbid",
        starting_deadline_seconds=30,
        successful_jobs_history_limit=1,
        failed_jobs_history_limit=3,
        workflow_template_ref=m.WorkflowTemplateRef(name=name),
    )


def bindings() -> Iterator[m.WorkflowEventBinding]:
    """Events wake the trigger and tell it nothing: no value of a payload goes anywhere."""
    push = (
        'discriminator == "github" && metadata["x-github-event"] == ["push"]'
        ' && payload.ref == "refs/heads/main"'
    )
    yield _binding("lockgate-pushed", push)
    yield _binding("lockgate-registered", 'discriminator == "registry"')


def _binding(name: str, selector: str) -> m.WorkflowEventBinding:
    return m.WorkflowEventBinding(
        api_version="argoproj.io/v1alpha1",
        kind="WorkflowEventBinding",
        metadata=m.ObjectMeta(name=name, labels={PART_OF: "machinery"}),
        spec=m.WorkflowEventBindingSpec(
            event=m.Event(selector=selector),
            submit=m.Submit(workflow_template_ref=m.WorkflowTemplateRef(name=WANTED)),
        ),
    )
