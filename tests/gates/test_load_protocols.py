"""How each protocol writes requests and knows a good answer: pure, property by property.

What gRPC's messages mean is held against Google's own library, where it is installed. The wire itself is in
test_load_wire.py.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.load.protocols import PROTOCOLS, Table, openai, v2_binary, v2_grpc
from gates.load.protocols.protocol import Tensor
from gates.load.recording import Payload

NAME = "user->age:int"
ONE = Table(
    requests=((Tensor(name="input-0", datatype="FP64", shape=(1, 2), data=(1.5, -2.0)),),), columns=("a", "b")
)
NAMED = Table(
    requests=(
        (
            Tensor(name=NAME, datatype="INT64", shape=(1, 1), data=(7,)),
            Tensor(name="word", datatype="BYTES", shape=(1, 2), data=("ä", "")),
        ),
    )
)


def encoded(protocol: Any, table: Table) -> Payload:
    """Its only request."""
    encode = PROTOCOLS[protocol].encode
    assert encode
    (payload,) = encode(table)
    return payload


class TestAnswers:
    """What counts as served."""

    @pytest.mark.parametrize("name", list(PROTOCOLS))
    def test_the_null_endpoint_s_answer_is_good(self, name: Any) -> None:
        """Else every calibration would fail."""
        protocol = PROTOCOLS[name]
        status = 0 if name == "v2_grpc" else 200
        assert protocol.kind(status, protocol.example) == "ok"
        if protocol.streamed_example:
            assert protocol.kind(status, protocol.streamed_example) == "ok"
            assert protocol.is_first is not None
            assert protocol.is_first(protocol.streamed_example)

    @pytest.mark.parametrize("name", list(PROTOCOLS))
    @given(body=st.binary(max_size=60) | st.text(alphabet='{}[]":,dat e\n', max_size=40).map(str.encode))
    def test_whatever_comes_is_judged(self, name: Any, body: bytes) -> None:
        """No answer raises, and none is called by a name that a recording does not know."""
        assert PROTOCOLS[name].kind(200, body) in {"ok", "no_outputs", "cut_off", "grpc_200"}
        assert PROTOCOLS[name].kind(503, body) in {"http_503", "grpc_503"}

    @pytest.mark.parametrize("name", ["v2", "v2_binary", "v1", "completions", "chat"])
    @pytest.mark.parametrize(
        "body", [b"", b"null", b"[]", b"{}", b'{"outputs": []}', b'{"outputs": 1}', b"[" * 100_000]
    )
    def test_nothing_in_it_is_no_answer(self, name: Any, body: bytes) -> None:
        """HTTP 200 alone serves nobody."""
        assert PROTOCOLS[name].kind(200, body) == "no_outputs"

    def test_binary_outputs_must_be_there_whole(self) -> None:
        """As many bytes as the head says, no more, no less; JSON outputs are good as well."""
        head = b'{"outputs":[{"name":"p","parameters":{"binary_data_size":8}},{"name":"q","data":[1]}]}'
        assert v2_binary.kind(200, head + b"\xff" * 8) == "ok"
        assert v2_binary.kind(200, head + b"\xff" * 7) == "no_outputs"
        assert v2_binary.kind(200, head + b"\xff" * 9) == "no_outputs"

    @pytest.mark.parametrize("end", range(1, len(v2_grpc.EXAMPLE)))
    def test_a_message_that_was_cut_is_no_answer(self, end: int) -> None:
        """At whatever byte."""
        assert v2_grpc.kind(0, v2_grpc.EXAMPLE[:end]) == "no_outputs"

    def test_statuses_of_grpc_have_their_names(self) -> None:
        """So that a report can be read."""
        assert v2_grpc.kind(14, b"") == "grpc_unavailable"
        assert v2_grpc.kind(77, b"") == "grpc_77"


class TestStreams:
    """Server-sent events."""

    EVENTS = (
        b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
        b": a comment\n\n"
        b'data: {"choices":[{"delta":{"content":"Hel"}}]}\r\n\r\n'
        b'data: {"choices":[{"delta":{"content":"lo"}}]}\n\n'
        b"data: [DONE]\n\n"
    )

    def test_the_first_token_is_the_first_text(self) -> None:
        """Not the event that names the role, and not half an event."""
        came = self.EVENTS.index(b'"Hel"}}]}') + len(b'"Hel"}}]}')
        assert not openai.is_first(self.EVENTS[:came])
        assert openai.is_first(self.EVENTS[: came + 2])
        assert openai.is_first(self.EVENTS)

    def test_a_whole_stream_is_good(self) -> None:
        """In chat and in completions, also where the model thinks aloud first."""
        assert openai.kind(200, self.EVENTS) == "ok"
        assert openai.kind(200, b'data: {"choices":[{"text":"so"}]}\n\ndata: [DONE]\n\n') == "ok"
        thinks = b'data:{"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\ndata:[DONE]\n\n'
        assert openai.kind(200, thinks) == "ok"

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (EVENTS[: -len(b"data: [DONE]\n\n")], "cut_off"),
            (b"data: [DONE]\n\n", "no_outputs"),
            (b'data: {"error": {"message": "out of memory"}}\n\ndata: [DONE]\n\n', "no_outputs"),
            (b"data: {half\n\n", "no_outputs"),
            (b": nothing\n\n", "cut_off"),
        ],
    )
    def test_what_is_wrong_has_its_name(self, body: bytes, kind: str) -> None:
        """Cut off, or without an answer in it."""
        assert openai.kind(200, body) == kind

    @given(st.integers(0, len(EVENTS) - 3))
    def test_no_beginning_of_a_stream_is_good(self, end: int) -> None:
        """Wherever the connection broke."""
        assert openai.kind(200, self.EVENTS[:end]) != "ok"


class TestRequests:
    """What goes out."""

    def test_v2_is_as_it_was(self) -> None:
        """One tensor of all features, and whose they are."""
        assert json.loads(encoded("v2", ONE).body) == {
            "parameters": {"columns": "a,b"},
            "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [1, 2], "data": [1.5, -2.0]}],
        }

    def test_v2_with_named_tensors(self) -> None:
        """Names with arrows and colons arrive as they are, and no columns are claimed."""
        body = json.loads(encoded("v2", NAMED).body)
        assert list(body) == ["inputs"]
        assert [one["name"] for one in body["inputs"]] == [NAME, "word"]

    def test_v1(self) -> None:
        """A list of features, or an object by name."""
        assert json.loads(encoded("v1", ONE).body) == {"instances": [[1.5, -2.0]]}
        assert json.loads(encoded("v1", NAMED).body) == {"instances": [{NAME: 7, "word": ["ä", ""]}]}

    def test_binary_tensors_lie_behind_their_head(self) -> None:
        """Its length stands in a header, each tensor's in the head, in their order."""
        payload = encoded("v2_binary", NAMED)
        length = int(dict(payload.headers)["Inference-Header-Content-Length"])
        head, data = json.loads(payload.body[:length]), payload.body[length:]
        assert dict(payload.headers)["Content-Type"] == "application/octet-stream"
        assert [one["parameters"]["binary_data_size"] for one in head["inputs"]] == [8, 10]
        assert [one["name"] for one in head["inputs"]] == [NAME, "word"]
        assert head["parameters"] == {"binary_data_output": True}
        assert data == struct.pack("<q", 7) + b"\x02\x00\x00\x00\xc3\xa4" + b"\x00\x00\x00\x00"

    @pytest.mark.parametrize(
        ("datatype", "data", "raw"),
        [
            ("FP32", (1.5,), b"\x00\x00\xc0\x3f"),
            ("INT32", (-2,), b"\xfe\xff\xff\xff"),
            ("INT8", (-1,), b"\xff"),
            ("UINT8", (255,), b"\xff"),
            ("INT16", (1,), b"\x01\x00"),
            ("BOOL", (True, False), b"\x01\x00"),
        ],
    )
    def test_numbers_are_little_endian(self, datatype: str, data: tuple[Any, ...], raw: bytes) -> None:
        """As Triton wants them."""
        tensor = Tensor(name="x", datatype=datatype, shape=(len(data),), data=data)
        assert v2_binary.raw(tensor) == raw


