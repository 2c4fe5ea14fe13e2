"""How models are spoken to: one file for each protocol, pure.

V2 in JSON is ``v2``, with binary tensors ``v2_binary``, over gRPC ``v2_grpc``; TensorFlow's V1 is ``v1``;
OpenAI's completions and chat, streamed or not, are ``openai``.
"""

from __future__ import annotations

from gates.load.protocols import openai, v1, v2, v2_binary, v2_grpc
from gates.load.protocols.protocol import Protocol, Table
from gates.load.recording import ProtocolName

PROTOCOLS: dict[ProtocolName, Protocol] = {
    "v2": v2.PROTOCOL,
    "v2_binary": v2_binary.PROTOCOL,
    "v2_grpc": v2_grpc.PROTOCOL,
    "v1": v1.PROTOCOL,
    "completions": openai.COMPLETIONS,
    "chat": openai.CHAT,
}

__all__ = ["PROTOCOLS", "Protocol", "Table"]
