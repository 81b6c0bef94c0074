"""Sections `noise` and `noise-speed`: the device's noise agrees with the CPU's, and its cost per draw."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import compiler, device_draws, draws_of, normalization, picture
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import milliseconds
from benchmarks.loops import SIGMA
from zoo.smoothing.device_noise import (
    DeviceDraws,
    noisy_by_operations,
    normal_numbers,
    philox_4x32,
    words_of,
)
from zoo.smoothing.noisy_batch import noisy_batch

CPU = torch.device("cpu")
NUM_WORDS = 100_003
KNOWN_ANSWER = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
"""Philox-4x32-10 of counter and key zero, from its authors' known-answer file."""
MOMENTS = {"mean": (0, 1), "variance": (1, 2), "skewness": (0, 15), "kurtosis": (3, 96)}
"""Moments of N(0, 1) in the order of their powers, each with the variance of the power of one number."""
STANDARD_ERRORS = 5
CLOSE = 2e-5
"""Tolerance between devices, whose logarithm, square root, sine and cosine differ in the last digits; normal numbers go
up to 6.7."""
BFLOAT16_STEP = 2.0**-7


def check(settings: Settings, findings: Findings) -> None:
    """Requires noise that agrees with the CPU's, from Philox words to the fused kernel.

    Words equal the CPU's, normal numbers are close to the CPU's and have the right moments, a draw does not depend on
    its batch, and the fused kernel's pixels are close to those of separate operations.
    """
    with findings.part("words"):
        check_words(settings)
        findings["words equal to the CPU's"] = 4 * NUM_WORDS
    with findings.part("normal numbers"):
        findings["largest difference of a normal number from the CPU's"] = difference_of_normals(settings)
    with findings.part("moments"):
        findings["moments"] = moments(settings)
    with findings.part("independence of the batch"):
        check_independence(settings)
        findings["a draw depends on its batch"] = False
    with findings.part("fused kernel"):
        findings["fused kernel"] = difference_of_kernel(settings)


def check_words(settings: Settings) -> None:
    generator = torch.Generator().manual_seed(1)
    words = [torch.randint(0, 2**32, (NUM_WORDS,), generator=generator) for _ in range(6)]
    on_host = philox_4x32(tuple(words[:4]), (words[4], words[5]))
    device_words = [word.to(settings.device) for word in words]
    on_device = philox_4x32(tuple(device_words[:4]), (device_words[4], device_words[5]))
    require(all(torch.equal(a, b.cpu()) for a, b in zip(on_host, on_device, strict=True)), "words differ")
    zero = torch.zeros(1, dtype=torch.int64, device=settings.device)
    answer = tuple(int(word) for word in philox_4x32((zero,) * 4, (zero, zero)))
    require(answer == KNOWN_ANSWER, f"Philox of zeros gives {answer}, expected {KNOWN_ANSWER}")


def difference_of_normals(settings: Settings) -> float:
    draws, num_values = draws_of(picture(0, settings), 8), 3 * settings.size**2
    values = normal_numbers(device_draws(settings.device, draws).words_M5, num_values).cpu()
    difference = float((values - normal_numbers(device_draws(CPU, draws).words_M5, num_values)).abs().max())
    require(difference < CLOSE, f"a normal number differs by {difference}")
    return difference


def moments(settings: Settings) -> dict[str, dict[str, float]]:
    """Four moments of some million numbers; requires each within 5 standard errors of the moment of N(0, 1)."""
    draws = device_draws(settings.device, draws_of(picture(0, settings), 64, start=2**30))
    values = normal_numbers(draws.words_M5, 3 * settings.size**2).double().flatten()
    require(bool(torch.isfinite(values).all()), "a normal number is not finite")
    table = {}
    for power, (name, (expected, variance)) in enumerate(MOMENTS.items(), start=1):
        mean = float((values**power).mean())
        errors = (mean - expected) / math.sqrt(variance / len(values))
        table[name] = {"found": mean, "expected": expected, "standard errors apart": round(errors, 2)}
        require(abs(errors) < STANDARD_ERRORS, f"{name} is {mean}, {errors:.1f} standard errors from {expected}")
    return table


def check_independence(settings: Settings) -> None:
    draws = device_draws(settings.device, draws_of(picture(0, settings), 4), draws_of(picture(1, settings), 4, job=9))
    for row, expected in enumerate(noisy_batch(draws)):
        require(torch.equal(noisy_batch(draws.part(row, row + 1))[0], expected), "a draw depends on its batch")


