"""The operator's options of a server, in contrast to the limits of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from serving.server.ports import LOOPBACK, is_loopback
from zoo.errors import RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Address, token, threads, request size and logs of a server.

    `host`: the address of predictions.
    `token`: whether predictions need a token; None requires one unless `host` is a loopback address.
    `threads`: threads per worker; None shares the cores among the workers.
    `can_switch_models`: opens TorchServe's model API on the loopback address.
    `max_request_bytes`: TorchServe's own limit, beyond which it refuses a request without a message. It must be well
    above the limit of every model.
    `noise_secret`: the secret from which repeatable answers derive their noise; None for a secret of this server.
    `families`: the folder in which questions about each image are counted, for servers that run after each other or
    together on this machine; None counts from the start to the stop of this server.
    `logs`: the folder of logs, which outlives the server; None uses a temporary folder.
    `echoes_logs`: also writes warnings to stderr.
    """

    host: str = LOOPBACK
    token: bool | None = None
    threads: int | None = None
    can_switch_models: bool = False
    max_request_bytes: int = 33_554_432
    noise_secret: bytes | None = field(default=None, repr=False)
    families: Path | None = None
    logs: Path | None = None
    echoes_logs: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise RequestError(f"--threads must be a positive number, got {self.threads}")

    @property
    def wants_token(self) -> bool:
        """Whether predictions require a token. Management always does."""
        return not is_loopback(self.host) if self.token is None else self.token

    @property
    def address(self) -> str:
        """The address at which this machine reaches the server."""
        return LOOPBACK if self.host == "0.0.0.0" else self.host
