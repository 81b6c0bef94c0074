"""Start, health checks, draining and stop of a TorchServe instance; only this package depends on TorchServe."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.server.options import ServerOptions
    from serving.server.ports import Ports
    from serving.server.torchserve import TorchServe

__all__ = ["Ports", "ServerOptions", "TorchServe"]


def __getattr__(name: str) -> Any:
    """Imports a class on first access: workers use this package's logs and signs only, and need no HTTP client."""
    if name == "ServerOptions":
        from serving.server.options import ServerOptions

        return ServerOptions
    if name == "Ports":
        from serving.server.ports import Ports

        return Ports
    if name == "TorchServe":
        from serving.server.torchserve import TorchServe

        return TorchServe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
