"""Section `agreement`: how far logits and votes on the device are from float32 on the CPU, in each arithmetic."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import backend_of, build_with_classes, draws_of, logits_of, mixtures, relative_difference
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import tf32
from zoo.smoothing.backends.pytorch import Precision
from zoo.smoothing.device_noise import noisy_batch

CPU = torch.device("cpu")
FLOAT32_TOLERANCE = 1e-3
"""Of the largest logit: float32 lands far below it on any device, TF32 near it or above."""

ARITHMETICS: dict[str, tuple[bool | None, Precision]] = {
    "as torch sets it": (None, "float32"),
    "TF32": (True, "float32"),
    "float32": (False, "float32"),
    "bfloat16": (True, "bfloat16"),
}
"""Whether TF32 is allowed, None where it is left as it was, and the backend's precision."""


def compare(settings: Settings, findings: Findings) -> None:
    """The same noisy pictures, drawn on the CPU, through the same weights; in float32 the logits must be close."""
    network, x_BCHW = network_and_pictures(settings)
    findings["network"] = "the checkpoint" if settings.checkpoint else f"{settings.architecture}, made here"
    with torch.inference_mode():
        expected_BK = network.to(CPU)(x_BCHW)
    top_B2 = expected_BK.topk(2, dim=1).values
    margin_B = (top_B2[:, 0] - top_B2[:, 1]) / expected_BK.abs().max()
    findings["votes compared"] = len(x_BCHW)
    findings["classes that the CPU names"] = len(expected_BK.argmax(dim=1).unique())
    findings["median margin, share of the largest logit"] = float(margin_B.median())
    findings["beside float32 on the CPU"] = {}
    network.to(settings.device)
    for name, (is_tf32_allowed, precision) in ARITHMETICS.items():
        with findings.part(name), nullcontext() if is_tf32_allowed is None else tf32(is_tf32_allowed):
            found = beside(expected_BK, margin_B, network, x_BCHW, settings, precision)
            findings["beside float32 on the CPU"][name] = found
            if name == "float32":
                apart = found["difference of a logit, share of the largest"]
                require(apart < FLOAT32_TOLERANCE, f"in float32 a logit differs by {apart} of the largest")


def network_and_pictures(settings: Settings) -> tuple[nn.Module, Tensor]:
    """The checkpoint's network and noisy pictures of its size, or a network made here and pictures that it knows."""
    num = 8 if settings.is_tiny else 256
    if settings.checkpoint is None:
        return build_with_classes(settings), noisy_batch(mixtures(num, settings), CPU)
    from zoo.checkpoints.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(settings.checkpoint)
    crop = checkpoint.spec.preprocessing.crop
    generator = torch.Generator().manual_seed(0)
    rows = []
    for number in range(num):
        coarse = torch.rand(1, 3, 4, 4, generator=generator)
        x_CHW = nn.functional.interpolate(coarse, size=(crop, crop), mode="bicubic")[0].clamp(0, 1)
        rows.append((draws_of(x_CHW, 1, job=number), 0))
    return checkpoint.load_network(), noisy_batch(rows, CPU)


def beside(
    expected_BK: Tensor,
    margin_B: Tensor,
    network: nn.Module,
    x_BCHW: Tensor,
    settings: Settings,
    precision: Precision,
) -> dict[str, Any]:
    """Differences from what is expected, and whether the device answers the same twice."""
    base = backend_of(network, settings, precision)
    found_BK = logits_of(base, x_BCHW)
    require(bool(torch.isfinite(found_BK).all()), "a logit is not finite")
    differs_B = found_BK.argmax(dim=1) != expected_BK.argmax(dim=1)
    votes = torch.from_numpy(base.classify(x_BCHW))
    require(torch.equal(votes, found_BK.argmax(dim=1)), "the backend's classes are not those of its logits")
    return {
        "difference of a logit, share of the largest": relative_difference(found_BK, expected_BK),
        "votes that differ": int(differs_B.sum()),
        "largest margin among them": float(margin_B[differs_B].max()) if bool(differs_B.any()) else 0.0,
        "the same twice": bool(torch.equal(logits_of(base, x_BCHW), found_BK)),
    }
