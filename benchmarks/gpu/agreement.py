"""Section `agreement`: differences of the device's logits and votes from float32 on the CPU, in each arithmetic."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor, nn

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import (
    backend_of,
    build_with_classes,
    device_draws,
    draws_of,
    logits_of,
    mixtures,
    relative_difference,
)
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from zoo.smoothing.noisy_batch import noisy_batch
from zoo.smoothing.precision import Precision

CPU = torch.device("cpu")
FLOAT32_TOLERANCE = 1e-3
"""As a share of the largest logit: float32 is far below it on any device, TF32 near or above it."""


def compare(settings: Settings, findings: Findings) -> None:
    """Compares logits of the same noisy images, drawn on the CPU, with the same weights; requires float32 agreement."""
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
    for precision in get_args(Precision):
        with findings.part(precision):
            row = differences(expected_BK, margin_B, network, x_BCHW, settings, precision)
            findings["beside float32 on the CPU"][precision] = row
            if precision == "float32":
                share = row["difference of a logit, share of the largest"]
                require(share < FLOAT32_TOLERANCE, f"in float32, a logit differs by {share} of the largest")


def network_and_pictures(settings: Settings) -> tuple[nn.Module, Tensor]:
    """A network and noisy images `x_BCHW` of its input size.

    With a checkpoint, the network is the checkpoint's. Otherwise it is a random one whose last layer is fitted to the
    images.
    """
    num = 8 if settings.is_tiny else 256
    if settings.checkpoint is None:
        return build_with_classes(settings), noisy_batch(device_draws(CPU, *mixtures(num, settings)))
    from zoo.checkpoints.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(settings.checkpoint)
    crop = checkpoint.spec.preprocessing.crop
    generator = torch.Generator().manual_seed(0)
    draws = []
    for number in range(num):
        coarse = torch.rand(1, 3, 4, 4, generator=generator)
        x_CHW = nn.functional.interpolate(coarse, size=(crop, crop), mode="bicubic")[0].clamp(0, 1)
        draws.append(draws_of(x_CHW, 1, job=number))
    return checkpoint.load_network(), noisy_batch(device_draws(CPU, *draws))


def differences(
    expected_BK: Tensor,
    margin_B: Tensor,
    network: nn.Module,
    x_BCHW: Tensor,
    settings: Settings,
    precision: Precision,
) -> dict[str, Any]:
    """The device's differences from the expected logits, and whether a second run gives the same logits.

    Args:
        expected_BK: The CPU's logits in float32.
        margin_B: The difference of the two largest logits of each image, as a share of the largest logit.
        network: The network on the device.
        x_BCHW: The noisy images on the CPU.
        settings: The device.
        precision: The backend's precision.
    """
    base = backend_of(network, settings, precision)
    logits_BK = logits_of(base, x_BCHW)
    require(bool(torch.isfinite(logits_BK).all()), "a logit is not finite")
    differs_B = logits_BK.argmax(dim=1) != expected_BK.argmax(dim=1)
    votes = torch.from_numpy(base.classify(x_BCHW))
    require(torch.equal(votes, logits_BK.argmax(dim=1)), "the backend's classes differ from the argmax of its logits")
    return {
        "difference of a logit, share of the largest": relative_difference(logits_BK, expected_BK),
        "votes that differ": int(differs_B.sum()),
        "largest margin among them": float(margin_B[differs_B].max()) if bool(differs_B.any()) else 0.0,
        "the same twice": bool(torch.equal(logits_of(base, x_BCHW), logits_BK)),
    }
