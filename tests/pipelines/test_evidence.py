"""Evidence: one file, always the same bytes, in which every flipped byte is found.

Covered: contents, determinism, any flipped or cut byte (property), every cross-check with a planted fault,
files that are no evidence at all. Left out: reading it from Git (test_cli_shared).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import JournalBroken
from pipelines.evidence import SUMS, Material, archive, pack, verify
from pipelines.journal import events as e
from pipelines.journal.lines import Line, decode, encode
from pipelines.ports import Commit
from pipelines.render import Serves, manifest_digest, render
from tests import examples, plans
from tests.examples import V1, V2
from tests.plans import PROMOTION, T0

SHAS = {share: f"{share + 1:040x}" for share in (0, 10, 100)}
BACK = "f" * 40
Files = Mapping[str, str]


def manifests(share: int, *, promotion: str = PROMOTION, first: bool = False) -> dict[str, str]:
    """What the environment serves at a share."""
    stable = None if first else V1
    serves = Serves(stable=stable, candidate=V2, share_percent=share, promotion=promotion)
    return render(examples.release(), "prod", examples.environment(), serves)


def correlation(digest: str, stable: str = V1.digest) -> str:
    """What binds the change to its content."""
    return hashlib.sha256("\n".join((V2.digest, stable, digest, "prod")).encode()).hexdigest()


def journal(*events: e.Event, first: bool = False) -> str:
    """A promotion's journal, events a second apart."""
    started = replace(
        plans.started(plans.canary(first=first)),
        candidate=V2.model_dump(),
        stable=None if first else V1.model_dump(),
    )
    text = ""
    lines: tuple[Line, ...] = ()
    for n, event in enumerate((started, *events)):
        text += encode(PROMOTION, lines, [event], at=T0 + timedelta(seconds=n), by="engine:h:1")
        lines = decode(PROMOTION, text)
    return text


def shifted(share: int, stage: str = "", sha: str = "") -> e.ShareCommitted:
    """A share's commit."""
    return e.ShareCommitted(stage=stage or f"shift-{share}", share_percent=share, commit=sha or SHAS[share])


COVERED = manifest_digest(manifests(100))
EVENTS: tuple[e.Event, ...] = (
    plans.PROPOSED,
    e.Merged(commit=SHAS[0], by="lockgate"),
    shifted(0),
    shifted(10),
    e.ChangeIntended(correlation_id=correlation(COVERED), manifest_digest=COVERED),
    e.ChangeOpened(correlation_id=correlation(COVERED), number="CHG0030001", url="http://d/1"),
    shifted(100),
    e.ChangeClosed(number="CHG0030001", code="successful"),
    e.Ended(outcome="promoted", sentence="v2 serves"),
)


def commits(*shas: str) -> list[Commit]:
    """These commits on main, with the trailers of the promotion."""
    trailers = {"Lockgate-Promotion": PROMOTION, "Lockgate-Stage": "shift"}
    return [Commit(sha=sha, at=T0, author="lockgate", subject="a share", trailers=trailers) for sha in shas]


def material(**changes: Any) -> Material:
    """A promotion that ended well, unless told otherwise."""
    facts: dict[str, Any] = {
        "promotion": PROMOTION,
        "journal": journal(*EVENTS),
        "commits": commits(*SHAS.values()),
        "base": {"platform.yaml": "tiers: {}\n", "models/fraud-scorer/release.yaml": "model: fraud-scorer\n"},
        "manifests": {sha: manifests(share) for share, sha in SHAS.items()},
        "report": "<!doctype html><title>é</title>",
        "card_markdown": "# A card\n",
        "card_html": "<!doctype html><title>A card</title>",
    }
    return Material(**{**facts, **changes})


GOOD = pack(material())


