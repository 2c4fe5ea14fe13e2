"""Whole promotions as journals: one that ends well, one taken back, one refused, one hostile.

The figures are made up, the shapes are those that the gates write. Same journal every time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gates.contract import Evidence, Measurement, Query, Status, Subject, Verdict
from pipelines.journal import events as e
from pipelines.journal.lines import Line, encode, verdict_to_data
from pipelines.strategy import Plan
from tests import plans
from tests.plans import DIGEST, HEAD, MERGE, PROMOTION, T0, commit

ENGINE = "engine:ci-7:4242"
MANIFESTS = "sha256:" + "e" * 64
CORRELATION = "f" * 64


class Book:
    """A journal under writing."""

    def __init__(self, first: e.Started, *, by: str = "person:dana") -> None:
        self.promotion = first.promotion
        self.lines: tuple[Line, ...] = ()
        self.text = ""
        self.now = T0
        self.tell(first, by=by)

    def tell(self, *events: e.Event, by: str = ENGINE) -> Book:
        """Write events at the present instant."""
        text = encode(self.promotion, self.lines, events, at=self.now, by=by)
        self.text += text
        for event, raw in zip(events, text.splitlines(), strict=True):
            n, stated = len(self.lines) + 1, json.loads(raw)["hash"]
            self.lines = (*self.lines, Line(n=n, at=self.now, by=by, event=event, hash=stated))
        return self

    def after(self, seconds: float) -> Book:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self


def wilson(bad: int, total: int, z: float = 3.29) -> tuple[float, float]:
    """An interval around a share, in percent; any would do here."""
    share = bad / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return round(100 * max(0.0, middle - half), 4), round(100 * min(1.0, middle + half), 4)


def share_of(name: str, arm: Any, bad: int, total: int, threshold: float) -> Measurement:
    """A share of requests as the gates measure it."""
    low, high = wilson(bad, total)
    value = round(100 * bad / total, 4)
    return Measurement(
        name=name,
        value=value,
        unit="percent",
        arm=arm,
        samples=total,
        low=low,
        high=high,
        threshold=threshold,
    )


def plan() -> Plan:
    """The ladder of the tests, with a load test before the merge and the judge in every bake."""
    whole, more = plans.canary(), {"judge": "load", "bake": "canary"}
    return replace(
        whole,
        stages=tuple(
            replace(stage, gates=(*stage.gates, more[stage.step])) if stage.step in more else stage
            for stage in whole.stages
        ),
    )


def says(
    book: Book,
    gate: str,
    stage: str,
    status: Status,
    reason: str,
    sentence: str,
    *,
    commit: str = HEAD,
    measurements: tuple[Measurement, ...] = (),
    facts: dict[str, object] | None = None,
) -> e.Judged:
    """A gate's verdict about this promotion's candidate."""
    query = Query(text="sum(…)", at=T0.timestamp(), window_seconds=60, server="prom", series=1, samples=60)
    verdict = Verdict(
        gate=gate,
        subject=Subject(model="fraud-scorer", environment="prod", digest=DIGEST, commit=commit, stage=stage),
        status=status,
        reason=reason,
        sentence=sentence,
        at=book.now,
        evidence=Evidence(
            measurements=measurements, queries=(query,) if measurements else (), facts=facts or {}
        ),
    )
    return e.Judged(stage=stage, verdict=verdict_to_data(verdict))


def look(book: Book, share: int, total: int, *, errors: float, slow: float, stable: float = 0.004) -> None:
    """Both bake gates look once at ``total`` requests; rates are shares of requests."""
    stage, at = f"bake-{share}", commit(share)
    mine, theirs = round(total * share / 100), total - round(total * share / 100)
    low, high = wilson(mine, total)
    split = (
        Measurement(
            name="observed_share",
            value=100 * mine / total,
            unit="percent",
            arm="candidate",
            samples=total,
            low=low,
            high=high,
            threshold=float(share),
        ),
        Measurement(name="requests", value=mine, unit="requests", arm="candidate"),
        Measurement(name="requests", value=theirs, unit="requests", arm="stable"),
    )
    told(book, share, mine, slow)
    sentence = f"{mine} of {total} requests reached the candidate, {share} % is intended"
    book.tell(
        says(
            book,
            "share",
            stage,
            Status.PASS,
            "share_observed",
            sentence,
            commit=at,
            measurements=split,
        )
    )
    shares = [
        share_of("errors_share", "candidate", round(mine * errors), mine, 0.5),
        share_of("slow_share", "candidate", round(mine * slow), mine, 1.0),
    ]
    if theirs:
        shares += [
            share_of("errors_share", "stable", round(theirs * 0.0011), theirs, 0.5),
            share_of("slow_share", "stable", round(theirs * stable), theirs, 1.0),
        ]
    status, reason, sentence = _slo(mine, shares)
    book.tell(
        says(
            book,
            "slo",
            stage,
            status,
            reason,
            sentence,
            commit=at,
            measurements=tuple(shares),
        )
    )


def told(book: Book, share: int, mine: int, slow: float) -> None:
    """The judge's word: a likelihood ratio of one slow request in a hundred to one in two hundred."""
    harm = round(math.exp(mine * (slow * math.log(2.0) - 0.005)), 6)
    evidence = Measurement(name="evidence_of_harm", value=harm, threshold=20.0)
    status, reason, sentence = (
        Status.PASS,
        "no_harm_shown",
        f"the evidence of harm is {harm:.2g}, it acts at 20",
    )
    if harm >= 20.0:
        sentence = f"worse than the stable in slow requests: the evidence is {harm:.3g}, it acts at 20"
        status, reason = Status.FAIL, "worse_than_stable"
    elif harm > 1.0:
        status, reason = Status.WAIT, "in_doubt"
    stage = f"bake-{share}"
    book.tell(
        says(book, "canary", stage, status, reason, sentence, commit=commit(share), measurements=(evidence,))
    )


