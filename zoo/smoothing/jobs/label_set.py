"""A label set as a job: one noisy draw, whose logits are compared with the calibrated threshold."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor

from zoo.smoothing.backends import Logits
from zoo.smoothing.jobs.job import checked_pixels
from zoo.smoothing.label_set import LabelSet, LabelSetSpec, label_scores, labels_within, one_draw
from zoo.smoothing.noise import Draws, NoiseKey


class LabelSetJob:
    """The label set of one image from one draw.

    The key must be fresh for every answer. Someone who has seen an answer may know its noise, and could change the
    image for this noise if it were drawn again.
    """

    def __init__(
        self, id: Hashable, x_CHW: Tensor, *, spec: LabelSetSpec, key: NoiseKey, input: str | None = None
    ) -> None:
        """Checks and copies the image.

        Args:
            id: Identifies the job in its engine.
            x_CHW: The image, in [0, 1].
            spec: The guarantee and its threshold.
            key: Fresh key of the draw's noise.
            input: Description of the image in the answer; by default its shape and range.

        Raises: as `checked_pixels`.
        """
        self.id = id
        self.x_CHW = checked_pixels(x_CHW, noise=spec.noise)
        self.spec = spec
        self.key = key
        self.input = input or f"{'x'.join(str(size) for size in self.x_CHW.shape)} in [0, 1]"
        self._num_taken = 0
        self._labels: tuple[int, ...] = ()

    @property
    def num_remaining(self) -> int:
        return 1 - self._num_taken

    @property
    def num_expected(self) -> int:
        return self.num_remaining

    @property
    def num_useful(self) -> int:
        return self.num_remaining

    @property
    def num_taken(self) -> int:
        return self._num_taken

    def first_draws(self, num: int) -> Draws:
        return one_draw(self.x_CHW, sigma=self.spec.sigma, noise=self.spec.noise, key=self.key)

    def take(self, num: int) -> list[Draws]:
        self._num_taken = 1
        return [self.first_draws(num)]

    def adapts_to(self, draws: Draws) -> bool:
        return False

    def record(self, draws: Draws, logits_MK: Logits) -> None:
        (scores_K,) = label_scores(logits_MK)
        self._labels = labels_within(scores_K, self.spec.threshold)

    def result(self, *, backend: str) -> LabelSet:
        return LabelSet(labels=self._labels, spec=self.spec, input=self.input, backend=backend)
