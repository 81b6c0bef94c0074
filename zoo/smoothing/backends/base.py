"""The interface between the sampler and the backends that run the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.errors import CertificationError

Classes = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


@runtime_checkable
class BaseClassifier(Protocol):
    """The base classifier f, which classifies noisy copies for the smoothed classifier."""

    @property
    def name(self) -> str:
        """The backend's name in certificates and logs, for example `torch-cpu-float32`."""
        ...

    @property
    def num_classes(self) -> int: ...

    @property
    def draws_on(self) -> torch.device:
        """The device on which to draw Gaussian noise: the network's device if `classify` accepts batches on it."""
        ...

    @property
    def depends_on_batch_shape(self) -> bool:
        """Whether the last digits of an image's logits may depend on the shape of its batch.

        If so, all batches must have one shape, or votes may differ between packings.
        """
        ...

    def classify(self, x_BCHW: Tensor) -> Classes:
        """The class of each image of `x_BCHW`, a float32 batch on the CPU or on the device `draws_on`.

        Raises: CertificationError if a logit is not finite or the shape is wrong; OutOfMemoryError if the batch is too
        large for the device.
        """
        ...


@runtime_checkable
class ScoringClassifier(BaseClassifier, Protocol):
    """A base classifier that also returns logits. A label set needs them; votes do not."""

    def classify_and_read(self, x_BCHW: Tensor, rows: Sequence[int]) -> tuple[Classes, Logits]:
        """The class of each image of `x_BCHW` as in `classify`, and `logits_RK` of the images at the indices `rows`.

        Raises: as `classify`.
        """
        ...


@runtime_checkable
class DeviceClassifier(ScoringClassifier, Protocol):
    """A base classifier that leaves logits on its device, so that the host need not wait for each batch."""

    def enqueue(self, x_BCHW: Tensor) -> Tensor:
        """`logits_BK`, float32 on the device `draws_on`, which may not have computed them yet.

        Raises: CertificationError if the shape is wrong; OutOfMemoryError as `classify`.
        """
        ...


NOT_FINITE = -1
"""What `classes_on_device` gives instead of a class."""


def classes_on_device(logits_BK: Tensor) -> Tensor:
    """The class with the largest logit for each image, the lowest such class on ties; -1 if a logit is not finite.

    int64, on the device of the logits. The host does not wait for them.
    """
    classes_B = logits_BK.argmax(dim=1)
    return torch.where(logits_BK.isfinite().all(dim=1), classes_B, NOT_FINITE)


def checked_classes(logits_BK: Logits, *, num_images: int, num_classes: int) -> Classes:
    """The class with the largest logit for each image; the lowest such class on ties.

    Raises: CertificationError if a logit is not finite or the shape is wrong.
    """
    require_shape(logits_BK.shape, num_images=num_images, num_classes=num_classes)
    if not np.isfinite(logits_BK).all():
        value = float(logits_BK[~np.isfinite(logits_BK)][0])
        raise CertificationError(f"the base classifier returned a logit that is not finite: {value}")
    classes_B: Classes = logits_BK.argmax(axis=1)
    return classes_B


def require_shape(shape: Sequence[int], *, num_images: int, num_classes: int) -> None:
    """Raises CertificationError unless `shape` is that of logits of all images and classes."""
    if tuple(shape) != (num_images, num_classes):
        expected = (num_images, num_classes)
        raise CertificationError(f"the base classifier returned logits of shape {tuple(shape)}, expected {expected}")
