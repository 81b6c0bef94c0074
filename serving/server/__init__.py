"""What operators have of every engine: archives, options, health, metrics, logs, draining, switching of versions."""

from serving.server.options import ServerOptions
from serving.server.ports import Ports

__all__ = ["Ports", "ServerOptions"]
