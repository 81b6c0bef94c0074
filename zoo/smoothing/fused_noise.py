"""A Triton kernel that computes the noisy images of draws in one pass over memory; needs Triton.

The kernel runs Philox and Box-Muller, scales by sigma, adds the image, and writes channels last; it can also normalize
and round to the network's type. The numbers are those of `zoo.smoothing.device_noise`, where each operation is a pass
over memory. A program computes the same pixels of all channels, which makes its writes fill whole memory lines.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

from zoo.smoothing.device_noise import WORDS_PER_BLOCK, DeviceDraws

BLOCKS_PER_PROGRAM = 256


def noisy_images(draws: DeviceDraws) -> Tensor:
    """The noisy copies `x_MCHW`, float32, channels last: each draw's image plus its Gaussian noise.

    Raises: ValueError if an image's area is not a multiple of 4 pixels, the output of one Philox block.
    """
    return _launched(draws, None, None, torch.float32)


def normalized_noisy_images(draws: DeviceDraws, mean_C: Tensor, std_C: Tensor, dtype: torch.dtype) -> Tensor:
    """`(image + noise - mean) / std` of each draw, `x_MCHW` in `dtype`, channels last. Raises: as `noisy_images`."""
    return _launched(draws, mean_C, 1 / std_C, dtype)


def _launched(draws: DeviceDraws, mean_C: Tensor | None, factor_C: Tensor | None, dtype: torch.dtype) -> Tensor:
    _, num_channels, height, width = draws.images_NCHW.shape
    area = height * width
    if area % WORDS_PER_BLOCK:
        raise ValueError(f"the image area {height}x{width} must be a multiple of {WORDS_PER_BLOCK} pixels")
    shape = (len(draws), num_channels, height, width)
    out_MCHW = torch.empty(shape, dtype=dtype, device=draws.words_M5.device, memory_format=torch.channels_last)
    grid = (triton.cdiv(area // WORDS_PER_BLOCK, BLOCKS_PER_PROGRAM), len(draws))
    # Triton launches on the current device, and torch computes on that of its tensors.
    with torch.cuda.device(out_MCHW.device) if out_MCHW.is_cuda else nullcontext():
        _write_noisy[grid](
            out_MCHW,
            draws.images_NCHW,
            draws.words_M5,
            draws.position_M,
            draws.sigma_M,
            mean_C,
            factor_C,
            area,
            num_channels,
            BLOCKS_PER_PROGRAM,
            mean_C is not None,
        )
    return out_MCHW


@triton.jit
def _write_noisy(
    out,
    images,
    words,
    positions,
    sigmas,
    means,
    factors,
    AREA: tl.constexpr,
    NUM_CHANNELS: tl.constexpr,
    NUM_BLOCKS: tl.constexpr,
    NORMALIZES: tl.constexpr,
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
    image = images + tl.load(positions + row) * (NUM_CHANNELS * AREA)
    target = out + row * (NUM_CHANNELS * AREA)
    for channel in tl.static_range(NUM_CHANNELS):
        counter = (block + channel * (AREA // 4)).to(tl.uint32)
        first, second, third, fourth = tl.philox(key, counter, index, job_low, job_high)
        z0, z1 = _box_muller(first, second)
        z2, z3 = _box_muller(third, fourth)
        for place in tl.static_range(4):
            z = z0 if place == 0 else (z1 if place == 1 else (z2 if place == 2 else z3))
            pixel = 4 * block + place
            x = tl.load(image + channel * AREA + pixel, mask=is_inside, other=0.0)
            y = x + sigma * z
            if NORMALIZES:
                y = (y - tl.load(means + channel)) * tl.load(factors + channel)
            tl.store(target + pixel * NUM_CHANNELS + channel, y.to(out.dtype.element_ty), mask=is_inside)


@triton.jit
def _box_muller(first, second):
    """Two normal numbers from two words, in the order of operations of `zoo.smoothing.device_noise`."""
    uniform = (first.to(tl.float32) + 0.5) * 2.3283064365386963e-10  # 2**-32
    radius = tl.sqrt(-2.0 * tl.log(tl.minimum(uniform, 1.0)))
    angle = second.to(tl.float32) * 1.4629180792671596e-09  # 2 pi 2**-32
    return radius * tl.cos(angle), radius * tl.sin(angle)
