"""Sections `throughput`, `graphs`, `compiled`, `autotuned`: draws per second of the engine and the published loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.agreement import FLOAT32_TOLERANCE
from benchmarks.gpu.device_loop import DeviceLoop, bfloat16_backbone
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import (
    NUM_CLASSES,
    backend_of,
    build,
    build_to_compile,
    compiler,
    device_draws,
    draws_of,
    logits_of,
    picture,
    relative_difference,
)
from benchmarks.gpu.racing import Contender, race
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.timing import matrix_peaks, seconds
from benchmarks.loops import LOOP_BATCHES, published_loop, run_engine
from zoo.models.architecture import NormalizedNetwork
from zoo.smoothing import TorchBackend
from zoo.smoothing.backends import CompiledBackend, fused
from zoo.smoothing.noisy_batch import noisy_batch
from zoo.smoothing.precision import Precision

BFLOAT16_TOLERANCE = 0.15
"""As a share of the largest logit, between two ways to round in bfloat16. On a ResNet-50, each way differs from float32
by 0.04; a wrong network differs by about 1."""
GRAPH_TOLERANCES: Mapping[Precision, float] = {"float32": FLOAT32_TOLERANCE, "bfloat16": BFLOAT16_TOLERANCE}
AUTOTUNED = {"max_autotune": True, "conv_1x1_as_mm": True}


def eager(settings: Settings, findings: Findings) -> None:
    """Races the engine in every precision at three batch sizes, and the device loop as a CUDA graph; no compilation."""
    network = build(settings)
    contenders = loops(network, settings)
    for batch_size in settings.batch_sizes:
        for precision in get_args(Precision):
            base = backend_of(network, settings, precision)
            name = f"engine, {precision}, batch {batch_size}"
            contenders[name] = Contender(precision, engine_rate(base, batch_size, settings))
            if batch_size == settings.batch_sizes[-1]:
                name = f"network alone, {precision}, batch {batch_size}"
                contenders[name] = Contender(precision, network_rate(base, batch_size, settings))
        with findings.part(f"device loop, batch {batch_size}"):
            backbone = bfloat16_backbone(network, settings)
            add_device_loop(contenders, "eager", backbone, network, batch_size, settings, findings)
    run(contenders, network, settings, findings)


def graphs(settings: Settings, findings: Findings) -> None:
    """Races the product's compiled backend, a CUDA graph, with its eager backend; requires that their logits agree."""
    network, batch_size = build_to_compile(settings), settings.batch_sizes[-1]
    contenders: dict[str, Contender] = {}
    for precision, tolerance in GRAPH_TOLERANCES.items():
        with findings.part(precision):
            eager_base = backend_of(network, settings, precision)
            base = CompiledBackend(
                fused(network), num_classes=eager_base.num_classes, device=settings.device, precision=precision
            )
            findings[f"graph beside eager, {precision}"] = differences_of_graph(
                base, eager_base, batch_size, settings, tolerance
            )
            for kind, contender in {"graph": base, "eager": eager_base}.items():
                rate = engine_rate(contender, batch_size, settings)
                contenders[f"engine, {precision}, {kind}, batch {batch_size}"] = Contender(precision, rate)
    run(contenders, network, settings, findings)


def compiled(settings: Settings, findings: Findings) -> None:
    """Races the engine and the device loop with a compiled network, in bfloat16, at three batch sizes."""
    batch_sizes = settings.batch_sizes[-1:] if settings.is_tiny else settings.batch_sizes
    compare_compiled(settings, findings, batch_sizes, {"backend": compiler(settings)}, "compiled")


def autotuned(settings: Settings, findings: Findings) -> None:
    """Races like `compiled` at the largest batch size, with autotuning; takes minutes, so it is the last section."""
    options = {"backend": "inductor", "options": AUTOTUNED}
    compare_compiled(settings, findings, settings.batch_sizes[-1:], options, "autotuned")


def compare_compiled(
    settings: Settings, findings: Findings, batch_sizes: tuple[int, ...], options: Mapping[str, object], how: str
) -> None:
    network = build_to_compile(settings)
    contenders = loops(network, settings)
    for batch_size in reversed(batch_sizes):  # if the time runs out, the largest batch is measured
        with findings.part(f"engine, {how}, batch {batch_size}"):
            base = backend_of(network, settings, "bfloat16")
            base.base = torch.compile(base.base, dynamic=False, **options)
            note_difference(base, network, batch_size, settings, findings, f"engine, {how}, batch {batch_size}")
            name = f"engine, bfloat16, {how}, batch {batch_size}"
            contenders[name] = Contender("bfloat16", engine_rate(base, batch_size, settings))
        with findings.part(f"device loop, {how}, batch {batch_size}"):
            backbone = torch.compile(bfloat16_backbone(network, settings), dynamic=False, **options)
            add_device_loop(contenders, how, backbone, network, batch_size, settings, findings)
    run(contenders, network, settings, findings)


def differences_of_graph(
    base: CompiledBackend, eager_base: TorchBackend, batch_size: int, settings: Settings, tolerance: float
) -> dict[str, object]:
    """The differences between a graph and the eager network on two batches, and the seconds of the first one.

    A graph that reads or writes the wrong memory repeats the logits of its first batch.
    Raises: AssertionError if a logit differs by more than `tolerance` of the largest, or logits change in a replay.
    """
    draws = [device_draws(settings.device, draws_of(picture(number, settings), batch_size)) for number in range(2)]
    rows: dict[str, object] = {
        "seconds of the first batch, with compiling": seconds(lambda: base.classify(noisy_batch(draws[0])), settings)
    }
    kept: list[tuple[Tensor, Tensor]] = []
    for number, each in enumerate(draws):
        x_BCHW = noisy_batch(each)
        logits_BK, expected_BK = base.enqueue(x_BCHW), logits_of(eager_base, x_BCHW)
        kept.append((logits_BK, logits_BK.cpu()))
        difference = relative_difference(logits_BK, expected_BK)
        rows[f"batch {number}, difference of a logit, share of the largest"] = difference
        rows[f"batch {number}, votes that differ"] = int((kept[-1][1].argmax(1) != expected_BK.argmax(1)).sum())
        require(difference < tolerance, f"{base.name}, batch {number}: a logit differs by {difference} of the largest")
    require(all(torch.equal(now.cpu(), before) for now, before in kept), "a later replay changed earlier logits")
    return rows


