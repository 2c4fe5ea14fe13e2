"""Each verdict as an in-toto statement (https://in-toto.io/Statement/v1): subject, policy, materials. Pure.

They follow from the journal and the two files people wrote, byte for byte, so whoever has the bundle can make
them again. Where no key is configured to sign them (``signing``), the journal's chain and the bundle's sha256
alone vouch for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gates.contract import Verdict
from pipelines.journal.lines import verdict_to_data
from pipelines.journal.state import State

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:lockgate:verdict:v1"


def statements(state: State, base: Mapping[str, str]) -> str:
    """One statement per line for the latest verdict of every gate, oldest first.

    Args:
        state: the fold of the journal.
        base: platform.yaml and release.yaml as they were read when the promotion started: path -> text.
    """
    verdicts = sorted(state.verdicts.items(), key=lambda one: (one[1].at, one[0]))
    return "".join(_line(_statement(state, stage, verdict, base)) for (stage, _), verdict in verdicts)


def _line(statement: Mapping[str, Any]) -> str:
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), default=str) + "\n"


def _statement(state: State, stage: str, verdict: Verdict, base: Mapping[str, str]) -> dict[str, Any]:
    planned = next((one for one in state.plan.stages if one.name == stage), None)
    return {
        "_type": STATEMENT,
        "subject": _subject(state, verdict),
        "predicateType": PREDICATE,
        "predicate": {
            "promotion": state.promotion,
            "environment": verdict.subject.environment,
            "stage": stage,
            "gate": planned.named(verdict.gate) if planned else verdict.gate,
            "status": verdict.status.name,
            "reason": verdict.reason,
            "sentence": verdict.sentence,
            "timeVerified": verdict.at.isoformat(),
            "policy": {"name": f"tiers.{state.plan.tier}", **_file("platform.yaml", base)},
            "materials": [_file(path, base) for path in sorted(base)],
            "verdict": {"digest": {"sha256": _sha256(_line(verdict_to_data(verdict)))}},
        },
    }


def _subject(state: State, verdict: Verdict) -> list[dict[str, Any]]:
    """What was judged: the artifact, and the commit with its manifests once there is one."""
    about = verdict.subject
    named = state.started.candidate if about.digest == state.started.candidate["digest"] else {}
    artifact = {
        "name": named.get("uri") or about.model,
        "digest": {"sha256": about.digest.removeprefix("sha256:")},
    }
    commit = {"name": f"clusters/{about.environment}", "digest": {"gitCommit": about.commit}}
    return [artifact, commit] if about.commit else [artifact]


def _file(path: str, base: Mapping[str, str]) -> dict[str, Any]:
    return {"uri": f"base/{path}", "digest": {"sha256": _sha256(base.get(path, ""))}}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
