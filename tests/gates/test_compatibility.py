"""Compatibility: what callers of the stable version and recorded clients can no longer do.

Metadata come over HTTP from two servers, the configs from artifacts on disk, the contract from a commit.
Covered: every refusal planted once with its reason and the clients it names, what may change, the parser and
the contract as languages. Left out: the client's transport errors (test_inference).
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from gates.compatibility import Compatibility, CompatibilitySettings
from gates.compatibility.clients import read_clients
from gates.compatibility.judging import against_stable
from gates.compatibility.pbtxt import read_config
from gates.compatibility.tensors import DATATYPES, Interface, Tensor, Unreadable, fits, interface
from gates.contract import Gate, Status, Verdict
from pipelines.clients.inference import V2Inference
from pipelines.errors import Unreachable
from tests.gates.test_signature import OnDisk
from tests.questions import NOW, Folder, arm, question

METADATA: dict[str, Any] = {
    "name": "fraud-scorer",
    "platform": "onnx",
    "inputs": [
        {"name": "amount", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "country", "datatype": "BYTES", "shape": [-1, 1]},
    ],
    "outputs": [
        {"name": "score", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "reasons", "datatype": "INT64", "shape": [-1, -1]},
    ],
}
CONFIG = """
# What Triton is told.
name: "fraud-scorer"
platform: 'onnxruntime_onnx'
max_batch_size: 64
input [
  { name: "amount", data_type: TYPE_FP32, dims: [ 3 ] },
  { name: "country" data_type: TYPE_STRING dims: [ 1 ] }
]
output { name: "score" data_type: TYPE_FP32 dims: 1 }
output < name: "reasons"; data_type: TYPE_INT64; dims: -1 >
dynamic_batching { preferred_batch_size: [ 8, 16 ] max_queue_delay_microseconds: 100 }
parameters [ { key: "note" value: { string_value: "a" "b \\" } { " } } ]
"""
CLIENTS = """
clients:
  checkout:
    inputs:
      amount: {datatype: FP32, shape: [-1, 3]}
      country: {datatype: BYTES, shape: [-1, 1]}
    outputs:
      score: {datatype: FP32, shape: [-1, 1]}
    max_batch: 32
  batch-report:
    inputs:
      amount: {datatype: FP32, shape: [-1, 3]}
      country: {datatype: BYTES, shape: [-1, 1]}
    outputs:
      reasons: {datatype: INT64, shape: [-1, -1]}
"""


class World:
    """Two servers, two artifacts and one commit; a test changes what it likes, then asks."""

    def __init__(self, server: HTTPServer, folder: Path) -> None:
        self.server = server
        self.stable: Any = copy.deepcopy(METADATA)
        self.candidate: Any = copy.deepcopy(METADATA)
        self.repository = folder / "commit"
        self.homes = {arm: folder / arm / "fraud-scorer" for arm in ("stable", "candidate")}
        for home in self.homes.values():
            home.mkdir(parents=True)
        (self.repository / "models" / "fraud-scorer").mkdir(parents=True)
        self.write_clients(CLIENTS)

    def write_clients(self, text: str) -> None:
        """What the commit's clients.yaml says."""
        (self.repository / "models" / "fraud-scorer" / "clients.yaml").write_text(text)

    def write_configs(self, stable: str, candidate: str) -> None:
        """What the artifacts' config.pbtxt say."""
        (self.homes["stable"] / "config.pbtxt").write_text(stable)
        (self.homes["candidate"] / "config.pbtxt").write_text(candidate)

    def judge(self, *, first: bool = False, **settings: Any) -> Verdict:
        """Ask the gate."""
        arms: dict[str, Any] = {}
        for name in ("stable", "candidate"):
            self.server.expect_request(f"/{name}/v2/models/fraud-scorer", method="GET").respond_with_json(
                getattr(self, name)
            )
            made = arm(name, "v2", self.server.url_for(f"/{name}"))
            arms[name] = replace(made, uri=self.homes[name].as_uri())
        gate = Compatibility(
            CompatibilitySettings(**settings),
            inference=V2Inference(5.0),
            artifacts=OnDisk(),
            repository=Folder(self.repository),
        )
        assert isinstance(gate, Gate)
        return gate.judge(question(candidate=arms["candidate"], stable=None if first else arms["stable"]))


@pytest.fixture
def world(httpserver: HTTPServer, tmp_path: Path) -> World:
    return World(httpserver, tmp_path)


def fails(verdict: Verdict, reason: str) -> str:
    """It fails for this reason; its sentence."""
    assert (Status.FAIL, reason) == (verdict.status, verdict.reason), verdict.sentence
    return verdict.sentence


def test_a_version_with_the_same_interface_passes(world: World) -> None:
    """The evidence holds both interfaces and the digest of the contract."""
    world.write_configs(CONFIG, CONFIG)
    verdict = world.judge()

    assert (Status.PASS, "compatible") == (verdict.status, verdict.reason), verdict.sentence
    assert (
        "2 inputs and 2 outputs fit what the stable version has and 2 recorded clients." == verdict.sentence
    )
    assert "FP32 [-1, 3]" == verdict.evidence.facts["candidate"]["inputs"]["amount"]  # type: ignore[index]
    assert 64 == len(str(verdict.evidence.facts["contract_sha256"]))
    assert json.dumps(dict(verdict.evidence.facts))


def test_the_first_version_is_held_against_the_clients_alone(world: World) -> None:
    """There is nothing to compare with, and clients may be waiting for it."""
    assert "no stable version yet" in world.judge(first=True).sentence

    del world.candidate["outputs"][1]
    world.server.clear()
    sentence = fails(world.judge(first=True), "tensor_removed")
    assert (
        "the output reasons is gone; that of batch-report is INT64 [-1, -1]; affected: batch-report"
        in sentence
    )


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        (
            lambda m: m["outputs"].pop(0),
            "tensor_removed",
            "the output score is gone; the stable's is FP32 [-1, 1]; affected: checkout",
        ),
        (lambda m: m["inputs"].pop(1), "tensor_removed", "affected: checkout, batch-report"),
        (
            lambda m: m["outputs"][0].update(datatype="FP64"),
            "tensor_retyped",
            "the output score is FP64 [-1, 1], the stable's FP32 [-1, 1]; affected: checkout",
        ),
        (
            lambda m: m["outputs"][1].update(datatype="INT32"),
            "tensor_retyped",
            "affected: batch-report",
        ),
        (
            lambda m: m["inputs"][0].update(shape=[-1, 4]),
            "tensor_reshaped",
            "the input amount is FP32 [-1, 4], the stable's FP32 [-1, 3]",
        ),
        (lambda m: m["inputs"][0].update(shape=[8, 3]), "tensor_reshaped", "FP32 [8, 3]"),
        (lambda m: m["outputs"][0].update(shape=[-1]), "tensor_reshaped", "FP32 [-1]"),
        (
            lambda m: m["inputs"].append({"name": "device", "datatype": "BYTES", "shape": [-1, 1]}),
            "input_added",
            "the input device is new, and nobody sends it; affected: checkout, batch-report",
        ),
        (lambda m: m.update(name="fraud-scorer-2"), "name_changed", "affected: checkout, batch-report"),
    ],
)
def test_what_breaks_callers_fails_and_names_them(
    world: World, change: Callable[[Any], object], reason: str, says: str
) -> None:
    """Each planted alone."""
    change(world.candidate)

    assert says in fails(world.judge(), reason)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["outputs"].append({"name": "model_age", "datatype": "FP32", "shape": [1]}),
        lambda m: m["inputs"][0].update(shape=[-1, -1]),
        lambda m: m["outputs"][1].update(shape=[-1, 5]),
        lambda m: m["inputs"].reverse(),
    ],
    ids=["more outputs", "wider input", "narrower output", "order"],
)
def test_what_breaks_nobody_passes(world: World, change: Callable[[Any], object]) -> None:
    """Callers may ignore what is more, send what they sent, and read what is given."""
    change(world.candidate)

    assert Status.PASS is world.judge().status


