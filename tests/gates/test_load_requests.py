"""What the load gate sends: tables, recorded bodies, generated values; each refusal planted once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from gates.golden import Golden, GoldenRefused
from gates.load.requests import MOST, Unusable, from_lines, from_metadata, from_table
from gates.load.settings import LoadSettings

TABLE = LoadSettings(payloads="rows.csv")
RECORDED = LoadSettings(payloads="asked.jsonl", source="recorded")
GENERATED = LoadSettings(source="generated")
GOLDEN = Golden(sha256="0" * 64, columns=("user->age:int", "b"), rows=((1.0, 2.0), (3.0, 4.5)), labels=())
COMMIT = "b" * 40


class TestTable:
    """Rows of a golden set."""

    def test_a_row_is_one_tensor(self) -> None:
        """Of all features."""
        first, second = (json.loads(one.body) for one in from_table(GOLDEN, TABLE, "m"))
        assert first["inputs"][0]["data"] == [1.0, 2.0]
        assert second["inputs"][0]["shape"] == [1, 2]
        assert first["parameters"] == {"columns": "user->age:int,b"}

    def test_or_one_tensor_for_each_column(self) -> None:
        """Named as the column, of one value."""
        settings = replace(TABLE, tensors="columns", datatype="FP32")
        first = json.loads(from_table(GOLDEN, settings, "m")[0].body)
        assert first == {
            "inputs": [
                {"name": "user->age:int", "datatype": "FP32", "shape": [1, 1], "data": [1.0]},
                {"name": "b", "datatype": "FP32", "shape": [1, 1], "data": [2.0]},
            ]
        }

    def test_whole_numbers_are_sent_as_such(self) -> None:
        """Under the name that was set."""
        golden = replace(GOLDEN, rows=((1.0, 2.0),))
        settings = replace(TABLE, datatype="INT64", tensor_name="x")
        (one,) = from_table(golden, settings, "m")
        assert b'"name": "x", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]' in one.body

    @pytest.mark.parametrize(("datatype", "value"), [("INT64", 4.5), ("INT32", 2.0**31), ("FP32", 1e39)])
    def test_what_the_datatype_cannot_hold_is_refused(self, datatype: Any, value: float) -> None:
        """Rather than rounded."""
        with pytest.raises(GoldenRefused) as refused:
            from_table(replace(GOLDEN, rows=((value, 1.0),)), replace(TABLE, datatype=datatype), "m")
        assert refused.value.reason == "golden_set_invalid"

    def test_many_rows_are_drawn_from(self) -> None:
        """By the seed."""
        many = replace(GOLDEN, rows=tuple((float(n), 0.0) for n in range(3 * MOST)))
        drawn = [from_table(many, replace(TABLE, seed=seed), "m") for seed in (1, 1, 2)]
        assert len(drawn[0]) == MOST
        assert drawn[0] == drawn[1] != drawn[2]


class TestRecorded:
    """Bodies that were once sent."""

    def test_they_are_sent_byte_for_byte(self) -> None:
        """With the file's sha256 for the evidence; empty lines are none."""
        content = b'{"inputs": [1],   "odd":"\xc3\xa4"}\r\n\n{"inputs": [2]}'
        payloads, sha256 = from_lines(content, RECORDED, "m", COMMIT)
        assert [one.body.strip() for one in payloads] == [
            b'{"inputs": [1],   "odd":"\xc3\xa4"}', b'{"inputs": [2]}'
        ]  # fmt: skip
        assert sha256 == hashlib.sha256(content).hexdigest()

    @pytest.mark.parametrize("stream", [True, False])
    def test_texts_get_the_model_and_whether_to_stream(self, stream: bool) -> None:
        """Whatever the recording said."""
        settings = replace(RECORDED, protocol="chat", stream=stream)
        line = b'{"messages": [{"role": "user", "content": "hi"}], "model": "old", "max_tokens": 9}'
        ((payload,), _) = from_lines(line, settings, "llm", COMMIT)
        body = json.loads(payload.body)
        assert (body["model"], body["stream"], body["max_tokens"]) == ("llm", stream, 9)

    @pytest.mark.parametrize("protocol", ["v2_binary", "v2_grpc"])
    def test_v2_in_json_becomes_binary(self, protocol: Any) -> None:
        """Nested data are flattened; the name travels with its arrow."""
        tensor = {"name": "a->b:c", "datatype": "INT32", "shape": [2, 2], "data": [[1, 2], [3, 4]]}
        line = json.dumps({"inputs": [tensor]}).encode()
        ((payload,), _) = from_lines(line, replace(RECORDED, protocol=protocol), "m", COMMIT)
        assert b"a->b:c" in payload.body
        assert payload.body.endswith(b"\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0")

    @pytest.mark.parametrize(
        ("content", "changes", "reason"),
        [
            (None, {}, "payloads_missing"),
            (b"{}", {"sha256": "0" * 64}, "payloads_differs"),
            (b"", {}, "payloads_empty"),
            (b"\n \n", {}, "payloads_empty"),
            (b"{}\n{}", {"maximum_rows": 1}, "payloads_invalid"),
            (b"[1]", {}, "payloads_invalid"),
            (b"{half", {}, "payloads_invalid"),
            (b'{"x": NaN}', {}, "payloads_invalid"),
            (b"[" * 100_000, {}, "payloads_invalid"),
            (b"\xff\xfe{}", {}, "payloads_invalid"),
            (b"{}", {"protocol": "v2_grpc"}, "payloads_invalid"),
            (
                b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [3], "data": [1]}]}',
                {"protocol": "v2_binary"},
                "payloads_invalid",
            ),
            (
                b'{"inputs": [{"name": "x", "datatype": "FP99", "shape": [1], "data": [1]}]}',
                {"protocol": "v2_binary"},
                "payloads_invalid",
            ),
            (
                b'{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [999]}]}',
                {"protocol": "v2_grpc"},
                "payloads_invalid",
            ),
        ],
    )
    def test_refused(self, content: bytes | None, changes: dict[str, Any], reason: str) -> None:
        """Each with its own reason."""
        with pytest.raises(GoldenRefused) as refused:
            from_lines(content, replace(RECORDED, **changes), "m", COMMIT)
        assert refused.value.reason == reason

    def test_the_line_is_named(self) -> None:
        """So that it can be found among thousands."""
        with pytest.raises(GoldenRefused, match="line 3 is no request of v2"):
            from_lines(b"{}\n\nnull\n", RECORDED, "m", COMMIT)


