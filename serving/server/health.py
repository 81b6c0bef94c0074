"""Whether a server lives, is ready, and answers. TorchServe's own /ping says Healthy before there is any worker."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from serving.server.management import Management, ServedVersion
from zoo.errors import ZooError

# A grey image of 8x8 pixels: every model scales what it gets.
PROBE_IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGNsYIAAJgaKGAAmCACQXTClHgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was found at one moment; `reason` says why it is not ready.

    `is_live`: the server's management answers. `is_ready`: so it does, every version has a loaded worker, and the
    server is not about to stop.
    """

    is_live: bool
    is_ready: bool
    reason: str | None
    versions: tuple[ServedVersion, ...] = ()

    def to_json(self) -> dict[str, Any]:
        models = [
            {"name": each.name, "version": each.version, "default": each.is_default, "ready": each.is_ready}
            | {"workers": each.num_workers, "ready_workers": each.num_ready, "waiting_requests": each.num_waiting}
            for each in self.versions
        ]
        return {"live": self.is_live, "ready": self.is_ready, "reason": self.reason, "models": models}


def health_of(management: Management) -> Health:
    """What the management API tells. Never raises: that nobody answers is what it tells then."""
    try:
        versions = tuple(management.versions())
    except ZooError as error:
        return Health(is_live=False, is_ready=False, reason=str(error))
    lacking = [f"{each.name} {each.version}" for each in versions if not each.is_ready]
    reason = f"no worker is ready for {', '.join(lacking)}" if lacking else None if versions else "no model is served"
    return Health(is_live=True, is_ready=reason is None, reason=reason, versions=versions)
