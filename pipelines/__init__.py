"""Act and remember: the rooms that change the world and keep the journal of it."""

__version__ = "0.1.0"
