"""The normalization that a foreign network expects: stated by the user or by buffers in the file, never guessed.

A wrong normalization makes predictions wrong without any error, and the keys do not reveal it: Salman et al.'s networks
with and without division by std have the same keys.
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
        """Whether both have the same numbers in float32."""
        ours, theirs = (np.array([*values.mean, *values.std], np.float32) for values in (self, other))
        return bool(np.allclose(ours, theirs, rtol=1e-6, atol=0))


NORMALIZATIONS: dict[str, ChannelStatistics] = {
    "imagenet": ChannelStatistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ChannelStatistics((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ChannelStatistics((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "none": ChannelStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    # Salman et al.'s InputCenterLayer: most of their ImageNet networks.
    "center-imagenet": ChannelStatistics((0.485, 0.456, 0.406), (1.0, 1.0, 1.0)),
    # timm's IMAGENET_INCEPTION: many networks that were trained with TensorFlow, such as EfficientNet-Lite.
    "inception": ChannelStatistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def choose_normalization(stated: str | None, in_file: ChannelStatistics | None, *, path: Path) -> ChannelStatistics:
    """The file's own normalization if it has one, otherwise the stated one.

    Raises: ForeignCheckpointError if there is neither, or the stated one differs from the file's; RequestError if the
    stated one is malformed; UnknownNameError.
    """
    if stated is None or stated == FROM_FILE:
        if in_file is None:
            raise ForeignCheckpointError(
                f"{path} does not record which normalization its network expects: add --normalization with one of "
                f"{', '.join(NORMALIZATIONS)} or '{CUSTOM}', whichever its authors used"
            )
        return in_file
    chosen = parse_normalization(stated)
    if in_file is not None and not chosen.equals(in_file):
        raise ForeignCheckpointError(
            f"{path} normalizes with {in_file}, but --normalization {stated} is {chosen}: omit the option"
        )
    return chosen


def parse_normalization(text: str) -> ChannelStatistics:
    """The known normalization of that name, or the numbers in `mean=R,G,B;std=R,G,B`. Raises: RequestError."""
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]
    custom = _CUSTOM.fullmatch(text)
    if custom is None:
        raise UnknownNameError("normalization", text, [*NORMALIZATIONS, FROM_FILE, CUSTOM])
    return ChannelStatistics(mean=_three_numbers(custom["mean"]), std=_three_numbers(custom["std"]))


def statistics_of(mean: Tensor, std: Tensor, *, path: Path) -> ChannelStatistics:
    """The numbers in two buffers of a file, each of any shape with three values. Raises: ForeignCheckpointError."""
    values = [_decimals(buffer) for buffer in (mean, std)]
    try:
        return ChannelStatistics(*(_three(triple) for triple in values))
    except (ValueError, RequestError) as error:
        raise ForeignCheckpointError(f"{path} contains an invalid normalization: mean and std are {values}") from error


def _decimals(buffer: Tensor) -> list[float]:
    """The shortest decimals that equal the buffer's float32 values: 0.485 rather than 0.48500001430511475."""
    return [float(str(value)) for value in buffer.detach().float().flatten().numpy()]


def _three_numbers(text: str) -> Triple:
    try:
        return _three([float(number) for number in text.split(",")])
    except ValueError as error:
        raise RequestError(f"{text!r} is not three comma-separated numbers: expected {CUSTOM}") from error


def _three(values: list[float]) -> Triple:
    red, green, blue = values
    return red, green, blue
