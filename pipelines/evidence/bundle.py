"""Everything a promotion rests on in one file, and the check that it still is what was written. Pure.

The file is a zip without compression, always made the same way: same contents, same bytes. Inside:

    promotion.json          which promotion, the journal's last hash, the commits whose manifests are here
    journal.jsonl           the journal as stored
    commits.json            main's commits of this promotion, with their trailers
    verdicts.json           every gate's latest verdict; follows from the journal
    statements.jsonl        the same as in-toto statements; follow from the journal and what people wrote
    signatures.jsonl        each statement in an envelope with its signature, where a key is configured
    signing-key.pem         the public half of that key
    change.json             the change request as the record knows it; follows from the journal
    policy/…                the policy pack of the tier, where it names one
    base/…                  platform.yaml and release.yaml as they were read when it started
    manifests/<commit>/…    what each share's commit had Argo CD apply
    report.html             for people
    model-card.md, .html    what the version is for, made of, good and bad at, and who vouches for it
    SHA256SUMS              digests of all other files; `sha256sum -c SHA256SUMS` checks them too

:func:`verify` needs nothing but the file. It shows that the parts belong together and that none was changed
since; that the whole is the one that was handed over is shown by its sha256, kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.errors import JournalBroken
from pipelines.evidence import policy, signing
from pipelines.evidence.archive import SUMS, Broken, check_sums, check_wrapping, unwrap, wrap
from pipelines.evidence.statements import statements
from pipelines.journal.events import Ended, Merged, ShareCommitted
from pipelines.journal.lines import Line, decode, verdict_to_data
from pipelines.journal.state import State, fold
from pipelines.ports import Commit
from pipelines.render import manifest_digest, serves_of
from pipelines.spec import packs
from pipelines.spec.packs import read_pack
from pipelines.spec.types import Risk
from pipelines.spec.yaml import load

SCHEMA = "lockgate.evidence/2"
ABOUT, JOURNAL, COMMITS, VERDICTS, STATEMENTS, CHANGE, REPORT = (
    "promotion.json",
    "journal.jsonl",
    "commits.json",
    "verdicts.json",
    "statements.jsonl",
    "change.json",
    "report.html",
)
CARDS = ("model-card.md", "model-card.html")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What evidence is made of."""

    promotion: str
    journal: str
    commits: Sequence[Commit]
    base: Mapping[str, str]
    """platform.yaml and release.yaml at the promotion's base: path -> text."""
    manifests: Mapping[str, Mapping[str, str]]
    """Commit -> (path -> text)."""
    report: str
    card_markdown: str
    card_html: str
    policy: Mapping[str, str] = field(default_factory=dict)
    """Name of the tier's policy pack -> its text; empty where the tier names none."""
    signing_key: str = ""
    """PEM of the private key that signs the statements; "" leaves them unsigned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What holds and what does not."""

    promotion: str
    """"" where not even that can be read."""
    sha256: str
    """Of the whole file; to be compared with the one noted when it was handed over."""
    journal_head: str
    files: int
    held: tuple[str, ...]
    """What was checked and holds, in words."""
    broken: str
    """The first thing that does not hold; "" when everything does."""


# ------------------------------------------------------------------------ writing


def pack(material: Material) -> bytes:
    """Write the file; the same material gives the same bytes, signatures of ECDSA and RSA keys apart.

    Raises:
        JournalBroken: the journal does not hold; evidence of it would be none.
        SigningMissing, SigningFailed: there is a key, and nothing can be signed with it.
    """
    lines = decode(material.promotion, material.journal)
    contents = {
        JOURNAL: material.journal,
        COMMITS: _json([_commit(commit) for commit in material.commits]),
        REPORT: material.report,
        CARDS[0]: material.card_markdown,
        CARDS[1]: material.card_html,
        **_derived(material.promotion, lines, material.base),
        **{f"policy/{name}.yaml": text for name, text in material.policy.items()},
        **{f"base/{path}": text for path, text in material.base.items()},
    }
    if material.signing_key:
        signed = signing.sign(contents[STATEMENTS], material.signing_key)
        contents |= {signing.ENVELOPES: signed.envelopes, signing.KEY: signed.public_key}
    for sha, files in material.manifests.items():
        contents |= {f"manifests/{sha}/{path}": text for path, text in files.items()}
    return wrap({path: text.encode() for path, text in contents.items()})


