"""What holds for every test: examples are not judged by how long they take, and Ctrl-C reaches children."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores it for what it starts in the background; processes of the tests would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
