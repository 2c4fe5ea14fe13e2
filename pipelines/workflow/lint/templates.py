"""Templates by themselves: names, kinds, containers, outputs, retries, durations, metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

from pipelines.spec.scalars import Path, near, show
from pipelines.spec.yaml import load_all
from pipelines.workflow.durations import duration, go_duration
from pipelines.workflow.expressions import BadExpression, parse, paths
from pipelines.workflow.lint.holders import Holder, Template
from pipelines.workflow.lint.sheet import Sheet, Tree
from pipelines.workflow.lint.values import PARAMETER_NAME, TEMPLATE_NAME

_MOST_CHARACTERS = 128
_SOURCES = {
    "container": ("path",), "script": ("path",), "containerSet": ("path",),
    "resource": ("jsonPath", "jqFilter"), "dag": ("parameter", "expression"),
    "steps": ("parameter", "expression"), "suspend": ("supplied",),
}  # fmt: skip
_ALL_SOURCES = ("path", "jsonPath", "jqFilter", "parameter", "expression", "supplied")
_RETRY_NAMES = {
    "retries",
    "lastRetry.exitCode",
    "lastRetry.status",
    "lastRetry.duration",
    "lastRetry.message",
}


def check(holder: Holder) -> None:
    """Note what is wrong with the templates of a spec."""
    sheet = holder.sheet
    names(sheet, [(one.path, one.tree) for one in holder.templates()], TEMPLATE_NAME)
    _parameters(sheet, (*holder.path, "arguments"), holder.spec.get("arguments") or {})
    for template in holder.every():
        _template(sheet, template)


def names(sheet: Sheet, named: Iterable[tuple[Path, Tree]], pattern: re.Pattern[str]) -> None:
    """Note names that are missing, not allowed or there twice; each thing comes with its place."""
    seen: set[str] = set()
    for path, one in named:
        name, place = one.get("name"), (*path, "name")
        if not name:
            sheet.breaks("missing_field", place, "is missing")
        elif "{{" in name and pattern is PARAMETER_NAME:
            continue
        elif not pattern.fullmatch(name) or len(name) > _MOST_CHARACTERS:
            sheet.breaks("name", place, f"{show(name)} is no name here")
        elif name in seen:
            sheet.breaks("duplicate_name", place, f"{show(name)} stands there twice")
        seen.add(str(name))


def listed(path: Path, things: Iterable[Tree] | None) -> list[tuple[Path, Tree]]:
    """The things of a list, each with its place."""
    return [((*path, at), one) for at, one in enumerate(things or ())]


def _parameters(sheet: Sheet, path: Path, section: Tree) -> None:
    """Names and enums of an ``arguments``, ``inputs`` or ``outputs`` section."""
    for what in ("parameters", "artifacts"):
        names(sheet, listed((*path, what), section.get(what)), PARAMETER_NAME)
    for at, one in enumerate(section.get("parameters") or ()):
        enum = one.get("enum")
        here: Path = (*path, "parameters", at)
        given = {"value": one.get("value"), "default": one.get("default")}
        given["valueFrom"] = (one.get("valueFrom") or {}).get("default")
        if enum == []:
            sheet.breaks("enum", (*here, "enum"), "is empty, so that no value can be chosen")
        for key, value in given.items():
            if enum and value is not None and value not in enum and "{{" not in str(value):
                sheet.breaks("enum", (*here, key), f"{show(value)} is not in its enum")


def _template(sheet: Sheet, one: Template) -> None:
    if len(one.kinds) != 1 and not sheet.has_spoiled(one.path):
        told = f"says {' and '.join(one.kinds)}" if one.kinds else "says nothing to do"
        sheet.breaks("template_kind", one.path, f"the template {one.name} {told}")
    for section in ("inputs", "outputs"):
        _parameters(sheet, (*one.path, section), one.tree.get(section) or {})
    _containers(sheet, one)
    _artifacts(sheet, one)
    _manifest(sheet, one)
    _limits(sheet, one)
    _outputs(sheet, one)
    _durations(sheet, one)
    if one.tree.get("retryStrategy"):
        _retry(sheet, (*one.path, "retryStrategy"), one.tree["retryStrategy"])
    for at, metric in enumerate((one.tree.get("metrics") or {}).get("prometheus") or ()):
        metric_problems(sheet, (*one.path, "metrics", "prometheus", at), metric)


def _mains(one: Template) -> Iterator[tuple[Path, Tree]]:
    """The containers that a template is there for, with what the spec gives to all of their kind."""
    defaults = one.holder.spec.get("templateDefaults") or {}
    for kind in ("container", "script"):
        if one.tree.get(kind) is not None:
            yield (*one.path, kind), {**(defaults.get(kind) or {}), **one.tree[kind]}
    path = (*one.path, "containerSet", "containers")
    yield from listed(path, (one.tree.get("containerSet") or {}).get("containers"))


def _containers(sheet: Sheet, one: Template) -> None:
    volumes = _volumes(one)
    for path, body in _mains(one):
        for field in ("image", "command"):
            if not body.get(field) and not sheet.has_spoiled(path):
                sheet.breaks("container", path, f"has no {field}")
        _mounts(sheet, path, body, volumes)
    for field in ("sidecars", "initContainers"):
        for path, body in listed((*one.path, field), one.tree.get(field)):
            _mounts(sheet, path, body, volumes)


def _volumes(one: Template) -> set[str] | None:
    """The volumes a container may mount; None where a workflow that uses the template may bring more."""
    spec = one.holder.spec
    if one.holder.is_template and not spec.get("entrypoint"):
        return None
    claims = [claim.get("metadata") or {} for claim in spec.get("volumeClaimTemplates") or ()]
    return {
        str(volume.get("name"))
        for volume in (*(spec.get("volumes") or ()), *(one.tree.get("volumes") or ()), *claims)
    }


def _mounts(sheet: Sheet, path: Path, body: Tree, volumes: set[str] | None) -> None:
    """Volumes that are not there, and two of them at one place."""
    seen: set[str] = set()
    for place, mount in listed((*path, "volumeMounts"), body.get("volumeMounts")):
        name, at = mount.get("name"), mount.get("mountPath")
        if name and volumes is not None and name not in volumes and "{{" not in name:
            message = f"there is no volume {show(name)}"
            sheet.breaks("mount", (*place, "name"), message, near(name, volumes))
        if at and at in seen:
            sheet.breaks("mount", (*place, "mountPath"), f"something is mounted at {show(at)} already")
        seen.add(str(at))


def _artifacts(sheet: Sheet, one: Template) -> None:
    """Artifacts laid where a volume is mounted."""
    mounts = (one.tree.get("container") or {}).get("volumeMounts") or ()
    taken = {mount.get("mountPath") for mount in mounts} - {None}
    for path, artifact in listed((*one.path, "inputs", "artifacts"), one.section("inputs", "artifacts")):
        if artifact.get("path") in taken:
            message = f"a volume is mounted at {show(artifact['path'])}"
            sheet.breaks("mount", (*path, "path"), message)


def _manifest(sheet: Sheet, one: Template) -> None:
    """A manifest inside a template has to be YAML, too, its placeholders aside."""
    text = (one.tree.get("resource") or {}).get("manifest")
    for document in load_all(re.sub(r"\{\{.*?\}\}", "x", text, flags=re.DOTALL), "") if text else ():
        for problem in document.problems:
            if "is not YAML" in problem.message:
                sheet.breaks("yaml", (*one.path, "resource", "manifest"), problem.message, problem.hint)


def _limits(sheet: Sheet, one: Template) -> None:
    """Fields that only some kinds of template take, and numbers out of range."""
    is_leaf = one.kind not in ("dag", "steps", "")
    for field in ("activeDeadlineSeconds", "timeout"):
        if one.tree.get(field) is not None and one.kind in ("dag", "steps"):
            sheet.breaks("leaf_only", (*one.path, field), f"holds for containers, not for {one.kind}")
    if one.tree.get("parallelism") is not None and is_leaf:
        sheet.breaks("leaf_only", (*one.path, "parallelism"), f"holds for DAGs and steps, not for {one.kind}")
    seconds = one.tree.get("activeDeadlineSeconds")
    if seconds is not None and "{{" not in str(seconds) and not re.fullmatch("[1-9][0-9]*", str(seconds)):
        message = f"{show(seconds)} is no number of seconds above 0"
        sheet.breaks("number", (*one.path, "activeDeadlineSeconds"), message)


def _outputs(sheet: Sheet, one: Template) -> None:
    defaults = {
        given.get("name") for given in one.section("inputs", "parameters") if given.get("default") is not None
    }
    for at, output in enumerate(one.section("outputs", "parameters")):
        path: Path = (*one.path, "outputs", "parameters", at)
        source = output.get("valueFrom")
        if source is None:
            if output.get("value") is None and not sheet.has_spoiled(path):
                sheet.breaks("output_source", path, "has neither value nor valueFrom")
            continue
        if output.get("value") is not None:
            sheet.breaks("output_source", path, "has both value and valueFrom", "keep one of them")
        if sheet.has_spoiled((*path, "valueFrom")):
            continue
        told = [key for key in _ALL_SOURCES if source.get(key) not in (None, "")]
        wanted = _SOURCES.get(one.kind, _ALL_SOURCES)
        if len(told) != 1 or told[0] not in wanted:
            gives = f"{_a(one.kind)} gives {' or '.join(wanted)}"
            message = f"is taken from {' and '.join(told) or 'nothing'}, and {gives}"
            sheet.breaks("output_source", (*path, "valueFrom"), message)
        elif told == ["supplied"] and source.get("default") is None and output.get("name") not in defaults:
            message = "has no default: when nobody supplies it, its node is an error"
            sheet.breaks("suspend_default", (*path, "valueFrom"), message)


def _a(kind: str) -> str:
    return {"dag": "a DAG", "steps": "a template of steps", "suspend": "a suspended node"}.get(
        kind, f"a {kind}"
    )


def _durations(sheet: Sheet, one: Template) -> None:
    read: tuple[tuple[tuple[str, ...], Callable[[str], timedelta]], ...] = (
        (("suspend", "duration"), duration),
        (("timeout",), go_duration),
        (("memoize", "maxAge"), go_duration),
        (("containerSet", "retryStrategy", "duration"), duration),
        *(((("retryStrategy", "backoff", key)), duration) for key in ("duration", "cap", "maxDuration")),
    )
    for keys, reader in read:
        _duration(sheet, one.path, one.tree, keys, reader)


def _duration(
    sheet: Sheet, base: Path, tree: Tree, keys: tuple[str, ...], reader: Callable[[str], timedelta]
) -> None:
    here: object = tree
    for key in keys:
        here = here.get(key) if isinstance(here, dict) else None
    if not isinstance(here, str) or not here or "{{" in here:
        return
    try:
        reader(here)
    except ValueError as error:
        sheet.breaks("duration", (*base, *keys), str(error))


def spec_durations(holder: Holder) -> None:
    """Durations of a workflow outside of its templates."""
    _duration(holder.sheet, holder.path, holder.spec, ("podGC", "deleteDelayDuration"), go_duration)


def _retry(sheet: Sheet, path: Path, strategy: Tree) -> None:
    limit = strategy.get("limit")
    if limit is not None and "{{" not in str(limit) and not re.fullmatch("[0-9]+", str(limit)):
        sheet.breaks("number", (*path, "limit"), f"{show(limit)} is no number of tries")
    backoff = strategy.get("backoff")
    if backoff is not None and not backoff.get("duration") and not sheet.has_spoiled((*path, "backoff")):
        sheet.breaks("retry", (*path, "backoff"), "has no duration: the node ends in an error")
    elif backoff is not None and limit is None:
        sheet.breaks("retry", (*path, "backoff"), "has no effect without a limit: Argo tries again at once")
    if strategy.get("expression"):
        _retry_expression(sheet, (*path, "expression"), strategy)


def _retry_expression(sheet: Sheet, path: Path, strategy: Tree) -> None:
    """Names that a retry does not know, and questions that its policy has answered already."""
    text, policy = str(strategy["expression"]), strategy.get("retryPolicy")
    if "{{" in text:
        return
    try:
        named = paths(parse(text))
    except BadExpression as error:
        sheet.breaks("expression", path, str(error))
        return
    for name in sorted(named - _RETRY_NAMES - {"lastRetry"}):
        message = f"names {name}; a retry knows {', '.join(sorted(_RETRY_NAMES))}"
        sheet.breaks("unknown_variable", path, message)
    if policy == "OnError" and named == {"lastRetry.exitCode"}:
        message = "asks for an exit code, and the policy OnError looks at what ended without one"
        sheet.breaks("retry", path, message, "leave the policy out: the expression alone decides then")
    if policy == "OnFailure" and re.search("[\"'`]Error[\"'`]", text):
        message = "asks for an Error, and the policy OnFailure never looks at one"
        sheet.breaks("retry", path, message, "leave the policy out: the expression alone decides then")


def metric_problems(sheet: Sheet, path: Path, metric: Tree) -> None:
    """Note what is wrong with one metric."""
    name = str(metric.get("name") or "")
    if name and not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name):
        sheet.breaks("metric", (*path, "name"), f"{show(name)} is no name: letters, digits and underscores")
    if metric.get("help") == "":
        sheet.breaks("metric", path, "has no help")
    told = [key for key in ("counter", "gauge", "histogram") if metric.get(key) is not None]
    if len(told) != 1 and not sheet.has_spoiled(path):
        sheet.breaks("metric", path, f"has {' and '.join(told) or 'no counter, gauge or histogram'}")
    for at, label in enumerate(metric.get("labels") or ()):
        if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", str(label.get("key") or "")):
            sheet.breaks("metric", (*path, "labels", at), f"{show(label.get('key'))} is no name of a label")
