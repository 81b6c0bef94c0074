"""The rule that selects the test images of a result: evenly spaced places, or a seeded sample."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.errors import RequestError
from zoo.models.measurements import CertificationResult, EmpiricalResult, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Every `skip`-th image below number `maximum`, or a sample of `num_images` images.

    The images of a test set are often in the order of their classes. The first images then show only some classes, and
    evenly spaced ones show the classes in proportion. A sample is drawn by hashes of `seed` and the images' numbers, so
    every version and machine selects the same images. A smaller sample of the same seed is part of a larger one.

    `stratified`: one image of every class if `num_images` is at least the number of classes, and the other images in
    proportion to the classes' sizes (the divisor method of Sainte-Laguë). `random`: all images have the same chance.

    Raises: RequestError if a sample is combined with `skip` or `maximum`, or has a kind but no number of images.
    """

    skip: int = 1
    maximum: int | None = None
    sample: Sampling | None = None
    num_images: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sample is not None and self.num_images is None:
            raise RequestError(f"a {self.sample} sample needs its number of images: give --images K")
        if self.num_images is not None and self.sample is None:
            raise RequestError(f"{self.num_images} images need a kind of sample: stratified or random")
        if self.sample is not None and (self.skip != 1 or self.maximum is not None):
            raise RequestError(
                "--images draws a sample, --skip and --max select evenly spaced images: give one of both"
            )

    def of(self, labels: Sequence[int]) -> list[int]:
        """The selected numbers in increasing order, for a test set whose images have these classes.

        Raises: RequestError if the sample is larger than the test set.
        """
        if self.sample is None or self.num_images is None:
            return list(range(len(labels)))[: self.maximum : self.skip]
        if self.num_images > len(labels):
            raise RequestError(f"--images {self.num_images} is more than the {len(labels)} images of the test set")
        shuffled = sorted(range(len(labels)), key=self._hash_of)
        ordered = _interleaved(shuffled, labels) if self.sample == "stratified" else shuffled
        return sorted(ordered[: self.num_images])

    def _hash_of(self, index: int) -> bytes:
        return hashlib.sha256(f"image {index} of seed {self.seed}".encode()).digest()


def selection_of(result: CertificationResult | EmpiricalResult) -> Selection:
    """The rule that a recorded result states."""
    return Selection(
        skip=result.skip,
        maximum=result.maximum,
        sample=result.sample,
        num_images=None if result.sample is None else result.num_images,
        seed=result.seed,
    )


def _interleaved(shuffled: Sequence[int], labels: Sequence[int]) -> list[int]:
    """The images in an order whose every beginning is a stratified sample.

    Image r of its class, counted from 0 in the shuffled order, has the place (r + 1/2) / (size of its class), and the
    first of each class precedes all others.
    """
    sizes, ranks = Counter(labels), defaultdict[int, int](int)
    places: dict[int, float] = {}
    for index in shuffled:
        label = labels[index]
        places[index] = (ranks[label] + 0.5) / sizes[label] if ranks[label] > 0 else 0.0
        ranks[label] += 1
    return sorted(shuffled, key=lambda index: places[index])  # stable: equal places stay in the shuffled order
