"""Every error lockgate raises on purpose, with the exit code a caller sees.

    LockgateError
    ├── InvalidInput             3   what a person wrote cannot be used; all problems at once
    │   ├── SpecInvalid              platform.yaml or release.yaml
    │   └── RenderRefused            values that no correct manifest can be made of
    ├── Refused                  4   something that may say no said no: a gate, a person, a rule
    ├── CouldNotTell             5   an outside system gave no usable answer; never a "no", never a "yes"
    │   ├── Unreachable              no answer, a time-out, a 5xx
    │   ├── Misbehaved               an answer that makes no sense: HTML for JSON, a missing field
    │   ├── AccessDenied             the system refused our credentials or rights
    │   └── JournalBroken            a journal whose hash chain does not hold
    └── NotYet                  75   ask again later
        └── JournalMoved             another driver wrote to this promotion first

An outage is not an answer: nothing below CouldNotTell is a Refused, and nothing below Refused is
a CouldNotTell, so no `except` can take one for the other. Exit codes 1 and 2 stay Python's and the
parser's. A message says what happened, to what, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class LockgateError(Exception):
    """Base of all errors below; never raised itself."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place of something a person wrote."""

    file: str
    line: int
    """1-based; 0 where no line can be given."""
    path: str
    """Key path such as ``tiers.regulated.shares[2]``; "" for the whole file."""
    message: str
    hint: str = ""
    """What to write instead; "" where nothing can be suggested."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f": {self.path}" if self.path else ""
        hint = f" (hint: {self.hint})" if self.hint else ""
        return f"{where}{key}: {self.message}{hint}"


class InvalidInput(LockgateError):
    """What a person wrote cannot be used; carries every problem found, not the first."""

    exit_code = 3

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SpecInvalid(InvalidInput):
    """platform.yaml or release.yaml does not say something lockgate can do."""


class RenderRefused(InvalidInput):
    """The values are well-formed, but no correct manifest can be made of them."""


class Refused(LockgateError):
    """Something that may say no said no; trying again unchanged does not help."""

    exit_code = 4

    def __init__(self, reason: str, sentence: str) -> None:
        self.reason = reason
        self.sentence = sentence
        super().__init__(sentence)


class CouldNotTell(LockgateError):
    """An outside system gave no usable answer; holding is right, advancing or blaming is not."""

    exit_code = 5

    def __init__(self, system: str, message: str) -> None:
        self.system = system
        super().__init__(f"{system}: {message}")


class Unreachable(CouldNotTell):
    """No answer, a time-out, or a server error; the effect of a write may or may not have happened."""


class Misbehaved(CouldNotTell):
    """An answer came but makes no sense; it is not read as a yes or a no."""


class AccessDenied(CouldNotTell):
    """The system refused our credentials or rights; a person has to grant them."""


class JournalBroken(CouldNotTell):
    """A journal line does not carry the hash it should; ``line`` (1-based) is the first such line."""

    def __init__(self, promotion: str, line: int, message: str) -> None:
        self.promotion = promotion
        self.line = line
        super().__init__("journal", f"{promotion}, line {line}: {message}")


class NotYet(LockgateError):
    """Nothing is wrong; ask again after ``retry_after_seconds``."""

    exit_code = 75

    def __init__(self, reason: str, sentence: str, retry_after_seconds: float) -> None:
        self.reason = reason
        self.sentence = sentence
        self.retry_after_seconds = retry_after_seconds
        super().__init__(sentence)


class JournalMoved(NotYet):
    """Another driver appended to this promotion's journal since it was read."""

    def __init__(self, promotion: str) -> None:
        super().__init__(
            "another_driver",
            f"{promotion}: another driver is moving this promotion; look at it with `lockgate status`",
            5.0,
        )