def test_a_break_without_recorded_clients_is_a_break(world: World) -> None:
    """Nobody wrote down who calls it; that does not make it safe."""
    (world.repository / "models" / "fraud-scorer" / "clients.yaml").unlink()
    del world.candidate["outputs"][0]

    assert "affected: no client that is recorded" in fails(world.judge(), "tensor_removed")


def test_a_tier_may_want_the_contract(world: World) -> None:
    """Its absence is named with its path."""
    (world.repository / "models" / "fraud-scorer" / "clients.yaml").unlink()

    assert "models/fraud-scorer/clients.yaml is missing" in fails(
        world.judge(clients_required=True), "clients_missing"
    )


def test_all_breaks_are_in_the_evidence_and_each_once(world: World) -> None:
    """The stable and two clients lose the same tensor: one break, two names."""
    world.candidate["inputs"][0]["datatype"] = "FP64"
    del world.candidate["outputs"][0]
    verdict = world.judge()
    breaks: Any = verdict.evidence.facts["breaks"]

    assert [("tensor_retyped", "amount"), ("tensor_removed", "score")] == [
        (one["reason"], one["tensor"]) for one in breaks
    ]
    assert 2 == verdict.evidence.measurements[2].value
    assert "; and 1 more." in verdict.sentence


# ------------------------------------------------------------------ what cannot be told


