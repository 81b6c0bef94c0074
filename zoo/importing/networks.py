"""The search for every network in a foreign file, wherever it is and whatever precedes its tensors' names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.importing.namings import Naming

_MAX_DEPTH = 20  # a malicious file may nest deeper than Python can recurse
TOP_LEVEL = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The keys that lead to a state dict in a file, and the prefix and naming of one network's tensors in it."""

    container: tuple[str | int, ...]
    prefix: str
    naming: Naming

    @property
    def name(self) -> str:
        """The place in one word, such as `state_dict_ema`, `teacher/backbone` or, for the file itself, `.`."""
        prefix = (self.prefix.rstrip("."),) if self.prefix else ()
        return "/".join(map(str, (*self.container, *prefix))) or TOP_LEVEL

    def is_inside(self, other: Place) -> bool:
        """Whether the names of this network's tensors also begin with the other one's prefix."""
        return self.container == other.container and self.prefix.startswith(other.prefix) and self != other


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The places of all networks of some namings in a file, and the number of tensors under each key of the file."""

    places: tuple[Place, ...]
    num_tensors: Mapping[str, int]


def contents_of(content: Mapping[str, Any], namings: Sequence[Naming]) -> Contents:
    """The networks of these namings and the tensors in a file, in the order of its keys."""
    places: list[Place] = []
    num_tensors: dict[str, int] = {}
    for container, values in _containers(content, (), set()):
        names = {str(key): None for key, value in values.items() if isinstance(value, Tensor)}  # in the file's order
        if container:
            num_tensors[str(container[0])] = num_tensors.get(str(container[0]), 0) + len(names)
        places += [
            Place(container=container, prefix=prefix, naming=naming)
            for naming in namings
            for prefix in _prefixes(names, naming)
        ]
    return Contents(places=tuple(places), num_tensors=num_tensors)


def _containers(
    value: object, path: tuple[str | int, ...], seen: set[int]
) -> Iterator[tuple[tuple[str | int, ...], Mapping[Any, Any]]]:
    """Every mapping and list in a file, once, with the keys that lead to it."""
    values = as_mapping(value)
    if values is None or id(value) in seen or len(path) > _MAX_DEPTH:
        return
    seen.add(id(value))
    yield path, values
    for key, inner in values.items():
        if isinstance(key, str | int):
            yield from _containers(inner, (*path, key), seen)


def as_mapping(value: object) -> Mapping[Any, Any] | None:
    """The value if it is a mapping, a list or tuple as a mapping from its indices, otherwise None."""
    if isinstance(value, Mapping):
        return value
    return dict(enumerate(value)) if isinstance(value, list | tuple) else None


def _prefixes(names: Collection[str], naming: Naming) -> Iterator[str]:
    for name in (name for name in names if name.endswith(naming.last)):
        prefix = name.removesuffix(naming.last)
        if (prefix.endswith(".") or not prefix) and any(prefix + other in names for other in naming.others):
            yield prefix


def state_at(content: Mapping[str, Any], container: tuple[str | int, ...]) -> Mapping[Any, Any] | None:
    """The mapping that these keys lead to, or None."""
    values: Mapping[Any, Any] | None = content
    for key in container:
        values = None if values is None else as_mapping(values.get(key))
    return values


def are_copies(content: Mapping[str, Any], one: Place, other: Place) -> bool:
    """Whether the networks at both places have the same tensors."""
    first, second = (_tensors_below(content, place) for place in (one, other))
    return first.keys() == second.keys() and all(are_equal(first[name], second[name]) for name in first)


def are_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of a file have the same values and are stored alike."""
    if not all(tensor.layout is torch.strided and not tensor.is_meta for tensor in (one, other)):
        return False
    if not all(has_all_values(tensor) for tensor in (one, other)):
        return False
    if (one.shape, one.stride(), one.dtype) != (other.shape, other.stride(), other.dtype):
        return False
    return one.data_ptr() == other.data_ptr() or torch.equal(one, other)


def has_all_values(tensor: Tensor) -> bool:
    """Whether a strided tensor stores each of its values; a tensor with a stride of 0 can state any number of them."""
    return tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()


def _tensors_below(content: Mapping[str, Any], place: Place) -> dict[str, Tensor]:
    state = state_at(content, place.container) or {}
    return {
        key.removeprefix(place.prefix): value
        for key, value in state.items()
        if isinstance(key, str) and key.startswith(place.prefix) and isinstance(value, Tensor)
    }