def _slo(mine: int, shares: list[Measurement]) -> tuple[Status, str, str]:
    for one in shares[:2]:
        if one.low is not None and one.threshold is not None and one.low > one.threshold:
            sentence = (
                f"{one.value:.2f} % of {one.samples} candidate requests were slow ({one.low:.2f} to "
                f"{one.high:.2f}), {one.threshold:g} % is the budget"
            )
            return Status.FAIL, "objective_missed", sentence
    over = next((one for one in shares[:2] if float(str(one.value)) > (one.threshold or 0.0)), None)
    if mine < 100:
        return (
            Status.WAIT,
            "insufficient_samples",
            f"{mine} of 100 candidate requests counted that are needed",
        )
    if over is not None:
        return Status.WAIT, "not_shown", f"over budget so far, but not shown to be: {over.value:.2f} %"
    return Status.PASS, "within_objectives", f"{mine} candidate requests, each share within its budget"


def raise_to(book: Book, share: int, *, seconds: float = 4.0) -> None:
    """A share written, in force, and seen."""
    stage = f"shift-{share}"
    revision = {
        "candidate_revision": "fraud-scorer-predictor-00002",
        "stable_revision": "fraud-scorer-predictor-00001",
    }
    book.tell(e.ShareCommitted(stage=stage, share_percent=share, commit=commit(share)))
    book.after(seconds).tell(e.ShareServed(stage=stage, share_percent=share, url="http://s", **revision))
    seen = f"{share} % is seen" if share else "0 % is served; no metrics are asked"
    observed = float(share) if share else None
    book.after(seconds).tell(
        e.ShareSeen(stage=stage, share_percent=share, observed_percent=observed, sentence=seen),
        e.StageDone(stage=stage, sentence=seen),
    )