def test_without_addresses_nothing_can_be_told(world: World) -> None:
    """A tier without a preview environment has no server to ask."""
    gate = Compatibility(
        CompatibilitySettings(),
        inference=V2Inference(5.0),
        artifacts=OnDisk(),
        repository=Folder(world.repository),
    )
    nowhere = gate.judge(question(candidate=arm("candidate", "v2")))
    alone = gate.judge(question(candidate=arm("candidate", "v2", "http://c"), stable=arm("stable", "v1")))

    assert (Status.UNKNOWN, "no_candidate_address") == (nowhere.status, nowhere.reason)
    assert (Status.UNKNOWN, "no_stable_address") == (alone.status, alone.reason)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"name": 3},
        {"name": "m", "inputs": [], "outputs": []},
        {"name": "m", "inputs": [{"name": "x", "datatype": "FP12", "shape": [1]}]},
        {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": "1"}]},
        {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]},
        {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [True]}]},
        {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}] * 2},
    ],
)
def test_metadata_that_are_none_say_nothing(world: World, answer: Any) -> None:
    """A server that does not speak the protocol is not blamed, and does not pass."""
    world.candidate = answer
    verdict = world.judge()

    assert (Status.UNKNOWN, "metadata_unreadable") == (verdict.status, verdict.reason)


def test_an_outage_is_no_verdict(world: World) -> None:
    """It passes through, and counts as UNKNOWN."""
    world.server.expect_request("/candidate/v2/models/fraud-scorer").respond_with_data("", status=503)

    with pytest.raises(Unreachable):
        world.judge()


# ------------------------------------------------------------------ Triton


@pytest.mark.parametrize(
    ("old", "new", "reason", "says"),
    [
        (
            "max_batch_size: 64",
            "max_batch_size: 16",
            "batch_reduced",
            "is 16, the stable's 64', 'tensor': '', 'clients': ['checkout']",
        ),
        ('name: "reasons"', 'name: "why"', "config_disagrees", "only its server has the output reasons"),
        (
            "TYPE_INT64",
            "TYPE_INT32",
            "config_disagrees",
            "reasons is INT32 [-1, -1] in config.pbtxt and INT64",
        ),
        ('name: "fraud-scorer"', 'name: "other"', "config_disagrees", "names the model 'other'"),
        ("TYPE_INT64", "TYPE_WORD", "contract_unreadable", "has the type 'WORD'"),
        ("max_batch_size: 64", "max_batch_size: many", "contract_unreadable", "max_batch_size 'many'"),
        ("dynamic_batching {", "dynamic_batching ", "contract_unreadable", "config.pbtxt has"),
        ('name: "fraud-scorer"', 'name: "a" name: "b"', "contract_unreadable", "2 values for name"),
    ],
)
def test_a_config_that_takes_away_or_contradicts_fails(
    world: World, old: str, new: str, reason: str, says: str
) -> None:
    """Each planted alone in the candidate's config.pbtxt."""
    assert old in CONFIG
    world.write_configs(CONFIG, CONFIG.replace(old, new, 1))
    verdict = world.judge()

    fails(verdict, reason)
    assert says in str(verdict.evidence.facts["breaks"]).replace('"', "'").replace("\\'", "'")


