"""What the evaluation gate can be told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Interval, MinLen

from gates.contract import ArmName
from gates.golden.places import check_pin

AtLeast = Literal["auc", "pr_auc", "accuracy", "recall", "precision"]
AtMost = Literal["log_loss", "brier", "ece", "flagged", "cost"]
Paired = Literal["auc", "pr_auc", "accuracy", "recall", "log_loss", "brier", "cost"]
Drift = Literal["input_psi", "input_ks", "score_psi", "score_ks"]
Share = Annotated[float, Interval(ge=0, le=1)]

_NEED_PROBABILITIES = ("log_loss", "brier", "ece")
_NO_SHARES = ("log_loss", "cost")
_DIGEST = re.compile("sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """The golden set, and what the candidate must show on it. Measures are shares between 0 and 1."""

    golden_set: Annotated[str, MinLen(1)]
    """Path in the repository, or ``s3://``, ``gs://``, ``file://``, of a table, CSV or Parquet: features, and
    one label column of 0 and 1."""
    sha256: str
    """Of the golden set's bytes, 64 hexadecimal digits."""
    label: Annotated[str, MinLen(1)]
    """Name of the label column; the columns that are not named here are the features, in the file's order."""
    threshold: float
    """A row is flagged when its score is at least this."""
    floors: Mapping[AtLeast, Share] = field(default_factory=dict)
    """Measure -> the least it may be."""
    ceilings: Mapping[AtMost, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """Measure -> the most it may be: ``log_loss`` in nats, ``flagged`` as a share, ``cost`` per row."""
    margins: Mapping[Paired, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """Measure -> how much worse than the champion is still as good."""
    alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.05
    """What an interval's two sides together may err with: 0.05 gives 95 % intervals."""
    minimum_rows: Annotated[int, Ge(2)] = 200
    """A golden set with fewer rows shows nothing."""
    minimum_per_label: Annotated[int, Ge(2)] = 20
    """Rows that either label needs."""
    maximum_rows: Annotated[int, Interval(ge=2, le=50_000_000)] = 100_000
    """A larger golden set is refused before a row is sent."""
    lowest_score: float = 0.0
    """A score below is no score."""
    highest_score: float = 1.0
    """A score above is no score."""
    repeat_rows: Annotated[int, Ge(0)] = 50
    """Rows sent a second time, to see whether the same row gets the same score; 0: none."""
    repeat_tolerance: Annotated[float, Ge(0)] = 1e-9
    """How far two scores of one row may lie apart."""

    columns: tuple[str, ...] = ()
    """All columns of the golden set in their order, pinned beside its bytes; empty leaves them open."""
    rows: Annotated[int, Ge(0)] = 0
    """How many rows the golden set must have; 0 leaves it open."""
    labelled_on: str = ""
    """The day by which all labels were known, such as ``"2026-02-28"``."""
    maximum_label_age_days: Annotated[int, Ge(0)] = 0
    """Labels older than this are refused; 0 lets them have any age."""
    row_id: str = ""
    """Column that names each row, never twice; it is not sent."""
    attributes: tuple[str, ...] = ()
    """Columns that describe a row and are not sent, such as a region; text or numbers."""
    maximum_doubled: Share = 0.05
    """Share of rows that may repeat another one; repeated rows make intervals narrower than they are."""
    trained_on: str = ""
    """Where a table lies whose ``row_id`` column names the rows that the candidate was trained on."""
    trained_on_sha256: str = ""
    """Of its bytes."""
    implausible: Mapping[AtLeast, Share] = field(default_factory=dict)
    """Measure -> what no honest model reaches; shown to be above it, or above it in a slice, the labels have
    leaked into the rows."""

    scores: str = ""
    """Where a table of scores lies, with the row's id, ``candidate`` and ``stable`` as columns; "" asks the
    models."""
    scores_sha256: str = ""
    """Of its bytes."""
    scores_digests: Mapping[ArmName, str] = field(default_factory=dict)
    """Arm -> digest of the artifact that gave its scores, ``sha256:`` and 64 hexadecimal digits."""

    slices: tuple[str, ...] = ()
    """Columns by whose values the rows are looked at apart."""
    slice_edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Column -> where its numbers are cut into slices, rising; an edge belongs to the slice above it."""
    slice_minimum_rows: Annotated[int, Ge(2)] = 100
    """A slice or group with fewer rows is insufficient: neither good nor bad."""
    slice_minimum_per_label: Annotated[int, Ge(2)] = 10
    """Rows that either label needs in a slice."""
    slice_floors: Mapping[AtLeast, Share] = field(default_factory=dict)
    """Measure -> the least it may be in a slice."""
    slice_margins: Mapping[Paired, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """Measure -> how much worse than the champion is still as good in a slice."""
    required_slices: tuple[str, ...] = ()
    """Slices and groups that must show what is asked of them, such as ``region=north`` or ``age<25``; others
    must not be shown to miss it."""

    protected: tuple[str, ...] = ()
    """Columns whose groups must be treated alike."""
    favourable: Literal["flagged", "not_flagged"] = "not_flagged"
    """The decision that is good for whom it is about."""
    reference_groups: Mapping[str, str] = field(default_factory=dict)
    """Column -> the group the others are held against; left out, the one decided about most favourably."""
    minimum_impact_ratio: Share = 0.8
    """The least that a group's share of favourable decisions may be, divided by the reference's."""
    maximum_opportunity_gap: Share = 0.1
    """The most that a group's share of favourable decisions may differ from it among rows labelled so."""

    calibration_slope: tuple[float, ...] = ()
    """Two numbers between which the slope of the labels over the scores' log odds must lie; 1 is perfect."""
    false_positive_cost: Annotated[float, Ge(0)] = 0.0
    """What a row costs that is flagged and labelled 0."""
    false_negative_cost: Annotated[float, Ge(0)] = 0.0
    """What a row costs that is not flagged and labelled 1."""
    reference: str = ""
    """Where a table of rows lies that the model meets in life, with the same features."""
    reference_sha256: str = ""
    """Of its bytes."""
    drift_ceilings: Mapping[Drift, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """How far the golden set's features may lie from the reference's, and the candidate's scores from the
    champion's."""

    def __post_init__(self) -> None:
        """Refuse what no golden set could satisfy, and what any would.

        Raises:
            ValueError: naming the key.
        """
        for problem in (*_pins(self), *_bounds(self), *_columns(self), *_wants(self)):
            raise ValueError(problem)

    @property
    def not_sent(self) -> frozenset[str]:
        """Columns that are no features."""
        return frozenset((self.label, *self.attributes, *([self.row_id] if self.row_id else ())))

    @property
    def grouped(self) -> tuple[str, ...]:
        """Columns by which rows are told apart, slices first."""
        return tuple(dict.fromkeys((*self.slices, *self.protected)))


def _pins(settings: EvaluationSettings) -> Iterator[str]:
    pins = (
        ("golden_set", settings.golden_set, settings.sha256),
        ("scores", settings.scores, settings.scores_sha256),
        ("trained_on", settings.trained_on, settings.trained_on_sha256),
        ("reference", settings.reference, settings.reference_sha256),
    )
    for key, place, sha256 in pins:
        if place or sha256:
            check_pin(key, place, sha256)
    if settings.scores and not settings.row_id:
        yield "scores need row_id: nothing else shows which row a score belongs to"
    if settings.trained_on and not settings.row_id:
        yield "trained_on needs row_id: nothing else shows which rows it names"
    if settings.scores and "candidate" not in settings.scores_digests:
        yield "scores_digests must name the candidate: whose scores are these?"
    for arm, digest in settings.scores_digests.items():
        if not _DIGEST.fullmatch(digest):
            yield f"scores_digests.{arm} must be sha256: and 64 lower-case hexadecimal digits"
    if settings.labelled_on and not _is_day(settings.labelled_on):
        yield "labelled_on must be a day such as 2026-02-28"
    if settings.maximum_label_age_days and not settings.labelled_on:
        yield "maximum_label_age_days needs labelled_on"


def _bounds(settings: EvaluationSettings) -> Iterator[str]:
    if not settings.lowest_score <= settings.threshold <= settings.highest_score:
        yield "threshold must lie between lowest_score and highest_score"
    named = (*settings.ceilings, *settings.margins, *settings.slice_margins)
    if not 0 <= settings.lowest_score < settings.highest_score <= 1:
        for name in (*named, *(["calibration_slope"] if settings.calibration_slope else ())):
            if name in (*_NEED_PROBABILITIES, "calibration_slope"):
                yield f"{name} needs probabilities: lowest_score and highest_score within 0 and 1"
    if "cost" in named and not (settings.false_positive_cost or settings.false_negative_cost):
        yield "cost needs false_positive_cost or false_negative_cost"
    for key, margins in (("margins", settings.margins), ("slice_margins", settings.slice_margins)):
        for name, margin in margins.items():
            if name not in _NO_SHARES and margin > 1:
                yield f"{key}.{name} must be at most 1"
    for place in (settings.minimum_rows, settings.rows):
        if place > settings.maximum_rows:
            yield "minimum_rows must not be above maximum_rows, nor rows"
    slope = settings.calibration_slope
    if slope and not (len(slope) == 2 and slope[0] < slope[1]):
        yield "calibration_slope must be two rising numbers"


def _columns(settings: EvaluationSettings) -> Iterator[str]:
    if len(settings.not_sent) != 1 + len(settings.attributes) + bool(settings.row_id):
        yield "label, row_id and attributes must be different columns"
    if unknown := settings.slice_edges.keys() - set(settings.grouped):
        yield f"slice_edges names {_listed(unknown)}, which slices and protected do not"
    for name, edges in settings.slice_edges.items():
        if not edges or any(low >= high for low, high in pairwise(edges)):
            yield f"slice_edges.{name} must be rising numbers"
    if unknown := settings.reference_groups.keys() - set(settings.protected):
        yield f"reference_groups names {_listed(unknown)}, which protected does not"
    if bad := set(settings.grouped) & {settings.label, settings.row_id}:
        yield f"{_listed(bad)} cannot be a slice"


def _wants(settings: EvaluationSettings) -> Iterator[str]:
    if not (settings.floors or settings.ceilings or settings.margins):
        yield "set floors, ceilings or margins: asked for nothing, any candidate passes"
    if (settings.slice_floors or settings.slice_margins) and not settings.slices:
        yield "slice_floors and slice_margins need slices"
    if settings.required_slices and not settings.grouped:
        yield "required_slices need slices or protected"
    if any(name.startswith("input") for name in settings.drift_ceilings) and not settings.reference:
        yield "drift_ceilings of inputs need a reference"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
