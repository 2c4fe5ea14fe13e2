"""OpenAI's completions and chat completions, whole or streamed as server-sent events.

A streamed answer is good when every event is JSON without an error, at least one has text, and the last says
``[DONE]``; without that it was cut off, however much came before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from gates.load.protocols.protocol import Protocol, named_list

_EVENT = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)
_whole = named_list("choices")


def _has_text(event: object) -> bool:
    """Whether an event brings any of the answer; the first ones may name a role and nothing else."""
    choices = event.get("choices") if isinstance(event, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            delta = choice.get("delta")
            said = delta if isinstance(delta, dict) else choice
            if any(said.get(field) for field in ("content", "text", "reasoning_content", "tool_calls")):
                return True
    return False


def _events(body: bytes) -> Iterator[object]:
    """Every event that is whole.

    Raises:
        ValueError: one is neither JSON nor ``[DONE]``.
    """
    for data in _EVENT.findall(body[: body.rfind(b"\n") + 1]):
        yield "[DONE]" if data == b"[DONE]" else json.loads(data)


def is_first(body: bytes) -> bool:
    """Whether what came so far holds text."""
    try:
        return any(_has_text(event) for event in _events(body))
    except (ValueError, RecursionError):
        return False


def kind(status: int, body: bytes) -> str:
    """Good is HTTP 200 with choices: a JSON object, or a whole stream of events."""
    if status != 200 or not body.lstrip().startswith((b"data:", b":", b"event:")):
        return _whole(status, body)
    try:
        events = list(_events(body))
    except (ValueError, RecursionError):
        return "no_outputs"
    if any(isinstance(event, dict) and event.get("error") for event in events):
        return "no_outputs"
    if not events or events[-1] != "[DONE]":
        return "cut_off"
    return "ok" if any(map(_has_text, events)) else "no_outputs"


COMPLETIONS = Protocol(
    path=lambda _: "/v1/completions",
    kind=kind,
    is_first=is_first,
    example=b'{"object":"text_completion","choices":[{"index":0,"text":"so"}]}',
    streamed_example=b'data: {"choices":[{"index":0,"text":"so"}]}\n\ndata: [DONE]\n\n',
)
CHAT = Protocol(
    path=lambda _: "/v1/chat/completions",
    kind=kind,
    is_first=is_first,
    example=b'{"object":"chat.completion","choices":[{"index":0,"message":{"content":"so"}}]}',
    streamed_example=b'data: {"choices":[{"index":0,"delta":{"content":"so"}}]}\n\ndata: [DONE]\n\n',
)
