"""Start, health checks, draining and stop of a TorchServe instance; only this package depends on TorchServe."""

from serving.server.options import ServerOptions
from serving.server.ports import Ports
from serving.server.torchserve import TorchServe

__all__ = ["Ports", "ServerOptions", "TorchServe"]
