"""Import of a foreign file into a checkpoint directory, with a report on every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.checkpoints.writing import save_checkpoint
from zoo.errors import ForeignCheckpointError, RequestError, UnknownNameError
from zoo.importing.class_names import default_class_names
from zoo.importing.extraction import ExtractedNetwork, extract
from zoo.importing.files import ForeignFile, read_foreign_file
from zoo.importing.formats import AUTO
from zoo.importing.location import LocatedNetwork, locate_network
from zoo.importing.matching import MatchedNetwork, match, nearest, shapes_of
from zoo.importing.namings import EFFICIENTNET, from_efficientnet, possible_efficientnets
from zoo.importing.normalization import ChannelStatistics, choose_normalization
from zoo.models.architecture import Architecture, NormalizedNetwork, find_architecture
from zoo.models.denoiser_config import JsonScalar
from zoo.models.spec import (
    UNKNOWN,
    CertifiedConfig,
    Fit,
    ModelSpec,
    Origin,
    Preprocessing,
    ReportedNumber,
    usual_resize,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """Facts that the user states about the file. None leaves a fact to the file, if the file contains it.

    `network` names the network to import from a file that contains several, such as `state_dict_ema`.
    `class_names` also sets the number of classes of a file without a head. Without `resize` an image's shorter side is
    8/7 of `image_size`, such as 256 for 224; with the fit `pad`, the longer side is `image_size`, and `resize` is not
    given. `sigma` is the noise of the network's training, on the [0, 1] pixel scale.
    `reported` are numbers that its authors report; they were not measured here.
    """

    format: str = AUTO
    network: str | None = None
    normalization: str | None = None
    architecture: str | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    fresh_head: bool = False
    sigma: float | None = None
    task: str = UNKNOWN
    objective: str = UNKNOWN
    hyper_parameters: Mapping[str, JsonScalar] = field(default_factory=dict)
    image_size: int = 224
    fit: Fit = "crop"
    resize: int | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    url: str | None = None
    licence: str | None = None
    catalog_id: str | None = None
    reported: tuple[ReportedNumber, ...] = ()

    def __post_init__(self) -> None:
        if self.architecture is not None:
            find_architecture(self.architecture)
        if self.num_classes is not None and self.num_classes < 2:
            raise RequestError(f"num_classes is {self.num_classes}, expected at least 2")
        if self.class_names is not None and len(self.class_names) != self.wanted_classes:
            raise RequestError(f"{len(self.class_names)} class names were given for {self.num_classes} classes")

    @property
    def wanted_classes(self) -> int | None:
        """The requested number of classes; None if none is requested."""
        if self.num_classes is None and self.class_names is not None:
            return len(self.class_names)
        return self.num_classes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """The use of every key. `missing` are the architecture's names of new tensors; the other names are the file's.

    `network` is the place of the imported network, and `other_networks` are the places of the file's other networks.
    `unread` are further keys of the file with the number of tensors under each. `is_averaged` is whether the weights
    are a running average over training; None if the format does not say.
    """

    format: str
    container: str
    network: str
    other_networks: tuple[str, ...]
    unread: Mapping[str, int]
    is_averaged: bool | None
    architecture: str
    num_classes: int
    has_trained_head: bool
    normalization: ChannelStatistics
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    dropped: tuple[str, ...]
    unexpected: tuple[str, ...]


def import_file(path: Path, output: Path, options: ImportOptions) -> tuple[Checkpoint, ImportReport]:
    """The checkpoint made from a foreign file and written to the new directory `output`, and a report on the keys.

    Raises: ForeignCheckpointError, which names the fault of the file or the missing option; RequestError.
    """
    require_new(output)
    file, size = read_foreign_file(path), options.image_size
    stated = _stated_architecture(file) if options.architecture is None else find_architecture(options.architecture)
    located = locate_network(file, format=options.format, network=options.network, architecture=stated, size=size)
    architecture, extracted = _named_as_here(extract(located, path=path), located, stated, path=path, size=size)
    normalization = choose_normalization(options.normalization, extracted.normalization, path=path)
    matched = match(
        extracted.tensors,
        path=path,
        architecture=architecture,
        num_classes=options.wanted_classes,
        fresh_head=options.fresh_head,
        size=size,
    )
    _require_names_for_head(extracted, matched, options, path)
    spec = _spec(file, located, matched, normalization, options)
    network = NormalizedNetwork(matched.backbone(), mean=normalization.mean, std=normalization.std)
    return save_checkpoint(output, network, spec), _report(located, extracted, matched, normalization)


def require_new(output: Path) -> None:
    """Raises RequestError if `output` exists and is not an empty directory."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RequestError(f"{output} exists and is not an empty directory: choose a new one")


