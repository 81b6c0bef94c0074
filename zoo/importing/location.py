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
from zoo.importing.namings import EFFICIENTNET, EFFICIENTNETS, NUMBERED, RESNET, Naming, naming_of
from zoo.importing.networks import Contents, Place, are_copies, contents_of, has_all_values, state_at
from zoo.models.architecture import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedNetwork:
    """The network's place, all tensors of its state dict, and the names of that state dict's other entries.

    `normalizers` are the possible names of mean and std. `other_networks` are the places of the file's other networks,
    `inner` the prefixes of those whose names also begin with this network's prefix, and `unread` are the file's further
    keys with the number of tensors under each. `is_averaged` is whether the weights are a running average; None if the
    format does not say.
    """

    format: str
    place: Place
    tensors: Mapping[str, Tensor]
    others: tuple[str, ...]
    normalizers: tuple[tuple[str, str], ...]
    other_networks: tuple[str, ...]
    inner: tuple[str, ...]
    unread: Mapping[str, int]
    is_averaged: bool | None


def locate_network(
    file: ForeignFile,
    *,
    format: str = AUTO,
    network: str | None = None,
    architecture: Architecture | None = None,
    size: int = 224,
) -> LocatedNetwork:
    """The network in the file, read by the named format or by the first format that fits.

    Args:
        file: The file.
        format: A name in `FORMATS`, or "auto".
        network: The name of the network's place, if the file contains several networks.
        architecture: The network to look for; None for a ResNet, or an EfficientNet of EfficientNet-PyTorch.
        size: The size of the images in pixels, for an architecture of fixed size.

    Raises: UnknownNameError; ForeignCheckpointError if the file contains no such network in that format, or several of
        which the format knows no order and `network` is None; RequestError if timm cannot build the architecture.
    """
    if format != AUTO and format not in FORMATS:
        raise UnknownNameError("format", format, [AUTO, *FORMATS])
    own = RESNET if architecture is None else naming_of(architecture, size=size)
    contents = contents_of(file.content, _possible_namings(own, architecture))
    chosen = None if network is None else _named(network, contents)
    for name in FORMATS if format == AUTO else (format,):
        place = _search(file, name, contents, own, chosen=chosen, needs_mark=format == AUTO)
        if place is not None:
            others = [other for other in contents.places if other != place]
            if chosen is None:
                _require_no_choice(file, FORMATS[name], place, others)
            return _located(file, name, place, others, contents)
    keys = ", ".join(_some_keys(file.content)) or "no keys"
    expected = "any known format" if format == AUTO else f"the format {format} ({FORMATS[format].made_by})"
    where = "" if chosen is None else f" at {chosen.name}"
    looked_for = "ResNet" if own is RESNET else own.name
    hint = "; for another network of timm add --architecture NAME" if architecture is None else ""
    raise ForeignCheckpointError(
        f"{file.path} contains no {looked_for}{where} in {expected}; its keys are {keys}. "
        f"Known formats: {', '.join(FORMATS)}{hint}"
    )


def _possible_namings(own: Naming, architecture: Architecture | None) -> tuple[Naming, ...]:
    if own is RESNET:
        return (RESNET, NUMBERED, EFFICIENTNET) if architecture is None else (RESNET, NUMBERED)
    return (own, EFFICIENTNET) if own.name in EFFICIENTNETS else (own,)


def _named(network: str, contents: Contents) -> Place:
    for place in contents.places:
        if place.name.rstrip(".") == network.rstrip("./"):
            return place
    raise UnknownNameError("network", network, [place.name for place in contents.places])


def _search(
    file: ForeignFile, name: str, contents: Contents, own: Naming, *, chosen: Place | None, needs_mark: bool
) -> Place | None:
    """The place of a network in this format; only the chosen place if one is chosen.

    One name of the naming suffices: a missing tensor then gets its own message.
    """
    format = FORMATS[name]
    if name == OTHER:
        return chosen or next(iter(contents.places), None)
    naming = format.naming or own
    for container in format.containers:
        state = state_at(file.content, container)
        if state is None:
            continue
        has_mark = not format.marks or any(mark in file.content or mark in state for mark in format.marks)
        if needs_mark and not has_mark:
            continue
        for prefix in format.prefixes:
            place = Place(container=container, prefix=prefix, naming=naming)
            if chosen in (None, place) and any(isinstance(state.get(prefix + key), Tensor) for key in naming.names):
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
        is_averaged=_is_averaged(FORMATS[format], place),
        unread={key: n for key, n in contents.num_tensors.items() if n and place.container and key not in named},
    )


def _is_averaged(format: ForeignFormat, place: Place) -> bool | None:
    return place.container in format.averaged if format.averaged and place.container else None


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
