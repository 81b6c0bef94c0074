"""The losses that an attack on a classifier maximizes: one value per image, computed from the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import RequestError, UnknownNameError

Loss = Literal["ce", "dlr"]
LossOfLogits = Callable[[Tensor, Tensor], Tensor]
"""`(logits_BK, labels_B) -> loss_B`."""
FEWEST_CLASSES_OF_DLR = 3


def cross_entropy(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """`loss_B`: -log of the label's softmax."""
    return F.cross_entropy(logits_BK, labels_B, reduction="none")


def difference_of_logits_ratio(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """`loss_B`: the highest other logit minus the label's logit, divided by the gap between the first and third logits.

    Unlike cross-entropy, the ratio does not change when the logits are shifted or scaled.
    Source: Croce and Hein 2020, equation 7; the constant of the authors' code.
    """
    sorted_BK, order_BK = logits_BK.sort(dim=1)
    own_B = logits_BK.gather(1, labels_B.view(-1, 1)).squeeze(1)
    is_first_B = order_BK[:, -1] == labels_B
    other_B = torch.where(is_first_B, sorted_BK[:, -2], sorted_BK[:, -1])
    return -(own_B - other_B) / (sorted_BK[:, -1] - sorted_BK[:, -3] + 1e-12)


LOSSES: Mapping[str, LossOfLogits] = {"ce": cross_entropy, "dlr": difference_of_logits_ratio}


def find_loss(name: str, *, num_classes: int | None) -> LossOfLogits:
    """The loss called `name`; `num_classes` is None if it is not known yet.

    Raises: UnknownNameError; RequestError for DLR on fewer than three classes.
    """
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES)
    if name == "dlr" and num_classes is not None and num_classes < FEWEST_CLASSES_OF_DLR:
        raise RequestError(f"the DLR loss needs at least 3 classes, and there are {num_classes}: use --loss ce")
    return LOSSES[name]