class TestGenerated:
    """Values for the inputs that a model names."""

    INPUTS = (
        {"name": "user->age:int", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "w", "datatype": "BYTES", "shape": [2]},
        {"name": "t", "datatype": "BOOL", "shape": [1]},
    )

    def test_every_input_gets_values_of_its_shape(self) -> None:
        """Any size counts as one."""
        payloads = from_metadata(list(self.INPUTS), GENERATED, "m")
        inputs = json.loads(payloads[0].body)["inputs"]
        assert len(payloads) == 100
        assert [one["name"] for one in inputs] == ["user->age:int", "x", "w", "t"]
        assert [one["shape"] for one in inputs] == [[1, 1], [1, 3], [2], [1]]
        assert [len(one["data"]) for one in inputs] == [1, 3, 2, 1]
        assert [type(one["data"][0]) for one in inputs] == [int, float, str, bool]

    def test_the_seed_decides(self) -> None:
        """The same one draws the same values, in every protocol that has tensors."""
        for protocol in ("v2", "v2_binary", "v2_grpc"):
            one, same, other = (
                from_metadata(list(self.INPUTS), replace(GENERATED, protocol=protocol, seed=seed), "m")
                for seed in (1, 1, 2)
            )
            assert one == same != other

    @pytest.mark.parametrize(
        ("inputs", "says"),
        [
            (None, "names no inputs"),
            ([], "names no inputs"),
            ([3], "is '3'"),
            ([{"name": "x", "shape": [1]}], "'x'"),
            ([{"name": "x", "datatype": "FP32", "shape": 1}], "An input"),
            ([{"name": "x", "datatype": "FP8", "shape": [1]}], "FP8"),
            ([{"name": "x", "datatype": "FP32", "shape": [10**6, 10**6]}], "too large"),
        ],
    )
    def test_refused(self, inputs: object, says: str) -> None:
        """By what is missing."""
        with pytest.raises(Unusable, match=says):
            from_metadata(inputs, GENERATED, "m")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "name the file"),
        ({"source": "generated", "payloads": "x.csv"}, "nothing is read"),
        ({"source": "generated", "protocol": "v1"}, "names no inputs"),
        ({"payloads": "x.csv", "protocol": "chat"}, "have to be recorded"),
        ({"payloads": "x.csv", "stream": True}, "only completions and chat"),
        ({"payloads": "x.csv", "first_token_threshold_ms": 5.0}, "where stream is true"),
        ({"payloads": "x.csv", "path": "v1/x"}, "begin with a slash"),
        ({"payloads": "x.csv", "path": "/a b"}, "begin with a slash"),
        ({"payloads": "x.csv", "path": "/a\r\nX: y"}, "begin with a slash"),
        ({"payloads": "x.csv", "protocol": "v2_grpc", "path": "/x"}, "gRPC has none"),
    ],
)
def test_settings_that_contradict_each_other(keys: dict[str, Any], says: str) -> None:
    """Refused before anything is sent."""
    with pytest.raises(ValueError, match=says):
        LoadSettings(**keys)