def _named_as_here(
    extracted: ExtractedNetwork, located: LocatedNetwork, stated: Architecture | None, *, path: Path, size: int
) -> tuple[Architecture | None, ExtractedNetwork]:
    """The network under the names of its architecture, and the architecture; None if the names are a ResNet's.

    Raises: ForeignCheckpointError if two tensors have the same name here.
    """
    if located.place.naming is not EFFICIENTNET:
        return stated, extracted
    names_there = extracted.tensors.keys()
    candidates = [stated] if stated else [find_architecture(name) for name in possible_efficientnets(names_there)]
    networks = []
    for candidate in candidates:
        names = from_efficientnet(names_there, shapes_of(candidate, size=size))
        if len(set(names.values())) < len(names):
            raise ForeignCheckpointError(f"{path} names a tensor twice, as EfficientNet-PyTorch and as timm do")
        networks.append(extracted.renamed(names))
    chosen = nearest([network.tensors for network in networks], candidates, size=size)
    return candidates[chosen], networks[chosen]


def _require_names_for_head(
    extracted: ExtractedNetwork, matched: MatchedNetwork, options: ImportOptions, path: Path
) -> None:
    """Raises if the number of names is not that of the trained head: a short list must not discard the head."""
    names = options.class_names
    if names is None or options.num_classes is not None or options.fresh_head or not matched.dropped:
        return
    num_in_file = len(extracted.tensors[matched.dropped[-1]])
    raise ForeignCheckpointError(
        f"{path} has a head of {num_in_file} classes, but {len(names)} class names were given: name every "
        f"class, or add --num-classes {len(names)} for a fresh head"
    )


def _stated_architecture(file: ForeignFile) -> Architecture | None:
    """The architecture that the file names, as timm's and Cohen's training scripts do; None if it is not known here."""
    arch = file.content.get("arch")
    if not isinstance(arch, str):
        return None
    try:
        return find_architecture(arch.partition(".")[0])  # timm's names may name weights after a dot
    except UnknownNameError:
        return None


def _spec(
    file: ForeignFile,
    located: LocatedNetwork,
    matched: MatchedNetwork,
    normalization: ChannelStatistics,
    options: ImportOptions,
) -> ModelSpec:
    try:
        certified = CertifiedConfig(
            objective=options.objective,
            hyper_parameters=dict(options.hyper_parameters),
            sigma=options.sigma,
            task=options.task,
            class_names=options.class_names or default_class_names(matched.num_classes),
            origin=Origin(
                file=file.path.name,
                sha256=file.sha256,
                format=located.format,
                network=located.place.name if located.other_networks or located.is_averaged else None,
                url=options.url,
                licence=options.licence,
                catalog_id=options.catalog_id,
                reported=options.reported,
            ),
            has_trained_head=matched.has_trained_head,
            preprocessing=Preprocessing(
                resize=options.resize or _default_resize(options),
                crop=options.image_size,
                fit=options.fit,
                interpolation=options.interpolation,
                mean=normalization.mean,
                std=normalization.std,
            ),
        )
        return ModelSpec(architecture=matched.architecture, num_classes=matched.num_classes, certified=certified)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RequestError(f"{where or 'the import'}: {first['msg']}") from error


def _default_resize(options: ImportOptions) -> int:
    return options.image_size if options.fit == "pad" else usual_resize(options.image_size)


def _report(
    located: LocatedNetwork, extracted: ExtractedNetwork, matched: MatchedNetwork, normalization: ChannelStatistics
) -> ImportReport:
    original = extracted.original
    return ImportReport(
        format=located.format,
        container="/".join(map(str, located.place.container)),
        network=located.place.name,
        other_networks=located.other_networks,
        unread=located.unread,
        is_averaged=located.is_averaged,
        architecture=matched.architecture,
        num_classes=matched.num_classes,
        has_trained_head=matched.has_trained_head,
        normalization=normalization,
        matched=tuple(original[name] for name in matched.matched),
        missing=matched.missing,
        dropped=(*extracted.dropped, *(original[name] for name in matched.dropped)),
        unexpected=extracted.unexpected,
    )
