"""The rules for an InferenceService that one field alone cannot show; wrong types are found by ``fields``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gates.policy.fields import MODE, Object
from gates.policy.rules import Finding
from gates.policy.strict import Path
from gates.policy.uri import uri_problem

_LEGACY = {"Serverless": "Knative", "RawDeployment": "Standard"}
_NAME = re.compile("[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_PREDICTOR: Path = ("spec", "predictor")
_PERCENT: Path = (*_PREDICTOR, "canaryTrafficPercent")


def service_findings(thing: Object) -> Iterator[Finding]:
    """Every rule about one InferenceService by itself."""
    yield from _mode(thing)
    yield from _shares(thing)
    yield from _model(thing, (*_PREDICTOR, "model"))
    yield from _replicas(thing)
    for index in range(canaries(thing)):
        yield from _canary(thing, ("spec", "canary", index, "predictor"))


def mode(thing: Object) -> str:
    """``Knative``, ``Standard``, or "" for anything else."""
    written = thing.at("metadata", "annotations", MODE)
    return written if written in ("Knative", "Standard") else ""


def canaries(thing: Object) -> int:
    """How many candidates spec.canary lists."""
    entries = thing.at("spec", "canary")
    return len(entries) if isinstance(entries, list) else 0


def _mode(thing: Object) -> Iterator[Finding]:
    path: Path = ("metadata", "annotations")
    written = thing.at(*path, MODE)
    if written is None:
        yield thing.breaks("mode_missing", path, "has no deployment mode")
    elif written in _LEGACY:
        yield thing.breaks("mode_legacy", (*path, MODE), f"is {written}", f"write {_LEGACY[written]}")
    elif not mode(thing):
        yield thing.breaks("mode_unknown", (*path, MODE), f"is {written!r}")


def _shares(thing: Object) -> Iterator[Finding]:
    percent = thing.at(*_PERCENT)
    if mode(thing) == "Knative":
        if percent is None:
            yield thing.breaks("share_missing", _PREDICTOR, "has no canaryTrafficPercent")
        strange: list[Path] = [("spec", "canary"), (*_PREDICTOR, "name")]
        for path in strange:
            if thing.at(*path) is not None:
                yield thing.breaks("knative_with_canary", path, "belongs to Standard mode")
    if mode(thing) == "Standard":
        if percent is not None:
            yield thing.breaks("standard_with_percent", _PERCENT, "is ignored in Standard mode")
        if thing.at(*_PREDICTOR, "name") is None:
            yield thing.breaks("missing_field", _PREDICTOR, "lacks name")
    yield from _range(thing, _PERCENT, 100)
    if thing.at("spec", "canary") is not None and canaries(thing) != 1:
        yield thing.breaks(
            "several_canaries", ("spec", "canary"), f"lists {canaries(thing)} candidates, not one"
        )


def _range(thing: Object, path: Path, highest: int) -> Iterator[Finding]:
    share = thing.at(*path)
    if type(share) is int and not 0 <= share <= highest:
        yield thing.breaks("share_out_of_range", path, f"is {share}, not 0 to {highest}")


def _canary(thing: Object, path: Path) -> Iterator[Finding]:
    entry = path[:-1]
    if thing.at(*entry, "trafficPercent") is None:
        yield thing.breaks("share_missing", entry, "has no trafficPercent")
    yield from _range(thing, (*entry, "trafficPercent"), 99)
    name, stable = thing.at(*path, "name"), thing.at(*_PREDICTOR, "name")
    if name is not None and name == stable:
        yield thing.breaks("same_name", (*path, "name"), f"is {name!r}, the stable's name")
    yield from _name(thing, (*path, "name"))
    yield from _model(thing, (*path, "model"))
    here, there = _but_artifact(thing.at(*path, "model")), _but_artifact(thing.at(*_PREDICTOR, "model"))
    if here != there:
        differing = sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
        yield thing.breaks(
            "canary_differs", (*path, "model"), f"differs from the stable in {', '.join(differing)}"
        )
    least, most = thing.at(*path, "minReplicas"), thing.at(*_PREDICTOR, "minReplicas")
    if type(least) is int and type(most) is int and not 1 <= least <= max(most, 1):
        message = f"is {least}, not 1 to the stable's {most}"
        yield thing.breaks("replicas", (*path, "minReplicas"), message)


def _but_artifact(model: Any) -> dict[str, Any]:
    parts = model if isinstance(model, dict) else {}
    return {key: value for key, value in parts.items() if key not in ("name", "storageUri")}


def _name(thing: Object, path: Path) -> Iterator[Finding]:
    name = thing.at(*path)
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield thing.breaks("name", path, f"is {name!r}")


def _replicas(thing: Object) -> Iterator[Finding]:
    for path in (("metadata", "name"), ("metadata", "namespace"), (*_PREDICTOR, "name")):
        yield from _name(thing, path)
    least, most = thing.at(*_PREDICTOR, "minReplicas"), thing.at(*_PREDICTOR, "maxReplicas")
    if type(least) is int and type(most) is int and not 0 <= least <= most:
        yield thing.breaks("replicas", (*_PREDICTOR, "minReplicas"), f"is {least} with maxReplicas {most}")


def _model(thing: Object, path: Path) -> Iterator[Finding]:
    if thing.at(*path, "name"):
        yield thing.breaks("model_name", (*path, "name"), f"is {thing.at(*path, 'name')!r}")
    uri = thing.at(*path, "storageUri")
    if isinstance(uri, str) and (why := uri_problem(uri)):
        yield thing.breaks("mutable_uri", (*path, "storageUri"), f"{uri!r} {why}")
    entries = thing.at(*path, "env")
    seen: set[str] = set()
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        name, value = (entry.get("name"), entry.get("value")) if isinstance(entry, dict) else (None, None)
        if isinstance(name, str) and name in seen:
            yield thing.breaks("duplicate_variable", (*path, "env", index, "name"), f"{name} stands twice")
        seen |= {name} if isinstance(name, str) else set()
        if isinstance(value, str) and re.search(r"\{\{|(?<!\$)(\$\$)*\$\(|\$\$(?![$(])", value):
            where: Path = (*path, "env", index, "value")
            yield thing.breaks("expanded_value", where, f"{value!r} would not arrive as written")
