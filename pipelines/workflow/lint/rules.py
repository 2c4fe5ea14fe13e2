"""The table of rules: what each refuses and how to put it right. A finding is one place that breaks one."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.errors import Problem


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for Argo's manifests."""

    id: str
    refuses: str
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks one rule."""

    rule: str
    problem: Problem

    def __str__(self) -> str:
        told = self.problem
        return str(Problem(told.file, told.line, told.path, f"{self.rule}: {told.message}", told.hint))


_ALL = (
    # the text
    Rule("yaml", "text that YAML readers do not understand alike", "write it as the hint says"),
    Rule("api_version", "a kind of Argo under another apiVersion", "write apiVersion: argoproj.io/v1alpha1"),
    # the fields
    Rule("unknown_field", "a field that Argo does not have", "remove it"),
    Rule("misplaced_field", "a field in the wrong place", "move it to where it belongs"),
    Rule("missing_field", "a field that must be there", "add it"),
    Rule("wrong_type", "a value of another type than the field's", "write the type named"),
    Rule("unknown_word", "a word that the field does not take", "write one of those it takes"),
    # the values
    Rule("name", "a name that Kubernetes or Argo refuses", "letters, digits and dashes"),
    Rule("duplicate_name", "one name twice in one place", "give each a name of its own"),
    Rule("duration", "a duration that cannot be read", "write one such as 90s, 5m or 1h30m"),
    Rule("number", "a number out of its range", "write one within it"),
    Rule("quantity", "a quantity that cannot be read", "write one such as 500m, 2 or 4Gi"),
    Rule("schedule", "a cron schedule that cannot be read", "write minute, hour, day, month, weekday"),
    Rule("timezone", "a time zone that nobody knows", "write one such as Europe/Berlin"),
    Rule("enum", "a value that its own enum does not hold", "add it to the enum, or choose one of it"),
    # templates
    Rule(
        "template_kind",
        "a template that says nothing to do, or several things",
        "write one of container, dag, steps, suspend, script …",
    ),
    Rule("entrypoint", "a workflow that does not say where it begins", "name a template in spec.entrypoint"),
    Rule("unknown_template", "a template that is not there", "name one that is"),
    Rule(
        "container",
        "a container without image or command: the image's own command is known to a registry alone",
        "write image, command and args",
    ),
    Rule(
        "mount", "a mount of no volume, or two things at one place", "name a volume, and a place of its own"
    ),
    Rule("leaf_only", "a field that DAGs and steps do not take, or only they", "move it to the other kind"),
    Rule("output_source", "an output that its template cannot give", "write the valueFrom named"),
    Rule(
        "suspend_default",
        "a supplied output without default: resumed by hand or by time, its node is an error",
        "write valueFrom.default with the safe answer",
    ),
    Rule("retry", "a retry strategy that does not do what it says", "write limit, and backoff.duration"),
    Rule("metric", "a metric that Prometheus or Argo refuses", "write name, help and one kind of value"),
    # arguments
    Rule(
        "argument_missing", "a template used without a value that it needs", "hand it over, or give a default"
    ),
    Rule("argument_unknown", "a value for an input that the template does not have", "remove it"),
    Rule("argument_value", "an argument without a value", "write value or valueFrom"),
    # DAGs
    Rule("unknown_task", "a task that is not there", "name one of the same DAG"),
    Rule(
        "task_result",
        "a result that tasks do not have",
        "write Succeeded, Failed, Errored, Skipped or Omitted",
    ),
    Rule("depends", "a depends that cannot be read", "join tasks by &&, || and !"),
    Rule("depends_mixed", "depends beside dependencies or continueOn", "use depends alone in that DAG"),
    Rule("cycle", "tasks that wait for one another for ever", "remove one of the dependencies"),
    Rule("items", "several lists of items for one task", "keep one of withItems, withParam, withSequence"),
    # variables
    Rule("unknown_variable", "a {{…}} that nothing gives", "name something that is there"),
    Rule(
        "not_an_ancestor",
        "a {{tasks.…}} or {{steps.…}} that may not have run yet: the workflow waits for ever",
        "depend on that task, or move the step to a later group",
    ),
    Rule(
        "output_may_be_missing",
        "an output of a task that may be skipped: Argo waits for ever, from 4.0.7 on unless it has a default",
        "depend on that task's .Succeeded, and give the output a default",
    ),
    Rule("expression", "an expression that cannot be read", "look at its brackets, quotes and operators"),
    Rule("condition", "a when that cannot be read", "compare words: '{{…}} == go'"),
    Rule("placeholder", "a {{ that is not closed", "close it with }}"),
)

RULES = {rule.id: rule for rule in _ALL}
"""Every rule by its id."""
