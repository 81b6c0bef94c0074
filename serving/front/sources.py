"""What a worker is started with. The front process passes it on without loading what it names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSource:
    """A checkpoint to serve, with the operator's options for it, as they were given.

    `store` is the directory in which its archive is kept; None keeps it as long as the server runs. `n`, `max_n`,
    `max_pixels` and `limits` are the arguments of `limits_from`.
    """

    model: str
    store: str | None = None
    n: int = 1_000
    max_n: int = 100_000
    max_pixels: int = 25_000_000
    limits: tuple[str, ...] = ()
    device: str = "auto"
    backend: str = "auto"
    precision: str | None = None
