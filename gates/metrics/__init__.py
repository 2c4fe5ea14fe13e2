"""The numbers a gate reads: the Metrics protocol, and the packs that say how requests are counted."""

from gates.metrics.packs import PACKS, REPLICA_LABELS, Lie, Pack, quoted, selector
from gates.metrics.source import Answer, Metrics, Series

__all__ = ["PACKS", "REPLICA_LABELS", "Answer", "Lie", "Metrics", "Pack", "Series", "quoted", "selector"]
