"""The search for the network to import among those in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ForeignCheckpointError, UnknownNameError
from zoo.importing.files import ForeignFile
from zoo.importing.formats import AUTO, FORMATS, OTHER, ForeignFormat
from zoo.importing.networks import Contents, Place, are_copies, contents_of, has_all_values, state_at

# A file without any of these does not contain a ResNet. One suffices: a missing tensor then gets its own message.
_NAMED = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight")
_NUMBERED = ("4.0.conv1.weight", "5.0.conv1.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedNetwork:
    """The network's place, all tensors of its state dict, and the names of that state dict's other entries.

    `normalizers` are the possible names of mean and std. `other_networks` are the places of the file's other networks,
    `inner` the prefixes of those whose names also begin with this network's prefix, and `unread` are the file's further
    keys with the number of tensors under each.
    """

    format: str
    place: Place
    tensors: Mapping[str, Tensor]
    others: tuple[str, ...]
    normalizers: tuple[tuple[str, str], ...]
    other_networks: tuple[str, ...]
    inner: tuple[str, ...]
    unread: Mapping[str, int]


def locate_network(
    file: ForeignFile,
    *,
    format: str = AUTO,
    network: str | None = None,
    architecture: str | None = None,
    names: tuple[str, ...] = (),
) -> LocatedNetwork:
    """The network in the file, read by the named format or by the first format that fits.

    Args:
        file: The file.
        format: A name in `FORMATS`, or "auto".
        network: The name of the network's place, if the file contains several networks.
        architecture: The architecture to search for, if it is not a ResNet of this project.
        names: The names of the architecture's tensors.

    Raises: UnknownNameError; ForeignCheckpointError if the file contains no such network in that format, or several of
        which the format knows no order and `network` is None.
    """
    if format != AUTO and format not in FORMATS:
        raise UnknownNameError("format", format, [AUTO, *FORMATS])
    contents = contents_of(file.content, ((names[0], names[-1:]),)) if names else contents_of(file.content)
    chosen = None if network is None else _named(network, contents)
    for name in FORMATS if format == AUTO else (format,):
        place = _search(file, name, contents, chosen=chosen, needs_mark=format == AUTO, names=names)
        if place is not None:
            others = [other for other in contents.places if other != place]
            if chosen is None:
                _require_no_choice(file, FORMATS[name], place, others)
            return _located(file, name, place, others, contents)
    keys = ", ".join(_some_keys(file.content)) or "no keys"
    expected = "any known format" if format == AUTO else f"the format {format} ({FORMATS[format].made_by})"
    where = "" if chosen is None else f" at {chosen.name}"
    raise ForeignCheckpointError(
        f"{file.path} contains no {architecture or 'ResNet'}{where} in {expected}; its keys are {keys}. "
        f"Known formats: {', '.join(FORMATS)}"
    )


def _named(network: str, contents: Contents) -> Place:
    for place in contents.places:
        if place.name.rstrip(".") == network.rstrip("./"):
            return place
    raise UnknownNameError("network", network, [place.name for place in contents.places])


def _search(
    file: ForeignFile,
    name: str,
    contents: Contents,
    *,
    chosen: Place | None,
    needs_mark: bool,
    names: tuple[str, ...],
) -> Place | None:
    """The place of a network in this format; only the chosen place if one is chosen."""
    format = FORMATS[name]
    if name == OTHER:
        return chosen or next(iter(contents.places), None)
    if names and format.numbered:
        return None
    signature = names or (_NUMBERED if format.numbered else _NAMED)
    for container in format.containers:
        state = state_at(file.content, container)
        if state is None:
            continue
        has_mark = not format.marks or any(mark in file.content or mark in state for mark in format.marks)
        if needs_mark and not has_mark:
            continue
        for prefix in format.prefixes:
            place = Place(container=container, prefix=prefix, numbered=format.numbered)
            if chosen in (None, place) and any(isinstance(state.get(prefix + key), Tensor) for key in signature):
                return place
    return None


def _require_no_choice(file: ForeignFile, format: ForeignFormat, place: Place, others: list[Place]) -> None:
    """Raises if the file contains another network that the format does not know and that has other weights."""
    unknown = [
        other
        for other in others
        if other.container not in format.passed_over
        and not (other.container == place.container and other.prefix.startswith(format.dropped))
        and not are_copies(file.content, place, other)
    ]
    if unknown:
        names = ", ".join(each.name for each in (place, *unknown))
        raise ForeignCheckpointError(
            f"{file.path} contains several networks with different weights: {names}. Add --network with one of these "
            "names, whichever its authors evaluated"
        )


def _located(file: ForeignFile, format: str, place: Place, others: list[Place], contents: Contents) -> LocatedNetwork:
    state = state_at(file.content, place.container) or {}
    tensors = {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}
    for key, tensor in tensors.items():
        if tensor.is_meta or tensor.is_quantized or tensor.layout is not torch.strided:
            raise ForeignCheckpointError(
                f"{file.path}: {key} is quantized, sparse or without values, expected a plain tensor"
            )
        if not has_all_values(tensor):
            raise ForeignCheckpointError(
                f"{file.path}: {key} states {tensor.numel():,} values but stores fewer (some stride is 0): write its "
                "state dict again with every tensor cloned"
            )
    named = {str(each.container[0]) for each in (place, *others) if each.container}
    pairs = FORMATS[format].normalizers
    return LocatedNetwork(
        format=format,
        place=place,
        tensors=tensors,
        others=tuple(str(key) for key in state if key not in tensors),
        normalizers=_below_each_part(place.prefix, pairs) if format == OTHER else pairs,
        other_networks=tuple(other.name for other in others),
        inner=tuple(each.prefix for each in others if each.is_inside(place)),
        unread={key: n for key, n in contents.num_tensors.items() if n and place.container and key not in named},
    )


def _below_each_part(prefix: str, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The pairs of names below the prefix, then below the prefix without its last part, and so on."""
    parts = prefix.split(".")[:-1]
    starts = ["".join(f"{part}." for part in parts[:length]) for length in range(len(parts), -1, -1)]
    return tuple((start + mean, start + std) for start in starts for mean, std in pairs)


def _some_keys(content: Mapping[Any, Any], *, limit: int = 6) -> list[str]:
    """The first keys of the file and of the mappings in it, for a message."""
    keys = [str(key) for key in content]
    inner = [f"{key}/{name}" for key, value in content.items() if isinstance(value, Mapping) for name in value]
    return (keys[:limit] if len(keys) <= limit else [*keys[:limit], "..."]) + inner[:3]
