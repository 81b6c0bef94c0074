"""What crosses between the front process and the actors of the cluster. Neither side needs torch to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.server.model_store import Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSettings:
    """What a replica loads and how: the archive by its name and place at the front process, and its content.

    `noise_secret`: the deployment's secret, from which all replicas derive the noise of repeatable answers.
    """

    archive: Archive
    noise_secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A replica that has loaded its model. `description` is that of the model, as `description_of` gives it."""

    pid: int
    max_open_requests: int
    description: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What a replica reports of itself from time to time.

    `seconds_of_work`: the time in which it would make the draws of its open requests, at the measured rate.
    `metrics`: the content of its metrics files by their names. `events`: its log records since the last report.
    """

    seconds_of_work: float
    metrics: Mapping[str, bytes]
    events: Sequence[str]
