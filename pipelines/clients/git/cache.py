"""A bare clone that several processes share: one at a time, and made anew when it breaks."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pipelines.clients.git.command import SYSTEM, CacheBroken, GitCommand
from pipelines.errors import Misbehaved, Unreachable

T = TypeVar("T")
_POLL_SECONDS = 0.02


class Cache:
    """The clone in ``folder``; everything in it can be fetched again."""

    def __init__(
        self, folder: Path, git: GitCommand, *, patience_seconds: float, renewed: Callable[[], None]
    ) -> None:
        """``renewed`` hears, before the work, that the clone is another one than it was at the last."""
        self._folder = folder
        self._git = git
        self._patience_seconds = patience_seconds
        self._renewed = renewed
        self._birth: tuple[int, int] | None = None

    def use(self, work: Callable[[], T]) -> T:
        """Do some work while nobody else touches the clone; once more on a fresh one if it was broken.

        Raises:
            Unreachable: somebody else held the clone too long.
            Misbehaved: a fresh clone was no better.
        """
        with self._locked():
            if not (self._git.git_dir / "HEAD").is_file():
                self._renew()
            try:
                return self._tried(work)
            except CacheBroken:
                self._renew()
            try:
                return self._tried(work)
            except CacheBroken as broken:
                raise Misbehaved(SYSTEM, f"{self._git.url}: {broken}") from None

    def _tried(self, work: Callable[[], T]) -> T:
        try:
            made = (self._git.git_dir / "HEAD").stat()
        except OSError as error:
            raise CacheBroken(f"no clone could be made: {error.strerror}") from None
        if (birth := (made.st_ino, made.st_mtime_ns)) != self._birth:
            self._renewed()
            self._birth = birth
        return work()

    def _renew(self) -> None:
        shutil.rmtree(self._git.git_dir, ignore_errors=True)
        self._git("init", "--quiet", "--bare", "--template=")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A lock of the kernel ends with its process, however that ends.
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_for(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _wait_for(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Unreachable(
                        SYSTEM,
                        f"{self._folder}: another process held the clone for {self._patience_seconds:g} s; "
                        "try again, or give this one another folder",
                    ) from None
                time.sleep(_POLL_SECONDS)
            else:
                return
