"""The operator's HTTP endpoint on the loopback address: /live, /ready, /metrics and /openapi.json."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from serving.server.health import Health
from serving.server.ports import LOOPBACK

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class OperatorEndpoint:
    """Serves the endpoint in a separate thread while open. Use it as a context manager."""

    def __init__(self, port: int, *, health: Callable[[], Health], metrics: Callable[[], bytes]) -> None:
        handler = type("Handler", (_Handler,), {"health": staticmethod(health), "metrics": staticmethod(metrics)})
        self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="operator-endpoint", daemon=True)

    def __enter__(self) -> OperatorEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    health: Callable[[], Health]
    metrics: Callable[[], bytes]

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._send(200, METRICS_TYPE, self.metrics())
        elif self.path in ("/live", "/ready"):
            health = self.health()
            is_well = health.is_live if self.path == "/live" else health.is_ready
            self._send(200 if is_well else 503, "application/json", json.dumps(health.to_json()).encode())
        elif self.path == "/openapi.json":
            from serving.description import (
                openapi_document,
            )  # imports torch, which `zoo models` and `zoo health` need not

            self._send(200, "application/json", json.dumps(openapi_document()).encode())
        else:
            self._send(
                404, "application/json", b'{"message": "unknown path; known: /live, /ready, /metrics, /openapi.json"}'
            )

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing, because one line per probe would flood the log."""
