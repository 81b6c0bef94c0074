"""The number of parameters of a document's network."""

from __future__ import annotations

import re
from functools import lru_cache

from zoo.cards.leaderboard_schema import LeaderboardEntry
from zoo.errors import RequestError

USUAL_SIDE = 224


def num_parameters(entry: LeaderboardEntry) -> int | None:
    """The number of parameters; None for a network that is not known here, or one behind a denoiser."""
    if entry.training.denoiser is not None:
        return None
    side = re.match(r"\d+x(\d+)x", entry.input)
    return num_parameters_of(entry.architecture, entry.num_classes, USUAL_SIDE if side is None else int(side[1]))


@lru_cache(maxsize=256)
def num_parameters_of(architecture: str, num_classes: int, side: int) -> int | None:
    """The number of parameters of a network for square images of this side; None if the architecture is unknown.

    The network is built without weights.
    """
    from zoo.models.architecture import empty_backbone, find_architecture

    try:
        backbone = empty_backbone(find_architecture(architecture), num_classes=num_classes, size=side)
    except RequestError:
        return None
    return sum(parameter.numel() for parameter in backbone.parameters())