def loops(network: nn.Module, settings: Settings) -> dict[str, Contender]:
    """The published loop in TF32, which is torch's default for convolutions, and in float32."""
    x_CHW, num = picture(0, settings).to(settings.device), num_draws(settings)
    contenders = {}
    for batch_size in settings.batch_sizes[-1:] if settings.is_tiny else LOOP_BATCHES:
        for precision in ("tf32", "float32"):

            def rate(batch_size: int = batch_size) -> float:
                sizes = {"num": num, "batch_size": batch_size, "num_classes": NUM_CLASSES}
                return published_loop(network, x_CHW, **sizes).rate

            name = f"published loop, {precision}, batch {batch_size}"
            contenders[name] = Contender(precision, rate, is_reference=precision == "tf32")
    return contenders


def engine_rate(base: TorchBackend, batch_size: int, settings: Settings) -> Callable[[], float]:
    x_CHW, num = picture(0, settings), num_draws(settings)
    return lambda: run_engine(base, x_CHW, num=num, batch_size=batch_size).rate


def network_rate(base: TorchBackend, batch_size: int, settings: Settings) -> Callable[[], float]:
    """The rate of forward passes of one batch, enqueued one after another: an engine's if all else took no time."""
    x_BCHW = noisy_batch(device_draws(settings.device, draws_of(picture(0, settings), batch_size)))
    passes = range(num_draws(settings) // batch_size)
    return lambda: len(passes) * batch_size / seconds(lambda: [base.enqueue(x_BCHW) for _ in passes], settings)


def num_draws(settings: Settings) -> int:
    """The number of draws of one run: several of the largest batches, and more draws than the engine's selection."""
    return 32 if settings.is_tiny else 8 * settings.batch_sizes[-1]


def add_device_loop(
    contenders: dict[str, Contender],
    how: str,
    backbone: Callable[[Tensor], Tensor],
    network: NormalizedNetwork,
    batch_size: int,
    settings: Settings,
    findings: Findings,
) -> None:
    """Adds the device loop to the contenders, as a CUDA graph on a GPU, if its logits agree with the product's.

    Args:
        contenders: The contenders, to which the loop is added.
        how: How the backbone is compiled, for the contender's name.
        backbone: The network in bfloat16 without its normalization layer.
        network: The reference network.
        batch_size: Draws per step.
        settings: The device and the amount of work.
        findings: Receives the agreement.
    """
    loop = DeviceLoop(backbone, settings, batch_size=batch_size)
    with torch.inference_mode():
        logits_BK = loop.logits().cpu()
    note_agreement(logits_BK, network, batch_size, settings, findings, f"device loop, {how}, batch {batch_size}")
    if settings.is_cuda:
        loop.capture()
        how += ", CUDA graph"
    num = batch_size if settings.is_tiny else num_draws(settings)
    name = f"device loop, fused noise, bfloat16, {how}, batch {batch_size}"
    contenders[name] = Contender("bfloat16", lambda: loop.rate(num))


def note_difference(
    base: TorchBackend, network: NormalizedNetwork, batch_size: int, settings: Settings, findings: Findings, name: str
) -> None:
    logits_BK = logits_of(base, noisy_batch(device_draws(settings.device, draws_of(picture(0, settings), batch_size))))
    note_agreement(logits_BK, network, batch_size, settings, findings, name)


def note_agreement(
    logits_BK: Tensor, network: NormalizedNetwork, batch_size: int, settings: Settings, findings: Findings, name: str
) -> None:
    """Records the differences of logits and votes from the eager engine in bfloat16.

    Raises: AssertionError if the logits differ by more than the order of bfloat16 operations can explain.
    """
    x_BCHW = noisy_batch(device_draws(settings.device, draws_of(picture(0, settings), batch_size)))
    expected_BK = logits_of(backend_of(network, settings, "bfloat16"), x_BCHW)
    differs_B = logits_BK.argmax(dim=1) != expected_BK.argmax(dim=1)
    difference = relative_difference(logits_BK, expected_BK)
    findings.setdefault("beside the eager engine in bfloat16", {})[name] = {
        "difference of a logit, share of the largest": difference,
        "votes that differ": int(differs_B.sum()),
        "votes": batch_size,
    }
    require(difference < BFLOAT16_TOLERANCE, f"{name}: a logit differs by {difference} of the largest")


def run(contenders: dict[str, Contender], network: nn.Module, settings: Settings, findings: Findings) -> None:
    """Races the contenders; reports their rates as shares of the rate at each precision's matrix peak."""
    operations = operations_per_draw(network, settings)
    findings["operations per draw"] = operations
    findings["draws per run"] = num_draws(settings)
    possible = {name: peak / operations for name, peak in matrix_peaks(settings).items()}
    race(contenders, settings, findings, title="draws per second", share_of=possible)


def operations_per_draw(network: nn.Module, settings: Settings) -> int:
    """Floating-point operations of one forward pass of one image; a multiply-add counts as two."""
    x_BCHW = picture(0, settings).unsqueeze(0).to(settings.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x_BCHW)
    return int(counter.get_total_flops())
