"""Compares an exported network with PyTorch: on images, under noise, and far outside both ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zoo.errors import BackendError
from zoo.smoothing.backends import evaluating

RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""An image's logits may differ by at most ABSOLUTE plus RELATIVE times its largest absolute logit."""

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The differences of two sets of logits for the same images, and the share of images with the same class.

    `relative_difference` is relative to an image's largest absolute logit. A difference that is not finite is not
    tolerated.
    """

    inputs: str
    num_images: int
    largest_difference: float
    relative_difference: float
    argmax_agreement: float
    is_within_tolerance: bool

    def describe(self) -> str:
        """The comparison in one line."""
        differences = f"{self.largest_difference:.1e}, relative {self.relative_difference:.1e}"
        return f"{self.inputs}, batch of {self.num_images}: {differences}, same class {self.argmax_agreement:.0%}"


def compare_on_probes(
    network: nn.Module, other: Callable[[Tensor], Logits], *, size: int, seed: int = 0
) -> tuple[Parity, ...]:
    """The parities of a network with another one, on random and extreme inputs.

    Args:
        network: The PyTorch network, on the CPU.
        other: The function of the other network, `x_BCHW -> logits_BK`.
        size: The height and width of the inputs, in pixels.
        seed: The seed of the random inputs.
    """
    parities = []
    for inputs, x_BCHW in probes(size=size, seed=seed):
        with evaluating(network), torch.inference_mode():
            expected_BK = network(x_BCHW).numpy()
        parities.append(compare(inputs, expected_BK, other(x_BCHW)))
    return tuple(parities)


def compare(inputs: str, expected_BK: Logits, actual_BK: Logits) -> Parity:
    """The parity of two sets of logits for the same images; `inputs` names the images."""
    with np.errstate(all="ignore"):
        difference_B = np.abs(expected_BK - actual_BK).max(axis=1)
        largest_B = np.abs(expected_BK).max(axis=1)
        relative_B = np.divide(difference_B, largest_B, out=np.zeros_like(difference_B), where=difference_B != 0)
        is_within = bool((difference_B <= ABSOLUTE + RELATIVE * largest_B).all())
    return Parity(
        inputs=inputs,
        num_images=len(expected_BK),
        largest_difference=float(difference_B.max()),
        relative_difference=float(relative_B.max()),
        argmax_agreement=float((expected_BK.argmax(axis=1) == actual_BK.argmax(axis=1)).mean()),
        is_within_tolerance=is_within and bool(np.isfinite(expected_BK).all()),
    )


def require_parity(parities: Sequence[Parity]) -> None:
    """Raises BackendError, naming the inputs, if any difference is larger than rounding explains."""
    for parity in parities:
        if not parity.is_within_tolerance:
            raise BackendError(
                f"the exported network's logits differ from PyTorch's on {parity.describe()}; the tolerance is "
                f"{RELATIVE:.0e} of the largest logit plus {ABSOLUTE:.0e}; nothing was written"
            )


def probes(*, size: int, seed: int) -> Iterator[tuple[str, Tensor]]:
    """The probe inputs as pairs of a name and `x_BCHW`, images of 3 x size x size."""
    generator = torch.Generator().manual_seed(seed)
    for num_images in (1, 9):
        yield "uniform pixels in [0, 1]", torch.rand(num_images, 3, size, size, generator=generator)
    for sigma in (1, 100):
        noise_BCHW = sigma * torch.randn(8, 3, size, size, generator=generator)
        yield f"noise of sigma {sigma} around 0.5", 0.5 + noise_BCHW
    yield "all zeros", torch.zeros(1, 3, size, size)
    yield "all ones", torch.ones(1, 3, size, size)
    yield "all -1000", torch.full((1, 3, size, size), -1000.0)
    yield "alternating zeros and ones", torch.arange(3 * size * size).remainder(2).view(1, 3, size, size).float()
