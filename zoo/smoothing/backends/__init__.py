"""The base classifier f: noisy pixels to classes. One protocol, whatever runs the network.

pytorch        any callable on a CPU or GPU
onnxruntime    an exported network: the fastest on CPUs, and there the same in every packing
"""

from zoo.smoothing.backends.base import BaseClassifier, Classes, checked_classes
from zoo.smoothing.backends.pytorch import TorchBackend, evaluating, fused

__all__ = ["BaseClassifier", "Classes", "TorchBackend", "checked_classes", "evaluating", "fused"]
