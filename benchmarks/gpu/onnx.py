"""Section `onnxruntime`: ONNX Runtime agrees with PyTorch on the device, or refuses; it never silently falls back."""

from __future__ import annotations

import onnxruntime
import torch

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import build_to_compile, logits_of, picture, relative_difference
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import milliseconds
from zoo.errors import BackendError
from zoo.export.onnx import export_network
from zoo.smoothing import TorchBackend
from zoo.smoothing.backends import fused
from zoo.smoothing.backends.onnxruntime import PROVIDERS, OnnxBackend

TOLERANCE = 1e-3
"""As a share of the largest logit."""


def check(settings: Settings, findings: Findings) -> None:
    """Compares the logits with PyTorch's in float32 on the CPU, and measures milliseconds per batch from the host."""
    findings["providers"] = onnxruntime.get_available_providers()
    provider = PROVIDERS[settings.device.type]
    network = build_to_compile(settings).cpu()
    num_classes = network.backbone.fc.out_features
    exported = export_network(network, size=settings.size)
    try:
        base = OnnxBackend(exported, num_classes=num_classes, device=settings.device)
    except BackendError as error:
        require(settings.is_cuda, str(error))
        findings["refused"] = str(error)
        findings["refused although it names the provider"] = provider in findings["providers"]
        return
    x_BCHW = torch.stack([picture(number, settings) for number in range(settings.batch_sizes[0])])
    expected = TorchBackend(fused(network), num_classes=num_classes)
    difference = relative_difference(torch.from_numpy(base.logits(x_BCHW)), logits_of(expected, x_BCHW))
    findings["name"] = base.name
    findings["difference of a logit, share of the largest"] = difference
    findings["depends on the batch's shape"] = base.depends_on_batch_shape
    findings["milliseconds per batch"] = milliseconds(lambda: base.classify(x_BCHW), settings)
    findings["batch"] = len(x_BCHW)
    require(difference < TOLERANCE, f"a logit differs from PyTorch's by {difference} of the largest")
