"""Journals of promotions as files on a branch of their own: ``<model>/<promotion>.jsonl``.

The folder is for people who browse the branch; a journal is found by its file name wherever it lies.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection

from pipelines.clients.git.command import SYSTEM, checked_branch, checked_path
from pipelines.clients.git.messages import message
from pipelines.clients.git.objects import Draft
from pipelines.clients.git.repository import GitRepository
from pipelines.errors import JournalMoved, Misbehaved, Refused

_PROMOTION = re.compile(r"[a-z0-9][A-Za-z0-9.-]{0,150}")
_TIME = re.compile(r"\d{8}T\d{6}Z")
_SUFFIX = ".jsonl"
_LISTING_GOOD_FOR_SECONDS = 2.0


class GitJournals:
    """Append-only journals; a change by another writer is never lost and never overwritten."""

    def __init__(self, repository: GitRepository, branch: str = "audit") -> None:
        self._repository = repository
        self._branch = checked_branch(branch)
        self._listing: dict[str, str] = {}
        self._listed_at = float("-inf")
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def promotions(self) -> tuple[str, ...]:
        """Ids of all promotions, oldest first.

        The texts come along: reading each promotion once right after costs no further question.
        """
        self._listing = self._texts()
        self._listed_at = time.monotonic()
        return tuple(sorted(self._listing, key=_age))

    def read(self, promotion: str) -> str:
        """The journal's text as stored now, "" when there is none.

        The first read of a promotion within two seconds of a listing is served from that listing.
        """
        _checked(promotion)
        fresh = time.monotonic() - self._listed_at < _LISTING_GOOD_FOR_SECONDS
        listed = self._listing.pop(promotion, None)
        if fresh and listed is not None:
            return listed
        stored = self._repository.look(self._branch, lambda tip: self._stored(tip, promotion))
        return stored[1] if stored else ""

    def append(self, promotion: str, lines: str, *, expected: str) -> None:
        """Add whole lines to a journal whose text is ``expected``, in one commit.

        Journals of other promotions may move meanwhile. When the text is ``expected`` and these lines
        already, an earlier call of ours lost its answer, and all is well.

        Raises:
            JournalMoved: the stored text is no longer ``expected``; nothing was written.
        """
        self._add(promotion, lines, expected)

    def begin(self, promotion: str, lines: str, *, beside: Collection[str]) -> None:
        """Write the first lines of a new journal, unless somebody began another of its kind meanwhile.

        Its kind is what its id says before the time: of one model and environment. Git takes one commit after
        the other, so that of those who begin at the same instant, none knowing of another, one succeeds.

        Args:
            promotion: its id.
            lines: whole lines.
            beside: the ids of all journals that the writer knows of.

        Raises:
            JournalMoved: there is another, or this one; nothing was written.
        """
        self._add(promotion, lines, "", beside)

    def _add(self, promotion: str, lines: str, expected: str, beside: Collection[str] | None = None) -> None:
        _checked(promotion)
        if not lines.endswith("\n") or (expected and not expected.endswith("\n")):
            raise ValueError("a journal is made of whole lines")
        self._listing.pop(promotion, None)
        text = message(f"{promotion}: line {expected.count(chr(10)) + 1}", "", {})

        def plan(tip: str | None) -> Draft | str:
            path, stored = self._stored(tip, promotion) if tip else ("", "")
            if tip and stored == expected + lines:
                return tip
            if stored != expected or (tip and beside is not None and self._kin(tip, promotion) - {*beside}):
                raise JournalMoved(promotion)
            target = path or checked_path(f"{_folder(promotion, lines)}/{promotion}{_SUFFIX}")
            made = self._repository.objects.draft(tip, tip, {target: expected + lines}, text)
            assert made is not None  # noqa: S101 - at least one line is new
            self._known = {(made.sha, promotion): (target, expected + lines)}
            return made

        self._repository.land(self._branch, plan)

    def _kin(self, tip: str, promotion: str) -> set[str]:
        """The journals at a commit that are of the same kind."""
        names = {_name(path) for path in self._repository.objects.blobs(tip, "", ending=_SUFFIX)}
        return {name for name in names if _kind(name) == _kind(promotion)}

    def _texts(self) -> dict[str, str]:
        found = self._repository.look(
            self._branch, lambda tip: self._repository.objects.blobs(tip, "", ending=_SUFFIX)
        )
        return {_name(path): _decoded(data) for path, data in (found or {}).items()}

    def _stored(self, tip: str, promotion: str) -> tuple[str, str]:
        """Path and text of a journal at a commit, empty when there is none; the last answer is kept."""
        stored = self._known.get((tip, promotion)) or self._found(tip, promotion)
        self._known = {(tip, promotion): stored}
        return stored

    def _found(self, tip: str, promotion: str) -> tuple[str, str]:
        found = self._repository.objects.blobs(tip, "", ending=f"/{promotion}{_SUFFIX}")
        if len(found) > 1:
            raise Misbehaved(SYSTEM, f"{self._branch} holds several journals of {promotion}: {sorted(found)}")
        return next(((path, _decoded(data)) for path, data in found.items()), ("", ""))


def _decoded(data: bytes) -> str:
    # A byte that is no text spoils the hash of its line, and the chain says where.
    return data.decode(errors="replace")


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(_SUFFIX)


def _kind(promotion: str) -> str:
    return _TIME.split(promotion)[0]


def _age(promotion: str) -> tuple[str, str]:
    found = _TIME.search(promotion)
    return (found[0] if found else "", promotion)


def _checked(promotion: str) -> None:
    if not _PROMOTION.fullmatch(promotion) or ".." in promotion:
        raise Refused("unsafe_name", f"{promotion[:200]!r} cannot be the id of a promotion")


def _folder(promotion: str, lines: str) -> str:
    """The model's name: as the first line says it, else the id without environment, time and suffix."""
    try:
        model = json.loads(lines.partition("\n")[0])["data"]["model"]
    except (ValueError, KeyError, TypeError):
        model = None
    if isinstance(model, str) and _PROMOTION.fullmatch(model):
        return model
    return re.sub(r"-[^-]+-\d{8}T\d{6}Z(-[0-9a-f]+)?$", "", promotion)