def judged_and_merged(book: Book) -> None:
    """From the pull request to the merge, everything passing."""
    book.after(6).tell(
        e.Proposed(
            branch=f"lockgate/{PROMOTION}",
            head_sha=HEAD,
            pull_request=41,
            url="https://github.com/example-bank/models/pull/41",
            author="lockgate-bot",
        ),
        e.StageDone(stage="propose", sentence="pull request 41 is open"),
    )
    book.after(20).tell(
        e.Previewed(environment="preview", commit=commit(1), url="http://p", revision="r1"),
        e.StageDone(stage="preview", sentence="v38 is ready in preview"),
    )
    book.after(2).tell(
        says(book, "policy", "judge", Status.PASS, "as_rendered", "2 manifests are as lockgate renders them")
    )
    book.after(9).tell(
        load(book), evaluation(book, passes=True), e.StageDone(stage="judge", sentence="all gates pass")
    )
    book.after(3).tell(
        e.Merged(commit=MERGE, by="lockgate"), e.StageDone(stage="merge", sentence="merged as bbbbbbbbbbbb")
    )


LATENCIES: list[list[float]] = [
    [5.623, 0], [6.31, 12], [7.079, 148], [7.943, 705], [8.913, 1462], [10.0, 1690], [11.22, 1208],
    [12.59, 622], [14.13, 247], [15.85, 88], [17.78, 31], [19.95, 9], [22.39, 3], [25.12, 0], [28.18, 0],
    [31.62, 0], [35.48, 2], [40.0, 11], [44.67, 6], [50.0, 1], [50.12, 0], [56.23, 2], [63.1, 1],
]  # fmt: skip
"""Upper edges in ms and requests: a body, and a second mode that the objective of 50 ms parts."""


def load(book: Book) -> e.Judged:
    """The load gate's verdict."""
    requests = int(sum(count for _, count in LATENCIES))
    measurements = (
        share_of("slow_percent", "candidate", 3, requests, 1.0),
        Measurement(name="p50_ms", value=9.4, unit="ms", arm="candidate", samples=requests),
        Measurement(name="p99_ms", value=17.1, unit="ms", arm="candidate", samples=requests, threshold=50.0),
    )
    sentence = "At 48 requests per second 0.05 % took longer than 50 ms; 1 % is the budget."
    facts: dict[str, object] = {"latencies_ms": LATENCIES}
    return says(
        book, "load", "judge", Status.PASS, "within_budgets", sentence, measurements=measurements, facts=facts
    )


def evaluation(book: Book, *, passes: bool) -> e.Judged:
    """The offline evaluation's verdict."""
    recall = 0.913 if passes else 0.741
    measurements = (
        Measurement(
            name="auc", value=0.9712, arm="candidate", samples=2000, low=0.962, high=0.979, threshold=0.95
        ),
        Measurement(
            name="recall",
            value=recall,
            arm="candidate",
            samples=214,
            low=recall - 0.04,
            high=recall + 0.04,
            threshold=0.85,
        ),
        Measurement(name="auc", value=0.9655, arm="stable", samples=2000, low=0.956, high=0.974),
        Measurement(name="recall", value=0.902, arm="stable", samples=214, low=0.86, high=0.94),
        Measurement(
            name="auc_difference", value=0.0057, samples=2000, low=-0.001, high=0.012, threshold=-0.01
        ),
    )
    if passes:
        status, reason = Status.PASS, "shown"
        sentence = (
            "On 2000 golden rows everything required is shown; 61 decisions differ from the champion's."
        )
    else:
        status, reason = Status.FAIL, "below_floor"
        sentence = "recall 0.741 (0.701 to 0.781, 214 rows); at least 0.85 must be shown."
    facts: dict[str, object] = {
        "rows": 2000,
        "golden_set": "models/fraud-scorer/golden.csv",
        "slices": [
            evaluated_slice("region=north", passes),
            evaluated_slice("region=south", True),
            THIN_SLICE,
        ],
        "calibration": {
            "candidate": [calibrated(score, score) for score in (0.02, 0.11, 0.34, 0.71)],
            "stable": [calibrated(score, score * 0.9) for score in (0.03, 0.13, 0.36, 0.75)],
        },
        "tests": [
            {"measure": "auc", "method": "delong", "p": 0.21, "holm_p": 0.42, "shown": "neither"},
            {"measure": "recall", "method": "mcnemar", "p": 0.4, "holm_p": 0.42, "shown": "neither"},
        ],
    }
    return says(book, "evaluation", "judge", status, reason, sentence, measurements=measurements, facts=facts)


