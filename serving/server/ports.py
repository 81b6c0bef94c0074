"""The ports of a server. Predictions use the operator's address; everything else uses the loopback address."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from zoo.errors import RequestError, ServerError

LOOPBACK = "127.0.0.1"
# The broadcast address of the loopback network: Linux lets a server listen on it, and refuses every connection to it.
UNREACHABLE = "127.255.255.255"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of predictions, management, the operator's endpoint (`metrics`), and TorchServe's gRPC."""

    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int

    @classmethod
    def find(
        cls,
        inference: int | None = None,
        *,
        management: int | None = None,
        metrics: int | None = None,
        host: str = LOOPBACK,
    ) -> Ports:
        """The given ports, with free ports for the others.

        Raises: ServerError if a given port is in use; RequestError if `host` is not an address of this machine.
        """
        require_bindable(inference or 0, host, option="--port")
        for port, option in ((management, "--management-port"), (metrics, "--metrics-port")):
            require_bindable(port or 0, LOOPBACK, option=option)
        free = _free_ports(5)
        given = (inference, management, metrics, None, None)
        return cls(*(port or free_port for port, free_port in zip(given, free, strict=True)))


def is_loopback(host: str) -> bool:
    """Whether a server on `host` is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_bindable(port: int, host: str, *, option: str) -> None:
    """Raises ServerError if the port cannot be bound (0 means any), RequestError if `host` is not this machine's."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ServerError(
                    f"port {port} is in use: stop the process that listens on it, or choose another {option}"
                ) from error
            if error.errno == errno.EACCES:
                raise ServerError(f"port {port} requires more privileges: choose a {option} above 1023") from error
            raise RequestError(f"--host {host} is not an IPv4 address of this machine: {error.strerror}") from error


def _free_ports(num: int) -> list[int]:
    probes = [socket.socket() for _ in range(num)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
