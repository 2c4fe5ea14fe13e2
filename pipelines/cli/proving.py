"""Evidence: pack everything a promotion rests on into one file, or check such a file offline."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.session import Session, common, mistake, passing

if TYPE_CHECKING:
    from pipelines.cli.book import Book, Entry
    from pipelines.evidence import Checked, Material

REFUSED = 4
_KEY = "evidence.signing_key"
MAXIMUM_BYTES = 512 * 2**20
"""A file larger than this is no evidence of ours."""


class WriteByDefault(click.Group):
    """``evidence PROMOTION`` writes; ``evidence verify FILE`` checks."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A word that is no command is a promotion, wherever the options stand."""
        words = [word for word in args if not word.startswith("-")]
        helped = {"-h", "--help"} & set(args)
        if not helped and words and not any(word in self.commands for word in words):
            args = ["write", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=WriteByDefault,
    context_settings={"help_option_names": ["-h", "--help"]},
    options_metavar="",
    subcommand_metavar="PROMOTION [-o FILE] | verify FILE",
)
@common
def evidence() -> None:
    """Write everything a promotion rests on into one file, or check one.

    `lockgate evidence PROMOTION` writes the journal, the manifests of every share, what people had asked
    for, the verdicts, the change and the report. `lockgate evidence verify FILE` needs nothing but the file.
    """


@evidence.command(hidden=True)
@click.argument("promotion")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="By default <promotion>.evidence.zip here."
)
@click.option("--unsigned", is_flag=True, help="Where platform.yaml names a key that is not at hand here.")
@common
@passing
def write(session: Session, promotion: str, output: Path | None, unsigned: bool) -> int:
    """Write the evidence of a promotion.

    PROMOTION is an id, or a model whose open or newest promotion is meant. The statements of its verdicts are
    signed with the key that platform.yaml names as evidence.signing_key.
    """
    from dataclasses import replace

    from pipelines.cli.book import Book
    from pipelines.evidence import SigningFailed, SigningMissing, pack, verify

    book = Book(session)
    entry = book.find(promotion)
    vouching = None if unsigned else book.platform().evidence
    key = session.secrets.value(vouching.signing_key, _KEY) if vouching else ""
    try:
        data = pack(replace(material(book, entry), signing_key=key))
    except (SigningFailed, SigningMissing) as error:
        raise mistake("platform.yaml", f"{_KEY}: {error}", "mend it, or write with --unsigned") from None
    place = output or Path(f"{entry.state.promotion}.evidence.zip")
    _save(place, data)
    checked = verify(data)
    if session.as_json:
        session.data("evidence", {"file": str(place), **_body(session, checked)})
    session.say(f"{place}: {checked.files} files, sha256 {checked.sha256}")
    if checked.broken:
        session.say(f"but something does not hold: {checked.broken}")
        return REFUSED
    session.say(f"note the sha256 somewhere else; `lockgate evidence verify {place}` checks the file")
    return 0


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--sha256", "expected", metavar="HEX", help="Digest of the file as noted when it was handed over."
)
@click.option(
    "--key",
    "keys",
    metavar="REFERENCE",
    multiple=True,
    help="Public key that must have signed: write env:NAME or file:/absolute/path of a PEM.",
)
@common
@passing
def verify(session: Session, file: Path, expected: str | None, keys: tuple[str, ...]) -> int:
    """Check a file of evidence; no network is asked.

    Of statements that are signed, the signatures are checked; with --key they must be, by one of these. Exit
    code 0 when everything holds, 4 when something does not: the first such thing is named.
    """
    from dataclasses import replace

    from pipelines.evidence import verify as check

    checked = check(_load(file), {key: session.secrets.value(key, "--key") for key in keys})
    if expected and not checked.broken and checked.sha256 != expected.strip().lower().removeprefix("sha256:"):
        checked = replace(
            checked, broken=f"the file's sha256 is {checked.sha256}, not the one that was noted"
        )
    if session.as_json:
        session.data("evidence.verify", {"file": str(file), **_body(session, checked)})
    for line in checked.held:
        session.out(f"holds: {line}")
    if checked.broken:
        session.say(f"DOES NOT HOLD: {checked.broken}")
        return REFUSED
    session.say(f"everything holds: {checked.promotion}, sha256 {checked.sha256}")
    return 0


def _body(session: Session, checked: Checked) -> dict[str, object]:
    return {
        "promotion": session.safe(checked.promotion),
        "sha256": checked.sha256,
        "journal_head": checked.journal_head,
        "files": checked.files,
        "holds": not checked.broken,
        "held": [session.safe(line) for line in checked.held],
        "broken": session.safe(checked.broken),
    }


def material(book: Book, entry: Entry) -> Material:
    """Everything the evidence of a promotion is made of, read from Git."""
    from pipelines.evidence import Material, card, share_commits
    from pipelines.reports import html
    from pipelines.spec import packs
    from pipelines.spec.read import read_platform, read_release

    started = entry.state.started
    folder = f"clusters/{started.environment}/{started.tenant}/{started.model}"
    paths = ("platform.yaml", f"models/{started.model}/release.yaml")
    base = {path: book.repository.read(path, started.base) for path in paths}
    platform = read_platform(base[paths[0]] or "")
    release = read_release(base[paths[1]] or "", paths[1], platform)
    tier = platform.tiers.get(str(started.plan["tier"]))
    named = tier.evidence if tier else None
    commits = [one for one in book.repository.log("main", folder) if _ours(one.sha, one.trailers, entry)]
    return Material(
        promotion=entry.state.promotion,
        journal=book.journals.read(entry.state.promotion),
        commits=commits,
        base={path: text for path, text in base.items() if text is not None},
        manifests={
            share["commit"]: book.repository.files(folder, share["commit"])
            for share in share_commits(entry.lines)
        },
        report=html.report(entry.lines),
        card_markdown=card.markdown(release, entry.state),
        card_html=card.html(release, entry.state),
        policy={named: packs.text_of(named)} if named else {},
    )


def _ours(sha: str, trailers: object, entry: Entry) -> bool:
    from pipelines.evidence import share_commits

    named = isinstance(trailers, dict) and trailers.get("Lockgate-Promotion") == entry.state.promotion
    return named or any(share["commit"] == sha for share in share_commits(entry.lines))


def _load(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAXIMUM_BYTES:
            raise mistake(
                str(file), f"is larger than {MAXIMUM_BYTES // 2**20} MiB, so it is no evidence of ours"
            )
        return file.read_bytes()
    except OSError as error:
        raise mistake(
            str(file), f"cannot be read: {error.strerror}", "name a file that `evidence` wrote"
        ) from None


def _save(place: Path, data: bytes) -> None:
    """Whole or not at all."""
    try:
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=".lockgate-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(place)
    except OSError as error:
        raise mistake(
            str(place), f"cannot be written: {error.strerror}", "name a file with -o FILE"
        ) from None
