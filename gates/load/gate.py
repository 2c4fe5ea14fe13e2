"""The load gate: sends requests at the expected peak and has the recordings judged."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import quote, urlsplit

from gates.contract import Evidence, Phase, Question, Status, Verdict
from gates.golden import Golden, GoldenRefused, Repository, read_golden
from gates.load.generator import GeneratorFailed, generate, null_endpoint
from gates.load.recording import Payload, Recording, Run
from gates.load.settings import LoadSettings

_MAXIMUM_RPS = 5000.0
"""More than one generator on one core sends faithfully."""
_CALIBRATION_WARM_UP_SECONDS = 0.5
_CALIBRATION_LEAST_RPS = 20.0
"""At a rate below, the calibration would see too few requests to say anything."""
_BODIES = 1000
"""Different rows that are sent, drawn from the payloads when there are more."""


class Load:
    """Whether the candidate keeps its latency and error budgets at the expected peak.

    Requests of one row each go to the preview by an open-loop Poisson schedule. The verdict rests on how
    many were slow and how many failed, with exact bounds (Clopper and Pearson); percentiles are evidence.

    ==========================================================  =======  =======================
    what is found                                               verdict  reason
    ==========================================================  =======  =======================
    the payloads cannot be used (as in the evaluation gate)     FAIL     golden_set_…
    the candidate has no address, or none of http or https      UNKNOWN  no_candidate_address
    more requests per second than one generator can send        UNKNOWN  generator_unfit
    the generator crashed, hung or made no sense                UNKNOWN  generator_failed
    it is late, busy, or slow where nothing is                  UNKNOWN  generator_unfit
    nobody answered at all                                      UNKNOWN  target_unreachable
    every answer was a refusal (3xx, 4xx)                       UNKNOWN  requests_refused
    the error share's lower bound is over its budget            FAIL     error_budget_exceeded
    the slow share's lower bound is over its budget             FAIL     latency_budget_exceeded
    too many requests could not be sent, and no FAIL above      UNKNOWN  generator_unfit
    both upper bounds are within their budgets                  PASS     within_budgets
    anything else, after all extensions                         UNKNOWN  load_inconclusive
    ==========================================================  =======  =======================

    What the repository raises passes through.
    """

    name: ClassVar[str] = "load"
    phase: ClassVar[Phase] = "preview"
    needs: ClassVar[frozenset[str]] = frozenset({"repository"})
    Settings: ClassVar[type] = LoadSettings

    def __init__(self, settings: LoadSettings, *, repository: Repository) -> None:
        self._settings = settings
        self._repository = repository

    def judge(self, question: Question) -> Verdict:
        """Put the candidate under load; takes the calibration and up to 1 + extensions looks."""
        rate = question.objectives.peak_rps * self._settings.peak_factor
        url = question.candidate.url
        if not _is_http(url):
            sentence = f"{question.candidate.version} has no http or https address to send to, but {url!r}."
            return _verdict(question, Status.UNKNOWN, "no_candidate_address", sentence)
        if rate > _MAXIMUM_RPS:
            sentence = f"{rate:g} requests per second are wanted, one generator sends {_MAXIMUM_RPS:g}."
            return _verdict(question, Status.UNKNOWN, "generator_unfit", sentence)
        try:
            return self._loaded(question, self._payloads(question), rate)
        except GoldenRefused as refused:
            return _verdict(question, Status.FAIL, refused.reason, str(refused))
        except GeneratorFailed as failed:
            return _verdict(
                question, Status.UNKNOWN, "generator_failed", f"The load generator failed: {failed}"
            )

    def _payloads(self, question: Question) -> Golden:
        return read_golden(
            self._repository,
            self._settings.payloads,
            at=question.subject.commit,
            sha256=self._settings.sha256,
            label=self._settings.label,
            maximum_rows=self._settings.maximum_rows,
        )

    def _loaded(self, question: Question, payloads: Golden, rate: float) -> Verdict:
        from gates.load import judging

        settings, objectives = self._settings, question.objectives
        bodies = _bodies(payloads, settings.seed)
        model = quote(question.protocol_model, safe="")
        target = f"{question.candidate.url.rstrip('/')}/v2/models/{model}/infer"
        calibration, first = self._first_look(target, rate, bodies)
        looks = [first]
        said = judging.say(calibration, looks, objectives, settings)
        while not said.final and len(looks) <= settings.extensions:
            looks += generate([self._run(target, rate, len(looks))], bodies)
            said = judging.say(calibration, looks, objectives, settings)
        found = judging.evidence(calibration, looks, objectives, settings, rate)
        facts = MappingProxyType({**found.facts, "url": target, "payloads_sha256": payloads.sha256})
        whole = Evidence(measurements=found.measurements, facts=facts)
        return _verdict(question, said.status, said.reason, said.sentence, whole)

    def _first_look(self, target: str, rate: float, bodies: Sequence[Payload]) -> tuple[Recording, Recording]:
        with null_endpoint() as nothing:
            tried = Run(
                url=nothing,
                rate_rps=max(rate, _CALIBRATION_LEAST_RPS),
                seconds=self._settings.calibration_seconds,
                warm_up_seconds=_CALIBRATION_WARM_UP_SECONDS,
                seed=self._settings.seed,
                timeout_seconds=self._settings.request_timeout_seconds,
                maximum_in_flight=self._settings.maximum_in_flight,
            )
            calibration, first = generate([tried, self._run(target, rate, 0)], bodies)
        return calibration, first

    def _run(self, target: str, rate: float, look: int) -> Run:
        settings = self._settings
        return Run(
            url=target,
            rate_rps=rate,
            seconds=settings.duration_seconds,
            warm_up_seconds=settings.warm_up_seconds,
            seed=settings.seed + look,
            timeout_seconds=settings.request_timeout_seconds,
            maximum_in_flight=settings.maximum_in_flight,
        )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _bodies(payloads: Golden, seed: int) -> list[Payload]:
    rows = list(payloads.rows)
    if len(rows) > _BODIES:
        rows = random.Random(seed).sample(rows, _BODIES)  # noqa: S311 - repeatable on purpose
    names = ",".join(payloads.columns)
    return [_body(row, names) for row in rows]


def _body(row: Sequence[float], columns: str) -> Payload:
    tensor = {"name": "input-0", "datatype": "FP64", "shape": [1, len(row)], "data": list(row)}
    return Payload(body=json.dumps({"parameters": {"columns": columns}, "inputs": [tensor]}).encode())


def _verdict(
    question: Question, status: Status, reason: str, sentence: str, evidence: Evidence | None = None
) -> Verdict:
    return Verdict(
        gate=Load.name,
        subject=question.subject,
        status=status,
        reason=reason,
        sentence=sentence,
        at=question.now,
        evidence=evidence or Evidence(),
    )
