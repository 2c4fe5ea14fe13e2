"""The gate: reads both versions' metadata, their configs and the client contract, and judges them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Protocol

from annotated_types import Gt

from gates.compatibility.clients import Client, read_clients
from gates.compatibility.judging import Break, against_clients, against_stable, of_configs
from gates.compatibility.pbtxt import Config, read_config
from gates.compatibility.tensors import Interface, Unreadable, interface
from gates.contract import Evidence, Measurement, Phase, Question, Scalar, Status, Verdict
from gates.policy.uri import last_part

CONFIG = "config.pbtxt"


class Inference(Protocol):
    """Asks a server of the Open Inference Protocol (V2)."""

    def metadata(self, url: str, model: str) -> object:
        """What it says of a model, as JSON values; raises when it gives no answer."""
        ...


class Artifacts(Protocol):
    """Where artifacts are read from."""

    def fetch(self, uri: str) -> Path:
        """A local folder or file holding the artifact's bytes, read afresh."""
        ...


class Repository(Protocol):
    """Where the client contract stands."""

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """A file at a commit; None when there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatibilitySettings:
    """What is looked at beside tensors."""

    clients_required: bool = False
    """Whether a model must have a ``clients.yaml``."""
    embeddings: str = ""
    """Path inside the artifact of a file that it cannot serve without; "" for none."""
    embeddings_maximum_age_hours: Annotated[float, Gt(0)] = 24.0
    """How old it may be. Times of files are lost in copies, so the instant stands in the text of
    ``<embeddings>.made`` beside it, which the digest covers: ``2026-11-21T03:15:00Z``."""

    def __post_init__(self) -> None:
        place = PurePosixPath(self.embeddings)
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"embeddings is no path inside the artifact: {self.embeddings!r}")


class Compatibility:
    """Whether callers of the stable version, and clients that wrote down what they use, can call the next.

    Names, types and shapes come from both servers' V2 metadata; the stable is asked where live requests reach
    it. An artifact with a ``config.pbtxt`` is held against its server, and for batching against the stable's.
    A candidate input may be wider than before and an output narrower; -1 is any length.

    ==================================================  =======  ====================
    what is found                                       verdict  reason
    ==================================================  =======  ====================
    the candidate has no address                        UNKNOWN  no_candidate_address
    a stable version serves and has no address          UNKNOWN  no_stable_address
    a server's metadata are not the protocol's          UNKNOWN  metadata_unreadable
    clients.yaml or config.pbtxt cannot be read         FAIL     contract_unreadable
    the tier wants a clients.yaml and there is none     FAIL     clients_missing
    an input or output is gone                          FAIL     tensor_removed
    it has another element type                         FAIL     tensor_retyped
    a shape that was sent or read no longer fits        FAIL     tensor_reshaped
    an input is new and not optional                    FAIL     input_added
    the model has another name in calls                 FAIL     name_changed
    a Triton URI ends in another name                   FAIL     path_changed
    fewer rows fit into one request                     FAIL     batch_reduced
    config.pbtxt says otherwise than the server         FAIL     config_disagrees
    the embeddings file is not in the artifact          FAIL     embeddings_missing
    nothing readable says when it was made              FAIL     embeddings_undated
    it is older than the limit                          FAIL     embeddings_too_old
    everything fits                                     PASS     compatible
    ==================================================  =======  ====================

    Whatever the sources raise passes through and is no verdict.
    """

    name: ClassVar[str] = "compatibility"
    phase: ClassVar[Phase] = "preview"
    needs: ClassVar[frozenset[str]] = frozenset({"inference", "artifacts", "repository"})
    Settings: ClassVar[type] = CompatibilitySettings

    def __init__(
        self,
        settings: CompatibilitySettings,
        *,
        inference: Inference,
        artifacts: Artifacts,
        repository: Repository,
    ) -> None:
        self._settings = settings
        self._inference = inference
        self._artifacts = artifacts
        self._repository = repository

    def judge(self, question: Question) -> Verdict:
        """Compare what callers see of the two versions."""
        stable = question.stable
        if not question.candidate.url:
            return _unknown(
                question, "no_candidate_address", "the candidate has no address of its own to be asked at"
            )
        if stable is not None and not stable.url:
            return _unknown(question, "no_stable_address", "the stable version has no address to be asked at")
        try:
            served = self._interface(question.candidate.url, question)
            before = self._interface(stable.url, question) if stable else None
        except Unreadable as error:
            return _unknown(question, "metadata_unreadable", str(error))
        look = _Look(served=served, before=before)
        try:
            look = self._clients(question, look)
            breaks = tuple(self._breaks(question, look))
        except Unreadable as error:
            breaks = (Break(reason="contract_unreadable", message=str(error)),)
        return _verdict(question, look, breaks)

    def _interface(self, url: str, question: Question) -> Interface:
        return interface(self._inference.metadata(url, question.protocol_model))

    def _clients(self, question: Question, look: _Look) -> _Look:
        path = f"models/{question.subject.model}/clients.yaml"
        raw = self._repository.read_bytes(path, question.subject.commit)
        if raw is None:
            return look
        digest = hashlib.sha256(raw).hexdigest()
        try:
            return replace(look, clients=read_clients(raw.decode()), contract_sha256=digest)
        except UnicodeDecodeError:
            raise Unreadable("clients.yaml is not UTF-8 text") from None

    def _breaks(self, question: Question, look: _Look) -> Iterator[Break]:
        if self._settings.clients_required and not look.clients:
            path = f"models/{question.subject.model}/clients.yaml"
            message = f"{path} is missing, so nobody knows who calls the model"
            yield Break(reason="clients_missing", message=message)
        folder = self._artifacts.fetch(question.candidate.uri)
        config = _config(folder, question.protocol_model)
        served = _optional(look.served, config)
        yield from _of_tensors(look.before, served, look.clients)
        if config is not None:
            yield from self._triton(question, look, config)
        if self._settings.embeddings:
            yield from _embeddings(folder, self._settings, question.now)

    def _triton(self, question: Question, look: _Look, config: Config) -> Iterator[Break]:
        stable, before = question.stable, None
        if stable is not None:
            before = _config(self._artifacts.fetch(stable.uri), question.protocol_model)
            ends = last_part(question.candidate.uri), last_part(stable.uri)
            if ends[0] != ends[1]:
                message = (
                    f"the URI ends in {ends[0]!r}, the stable's in {ends[1]!r}: Triton's name in every call"
                )
                everybody = tuple(client.name for client in look.clients)
                yield Break(reason="path_changed", message=message, clients=everybody)
        yield from of_configs(before, config, look.served, look.clients)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was read of both versions and of their clients."""

    served: Interface
    before: Interface | None
    clients: tuple[Client, ...] = ()
    contract_sha256: str = field(default="")


