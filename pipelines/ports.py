"""What the steps need of the world, as protocols, and the plain values that cross them.

A client satisfies a protocol by its shape; nobody inherits. Values are frozen and copied at the edge:
no object of a third-party library passes through here, so nothing fetches lazily behind our back.

Every method may raise :class:`~pipelines.errors.CouldNotTell` (outage, nonsense, missing right). A write
that raised it may or may not have happened: the caller looks again before it writes again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from gates.approval import Approver, Change, Conflicts
from gates.evaluation import Inference
from gates.metrics import Answer, Metrics, Series
from gates.signature import Artifacts

__all__ = [
    "Answer",
    "Approver",
    "Artifacts",
    "Change",
    "ChangeDesk",
    "ChangeRequest",
    "Clock",
    "Commit",
    "Conflicts",
    "Deployer",
    "Deployment",
    "Finding",
    "Forge",
    "Inference",
    "JournalBook",
    "JournalStore",
    "Merge",
    "Metrics",
    "PullRequest",
    "Registry",
    "Repository",
    "Resolved",
    "Series",
    "Sync",
    "Workflow",
    "WorkflowNode",
    "Workflows",
]


class Clock(Protocol):
    """The only place time is read or slept away."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; the engine alone calls this."""
        ...


# ------------------------------------------------------------------ git content


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit as the steps need it."""

    sha: str
    at: datetime
    author: str
    subject: str
    trailers: Mapping[str, str]


class Repository(Protocol):
    """The GitOps repository, read and written by commits; never forced."""

    def head(self, branch: str) -> str | None:
        """SHA of the branch on the remote now; None when there is no such branch."""
        ...

    def read(self, path: str, at: str) -> str | None:
        """Text of a file at a commit or branch; None when it is not there."""
        ...

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """Bytes of a file at a commit or branch; None when it is not there."""
        ...

    def files(self, prefix: str, at: str) -> dict[str, str]:
        """Every file below a folder at a commit or branch: path -> text."""
        ...

    def commit(
        self, branch: str, changes: Mapping[str, str | None], *, subject: str, body: str,
        trailers: Mapping[str, str], base: str | None = None,
    ) -> Commit:  # fmt: skip
        """Write files (None deletes one) as one commit on the branch and push it without force.

        A push rejected because the branch moved is retried on the new head: the changes are whole files,
        so those of other models are kept. ``base`` names the commit a new branch starts from. When the
        files already read that way, no empty commit is made: the newest commit touching them is returned.
        """
        ...

    def find(self, branch: str, trailers: Mapping[str, str]) -> Commit | None:
        """The newest commit on the branch that carries all these trailers."""
        ...

    def log(self, branch: str, path: str) -> tuple[Commit, ...]:
        """Commits on the branch that touched a path, newest first."""
        ...

    def delete_branch(self, branch: str) -> None:
        """Delete a branch on the remote; already gone is fine."""
        ...


class JournalStore(Protocol):
    """The append-only journals, one per promotion, on a branch of their own."""

    def promotions(self) -> tuple[str, ...]:
        """Ids of all promotions, oldest first."""
        ...

    def read(self, promotion: str) -> str:
        """The journal's text as stored, "" when there is none."""
        ...

    def append(self, promotion: str, lines: str, *, expected: str) -> None:
        """Add whole lines to a journal whose text is ``expected``, in one commit.

        Raises:
            JournalMoved: the stored text is no longer ``expected``; nothing was written.
        """
        ...


class JournalBook(JournalStore, Protocol):
    """The same, with room for a new journal."""

    def begin(self, promotion: str, lines: str, *, beside: Collection[str]) -> None:
        """Write a journal's first lines, unless another of its model and environment was begun meanwhile.

        Args:
            promotion: its id.
            lines: whole lines.
            beside: the ids of all journals that the writer knows of.

        Raises:
            JournalMoved: there is one that the writer does not know of; nothing was written.
        """
        ...


