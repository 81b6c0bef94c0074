"""Small fixed networks in float64, and the draws of noise that an objective makes."""

import torch
from torch import Tensor, nn

from training.objectives import Batch
from training.objectives.objective import gaussian_copies


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def noises_of_images(batch: Batch, *, sigma: float, m: int) -> list[Tensor]:
    """For each image its m noises, as an objective that is called with `rng()` draws them."""
    return list(gaussian_copies(batch, sigma, m, rng()).transpose(0, 1))


def noisy_logits(model, images: list[Tensor], noises: list[Tensor]) -> Tensor:
    """`logits_MBK` with one forward pass a copy of an image."""
    return torch.stack(
        [torch.stack([model((x + d)[None])[0] for d in own]) for x, own in zip(images, noises, strict=True)], 1
    )


class Smooth(nn.Module):
    """Two layers with a tanh between: the same in train and in eval mode, so that images can be taken one by one."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.inner = nn.Parameter(0.4 * torch.randn(75, 6, generator=generator, dtype=torch.float64))
        self.outer = nn.Parameter(torch.randn(6, 3, generator=generator, dtype=torch.float64))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.tanh((x_BCHW.flatten(1) - 0.5) @ self.inner) @ self.outer


class Normalized(nn.Module):
    """A convolution, batch statistics and a linear layer. It notes in which mode each pass finds it."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 3)
        self.double()
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
            self.norm.running_mean.add_(0.3)
            self.norm.running_var.mul_(2.0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.modes.append(self.training)
        return self.last(torch.tanh(self.norm(self.conv(x_BCHW))).mean(dim=(2, 3)))


def gradients(network: nn.Module, loss: Tensor) -> list[Tensor]:
    """Of the loss with respect to each parameter."""
    return list(torch.autograd.grad(loss, list(network.parameters())))


def assert_same(ours: list[Tensor], by_hand: list[Tensor]) -> None:
    """Equal to 1e-5, and no trivial equality of zeros."""
    for one, other in zip(ours, by_hand, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert any(bool((other != 0).any()) for other in by_hand)
