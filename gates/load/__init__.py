"""Does the candidate answer fast enough, and without errors, at the expected peak?

``settings`` says what can be set, ``gate`` asks, ``judging`` decides on counts, ``generator`` runs the two
child processes: ``worker`` (locust, which patches sockets process-wide and so gets a process of its own) and
``null`` (an endpoint that answers at once, to see what the generator itself costs).
"""

from __future__ import annotations

from gates.load.gate import Load
from gates.load.settings import LoadSettings

__all__ = ["Load", "LoadSettings"]
