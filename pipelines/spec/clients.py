"""What callers write down of a model, models/<model>/clients.yaml, for people who write it and their editors.

The gate ``compatibility`` reads the file of the commit under judgement by itself; what it would refuse is
refused here, with its place in the file.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Len
from pydantic import Field, ValidationError

from gates.policy import NotPlain, read
from pipelines.errors import Problem
from pipelines.spec.explain import explain
from pipelines.spec.shapes import Line
from pipelines.spec.types import Frozen
from pipelines.spec.yaml import load

CLIENTS_FILE = re.compile("models/([^/]+)/clients[.]yaml")
Datatype = Literal[
    "BOOL",
    "BYTES",
    "BF16",
    "FP16",
    "FP32",
    "FP64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
]
"""Element types of the Open Inference Protocol (V2), and Triton's BF16."""
DATATYPES: tuple[str, ...] = get_args(Datatype)


class Tensor(Frozen):
    """One input or output as a caller uses it."""

    datatype: Datatype
    shape: tuple[Annotated[int, Ge(-1)], ...] = Field(strict=False)
    """Lengths of its dimensions, the batch's first; -1 is any length."""


class Client(Frozen):
    """One caller of the model."""

    inputs: Annotated[dict[Line, Tensor], Len(1)]
    """What it sends."""
    outputs: Annotated[dict[Line, Tensor], Len(1)]
    """What it reads."""
    max_batch: Annotated[int, Ge(1)] = 1
    """Rows of its largest request."""


class Clients(Frozen):
    """models/<model>/clients.yaml: who calls the model, and what would stop them."""

    clients: Annotated[dict[Line, Client], Len(1)]
    """Caller -> the tensors it relies on."""


def clients_problems(text: str, file: str) -> list[Problem]:
    """Everything that is wrong with a clients.yaml."""
    document = load(text, file)
    if not document.is_spoiled(()):
        try:
            Clients.model_validate(document.value)
        except ValidationError as error:
            document.problems.extend(explain(error, Clients, document))
    if not document.problems:
        try:
            read(text)
        except NotPlain as error:  # the gate's YAML is stricter in places, such as words with spaces
            hint = "write it in quotes" if "without quotes" in str(error) else ""
            document.problems.append(Problem(file, error.line, "", str(error), hint))
    return document.problems
