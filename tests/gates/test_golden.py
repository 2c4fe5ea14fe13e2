"""Golden sets are read strictly; each way in which a file cannot be used is planted and named.

Covered: CSV whole and in batches, Parquet where pyarrow is installed, repository and object store.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.golden import Golden, GoldenRefused, Pin, Table, open_table, read_golden
from gates.golden.table import BATCH_ROWS
from tests.questions import COMMIT, Folder

GOOD = b"amount,hour,fraud\n12.5,3,0\n-1e3,+4.,1\n"


def read(folder: Path, content: bytes | None, **changes: object) -> Golden:
    """Write the file and read it as a gate does."""
    if content is not None:
        (folder / "golden.csv").write_bytes(content)
    settings = {"at": COMMIT, "sha256": "", "label": "fraud", "maximum_rows": 3, **changes}
    return read_golden(Folder(folder), "golden.csv", **settings)  # type: ignore[arg-type]


def refusal(folder: Path, content: bytes | None, **changes: object) -> tuple[str, str]:
    """The reason and the sentence with which the file is refused."""
    with pytest.raises(GoldenRefused) as refused:
        read(folder, content, **changes)
    return refused.value.reason, str(refused.value)


def test_gives_features_and_labels_apart(tmp_path: Path) -> None:
    """The label column may stand anywhere; the features keep the file's order."""
    golden = read(tmp_path, GOOD, sha256=hashlib.sha256(GOOD).hexdigest())
    assert golden == Golden(
        sha256=hashlib.sha256(GOOD).hexdigest(),
        columns=("amount", "hour"),
        rows=((12.5, 3.0), (-1000.0, 4.0)),
        labels=(0, 1),
    )
    assert read(tmp_path, b"fraud,a\r\n1,2\r\n").rows == ((2.0,),)


def test_without_a_label_every_column_is_a_feature(tmp_path: Path) -> None:
    """Payloads for a load test need no answers."""
    golden = read(tmp_path, GOOD, label="")
    assert golden.columns == ("amount", "hour", "fraud")
    assert golden.labels == ()


def test_a_missing_file_is_named_with_its_commit(tmp_path: Path) -> None:
    """Whoever promotes sees where it was looked for."""
    assert refusal(tmp_path, None) == ("golden_set_missing", "There is no golden.csv at commit bbbbbbbbbbbb.")