THIN_SLICE: dict[str, object] = {
    "slice": "region=islands",
    "rows": 31,
    "positives": 2,
    "required": False,
    "state": "insufficient",
    "candidate": {},
    "differences": {},
    "needs": [],
}


def evaluated_slice(name: str, holds: bool) -> dict[str, object]:
    """What the evaluation kept of one slice."""
    value = 0.004 if holds else -0.061
    state = "shown" if holds else "missed"
    return {
        "slice": name,
        "rows": 940,
        "positives": 97,
        "required": holds,
        "state": state,
        "candidate": {"auc": {"value": 0.97 + value, "low": 0.958, "high": 0.979, "rows": 940}},
        "differences": {"auc": {"value": value, "low": value - 0.012, "high": value + 0.012, "rows": 940}},
        "needs": [{"measure": "auc", "kind": "margin", "limit": 0.03, "state": state}],
    }


def calibrated(score: float, labelled: float) -> dict[str, object]:
    """One bin of a calibration curve."""
    return {"score": score, "labelled": labelled, "low": 0.8 * labelled, "high": 1.2 * labelled, "rows": 500}


def approval(book: Book, status: Status, *, approved_at: datetime | None) -> e.Judged:
    """The approval gate's verdict on the change."""
    rows = [
        {
            "approver": "rita.okafor",
            "state": "approved" if approved_at else "requested",
            "at": approved_at.isoformat() if approved_at else None,
        },
        {
            "approver": "model.risk.deputy",
            "state": "not_required" if approved_at else "requested",
            "at": None,
        },
    ]
    facts: dict[str, object] = {
        "change": "CHG0030117",
        "url": "https://example.service-now.com/change?number=CHG0030117",
        "type": "normal",
        "state": "Scheduled" if approved_at else "Authorize",
        "approval": "approved" if approved_at else "requested",
        "on_hold": False,
        "requested_by": "dana",
        "configuration_item": "fraud-scorer",
        "correlation_id": CORRELATION,
        "start": T0.isoformat(),
        "end": (T0 + timedelta(hours=8)).isoformat(),
        "approvers": rows,
        "conflicts": [],
        "conflicts_checked_at": book.now.isoformat(),
        "objections": [],
    }
    sentence = (
        "CHG0030117 is approved by rita.okafor for exactly this content and may be carried out."
        if approved_at
        else "CHG0030117 is in Authorize and not approved; asked: rita.okafor, model.risk.deputy."
    )
    reason = "approved" if approved_at else "approval_pending"
    return says(book, "approval", "approve", status, reason, sentence, commit=commit(50), facts=facts)


def bake(book: Book, share: int, *, looks: int, every: float, per_look: int) -> None:
    """A share that holds its objectives look after look."""
    for n in range(1, looks + 1):
        book.after(every)
        drift = 0.0005 * math.sin(n * 1.7 + share)
        look(book, share, n * per_look, errors=0.0009 + drift / 2, slow=0.0046 + 2 * drift)
        if n == 1 and share == 10:
            book.tell(
                e.Waited(
                    stage="bake-10",
                    reason="baking",
                    sentence="all gates pass; 10 % is watched for 1080 s more",
                    unknown=False,
                    retry_after_seconds=every,
                )
            )
    book.tell(e.StageDone(stage=f"bake-{share}", sentence=f"{share} % held its objectives"))


def ask_for_approval(book: Book) -> None:
    """A change is opened, waits, and is approved."""
    book.after(2).tell(
        e.ChangeIntended(correlation_id=CORRELATION, manifest_digest=MANIFESTS),
        e.ChangeOpened(
            correlation_id=CORRELATION,
            number="CHG0030117",
            url="https://example.service-now.com/change?number=CHG0030117",
        ),
        approval(book, Status.WAIT, approved_at=None),
        e.Waited(
            stage="approve",
            reason="approval_pending",
            sentence="approval: CHG0030117 is in Authorize and not approved; asked: rita.okafor",
            unknown=False,
            retry_after_seconds=60,
        ),
    )


