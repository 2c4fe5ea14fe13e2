"""Questions and answers, read strictly: our own JSON Lines, lm-eval's samples, MLflow's table.

What a model wrote is text here and nothing else. Importing results needs neither lm-eval nor MLflow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from gates.evaluation.answers.settings import AnswersSettings

LONGEST_LINE_BYTES = 4 << 20
"""A longer line is refused: one question with all its context fits in far less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question."""

    id: str
    question: str
    reference: str
    words: Mapping[str, str]
    """Its other keys, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One model's answer to one question."""

    id: str
    answer: str
    recorded: Mapping[str, float] = field(default_factory=dict)
    """Scores that stand with it, by name."""


def read_questions(file: BinaryIO, maximum: int) -> list[Asked]:
    """The questions.

    Raises:
        ValueError: a line is not what it should be; names it.
    """
    found = []
    for number, one in _lines(file, maximum):
        words = {key: _text(value, number, key) for key, value in one.items()}
        found.append(
            Asked(
                id=_id(one, "id", number),
                question=words.pop("question", ""),
                reference=words.pop("reference", ""),
                words=words,
            )
        )
    return found


def read_answers(file: BinaryIO, settings: AnswersSettings) -> list[Answered]:
    """One model's answers, in the format of the settings.

    Raises:
        ValueError: something is not what it should be; names the place.
    """
    if settings.format == "mlflow":
        return list(_mlflow(file, settings))
    if settings.format == "lm_eval":
        return list(_lm_eval(file, settings))
    return [
        Answered(
            id=_id(one, "id", number),
            answer=_said(one, "answer", number),
            recorded=_numbers({key: value for key, value in one.items() if key not in ("id", "answer")}),
        )
        for number, one in _lines(file, settings.maximum_rows)
    ]


def _lm_eval(file: BinaryIO, settings: AnswersSettings) -> Iterator[Answered]:
    """A line per question and filter: ``doc_id``, ``filtered_resps``, and a key for each of ``metrics``."""
    filters: set[str] = set()
    # Every filter has a line for every question.
    for number, one in _lines(file, settings.maximum_rows * 10):
        name = _text(one.get("filter", ""), number, "filter")
        filters.add(name)
        if settings.lm_eval_filter and name != settings.lm_eval_filter:
            continue
        if len(filters) > 1 and not settings.lm_eval_filter:
            raise ValueError(f"it has the filters {', '.join(sorted(filters))}; name one in lm_eval_filter")
        metrics = one.get("metrics")
        recorded = one if metrics is None else {key: one.get(str(key)) for key in _list(metrics, number)}
        yield Answered(
            id=_id(one, "doc_id", number),
            answer=_response(one.get("filtered_resps"), number),
            recorded=_numbers({str(key): value for key, value in recorded.items() if key != "doc_id"}),
        )
    if settings.lm_eval_filter and settings.lm_eval_filter not in filters:
        raise ValueError(f"it has no filter {settings.lm_eval_filter!r}, only {', '.join(sorted(filters))}")


def _response(found: object, number: int) -> str:
    """The answer among lm-eval's filtered responses; "" where they are likelihoods."""
    while isinstance(found, list) and found:
        found = found[0]
    if found is None or found == []:
        raise ValueError(f"line {number} has no filtered_resps")
    return found if isinstance(found, str) else ""


def _mlflow(file: BinaryIO, settings: AnswersSettings) -> Iterator[Answered]:
    """``columns`` and ``data``; a metric's column ends in ``/score`` or ``/value``."""
    table = _json(file.read(), "the file")
    columns, data = (table.get(key) if isinstance(table, dict) else None for key in ("columns", "data"))
    if not isinstance(columns, list) or not isinstance(data, list):
        raise ValueError("it is no table of columns and data")
    names = [str(column) for column in columns]
    for wanted in (settings.mlflow_id, settings.mlflow_answer):
        if names.count(wanted) != 1:
            raise ValueError(f"it has {names.count(wanted)} columns {wanted!r}, of {', '.join(names)}")
    if len(data) > settings.maximum_rows:
        raise ValueError(f"it has more than {settings.maximum_rows} rows")
    for number, row in enumerate(data, start=1):
        if not isinstance(row, list) or len(row) != len(names):
            raise ValueError(f"row {number} does not have {len(names)} cells")
        one: dict[str, object] = dict(zip(names, row, strict=True))
        metrics = {
            name.removesuffix("/score").removesuffix("/value"): value
            for name, value in one.items()
            if name.endswith(("/score", "/value"))
        }
        yield Answered(
            id=_id(one, settings.mlflow_id, number),
            answer=_said(one, settings.mlflow_answer, number),
            recorded=_numbers(metrics),
        )


# ----------------------------------------------------------------------- strict JSON


def _lines(file: BinaryIO, maximum: int) -> Iterator[tuple[int, dict[str, object]]]:
    number = 0
    while line := file.readline(LONGEST_LINE_BYTES + 1):
        number += 1
        if len(line) > LONGEST_LINE_BYTES:
            raise ValueError(f"line {number} is longer than {LONGEST_LINE_BYTES} bytes")
        if number > maximum:
            raise ValueError(f"it has more than {maximum} lines")
        one = _json(line, f"line {number}")
        if not isinstance(one, dict):
            raise ValueError(f"line {number} is no object")
        yield number, one
    if not number:
        raise ValueError("it is empty")


def _json(content: bytes, where: str) -> object:
    try:
        found: object = json.loads(
            content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is no JSON that can be used: {error}") from None
    return found


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _id(one: Mapping[str, object], key: str, number: int) -> str:
    found = one.get(key)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise ValueError(f"line {number} has no {key}, or one that is neither text nor a whole number")
    return str(found)


def _said(one: Mapping[str, object], key: str, number: int) -> str:
    found = one.get(key)
    if not isinstance(found, str):
        raise ValueError(f"line {number} has no {key} in words")
    return found


def _text(value: object, number: int, key: str) -> str:
    if isinstance(value, dict | list) or value is None:
        raise ValueError(f"line {number} has a {key} that is neither words nor a number")
    return value if isinstance(value, str) else json.dumps(value)


def _list(value: object, number: int) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"line {number} has metrics that are no list")
    return value


def _numbers(found: Mapping[str, object]) -> dict[str, float]:
    """What among these is a finite number; truth values count 0 and 1."""
    return {
        key: float(value)
        for key, value in found.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
