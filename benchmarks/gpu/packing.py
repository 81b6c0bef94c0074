"""Section `packing`: certificates on the device do not depend on batch neighbours, ranks, step size or resuming."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from benchmarks.gpu.findings import Findings
from benchmarks.gpu.networks import backend_of, build_with_classes, picture
from benchmarks.gpu.require import require
from benchmarks.gpu.settings import Settings
from benchmarks.loops import SIGMA
from zoo.smoothing import (
    Certificate,
    Certification,
    CertificationEngine,
    NoiseKey,
    NoisySampler,
    SamplingOptions,
    SmoothingSpec,
)

ROOT = 2**63 + 5
ODD_BUDGET = 13

Certificates = dict[int, Certificate]


def check(settings: Settings, findings: Findings) -> None:
    """Requires the same certificates in float32 and in bfloat16, however the images are packed.

    The images are certified together, alone, by two ranks, in odd steps, in reverse order, in a resumed run, and
    without a batch enqueued ahead.
    """
    network, numbers = build_with_classes(settings), range(num_images(settings))
    findings["certificates that differ"] = {}
    for precision in ("float32", "bfloat16"):
        with findings.part(precision):
            expected = certify(numbers, network, settings, precision)
            findings[f"labels, {precision}"] = [expected[number].label for number in numbers]
            findings[f"votes of the first class, {precision}"] = [expected[number].count_a for number in numbers]
            differing = {name: count_differing(expected, other) for name, other in ways(network, settings, precision)}
            findings["certificates that differ"][precision] = differing
            require(not any(differing.values()), f"certificates depend on how they are computed: {differing}")


def ways(network: nn.Module, settings: Settings, precision: str) -> list[tuple[str, Certificates]]:
    """The certificates of all images, computed in each other way."""
    numbers = range(num_images(settings))
    alone = [certify([number], network, settings, precision) for number in numbers]
    ranks = [certify(numbers[rank::2], network, settings, precision) for rank in range(2)]
    before, after = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    resumed = [certify(before, network, settings, precision), certify(after, network, settings, precision)]
    return [
        ("each alone", merged(alone)),
        ("by two ranks", merged(ranks)),
        ("begun again", merged(resumed)),
        ("in odd steps", certify(numbers, network, settings, precision, budget=ODD_BUDGET)),
        ("each batch read before the next", certify(numbers, network, settings, precision, is_apart=True)),
        ("backwards", certify(reversed(numbers), network, settings, precision)),
    ]


def certify(
    numbers: Iterable[int],
    network: nn.Module,
    settings: Settings,
    precision: str,
    *,
    budget: int | None = None,
    is_apart: bool = False,
) -> Certificates:
    """The certificates by image number, computed by a new engine with its own copy of the network.

    If `is_apart`, the engine enqueues no batch before it has read the last one's votes.
    """
    batch_size = 8 if settings.is_tiny else 128
    engine = CertificationEngine(
        NoisySampler(backend_of(network, settings, precision), SamplingOptions(batch_size=batch_size))
    )
    smoothing = SmoothingSpec(sigma=SIGMA, n0=5, n=20 if settings.is_tiny else 600)
    for number in numbers:
        key = NoiseKey(ROOT, number)
        engine.admit(Certification(number, picture(number, settings), smoothing=smoothing, key=key))
    certificates = {}
    while engine.num_open:
        for finished in engine.step_apart(budget)[0] if is_apart else engine.step(budget):
            certificates[finished.id] = finished.result
    return certificates


def num_images(settings: Settings) -> int:
    return 3 if settings.is_tiny else 6


def merged(parts: list[Certificates]) -> Certificates:
    return {number: certificate for part in parts for number, certificate in part.items()}


def count_differing(expected: Certificates, computed: Certificates) -> int:
    return sum(computed[number] != certificate for number, certificate in expected.items())
