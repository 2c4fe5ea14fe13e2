"""Waking up in time."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import gevent

_CLOCK_MONOTONIC, _TFD_NONBLOCK = 1, 0o4000


class TimerfdPacer:
    """Sleeps on a timer of the kernel: about 0.06 ms late, where gevent's own sleep is up to 1 ms late."""

    name = "timerfd"

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._hub = gevent.get_hub()
        self._watcher = self._hub.loop.io(self._timer, 1)

    def nap(self, seconds: float) -> None:
        """Let the other greenlets run for so long."""
        whole, rest = divmod(seconds, 1)
        once = struct.pack("qqqq", 0, 0, int(whole), int(rest * 1e9) or 1)
        self._libc.timerfd_settime(self._timer, 0, once, None)
        self._hub.wait(self._watcher)
        os.read(self._timer, 8)


class SleepPacer:
    """gevent's own sleep, where the kernel has no timerfd."""

    name = "sleep"

    def nap(self, seconds: float) -> None:
        """Let the other greenlets run for so long."""
        gevent.sleep(seconds)


def make_pacer() -> TimerfdPacer | SleepPacer:
    """The best this machine has."""
    try:
        return TimerfdPacer()
    except (OSError, AttributeError):
        return SleepPacer()


@contextmanager
def no_deep_sleep() -> Iterator[None]:
    """Idle cores stay ready, where we may ask for that: one that sleeps wakes twice as late.

    Asked as Linux wants it (``Documentation/power/pm_qos_interface.rst``): by a latency of 0 us, kept open.
    Only root may, and not in an ordinary container.
    """
    asked = -1
    with suppress(OSError):
        asked = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
        os.write(asked, struct.pack("i", 0))
    try:
        yield
    finally:
        if asked >= 0:
            os.close(asked)
