"""Networks, images and draws that sections share; uses torch and those modules of `zoo` that do not need pydantic."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.settings import Settings
from benchmarks.loops import SIGMA
from zoo.models.architecture import NormalizedNetwork, find_architecture
from zoo.smoothing import NoiseKey, TorchBackend
from zoo.smoothing.backends import fused
from zoo.smoothing.device_noise import DeviceDraws, DeviceMemory
from zoo.smoothing.noise import Draws, Phase
from zoo.smoothing.precision import Precision

NUM_CLASSES = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM_PROTOTYPES = 10
COPIES_PER_PROTOTYPE = 16


def picture(number: int, settings: Settings) -> Tensor:
    """`x_CHW`: an image of large soft blots with 8-bit pixels in [0, 1], different for each number."""
    generator = torch.Generator().manual_seed(number)
    coarse = torch.rand(1, 3, 7, 7, generator=generator)
    smooth = functional.interpolate(coarse, size=(settings.size, settings.size), mode="bicubic")[0].clamp(0, 1)
    return (smooth * 255).round() / 255


def draws_of(x_CHW: Tensor, num: int, *, start: int = 0, job: int = 2**40 + 7, sigma: float = SIGMA) -> Draws:
    """`num` draws of Gaussian noise around an image, under a key whose words use all their bits.

    Args:
        x_CHW: The image, pixels in [0, 1].
        num: The number of draws.
        start: The index of the first draw.
        job: The job of the noise key.
        sigma: The noise level on the [0, 1] pixel scale.
    """
    return Draws(x_CHW.numpy(), sigma, "gaussian", NoiseKey(2**63 + 5, job), Phase.ESTIMATION, start, num)


def device_draws(device: torch.device, *draws: Draws) -> DeviceDraws:
    """The draws on a device, as the sampler moves them."""
    return DeviceMemory(device).moved(draws)


class OneConvolution(nn.Module):
    """A network with a ResNet's attributes and one convolution, for tiny runs that compile or export a network."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The logits `logits_BK`."""
        features_BCHW = functional.relu(self.bn1(self.conv1(x_BCHW)))
        logits_BK: Tensor = self.fc(features_BCHW.mean(dim=(2, 3)))
        return logits_BK


def build(settings: Settings, *, num_classes: int = NUM_CLASSES) -> NormalizedNetwork:
    """A deterministic random network in eval mode on the device, with batch statistics fitted to noisy images.

    All normalization weights are nonzero. For training, the last one of each residual branch starts at zero, and matrix
    units are faster on zeros.
    """
    torch.manual_seed(0)
    return fitted(find_architecture(settings.architecture).build(num_classes, settings.size), settings)


def build_to_compile(settings: Settings) -> NormalizedNetwork:
    """The network of `build`; OneConvolution in a tiny run, because compilers and exporters take seconds for layers."""
    if not settings.is_tiny:
        return build(settings)
    torch.manual_seed(0)
    return fitted(OneConvolution(NUM_CLASSES), settings)


def fitted(backbone: nn.Module, settings: Settings) -> NormalizedNetwork:
    """The backbone behind a normalization layer, with nonzero weights and fitted statistics of batch normalization."""
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
    """The network of `build` with a nearest-mean last layer that separates NUM_PROTOTYPES images under noise.

    Its votes have a trained classifier's margins: large for a prototype, small for a mixture of two prototypes.
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
        scale = (
            10 / weight_KC.norm(dim=1).mean() ** 2
        )  # without it, small logits with large biases would lose float32 precision
        head.weight.copy_((scale * weight_KC).to(head.weight))
        head.bias.copy_((scale * bias_K).to(head.bias))
    network.backbone.fc = head
    return network


def mixtures(num: int, settings: Settings) -> list[Draws]:
    """One draw for each of `num` images: prototypes, and mixtures of two prototypes with small margins."""
    draws = []
    for number in range(num):
        first, second = (picture(place % NUM_PROTOTYPES, settings) for place in (number, number + 1))
        share = 0.5 * (number // NUM_PROTOTYPES % 3) / 2
        draws.append(draws_of((1 - share) * first + share * second, 1, job=number))
    return draws


def backend_of(network: nn.Module, settings: Settings, precision: Precision = "float32") -> TorchBackend:
    """The product's backend for the network: batch normalization folded, channels last."""
    num_classes = int(network.backbone.fc.out_features)
    return TorchBackend(
        fused(network), num_classes=num_classes, device=settings.device, precision=precision, is_channels_last=True
    )


def logits_of(base: TorchBackend, x_BCHW: Tensor) -> Tensor:
    """The logits `logits_BK` whose argmax `base.classify` returns, in float32 on the CPU."""
    return torch.from_numpy(base.classify_and_read(x_BCHW, range(len(x_BCHW)))[1])


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """The largest absolute difference as a share of the largest expected value; infinite if a value is not finite."""
    if not bool(torch.isfinite(found).all()):
        return float("inf")
    return float((found.cpu().double() - expected.cpu().double()).abs().max() / expected.abs().max())


def normalization(settings: Settings) -> tuple[Tensor, Tensor]:
    """`mean_C` and `std_C` on the device."""
    mean_C, std_C = (torch.tensor(values, device=settings.device) for values in (MEAN, STD))
    return mean_C, std_C


def compiler(settings: Settings) -> str:
    """The backend of torch.compile: inductor on a GPU, aot_eager on a CPU, where compiling C++ would take too long."""
    return "inductor" if settings.is_cuda else "aot_eager"
