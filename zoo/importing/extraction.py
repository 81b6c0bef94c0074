"""Extraction of a located network's tensors under its architecture's names, and of the file's normalization."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from zoo.errors import ForeignCheckpointError
from zoo.importing.formats import FORMATS
from zoo.importing.location import LocatedNetwork
from zoo.importing.networks import are_equal
from zoo.importing.normalization import ChannelStatistics, statistics_of

# list(resnet.children()) of torchvision: relu, maxpool and avgpool (2, 3 and 8) have no tensors.
_CHILDREN = {
    "0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4", "9": "fc",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedNetwork:
    """A network's tensors by its architecture's names, not yet checked against an architecture.

    `original` maps each name to the tensor's name in the file. `dropped` are names in the file that the format knows
    and does not need. `unexpected` are names that the format does not know.
    """

    tensors: dict[str, Tensor]
    original: dict[str, str]
    normalization: ChannelStatistics | None
    dropped: tuple[str, ...]
    unexpected: tuple[str, ...]


def extract(located: LocatedNetwork, *, path: Path) -> ExtractedNetwork:
    """The network's tensors under its architecture's names, and the names of the tensors left out.

    Raises: ForeignCheckpointError if the file contradicts itself.
    """
    format = FORMATS[located.format]
    _require_equal_copies(located, path)
    prefix, numbered = located.place.prefix, located.place.numbered
    pair = next((pair for pair in located.normalizers if all(key in located.tensors for key in pair)), ())
    original: dict[str, str] = {}
    dropped, unexpected = list(pair), list(located.others)
    for key in located.tensors:
        if key in pair:
            continue
        if key.startswith(format.dropped):
            dropped.append(key)
        elif key.startswith(prefix) and not key.startswith(located.inner):
            original[_torchvision_name(key.removeprefix(prefix), numbered=numbered)] = key
        else:
            unexpected.append(key)
    return ExtractedNetwork(
        tensors={name: located.tensors[key] for name, key in original.items()},
        original=original,
        normalization=statistics_of(*(located.tensors[key] for key in pair), path=path) if pair else None,
        dropped=tuple(dropped),
        unexpected=tuple(unexpected),
    )


def _torchvision_name(name: str, *, numbered: bool) -> str:
    child, dot, rest = name.partition(".")
    return _CHILDREN.get(child, child) + dot + rest if numbered else name


def _require_equal_copies(located: LocatedNetwork, path: Path) -> None:
    for key, copy in located.tensors.items():
        for copy_prefix, source_prefix in FORMATS[located.format].copies:
            source_key = source_prefix + key.removeprefix(copy_prefix)
            source = located.tensors.get(source_key)
            if key.startswith(copy_prefix) and source is not None and not are_equal(copy, source):
                raise ForeignCheckpointError(
                    f"{path} contradicts itself: {key} should be a copy of {source_key}, but has other values"
                )
