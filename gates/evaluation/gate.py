"""The evaluation gate: reads the golden set, asks both models, has the answers judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Protocol

from gates.contract import Evidence, Phase, Question, Status, Verdict
from gates.evaluation.settings import EvaluationSettings
from gates.golden import Golden, GoldenRefused, Repository, read_golden

if TYPE_CHECKING:
    from gates.evaluation.judging import Findings, Objection


class Inference(Protocol):
    """Asks a model over the Open Inference Protocol (V2)."""

    def infer(
        self, url: str, model: str, rows: Sequence[Sequence[float]], *, columns: Sequence[str]
    ) -> list[float]:
        """One score per row, in order; raises when any row has none."""
        ...


class Evaluation:
    """Whether the candidate does on the golden set what it must, and no worse than the champion.

    Both answer the very same rows. Every requirement has to be *shown*, by the whole of its interval, not by
    the measured value; nobody can wait for more rows, so what is not shown is refused, with a reason of its
    own. All requirements must hold at once, hence no correction for their number is needed to trust a PASS.

    ===========================================================  =======  =============================
    what is found                                                verdict  reason
    ===========================================================  =======  =============================
    the golden set is not at the commit under judgement          FAIL     golden_set_missing
    its bytes are not those that are pinned                      FAIL     golden_set_differs
    it is no table of numbers with labels 0 and 1                FAIL     golden_set_invalid
    it has too few rows, or too few of one label                 FAIL     golden_set_too_small
    the candidate has no address                                 UNKNOWN  no_candidate_address
    there is a champion and a margin, but no address of it       UNKNOWN  no_champion_address
    another number of scores than rows                           FAIL     scores_missing
    a score that is no finite number                             FAIL     scores_not_finite
    a score outside the bounds                                   FAIL     scores_out_of_range
    one score for all rows                                       FAIL     scores_constant
    any of the four from the champion                            UNKNOWN  champion_scores_…
    the same row scored differently the second time              FAIL     not_deterministic
    a measure lies below its floor                               FAIL     below_floor
    it lies above, but its lower bound does not                  FAIL     not_shown_above_floor
    a measure lies above its ceiling                             FAIL     above_ceiling
    it lies below, but its upper bound does not                  FAIL     not_shown_below_ceiling
    worse than the champion by more than the margin              FAIL     worse_than_champion
    so large a loss is not ruled out                             FAIL     not_shown_as_good_as_champion
    everything is shown                                          PASS     shown_on_golden_set
    ===========================================================  =======  =============================

    What the repository or a model's server raises passes through: an outage is no verdict. Without any
    champion (the first version ever) margins ask for nothing, and the evidence says so. How fast the answers
    came is not looked at.
    """

    name: ClassVar[str] = "evaluation"
    phase: ClassVar[Phase] = "preview"
    needs: ClassVar[frozenset[str]] = frozenset({"repository", "inference"})
    Settings: ClassVar[type] = EvaluationSettings

    def __init__(self, settings: EvaluationSettings, *, repository: Repository, inference: Inference) -> None:
        self._settings = settings
        self._repository = repository
        self._inference = inference

    def judge(self, question: Question) -> Verdict:
        """Score the golden set and judge it; see the class for every verdict."""
        from gates.evaluation import judging

        settings = self._settings
        try:
            golden = self._golden(question)
        except GoldenRefused as refused:
            objection = judging.Objection(Status.FAIL, refused.reason, str(refused))
            return _verdict(question, [objection], Evidence())
        try:
            findings = self._findings(question, golden)
        except _Stopped as stopped:
            facts = MappingProxyType(judging.golden_facts(golden, settings))
            return _verdict(question, stopped.objections, Evidence(facts=facts))
        objections = [
            *judging.bound_objections(findings, settings),
            *judging.champion_objections(findings, settings),
        ]
        found = judging.evidence(findings, golden, settings)
        return _verdict(question, objections, found, judging.praise(findings, len(golden.rows)))

    def _golden(self, question: Question) -> Golden:
        settings = self._settings
        return read_golden(
            self._repository,
            settings.golden_set,
            at=question.subject.commit,
            sha256=settings.sha256,
            label=settings.label,
            maximum_rows=settings.maximum_rows,
        )

    def _findings(self, question: Question, golden: Golden) -> Findings:
        """Ask both models; what cannot be measured stops here, before anything more is asked."""
        from gates.evaluation import judging

        settings, count = self._settings, len(golden.rows)
        _stop_at(judging.golden_objections(golden, settings))
        _stop_at(judging.address_objections(question, settings))
        candidate = self._scores(question, question.candidate.url, golden, range(count))
        _stop_at(judging.score_objections(candidate, count, settings, "candidate"))
        again = judging.repeat_rows(count, settings)
        second = self._scores(question, question.candidate.url, golden, again) if again else []
        _stop_at(judging.repeat_objections([candidate[row] for row in again], second, settings))
        champion = None
        if question.stable is not None and question.stable.url:
            champion = self._scores(question, question.stable.url, golden, range(count))
            _stop_at(judging.score_objections(champion, count, settings, "stable"))
        return judging.find(golden, candidate, champion, settings)

    def _scores(self, question: Question, url: str, golden: Golden, rows: Sequence[int]) -> list[float]:
        sent = [golden.rows[row] for row in rows]
        return self._inference.infer(url, question.protocol_model, sent, columns=golden.columns)


class _Stopped(Exception):
    """Objections after which there is nothing more to measure."""

    def __init__(self, objections: Sequence[Objection]) -> None:
        self.objections = objections
        super().__init__()


def _stop_at(objections: Iterable[Objection]) -> None:
    if found := list(objections):
        raise _Stopped(found)


def _verdict(
    question: Question, objections: Sequence[Objection], evidence: Evidence, praise: str = ""
) -> Verdict:
    """The worst objection names the reason, the first among equals."""
    worst = max(objections, key=lambda one: one.status, default=None)
    more = len(objections) - 1
    also = f" {more} more requirement{'s do' if more > 1 else ' does'} not hold either." if more > 0 else ""
    return Verdict(
        gate=Evaluation.name,
        subject=question.subject,
        status=worst.status if worst else Status.PASS,
        reason=worst.reason if worst else "shown_on_golden_set",
        sentence=worst.sentence + also if worst else praise,
        at=question.now,
        evidence=evidence,
    )