def test_a_file_other_than_the_pinned_is_refused_with_both_digests(tmp_path: Path) -> None:
    """One changed byte and the set is not the one that was reviewed."""
    pinned = hashlib.sha256(GOOD).hexdigest()
    changed = GOOD.replace(b"12.5", b"12.6")
    reason, sentence = refusal(tmp_path, changed, sha256=pinned)
    assert reason == "golden_set_differs"
    assert pinned in sentence
    assert hashlib.sha256(changed).hexdigest() in sentence


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a header"),
        (b"\n1,2\n", "not a header"),
        (b"amount,hour,fraud\n", "a header and no rows"),
        (b"amount,hour\n1,2\n", "no column is called 'fraud', only amount, hour"),
        (b"fraud\n1\n", "no feature column"),
        (b"a,a,fraud\n1,2,0\n", "['a']"),
        (b"a,,fraud\n1,2,0\n", "['']"),
        (b"a, b,fraud\n1,2,0\n", "[' b']"),
        (b"\xef\xbb\xbfa,fraud\n1,0\n", "marked"),
        (b"a,fraud\n1,0\n1\n", "row 2 has 1 cells, the header 2"),
        (b"a,fraud\n1,0\n\n1,0\n", "row 2 has 0 cells"),
        (b"a,fraud\n1,2\n", "label '2', which is neither 0 nor 1"),
        (b"a,fraud\n1,\n", "label ''"),
        (b"a,fraud\n,0\n", "row 1 has '' where a finite number"),
        (b"a,fraud\nnan,0\n", "row 1 has 'nan'"),
        (b"a,fraud\ninf,0\n", "row 1 has 'inf'"),
        (b"a,fraud\n1e999,0\n", "row 1 has '1e999'"),
        (b"a,fraud\n1_0,0\n", "row 1 has '1_0'"),
        (b"a,fraud\n 1,0\n", "row 1 has ' 1'"),
        ("a,fraud\n١,0\n".encode(), "row 1 has"),
        (b'a,fraud\n"1,0\n', "unexpected end of data"),
        (b"a,fraud\n\xff,0\n", "utf-8"),
        (b"a,fraud\n" + b"1,0\n" * 4, "more than 3 rows"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """Each with the row and what stands there."""
    reason, sentence = refusal(tmp_path, content)
    assert reason == "golden_set_invalid"
    assert says in sentence


@given(
    rows=st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 1)), min_size=1)
)
def test_what_python_writes_is_read_back(
    rows: list[tuple[float, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No number changes on the way."""
    text = "x,fraud\n" + "".join(f"{value!r},{label}\n" for value, label in rows)
    golden = read(tmp_path_factory.mktemp("golden"), text.encode(), maximum_rows=len(rows))
    assert [value for (value,) in golden.rows] == [value for value, _ in rows]
    assert list(golden.labels) == [label for _, label in rows]


# ------------------------------------------------------------------------ in batches


class Bytes:
    """A repository with one file."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """The file, whatever it is called."""
        return self._content


def taken(content: bytes, *, maximum_rows: int = 10**6, **wanted: Any) -> dict[str, list[Any]]:
    """Everything that was asked for, from all batches."""
    pin = Pin(place="golden.csv", sha256="")
    with open_table(pin, at=COMMIT, maximum_rows=maximum_rows, repository=Bytes(content)) as table:
        return drained(table, **wanted)


def drained(table: Table, **wanted: Any) -> dict[str, list[Any]]:
    """One pass over a table."""
    found: dict[str, list[Any]] = {"numbers": [], "words": [], "labels": []}
    first = 1
    for batch in table.batches(**wanted):
        assert batch.first == first
        first += max(len(batch.numbers), len(batch.labels))
        found["numbers"] += batch.numbers.tolist()
        found["words"] += zip(*batch.words, strict=True)
        found["labels"] += batch.labels.tolist()
    return found


def refused(content: bytes, **wanted: Any) -> str:
    """The sentence with which a table is refused."""
    with pytest.raises(GoldenRefused) as refusal:
        taken(content, **wanted)
    assert refusal.value.reason == "golden_set_invalid"
    return str(refusal.value)


def parquet(columns: Mapping[str, Any], **options: Any) -> bytes:
    """A table in Parquet."""
    arrow, writing = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = io.BytesIO()
    writing.write_table(arrow.table(dict(columns)), sink, **options)
    return sink.getvalue()


def test_rows_come_in_batches_with_their_numbers() -> None:
    """A file of more than one batch; words stay as they were written."""
    rows = BATCH_ROWS + 7
    content = "x,region,y\n" + "".join(f"{n},r{n % 3},{n % 2}\n" for n in range(rows))
    found = taken(content.encode(), numbers=["x"], words=["region"], label="y")
    assert found["numbers"] == [[float(n)] for n in range(rows)]
    assert found["words"][:4] == [("r0",), ("r1",), ("r2",), ("r0",)]
    assert found["labels"] == [bool(n % 2) for n in range(rows)]
    late = content.replace(f"{rows - 2},r", "oops,r").encode()
    assert f"row {rows - 1} has 'oops'" in refused(late, numbers=["x"])


def test_a_table_can_be_read_again_and_for_other_columns() -> None:
    """Each pass is afresh, whichever columns it wants, also after one that was left half-way."""
    for content in (b"a,b\n1,2\n3,4\n", parquet({"a": [1, 3], "b": [2, 4]})):
        pin = Pin(place="golden.csv", sha256="")
        with open_table(pin, at=COMMIT, maximum_rows=9, repository=Bytes(content)) as table:
            assert drained(table, numbers=["a", "b"])["numbers"] == [[1.0, 2.0], [3.0, 4.0]]
            next(table.batches(numbers=["a"]))
            assert drained(table, numbers=["b", "a"])["numbers"] == [[2.0, 1.0], [4.0, 3.0]]
            assert drained(table, words=["b"])["words"] == [("2",), ("4",)]


@pytest.mark.parametrize("cell", ["1,2", "1\n", "1;", "--1", "1e", "0x1", "nan", "1_0", " 1", "１"])
def test_no_cell_passes_for_several_numbers(cell: str) -> None:
    """However it looks when the column is taken together."""
    quoted = f'x,y\n0,1\n"{cell}",1\n2,0\n'.encode()
    assert f"row 2 has {cell!r}" in refused(quoted, numbers=["x"])


def test_parquet_gives_what_csv_gives() -> None:
    """Whole numbers, fractions, words, dictionaries, truth values as labels; in several row groups."""
    arrow = pytest.importorskip("pyarrow")
    columns = {
        "a": np.arange(10, dtype=np.int32),
        "b": np.linspace(0, 1, 10, dtype=np.float32),
        "c": arrow.array([f"w{n % 2}" for n in range(10)]).dictionary_encode(),
        "d": [n % 2 == 1 for n in range(10)],
    }
    found = taken(parquet(columns, row_group_size=3), numbers=["a", "b"], words=["c", "a"], label="d")
    assert found["numbers"] == [[float(n), float(np.float32(n / 9))] for n in range(10)]
    assert found["words"] == [(f"w{n % 2}", str(n)) for n in range(10)]
    assert found["labels"] == [n % 2 == 1 for n in range(10)]


@pytest.mark.parametrize(
    ("columns", "wanted", "says"),
    [
        ({"x": [1.0, None]}, {"numbers": ["x"]}, "row 2 has ''"),
        ({"x": [1.0, float("nan")]}, {"numbers": ["x"]}, "row 2 has nan"),
        ({"x": [1.0, float("inf")]}, {"numbers": ["x"]}, "row 2 has inf"),
        ({"x": ["1", "2"]}, {"numbers": ["x"]}, "its column 'x' holds string, not numbers"),
        ({"x": [[1.0], [2.0]]}, {"numbers": ["x"]}, "not numbers"),
        ({"x": [[1.0], [2.0]]}, {"words": ["x"]}, "not text or numbers"),
        ({"x": ["a", None]}, {"words": ["x"]}, "row 2 has ''"),
        ({"x": [2**53, 2**53 + 1]}, {"numbers": ["x"]}, "a column of whole numbers cannot be used"),
        ({"x": [0, 2]}, {"label": "x"}, "row 2 has the label '2'"),
        ({"x": [0, None]}, {"label": "x"}, "row 2 has ''"),
        ({"x": [1.0]}, {"numbers": ["y"]}, "no column is called 'y', only x"),
        ({"x": []}, {"words": ["x"]}, "holds null, not text or numbers"),
        ({"x": np.empty(0)}, {"numbers": ["x"]}, "it has no rows"),
        ({" x": [1.0]}, {"numbers": [" x"]}, "padded"),
        ({"": [1.0]}, {"numbers": [""]}, "empty"),
        ({}, {}, "it has no columns"),
        ({"x": [1.0] * 5}, {"numbers": ["x"], "maximum_rows": 4}, "more than 4 rows"),
    ],
)
def test_what_is_no_table_in_parquet_is_refused(
    columns: Mapping[str, Sequence[Any]], wanted: dict[str, Any], says: str
) -> None:
    """By the same sentences as in CSV where it is the same fault."""
    assert says in refused(parquet(columns), **wanted)


def test_a_broken_parquet_is_refused() -> None:
    """Cut off, or with bytes changed inside."""
    whole = parquet({"x": np.random.default_rng(1).random(10_000)}, compression="zstd")
    assert "no Parquet that can be read" in refused(whole[:-100], numbers=["x"])
    changed = bytearray(whole)
    changed[4:60] = bytes(56)
    assert "cannot be read" in refused(bytes(changed), numbers=["x"])


def test_parquet_without_pyarrow_says_what_to_install() -> None:
    """That is no verdict about the table: whoever asked records UNKNOWN."""
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from gates.golden import *\n"
        "class R:\n def read_bytes(self, p, a): return b'PAR1 and more'\n"
        "try:\n"
        " with open_table(Pin(place='x', sha256=''), at='c', maximum_rows=9, repository=R()): pass\n"
        "except ParquetMissing as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'lockgate[parquet]'" in done.stdout


def test_reading_csv_loads_no_arrow() -> None:
    """The command line and the rehearsal never pay for it."""
    code = (
        "import sys\nfrom gates.golden import *\n"
        "class R:\n def read_bytes(self, p, a): return b'x,y\\n1,0\\n'\n"
        "read_golden(R(), 'x', at='c', sha256='', label='y', maximum_rows=9)\n"
        "print('pyarrow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"


@given(
    rows=st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_both_formats_read_back_what_was_written(rows: list[tuple[float, str, bool]]) -> None:
    """No number and no word changes on the way."""
    import csv

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["x", "w", "y"])
    writer.writerows((repr(x), w, int(y)) for x, w, y in rows)
    x, w, y = (list(column) for column in zip(*rows, strict=True))
    for content in (text.getvalue().encode(), parquet({"x": x, "w": w, "y": y})):
        found = taken(content, numbers=["x"], words=["w"], label="y")
        assert found == {"numbers": [[one] for one in x], "words": [(one,) for one in w], "labels": y}
