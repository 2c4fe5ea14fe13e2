"""Are the manifests exactly what we render, and do they say what this promotion is about?

The API server drops a misspelt field without a word, KServe ignores a share in the wrong mode, and Argo CD
calls all of that synced. So this gate holds every file against our own strict statement of what we write.
``rules`` is the table, ``fields`` the shape, ``service`` the rules across fields, ``strict`` the reader.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from gates.contract import Evidence, Measurement, Phase, Question, Status, Verdict
from gates.policy.alerts import alert_findings, budget_findings
from gates.policy.fields import KINDS, Object, field_findings
from gates.policy.quantity import canonical_quantity
from gates.policy.record import Recorded, read_record
from gates.policy.rules import RULES, Finding, Rule
from gates.policy.service import mode, service_findings
from gates.policy.strict import NotPlain, read
from gates.policy.uri import last_part, uri_problem

__all__ = [
    "RULES",
    "Finding",
    "NotPlain",
    "PolicyGate",
    "PolicySettings",
    "Recorded",
    "Rule",
    "canonical_quantity",
    "check",
    "last_part",
    "read",
    "read_record",
    "uri_problem",
]

_PATH = re.compile(r"clusters/(?P<environment>[^/]+)/(?P<tenant>[^/]+)/(?P<model>[^/]+)/(?P<file>[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """Nothing can be turned off: a manifest is what we render, or it is refused."""


class PolicyGate:
    """The rendered objects against our own statement of what we render: PASS, or FAIL with every problem."""

    name: ClassVar[str] = "policy"
    phase: ClassVar[Phase] = "preview"
    needs: ClassVar[frozenset[str]] = frozenset()
    Settings: ClassVar[type] = PolicySettings

    def __init__(self, settings: PolicySettings) -> None:
        self._settings = settings

    def judge(self, question: Question) -> Verdict:
        """Hold the question's files against every rule, and against what the question is about."""
        findings = _judged(question)
        digest = hashlib.sha256(json.dumps(sorted(question.files.items())).encode()).hexdigest()
        evidence = Evidence(
            measurements=(
                Measurement(name="problems", value=len(findings), samples=len(question.files), threshold=0.0),
            ),
            facts={
                "files": sorted(question.files),
                "files_sha256": digest,
                "rules": len(RULES),
                "problems": [finding.facts() for finding in findings],
            },
        )
        return Verdict(
            gate=self.name,
            subject=question.subject,
            status=Status.FAIL if findings else Status.PASS,
            reason=findings[0].rule if findings else "as_rendered",
            sentence=_sentence(findings, len(question.files)),
            at=question.now,
            evidence=evidence,
        )


def check(files: Mapping[str, str]) -> list[Finding]:
    """Every problem of machine-written files (``clusters/…`` path -> text), of any number of models."""
    return [finding for folder in _folders(files) for finding in folder.findings]


def _sentence(findings: list[Finding], files: int) -> str:
    if not findings:
        return f"{files} files hold to all {len(RULES)} rules and name this candidate"
    first = findings[0]
    more = f"; and {len(findings) - 1} more" if len(findings) > 1 else ""
    return f"{len(findings)} of 0 allowed problems: {first}; to do: {first.fix}{more}"


# ------------------------------------------------------------------- one model's folder


@dataclass(frozen=True, slots=True)
class _Folder:
    """One model's files in one environment, as far as they could be read."""

    path: str
    service: Object | None
    record_object: Object | None
    record: Recorded | None
    alerts: Object | None
    findings: tuple[Finding, ...]


def _folders(files: Mapping[str, str]) -> list[_Folder]:
    by_folder: dict[str, dict[str, str]] = {}
    for path in sorted(files):
        by_folder.setdefault(path.rpartition("/")[0], {})[path] = files[path]
    folders = [_folder(path, inside) for path, inside in by_folder.items()]
    return [*folders, *_twice(folders)]


def _folder(path: str, files: Mapping[str, str]) -> _Folder:
    findings: list[Finding] = []
    service = record_object = record = alerts = None
    for file, text in files.items():
        thing = _object(file, text, findings)
        if thing is not None and thing.at("kind") == "InferenceService":
            service = thing
        elif thing is not None and thing.at("kind") == "PrometheusRule":
            alerts = thing
        elif thing is not None:
            record_object = thing
            record = _record(thing, findings)
    if service is None:
        findings.append(_whole("manifest_missing", path, "holds no InferenceService that can be read"))
    if record_object is None:
        findings.append(_whole("record_missing", path, "holds no record that can be read"))
    if service is not None and record_object is not None and record is not None:
        findings.extend(_agreement(service, record_object, record))
    if service is not None and alerts is not None:
        findings.extend(alert_findings(alerts, service, path))
    return _Folder(path, service, record_object, record, alerts, tuple(findings))


def _object(file: str, text: str, findings: list[Finding]) -> Object | None:
    """Read one file and hold it against its shape; None when it is no object of ours."""
    try:
        thing = Object(file, read(text))
    except NotPlain as error:
        findings.append(_whole(error.rule, file, str(error), error.line))
        return None
    kind = (str(thing.at("apiVersion")), str(thing.at("kind")))
    if kind not in KINDS:
        findings.append(thing.breaks("wrong_kind", (), f"is a {kind[1]} of {kind[0]}"))
        return None
    name, shape = KINDS[kind]
    findings.extend(_place(thing, name))
    findings.extend(field_findings(thing, shape))
    if kind[1] == "InferenceService":
        findings.extend(service_findings(thing))
    return thing


