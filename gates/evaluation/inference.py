"""What the gate needs of whoever can ask a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Inference(Protocol):
    """Asks a model over the Open Inference Protocol (V2)."""

    def infer(
        self, url: str, model: str, rows: Sequence[Sequence[float]], *, columns: Sequence[str]
    ) -> list[float]:
        """One score per row, in order; raises when any row has none."""
        ...
