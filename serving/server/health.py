"""Health checks of a server. TorchServe's own /ping is unsuitable: it reports Healthy before any worker has started."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from serving.server.management import Management, ServedVersion
from zoo.errors import ZooError

# A grey image of 8x8 pixels; every model resizes its input.
PROBE_IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGNsYIAAJgaKGAAmCACQXTClHgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a server at one moment; `reason` explains why the server is not ready.

    `is_live`: the server's management API answers. `is_ready`: the server is live, every version has a loaded worker,
    and the server is not stopping.
    """

    is_live: bool
    is_ready: bool
    reason: str | None
    versions: tuple[ServedVersion, ...] = ()

    def to_json(self) -> dict[str, Any]:
        models = [
            {"name": served.name, "version": served.version, "default": served.is_default, "ready": served.is_ready}
            | {"workers": served.num_workers, "ready_workers": served.num_ready, "waiting_requests": served.num_waiting}
            for served in self.versions
        ]
        return {"live": self.is_live, "ready": self.is_ready, "reason": self.reason, "models": models}


def health_of(management: Management) -> Health:
    """The health that the management API reports. Never raises; an unreachable server is reported as not live."""
    try:
        versions = tuple(management.versions())
    except ZooError as error:
        return Health(is_live=False, is_ready=False, reason=str(error))
    not_ready = [f"{served.name} {served.version}" for served in versions if not served.is_ready]
    reason = None if versions else "no model is served"
    if not_ready:
        reason = f"no worker is ready for {', '.join(not_ready)}"
    return Health(is_live=True, is_ready=reason is None, reason=reason, versions=versions)
