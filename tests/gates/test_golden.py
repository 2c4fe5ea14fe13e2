"""Golden sets are read strictly; each way in which a file cannot be used is planted and named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.golden import Golden, GoldenRefused, read_golden
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
