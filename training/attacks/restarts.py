"""Several searches for a misclassified image, each only where the ones before found none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from training.attacks.target import Network

Search = Callable[[int, Tensor], Tensor]
"""`(restart, places_R) -> x_RCHW`: changed images for those of a batch at these places."""


def first_fooling(target: Network, x_BCHW: Tensor, labels_B: Tensor, search: Search, *, num_restarts: int) -> Tensor:
    """For each image a changed one that is misclassified, or the image itself if it is so already or none was found."""
    answer_BCHW = x_BCHW.detach().clone()
    for restart in range(num_restarts):
        left_R = is_right(target, answer_BCHW, labels_B).nonzero().squeeze(1)
        if len(left_R) == 0:
            break
        found_RCHW = search(restart, left_R)
        is_fooled_R = ~is_right(target, found_RCHW, labels_B[left_R])
        answer_BCHW[left_R[is_fooled_R]] = found_RCHW[is_fooled_R]
    return answer_BCHW


def is_right(target: Network, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    """`is_right_B`: where the network answers the label."""
    with torch.no_grad():
        return target(x_BCHW).argmax(dim=1) == labels_B
