"""Health checks of a server. TorchServe's own /ping is unsuitable: it reports Healthy before any worker has started."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
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

    `is_live`: the server answers, and can answer predictions again. `is_ready`: the server is live, the default version
    of every model has a loaded worker, and the server is not stopping.
    """

    is_live: bool
    is_ready: bool
    reason: str | None
    versions: tuple[ServedVersion, ...] = ()

    @classmethod
    def dead(cls, reason: str) -> Health:
        """The health of a server that is not live."""
        return cls(is_live=False, is_ready=False, reason=reason)

    def to_json(self) -> dict[str, Any]:
        models = [
            {"name": served.name, "version": served.version, "default": served.is_default, "ready": served.is_ready}
            | {"workers": served.num_workers, "ready_workers": served.num_ready, "waiting_requests": served.num_waiting}
            for served in self.versions
        ]
        return {"live": self.is_live, "ready": self.is_ready, "reason": self.reason, "models": models}


def health_of(
    versions: Sequence[ServedVersion], *, is_loading: Callable[[ServedVersion], bool] = lambda _: False
) -> Health:
    """The health of a server that serves these versions.

    Only default versions count, because they answer the requests that name no version. A version for which
    `is_loading` holds does not count while another model answers: nobody was told that it answers.
    """
    default = [served for served in versions if served.is_default]
    required = [served for served in default if not is_loading(served)] or default
    not_ready = [f"{served.name} {served.version}" for served in required if not served.is_ready]
    reason = None if required else "no model is served"
    if not_ready:
        reason = f"no worker is ready for {', '.join(not_ready)}"
    return Health(is_live=True, is_ready=reason is None, reason=reason, versions=tuple(versions))


def asked_health(management: Management) -> Health:
    """The health that the management API reports. Never raises; an unreachable server is reported as not live."""
    try:
        return health_of(management.versions())
    except ZooError as error:
        return Health.dead(str(error))
