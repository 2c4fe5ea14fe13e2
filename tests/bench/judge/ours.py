"""lockgate's judge under the benchmark: the code that the gate runs, many runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gates.canary import judging
from gates.canary.settings import BODY, BUSINESS_WEIGHT, ERRORS, SLOW, TAIL, CanarySettings, Harm, business
from tests.bench.judge.streams import CANDIDATE, STABLE, Floats, Ints, Minute, Service
from tests.bench.judge.trial import ABORT, HOLD, PROMOTE

FLAGGED = business("flagged", "flagged requests", 0.8 * BUSINESS_WEIGHT)
FALSE = business("false", "false positives", 0.2 * BUSINESS_WEIGHT, delayed=True)
SYSTEM = (ERRORS, SLOW, TAIL, BODY)
EVERYTHING = (*SYSTEM, FLAGGED, FALSE)


@dataclass(slots=True)
class Lockgate:
    """Holds while in doubt or while both arms are bad, aborts when harm is shown."""

    service: Service
    settings: CanarySettings
    budgets: Mapping[str, float]
    harms: Sequence[Harm] = EVERYTHING
    holds: bool = True
    """False: the share goes up as planned, whatever the doubt."""
    percentiles: bool = False
    _panel: judging.Panel | None = None
    _progress: judging.Progress | None = None

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """Drops the first minute of a step, as the gate's warm-up does."""
        if self._panel is None or self._progress is None:
            self._panel = judging.panel(self.harms, self.settings, self.budgets)
            self._progress = judging.begin(self._panel, (len(share_percent),))
        counted = counts(minute, self.service, self.harms)
        judged = np.where(minute_of_step > 0, 1.0, 0.0)
        self._progress = judging.advance(
            self._panel, self._progress, share_percent.astype(float), counted, judged
        )
        excused = judging.both_bad(self._panel, self._progress)
        evidence = judging.level(self._panel, self._progress, excused)
        doubtful = ((evidence >= self.settings.doubt) | excused.any(axis=-1)) & self.holds
        return np.where(evidence >= 1.0 / self.settings.alpha, ABORT, np.where(doubtful, HOLD, PROMOTE))


def counts(minute: Minute, service: Service, harms: Sequence[Harm]) -> judging.Counts:
    """One minute as the judge wants it."""
    every = {
        "errors": (minute.errors, minute.requests),
        "slow": (minute.over[service.budget_ms], minute.requests),
        "tail": (minute.over[service.p99_ms], minute.requests),
        "body": (minute.over[service.p90_ms], minute.requests),
        "flagged": (minute.flagged, minute.requests),
        "false": (minute.false, minute.labelled),
    }

    def column(place: int, arm: int) -> Floats:
        return np.stack([every[harm.name][place][:, arm] for harm in harms], axis=-1).astype(float)

    return judging.Counts(column(0, CANDIDATE), column(1, CANDIDATE), column(0, STABLE), column(1, STABLE))