def test_clients_that_send_more_rows_than_fit_are_named_without_a_stable(world: World) -> None:
    """The contract alone says how many rows come."""
    world.write_configs(CONFIG, CONFIG.replace("64", "16", 1))

    assert "clients send more rows; affected: checkout" in fails(world.judge(first=True), "batch_reduced")


def test_a_new_input_that_may_be_left_out_breaks_nobody(world: World) -> None:
    """Only the config says that it is optional."""
    world.candidate["inputs"].append({"name": "device", "datatype": "BYTES", "shape": [-1, 1]})
    more = '{ name: "device" data_type: TYPE_STRING dims: [ 1 ] optional: true },\n  { name: "amount"'
    world.write_configs(CONFIG, CONFIG.replace('{ name: "amount"', more))

    assert Status.PASS is world.judge().status


def test_a_triton_uri_ends_in_the_same_name(world: World) -> None:
    """It is the name in every call."""
    world.write_configs(CONFIG, CONFIG)
    world.homes["candidate"] = world.homes["candidate"].rename(world.homes["candidate"].parent / "fraud-2")

    assert "the URI ends in 'fraud-2', the stable's in 'fraud-scorer'" in fails(world.judge(), "path_changed")


def test_a_config_is_found_in_the_folder_of_the_models_name(world: World) -> None:
    """A whole model repository holds it one level below."""
    home = world.homes["candidate"] / "fraud-scorer"
    home.mkdir()
    (home / "config.pbtxt").write_text(CONFIG.replace("TYPE_INT64", "TYPE_INT32"))

    fails(world.judge(), "config_disagrees")


def test_the_parser_reads_every_form_of_the_text_format() -> None:
    """Lists and repeated fields, both brackets, separators, comments, quotes in quotes."""
    found = read_config(CONFIG)

    assert ("fraud-scorer", 64) == (found.name, found.max_batch_size)
    assert {"amount": "FP32 [-1, 3]", "country": "BYTES [-1, 1]"} == {
        n: str(t) for n, t in found.inputs.items()
    }
    assert {"score": "FP32 [-1, 1]", "reasons": "INT64 [-1, -1]"} == {
        n: str(t) for n, t in found.outputs.items()
    }
    whole = read_config('input { name: "x" data_type: TYPE_FP32 dims: [1, 3] }')
    assert ("", 0, "FP32 [1, 3]") == (whole.name, whole.max_batch_size, str(whole.inputs["x"]))


@pytest.mark.parametrize(
    "text",
    [
        "input {",
        "}",
        "name",
        "name: [",
        "name: [1 2]",
        '"name": 1',
        "name: \x00",
        "name: 'a",
        "a { " * 40,
        "x" * 2_000_000,
    ],
)
def test_what_is_no_text_format_is_refused(text: str) -> None:
    """Broken off, wrong, too deep, too large."""
    with pytest.raises(Unreadable, match=r"config\.pbtxt"):
        read_config(text)


@given(st.text(alphabet=st.sampled_from(list("name: input{}<>[]\"',;#1-\n")), max_size=60))
def test_the_parser_ends_whatever_it_is_given(text: str) -> None:
    """With a config or with the one error it has."""
    with contextlib.suppress(Unreadable):
        read_config(text)


