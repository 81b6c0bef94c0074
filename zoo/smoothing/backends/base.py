"""What the sampler asks of whatever runs the network."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.errors import CertificationError

Classes = npt.NDArray[np.int64]


@runtime_checkable
class BaseClassifier(Protocol):
    """f, which the smoothed classifier asks about noisy copies."""

    @property
    def name(self) -> str:
        """What computed, as it stands in certificates and logs, for example `torch-cpu-float32`."""
        ...

    @property
    def num_classes(self) -> int: ...

    @property
    def draws_on(self) -> torch.device:
        """Where Gaussian noise is best drawn: the device of the network, if it takes batches from there."""
        ...

    @property
    def depends_on_batch_shape(self) -> bool:
        """Whether an image's logits may differ in their last digits with the shape of its batch, which then has to be
        kept fixed for votes to be the same in every packing."""
        ...

    def classify(self, x_BCHW: Tensor) -> Classes:
        """The class of each image of a float32 batch, on the CPU or on the device that `draws_on` names.

        Raises: CertificationError if a logit is not finite or the shape is wrong; OutOfMemoryError if the batch is too
        large for the device.
        """
        ...


def checked_classes(logits_BK: npt.NDArray[np.float32], *, num_images: int, num_classes: int) -> Classes:
    """The class with the largest logit of each image, the lowest on ties.

    Raises: CertificationError if a logit is not finite or the shape is wrong.
    """
    if logits_BK.shape != (num_images, num_classes):
        expected = (num_images, num_classes)
        raise CertificationError(f"the base classifier answered {tuple(logits_BK.shape)}, expected {expected}")
    if not np.isfinite(logits_BK).all():
        value = float(logits_BK[~np.isfinite(logits_BK)][0])
        raise CertificationError(f"the base classifier answered logits that are not finite: {value}")
    classes_B: Classes = logits_BK.argmax(axis=1)
    return classes_B
