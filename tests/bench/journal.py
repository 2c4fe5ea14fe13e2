"""Reading a journal: `decode` and `fold` with every hash checked, beside `json.loads` on every line.

``write FILE LINES`` makes one of a promotion that watches a share for long; ``fold FILE`` and ``plain FILE``
read it.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path


def write(path: Path, count: int) -> None:
    """The way to 10 %, and then two verdicts of each look until there are enough lines."""
    from gates.contract import Status
    from pipelines.journal.lines import encode
    from tests.plans import PROMOTION, T0, canary, commit, judged, share_events, started, up_to_merge

    events = [started(canary()), *up_to_merge(), *share_events(0), *share_events(10)]
    while len(events) < count:
        at = T0 + timedelta(seconds=len(events))
        events += (
            judged(gate, "bake-10", Status.WAIT, at=at, commit=commit(10)) for gate in ("share", "slo")
        )
    path.write_text(encode(PROMOTION, (), events[:count], at=T0, by="engine:bench:1"))


def read(path: Path) -> int:
    """Every line, every hash, and the state that comes of them; how many lines."""
    from pipelines.journal.lines import decode
    from pipelines.journal.state import fold
    from tests.plans import PROMOTION

    lines = decode(PROMOTION, path.read_text())
    state = fold(lines)
    assert state is not None
    return state.events


def plain(path: Path) -> int:
    """Every line as JSON, believed as it stands; how many."""
    return len([json.loads(line) for line in path.read_text().splitlines()])


if __name__ == "__main__":
    what, file = sys.argv[1], Path(sys.argv[2])
    if what == "write":
        write(file, int(sys.argv[3]))
    else:
        print({"fold": read, "plain": plain}[what](file), "lines")
