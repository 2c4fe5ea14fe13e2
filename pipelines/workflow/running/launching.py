"""What is started for a container template: its words, variables, folders and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from pipelines.workflow.durations import duration
from pipelines.workflow.placeholders import placeholders, replace
from pipelines.workflow.running.nodes import Launch, Node
from pipelines.workflow.running.scope import Refused
from pipelines.workflow.running.spec import Template, Tree, Workflow, text

_EMPTY = "emptyDir"


def launch(
    node: Node,
    template: Template,
    workflow: Workflow,
    variables: Mapping[str, str],
    deadline: datetime | None,
) -> Launch:
    """The container of a node, every placeholder in it replaced.

    Raises:
        Refused: a placeholder in its command, arguments or variables has no value.
        Missing, BadExpression: as for every placeholder.
    """
    body = template.body
    container = replace(body["container"], variables)
    if not isinstance(container, Mapping):
        raise Refused("its container is no map")
    words = [str(text(one)) for key in ("command", "args") for one in container.get(key) or ()]
    env = tuple((str(one["name"]), str(text(one.get("value")) or "")) for one in _env(container, "value"))
    _resolved(words, "command and args")
    _resolved([value for _, value in env], "env")
    folders = dict(mounts_of(container, body, workflow))
    active = text(replace(body.get("activeDeadlineSeconds"), variables))
    return Launch(
        node=node.id,
        name=node.name,
        display_name=node.display_name,
        template=template.name,
        image=str(container.get("image", "")),
        command=tuple(words),
        env=env,
        env_from=tuple(
            (str(one["name"]), _must_be_there(one["valueFrom"])) for one in _env(container, "valueFrom")
        ),
        working_dir=str(container.get("workingDir", "")),
        outputs=tuple((one.name, one.path) for one in template.outputs if one.path),
        message_path=str(container.get("terminationMessagePath") or "/dev/termination-log"),
        message_from_logs=container.get("terminationMessagePolicy") == "FallbackToLogsOnError",
        scratch=tuple(path for path, kind in folders.items() if kind == _EMPTY),
        mounts=tuple(path for path, kind in folders.items() if kind != _EMPTY),
        deadline=_sooner(deadline, _timeout(node, body, variables)),
        active_seconds=None if active is None else float(active),
        mutexes=frozenset(_mutexes(body, variables)),
    )


def _env(container: Tree, key: str) -> Iterator[Tree]:
    return (
        one for one in container.get("env") or () if (one.get("valueFrom") is not None) == (key != "value")
    )


def _must_be_there(source: Tree) -> bool:
    return not any(isinstance(one, Mapping) and one.get("optional") for one in source.values())


def _resolved(words: list[str], where: str) -> None:
    for word in words:
        for one in placeholders(word):
            raise Refused(f"{where} name {{{{{one.inside}}}}}, which nothing gives")


def mounts_of(container: Tree, body: Tree, workflow: Workflow) -> Iterator[tuple[str, str]]:
    """Where each volume of a container is mounted, and of which kind it is."""
    volumes = [*(workflow.spec.get("volumes") or ()), *(body.get("volumes") or ())]
    kinds = {one["name"]: next((key for key in one if key != "name"), _EMPTY) for one in volumes}
    for mount in container.get("volumeMounts") or ():
        yield str(mount["mountPath"]).rstrip("/"), kinds.get(mount["name"], _EMPTY)


def _mutexes(body: Tree, variables: Mapping[str, str]) -> Iterator[str]:
    for one in (body.get("synchronization") or {}).get("mutexes") or ():
        yield str(replace(one.get("name", ""), variables))


def _timeout(node: Node, body: Tree, variables: Mapping[str, str]) -> datetime | None:
    written = str(replace(body.get("timeout") or "", variables))
    return node.started_at + duration(written) if written else None


def _sooner(one: datetime | None, other: datetime | None) -> datetime | None:
    both = [at for at in (one, other) if at is not None]
    return min(both, default=None)
