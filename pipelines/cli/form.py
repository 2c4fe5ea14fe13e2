"""The form a promotion is asked for with, as a workflow passes it on: nothing in it has been checked yet.

Argo Workflows enforces no enum, and its pages have sent the word ``undefined`` for a field left blank. So
every value is held against the repository here, in the first step, and all that is wrong is said at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields

from pipelines.cli.session import plain
from pipelines.errors import InvalidInput, Problem
from pipelines.spec.scalars import near

URGENCIES = ("normal", "emergency")
LONGEST = 500
"""Characters a value may have."""
CREATOR = "workflows.argoproj.io/creator"
"""Label of a workflow, and the beginning of two more."""
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_PROMOTION = re.compile(r"[a-z0-9][A-Za-z0-9-]{0,199}")

Check = Callable[[str], tuple[str, str] | None]
"""Given a value that is not blank: what is wrong with it and what to write instead; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What somebody asked for, "" where nothing was given."""

    model: str
    version: str = ""
    """A label that main's release.yaml names, or a registry alias; "": what release.yaml names."""
    environment: str
    requested_by: str
    reason: str
    urgency: str = "normal"
    promotion: str = ""
    """Id of the promotion to take up again; "": a new one, or the one under way for this version."""

    def words(self) -> str:
        """The reason as it is kept: an emergency says so where approvers read it."""
        return f"emergency: {self.reason}"[:LONGEST] if self.urgency == "emergency" else self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """Who Argo's server says created a workflow, in the characters that labels may have.

    It knows people where they log in to it (SSO), and else the service account whose token was used. Labels
    are no proof: whoever may submit by the API may write their own. They tell a wrong name from a right one.
    """

    subject: str = ""
    """The account, or what the identity provider calls the person: often a number."""
    email: str = ""
    """With ``.at.`` for the @."""
    username: str = ""

    @property
    def text(self) -> str:
        """All of it, as the journal keeps it."""
        return " ".join(dict.fromkeys(one for one in (self.username, self.email, self.subject) if one))

    def confirm(self, requested_by: str) -> None:
        """Nobody asks in another's name: who asks cannot approve, and another could.

        Where the server knows no name of a person there is nothing to compare.

        Raises:
            InvalidInput: the server says that somebody else created the workflow.
        """
        known = {one.lower() for one in (self.username, self.email, self.email.partition(".at.")[0]) if one}
        if known and _as_label(requested_by).lower() not in known:
            message = f"is {requested_by}, and Argo says that {self.text} created this workflow"
            raise InvalidInput([Problem("--requested-by", 0, "", message, "write your own login")])


def creator(labels: str) -> Creator:
    """Who created a workflow, by its labels as JSON; nobody where these do not say."""
    try:
        found = json.loads(labels or "{}")
    except ValueError:
        found = {}
    every = found.items() if isinstance(found, dict) else ()
    texts = {key: value for key, value in every if isinstance(value, str)}
    return Creator(
        subject=texts.get(CREATOR, ""),
        email=texts.get(f"{CREATOR}-email", ""),
        username=texts.get(f"{CREATOR}-preferred-username", ""),
    )


def _as_label(name: str) -> str:
    """A name as Argo writes it into a label: its last 63 characters, of which few are allowed."""
    text = re.sub("[^-_.a-z0-9A-Z]", "-", name.replace("@", ".at.", 1))[-63:]
    return re.sub("^[^a-z0-9A-Z]*|[^a-z0-9A-Z]*$", "", text)


def given(value: str | None) -> str:
    """A value without white space around it; "" for what a page sends for a blank field."""
    text = (value or "").strip()
    return "" if text == "undefined" else text


def checked(form: Form, *, models: Collection[str], environments: Collection[str]) -> Form:
    """The form, its values trimmed and each found good.

    Args:
        form: as it came in.
        models: the models of the repository.
        environments: those a promotion may go to.

    Raises:
        InvalidInput: names every value that cannot be used.
    """
    values = {field.name: given(getattr(form, field.name)) for field in fields(form)}
    values["urgency"] = values["urgency"] or URGENCIES[0]
    checks: dict[str, Check] = {
        "model": _one_of(models),
        "environment": _one_of(environments),
        "requested_by": _like(_LOGIN, "write a login or mail address, without spaces"),
        "urgency": _one_of(URGENCIES),
        "promotion": _like(_PROMOTION, "`lockgate history` lists the ids"),
    }
    problems = [problem for name, value in values.items() for problem in _problems(name, value, checks)]
    if problems:
        raise InvalidInput(problems)
    return Form(**values)


def _problems(name: str, value: str, checks: dict[str, Check]) -> Iterator[Problem]:
    option = f"--{name.replace('_', '-')}"
    if not value:
        if name in ("model", "environment", "requested_by", "reason"):
            yield Problem(option, 0, "", "is blank")
    elif len(value) > LONGEST:
        yield Problem(option, 0, "", f"has {len(value)} characters", f"write at most {LONGEST}")
    elif "\n" in value or plain(value) != value:
        yield Problem(option, 0, "", "has line breaks or control characters", "write one line of text")
    elif "{{" in value:
        yield Problem(option, 0, "", "has {{, which a workflow would evaluate", "write it without")
    elif name in checks and (wrong := checks[name](value)):
        yield Problem(option, 0, "", *wrong)


def _one_of(known: Collection[str]) -> Check:
    def check(value: str) -> tuple[str, str] | None:
        if value in known:
            return None
        return f"there is no {value}", near(value, known) or f"one of {', '.join(known)}"

    return check


def _like(pattern: re.Pattern[str], advice: str) -> Check:
    def check(value: str) -> tuple[str, str] | None:
        return None if pattern.fullmatch(value) else (f"cannot be {value}", advice)

    return check
