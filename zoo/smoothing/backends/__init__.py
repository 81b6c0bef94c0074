"""Backends of the base classifier f, which maps noisy pixels to classes. All backends share one protocol.

pytorch        any callable on a CPU or GPU
compiled       a network on a GPU, compiled and launched as a CUDA graph
onnxruntime    an exported network; the fastest backend on CPUs, where its logits are the same in every packing
"""

from zoo.smoothing.backends.arithmetic import arithmetic
from zoo.smoothing.backends.base import (
    BaseClassifier,
    Classes,
    DeviceClassifier,
    Logits,
    ScoringClassifier,
    checked_classes,
)
from zoo.smoothing.backends.compiled import CompiledBackend, can_compile
from zoo.smoothing.backends.pytorch import TorchBackend, evaluating, fused, traced

__all__ = [
    "BaseClassifier",
    "Classes",
    "CompiledBackend",
    "DeviceClassifier",
    "Logits",
    "ScoringClassifier",
    "TorchBackend",
    "arithmetic",
    "can_compile",
    "checked_classes",
    "evaluating",
    "fused",
    "traced",
]
