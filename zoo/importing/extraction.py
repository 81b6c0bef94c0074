"""Extraction of a located network's tensors under the architecture's names, and of the file's normalization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from zoo.errors import ForeignCheckpointError
from zoo.importing.formats import FORMATS
from zoo.importing.location import LocatedNetwork
from zoo.importing.namings import NUMBERED, from_numbered
from zoo.importing.networks import are_equal
from zoo.importing.normalization import ChannelStatistics, statistics_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedNetwork:
    """A network's tensors by name, not yet checked against an architecture.

    `original` maps each name to the tensor's name in the file. `dropped` are names in the file that the format knows
    and does not need. `unexpected` are names that the format does not know.
    """

    tensors: dict[str, Tensor]
    original: dict[str, str]
    normalization: ChannelStatistics | None
    dropped: tuple[str, ...]
    unexpected: tuple[str, ...]

    def renamed(self, names: Mapping[str, str]) -> ExtractedNetwork:
        """The same network with another name for every tensor."""
        return replace(
            self,
            tensors={names[name]: tensor for name, tensor in self.tensors.items()},
            original={names[name]: key for name, key in self.original.items()},
        )


def extract(located: LocatedNetwork, *, path: Path) -> ExtractedNetwork:
    """The network's tensors, a numbered ResNet's under torchvision's names, and the names of the tensors left out.

    Raises: ForeignCheckpointError if the file contradicts itself.
    """
    format = FORMATS[located.format]
    _require_equal_copies(located, path)
    prefix, is_numbered = located.place.prefix, located.place.naming is NUMBERED
    pair = next((pair for pair in located.normalizers if all(key in located.tensors for key in pair)), ())
    original: dict[str, str] = {}
    dropped, unexpected = list(pair), list(located.others)
    for key in located.tensors:
        if key in pair:
            continue
        if key.startswith(format.dropped):
            dropped.append(key)
        elif key.startswith(prefix) and not key.startswith(located.inner):
            name = key.removeprefix(prefix)
            original[from_numbered(name) if is_numbered else name] = key
        else:
            unexpected.append(key)
    return ExtractedNetwork(
        tensors={name: located.tensors[key] for name, key in original.items()},
        original=original,
        normalization=statistics_of(*(located.tensors[key] for key in pair), path=path) if pair else None,
        dropped=tuple(dropped),
        unexpected=tuple(unexpected),
    )


def _require_equal_copies(located: LocatedNetwork, path: Path) -> None:
    for key, copy in located.tensors.items():
        for copy_prefix, source_prefix in FORMATS[located.format].copies:
            source_key = source_prefix + key.removeprefix(copy_prefix)
            source = located.tensors.get(source_key)
            if key.startswith(copy_prefix) and source is not None and not are_equal(copy, source):
                raise ForeignCheckpointError(
                    f"{path} contradicts itself: {key} should be a copy of {source_key}, but has other values"
                )
