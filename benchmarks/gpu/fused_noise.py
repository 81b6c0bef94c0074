"""A Triton kernel that computes the normalized noisy images of draws in one pass; needs Triton.

The kernel runs Philox and Box-Muller, scales by sigma, adds the image, normalizes, rounds to the network's type and
writes channels last. The numbers are those of `zoo.smoothing.device_noise`, where each operation is a pass over memory.
A program computes the same pixels of all channels, which makes its writes fill whole memory lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from zoo.smoothing.device_noise import draw_words
from zoo.smoothing.noise import Draws, at_least

PIXELS_PER_BLOCK = 4
BLOCKS_PER_PROGRAM = 256


@dataclass(frozen=True, slots=True)
class DrawsOnDevice:
    """Draws in the kernel's form: `words_B5` comes from `draw_words`; `place_B` is the row of each draw's image in
    `images_NCHW`."""

    images_NCHW: Tensor
    words_B5: Tensor
    place_B: Tensor
    sigma_B: Tensor


def draws_on_device(rows: Sequence[tuple[Draws, int]], device: torch.device) -> DrawsOnDevice:
    """The draws of one batch on the device, with every image stored once."""
    place_of: dict[int, int] = {}
    images = []
    for draws, _ in rows:
        if id(draws.x_CHW) not in place_of:
            place_of[id(draws.x_CHW)] = len(images)
            images.append(torch.from_numpy(draws.x_CHW))
    return DrawsOnDevice(
        images_NCHW=torch.stack(images).to(device),
        words_B5=draw_words(rows, device),
        place_B=torch.tensor([place_of[id(draws.x_CHW)] for draws, _ in rows], device=device),
        sigma_B=torch.tensor([float(at_least(draws.sigma)) for draws, _ in rows], device=device),
    )


def normalized_noisy_batch(draws: DrawsOnDevice, mean_C: Tensor, std_C: Tensor, dtype: torch.dtype) -> Tensor:
    """`x_BCHW` in `dtype`, channels last: `(image + noise - mean) / std` of each draw.

    Raises: ValueError if an image's area is not a multiple of 4 pixels, the output of one Philox block.
    """
    _, num_channels, height, width = draws.images_NCHW.shape
    area = height * width
    if area % PIXELS_PER_BLOCK:
        raise ValueError(f"the image area {height}x{width} must be a multiple of {PIXELS_PER_BLOCK} pixels")
    shape = (len(draws.place_B), num_channels, height, width)
    out_BCHW = torch.empty(shape, dtype=dtype, device=draws.place_B.device, memory_format=torch.channels_last)
    grid = (triton.cdiv(area // PIXELS_PER_BLOCK, BLOCKS_PER_PROGRAM), len(draws.place_B))
    _write_noisy[grid](
        out_BCHW,
        draws.images_NCHW,
        draws.words_B5,
        draws.place_B,
        draws.sigma_B,
        mean_C,
        1 / std_C,
        area,
        num_channels,
        BLOCKS_PER_PROGRAM,
    )
    return out_BCHW


@triton.jit
def _write_noisy(
    out,
    images,
    words,
    places,
    sigmas,
    means,
    factors,
    AREA: tl.constexpr,
    NUM_CHANNELS: tl.constexpr,
    NUM_BLOCKS: tl.constexpr,
):
    row = tl.program_id(1).to(tl.int64)
    block = tl.program_id(0) * NUM_BLOCKS + tl.arange(0, NUM_BLOCKS)  # of four pixels, in each channel
    is_inside = block < AREA // 4
    zero = (block * 0).to(tl.uint32)
    name = words + row * 5
    index = zero + tl.load(name).to(tl.uint32)
    job_low = zero + tl.load(name + 1).to(tl.uint32)
    job_high = zero + tl.load(name + 2).to(tl.uint32)
    key = tl.load(name + 3).to(tl.uint64) | (tl.load(name + 4).to(tl.uint64) << 32)
    sigma = tl.load(sigmas + row)
    image = images + tl.load(places + row) * (NUM_CHANNELS * AREA)
    target = out + row * (NUM_CHANNELS * AREA)
    for channel in tl.static_range(NUM_CHANNELS):
        counter = (block + channel * (AREA // 4)).to(tl.uint32)
        first, second, third, fourth = tl.philox(key, counter, index, job_low, job_high)
        z0, z1 = _box_muller(first, second)
        z2, z3 = _box_muller(third, fourth)
        mean, factor = tl.load(means + channel), tl.load(factors + channel)
        for place in tl.static_range(4):
            z = z0 if place == 0 else (z1 if place == 1 else (z2 if place == 2 else z3))
            pixel = 4 * block + place
            x = tl.load(image + channel * AREA + pixel, mask=is_inside, other=0.0)
            y = (x + sigma * z - mean) * factor
            tl.store(target + pixel * NUM_CHANNELS + channel, y.to(out.dtype.element_ty), mask=is_inside)


@triton.jit
def _box_muller(first, second):
    """Two normal numbers from two words, in the order of operations of `zoo.smoothing.device_noise`."""
    uniform = (first.to(tl.float32) + 0.5) * 2.3283064365386963e-10  # 2**-32
    radius = tl.sqrt(-2.0 * tl.log(tl.minimum(uniform, 1.0)))
    angle = second.to(tl.float32) * 1.4629180792671596e-09  # 2 pi 2**-32
    return radius * tl.cos(angle), radius * tl.sin(angle)