def _commit(commit: Commit) -> dict[str, Any]:
    return {**asdict(commit), "at": commit.at.isoformat(), "trailers": dict(commit.trailers)}


def _derived(promotion: str, lines: Sequence[Line], base: Mapping[str, str]) -> dict[str, str]:
    """What follows from the journal and from what people wrote."""
    state = fold(lines)
    assert state is not None  # noqa: S101 - a promotion that exists has at least one line
    verdicts = [
        {"stage": stage, **verdict_to_data(verdict)} for (stage, _), verdict in state.verdicts.items()
    ]
    about = {
        "schema": SCHEMA,
        "promotion": promotion,
        "outcome": state.ended.outcome if state.ended else None,
        "journal_lines": len(lines),
        "journal_head": lines[-1].hash,
        "manifests": share_commits(lines),
    }
    return {
        ABOUT: _json(about),
        VERDICTS: _json(sorted(verdicts, key=lambda one: (one["at"], one["stage"], one["gate"]))),
        STATEMENTS: statements(state, base),
        CHANGE: _json(_change(state)),
    }


def share_commits(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The commits that brought a share, in the order of the journal."""
    found = []
    for line in lines:
        event = line.event
        if isinstance(event, ShareCommitted):
            share = {"stage": event.stage, "share_percent": event.share_percent, "commit": event.commit}
            found.append(share)
    return found


def _change(state: State) -> dict[str, Any]:
    intended, opened, closed = state.change_intended, state.change, state.change_closed
    return {
        "intended": asdict(intended) if intended else None,
        "opened": asdict(opened) if opened else None,
        "closed": asdict(closed) if closed else None,
        "facts": [
            dict(verdict.evidence.facts)
            for (_, gate), verdict in state.verdicts.items()
            if gate == "approval"
        ],
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, default=str) + "\n"


# ------------------------------------------------------------------------ checking


def verify(data: bytes, keys: Mapping[str, str] | None = None) -> Checked:
    """Check a file offline; names the first thing that does not hold. Raises nothing, whatever it is.

    Args:
        keys: reference of a public key -> its PEM; one of them must have signed the statements. None: they
            may be unsigned, or signed by the key that the file brings along.
    """
    held: list[str] = []
    contents: dict[str, bytes] = {}
    promotion, head, broken = "", "", ""
    try:
        contents |= unwrap(data)
        check_sums(contents)
        held.append(f"{len(contents) - 1} files have the digests that {SUMS} states")
        promotion, lines = _journal(contents)
        head = lines[-1].hash
        held.append(f"the journal's {len(lines)} lines follow one another, the last is {head}")
        for check in _CHECKS:
            held.extend(check(promotion, lines, contents))
        held.append(_signed(contents, keys or {}))
        check_wrapping(contents, data)
        held.append("the archive is byte for byte what these files make")
    except Broken as error:
        broken = str(error)
    except Exception as error:  # whoever forges one may put anything where a value belongs
        broken = f"it cannot be understood: {type(error).__name__}: {error}"
    return Checked(
        promotion=promotion,
        sha256=hashlib.sha256(data).hexdigest(),
        journal_head=head,
        files=len(contents),
        held=tuple(held),
        broken=broken,
    )


def _text(contents: Mapping[str, bytes], path: str) -> str:
    if path not in contents:
        raise Broken(f"{path} is missing")
    try:
        return contents[path].decode()
    except UnicodeDecodeError:
        raise Broken(f"{path} is not UTF-8 text") from None


def _data(contents: Mapping[str, bytes], path: str) -> Any:
    try:
        return json.loads(_text(contents, path))
    except ValueError as error:
        raise Broken(f"{path} is not JSON: {error}") from None


def _journal(contents: Mapping[str, bytes]) -> tuple[str, tuple[Line, ...]]:
    about = _data(contents, ABOUT)
    promotion = about.get("promotion") if isinstance(about, dict) else None
    if not isinstance(promotion, str) or about.get("schema") != SCHEMA:
        raise Broken(f"{ABOUT} is not of schema {SCHEMA}")
    try:
        lines = decode(promotion, _text(contents, JOURNAL))
        state = fold(lines)
    except JournalBroken as error:
        raise Broken(f"{JOURNAL}: {error}") from None
    except (TypeError, KeyError, ValueError) as error:
        raise Broken(f"{JOURNAL} tells no promotion: {error}") from None
    if state is None or state.promotion != promotion:
        raise Broken(f"{JOURNAL} is not that of {promotion}")
    return promotion, lines


def _check_parts(promotion: str, lines: Sequence[Line], contents: Mapping[str, bytes]) -> Iterator[str]:
    """Everything that belongs in is there, and nothing else."""
    state = fold(lines)
    assert state is not None  # noqa: S101 - _journal() has seen to it
    release = f"base/models/{state.started.model}/release.yaml"
    signatures = {signing.ENVELOPES, signing.KEY}
    wanted = {SUMS, ABOUT, JOURNAL, COMMITS, VERDICTS, STATEMENTS, CHANGE, REPORT, *CARDS}
    wanted |= {"base/platform.yaml", release, *(signatures if signatures & contents.keys() else ())}
    if named := _pack_named(contents, state):
        wanted.add(f"policy/{named}.yaml")
    folders = tuple(f"manifests/{share['commit']}/" for share in share_commits(lines))
    if gone := sorted(wanted - contents.keys()):
        raise Broken(f"{gone[0]} is missing")
    odd = sorted(path for path in contents.keys() - wanted if not path.startswith(folders or (":",)))
    if odd:
        raise Broken(f"{odd[0]} does not belong to the evidence of this promotion")
    yield "everything that belongs in is there, and nothing else"


def _check_derived(promotion: str, lines: Sequence[Line], contents: Mapping[str, bytes]) -> Iterator[str]:
    for path, text in _derived(promotion, lines, _base(contents)).items():
        if _text(contents, path) != text:
            raise Broken(f"{path} does not say what the journal says")
    yield f"{ABOUT}, {VERDICTS}, {STATEMENTS} and {CHANGE} say what the journal says"


def _signed(contents: Mapping[str, bytes], keys: Mapping[str, str]) -> str:
    """Whose signature the statements bear, in words."""
    if signing.ENVELOPES not in contents:
        if keys:
            raise Broken(f"the statements are not signed, by none of {', '.join(keys)}")
        return "the statements are NOT signed: they are as good as the journal they follow from"
    held = signing.Signed(
        envelopes=_text(contents, signing.ENVELOPES), public_key=_text(contents, signing.KEY)
    )
    try:
        return signing.verify(held, _text(contents, STATEMENTS), keys)
    except (signing.SigningFailed, signing.SigningMissing) as error:
        raise Broken(str(error)) from None


def _check_manifests(promotion: str, lines: Sequence[Line], contents: Mapping[str, bytes]) -> Iterator[str]:
    """Each share's manifests are there and name this promotion and this share."""
    shares = share_commits(lines)
    for share in shares:
        sha, percent = share["commit"], share["share_percent"]
        files = _manifests(contents, sha)
        if not files and _first(lines) and share["stage"] == "roll_back":
            continue  # the first version ever goes by being taken away
        try:
            serves = serves_of(files)
        except Exception as error:  # the record's reader knows why it cannot be read
            raise Broken(f"manifests/{sha}: {error}") from None
        if serves is None:
            raise Broken(f"manifests/{sha} is missing, or holds no record of what is served")
        if (serves.promotion, serves.share_percent) != (promotion, percent):
            raise Broken(
                f"manifests/{sha} are of {serves.promotion} at {serves.share_percent} %, "
                f"not of this promotion at {percent} %"
            )
    yield f"the manifests of {len(shares)} shares name this promotion and their share"


def _first(lines: Sequence[Line]) -> bool:
    state = fold(lines)
    return state is not None and state.plan.first


def _manifests(contents: Mapping[str, bytes], sha: str) -> dict[str, str]:
    return _below(contents, f"manifests/{sha}/")


def _base(contents: Mapping[str, bytes]) -> dict[str, str]:
    return _below(contents, "base/")


def _below(contents: Mapping[str, bytes], prefix: str) -> dict[str, str]:
    return {path.removeprefix(prefix): _text(contents, path) for path in contents if path.startswith(prefix)}


def _check_commits(promotion: str, lines: Sequence[Line], contents: Mapping[str, bytes]) -> Iterator[str]:
    """Each share's commit is in main's log with the trailers it must bear."""
    commits = _data(contents, COMMITS)
    by_hand = {line.event.commit for line in lines if isinstance(line.event, Merged)}
    try:
        trailers = {commit["sha"]: commit["trailers"] for commit in commits}
        for share in share_commits(lines):
            borne = trailers.get(share["commit"])
            if borne is None:
                raise Broken(f"{COMMITS} does not list {share['commit']}")
            if borne.get("Lockgate-Promotion") != promotion and share["commit"] not in by_hand:
                raise Broken(f"{COMMITS}: {share['commit']} does not bear this promotion's trailers")
    except (TypeError, KeyError, AttributeError) as error:
        raise Broken(f"{COMMITS} is no list of commits: {error}") from None
    yield f"{len(trailers)} commits are listed, those of every share with their trailers"


def _check_approval(promotion: str, lines: Sequence[Line], contents: Mapping[str, bytes]) -> Iterator[str]:
    """The approval was asked for exactly the manifests that brought 100 %."""
    state = fold(lines)
    assert state is not None  # noqa: S101 - _journal() has seen to it
    intended = state.change_intended
    if intended is None or 100 not in state.commits:
        yield "no approval was needed for what was served" if intended is None else "100 % was never reached"
        return
    covered = manifest_digest(_manifests(contents, state.commits[100]))
    if covered != intended.manifest_digest:
        raise Broken(
            f"the approval covers manifests of {intended.manifest_digest}, those of 100 % are {covered}"
        )
    started = state.started
    stable = started.stable["digest"] if started.stable else ""
    parts = (started.candidate["digest"], stable, covered, started.environment)
    if hashlib.sha256("\n".join(parts).encode()).hexdigest() != intended.correlation_id:
        raise Broken("the change's correlation id is not that of these digests and this environment")
    yield f"the change's correlation id {intended.correlation_id} covers exactly the manifests of 100 %"


def _pack_named(contents: Mapping[str, bytes], state: State) -> str:
    """The policy pack that platform.yaml named for the promotion's tier; "" for none."""
    return str(_tier(contents, state).get("evidence") or "")


def _tier(contents: Mapping[str, bytes], state: State) -> dict[str, Any]:
    """The promotion's tier as platform.yaml had it; empty where it cannot be found."""
    platform = _plain(contents, "base/platform.yaml") if "base/platform.yaml" in contents else {}
    return _section(_section(platform, "tiers"), state.plan.tier)


def _section(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _plain(contents: Mapping[str, bytes], path: str) -> dict[str, Any]:
    value = load(_text(contents, path), path).value
    return value if isinstance(value, dict) else {}


def _check_policy(promotion: str, lines: Sequence[Line], contents: Mapping[str, bytes]) -> Iterator[str]:
    """What the tier's policy pack asks for is there, and the people are distinct."""
    state = fold(lines)
    assert state is not None  # noqa: S101 - _journal() has seen to it
    named = _pack_named(contents, state)
    if not named or 100 not in state.commits:
        yield (
            "the tier names no policy pack" if not named else "100 % was never reached under the policy pack"
        )
        return
    text = _text(contents, f"policy/{named}.yaml")
    pack = read_pack(text)
    known = packs.pack(named) if named in packs.names() else None
    if known is not None and known.version == pack.version and packs.text_of(named) != text:
        raise Broken(f"policy/{named}.yaml is not version {pack.version} of that pack")
    base = _plain(contents, f"base/models/{state.started.model}/release.yaml")
    risk = Risk.model_validate(base.get("risk") or {})
    if lacks := policy.missing(pack, risk, state):
        raise Broken(f"the policy pack {named} wants {lacks[0]}, which is missing")
    approved = policy.approvers(
        verdict for (_, gate), verdict in state.verdicts.items() if gate == "approval"
    )
    same = _section(_section(_tier(contents, state), "gates"), "approval").get("same_person", ())
    if alike := policy.alike(pack, risk, approved, same):
        raise Broken(f"{alike}, under the policy pack {named}")
    yield f"everything that the policy pack {named}, version {pack.version}, wants is there"


def _check_end(promotion: str, lines: Sequence[Line], contents: Mapping[str, bytes]) -> Iterator[str]:
    ended = isinstance(lines[-1].event, Ended)
    yield "the promotion has ended" if ended else "the promotion had not ended when this was written"


_Check = Callable[[str, Sequence[Line], Mapping[str, bytes]], Iterator[str]]
_CHECKS: tuple[_Check, ...] = (
    _check_parts,
    _check_derived,
    _check_manifests,
    _check_commits,
    _check_approval,
    _check_policy,
    _check_end,
)
"""What is checked once the sums and the journal hold, in this order."""
