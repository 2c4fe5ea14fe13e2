"""Specs with templates in them, and where a template that a task names is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.spec.scalars import Path
from pipelines.workflow.lint.sheet import Sheet, Tree

TEMPLATE_KINDS = (
    "container", "containerSet", "dag", "data", "http", "plugin", "resource", "script", "steps", "suspend",
)  # fmt: skip
PODS = ("container", "containerSet", "script", "resource", "data")


@dataclass(frozen=True, slots=True)
class Template:
    """One template, named or inline."""

    holder: Holder
    tree: Tree
    path: Path

    @property
    def kinds(self) -> list[str]:
        """What it says to do; one word in a good template."""
        return [kind for kind in TEMPLATE_KINDS if self.tree.get(kind) is not None]

    @property
    def kind(self) -> str:
        """The first of these; "" for none."""
        return self.kinds[0] if self.kinds else ""

    @property
    def name(self) -> str:
        """Its name; "" when it is inline."""
        return str(self.tree.get("name") or "")

    def section(self, section: str, what: str) -> list[Tree]:
        """Its input or output parameters or artifacts."""
        return list((self.tree.get(section) or {}).get(what) or ())

    def tasks(self) -> Iterator[tuple[Path, Tree]]:
        """Its tasks or steps, each with its place."""
        for at, task in enumerate((self.tree.get("dag") or {}).get("tasks") or ()):
            yield (*self.path, "dag", "tasks", at), task
        for at, group in enumerate(self.tree.get("steps") or ()):
            for place, step in enumerate(group or ()):
                yield (*self.path, "steps", at, place), step


@dataclass(frozen=True, slots=True)
class Holder:
    """The spec of a workflow, wherever it stands."""

    sheet: Sheet
    spec: Tree
    path: Path
    library: Mapping[str, Holder]
    """WorkflowTemplates and ClusterWorkflowTemplates of the same run, by name."""

    @property
    def is_template(self) -> bool:
        """Whether others submit or use it, so that values may come from them."""
        return self.sheet.kind in ("WorkflowTemplate", "ClusterWorkflowTemplate")

    @property
    def base(self) -> Holder | None:
        """The template it is made from, if it is in this run; itself when it is made from none."""
        ref = (self.spec.get("workflowTemplateRef") or {}).get("name")
        return self if not ref else self.library.get(str(ref))

    @property
    def arguments(self) -> list[Tree]:
        """The parameters it declares, its own and those of the template it is made from."""
        specs = [self.spec] if self.base in (None, self) else [self.spec, self.base.spec]
        return [one for spec in specs for one in (spec.get("arguments") or {}).get("parameters") or ()]

    def templates(self) -> list[Template]:
        """Its templates."""
        return [
            Template(self, tree, (*self.path, "templates", at))
            for at, tree in enumerate(self.spec.get("templates") or ())
        ]

    def every(self) -> Iterator[Template]:
        """Its templates and those inline in their tasks."""
        ahead = self.templates()
        while ahead:
            one = ahead.pop(0)
            yield one
            for path, task in one.tasks():
                if task.get("inline"):
                    ahead.append(Template(self, task["inline"], (*path, "inline")))

    def named(self, name: object) -> Template | None:
        """The template of that name."""
        base = self.base
        return next((one for one in base.templates() if one.name == name), None) if base else None

    def used(self, task: Tree) -> Template | None:
        """The template that a task, step or hook uses; None when it is not there or not in this run."""
        if task.get("inline"):
            return Template(self, task["inline"], ())
        ref = task.get("templateRef")
        if ref:
            other = self.library.get(str(ref.get("name")))
            return other.named(ref.get("template")) if other else None
        return self.named(task.get("template"))


def holders(sheets: Sequence[Sheet]) -> list[Holder]:
    """The specs of all sheets; each finds the templates of all."""
    library: dict[str, Holder] = {}
    found: list[Holder] = []
    for sheet in sheets:
        spec, path = sheet.tree.get("spec") or {}, ("spec",)
        if sheet.kind == "WorkflowEventBinding":
            continue
        if sheet.kind == "CronWorkflow":
            holder = Holder(sheet, spec.get("workflowSpec") or {}, (*path, "workflowSpec"), library)
        else:
            holder = Holder(sheet, spec, path, library)
        found.append(holder)
        if holder.is_template:
            library.setdefault(sheet.name, holder)
    return found