def contents(data: bytes = GOOD) -> dict[str, bytes]:
    """The files inside."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forged(change: Callable[[dict[str, bytes]], object]) -> bytes:
    """A file made again, sums and all, after its contents were changed: as a careful forger would."""
    files = contents()
    del files[SUMS]
    change(files)
    return archive.wrap(files)


def test_what_was_packed_holds() -> None:
    """Every check says what it looked at."""
    checked = verify(GOOD)

    assert checked.broken == ""
    assert checked.promotion == PROMOTION
    assert checked.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert checked.journal_head == json.loads(material().journal.splitlines()[-1])["hash"]
    assert checked.files == len(contents()) == 18
    words = "\n".join(checked.held)
    for phrase in (
        "the journal's 10 lines",
        "3 shares",
        "covers exactly the manifests of 100 %",
        "has ended",
    ):
        assert phrase in words


def test_the_same_material_makes_the_same_bytes() -> None:
    """Nothing of this machine or this moment is in it."""
    backwards = dict(reversed(list(material().manifests.items())))

    assert pack(material(manifests=backwards)) == GOOD


def test_an_auditor_can_check_the_sums_without_lockgate(tmp_path: Path) -> None:
    """SHA256SUMS is in the form that coreutils read."""
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", SUMS], cwd=tmp_path, capture_output=True, check=False, timeout=20
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b": OK") == len(contents()) - 1


@settings(max_examples=400, deadline=None)
@given(place=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_one_flipped_byte_anywhere_is_found(place: int, bit: int) -> None:
    """In a file, in a name, in a header, in the directory at the end: something no longer holds."""
    flipped = bytes([*GOOD[:place], GOOD[place] ^ (1 << bit), *GOOD[place + 1 :]])

    assert verify(flipped).broken


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, len(GOOD) - 1))
def test_a_cut_off_file_is_found(length: int) -> None:
    """A download that broke off is no evidence."""
    assert verify(GOOD[:length]).broken


@pytest.mark.parametrize("data", [b"", b"PK", b"\0" * 100, GOOD + b"\0", b"\0" + GOOD, b"<html>login</html>"])
def test_what_is_no_evidence_is_called_broken(data: bytes) -> None:
    """Whatever it is given, it answers and raises nothing."""
    assert verify(data).broken


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=400))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    """Nor does any noise."""
    assert verify(data).broken


def _journal_without_end(files: dict[str, bytes]) -> None:
    files["journal.jsonl"] = b"".join(files["journal.jsonl"].splitlines(keepends=True)[:-1])


def _altered_reason(files: dict[str, bytes]) -> None:
    files["journal.jsonl"] = files["journal.jsonl"].replace(b"better recall", b"bitter recall")


def _other_verdicts(files: dict[str, bytes]) -> None:
    files["verdicts.json"] = b"[]\n\n"


def _other_share(files: dict[str, bytes]) -> None:
    _swap(files, SHAS[10], manifests(25))


def _other_promotion(files: dict[str, bytes]) -> None:
    _swap(files, SHAS[10], manifests(10, promotion="fraud-scorer-prod-20200101T000000Z-0000"))


def _richer_manifest(files: dict[str, bytes]) -> None:
    path = next(path for path in files if path.startswith(f"manifests/{SHAS[100]}") and "inference" in path)
    files[path] = files[path].replace(b"maxReplicas: 8", b"maxReplicas: 80")


def _swap(files: dict[str, bytes], sha: str, to: Files) -> None:
    for path in [path for path in files if path.startswith(f"manifests/{sha}/")]:
        del files[path]
    files |= {f"manifests/{sha}/{path}": text.encode() for path, text in to.items()}


def _unreadable_record(files: dict[str, bytes]) -> None:
    path = next(path for path in files if path.startswith(f"manifests/{SHAS[10]}") and "record" in path)
    files[path] = b"data: 7\n"


def _no_trailers(files: dict[str, bytes]) -> None:
    files["commits.json"] = files["commits.json"].replace(PROMOTION.encode(), b"another")


def _commits(text: str) -> Callable[[dict[str, bytes]], None]:
    def write(files: dict[str, bytes]) -> None:
        files["commits.json"] = text.encode()

    return write


def _about(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    def write(files: dict[str, bytes]) -> None:
        files["promotion.json"] = json.dumps({**json.loads(files["promotion.json"]), **changes}).encode()

    return write


FORGERIES: list[tuple[str, Callable[[dict[str, bytes]], object], str]] = [
    ("the last journal line is gone", _journal_without_end, "promotion.json does not say what the journal"),
    ("a journal line was rewritten", _altered_reason, "journal.jsonl: journal: .*line 1: "),
    ("the verdicts are not the journal's", _other_verdicts, "verdicts.json does not say what"),
    ("a share's manifests are of another share", _other_share, "are of .* at 25 %, not of this promotion"),
    ("a share's manifests are another promotion's", _other_promotion, "are of fraud-scorer-prod-2020"),
    ("a share's manifests are gone", lambda files: _swap(files, SHAS[10], {}), "is missing, or holds no"),
    ("a record that cannot be read", _unreadable_record, f"manifests/{SHAS[10]}: "),
    ("100 % is not what was approved", _richer_manifest, "the approval covers manifests of"),
    ("a commit without trailers", _no_trailers, "does not bear this promotion's trailers"),
    ("no commits", _commits("[]"), "commits.json does not list"),
    ("commits that are none", _commits("[1]"), "commits.json is no list of commits"),
    ("commits that are no JSON", _commits("{"), "commits.json is not JSON"),
    ("a report that is missing", lambda files: files.pop("report.html"), "report.html is missing"),
    ("no platform.yaml", lambda files: files.pop("base/platform.yaml"), "base/platform.yaml is missing"),
    ("a file too many", lambda files: files.update({"notes.txt": b"!"}), "notes.txt does not belong"),
    ("another schema", _about(schema="lockgate.evidence/1"), "is not of schema"),
    ("another promotion", _about(promotion="other"), "journal.jsonl: journal: other, line 1"),
    ("no journal", lambda files: files.pop("journal.jsonl"), "journal.jsonl is missing"),
    ("an empty journal", lambda files: files.update({"journal.jsonl": b""}), "is not that of"),
    ("a journal that is no text", lambda files: files.update({"journal.jsonl": b"\xff\n"}), "not UTF-8 text"),
]


@pytest.mark.parametrize(("name", "change", "says"), FORGERIES, ids=[name for name, _, _ in FORGERIES])
def test_a_forged_part_is_named(name: str, change: Callable[[dict[str, bytes]], object], says: str) -> None:
    """Even with all sums made anew, parts that do not belong together are found, and the first is named."""
    broken = verify(forged(change)).broken

    assert re.search(says, broken), broken


def test_journals_that_tell_no_promotion_are_named() -> None:
    """A forger may chain lines that no promotion ever wrote."""
    no_start = encode(PROMOTION, (), [plans.PROPOSED], at=T0, by="x")
    started = replace(plans.started(plans.canary()), candidate={})
    events = (started, EVENTS[4], shifted(100))
    no_candidate = encode(PROMOTION, (), events, at=T0, by="x")
    shares = {SHAS[100]: manifests(100)}

    broken = verify(forged(lambda files: files.update({"journal.jsonl": no_start.encode()}))).broken
    assert "journal.jsonl tells no promotion: a journal begins with started" in broken
    packed = pack(material(journal=no_candidate, manifests=shares, commits=commits(SHAS[100])))
    assert "it cannot be understood: KeyError: 'digest'" in verify(packed).broken


def test_a_correlation_id_of_other_content_is_named() -> None:
    """The change was opened for another stable version than the one that served."""
    identity = correlation(COVERED, stable="sha256:" + "0" * 64)
    intended = e.ChangeIntended(correlation_id=identity, manifest_digest=COVERED)
    events = [intended if isinstance(event, e.ChangeIntended) else event for event in EVENTS]

    assert "correlation id is not that of" in verify(pack(material(journal=journal(*events)))).broken


def test_a_promotion_that_went_back_holds() -> None:
    """The commit that took it to 0 is evidence like the others."""
    events = (*EVENTS[:4], e.RollbackBegan(code="x", sentence="y"), shifted(0, "roll_back", BACK))
    shares = {SHAS[0]: manifests(0), SHAS[10]: manifests(10), BACK: manifests(0)}
    packed = pack(material(journal=journal(*events), manifests=shares, commits=commits(*shares)))
    checked = verify(packed)

    assert checked.broken == ""
    assert "no approval was needed for what was served" in checked.held
    assert "the promotion had not ended when this was written" in checked.held


def test_a_first_version_that_was_taken_away_holds() -> None:
    """It goes back by being removed: that commit has no manifests, and needs none."""
    events = (
        plans.PROPOSED,
        e.ChangeIntended(correlation_id="0" * 64, manifest_digest=COVERED),
        e.RollbackBegan(code="x", sentence="y"),
        shifted(0, "roll_back", BACK),
    )
    packed = pack(material(journal=journal(*events, first=True), manifests={BACK: {}}, commits=commits(BACK)))
    checked = verify(packed)

    assert checked.broken == ""
    assert "100 % was never reached" in checked.held


def test_a_pull_request_merged_by_hand_holds() -> None:
    """Its merge commit is not ours and bears no trailers; the journal names it."""
    bare = replace(commits(SHAS[0])[0], trailers={})
    packed = pack(material(commits=[bare, *commits(SHAS[10], SHAS[100])]))

    assert verify(packed).broken == ""


def test_a_broken_journal_is_not_packed() -> None:
    """Evidence of a journal that does not hold would be none."""
    with pytest.raises(JournalBroken, match=r"line 1"):
        pack(material(journal=material().journal.replace("better", "bitter")))


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("no sums", lambda entries: entries.pop(SUMS), "SHA256SUMS is missing"),
        ("a file more", lambda entries: entries.update({"extra.txt": b"x"}), "extra.txt is not listed"),
        ("a file less", lambda entries: entries.pop("report.html"), "report.html is listed"),
        ("another text", lambda entries: entries.update({"report.html": b"x"}), "report.html does not have"),
    ],
)
def test_files_that_are_not_as_listed_are_named(
    name: str, spoil: Callable[[dict[str, bytes]], object], says: str
) -> None:
    """The sums hold for every file, and for no other."""
    entries = contents()
    spoil(entries)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for path, data in entries.items():
            archive.writestr(path, data)

    assert says in verify(held.getvalue()).broken


def test_a_zip_that_would_unpack_to_more_is_not_unpacked() -> None:
    """Compressed archives, and those that hold a name twice, are refused before anything is read."""
    bomb, twice = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.html", b"\0" * 10_000_000)
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")

    assert "compressed" in verify(bomb.getvalue()).broken
    assert "holds a twice" in verify(twice.getvalue()).broken


def test_an_archive_that_claims_more_than_there_is_is_not_read() -> None:
    """Sizes in the directory are compared with the file's own before they are believed."""
    entry = GOOD.rindex(b"PK\x01\x02")
    claims = GOOD[: entry + 24] + (0x7FFFFFFF).to_bytes(4, "little") + GOOD[entry + 28 :]

    assert "claims to hold more than there is" in verify(claims).broken


def test_another_wrapping_of_the_same_files_is_found() -> None:
    """The order of the files inside is part of what was written."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for path, data in reversed(list(contents().items())):
            archive.writestr(path, data)

    assert "the archive differs from what these files make at byte" in verify(held.getvalue()).broken
