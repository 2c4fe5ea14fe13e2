"""The load gate: sends requests at the expected peak and has the recordings judged."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import quote, urlsplit

from gates.contract import Evidence, Phase, Question, Status, Verdict
from gates.golden import GoldenRefused, Repository, read_golden
from gates.load.generator import GeneratorFailed, MetadataAbsent, generate, metadata_inputs, null_endpoint
from gates.load.protocols import PROTOCOLS
from gates.load.recording import Payload, Recording, Run
from gates.load.requests import Unusable, from_lines, from_metadata, from_table
from gates.load.settings import LoadSettings

_MAXIMUM_RPS = 5000.0
"""The most that one generator on one core sends faithfully."""
_CALIBRATION_WARM_UP_SECONDS = 0.5
_CALIBRATION_LEAST_RPS = 20.0
"""At a rate below, the calibration would see too few requests to say anything."""


class Load:
    """Whether the candidate keeps its latency and error budgets at the expected peak.

    Requests go to the preview by an open-loop Poisson schedule. The verdict rests on how many were slow, how
    many failed and, of streams, how many began late, with exact bounds (Clopper and Pearson); percentiles are
    evidence.

    ==========================================================  =======  =======================
    what is found                                               verdict  reason
    ==========================================================  =======  =======================
    the table cannot be used (as in the evaluation gate)        FAIL     golden_set_…
    a number of it does not fit the datatype                    FAIL     golden_set_invalid
    there is no file of recorded requests                       FAIL     payloads_missing
    it is not the one that is pinned                            FAIL     payloads_differs
    it holds no request                                         FAIL     payloads_empty
    a line is no request, or there are too many                 FAIL     payloads_invalid
    the model does not say what it takes                        UNKNOWN  metadata_absent
    the candidate has no address, or none of http or https      UNKNOWN  no_candidate_address
    more requests per second than the generators can send       UNKNOWN  generator_unfit
    the generator crashed, hung or made no sense                UNKNOWN  generator_failed
    it is late, busy, or slow where nothing is                  UNKNOWN  generator_unfit
    nobody answered at all                                      UNKNOWN  target_unreachable
    every answer was a refusal (3xx, 4xx, as in gRPC)           UNKNOWN  requests_refused
    the error share's lower bound is over its budget            FAIL     error_budget_exceeded
    the slow share's lower bound is over its budget             FAIL     latency_budget_exceeded
    the first token's lower bound is over the same budget       FAIL     first_token_budget_exceeded
    too many requests could not be sent, and no FAIL above      UNKNOWN  generator_unfit
    all upper bounds are within their budgets                   PASS     within_budgets
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
        """Put the candidate under load; takes two calibrations, up to 1 + extensions looks, and the sweep."""
        rate = question.objectives.peak_rps * self._settings.peak_factor
        most = _MAXIMUM_RPS * self._settings.processes
        url = question.candidate.url
        if not _is_http(url):
            sentence = f"{question.candidate.version} has no http or https address to send to, but {url!r}."
            return _verdict(question, Status.UNKNOWN, "no_candidate_address", sentence)
        if rate > most:
            sentence = f"{rate:g} requests per second are wanted, the generators send {most:g} at the most."
            return _verdict(question, Status.UNKNOWN, "generator_unfit", sentence)
        try:
            payloads, sha256 = self._payloads(question)
            return self._loaded(question, payloads, sha256, rate)
        except GoldenRefused as refused:
            return _verdict(question, Status.FAIL, refused.reason, str(refused))
        except (MetadataAbsent, Unusable) as nothing:
            sentence = f"There is nothing to generate requests from: {nothing}"
            return _verdict(question, Status.UNKNOWN, "metadata_absent", sentence)
        except GeneratorFailed as failed:
            return _verdict(
                question, Status.UNKNOWN, "generator_failed", f"The load generator failed: {failed}"
            )

    def _payloads(self, question: Question) -> tuple[list[Payload], str]:
        """What is sent, and the sha256 of where it stands."""
        settings, model, commit = self._settings, question.protocol_model, question.subject.commit
        if settings.source == "recorded":
            content = self._repository.read_bytes(settings.payloads, commit)
            return from_lines(content, settings, model, commit)
        if settings.source == "generated":
            address = question.candidate.url.rstrip("/")
            if settings.protocol != "v2_grpc":
                address += f"/v2/models/{quote(model, safe='')}"
            timeout = settings.request_timeout_seconds
            inputs = metadata_inputs(address, settings.protocol, model, timeout)
            return from_metadata(inputs, settings, model), ""
        golden = read_golden(
            self._repository,
            settings.payloads,
            at=commit,
            sha256=settings.sha256,
            label=settings.label,
            maximum_rows=settings.maximum_rows,
        )
        return from_table(golden, settings, model), golden.sha256

    def _loaded(self, question: Question, payloads: list[Payload], sha256: str, rate: float) -> Verdict:
        from gates.load import judging

        settings, objectives = self._settings, question.objectives
        target = self._target(question)
        with null_endpoint(settings.protocol, stream=settings.stream) as nothing:
            tried = self._calibration(nothing, rate)
            before, first, after = self._generate([tried, self._run(target, rate, 0), tried], payloads)
            calibrations, looks = [before, after], [first]
            said = judging.say(calibrations, looks, objectives, settings)
            while not said.final and len(looks) <= settings.extensions:
                more, after = self._generate([self._run(target, rate, len(looks)), tried], payloads)
                looks, calibrations = [*looks, more], [*calibrations, after]
                said = judging.say(calibrations, looks, objectives, settings)
        found = judging.evidence(calibrations, looks, objectives, settings, rate)
        facts = {**found.facts, "url": target, "payloads_sha256": sha256, "requests": len(payloads)}
        if settings.sweep_percents:
            facts["sweep"] = self._sweep(question, target, rate, payloads)
        whole = Evidence(measurements=found.measurements, facts=MappingProxyType(facts))
        return _verdict(question, said.status, said.reason, said.sentence, whole)

    def _sweep(
        self, question: Question, target: str, rate: float, payloads: list[Payload]
    ) -> list[dict[str, object]]:
        """What other rates give; those that the generators cannot send are left out."""
        from gates.load import judging

        settings = self._settings
        rates = [rate * percent / 100 for percent in settings.sweep_percents]
        runs = [
            replace(self._run(target, one, settings.extensions + 1 + number), seconds=settings.sweep_seconds)
            for number, one in enumerate(rates)
            if one <= _MAXIMUM_RPS * settings.processes
        ]
        recordings = self._generate(runs, payloads) if runs else []
        edge_ms = question.objectives.latency_threshold_ms
        return [judging.swept(run, one, edge_ms) for run, one in zip(runs, recordings, strict=True)]

    def _target(self, question: Question) -> str:
        address = question.candidate.url.rstrip("/")
        if self._settings.protocol == "v2_grpc":
            return address
        own = PROTOCOLS[self._settings.protocol].path(question.protocol_model)
        return address + (self._settings.path or own)

    def _generate(self, runs: list[Run], payloads: list[Payload]) -> list[Recording]:
        return generate(runs, payloads, processes=self._settings.processes)

    def _calibration(self, nothing: str, rate: float) -> Run:
        return replace(
            self._run(nothing, max(rate, _CALIBRATION_LEAST_RPS), 0),
            seconds=self._settings.calibration_seconds,
            warm_up_seconds=min(_CALIBRATION_WARM_UP_SECONDS, self._settings.calibration_seconds),
        )

    def _run(self, target: str, rate: float, look: int) -> Run:
        settings = self._settings
        return Run(
            url=target,
            protocol=settings.protocol,
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
