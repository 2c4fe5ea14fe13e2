"""Uses of templates by the workflow, tasks, steps and hooks: is it there, and does it get what it needs?"""

from __future__ import annotations

from pipelines.spec.scalars import Path, near, show
from pipelines.workflow.lint.holders import Holder, Template
from pipelines.workflow.lint.sheet import Sheet, Tree
from pipelines.workflow.lint.templates import listed, names
from pipelines.workflow.lint.values import PARAMETER_NAME, TEMPLATE_NAME


def check(holder: Holder) -> None:
    """Note what is wrong with every use of a template in a spec."""
    _workflow(holder)
    for template in holder.every():
        names(holder.sheet, template.tasks(), TEMPLATE_NAME)
        for path, task in template.tasks():
            _use(holder, path, task)
            _arguments(holder.sheet, path, task)
            _items(holder.sheet, path, task)
            for name, hook in (task.get("hooks") or {}).items():
                _hook(holder, (*path, "hooks", name), hook or {}, name)


def _workflow(holder: Holder) -> None:
    sheet, spec, base = holder.sheet, holder.spec, holder.base
    if spec.get("workflowTemplateRef") and spec.get("templates"):
        message = "stand beside workflowTemplateRef"
        sheet.breaks("template_kind", (*holder.path, "templates"), message, "keep one of the two")
    if base is None:
        sheet.notes.append(
            f"{_where(sheet)}: the template it is made from is not in this run, and not checked"
        )
        return
    entry = spec.get("entrypoint") or base.spec.get("entrypoint")
    if not entry and not holder.is_template and not sheet.has_spoiled(holder.path):
        sheet.breaks("entrypoint", holder.path, "names no entrypoint")
    for field in ("entrypoint", "onExit"):
        if spec.get(field):
            _named(holder, (*holder.path, field), spec[field])
    for name, hook in (spec.get("hooks") or {}).items():
        _hook(holder, (*holder.path, "hooks", name), hook or {}, name)
    for field in ("entrypoint", "onExit"):
        used = holder.named(spec.get(field) or base.spec.get(field))
        if used is not None and not holder.is_template:
            _satisfied(holder, (*holder.path, field), used, {one.get("name") for one in holder.arguments})


def _where(sheet: Sheet) -> str:
    return f"{sheet.document.file}: {sheet.kind} {sheet.name}"


def _named(holder: Holder, path: Path, name: object) -> None:
    base = holder.base
    if base is not None and "{{" not in str(name) and holder.named(name) is None:
        known = [one.name for one in base.templates() if one.name]
        holder.sheet.breaks("unknown_template", path, f"there is no template {show(name)}", near(name, known))


def _hook(holder: Holder, path: Path, hook: Tree, name: str) -> None:
    _use(holder, path, hook)
    if name != "exit" and not hook.get("expression"):
        holder.sheet.breaks(
            "missing_field", (*path, "expression"), "is missing; only the hook exit needs none"
        )


def _use(holder: Holder, path: Path, task: Tree) -> None:
    """A task's way to its template, and the values it hands over."""
    sheet = holder.sheet
    ways = [key for key in ("template", "templateRef", "inline") if task.get(key)]
    if len(ways) != 1:
        if not sheet.has_spoiled(path):
            told = f"has {' and '.join(ways)}" if ways else "names no template"
            sheet.breaks("unknown_template", path, told, "write template or templateRef")
        return
    if ways == ["templateRef"]:
        _elsewhere(holder, (*path, "templateRef"), task["templateRef"])
    elif ways == ["template"]:
        _named(holder, (*path, "template"), task["template"])
    used = holder.used(task)
    if used is not None:
        arguments = task.get("arguments") or {}
        _satisfied(holder, path, used, {one.get("name") for one in arguments.get("parameters") or ()})
        _artifacts(holder.sheet, path, used, {one.get("name") for one in arguments.get("artifacts") or ()})
        _unknown(holder.sheet, path, used, arguments)


def _elsewhere(holder: Holder, path: Path, ref: Tree) -> None:
    name, template = str(ref.get("name") or ""), str(ref.get("template") or "")
    if "{{" in name + template:
        return
    for key in ("name", "template"):
        if not ref.get(key):
            holder.sheet.breaks("missing_field", (*path, key), "is missing")
    other = holder.library.get(name)
    if other is None and name:
        note = f"template {template} of {name} is not in this run, and not checked"
        holder.sheet.notes.append(f"{_where(holder.sheet)}: {note}")
    elif other is not None and template and other.named(template) is None:
        known = [one.name for one in other.templates()]
        message = f"there is no template {show(template)} in {name}"
        holder.sheet.breaks("unknown_template", (*path, "template"), message, near(template, known))


def _satisfied(holder: Holder, path: Path, used: Template, given: set[str | None]) -> None:
    for one in used.section("inputs", "parameters"):
        has_own = any(one.get(key) is not None for key in ("value", "default", "valueFrom"))
        if not has_own and one.get("name") not in given:
            message = f"{used.name or 'the template'} needs the parameter {one.get('name')}"
            holder.sheet.breaks("argument_missing", path, message)


_LOCATIONS = ("raw", "s3", "git", "http", "artifactory", "hdfs", "oss", "gcs", "azure", "plugin", "from")


def _artifacts(sheet: Sheet, path: Path, used: Template, given: set[str | None]) -> None:
    for one in used.section("inputs", "artifacts"):
        has_own = one.get("optional") or any(one.get(key) for key in _LOCATIONS)
        if not has_own and one.get("name") not in given:
            message = f"{used.name or 'the template'} needs the artifact {one.get('name')}"
            sheet.breaks("argument_missing", path, message)


def _unknown(sheet: Sheet, path: Path, used: Template, arguments: Tree) -> None:
    for what in ("parameters", "artifacts"):
        known = [str(one["name"]) for one in used.section("inputs", what) if one.get("name")]
        for at, one in enumerate(arguments.get(what) or ()):
            if one.get("name") and one["name"] not in known:
                message = f"{used.name or 'the template'} takes no {what[:-1]} {show(one.get('name'))}"
                place: Path = (*path, "arguments", what, at)
                sheet.breaks("argument_unknown", place, message, near(one.get("name"), known))


def _arguments(sheet: Sheet, path: Path, task: Tree) -> None:
    arguments = task.get("arguments") or {}
    for what in ("parameters", "artifacts"):
        names(sheet, listed((*path, "arguments", what), arguments.get(what)), PARAMETER_NAME)
    for at, one in enumerate(arguments.get("parameters") or ()):
        place: Path = (*path, "arguments", "parameters", at)
        if one.get("value") is None and one.get("valueFrom") is None and not sheet.has_spoiled(place):
            sheet.breaks("argument_value", place, f"{one.get('name')} has no value")
    for at, one in enumerate(arguments.get("artifacts") or ()):
        place = (*path, "arguments", "artifacts", at)
        if not any(one.get(key) for key in (*_LOCATIONS, "fromExpression")) and not sheet.has_spoiled(place):
            sheet.breaks("argument_value", place, f"{one.get('name')} is taken from nowhere", "write from")


def _items(sheet: Sheet, path: Path, task: Tree) -> None:
    told = [key for key in ("withItems", "withParam", "withSequence") if task.get(key)]
    if len(told) > 1:
        sheet.breaks("items", path, f"has {' and '.join(told)}")
    sequence = task.get("withSequence") or {}
    if sequence and (sequence.get("count") is None) == (sequence.get("end") is None):
        has = "both count and end" if sequence.get("count") is not None else "neither count nor end"
        sheet.breaks("items", (*path, "withSequence"), f"has {has}", "keep one of count and end")
