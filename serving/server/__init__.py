"""TorchServe as a part that is started, watched, drained and stopped; nothing outside this package knows how."""

from serving.server.options import ServerOptions
from serving.server.ports import Ports
from serving.server.torchserve import TorchServe

__all__ = ["Ports", "ServerOptions", "TorchServe"]
