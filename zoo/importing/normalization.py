"""Which normalization a foreign network expects: stated by the user, or by buffers in the file, and never guessed.

The wrong one makes every prediction wrong without any error, and no key tells it (Salman et al.'s networks with and
without division by std have the same keys).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from zoo.errors import ForeignCheckpointError, RequestError, UnknownNameError

FROM_FILE = "file"
CUSTOM = "mean=R,G,B;std=R,G,B"
_CUSTOM = re.compile(r"mean=(?P<mean>[^;]+);std=(?P<std>[^;]+)")

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """`(x - mean) / std` per channel, on the [0, 1] pixel scale."""

    mean: Triple
    std: Triple

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise RequestError(f"a normalization needs finite means and positive stds, got {self}")

    def __str__(self) -> str:
        return f"mean {self.mean}, std {self.std}"

    def equals(self, other: ChannelStatistics) -> bool:
        """Whether both are the same numbers in float32."""
        ours, theirs = (np.array([*each.mean, *each.std], np.float32) for each in (self, other))
        return bool(np.allclose(ours, theirs, rtol=1e-6, atol=0))


NORMALIZATIONS: dict[str, ChannelStatistics] = {
    "imagenet": ChannelStatistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ChannelStatistics((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ChannelStatistics((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "none": ChannelStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    # Salman et al.'s InputCenterLayer: most of their ImageNet networks.
    "center-imagenet": ChannelStatistics((0.485, 0.456, 0.406), (1.0, 1.0, 1.0)),
}


def choose_normalization(stated: str | None, in_file: ChannelStatistics | None, *, path: Path) -> ChannelStatistics:
    """The file's own normalization where it has one, else the stated one.

    Raises: ForeignCheckpointError if neither is there, or the stated one is not the file's; RequestError if it is
    malformed; UnknownNameError.
    """
    if stated is None or stated == FROM_FILE:
        if in_file is None:
            raise ForeignCheckpointError(
                f"{path} does not tell which normalization its network expects: add --normalization with one of "
                f"{', '.join(NORMALIZATIONS)} or '{CUSTOM}', as its authors used it"
            )
        return in_file
    chosen = parse_normalization(stated)
    if in_file is not None and not chosen.equals(in_file):
        raise ForeignCheckpointError(
            f"{path} normalizes with {in_file}, and --normalization {stated} is {chosen}: leave the option away"
        )
    return chosen


def parse_normalization(text: str) -> ChannelStatistics:
    """A known normalization by its name, or the numbers in `mean=R,G,B;std=R,G,B`. Raises: RequestError."""
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]
    custom = _CUSTOM.fullmatch(text)
    if custom is None:
        raise UnknownNameError("normalization", text, [*NORMALIZATIONS, FROM_FILE, CUSTOM])
    return ChannelStatistics(mean=_three_numbers(custom["mean"]), std=_three_numbers(custom["std"]))


def statistics_of(mean: Tensor, std: Tensor, *, path: Path) -> ChannelStatistics:
    """Two buffers of a file, of any shape with three values, as numbers. Raises: ForeignCheckpointError."""
    values = [_decimals(buffer) for buffer in (mean, std)]
    try:
        return ChannelStatistics(*(_three(triple) for triple in values))
    except (ValueError, RequestError) as error:
        raise ForeignCheckpointError(f"{path} holds a normalization that is none: mean and std {values}") from error


def _decimals(buffer: Tensor) -> list[float]:
    """The shortest decimals that are the buffer's values in float32: 0.485 rather than 0.48500001430511475."""
    return [float(str(value)) for value in buffer.detach().float().flatten().numpy()]


def _three_numbers(text: str) -> Triple:
    try:
        return _three([float(number) for number in text.split(",")])
    except ValueError as error:
        raise RequestError(f"{text!r} is not three numbers with commas between them: expected {CUSTOM}") from error


def _three(values: list[float]) -> Triple:
    red, green, blue = values
    return red, green, blue