def _place(thing: Object, name: str) -> Iterator[Finding]:
    match = _PATH.fullmatch(thing.file)
    if match is None or match["file"] != name:
        yield thing.breaks("wrong_place", (), f"is not clusters/<environment>/<tenant>/<model>/{name}")
        return
    wanted = match["model"] if name == "inferenceservice.yaml" else f"{match['model']}-lockgate"
    if thing.at("metadata", "name") != wanted:
        message = (
            f"is {thing.at('metadata', 'name')!r}, which does not belong into the folder of {match['model']}"
        )
        yield thing.breaks("wrong_place", ("metadata", "name"), message)


def _record(thing: Object, findings: list[Finding]) -> Recorded | None:
    data = thing.at("data")
    if not isinstance(data, dict):
        return None
    try:
        return read_record(data)
    except ValueError as error:
        findings.append(thing.breaks("record_broken", ("data",), str(error)))
        return None


def _agreement(service: Object, record_object: Object, record: Recorded) -> Iterator[Finding]:
    """What the record says the InferenceService must say too."""
    for path, says in _as_recorded(service, record).items():
        if service.at(*path) != says:
            message = f"is {service.at(*path)!r}, and the record says {says!r}"
            yield service.breaks("record_disagrees", path, message)
    if service.at("metadata", "namespace") != record_object.at("metadata", "namespace"):
        yield record_object.breaks(
            "wrong_namespace", ("metadata", "namespace"), "is not the InferenceService's"
        )
    if record.stable is None or record.candidate is None:
        return
    ends = [last_part(arm["uri"]) for arm in (record.stable, record.candidate)]
    if service.at("spec", "predictor", "model", "modelFormat", "name") == "triton" and ends[0] != ends[1]:
        message = f"ends in {ends[1]!r}, the stable's URI in {ends[0]!r}"
        yield record_object.breaks("triton_path", ("data", "candidate.uri"), message)


def _as_recorded(service: Object, record: Recorded) -> dict[tuple[str | int, ...], object]:
    uri = ("spec", "predictor", "model", "storageUri")
    if mode(service) == "Knative":
        return {
            uri: record.serving["uri"],
            ("spec", "predictor", "canaryTrafficPercent"): record.share_percent,
        }
    if record.candidate is None or record.stable is None or record.share_percent == 100:
        return {uri: record.serving["uri"], ("spec", "canary"): None}
    entry = ("spec", "canary", 0)
    return {
        uri: record.stable["uri"],
        (*entry, "predictor", "model", "storageUri"): record.candidate["uri"],
        (*entry, "trafficPercent"): record.share_percent,
    }


def _twice(folders: list[_Folder]) -> Iterator[_Folder]:
    """Objects that two files describe: one and the same name in one namespace of one environment."""
    seen: dict[tuple[str, ...], str] = {}
    for folder in folders:
        environment = "/".join(folder.path.split("/")[:2])
        for thing in filter(None, (folder.service, folder.record_object, folder.alerts)):
            names = (thing.at("kind"), thing.at("metadata", "namespace"), thing.at("metadata", "name"))
            first = seen.setdefault((environment, *map(str, names)), thing.file)
            if first != thing.file:
                found = thing.breaks("duplicate_object", (), f"describes the object of {first} again")
                yield _Folder(folder.path, None, None, None, None, (found,))


def _whole(rule: str, file: str, message: str, line: int = 0) -> Finding:
    return Finding(rule=rule, file=file, line=line, where="", message=message, fix=RULES[rule].fix)


# ------------------------------------------------------------------- what the question is about


def _judged(question: Question) -> list[Finding]:
    subject = question.subject
    wanted = f"clusters/{subject.environment}/{question.tenant}/{question.service}"
    folders = _folders(question.files)
    findings = [finding for folder in folders for finding in folder.findings]
    if not any(folder.path == wanted for folder in folders):
        findings.append(_whole("manifest_missing", wanted, "is not among the files under judgement"))
    for folder in folders:
        if folder.path != wanted:
            findings.append(_whole("wrong_model", folder.path, f"is not {wanted}"))
        elif folder.service is not None and folder.record_object is not None and folder.record is not None:
            findings.extend(_about(question, folder.service, folder.record_object, folder.record))
            findings.extend(budget_findings(folder.alerts, question.objectives) if folder.alerts else ())
    return findings


def _about(question: Question, service: Object, record_object: Object, record: Recorded) -> Iterator[Finding]:
    """What the question says the manifests must say too."""
    if service.at("metadata", "namespace") != question.namespace:
        message = f"is {service.at('metadata', 'namespace')!r}, not {question.namespace!r}"
        yield service.breaks("wrong_namespace", ("metadata", "namespace"), message)
    for rule, fact, wanted in (
        ("wrong_digest", "digest", question.subject.digest),
        ("wrong_uri", "uri", question.candidate.uri),
    ):
        if record.serving[fact] != wanted:
            message = f"names {record.serving[fact]!r} as what serves, and {wanted!r} is judged"
            yield record_object.breaks(rule, ("data",), message)
    stable = question.stable
    recorded = record.stable or {"uri": "", "digest": ""}
    if (recorded["uri"], recorded["digest"]) != ((stable.uri, stable.digest) if stable else ("", "")):
        message = (
            f"names {recorded['uri'] or 'none'!r} as stable, and {stable.uri if stable else 'none'!r} serves"
        )
        yield record_object.breaks("wrong_stable", ("data",), message)
    share = question.share_percent if stable else 100
    if record.share_percent != share:
        yield record_object.breaks(
            "wrong_share", ("data",), f"says {record.share_percent} %, and {share} % is judged"
        )