def _config(folder: Path, model: str) -> Config | None:
    """The model's config: at the artifact's top, or in the folder that bears the model's name."""
    for place in (folder / CONFIG, folder / model / CONFIG):
        if place.is_file():
            try:
                return read_config(place.read_text("utf-8"))
            except UnicodeDecodeError:
                raise Unreadable(f"{CONFIG} is not UTF-8 text") from None
    return None


def _optional(served: Interface, config: Config | None) -> Interface:
    """The metadata do not say which inputs may be left out; the config does."""
    said = config.inputs if config else {}
    inputs = {
        name: replace(tensor, optional=name in said and said[name].optional)
        for name, tensor in served.inputs.items()
    }
    return replace(served, inputs=inputs)


def _of_tensors(before: Interface | None, served: Interface, clients: Sequence[Client]) -> Iterator[Break]:
    """What the stable's callers lose, then what recorded clients miss besides."""
    lost = tuple(against_stable(before, served, clients)) if before else ()
    told = {(one.reason, one.tensor) for one in lost}
    yield from lost
    yield from (one for one in against_clients(served, clients) if (one.reason, one.tensor) not in told)


def _embeddings(folder: Path, settings: CompatibilitySettings, now: datetime) -> Iterator[Break]:
    path = settings.embeddings
    if not (folder / path).is_file():
        yield Break(reason="embeddings_missing", message=f"the artifact holds no {path}")
        return
    try:
        made = datetime.fromisoformat((folder / f"{path}.made").read_text("utf-8").strip())
        hours = (now - made).total_seconds() / 3600
    except (OSError, ValueError, TypeError) as error:
        message = f"{path}.made does not say when {path} was made: {type(error).__name__}: {error}"
        yield Break(reason="embeddings_undated", message=message)
        return
    if hours < -1:
        yield Break(reason="embeddings_undated", message=f"{path} would be made {-hours:.1f} h from now")
    elif hours > settings.embeddings_maximum_age_hours:
        limit = settings.embeddings_maximum_age_hours
        yield Break(
            reason="embeddings_too_old",
            message=f"{path} is {hours:.1f} h old, at most {limit:g} h are allowed",
        )


def _unknown(question: Question, reason: str, sentence: str) -> Verdict:
    return Verdict(
        gate=Compatibility.name,
        subject=question.subject,
        status=Status.UNKNOWN,
        reason=reason,
        sentence=f"{sentence}.",
        at=question.now,
    )


def _verdict(question: Question, look: _Look, breaks: Sequence[Break]) -> Verdict:
    affected = sorted({client for one in breaks for client in one.clients})
    measurements = (
        Measurement(name="breaks", value=len(breaks), threshold=0.0),
        Measurement(name="clients", value=len(look.clients)),
        Measurement(name="clients_affected", value=len(affected), threshold=0.0),
    )
    facts = {
        "candidate": _shown(look.served),
        "stable": _shown(look.before) if look.before else None,
        "contract_sha256": look.contract_sha256,
        "breaks": [
            {"reason": one.reason, "message": one.message, "tensor": one.tensor, "clients": list(one.clients)}
            for one in breaks
        ],
    }
    return Verdict(
        gate=Compatibility.name,
        subject=question.subject,
        status=Status.FAIL if breaks else Status.PASS,
        reason=breaks[0].reason if breaks else "compatible",
        sentence=_sentence(look, breaks),
        at=question.now,
        evidence=Evidence(measurements=measurements, facts=facts),
    )


def _sentence(look: _Look, breaks: Sequence[Break]) -> str:
    if not breaks:
        sides = f"{len(look.served.inputs)} inputs and {len(look.served.outputs)} outputs"
        whom = "what the stable version has" if look.before else "no stable version yet"
        return f"{sides} fit {whom} and {len(look.clients)} recorded clients."
    more = f"; and {len(breaks) - 1} more" if len(breaks) > 1 else ""
    return f"{breaks[0]}{more}."


def _shown(one: Interface) -> dict[str, Scalar | dict[str, str]]:
    inputs = {name: str(tensor) for name, tensor in one.inputs.items()}
    return {
        "name": one.name,
        "inputs": inputs,
        "outputs": {name: str(tensor) for name, tensor in one.outputs.items()},
    }
