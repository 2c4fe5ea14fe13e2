"""What every route needs, in one value: content, state, accounts, rules, shapes."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.rehearsal.forge.content import Content
from pipelines.rehearsal.forge.identity import Accounts, Actor
from pipelines.rehearsal.forge.rules import Denied, Rules
from pipelines.rehearsal.forge.shapes import Shapes
from pipelines.rehearsal.forge.state import Pull, State


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One repository on one forge."""

    repository: str
    content: Content
    state: State
    accounts: Accounts
    rules: Rules
    shapes: Shapes

    @property
    def prefix(self) -> str:
        """Start of the repository's REST paths."""
        return f"/repos/{self.repository}"

    def commit(self, name: str) -> str:
        """The commit a name stands for.

        Raises:
            Denied: 404.
        """
        sha = self.content.sha(name)
        if sha is None:
            raise Denied(404, "Not Found")
        return sha

    def pull(self, number: int) -> Pull:
        """A pull request, following its branches.

        Raises:
            Denied: 404.
        """
        with self.state.lock:
            if number not in self.state.pulls:
                raise Denied(404, "Not Found")
            return self.rules.refresh(self.state.pulls[number])

    def guard(self, branch: str, actor: Actor) -> None:
        """Refuse a protected branch to everybody but the App, which stands on its bypass list.

        Raises:
            Denied: 422.
        """
        if branch in self.state.protection and actor.login != self.accounts.app_account:
            raise Denied(422, f"Protected branch update failed for refs/heads/{branch}.")
