"""Start, supervision, draining and stop of a TorchServe instance; only this package depends on TorchServe."""

from serving.torchserve.instance import TorchServe

__all__ = ["TorchServe"]
