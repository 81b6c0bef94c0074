"""Renders the text of a card from its template."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files as files_of
from typing import Any

import jinja2
import yaml

from zoo.cards.metadata import card_metadata
from zoo.cards.reproduction import (
    calibrate_command,
    certify_command,
    denoiser_command,
    evaluate_commands,
    quantize_command,
    train_command,
)
from zoo.cards.tables import CITATIONS, data_set_of
from zoo.models.identity import weights_sha256
from zoo.models.layout import CALIBRATION, CARD, CURVE, DENOISER, ONNX, ROWS, WEIGHTS
from zoo.models.measurements import CertificationResult
from zoo.models.own_networks import KEY_NAMES, OWN_NETWORKS
from zoo.models.spec import UNKNOWN, UNTRAINED, ModelSpec
from zoo.results.balanced_accuracy import FEW_IMAGES, listed_classes, mean_per_class

TEMPLATE = "template.md.j2"
CONFIG_PURPOSE = "architecture, input, quantization and measured results"
PURPOSES = {
    DENOISER: "the denoiser before the classifier, on pixels in [0, 1]",
    ONNX: "the network with its normalization, for ONNX Runtime",
    ROWS: "one row per image; the certified numbers are computed from these rows",
    CURVE: "the figure above",
    "config.json": "architecture, input, training and measured results; timm reads this file",
    CALIBRATION: "the scores that calibrate the label sets, and the threshold that follows from them",
    "split.json": "the indices of the training images and of the images held out for validation",
}


def render_card(spec: ModelSpec, *, files: Mapping[str, str]) -> str:
    """The README.md of a checkpoint: YAML metadata with a `model-index`, then the text of the card.

    `files` maps the names of the checkpoint's files to their SHA-256; an entry for the card itself is ignored. The card
    is therefore a function of the other files of its checkpoint, and `zoo verify` can check that it matches them.
    """
    files = {name: files[name] for name in sorted(files) if name != CARD}
    certified, key_names = spec.certified, _key_names(spec.architecture)
    result = certified.certification
    purposes = {**PURPOSES, WEIGHTS: f"the network without its normalization, with {key_names}'s key names"}
    if certified.quantization is not None:
        purposes |= {ONNX: "the int8 network with its normalization, for ONNX Runtime", "config.json": CONFIG_PURPOSE}
    return _template().render(
        metadata=_yaml(card_metadata(spec, files=files)),
        spec=spec,
        certified=certified,
        key_names=key_names,
        denoiser=certified.denoiser,
        denoiser_data=None if certified.denoiser is None else data_set_of(certified.denoiser.task),
        weights_sha256=weights_sha256(files) if certified.denoiser is not None and WEIGHTS in files else "missing",
        untrained=UNTRAINED,
        origin=certified.origin,
        unknown=UNKNOWN,
        data=data_set_of(certified.task),
        result=result,
        **_of_classes(result),
        names=certified.class_names,
        few_images=FEW_IMAGES,
        sets=certified.calibration,
        empirical=certified.empirical,
        files={name: (purposes.get(name, ""), sha256) for name, sha256 in files.items()},
        curve=CURVE if CURVE in files else None,
        onnx=ONNX if ONNX in files and certified.quantization is None else None,
        quantization=certified.quantization,
        citation=CITATIONS.get(certified.objective),
        train_command=train_command(spec),
        quantize_command=quantize_command(spec),
        denoiser_command=denoiser_command(spec),
        certify_command=certify_command(spec),
        calibrate_command=calibrate_command(spec),
        evaluate_commands=evaluate_commands(spec),
    )


def _key_names(architecture: str) -> str:
    """The project whose key names the weights have."""
    if architecture in OWN_NETWORKS:
        return KEY_NAMES
    from zoo.models.architecture import find_architecture

    return find_architecture(architecture).keys


@cache
def _template() -> jinja2.Template:
    """The compiled template; compiling takes longer than all other work on a card."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["cell"] = _cell
    return environment.from_string((files_of("zoo.cards") / TEMPLATE).read_text())


def _of_classes(result: CertificationResult | None) -> dict[str, Any]:
    """The listed classes, the mean of all, and the most frequent class with its share; empty if not recorded."""
    if result is None or result.classes is None:
        return {"classes": (), "mean": (), "majority": None}
    radii = [point.radius for point in result.certified_accuracy]
    most_frequent = max(result.classes, key=lambda counts: counts.num_images)
    return {
        "classes": listed_classes(result.classes, radii),
        "mean": mean_per_class(result.classes, radii),
        "majority": (most_frequent.label, most_frequent.num_images / result.num_images),
    }


def _yaml(metadata: dict[str, Any]) -> str:
    return yaml.dump(metadata, Dumper=_WithoutAnchors, sort_keys=False, allow_unicode=True)


class _WithoutAnchors(yaml.SafeDumper):
    """A YAML dumper that repeats equal values instead of writing aliases, so every metric is readable by itself."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _cell(text: str) -> str:
    """Untrusted text, such as a file name, formatted as code for one cell of a table."""
    return "`" + " ".join(text.replace("`", "'").split()).replace("|", "\\|") + "`"
