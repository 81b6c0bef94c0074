"""What an operator decides of a server, as distinct from what it decides of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serving.server.ports import LOOPBACK, is_loopback
from zoo.errors import RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Who may ask, on how many threads, and where the logs go.

    `token` None means: asked for wherever more than this machine can reach the server. `threads` a worker computes on;
    None shares the cores among the workers. `can_switch_models` opens TorchServe's model API, on the loopback address.
    `max_request_bytes` is where TorchServe itself refuses, without a word: a model's own limit has to lie well below.
    `logs` is a folder that outlives the server, by default one that does not; `echoes_logs` also writes the warnings
    to stderr.
    """

    host: str = LOOPBACK
    token: bool | None = None
    threads: int | None = None
    can_switch_models: bool = False
    max_request_bytes: int = 33_554_432
    logs: Path | None = None
    echoes_logs: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise RequestError(f"--threads takes a positive number, got {self.threads}")

    @property
    def wants_token(self) -> bool:
        """Whether TorchServe answers only those who show a token."""
        return not is_loopback(self.host) if self.token is None else self.token

    @property
    def address(self) -> str:
        """The host by which this machine itself reaches the server."""
        return LOOPBACK if self.host == "0.0.0.0" else self.host