def difference_of_kernel(settings: Settings) -> dict[str, float]:
    """The largest difference of the kernel's pixels from `noisy_by_operations`, in float32 and in bfloat16."""
    from zoo.smoothing.fused_noise import noisy_images, normalized_noisy_images

    num = 1 if settings.is_tiny else 4
    one = draws_of(picture(0, settings), num, start=2**30)
    other = draws_of(picture(1, settings), num, job=2**64 - 1, sigma=0.25)
    draws = device_draws(settings.device, one, other)
    expected = noisy_by_operations(draws)
    mean_C, std_C = normalization(settings)
    plain = noisy_images(draws)
    rounded = normalized_noisy_images(draws, mean_C, std_C, torch.bfloat16).float()
    normalized = (expected - mean_C.view(3, 1, 1)) / std_C.view(3, 1, 1)
    difference = float((plain - expected).abs().max())
    relative = float(((rounded - normalized).abs() / normalized.abs().clamp(min=0.1)).max())
    require(difference < CLOSE, f"a pixel of the fused kernel differs by {difference}")
    require(relative < BFLOAT16_STEP, f"a pixel in bfloat16 differs by {relative} of its size")
    return {"difference of a pixel": difference, "share of a normalized pixel, in bfloat16": relative}


def measure(settings: Settings, findings: Findings) -> None:
    """Records microseconds per draw and peak memory of each way to create a batch of noisy images."""
    num = settings.batch_sizes[-1]
    one, num_values = draws_of(picture(0, settings), num), 3 * settings.size**2
    draws = device_draws(settings.device, one)
    findings["draws per batch"] = num
    findings["microseconds per draw"] = {}
    x_BCHW = noisy_batch(draws)
    ways: dict[str, Callable[[], object]] = {
        "as the product has it, moved to the device": lambda: noisy_batch(device_draws(settings.device, one)),
        "as the product has it": lambda: noisy_batch(draws),
        "by separate operations": lambda: noisy_by_operations(draws),
        "the normal numbers of separate operations": lambda: normal_numbers(draws.words_M5, num_values),
        "the words on the host": lambda: words_of(one, 0),
        "channels last, afterwards": lambda: x_BCHW.clone(memory_format=torch.channels_last),
        "the published loop's: torch.randn_like, sigma, sum": lambda: x_BCHW + SIGMA * torch.randn_like(x_BCHW),
    }
    for name, run in ways.items():
        with findings.part(name):
            findings["microseconds per draw"][name] = timed(run, num, settings)
    with findings.part("compiled"):
        compiled = compiled_normal_numbers(draws.words_M5, num_values, settings)
        name = "normal numbers, compiled"
        findings["microseconds per draw"][name] = timed(lambda: compiled(draws.words_M5, num_values), num, settings)
    with findings.part("fused kernel"):
        measure_kernel(draws, settings, findings)


def timed(run: Callable[[], object], num: int, settings: Settings) -> dict[str, float]:
    if settings.is_cuda:
        torch.cuda.reset_peak_memory_stats()
    figures = {"microseconds": round(1e3 * milliseconds(run, settings) / num, 3)}
    if settings.is_cuda:
        figures["peak memory, GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return figures


def compiled_normal_numbers(words_M5: Tensor, num_values: int, settings: Settings) -> Callable[[Tensor, int], Tensor]:
    """`normal_numbers` compiled by torch.compile.

    Raises: AssertionError if the compiled numbers differ from the eager ones in more than the last digits.
    """
    compiled = torch.compile(normal_numbers, dynamic=False, backend=compiler(settings))
    difference = float((compiled(words_M5, num_values) - normal_numbers(words_M5, num_values)).abs().max())
    require(difference < CLOSE, f"a compiled normal number differs by {difference}")
    return compiled


def measure_kernel(draws: DeviceDraws, settings: Settings, findings: Findings) -> None:
    from zoo.smoothing.fused_noise import normalized_noisy_images

    mean_C, std_C = normalization(settings)
    for dtype in (torch.float32, torch.bfloat16):
        name = f"fused kernel, normalized, channels last, {dtype}".replace("torch.", "")
        run = lambda dtype=dtype: normalized_noisy_images(draws, mean_C, std_C, dtype)  # noqa: E731
        findings["microseconds per draw"][name] = timed(run, len(draws), settings)
        written = np.prod((len(draws), 3, settings.size, settings.size)) * dtype.itemsize
        duration = findings["microseconds per draw"][name]["microseconds"] * len(draws) / 1e6
        findings["microseconds per draw"][name]["GB/s written"] = round(float(written) / duration / 1e9, 1)
