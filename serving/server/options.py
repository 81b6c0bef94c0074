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
    `token`: whether predictions need a token; None requires one if there are `tokens`, or `host` is not loopback.
    `tokens`: a file with one token per client, which a plain server accepts besides the token of its key file.
    `threads`: threads per worker; None shares the cores among the workers.
    `can_switch_models`: opens the management's model API on the loopback address.
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
    tokens: Path | None = None
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
        if self.tokens is not None and self.token is False:
            raise RequestError(f"--no-token contradicts --tokens {self.tokens}: leave one of them out")

    @property
    def wants_token(self) -> bool:
        """Whether predictions require a token. Management always does."""
        by_default = self.tokens is not None or not is_loopback(self.host)
        return by_default if self.token is None else self.token

    @property
    def address(self) -> str:
        """The address at which this machine reaches the server."""
        return LOOPBACK if self.host == "0.0.0.0" else self.host
