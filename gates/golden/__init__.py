"""Tables that gates read strictly, each pinned by the sha256 of its bytes: CSV or Parquet, in batches.

The pin belongs to the commit under judgement: what is wrong with a table stays wrong for that subject. A gate
therefore answers FAIL, not UNKNOWN, to everything :class:`GoldenRefused` says.

``places`` fetches the bytes and holds them against the pin, ``table`` says what a table is, ``csv`` and
``parquet`` read the two formats, ``whole`` keeps a small table in memory.
"""

from __future__ import annotations

from gates.golden.places import Artifacts, Pin, Repository, open_pinned, open_table
from gates.golden.table import Batch, GoldenRefused, ParquetMissing, Table
from gates.golden.whole import Golden, read_golden

__all__ = [
    "Artifacts",
    "Batch",
    "Golden",
    "GoldenRefused",
    "ParquetMissing",
    "Pin",
    "Repository",
    "Table",
    "open_pinned",
    "open_table",
    "read_golden",
]
