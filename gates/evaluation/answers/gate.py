"""The gate of answers in words: reads questions and answers, has them scored, has the scores judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO, ClassVar, TypeVar

from gates.contract import ArmName, Evidence, Phase, Question, Status, Verdict
from gates.evaluation.answers.settings import AnswersSettings
from gates.golden import Artifacts, GoldenRefused, Pin, Repository, open_pinned

if TYPE_CHECKING:
    from gates.evaluation.answers.judging import Scored
    from gates.evaluation.answers.reading import Answered, Asked

_Read = TypeVar("_Read")


class Answers:
    """Whether the candidate's answers score as they must, and no worse than the champion's.

    The answers were collected beforehand, by whatever asks such models; their bytes and the artifacts that
    gave them are pinned. As in the gate ``evaluation``, every requirement has to be shown by the whole of its
    interval.

    ========================================================  =======  ===================================
    what is found                                             verdict  reason
    ========================================================  =======  ===================================
    the questions are not where they should be                FAIL     golden_set_missing
    their bytes are not those that are pinned                 FAIL     golden_set_differs
    they cannot be read                                       FAIL     golden_set_invalid
    they are too few                                          FAIL     golden_set_too_small
    an id stands twice                                        FAIL     golden_set_doubled
    the candidate's answers are missing, changed, unusable    FAIL     answers_file_…
    the champion's answers are missing, changed, unusable     UNKNOWN  champion_answers_file_…
    the answers are of another artifact than the candidate's  FAIL     answers_of_another_model
    the champion's are of another than the one that serves    UNKNOWN  champion_answers_of_another_model
    a champion and a margin, but no answers of it             UNKNOWN  no_champion_answers
    a question without an answer                              FAIL     answers_missing
    a question with two answers                               FAIL     answers_doubled
    an answer to no question                                  FAIL     answers_of_other_questions
    the answers stand in another order than the questions     FAIL     answers_reordered
    any of the four from the champion                         UNKNOWN  champion_answers_…
    nobody installed such a scorer                            UNKNOWN  unknown_scorer
    a score that should stand with an answer does not         FAIL     score_not_recorded
    a recorded score that is no score                         FAIL     score_out_of_range
    either of the two from the champion                       UNKNOWN  champion_score_…
    a scorer gives too few or too many, or what is no score   UNKNOWN  scorer_unfit
    the same answer gets another score the second time        UNKNOWN  scorer_not_deterministic
    a mean score lies below its floor                         FAIL     below_floor
    it lies above, but its lower bound does not               FAIL     not_shown_above_floor
    worse than the champion by more than the margin           FAIL     worse_than_champion
    so large a loss is not ruled out                          FAIL     not_shown_as_good_as_champion
    a required slice has too few questions                    UNKNOWN  slice_insufficient
    a slice is shown to lie below its floor                   FAIL     slice_below_floor
    a required slice is not shown to lie above it             FAIL     slice_not_shown_above_floor
    a slice is shown to be worse than the champion there      FAIL     slice_worse_than_champion
    a required slice is not shown to be as good               FAIL     slice_not_shown_as_good_as_champion
    everything is shown                                       PASS     shown_on_golden_set
    ========================================================  =======  ===================================

    What the repository, the object store or a scorer raises passes through: an outage is no verdict. Without
    any champion (the first version ever) margins ask for nothing.
    """

    name: ClassVar[str] = "answers"
    phase: ClassVar[Phase] = "preview"
    needs: ClassVar[frozenset[str]] = frozenset({"repository", "artifacts"})
    Settings: ClassVar[type] = AnswersSettings

    def __init__(
        self, settings: AnswersSettings, *, repository: Repository, artifacts: Artifacts | None = None
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._artifacts = artifacts

    def judge(self, question: Question) -> Verdict:
        """Score the answers and judge them; see the class for every verdict."""
        from gates.evaluation.answers import evidence, judging
        from gates.evaluation.objections import Objection, Stopped, verdict

        settings = self._settings
        try:
            asked = self._asked(question)
            candidate = self._scored(question, asked, "candidate")
            champion = self._scored(question, asked, "stable") if self._compares(question) else None
        except GoldenRefused as refused:
            status = Status.UNKNOWN if refused.reason.startswith("champion") else Status.FAIL
            objection = Objection(status, refused.reason, str(refused))
            return verdict(self.name, question, [objection], Evidence(), ("", ""))
        except Stopped as stopped:
            return verdict(self.name, question, stopped.objections, Evidence(), ("", ""))
        findings = judging.find(asked, candidate, champion, settings)
        found = list(judging.objections(findings, settings))
        kept = evidence.evidence(findings, [one.id for one in asked], candidate, champion, settings)
        praise = ("shown_on_golden_set", judging.praise(findings, len(asked), settings))
        return verdict(self.name, question, found, kept, praise)

    def _asked(self, question: Question) -> list[Asked]:
        from gates.evaluation.answers import reading, scoring
        from gates.evaluation.objections import stop_at

        settings = self._settings
        pin = Pin(place=settings.golden_set, sha256=settings.sha256)
        asked = self._read(question, pin, lambda file: reading.read_questions(file, settings.maximum_rows))
        stop_at(scoring.question_objections(asked, settings))
        return asked

    def _compares(self, question: Question) -> bool:
        """Whether there is a champion to compare with."""
        from gates.evaluation.objections import stop_at, unknown

        settings = self._settings
        if question.stable is None:
            return False
        if settings.margins or settings.slice_margins:
            if not settings.champion_answers:
                sentence = f"{question.stable.version} serves, and champion_answers names no answers of it."
                stop_at([unknown("no_champion_answers", sentence)])
            return True
        same = settings.answers_digests.get("stable") == question.stable.digest
        return same and bool(settings.champion_answers)

    def _scored(self, question: Question, asked: Sequence[Asked], arm: ArmName) -> Scored:
        from gates.evaluation.answers import reading, scoring
        from gates.evaluation.objections import stop_at

        settings = self._settings
        stop_at(scoring.origin_objections(question, settings, arm))
        pin = (
            Pin(place=settings.answers, sha256=settings.answers_sha256, what="answers_file")
            if arm == "candidate"
            else Pin(
                place=settings.champion_answers,
                sha256=settings.champion_answers_sha256,
                what="champion_answers_file",
            )
        )
        answered: list[Answered] = self._read(
            question, pin, lambda file: reading.read_answers(file, settings)
        )
        stop_at(scoring.alignment_objections(answered, asked, arm))
        return scoring.score(asked, answered, settings, arm)

    def _read(self, question: Question, pin: Pin, read: Callable[[BinaryIO], _Read]) -> _Read:
        opened = open_pinned(
            pin, at=question.subject.commit, repository=self._repository, artifacts=self._artifacts
        )
        with opened as (file, _, where):
            try:
                return read(file)
            except (ValueError, OverflowError) as error:
                raise GoldenRefused(f"{pin.what}_invalid", f"{where} cannot be used: {error}.") from None
