"""The tokens of Argo's two little languages, and where a reader of them is."""

from __future__ import annotations

import re


def tokens(text: str, token: re.Pattern[str], wrong: type[ValueError]) -> list[tuple[str, str]]:
    """``(kind, word)`` of each token, by the named group that matched; the last is of the kind ``end``.

    Raises:
        ValueError: of the class ``wrong``, where no token begins.
    """
    found: list[tuple[str, str]] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = token.match(text, place)
        if match is None:
            raise wrong(f"cannot be read from {text[place : place + 20].strip()!r} on")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        place = match.end()
    return [*found, ("end", "the end")]


class Reader:
    """What every reader of tokens keeps: where it is, and how deep."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        self.tokens = found
        self.place = 0
        self.depth = 0

    @property
    def kind(self) -> str:
        """Of the token that comes next."""
        return self.tokens[self.place][0]

    @property
    def word(self) -> str:
        """As it is written."""
        return self.tokens[self.place][1]
