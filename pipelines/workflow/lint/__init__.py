"""A strict lint for Argo's manifests, offline: fields, names, references, arguments, order, variables.

Reads Workflow, WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow and WorkflowEventBinding; other kinds
are named and passed over. ``rules`` is the table, ``fields`` the shape (from ``fields.txt``), the other
modules look at what a shape cannot say. Templates are known across all files of one run; what would need
one that is not among them is said to be not checked.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.errors import Problem
from pipelines.spec.scalars import show
from pipelines.spec.yaml import Document, load_all
from pipelines.workflow.expressions import BadExpression, parse
from pipelines.workflow.lint import fields, graphs, templates, uses, variables
from pipelines.workflow.lint.holders import Holder, holders
from pipelines.workflow.lint.rules import RULES, Finding, Rule
from pipelines.workflow.lint.sheet import Sheet
from pipelines.workflow.lint.values import is_timezone, object_name_problem, schedule_problem

__all__ = ["RULES", "Finding", "Linted", "Rule", "lint"]

_LONGEST_NAME = {"CronWorkflow": 52}
"""Kind -> characters of a name; a CronWorkflow's gets the time behind it. Other kinds: 63, as labels."""


@dataclass(frozen=True, slots=True)
class Linted:
    """What came of it."""

    checked: tuple[str, ...]
    """``Kind name`` of every manifest that was checked."""
    skipped: tuple[str, ...]
    """Other documents: ``file:line: Kind name``."""
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What could not be checked, in sentences."""


def lint(texts: Mapping[str, str]) -> Linted:
    """Check manifests; ``texts`` is file -> text, each with any number of documents."""
    sheets: list[Sheet] = []
    skipped: list[str] = []
    findings: list[Finding] = []
    for file in sorted(texts):
        for document in load_all(texts[file], file):
            findings += [Finding("yaml", _with_mode(problem)) for problem in document.problems]
            if not isinstance(document.value, dict):
                continue
            if document.value.get("kind") in fields.KINDS:
                sheets.append(Sheet(document))
            else:
                skipped.append(_named(document))
    _check(sheets)
    findings += [finding for sheet in sheets for finding in sheet.findings]
    ordered = sorted(
        findings, key=lambda one: (one.problem.file, one.problem.line, one.problem.path, one.rule)
    )
    checked = tuple(f"{sheet.kind} {sheet.name}" for sheet in sheets)
    notes = [note for sheet in sheets for note in sheet.notes]
    return Linted(checked, tuple(skipped), tuple(ordered), tuple(dict.fromkeys(notes)))


def _with_mode(problem: Problem) -> Problem:
    """A file mode written as an octal number, which readers take differently, gets its value named."""
    raw = re.match("`0o?([0-7]+)` is an octal", problem.message)
    if raw is None or not problem.path.lower().endswith("mode"):
        return problem
    return dataclasses.replace(problem, hint=f"write {int(raw[1], 8)}, which is that mode for every reader")


def _named(document: Document) -> str:
    value = document.value if isinstance(document.value, dict) else {}
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else ""
    return f"{document.file}:{document.line(())}: {value.get('kind') or 'no kind'} {name or ''}".rstrip()


def _check(sheets: Sequence[Sheet]) -> None:
    for sheet in sheets:
        fields.check(sheet)
        _metadata(sheet)
    _twice(sheets)
    found = holders(sheets)
    library = found[0].library if found else {}
    for holder in found:
        templates.check(holder)
        templates.spec_durations(holder)
        uses.check(holder)
        variables.check(holder, graphs.check(holder))
        for at, metric in enumerate((holder.spec.get("metrics") or {}).get("prometheus") or ()):
            templates.metric_problems(holder.sheet, (*holder.path, "metrics", "prometheus", at), metric)
    for sheet in sheets:
        if sheet.kind == "CronWorkflow":
            _cron(sheet)
        elif sheet.kind == "WorkflowEventBinding":
            _binding(sheet, library)


def _metadata(sheet: Sheet) -> None:
    metadata = sheet.tree.get("metadata") or {}
    most = _LONGEST_NAME.get(sheet.kind, 63)
    if metadata.get("name"):
        problem = object_name_problem(metadata["name"], most)
        if problem:
            sheet.breaks("name", ("metadata", "name"), problem)
    elif metadata.get("generateName") and sheet.kind == "Workflow":
        problem = object_name_problem(metadata["generateName"], most, begins=True)
        if problem:
            sheet.breaks("name", ("metadata", "generateName"), problem)
    elif not sheet.has_spoiled(("metadata",)):
        sheet.breaks("missing_field", ("metadata", "name"), f"is missing in a {sheet.kind}")


def _twice(sheets: Sequence[Sheet]) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for sheet in sheets:
        metadata = sheet.tree.get("metadata") or {}
        if not metadata.get("name"):
            continue
        key = (sheet.kind, str(metadata.get("namespace") or ""), str(metadata["name"]))
        if key in seen:
            message = f"{sheet.kind} {metadata['name']} stands in {seen[key]} too"
            sheet.breaks("duplicate_name", ("metadata", "name"), message)
        seen.setdefault(key, f"{sheet.document.file}:{sheet.document.line(())}")


def _cron(sheet: Sheet) -> None:
    spec = sheet.tree.get("spec") or {}
    schedules = spec.get("schedules")
    if schedules == []:
        sheet.breaks("schedule", ("spec", "schedules"), "is empty")
    for at, text in enumerate(schedules or ()):
        problem = schedule_problem(text) if isinstance(text, str) else ""
        if problem:
            sheet.breaks("schedule", ("spec", "schedules", at), problem)
    zone = spec.get("timezone")
    if isinstance(zone, str) and not is_timezone(zone):
        sheet.breaks("timezone", ("spec", "timezone"), f"{show(zone)} is no time zone")
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if isinstance(spec.get(field), int) and spec[field] < 0:
            sheet.breaks("number", ("spec", field), f"{spec[field]} is below 0")


def _binding(sheet: Sheet, library: Mapping[str, Holder]) -> None:
    spec = sheet.tree.get("spec") or {}
    texts = {("spec", "event", "selector"): (spec.get("event") or {}).get("selector")}
    submit = spec.get("submit") or {}
    for at, one in enumerate((submit.get("arguments") or {}).get("parameters") or ()):
        texts["spec", "submit", "arguments", "parameters", at, "valueFrom", "event"] = (  # type: ignore[index]
            (one.get("valueFrom") or {}).get("event")
        )
    for path, text in texts.items():
        try:
            parse(str(text)) if text else None
        except BadExpression as error:
            sheet.breaks("expression", path, str(error))
    _submitted(sheet, submit, library)


def _submitted(sheet: Sheet, submit: Mapping[str, object], library: Mapping[str, Holder]) -> None:
    ref = submit.get("workflowTemplateRef")
    name = ref.get("name") if isinstance(ref, dict) else None
    if name and name not in library:
        where = f"{sheet.document.file}: {sheet.kind} {sheet.name}"
        sheet.notes.append(f"{where}: the template {name} is not in this run, and not checked")
