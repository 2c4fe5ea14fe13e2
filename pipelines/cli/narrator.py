"""Tells a promotion as it goes, one plain sentence per thing that happened and per new reason to wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.cli.session import Session, one_line
from pipelines.decide import Move
from pipelines.journal import events as e
from pipelines.journal.lines import Line
from pipelines.journal.state import State
from pipelines.reports.words import clock, who


class Narrator:
    """Says what is new since it last spoke; a poll that says the same again is not repeated."""

    def __init__(self, session: Session, *, after: int = 0) -> None:
        """``after`` lines of the journal are told already."""
        self._session = session
        self._told = after
        self._waits: dict[str, str] = {}
        self._verdicts: dict[tuple[str, str], tuple[str, str]] = {}

    def tell(self, lines: Sequence[Line], state: State, move: Move | None = None) -> None:
        """Tell the journal's new lines, then why nothing happens where only the decision knows."""
        for line in lines[self._told :]:
            for sentence in self._of(line):
                self._session.say(f"{clock(line.at)}  {one_line(sentence)}")
        self._told = len(lines)
        if move is not None and move.kind == "hold" and self._waits.get(move.stage) != move.reason:
            self._waits[move.stage] = move.reason
            self._session.say(f"{clock(state.last_at)}  {move.stage} waits: {one_line(move.sentence)}")

    def _of(self, line: Line) -> Iterator[str]:
        event = line.event
        match event:
            case e.Started():
                yield (
                    f"{event.promotion}: {event.requested_by} asked for {event.candidate['label']} in "
                    f"{event.environment}: {event.reason}"
                )
            case e.Judged():
                yield from self._judged(event)
            case e.Waited():
                yield from self._waited(event)
            case e.StageDone():
                self._waits.pop(event.stage, None)
                yield f"{event.stage} is done: {event.sentence}"
            case e.StepRefused():
                yield f"{event.stage} was refused: {event.sentence}"
            case e.ChangeOpened():
                yield f"change {event.number} is open: {event.url}"
            case e.EmergencyOpened():
                yield f"emergency change {event.number} tells the desk of it: {event.url}"
            case e.RollbackBegan():
                yield f"going back to 0 %: {event.sentence}"
            case e.Held() | e.AbortAsked():
                verb = "holds it" if isinstance(event, e.Held) else "ended it"
                yield f"{who(line.by)} {verb}: {event.reason}"
            case e.Resumed():
                yield f"{event.person} lets {event.stage or 'it'} go on"
            case e.FreezeBegan():
                self._waits[event.stage] = "frozen"
                yield f"{event.stage} waits: {event.sentence}"
            case e.FreezeEnded():
                self._waits.pop(event.stage, None)
                yield f"the freeze before {event.stage} is over"
            case e.Ended():
                yield event.sentence
                yield from (f"left for people: {piece}" for piece in event.left_undone)

    def _judged(self, event: e.Judged) -> Iterator[str]:
        """A judgement that says something new; a gate that waits is told as what the stage waits for."""
        verdict = event.verdict
        key, says = (event.stage, verdict["gate"]), (verdict["status"], verdict["reason"])
        if verdict["status"] in ("PASS", "FAIL") and self._verdicts.get(key) != says:
            self._verdicts[key] = says
            yield f"{event.stage}: {verdict['gate']} says {verdict['status']}: {verdict['sentence']}"

    def _waited(self, event: e.Waited) -> Iterator[str]:
        if self._waits.get(event.stage) != event.reason:
            self._waits[event.stage] = event.reason
            unknown = " (could not tell)" if event.unknown else ""
            yield f"{event.stage} waits{unknown}: {event.sentence}"