def waiting() -> Book:
    """A promotion at 50 %, whose change nobody has approved yet."""
    book = Book(plans.started(plan()))
    judged_and_merged(book)
    raise_to(book, 0)
    raise_to(book, 10)
    bake(book, 10, looks=10, every=120, per_look=2400)
    book.after(30).tell(e.Held(person="otto", reason="payday traffic; look at 10 % first"), by="person:otto")
    book.after(900).tell(e.Resumed(person="otto", stage=""), by="person:otto")
    raise_to(book, 50)
    bake(book, 50, looks=10, every=120, per_look=2400)
    ask_for_approval(book)
    return book


def good() -> Book:
    """A promotion that ends at 100 %."""
    book = waiting()
    for _ in range(30):
        book.after(120)
        look(book, 50, 24000 + 120, errors=0.001, slow=0.0048)
    approved_at = book.now + timedelta(seconds=41)
    book.after(60).tell(
        approval(book, Status.PASS, approved_at=approved_at),
        e.StageDone(stage="approve", sentence="CHG0030117 is approved for exactly this content"),
    )
    raise_to(book, 100)
    bake(book, 100, looks=15, every=240, per_look=4800)
    book.after(5).tell(
        e.ChangeClosed(number="CHG0030117", code="successful"),
        e.Ended(outcome="promoted", sentence="v38 serves 100 % of fraud-scorer in prod"),
    )
    return book


SLOW_SHARES = (0.0, 0.012, 0.017, 0.019, 0.02, 0.021, 0.022, 0.05)
"""What the failing candidate shows, look by look: not enough to blame it until the last."""


def failing() -> Book:
    """A promotion whose candidate is found too slow at 10 %: the engine has not acted yet."""
    book = Book(plans.started(plan()))
    judged_and_merged(book)
    raise_to(book, 0, seconds=1.0)
    raise_to(book, 10, seconds=1.0)
    for n in range(1, 9):
        book.after(2)
        look(book, 10, 400 * n, errors=0.001, slow=SLOW_SHARES[n - 1])
        if n == 4:
            gap = says(
                book,
                "slo",
                "bake-10",
                Status.UNKNOWN,
                "stale_data",
                "the newest sample of the candidate is 9 s old, older than 3 s",
                commit=commit(10),
            )
            sentence = "slo: the newest sample of the candidate is 9 s old, older than 3 s"
            waited = e.Waited(
                stage="bake-10", reason="stale_data", sentence=sentence, unknown=True, retry_after_seconds=2
            )
            book.after(1).tell(gap, waited)
    return book


def rolled_back() -> Book:
    """The same, back at 0 %."""
    book = failing()
    last = book.lines[-1].event
    assert isinstance(last, e.Judged)
    sentence = f"slo: {last.verdict['sentence']}"
    book.tell(e.StepRefused(stage="bake-10", reason="objective_missed", sentence=sentence))
    book.tell(e.RollbackBegan(code="objective_missed", sentence=sentence))
    book.after(0.6).tell(e.ShareCommitted(stage="roll_back", share_percent=0, commit="0" * 39 + "z"))
    book.after(1.1).tell(
        e.ShareServed(
            stage="roll_back", share_percent=0, candidate_revision="r2", stable_revision="r1", url="http://s"
        )
    )
    book.after(2).tell(
        e.ShareSeen(
            stage="roll_back",
            share_percent=0,
            observed_percent=0.0,
            sentence="0 of 212 requests reached the candidate: 0.0 % (0.0 to 3.4), 0 % is intended",
        ),
        e.Ended(
            outcome="rolled_back",
            sentence=f"v38 is at 0 %: {sentence}",
            left_undone=("remove the preview: argocd: no answer within 10 s",),
        ),
    )
    return book


