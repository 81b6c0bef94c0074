"""The formats in which other projects store a ResNet, and the search for a network in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ForeignCheckpointError, UnknownNameError
from zoo.importing.files import ForeignFile

AUTO = "auto"
# A file without any of these does not contain a ResNet. One suffices: a missing tensor then gets its own message.
_NAMED = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight")
_NUMBERED = ("4.0.conv1.weight", "5.0.conv1.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFormat:
    """The places of a ResNet's tensors and of other known entries in one kind of file.

    `containers` are paths of keys to the state dict. `prefixes` are possible prefixes of torchvision's names in it. The
    first fitting container and prefix are used. If a format has `marks`, the automatic search recognizes it only in a
    file that contains one of them. `normalizers` are the names of mean and std. Tensors below the first prefix of a
    pair in `copies` must equal those below the second. `dropped` are prefixes of known entries that are not needed. A
    `numbered` network numbers the children of torchvision's ResNet instead of naming them.
    """

    made_by: str
    containers: tuple[tuple[str, ...], ...]
    prefixes: tuple[str, ...]
    marks: tuple[str, ...] = ()
    normalizers: tuple[tuple[str, str], ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    numbered: bool = False


# A file is compared with the formats in this order. The empty container, last in each row, is the file itself; a state
# dict that was converted to safetensors looks like that.
FORMATS: dict[str, ForeignFormat] = {
    "madry": ForeignFormat(
        made_by="MadryLab robustness, robust-models-transfer",
        containers=(("model",), ("state_dict",), ()),
        prefixes=("module.model.model.", "module.model."),
        marks=("module.normalizer.new_mean",),
        normalizers=(("module.normalizer.new_mean", "module.normalizer.new_std"),),
        copies=(
            ("module.attacker.model.", "module.model."),
            ("module.attacker.normalize.", "module.normalizer."),
        ),
        dropped=("module.attacker.",),
    ),
    "mair": ForeignFormat(
        made_by="MAIR",
        containers=(("rmodel",), ()),
        prefixes=("model.module.", "model."),
        marks=("rmodel", "n_classes"),
        normalizers=(("mean", "std"),),
        dropped=("n_classes",),
    ),
    "cohen": ForeignFormat(
        made_by="Cohen, SmoothAdv (Salman), Consistency, SmoothMix, CAT-RS",
        containers=(("state_dict",), ()),
        prefixes=("1.module.", "1."),
        marks=("arch",),
    ),
    "crt": ForeignFormat(made_by="CRT", containers=(("state_dict",), ()), prefixes=("1.module.", "1.")),
    "macer": ForeignFormat(made_by="MACER", containers=(("net",), ()), prefixes=("", "module."), marks=("net",)),
    "vissl": ForeignFormat(
        made_by="VISSL",
        containers=(("classy_state_dict", "base_model", "model", "trunk"), ("model_state_dict",), ()),
        prefixes=("_feature_blocks.", "trunk._feature_blocks.", ""),
        marks=(
            "classy_state_dict",
            "model_state_dict",
            "_feature_blocks.conv1.weight",
            "trunk._feature_blocks.conv1.weight",
        ),
        dropped=("heads.",),
    ),
    "lightly": ForeignFormat(
        made_by="lightly",
        containers=(("state_dict",), ()),
        prefixes=("backbone.", ""),
        dropped=("projection_head.", "prediction_head.", "backbone_momentum.", "projection_head_momentum."),
        numbered=True,
    ),
    "solo-learn": ForeignFormat(
        made_by="solo-learn",
        containers=(("state_dict",), ()),
        prefixes=("backbone.", "encoder."),
        dropped=("projector.", "predictor.", "classifier.", "momentum_"),
    ),
    "torchvision": ForeignFormat(made_by="torchvision", containers=(("model",), ("state_dict",), ()), prefixes=("",)),
    "timm": ForeignFormat(made_by="timm", containers=(("state_dict_ema",), ("state_dict",), ()), prefixes=("",)),
    "robustbench": ForeignFormat(
        made_by="RobustBench, or a script that saves a DataParallel network",
        containers=(("last",), ("best",), ("state_dict",), ("model",), ()),  # if both exist, RobustBench loads "last"
        prefixes=("module.model.", "model.module.", "module.", "model.", ""),
        normalizers=(("normalize.mean", "normalize.std"), ("mu", "sigma"), ("module.mu", "module.sigma")),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedNetwork:
    """The state dict that contains the network: all its tensors, and the names of its other entries."""

    format: str
    container: tuple[str, ...]
    prefix: str
    tensors: Mapping[str, Tensor]
    others: tuple[str, ...]


def locate_network(file: ForeignFile, *, format: str = AUTO) -> LocatedNetwork:
    """The network in the file, read by the named format or by the first format that fits.

    Raises: UnknownNameError; ForeignCheckpointError if the file contains no ResNet in that format.
    """
    if format != AUTO and format not in FORMATS:
        raise UnknownNameError("format", format, [AUTO, *FORMATS])
    for name in FORMATS if format == AUTO else (format,):
        located = _search(file, name, needs_mark=format == AUTO)
        if located is not None:
            return located
    keys = ", ".join(_some_keys(file.content)) or "no keys"
    expected = "any known format" if format == AUTO else f"the format {format} ({FORMATS[format].made_by})"
    raise ForeignCheckpointError(
        f"{file.path} contains no ResNet in {expected}; its keys are {keys}. Known formats: {', '.join(FORMATS)}"
    )


def _search(file: ForeignFile, name: str, *, needs_mark: bool) -> LocatedNetwork | None:
    format = FORMATS[name]
    signature = _NUMBERED if format.numbered else _NAMED
    for container in format.containers:
        state = _value_at(file.content, container)
        if state is None:
            continue
        has_mark = not format.marks or any(mark in file.content or mark in state for mark in format.marks)
        if needs_mark and not has_mark:
            continue
        for prefix in format.prefixes:
            if any(isinstance(state.get(prefix + key), Tensor) for key in signature):
                return _located(file, name, container, prefix, state)
    return None


def _located(
    file: ForeignFile, format: str, container: tuple[str, ...], prefix: str, state: Mapping[Any, Any]
) -> LocatedNetwork:
    tensors = {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}
    for key, tensor in tensors.items():
        if tensor.is_meta or tensor.is_quantized or tensor.layout is not torch.strided:
            raise ForeignCheckpointError(
                f"{file.path}: {key} is quantized, sparse or without values, expected a plain tensor"
            )
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise ForeignCheckpointError(
                f"{file.path}: {key} states {tensor.numel():,} values but stores fewer (some stride is 0): write its "
                "state dict again with every tensor cloned"
            )
    others = tuple(str(key) for key in state if key not in tensors)
    return LocatedNetwork(format=format, container=container, prefix=prefix, tensors=tensors, others=others)


def _value_at(content: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[Any, Any] | None:
    for key in path:
        inner = content.get(key)
        if not isinstance(inner, Mapping):
            return None
        content = inner
    return content


def _some_keys(content: Mapping[Any, Any], *, limit: int = 6) -> list[str]:
    """The first keys of the file and of the mappings in it, for a message."""
    keys = [str(key) for key in content]
    inner = [f"{key}/{name}" for key, value in content.items() if isinstance(value, Mapping) for name in value]
    return (keys[:limit] if len(keys) <= limit else [*keys[:limit], "..."]) + inner[:3]