# ------------------------------------------------------------------ the contract


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds 0 documents"),
        ("[]", "clients.yaml is []"),
        ("clients: {}", "holds no client"),
        ("clients: {a: {}}", "a: inputs names no tensor"),
        (CLIENTS + "\nowner: x\n", "unknown key 'owner'"),
        (CLIENTS.replace("max_batch: 32", "max_batch: 0"), "checkout: max_batch is 0"),
        (CLIENTS.replace("FP32", "FLOAT", 1), "checkout: inputs: amount has the type 'FLOAT'"),
        (CLIENTS.replace("[-1, 3]", "3", 1), "amount has the shape 3"),
        (CLIENTS.replace("batch-report", "checkout"), "line 10: has the key 'checkout' twice"),
        (CLIENTS.replace("FP32", "&a FP32", 1), "uses an anchor"),
    ],
)
def test_a_contract_that_cannot_be_read_fails_and_says_where(world: World, text: str, says: str) -> None:
    """It is in Git: somebody can put it right. Nothing is guessed."""
    with pytest.raises(Unreadable) as refused:
        read_clients(text)
    assert says in str(refused.value)

    world.write_clients(text)
    assert says in fails(world.judge(), "contract_unreadable")


def test_a_contract_that_is_no_text_is_refused(world: World) -> None:
    """Bytes that are not UTF-8."""
    (world.repository / "models" / "fraud-scorer" / "clients.yaml").write_bytes(b"\xff")

    fails(world.judge(), "contract_unreadable")


# ------------------------------------------------------------------ embeddings


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (NOW - timedelta(hours=23), ""),
        (NOW - timedelta(hours=25), "embeddings_too_old"),
        (NOW + timedelta(hours=2), "embeddings_undated"),
        ("yesterday", "embeddings_undated"),
        ("2026-03-14T09:00:00", "embeddings_undated"),
        (None, "embeddings_undated"),
    ],
)
def test_embeddings_are_there_and_young_enough(world: World, made: Any, reason: str) -> None:
    """The instant stands in a file that the digest covers; a time without its zone is none."""
    home = world.homes["candidate"]
    (home / "users.npy").write_bytes(b"")
    if made is not None:
        (home / "users.npy.made").write_text(f"{made if isinstance(made, str) else made.isoformat()}\n")
    verdict = world.judge(embeddings="users.npy", embeddings_maximum_age_hours=24.0)

    assert verdict.reason == (reason or "compatible"), verdict.sentence
    if reason == "embeddings_too_old":
        assert "users.npy is 25.0 h old, at most 24 h are allowed" in verdict.sentence


def test_missing_embeddings_fail(world: World) -> None:
    """The artifact does not hold what it cannot serve without."""
    assert "holds no users.npy" in fails(world.judge(embeddings="users.npy"), "embeddings_missing")


@pytest.mark.parametrize("path", ["/etc/passwd", "../users.npy"])
def test_embeddings_stay_inside_the_artifact(path: str) -> None:
    """No other file is looked at."""
    with pytest.raises(ValueError, match="no path inside the artifact"):
        CompatibilitySettings(embeddings=path)


# ------------------------------------------------------------------ laws

SHAPES = st.lists(st.integers(-1, 3), max_size=3).map(tuple)
TENSORS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.tuples(st.sampled_from(sorted(DATATYPES)[:3]), SHAPES), max_size=3
)


def made(inputs: Any, outputs: Any) -> Interface:
    """An interface from drawn tensors."""
    sides = [
        {n: Tensor(name=n, datatype=d, shape=s) for n, (d, s) in one.items()} for one in (inputs, outputs)
    ]
    return Interface(name="m", inputs=sides[0], outputs=sides[1])


@given(inputs=TENSORS, outputs=TENSORS)
def test_every_version_is_compatible_with_itself(inputs: Any, outputs: Any) -> None:
    """Whatever its tensors are."""
    one = made(inputs, outputs)

    assert [] == list(against_stable(one, one, ()))


@given(first=SHAPES, second=SHAPES, third=SHAPES)
def test_what_fits_into_what_fits_fits(first: Any, second: Any, third: Any) -> None:
    """Fitting is transitive: version after version, nobody is lost on the way."""
    if fits(first, second) and fits(second, third):
        assert fits(first, third)


@given(
    st.recursive(
        st.none() | st.text(max_size=5) | st.integers(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["name", "inputs", "outputs", "datatype", "shape"]), x)
        ),
    )
)
def test_metadata_are_read_or_refused_whatever_they_are(metadata: Any) -> None:
    """No other exception leaves."""
    with contextlib.suppress(Unreadable):
        interface(metadata)
