"""In-toto statements of verdicts: what each says, and that none can be changed unseen.

Covered: form, subject, policy, materials, roles, every planted forgery. Left out: the bundle around them
(test_evidence).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from gates.contract import Status
from pipelines.evidence import archive, pack, verify
from pipelines.journal.lines import verdict_to_data
from tests import plans
from tests.examples import V2
from tests.pipelines.test_evidence import EVENTS, contents, journal, material

JUDGED = [
    plans.judged("policy", "judge", Status.PASS, digest=V2.digest),
    plans.judged("evaluation", "judge", Status.UNKNOWN, digest=V2.digest),
    plans.judged("evaluation", "judge", Status.PASS, digest=V2.digest),
]
MATERIAL = material(journal=journal(EVENTS[0], *JUDGED, *EVENTS[1:]))
PACKED = pack(MATERIAL)


def statements() -> list[dict[str, Any]]:
    """The statements of the bundle."""
    return [json.loads(line) for line in contents(PACKED)["statements.jsonl"].decode().splitlines()]


def test_every_gates_latest_verdict_has_one() -> None:
    """In the form of in-toto's statement, version 1."""
    assert verify(PACKED).broken == ""
    assert [("evaluation", "PASS"), ("policy", "PASS")] == [
        (one["predicate"]["gate"], one["predicate"]["status"]) for one in statements()
    ]
    for one in statements():
        assert {"_type", "subject", "predicateType", "predicate"} == one.keys()
        assert "https://in-toto.io/Statement/v1" == one["_type"]


def test_the_subject_is_the_artifact_and_the_commit() -> None:
    """Each by the digest that was judged."""
    artifact, commit = statements()[0]["subject"]

    assert {"name": V2.uri, "digest": {"sha256": V2.digest.removeprefix("sha256:")}} == artifact
    assert {"name": "clusters/prod", "digest": {"gitCommit": plans.HEAD}} == commit


def test_policy_and_materials_are_files_of_the_bundle() -> None:
    """An auditor finds each by its digest, beside the statement."""
    predicate = statements()[0]["predicate"]

    assert "tiers.regulated" == predicate["policy"]["name"]
    for one in (predicate["policy"], *predicate["materials"]):
        assert hashlib.sha256(contents(PACKED)[one["uri"]]).hexdigest() == one["digest"]["sha256"]


def test_the_verdict_is_bound_by_its_digest() -> None:
    """Evidence and all: it is the digest of its one line of JSON."""
    given = plans.verdict("policy", "judge", Status.PASS, digest=V2.digest)
    line = json.dumps(verdict_to_data(given), sort_keys=True, separators=(",", ":"), default=str) + "\n"

    assert (
        hashlib.sha256(line.encode()).hexdigest()
        == statements()[1]["predicate"]["verdict"]["digest"]["sha256"]
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("statements.jsonl", lambda text: text.replace('"PASS"', '"FAIL"')),
        ("statements.jsonl", lambda text: text.replace(V2.uri, "s3://models/other")),
        ("statements.jsonl", lambda text: ""),
        ("base/platform.yaml", lambda text: text + "# softer\n"),
        ("base/models/fraud-scorer/release.yaml", lambda text: text + "# softer\n"),
    ],
)
def test_what_was_changed_no_longer_follows(name: str, change: Callable[[str], str]) -> None:
    """Even with all sums made anew; also the files that people wrote are bound."""
    files = contents(PACKED)
    del files["SHA256SUMS"]
    before = files[name]
    files[name] = change(before.decode()).encode()
    assert before != files[name]

    assert "statements.jsonl does not say what the journal says" == verify(archive.wrap(files)).broken
