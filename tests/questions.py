"""A question to a gate of the preview phase, and a repository to read pinned files from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gates.contract import Arm, Objectives, Question, Subject

NOW = datetime(2026, 3, 14, 9, 12, tzinfo=UTC)
COMMIT = "b" * 40
DIGEST = "sha256:" + "c" * 64


def arm(name: Any, version: str, url: str = "") -> Arm:
    """One of the two versions."""
    return Arm(name=name, version=version, uri=f"s3://models/fraud/{version}", digest=DIGEST, url=url)


def question(*, digest: str = DIGEST, **changes: Any) -> Question:
    """A question about v2 in prod, with v1 serving; anything can be changed."""
    asked = Question(
        subject=Subject(
            model="fraud-scorer", environment="prod", digest=digest, commit=COMMIT, stage="judge"
        ),
        now=NOW,
        since=NOW,
        share_percent=0,
        tenant="risk",
        namespace="risk-preview",
        service="fraud-scorer",
        protocol_model="fraud-scorer",
        candidate=arm("candidate", "v2"),
        stable=arm("stable", "v1"),
        objectives=Objectives(
            latency_threshold_ms=50.0,
            latency_budget_percent=1.0,
            error_budget_percent=1.0,
            peak_rps=60.0,
        ),
        files={},
    )
    return replace(asked, **changes)


class Folder:
    """Files of one commit, read from a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """Bytes of a file at the only commit there is."""
        file = self._root / path
        return file.read_bytes() if at == COMMIT and file.exists() else None