def refused() -> Book:
    """A promotion that its evaluation refuses before the merge."""
    book = Book(plans.started(plan()))
    book.after(4).tell(
        e.Proposed(
            branch=f"lockgate/{PROMOTION}",
            head_sha=HEAD,
            pull_request=42,
            url="https://github.com/example-bank/models/pull/42",
            author="lockgate-bot",
        ),
        e.StageDone(stage="propose", sentence="pull request 42 is open"),
    )
    book.after(11).tell(
        e.Previewed(environment="preview", commit=commit(1), url="http://p", revision="r1"),
        e.StageDone(stage="preview", sentence="v38 is ready in preview"),
    )
    book.after(1).tell(
        says(book, "policy", "judge", Status.PASS, "as_rendered", "2 manifests are as lockgate renders them")
    )
    sentence = "evaluation: recall 0.741 (0.701 to 0.781, 214 rows); at least 0.85 must be shown."
    book.after(7).tell(
        evaluation(book, passes=False),
        e.StepRefused(stage="judge", reason="below_floor", sentence=sentence),
        e.RollbackBegan(code="below_floor", sentence=sentence),
    )
    book.after(2).tell(e.Ended(outcome="refused", sentence=f"v38 is at 0 %: {sentence}"))
    return book


MARKUP = "</td><script>alert(1)</script><img src=x onerror=alert(2)>"
TERMINAL = "\x1b[2J\x1b[31mred\x1b[0m\x1b]8;;http://evil\x07link\x1b]8;;\x07\x07\u202e"
MARKDOWN = "[click](javascript:alert(3)) **bold** `code` | cell\n# heading"


def hostile(text: str) -> Book:
    """A promotion in which everything that people and other systems wrote is this text."""
    plan: Plan = plans.canary()
    first = plans.started(plan)
    version = {"label": text, "uri": text, "digest": DIGEST, "alias": text}
    book = Book(
        e.Started(
            promotion=PROMOTION,
            model="fraud-scorer",
            tenant=text,
            environment="prod",
            requested_by=text,
            reason=text,
            base=text,
            candidate=version,
            stable=version,
            plan=first.plan,
        ),
        by=f"person:{text}",
    )
    for event in _hostile_events(book, text):
        book.after(1).tell(event)
    return book


def _hostile_events(book: Book, text: str) -> Iterator[e.Event]:
    url = f"javascript:{text}"
    yield e.Proposed(branch=text, head_sha=HEAD, pull_request=7, url=url, author=text)
    yield e.Previewed(environment=text, commit=text, url=url, revision=text)
    odd = Measurement(name=text, value=text, unit=text, arm="candidate", samples=1, low=0.0, high=1.0)
    yield says(book, "policy", "judge", Status.WAIT, text, text, measurements=(odd,), facts={text: text})
    yield says(book, text, "judge", Status.PASS, text, text, commit=text)
    yield e.Merged(commit=MERGE, by=text)
    yield e.ShareCommitted(stage="shift-10", share_percent=10, commit=commit(10))
    yield e.ShareServed(
        stage="shift-10", share_percent=10, candidate_revision=text, stable_revision=text, url=url
    )
    yield e.ShareSeen(stage="shift-10", share_percent=10, observed_percent=10.0, sentence=text)
    yield e.ChangeIntended(correlation_id=text, manifest_digest=text)
    yield e.ChangeOpened(correlation_id=text, number=text, url=url)
    rows = [{"approver": text, "state": text, "at": text}, text]
    facts: dict[str, object] = {"approvers": rows, "url": url, "start": text, "end": text, "type": text}
    yield says(book, "approval", "approve", Status.PASS, text, text, commit=commit(50), facts=facts)
    yield e.Held(person=text, reason=text)
    yield e.Resumed(person=text, stage="")
    yield e.Waited(stage="bake-10", reason=text, sentence=text, unknown=True, retry_after_seconds=5)
    yield e.AbortAsked(person=text, reason=text)
    yield e.StepRefused(stage="bake-10", reason=text, sentence=text)
    yield e.RollbackBegan(code=text, sentence=text)
    yield e.ChangeClosed(number=text, code=text)
    yield e.StageDone(stage="finish", sentence=text)
    yield e.Ended(outcome="aborted", sentence=text, left_undone=(text,))
