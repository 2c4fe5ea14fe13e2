"""From answers to scores: whose they are, whether each question has one, and what each scorer says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gates.contract import ArmName, Question, Status
from gates.evaluation.answers.reading import Answered, Asked
from gates.evaluation.answers.scorers import RECORDED, Item, Scorer, UnknownScorer, scorer
from gates.evaluation.answers.settings import AnswersSettings
from gates.evaluation.objections import Objection, Stopped, fail, stop_at, unknown

if TYPE_CHECKING:
    from gates.evaluation.answers.judging import Floats, Scored


def question_objections(asked: Sequence[Asked], settings: AnswersSettings) -> Iterator[Objection]:
    """Whether the questions can carry a judgement at all."""
    if len(asked) < settings.minimum_rows:
        yield fail(
            "golden_set_too_small",
            f"{settings.golden_set} has {len(asked)} questions; {settings.minimum_rows} are needed.",
        )
    doubled = len(asked) - len({one.id for one in asked})
    if doubled:
        yield fail("golden_set_doubled", f"{doubled} ids of {settings.golden_set} stand there before.")


def origin_objections(question: Question, settings: AnswersSettings, arm: ArmName) -> Iterator[Objection]:
    """Whether the answers are those of the artifact in question."""
    said = settings.answers_digests.get(arm, "nobody")
    if arm == "candidate" and said != question.subject.digest:
        yield fail(
            "answers_of_another_model",
            f"{settings.answers} holds the answers of {said}, but {question.subject.digest} is to be judged.",
        )
    if arm == "stable" and question.stable is not None and said != question.stable.digest:
        yield unknown(
            "champion_answers_of_another_model",
            f"{settings.champion_answers} holds the answers of {said}, but {question.stable.digest} serves.",
        )


def _blame(arm: ArmName, reason: str, sentence: str) -> Objection:
    """The candidate is blamed for its own; without the champion's there is nothing to compare with."""
    if arm == "candidate":
        return Objection(Status.FAIL, reason, f"The candidate: {sentence}")
    return Objection(Status.UNKNOWN, f"champion_{reason}", f"The champion: {sentence}")


def alignment_objections(
    answered: Sequence[Answered], asked: Sequence[Asked], arm: ArmName
) -> Iterator[Objection]:
    """Whether every question has its answer, once, in its place."""
    found, wanted = [one.id for one in answered], [one.id for one in asked]
    if found == wanted:
        return
    if doubled := len(found) - len(set(found)):
        yield _blame(arm, "answers_doubled", f"{doubled} of {len(found)} answers are to a question before.")
    if missing := [one for one in wanted if one not in set(found)]:
        yield _blame(
            arm,
            "answers_missing",
            f"{len(missing)} of {len(wanted)} questions have no answer, first {missing[0]!r}.",
        )
    if others := [one for one in found if one not in set(wanted)]:
        yield _blame(
            arm,
            "answers_of_other_questions",
            f"{len(others)} of {len(found)} answers are to no question, first {others[0]!r}.",
        )
    if sorted(found) == sorted(wanted):
        where = next(one for one, other in zip(wanted, found, strict=True) if one != other)
        yield _blame(arm, "answers_reordered", f"the answers are in another order, from {where!r} on.")


def score(
    asked: Sequence[Asked], answered: Sequence[Answered], settings: AnswersSettings, arm: ArmName
) -> Scored:
    """Scorer -> one score for each question.

    Raises:
        Stopped: a scorer is missing or unfit, or a recorded score is missing or out of bounds.
    """
    items = [
        Item(id=one.id, question=one.question, reference=one.reference, answer=other.answer, words=one.words)
        for one, other in zip(asked, answered, strict=True)
    ]
    return {
        name: _recorded(name.removeprefix(RECORDED), answered, settings, arm)
        if name.startswith(RECORDED)
        else _given(name, items, settings)
        for name in settings.scorers
    }


def _recorded(name: str, answered: Sequence[Answered], settings: AnswersSettings, arm: ArmName) -> Floats:
    without = [one.id for one in answered if name not in one.recorded]
    if without:
        raise Stopped(
            [
                _blame(
                    arm,
                    "score_not_recorded",
                    f"{len(without)} of {len(answered)} answers carry no {name!r}, first {without[0]!r}.",
                )
            ]
        )
    values = np.array([one.recorded[name] for one in answered])
    stop_at(_blame(arm, "score_out_of_range", f"{name} {problem}") for problem in _problems(values, settings))
    return values


def _given(name: str, items: Sequence[Item], settings: AnswersSettings) -> Floats:
    try:
        found = scorer(name)
    except UnknownScorer as missing:
        raise Stopped([unknown("unknown_scorer", f"{missing}.")]) from None
    values = _called(name, found, items)
    stop_at(unknown("scorer_unfit", f"{name} {problem}") for problem in _problems(values, settings))
    few = min(settings.repeat_rows, len(items))
    rows = [number * len(items) // few for number in range(few)]
    again = _called(name, found, [items[row] for row in rows]) if rows else values[:0]
    apart = ~(np.abs(again - values[rows]) <= settings.repeat_tolerance)
    if apart.any():
        sentence = f"{name} scored {int(apart.sum())} of {len(rows)} repeated answers differently."
        raise Stopped([unknown("scorer_not_deterministic", sentence)])
    return values


def _called(name: str, found: Scorer, items: Sequence[Item]) -> Floats:
    values = np.array(list(found(items)), dtype=np.float64)
    if len(values) != len(items):
        sentence = f"{name} gave {len(values)} scores for {len(items)} answers."
        raise Stopped([unknown("scorer_unfit", sentence)])
    return values


def _problems(values: Floats, settings: AnswersSettings) -> Iterator[str]:
    lowest, highest = settings.lowest_score, settings.highest_score
    bad = ~((values >= lowest) & (values <= highest))
    if bad.any():
        yield (
            f"gives {int(bad.sum())} of {len(values)} answers no score within {lowest:g} to {highest:g}, "
            f"such as {values[int(np.argmax(bad))]:g}."
        )
