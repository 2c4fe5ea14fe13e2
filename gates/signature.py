"""Is the artifact the one that was named?"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Artifacts(Protocol):
    """Where artifacts are read from."""

    def fetch(self, uri: str) -> Path:
        """A local folder or file holding the artifact's bytes, read afresh."""
        ...