@pytest.fixture(scope="module")
def messages() -> Any:
    """Message name -> class."""
    descriptor = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor.FileDescriptorProto(name="oip.proto", package="inference", syntax="proto3")
    fields: dict[str, list[tuple[str, int, int, bool, str]]] = {
        # name, number, type (9 string, 3 int64, 11 message, 12 bytes), repeated, message
        "Tensor": [("name", 1, 9, False, ""), ("datatype", 2, 9, False, ""), ("shape", 3, 3, True, "")],
        "Value": [("string_param", 3, 9, False, "")],
        "Entry": [("key", 1, 9, False, ""), ("value", 2, 11, False, "Value")],
        "ModelInferRequest": [
            ("model_name", 1, 9, False, ""),
            ("parameters", 4, 11, True, "Entry"),  # a map is repeated entries
            ("inputs", 5, 11, True, "Tensor"),
            ("raw_input_contents", 7, 12, True, ""),
        ],
        "ModelInferResponse": [("model_name", 1, 9, False, ""), ("outputs", 5, 11, True, "Tensor")],
        "ModelMetadataRequest": [("name", 1, 9, False, "")],
        "ModelMetadataResponse": [("name", 1, 9, False, ""), ("inputs", 4, 11, True, "Tensor")],
    }
    for message, entries in fields.items():
        made = file.message_type.add(name=message)
        for name, number, kind, repeated, inner in entries:
            made.field.add(
                name=name,
                number=number,
                type=kind,
                label=3 if repeated else 1,
                type_name=f".inference.{inner}" if inner else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in fields
    }


