"""Where a server listens: predictions where the operator says, everything else on the loopback address."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from zoo.errors import RequestError, ServerError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """One port for predictions, one for the operator (`metrics`), and those that TorchServe wants for itself."""

    inference: int
    management: int
    metrics: int
    torchserve_metrics: int
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
        """The given ports, and free ones for the rest.

        Raises: ServerError if a given one is taken; RequestError if `host` is no address of this machine.
        """
        require_bindable(inference or 0, host, option="--port")
        for port, option in ((management, "--management-port"), (metrics, "--metrics-port")):
            require_bindable(port or 0, LOOPBACK, option=option)
        free = _free_ports(6)
        given = (inference, management, metrics, None, None, None)
        return cls(*(mine or found for mine, found in zip(given, free, strict=True)))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_bindable(port: int, host: str, *, option: str) -> None:
    """Raises: ServerError if nothing may listen on the port (0 is any); RequestError if `host` is not this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ServerError(
                    f"port {port} is in use: stop what listens there, or choose another {option}"
                ) from error
            if error.errno == errno.EACCES:
                raise ServerError(f"port {port} is not for this user: choose a {option} above 1023") from error
            raise RequestError(f"--host {host} is no IPv4 address of this machine: {error.strerror}") from error


def _free_ports(num: int) -> list[int]:
    probes = [socket.socket() for _ in range(num)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
