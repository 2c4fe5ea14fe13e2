"""Tells a rehearsal in plain sentences: what happened when, each verdict with what was measured.

In a terminal there is colour, and a last line that says what is waited for; elsewhere plain lines alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from pipelines.decide import Move
from pipelines.journal import events as e
from pipelines.journal.lines import Line
from pipelines.journal.state import State
from pipelines.reports.words import clean, short

_COLUMNS = 110
_INDENT = 9
"""Columns that the time takes; what belongs to a sentence stands below it."""
_LIVE = ("slo", "canary")
"""Gates that count live requests."""
_COLOURS = {"PASS": "green", "FAIL": "bold red", "UNKNOWN": "magenta", "WAIT": "yellow"}


class Voice:
    """Writes lines; times count from when it was made.

    ``mask`` goes over everything that is written.
    """

    def __init__(self, console: Console, *, mask: Callable[[str], str] = str) -> None:
        self._console = console
        self._mask = mask
        self._began = datetime.now(UTC)
        self._status: Status | None = None
        self.width = min(console.width, _COLUMNS) if console.is_terminal else _COLUMNS

    def heading(self, text: str) -> None:
        """A chapter begins."""
        self._write("")
        self._write(text, style="bold")

    def say(self, text: str, *, at: datetime | None = None) -> None:
        """One sentence with its time, minutes and seconds."""
        seconds = max(0, round(((at or datetime.now(UTC)) - self._began).total_seconds()))
        self._wrapped(f"  {seconds // 60:02}:{seconds % 60:02}  ", text)

    def below(self, text: str, *, label: str = "", clip: bool = False) -> None:
        """What belongs to the sentence before; a label stands in a column of its own.

        ``clip`` cuts it to one line.
        """
        before = " " * _INDENT + (f"{label:<19}" if label else "")
        if clip:
            self.plain([before + clean(text)])
        else:
            self._wrapped(before, text)

    def plain(self, lines: Iterable[str], *, cut: bool = True) -> None:
        """Lines as they are, such as another command's; what does not fit is cut where it may be."""
        for line in lines:
            fits = len(line) <= self.width or not cut
            self._write(line if fits else f"{line[: self.width - 1]}…")

    def wait(self, text: str) -> None:
        """What is waited for, on the last line of a terminal; "" for nothing."""
        if not self._console.is_terminal:
            return
        if not text:
            self.stop()
            return
        line = Text(clean(self._mask(text))[: self.width - 4], style="dim")
        if self._status is None:
            self._status = self._console.status(line)
            self._status.start()
        self._status.update(line)

    def stop(self) -> None:
        """Take the last line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _wrapped(self, before: str, text: str) -> None:
        after = " " * len(before)
        lines = textwrap.wrap(
            clean(text), self.width, initial_indent=before, subsequent_indent=after, break_on_hyphens=False
        )
        for line in lines or [before]:
            self._write(line)

    def _write(self, line: str, *, style: str = "") -> None:
        text = Text(self._mask(line), style=style)
        for word, colour in _COLOURS.items():
            text.highlight_words([f" {word} "], colour)
        self._console.print(text, soft_wrap=True)
        self._console.file.flush()


class Narrator:
    """Tells one promotion from its journal, as lines are added.

    ``brief`` leaves out what a listener has heard of the promotion before this one.
    """

    def __init__(self, voice: Voice, *, brief: bool = False) -> None:
        self._voice = voice
        self._brief = brief
        self._told = 0
        self._latest: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._version = ""
        self._done: set[str] = set()
        self._could_not_tell: set[tuple[str, str]] = set()

    def hear(self, lines: Sequence[Line], state: State, move: Move | None) -> None:
        """Tell what is new."""
        self._version = clean(state.started.candidate["label"])
        for line in lines[self._told :]:
            tell = self._TELL.get(type(line.event))
            if tell is not None:
                tell(self, line.event, line.at, state)
        self._told = len(lines)
        if move is None or move.kind == "stop":
            self._voice.wait("")
        else:
            self._voice.wait(
                f"{move.stage} waits: {move.sentence}" if move.kind == "hold" else f"{move.stage} …"
            )

    # ------------------------------------------------------------------- before the merge

    def _started(self, event: e.Started, at: datetime, state: State) -> None:
        stable = clean(event.stable["label"]) if event.stable else "nothing"
        self._voice.say(
            f"{event.requested_by} names {self._version} in release.yaml and asks for it in "
            f"{event.environment}, where {stable} serves: {event.reason}",
            at=at,
        )

    def _proposed(self, event: e.Proposed, at: datetime, state: State) -> None:
        self._voice.say(
            f"pull request {event.pull_request} is open: manifests with {self._version} at 0 %", at=at
        )

    def _previewed(self, event: e.Previewed, at: datetime, state: State) -> None:
        if not self._brief:
            self._voice.say(f"{self._version} runs in {event.environment}, where no caller reaches it", at=at)

    def _judged(self, event: e.Judged, at: datetime, state: State) -> None:
        self._latest[event.stage, event.verdict["gate"]] = event.verdict

    def _verdicts(self, stage: str, *gates: str) -> list[Mapping[str, Any]]:
        """The latest of a stage, of all gates where none is named."""
        said = [verdict for (at, _), verdict in self._latest.items() if at == stage]
        return [one for one in said if not gates or one["gate"] in gates]

    def _tell_verdicts(self, verdicts: Iterable[Mapping[str, Any]]) -> None:
        for verdict in verdicts:
            passed = verdict["status"] == "PASS"
            sentence = (_counted(verdict) if passed else "") or str(verdict["sentence"])
            label = f"{verdict['gate']:<11} {verdict['status']:<7}"
            self._voice.below(sentence, label=label, clip=passed)

    def _merged(self, event: e.Merged, at: datetime, state: State) -> None:
        self._voice.say(f"exactly that commit is merged, as {short(event.commit)} by {event.by}", at=at)

    # ----------------------------------------------------------------------------- shares

    def _share_served(self, event: e.ShareServed, at: datetime, state: State) -> None:
        if event.stage == "roll_back":
            commit = short(state.zero_commit)
            self._voice.say(f"0 %: commit {commit} is synced, Envoy sends {self._version} nothing", at=at)
        elif event.share_percent == 0 and not self._brief:
            self._voice.say(f"0 %: {self._version} is ready in {state.started.environment}", at=at)

    def _share_seen(self, event: e.ShareSeen, at: datetime, state: State) -> None:
        if event.stage == "roll_back":
            observed = f"{event.observed_percent or 0:.1f} % of requests at {self._version}"
            self._voice.say(f"Prometheus shows {observed}", at=at)
        elif event.share_percent > 0:
            commit = short(state.commits[event.share_percent])
            observed = f"{event.observed_percent or 0:.1f} % of requests at {self._version}"
            self._voice.say(
                f"{event.share_percent} %: commit {commit} is synced; Prometheus shows {observed}", at=at
            )

    def _stage_done(self, event: e.StageDone, at: datetime, state: State) -> None:
        step = state.plan.stage(event.stage).step
        if event.stage in self._done:  # watched on while something else waits
            return
        self._done.add(event.stage)
        if step == "judge":
            verdicts = self._verdicts(event.stage)
            if self._brief:
                names = ", ".join(str(one["gate"]) for one in verdicts)
                self._voice.say(f"judged before the merge: {names} all PASS", at=at)
                return
            head = short(state.proposed.head_sha) if state.proposed else ""
            self._voice.say(f"judged before the merge, on commit {head}:", at=at)
            self._tell_verdicts(verdicts)
        elif step == "bake":
            self._tell_verdicts(self._verdicts(event.stage, *_LIVE))
        elif step == "approve":
            self._voice.say(event.sentence, at=at)

    def _refused(self, event: e.StepRefused, at: datetime, state: State) -> None:
        """What spoke against it, and of live requests also what did not."""
        said = self._verdicts(event.stage)
        failed = any(one["status"] == "FAIL" for one in said)
        self._voice.say(f"{event.stage} says no:", at=at)
        self._tell_verdicts(one for one in said if one["status"] == "FAIL" or one["gate"] in _LIVE)
        if not failed:
            self._voice.below(event.sentence)

    # ---------------------------------------------------------------- what is in the way

    def _waited(self, event: e.Waited, at: datetime, state: State) -> None:
        """Waiting is no news; that something cannot be told is, once for each reason."""
        if event.unknown and (event.stage, event.reason) not in self._could_not_tell:
            self._could_not_tell.add((event.stage, event.reason))
            self._voice.say(f"{event.stage} cannot tell, and holds: {event.sentence}", at=at)

    def _abort_asked(self, event: e.AbortAsked, at: datetime, state: State) -> None:
        self._voice.say(f"{event.person} ends it: {event.reason}", at=at)

    # ------------------------------------------------------------------------- the end

    def _change_opened(self, event: e.ChangeOpened, at: datetime, state: State) -> None:
        self._voice.say(f"change {event.number} is open: nothing goes to 100 % before it is approved", at=at)

    def _rollback(self, event: e.RollbackBegan, at: datetime, state: State) -> None:
        if state.refused is None:
            self._voice.say(f"{self._version} has to go back: {event.sentence}", at=at)

    def _change_closed(self, event: e.ChangeClosed, at: datetime, state: State) -> None:
        self._voice.say(f"change {event.number} is closed as {event.code}", at=at)

    def _ended(self, event: e.Ended, at: datetime, state: State) -> None:
        """What the last lines did not say yet."""
        stable = clean(state.started.stable["label"]) if state.started.stable else "nothing"
        back = f"{event.outcome.replace('_', ' ')}: {stable} serves 100 %"
        words = {
            "refused": f"refused: pull request closed, no live request ever reached {self._version}",
            "rolled_back": back,
            "aborted": back,
        }
        self._voice.say(words.get(event.outcome, event.sentence), at=at)
        for piece in event.left_undone:
            self._voice.below(f"left for people: {piece}")

    _TELL: Mapping[type[e.Event], Callable[[Any, Any, datetime, State], None]] = {
        e.Started: _started,
        e.Proposed: _proposed,
        e.Previewed: _previewed,
        e.Judged: _judged,
        e.Merged: _merged,
        e.ShareServed: _share_served,
        e.ShareSeen: _share_seen,
        e.StageDone: _stage_done,
        e.StepRefused: _refused,
        e.Waited: _waited,
        e.AbortAsked: _abort_asked,
        e.ChangeOpened: _change_opened,
        e.RollbackBegan: _rollback,
        e.ChangeClosed: _change_closed,
        e.Ended: _ended,
    }


def _counted(verdict: Mapping[str, Any]) -> str:
    """The candidate's bad requests, with the most that could not be excluded; "" where none were counted."""
    words = {"errors_share": "failed", "slow_share": "were slow"}
    parts = [
        f"{round(one['value'] * one['samples'] / 100)} of {one['samples']} {words[one['name']]} "
        f"({one['high']:.1f} % at most)"
        for one in verdict["evidence"]["measurements"]
        if one["arm"] == "candidate" and one["name"] in words and None not in (one["value"], one["high"])
    ]
    return ", ".join(parts)
