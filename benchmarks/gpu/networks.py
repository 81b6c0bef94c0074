"""Networks, images and draws that sections share; made of torch and of what of `zoo` needs no pydantic."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.settings import Settings
from benchmarks.loops import SIGMA
from zoo.models.architecture import NormalizedNetwork, find_architecture
from zoo.smoothing import NoiseKey, TorchBackend
from zoo.smoothing.backends import fused
from zoo.smoothing.backends.pytorch import Precision
from zoo.smoothing.noise import Draws, Phase

NUM_CLASSES = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM_PROTOTYPES = 10
COPIES_PER_PROTOTYPE = 16
Row = tuple[Draws, int]


def picture(number: int, settings: Settings) -> Tensor:
    """`x_CHW`: 8-bit pixels in [0, 1] of large soft blots, another picture for each number."""
    generator = torch.Generator().manual_seed(number)
    coarse = torch.rand(1, 3, 7, 7, generator=generator)
    smooth = functional.interpolate(coarse, size=(settings.size, settings.size), mode="bicubic")[0].clamp(0, 1)
    return (smooth * 255).round() / 255


def draws_of(x_CHW: Tensor, num: int, *, start: int = 0, job: int = 2**40 + 7, sigma: float = SIGMA) -> Draws:
    """`num` draws of Gaussian noise around a picture, by a key whose words use all their bits."""
    return Draws(x_CHW.numpy(), sigma, "gaussian", NoiseKey(2**63 + 5, job), Phase.ESTIMATION, start, num)


def rows_of(draws: Draws) -> list[Row]:
    """The draws one by one, as the sampler takes them."""
    return [(draws, index) for index in range(draws.start, draws.start + draws.num)]


def build(settings: Settings, *, num_classes: int = NUM_CLASSES) -> NormalizedNetwork:
    """A network in eval mode on the device, whose batch statistics fit noisy pictures, the same every time.

    Its residual branches count: they start at zero for training, and matrix units are faster on zeros.
    """
    torch.manual_seed(0)
    backbone = find_architecture(settings.architecture).build(num_classes)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.7)
            nn.init.normal_(module.bias, std=0.1)
    network = NormalizedNetwork(backbone, mean=MEAN, std=STD)
    pictures = torch.stack([picture(number, settings) for number in range(NUM_PROTOTYPES)])
    generator = torch.Generator().manual_seed(1)
    network.to(settings.device).train()
    with torch.no_grad():
        for _ in range(2 if settings.is_tiny else 8):
            noise = torch.randn(pictures.shape, generator=generator)
            network((pictures + SIGMA * noise).to(settings.device))
    return network.eval()


def build_with_classes(settings: Settings) -> NormalizedNetwork:
    """As `build`, but its last layer tells NUM_PROTOTYPES pictures apart under noise: by the nearest mean of features.

    So votes have the margins of a classifier: large for a prototype, small for a mixture of two.
    """
    network = build(settings, num_classes=NUM_PROTOTYPES)
    head: nn.Linear = network.backbone.fc
    generator = torch.Generator().manual_seed(2)
    network.backbone.fc = nn.Identity()
    means = []
    with torch.no_grad():
        for number in range(NUM_PROTOTYPES):
            shape = (COPIES_PER_PROTOTYPE, 3, settings.size, settings.size)
            noisy = picture(number, settings) + SIGMA * torch.randn(shape, generator=generator)
            means.append(network(noisy.to(settings.device)).double().mean(dim=0))
        mean_KC = torch.stack(means)
        centre_C = mean_KC.mean(dim=0)
        weight_KC = mean_KC - centre_C
        bias_K = -0.5 * ((mean_KC**2).sum(dim=1) - (centre_C**2).sum())
        scale = 10 / weight_KC.norm(dim=1).mean() ** 2  # else float32 would see small logits with large biases
        head.weight.copy_((scale * weight_KC).to(head.weight))
        head.bias.copy_((scale * bias_K).to(head.bias))
    network.backbone.fc = head
    return network


def mixtures(num: int, settings: Settings) -> list[Row]:
    """One draw each of `num` pictures: prototypes, and mixtures of two neighbours, between which votes are close."""
    rows = []
    for number in range(num):
        first, second = (picture(place % NUM_PROTOTYPES, settings) for place in (number, number + 1))
        share = 0.5 * (number // NUM_PROTOTYPES % 3) / 2
        rows.append((draws_of((1 - share) * first + share * second, 1, job=number), 0))
    return rows


def backend_of(network: nn.Module, settings: Settings, precision: Precision = "float32") -> TorchBackend:
    """The network as the product runs it: batch normalization folded, channels last."""
    num_classes = int(network.backbone.fc.out_features)
    return TorchBackend(
        fused(network), num_classes=num_classes, device=settings.device, precision=precision, is_channels_last=True
    )


def logits_of(base: TorchBackend, x_BCHW: Tensor) -> Tensor:
    """`logits_BK` in float32 on the CPU, of what `base.classify` takes the classes."""
    mixed = torch.autocast(base.device.type, torch.bfloat16, enabled=base.precision == "bfloat16")
    with mixed, torch.inference_mode():
        return base.base(x_BCHW.to(base.device, memory_format=base.layout)).float().cpu()


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference of a value, as a share of the largest value; infinite if a value is not finite."""
    if not bool(torch.isfinite(found).all()):
        return float("inf")
    return float((found.cpu().double() - expected.cpu().double()).abs().max() / expected.abs().max())


def normalization(settings: Settings) -> tuple[Tensor, Tensor]:
    """`mean_C` and `std_C` on the device."""
    mean_C, std_C = (torch.tensor(values, device=settings.device) for values in (MEAN, STD))
    return mean_C, std_C


def compiler(settings: Settings) -> str:
    """Inductor; where there is no GPU only what stands before it, since a C++ compiler would take the time."""
    return "inductor" if settings.is_cuda else "aot_eager"
