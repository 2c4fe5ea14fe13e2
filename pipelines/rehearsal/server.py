"""What all loopback servers share: a Flask app on a free port of 127.0.0.1, and faults on demand.

A fault is armed for the next requests that match it. ``before`` answers instead of the handler;
``after`` lets the handler take effect and then loses its answer, which is how duplicates are born.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

from flask import Flask, Response, jsonify, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server


@dataclass(slots=True)
class Fault:
    """One misbehaviour, used up after ``times`` matching requests."""

    method: str
    path: str
    """Regular expression searched in the request's path and query string."""
    when: Literal["before", "after"] = "before"
    status: int = 502
    body: str = "<html><body>Bad Gateway</body></html>"
    content_type: str = "text/html"
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    times: int = 1
    skip: int = 0
    """Matching requests let through first."""

    def answer(self) -> Response:
        """The response that takes the place of the real one."""
        time.sleep(self.delay_seconds)
        return Response(self.body, self.status, self.headers, content_type=self.content_type)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep the terminal for people."""


class LoopbackServer:
    """A Flask app served by threads on 127.0.0.1; ``port=0`` picks a free one."""

    def __init__(self, app: Flask, *, port: int = 0) -> None:
        self.app = app
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        """(method, path) of every request seen, oldest first, for tests that count calls."""
        self._lock = threading.Lock()
        self._http: BaseWSGIServer = make_server(
            "127.0.0.1", port, app, threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(target=self._serve, daemon=True, name=app.name)
        app.before_request(self._before)
        app.after_request(self._after)
        app.add_url_rule("/_rehearsal/faults", view_func=self._arm, methods=["POST", "DELETE"])

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._http.server_port)

    @property
    def url(self) -> str:
        """Base address, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve in a background thread."""
        self._thread.start()

    def _serve(self) -> None:
        # How often it looks whether to stop: the default of half a second is what each test would wait.
        self._http.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        """Stop serving and free the port."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join(timeout=5)
        self._http.server_close()

    def arm(self, fault: Fault) -> None:
        """Let the next matching requests meet this fault."""
        with self._lock:
            self.faults.append(fault)

    def _arm(self) -> Response:
        with self._lock:
            if request.method == "DELETE":
                self.faults.clear()
            else:
                self.faults.append(Fault(**request.get_json()))
        return jsonify({})

    def _take(self, when: Literal["before", "after"]) -> Fault | None:
        target = request.full_path.rstrip("?")
        with self._lock:
            for fault in self.faults:
                if fault.when != when or fault.method != request.method or not re.search(fault.path, target):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def _before(self) -> Response | None:
        if request.path.startswith("/_rehearsal/"):
            return None
        self.requests.append((request.method, request.path))
        fault = self._take("before")
        return fault.answer() if fault else None

    def _after(self, response: Response) -> Response:
        if request.path.startswith("/_rehearsal/"):
            return response
        fault = self._take("after")
        return fault.answer() if fault else response
