"""Counter-based Gaussian noise drawn on the network's device, so that no noise is copied from host to device.

The generator is Philox-4x32-10 (Salmon et al., SC 2011) in integer tensor operations, followed by the Box-Muller
transform. The counter consists of the pixel's block, the draw's index with its phase, and the job; the key is the root.
The noise of a draw is therefore the same in every batch, as on the host. The device's stream differs from the host's:
a certification that starts on one of them must continue there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.smoothing.noise import Draws, Pixels, at_least

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = 0xFFFFFFFF
WORDS_PER_BLOCK = 4
PHASE_BIT = 31


def noisy_batch(rows: Sequence[tuple[Draws, int]], device: torch.device) -> Tensor:
    """The noisy copies `x_BCHW`, float32 on `device`: each row's image plus the Gaussian noise of the row's draw.

    Each image is copied to the device once, regardless of the number of its draws.
    """
    images, image_of_row = _distinct_images(rows)
    x_BCHW = torch.from_numpy(np.stack(images)).to(device)[torch.tensor(image_of_row, device=device)]
    sigma_B111 = torch.tensor([float(at_least(draws.sigma)) for draws, _ in rows], device=device).view(-1, 1, 1, 1)
    noise_BD = standard_normal(rows, x_BCHW[0].numel(), device)
    return x_BCHW + sigma_B111 * noise_BD.view_as(x_BCHW)


def standard_normal(rows: Sequence[tuple[Draws, int]], num_values: int, device: torch.device) -> Tensor:
    """Independent standard normal numbers for each draw: `(B, num_values)`, float32 on `device`."""
    return normal_numbers(draw_words(rows, device), num_values)


def draw_words(rows: Sequence[tuple[Draws, int]], device: torch.device) -> Tensor:
    """`words_B5`, int64 with 32 bits in use: the five words that identify each draw.

    They are the draw's index with its phase, the low and the high half of the job, and the low and the high half of
    the root.
    """
    words = [
        (index | draws.phase << PHASE_BIT, *_halves(draws.key.job), *_halves(draws.key.root)) for draws, index in rows
    ]
    return torch.tensor(words, device=device)


def normal_numbers(words_B5: Tensor, num_values: int) -> Tensor:
    """The `standard_normal` numbers of the draws `words_B5`, on their device, by tensor operations only."""
    num_blocks = -(-num_values // WORDS_PER_BLOCK)
    index_B1, job_low_B1, job_high_B1, key_low_B1, key_high_B1 = words_B5.T.unsqueeze(-1)
    block_1N = torch.arange(num_blocks, device=words_B5.device).unsqueeze(0)
    counter = (block_1N, index_B1, job_low_B1, job_high_B1)
    first, second, third, fourth = philox_4x32(counter, (key_low_B1, key_high_B1))
    normal_BN4 = torch.stack([*_box_muller(first, second), *_box_muller(third, fourth)], dim=-1)
    return normal_BN4.flatten(1)[:, :num_values]


def philox_4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Four pseudo-random 32-bit words per counter, as int64 tensors; counters and keys are broadcast.

    Source: Salmon et al. 2011, section 3.3, with ten rounds; tested against the authors' known answers.
    """
    first, second, third, fourth = counter
    key_low, key_high = key
    for _ in range(ROUNDS):
        # A product of two 32-bit words wraps around in int64; its bit pattern is still that of the 64-bit product.
        product_1, product_3 = first * MULTIPLIERS[0], third * MULTIPLIERS[1]
        first, second, third, fourth = (
            (product_3 >> 32 & LOW) ^ second ^ key_low,
            product_3 & LOW,
            (product_1 >> 32 & LOW) ^ fourth ^ key_high,
            product_1 & LOW,
        )
        key_low, key_high = key_low + WEYL[0] & LOW, key_high + WEYL[1] & LOW
    return first, second, third, fourth


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors of independent standard normal numbers, one pair of numbers per pair of 32-bit words."""
    uniform = (first.to(torch.float32) + 0.5) * 2**-32
    radius = torch.sqrt(-2 * torch.log(uniform.clamp(max=1.0)))
    angle = second.to(torch.float32) * (2 * math.pi * 2**-32)
    return radius * torch.cos(angle), radius * torch.sin(angle)


def _halves(word: int) -> tuple[int, int]:
    """The low and the high 32 bits of a 64-bit word."""
    return word & LOW, word >> 32


def _distinct_images(rows: Sequence[tuple[Draws, int]]) -> tuple[list[Pixels], list[int]]:
    """The distinct images of the rows, and for each row the index of its image among them."""
    positions: dict[int, int] = {}
    images: list[Pixels] = []
    image_of_row: list[int] = []
    for draws, _ in rows:
        if id(draws.x_CHW) not in positions:
            positions[id(draws.x_CHW)] = len(images)
            images.append(draws.x_CHW)
        image_of_row.append(positions[id(draws.x_CHW)])
    return images, image_of_row
