"""clients.yaml as people write it: every problem with its line, and nothing that the gate would refuse."""

from __future__ import annotations

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gates.compatibility import tensors
from gates.compatibility.clients import read_clients
from gates.compatibility.tensors import Unreadable
from pipelines.spec.clients import DATATYPES, clients_problems
from pipelines.spec.schema import schemas

FILE = "models/fraud-scorer/clients.yaml"
GOOD = """\
# yaml-language-server: $schema=../../schemas/clients.json
clients:
  checkout:
    inputs:
      input-0: {datatype: FP64, shape: [-1, 12]}
    outputs:
      score: {datatype: FP64, shape: [-1]}
    max_batch: 64
  "back office":
    inputs: {input-0: {datatype: FP64, shape: [1, 12]}}
    outputs: {score: {datatype: FP64, shape: []}}
"""


def told(text: str) -> list[str]:
    return [str(problem) for problem in clients_problems(text, FILE)]


def test_a_good_contract_has_no_problem() -> None:
    """And the gate reads the same file."""
    assert told(GOOD) == []
    assert [client.name for client in read_clients(GOOD)] == ["checkout", "back office"]


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "words"),
    [
        ("max_batch", "max_bach", 8, "clients.checkout.max_bach", "did you mean `max_batch`?"),
        ("    outputs:\n      score", "    outputts:\n      score", 6, "outputts", "did you mean `outputs`?"),
        ("datatype: FP64, shape: [-1, 12]", "datatyp: FP64, shape: [-1, 12]", 5, "datatyp", "did you mean"),
        ("FP64, shape: [-1, 12]", "FP65, shape: [-1, 12]", 5, "input-0.datatype", "did you mean `FP64`?"),
        ("[-1, 12]", "[-2, 12]", 5, "input-0.shape[0]", "must be at least -1; got -2"),
        ("[-1, 12]", "12", 5, "input-0.shape", "must be a list"),
        ("64\n", '"64"\n', 8, "max_batch", "write it without quotes: 64"),
        ("64\n", "0\n", 8, "max_batch", "must be at least 1"),
        ("clients:", "client:", 2, "client", "did you mean `clients`?"),
        ("max_batch: 64", "max_batch: 64\n    max_batch: 65", 9, "max_batch", "twice"),
        ("      input-0: {datatype: FP64, shape: [-1, 12]}", "      {}", 4, "inputs", "at least"),
        ("[-1, 12]", "[-1, 1_2]", 5, "", ""),
        ('"back office"', "back office", 9, "", "write it in quotes"),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_named_with_its_place(
    old: str, new: str, line: int, path: str, words: str
) -> None:
    """File, line and key path, and what was meant where it is nearly right; the gate refuses it too."""
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    problems = clients_problems(text, FILE)
    found = [one for one in problems if one.line == line and path in one.path and words in str(one)]
    assert found, [str(one) for one in problems]
    assert all(problem.file == FILE for problem in problems)
    with pytest.raises(Unreadable):
        read_clients(text)


def test_every_problem_is_told_at_once() -> None:
    """Not one per run."""
    text = GOOD.replace("max_batch", "max_bach").replace("FP64", "FP65")
    assert len(told(text)) == 5


@pytest.mark.parametrize("text", ["", "clients: {}\n", "- 1\n", "clients: [", "clients: {a: null}\n"])
def test_what_is_no_contract_is_refused(text: str) -> None:
    """Nobody who calls is not the same as nobody who wrote it down."""
    assert told(text)


def test_the_words_of_the_gate_are_the_words_of_the_file() -> None:
    """There is one list of element types."""
    assert set(DATATYPES) == tensors.DATATYPES


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["FP64", "INT8", "x", "", "no"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["clients", "a", "inputs", "outputs", "max_batch", "datatype", "shape"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
TENSORS = st.dictionaries(
    st.sampled_from(["x", "y"]),
    st.fixed_dictionaries(
        {"datatype": st.sampled_from(DATATYPES) | VALUES, "shape": st.lists(st.integers(-2, 3))}
    ),
    max_size=2,
)
NEARLY = st.fixed_dictionaries(
    {
        "clients": st.dictionaries(
            st.sampled_from(["a", "b"]),
            st.fixed_dictionaries({"inputs": TENSORS, "outputs": TENSORS}, optional={"max_batch": VALUES}),
            max_size=2,
        )
    }
)


@given(NEARLY | VALUES)
def test_nothing_passes_that_the_gate_would_refuse(value: object) -> None:
    """Whatever is written: without a problem here, the gate can read it."""
    text = yaml.safe_dump(value)
    if not told(text):
        assert read_clients(text)


def test_editors_have_a_schema() -> None:
    """It takes what the reader takes, and sees plain mistakes while people type."""
    rules = jsonschema.Draft202012Validator(schemas()["clients"])
    good = yaml.safe_load(GOOD)
    assert not list(rules.iter_errors(good))
    good["clients"]["checkout"]["inputs"]["input-0"]["datatype"] = "FP65"
    good["clients"]["back office"]["max_bach"] = 1
    assert len(list(rules.iter_errors(good))) == 2
