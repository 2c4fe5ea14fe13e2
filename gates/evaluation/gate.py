"""The evaluation gate: reads the golden set, has both models score it, has the scores judged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from gates.contract import Evidence, Phase, Question, Verdict
from gates.evaluation.inference import Inference
from gates.evaluation.settings import EvaluationSettings
from gates.golden import Artifacts, GoldenRefused, Pin, Repository, Table, open_table

if TYPE_CHECKING:
    from gates.evaluation.estimates import Estimate
    from gates.evaluation.sample import Sample
    from gates.evaluation.scoring import Scores


class Evaluation:
    """Whether the candidate does on the golden set what it must, and no worse than the champion.

    Both answer the very same rows. Every requirement has to be *shown*, by the whole of its interval, not by
    the measured value; nobody can wait for more rows, so what is not shown is refused, with a reason of its
    own. All requirements must hold at once, hence no correction for their number is needed to trust a PASS.

    ===========================================================  =======  ===================================
    what is found                                                verdict  reason
    ===========================================================  =======  ===================================
    the golden set is not where it should be                     FAIL     golden_set_missing
    its bytes are not those that are pinned                      FAIL     golden_set_differs
    it is no table of numbers with labels 0 and 1                FAIL     golden_set_invalid
    its columns or rows are not those that are pinned            FAIL     golden_set_schema_differs
    its labels will be known only later                          FAIL     labels_not_known
    its labels are older than allowed                            FAIL     labels_outdated
    it has too few rows, or too few of one label                 FAIL     golden_set_too_small
    too many of its rows repeat another one                      FAIL     golden_set_doubled
    the candidate was trained on some of its rows                FAIL     golden_set_leaked
    the table of rows trained on is missing, changed, unusable   FAIL     trained_on_…
    the reference's table is missing, changed, unusable          FAIL     reference_…
    the table of scores is missing, changed, unusable            FAIL     scores_table_…
    the scores are of another artifact than the candidate's      FAIL     scores_of_another_model
    the scores are of another champion than the one that serves  UNKNOWN  champion_scores_of_another_model
    a row with two scores                                        FAIL     scores_doubled
    a score of no row of the golden set                          FAIL     scores_of_other_rows
    the scores stand in another order than the rows              FAIL     scores_reordered
    the candidate has no address                                 UNKNOWN  no_candidate_address
    a champion is needed, but there is no address of it          UNKNOWN  no_champion_address
    a row without a score, or more scores than rows              FAIL     scores_missing
    a score that is no finite number                             FAIL     scores_not_finite
    a score outside the bounds                                   FAIL     scores_out_of_range
    one score for all rows                                       FAIL     scores_constant
    any of the four from the champion                            UNKNOWN  champion_scores_…
    the same row scored differently the second time              FAIL     not_deterministic
    better than anybody honestly is, overall or in a slice       FAIL     implausibly_good
    a measure lies below its floor                               FAIL     below_floor
    it lies above, but its lower bound does not                  FAIL     not_shown_above_floor
    a measure lies above its ceiling                             FAIL     above_ceiling
    it lies below, but its upper bound does not                  FAIL     not_shown_below_ceiling
    worse than the champion by more than the margin              FAIL     worse_than_champion
    so large a loss is not ruled out                             FAIL     not_shown_as_good_as_champion
    a required slice or group has too few rows                   UNKNOWN  slice_insufficient
    a slice is shown to lie below its floor                      FAIL     slice_below_floor
    a required slice is not shown to lie above it                FAIL     slice_not_shown_above_floor
    a slice is shown to be worse than the champion there         FAIL     slice_worse_than_champion
    a required slice is not shown to be as good                  FAIL     slice_not_shown_as_good_as_champion
    no two groups of a protected column have enough rows         UNKNOWN  fairness_insufficient
    a group gets too few favourable decisions                    FAIL     adverse_impact
    so few are not ruled out                                     FAIL     adverse_impact_not_excluded
    a group's deserving rows are decided about otherwise         FAIL     unequal_opportunity
    so large a gap is not ruled out                              FAIL     unequal_opportunity_not_excluded
    the calibration slope lies out of bounds                     FAIL     miscalibrated
    it lies within, but its interval does not                    FAIL     not_shown_calibrated
    the golden set's rows are not like the reference's           FAIL     inputs_drifted
    so large a drift is not ruled out                            FAIL     inputs_may_have_drifted
    the candidate's scores are not spread like the champion's    FAIL     scores_drifted
    so large a drift is not ruled out                            FAIL     scores_may_have_drifted
    everything is shown                                          PASS     shown_on_golden_set
    ===========================================================  =======  ===================================

    What the repository, the object store or a model's server raises passes through: an outage is no verdict.
    Without any champion (the first version ever) margins ask for nothing, and the evidence says so. How fast
    the answers came is not looked at.
    """

    name: ClassVar[str] = "evaluation"
    phase: ClassVar[Phase] = "preview"
    needs: ClassVar[frozenset[str]] = frozenset({"repository", "inference", "artifacts"})
    Settings: ClassVar[type] = EvaluationSettings

    def __init__(
        self,
        settings: EvaluationSettings,
        *,
        repository: Repository,
        inference: Inference,
        artifacts: Artifacts | None = None,
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._inference = inference
        self._artifacts = artifacts

    def judge(self, question: Question) -> Verdict:
        """Score the golden set and judge it; see the class for every verdict."""
        from gates.evaluation import objections

        settings = self._settings
        try:
            with self._open(question, settings.golden_set, settings.sha256, "golden_set") as table:
                return self._judged(question, table)
        except GoldenRefused as refused:
            objection = objections.fail(refused.reason, str(refused))
            return objections.verdict(self.name, question, [objection], Evidence(), ("", ""))

    def _judged(self, question: Question, table: Table) -> Verdict:
        from gates.evaluation import evidence, judging, objections, sample

        settings = self._settings
        known = sample.read(table, settings)
        try:
            objections.stop_at(judging.golden_objections(known, question, settings))
            self._stop_at_leaks(question, known)
            drifts = self._drifts(question, table, known)
            scores = self._scores(question, table, known)
        except objections.Stopped as stopped:
            facts = MappingProxyType(evidence.golden_facts(known, settings))
            return objections.verdict(
                self.name, question, stopped.objections, Evidence(facts=facts), ("", "")
            )
        findings = judging.find(known, scores, settings, drifts)
        found = list(judging.objections(findings, settings))
        kept = evidence.evidence(findings, known, settings)
        praise = ("shown_on_golden_set", judging.praise(findings, known.rows, settings))
        return objections.verdict(self.name, question, found, kept, praise)

    def _stop_at_leaks(self, question: Question, known: Sample) -> None:
        from gates.evaluation import judging, objections, sample

        settings = self._settings
        if settings.trained_on:
            pin = (settings.trained_on, settings.trained_on_sha256, "trained_on")
            with self._open(question, *pin) as table:
                trained = sample.identities(table, settings.row_id)
            objections.stop_at(judging.leak_objections(known, trained, settings))

    def _drifts(
        self, question: Question, golden: Table, known: Sample
    ) -> Mapping[str, Mapping[str, Estimate]]:
        from gates.evaluation import drift

        settings = self._settings
        if not settings.reference:
            return {}
        if not known.features:
            raise GoldenRefused(
                "golden_set_invalid", f"{settings.golden_set} has no feature to hold against the reference."
            )
        pin = (settings.reference, settings.reference_sha256, "reference")
        with self._open(question, *pin) as reference:
            return drift.features(reference, golden, known.features, known.rows, settings.alpha)

    def _scores(self, question: Question, golden: Table, known: Sample) -> Scores:
        from gates.evaluation import scoring

        settings = self._settings
        if not settings.scores:
            return scoring.ask(question, golden, known, self._inference, settings)
        with self._open(question, settings.scores, settings.scores_sha256, "scores_table") as table:
            return scoring.read_scores(question, table, known, settings)

    def _open(self, question: Question, place: str, sha256: str, what: str) -> AbstractContextManager[Table]:
        return open_table(
            Pin(place=place, sha256=sha256, what=what),
            at=question.subject.commit,
            maximum_rows=self._settings.maximum_rows,
            repository=self._repository,
            artifacts=self._artifacts,
        )
