"""What a model says of itself: ``python -m gates.load.worker.describe``, a run as JSON on stdin.

Prints its inputs as V2 names them, or ``{"absent": why}``. Not part of the generator, which sends alone.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from http.client import HTTPException

from gates.load.protocols.v2_grpc import METADATA_METHOD, metadata_inputs, metadata_request

_MOST_BYTES = 1 << 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What another address says of itself is not asked for."""

    def redirect_request(self, *_: object) -> None:
        """Never."""


def over_http(url: str, timeout_seconds: float) -> object:
    """The inputs in the metadata at an address.

    Raises:
        OSError: nobody answers, or not with success.
        ValueError: the answer is not JSON.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    with opener.open(url, timeout=timeout_seconds) as answer:
        found = json.loads(answer.read(_MOST_BYTES))
    return found.get("inputs") if isinstance(found, dict) else None


def over_grpc(url: str, model: str, timeout_seconds: float) -> object:
    """The inputs in the metadata of a model.

    Raises:
        OSError: no answer with status OK.
        ValueError: the answer is no message.
    """
    import grpc

    from gates.load.worker.grpc import open_channel

    try:
        ask = open_channel(url).unary_unary(METADATA_METHOD)
        return metadata_inputs(ask(metadata_request(model), timeout=timeout_seconds))
    except grpc.RpcError as error:
        raise OSError(f"{error.code().name}: {error.details()}") from None


def main() -> None:
    """Ask what stdin names and print the answer."""
    asked = json.loads(sys.stdin.read())
    url, model, timeout_seconds = asked["url"], asked["model"], asked["timeout_seconds"]
    try:
        if asked["protocol"] == "v2_grpc":
            said = {"inputs": over_grpc(url, model, timeout_seconds)}
        else:
            said = {"inputs": over_http(url, timeout_seconds)}
    except (OSError, ValueError, RecursionError, HTTPException) as error:
        said = {"absent": f"{type(error).__name__}: {error}"[:300]}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