class TestGrpcMessages:
    """Held against Google's library, which is told the protocol's fields by their published numbers."""

    @pytest.mark.parametrize("table", [ONE, NAMED])
    def test_a_request_is_read_as_it_was_meant(self, messages: Any, table: Table) -> None:
        """Model, names, datatypes, shapes, columns, bytes."""
        payload = v2_grpc.with_model(encoded("v2_grpc", table), "fraud-scorer")
        read = messages["ModelInferRequest"].FromString(payload.body)
        assert read.model_name == "fraud-scorer"
        (tensors,) = table.requests
        assert [(one.name, one.datatype, tuple(one.shape)) for one in read.inputs] == [
            (one.name, one.datatype, one.shape) for one in tensors
        ]
        assert list(read.raw_input_contents) == [v2_binary.raw(one) for one in tensors]
        assert [(one.key, one.value.string_param) for one in read.parameters] == (
            [("columns", "a,b")] if table.columns else []
        )

    @given(size=st.integers(1, 2**40))
    def test_large_sizes_survive(self, messages: Any, size: int) -> None:
        """Numbers of more than seven bits."""
        tensor = Tensor(name="x", datatype="UINT8", shape=(size,), data=())
        (payload,) = v2_grpc.encode(Table(requests=((tensor,),)))
        assert list(messages["ModelInferRequest"].FromString(payload.body).inputs[0].shape) == [size]

    def test_metadata_is_read(self, messages: Any) -> None:
        """Any size is -1; the request names the model."""
        inputs = [messages["Tensor"](name=NAME, datatype="FP32", shape=[-1, 300])]
        told = messages["ModelMetadataResponse"](name="m", inputs=inputs).SerializeToString()
        assert v2_grpc.metadata_inputs(told) == [{"name": NAME, "datatype": "FP32", "shape": [-1, 300]}]
        asked = messages["ModelMetadataRequest"].FromString(v2_grpc.metadata_request("m"))
        assert asked.name == "m"

    def test_a_response_is_known(self, messages: Any) -> None:
        """With outputs it is one, without it is none."""
        response = messages["ModelInferResponse"]
        good = response(model_name="m", outputs=[messages["Tensor"](name="p")])
        assert v2_grpc.kind(0, good.SerializeToString()) == "ok"
        assert v2_grpc.kind(0, response(model_name="m").SerializeToString()) == "no_outputs"
