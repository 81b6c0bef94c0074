"""The operator's endpoint: /live, /ready, /metrics and /openapi.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from serving.server.health import Health
from serving.server.loopback_server import Request, Response, refusal

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def operator_endpoint(
    *, health: Callable[[], Health], metrics: Callable[[], bytes], describe: Callable[[], Mapping[str, Any]]
) -> Callable[[Request], Response]:
    """The function that responds to the operator's requests.

    Args:
        health: the content of /live and /ready.
        metrics: the content of /metrics.
        describe: the content of /openapi.json.
    """

    def respond(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return refusal(405, f"{request.method} is not allowed here", Allow="GET, HEAD")
        match request.path.partition("?")[0]:
            case "/metrics":
                return Response(status=200, body=metrics(), content_type=METRICS_TYPE)
            case "/live" | "/ready" as path:
                found = health()
                is_well = found.is_live if path == "/live" else found.is_ready
                return Response(status=200 if is_well else 503, body=json.dumps(found.to_json()).encode())
            case "/openapi.json":
                return Response(status=200, body=json.dumps(describe()).encode())
        return refusal(404, "unknown path; known: /live, /ready, /metrics, /openapi.json")

    return respond