# ---------------------------------------------------------------- pull requests


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request, copied whole."""

    number: int
    url: str
    author: str
    head_sha: str
    base_sha: str
    state: Literal["open", "closed", "merged"]
    merge_sha: str
    """The merge commit; "" unless merged."""
    mergeable: Literal["yes", "no", "blocked", "unknown"]
    """``no``: conflicts; ``blocked``: checks or reviews missing; ``unknown``: the forge still computes."""
    approvals: tuple[str, ...]
    """Accounts whose latest review approves the present head."""
    merged_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What came of asking to merge."""

    outcome: Literal["merged", "not_ready", "head_moved", "refused"]
    sha: str = ""
    """The merge commit when merged."""
    sentence: str = ""


class Forge(Protocol):
    """Pull requests and commit statuses."""

    def find_pull_request(self, branch: str) -> PullRequest | None:
        """The newest pull request from this branch of our own repository, open or not."""
        ...

    def open_pull_request(self, *, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open one; adopts the open one when the forge says it exists already."""
        ...

    def pull_request(self, number: int) -> PullRequest:
        """Read one afresh."""
        ...

    def set_status(
        self,
        sha: str,
        *,
        name: str,
        state: Literal["success", "pending", "failure", "error"],
        sentence: str,
        url: str,
    ) -> None:
        """Write a commit status; the same again is harmless."""
        ...

    def merge(self, number: int, *, head_sha: str, title: str, body: str) -> Merge:
        """Merge exactly this head; a lost answer is resolved by reading the pull request again."""
        ...

    def close(self, number: int) -> None:
        """Close without merging; already closed is fine."""
        ...

    def comment(self, number: int, *, marker: str, body: str) -> None:
        """Write or rewrite the one comment that carries this hidden marker."""
        ...


# ---------------------------------------------------------------- change control


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """What a new change request says."""

    correlation_id: str
    type: Literal["normal", "standard", "emergency"]
    template: str
    short_description: str
    description: str
    justification: str
    configuration_item: str
    assignment_group: str
    requested_by: str
    start: datetime
    end: datetime


class ChangeDesk(Protocol):
    """Change requests and their approvals."""

    def find(self, correlation_id: str) -> Change | None:
        """The newest open change with this correlation id; None when none is open.

        One that an earlier run opened but could not ask the assessment of is asked for here.
        """
        ...

    def create(self, request: ChangeRequest) -> Change:
        """Open a change and ask for its assessment; an open one with this correlation id is adopted.

        The desk itself does not refuse a second one.
        """
        ...

    def read(self, number: str) -> Change:
        """Read a change, its approvers and its conflicts afresh."""
        ...

    def begin(self, number: str) -> None:
        """Move an approved change to Implement; already there is fine."""
        ...

    def close(self, number: str, *, code: Literal["successful", "unsuccessful"], notes: str) -> None:
        """Close (or cancel, where nothing was implemented) with its outcome; already closed is fine."""
        ...

    def note(self, number: str, text: str) -> None:
        """Add a work note."""
        ...


# -------------------------------------------------------------------- delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """How far one commit has got in one application."""

    outcome: Literal["done", "running", "failed", "not_started"]
    """``done``: this very commit was applied and finished; ``failed``: applied and refused."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the serving layer says of one InferenceService, as read from the live object."""

    exists: bool
    ready: bool
    """Newest revision ready and serving as asked (Knative), or canary entries ready (Standard)."""
    failed: str
    """Why it can never become ready (a load failure, an invalid spec); "" otherwise."""
    sentence: str
    """What it waits for, in words."""
    uri: str
    """storageUri of the newest spec the controllers have seen; the candidate's in a promotion."""
    traffic: Mapping[str, int]
    """Revision (or Standard-mode Service) -> percent, added up by revision name."""
    newest_revision: str
    stable_revision: str
    """The other one that serves; "" when one revision has everything."""
    url: str
    """Where the service is reached."""


class Deployer(Protocol):
    """Argo CD, for one environment."""

    def sync(self, commit: str) -> None:
        """Ask for one exact commit to be applied.

        Raises:
            NotYet: another operation runs, or a sync window forbids it.
            Refused: auto-sync is on, or the answer names another revision.
        """
        ...

    def synced(self, commit: str) -> Sync:
        """How far that commit has got."""
        ...

    def deployment(self, *, namespace: str, service: str, mode: Literal["Knative", "Standard"]) -> Deployment:
        """Read the live InferenceService."""
        ...


# -------------------------------------------------------------------- registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a registry alias stood for at one instant."""

    alias: str
    version: str
    uri: str


class Registry(Protocol):
    """A model registry whose aliases move."""

    def resolve(self, alias: str) -> Resolved:
        """Turn ``models:/name@alias`` into the immutable URI it stands for now."""
        ...

    def set_alias(self, model: str, alias: str, uri: str) -> None:
        """Let an alias name the registered version that has this URI."""
        ...


# ------------------------------------------------------------------- workflows


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowNode:
    """One node of a workflow's graph, as its status shows it."""

    id: str
    task: str
    """The task's name in the graph, such as ``bake-10``; "" for the workflow itself."""
    stage: str
    """Its input ``stage``: the stage of the plan that it runs or waits in; "" where it has none."""
    kind: str
    """``Suspend``, ``Pod``, ``Retry``, ``DAG`` …"""
    phase: str
    """``Pending``, ``Running``, ``Succeeded``, ``Failed``, ``Error``, ``Skipped``, ``Omitted``; "" before."""
    message: str
    answer: str | None
    """What its output ``answer`` was given; None where it has none, or none was given."""
    unanswered: bool
    """It has such an output, and nothing was given."""

    @property
    def waits(self) -> bool:
        """It waits for an answer, without a pod."""
        return self.kind == "Suspend" and self.phase == "Running"

    @property
    def stuck(self) -> bool:
        """Somebody resumed it without an answer: what stands behind it never starts."""
        return self.kind == "Suspend" and self.phase == "Succeeded" and self.unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One workflow that moves a promotion, copied whole."""

    name: str
    template: str
    phase: str
    """``Running``, ``Succeeded``, ``Failed``, ``Error``; "" or ``Pending`` before it runs."""
    message: str
    created_at: datetime
    promotion: str
    """Id of the promotion it moves; "" before its first step said which."""
    url: str
    """Where people look at it."""
    nodes: tuple[WorkflowNode, ...] = ()

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self.phase in ("", "Pending", "Running")


class Workflows(Protocol):
    """The Argo Workflows server that promotions run on."""

    @property
    def calls(self) -> int:
        """Requests sent so far."""
        ...

    def alive(self) -> tuple[Workflow, ...]:
        """Every workflow that moves a promotion and has not ended, in one request; oldest first."""
        ...

    def look(self, name: str) -> Workflow | None:
        """One workflow; None when there is none of that name."""
        ...

    def submit(
        self, template: str, parameters: Mapping[str, str], *, name: str = "", prefix: str = ""
    ) -> Workflow | None:
        """Start one from a template, by this name or a new one that begins with ``prefix``.

        None: there is one of this name already, and nothing was started.

        Raises:
            Refused: the server does not take it, such as for a template that is not there.
        """
        ...

    def answer(self, workflow: str, node: str, answer: Literal["go", "stop"], message: str) -> bool:
        """Give a waiting node its answer, and let it go on; False when it waits no more.

        An answer that was given before stands: a node takes one.
        """
        ...

    def tell(self, workflow: str, node: str, message: str) -> bool:
        """Show a sentence at a waiting node; False when it waits no more."""
        ...

    def terminate(self, workflow: str) -> None:
        """End a workflow at once; already ended or gone is fine."""
        ...

    def delete(self, workflow: str) -> None:
        """Remove a workflow; already gone is fine."""
        ...


# ---------------------------------------------------------------------- doctor


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing `lockgate doctor` looked at; every client answers ``diagnose()`` with some."""

    system: str
    what: str
    """``reach``, ``rights``, ``version``, ``settings``"""
    good: bool | None
    """None: could not tell."""
    sentence: str
    advice: str = ""
    """What to do; "" when good."""
