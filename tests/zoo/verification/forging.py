"""What a forger does to a checkpoint directory: an edit, and then as much of the rest as has to follow from it."""

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import torch

from training.evaluation.certification_log import log_text
from zoo.cards import render_card
from zoo.checkpoints.checkpoint import read_spec, sha256_of
from zoo.checkpoints.writing import config_bytes
from zoo.models.architecture import build_network
from zoo.models.measurements import EmpiricalResult
from zoo.results.figure import curve_png
from zoo.results.log import CertificationRow, read_log
from zoo.results.summary import binomial_interval, summarize
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.radius import certified_radius

OTHER_SIGMA = 1.0


def recompute_manifest(path: Path) -> None:
    """Lists every file that is there, with its hash."""
    names = sorted(file.name for file in path.iterdir() if not file.name.startswith((".", "manifest.")))
    files = {name: {"sha256": sha256_of(path / name)} for name in names}
    (path / "manifest.json").write_text(json.dumps({"schema_version": 1, "files": files}, indent=2) + "\n")


def recompute_card(path: Path) -> None:
    """Draws and renders what follows from config and rows, and lists it."""
    spec = read_spec(path)
    if (path / "certification.tsv").exists():
        (path / "certified_accuracy.png").write_bytes(
            curve_png((path / "certification.tsv").read_bytes(), name=spec.name)
        )
    files = {file.name: sha256_of(file) for file in path.iterdir() if not file.name.startswith((".", "manifest."))}
    (path / "README.md").write_text(render_card(spec, files=files))
    recompute_manifest(path)


def flip_a_weight_byte(path: Path) -> None:
    content = bytearray((path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "model.safetensors").write_bytes(content)


def edit_acr_in_card(path: Path) -> None:
    card = (path / "README.md").read_text()
    start = card.index("| average certified radius | ") + len("| average certified radius | ")
    (path / "README.md").write_text(card[:start] + "0.999" + card[start + 5 :])


def edit_acr_in_config(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    config["certified"]["certification"]["average_certified_radius"] = 0.999
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def edit_a_row(path: Path) -> None:
    """A larger radius, by the hand of somebody who does not know what it follows from."""
    lines = (path / "certification.tsv").read_text().splitlines()
    values = lines[1].split("\t")
    lines[1] = "\t".join([*values[:3], str(float(values[3]) + 0.25), *values[4:]])
    (path / "certification.tsv").write_text("\n".join(lines) + "\n")


def edit_a_row_by_its_counts(path: Path) -> None:
    """All draws agree where fewer did, with the bound and the radius that this gives."""
    rows = read_log(path / "certification.tsv")
    worst = min(rows, key=lambda row: row.provenance.count_a)
    write_rows(path, [all_agree(row) if row is worst else row for row in rows])


def add_a_file(path: Path) -> None:
    (path / "weights.bin").write_bytes(pickle.dumps({"harmless": 1}))


def put_a_pickle_for_the_weights(path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1)}, path / "model.safetensors")


def edit_sigma_in_config(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    config["certified"]["sigma"] = OTHER_SIGMA
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def edit_sigma_everywhere_in_config(path: Path) -> None:
    """In the recipe and its digest, in the method, in what was certified, and in timm's part too."""
    certified = read_spec(path).certified
    recipe = {**certified.recipe, "objective": {**certified.recipe["objective"], "sigma": OTHER_SIGMA}}
    write_config(
        path,
        sigma=OTHER_SIGMA,
        hyper_parameters={**certified.hyper_parameters, "sigma": OTHER_SIGMA},
        recipe=recipe,
        recipe_digest=hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest(),
        certification=certified.certification.model_copy(update={"sigma": OTHER_SIGMA}),
    )


def edit_sigma_and_rows(path: Path) -> None:
    """As if all had been trained and certified at twice the noise: every radius is twice as large."""
    edit_sigma_everywhere_in_config(path)
    rows = [
        voted(replace(row, provenance=replace(row.provenance, sigma=OTHER_SIGMA)), row.provenance.count_a)
        for row in read_log(path / "certification.tsv")
    ]
    invent(path, rows)


def invent_rows(path: Path) -> None:
    """Whatever was not certified by all draws is said to be right with all draws agreeing, in rows, config and card."""
    invent(path, [all_agree(row) for row in read_log(path / "certification.tsv")])


def put_other_weights(path: Path) -> None:
    """A network that was never trained, under the numbers of one that was."""
    from safetensors.torch import save_file

    spec = read_spec(path)
    torch.manual_seed(0)
    network = build_network(spec.architecture, num_classes=spec.num_classes, preprocessing=spec.preprocessing)
    save_file(network.backbone.state_dict(), path / "model.safetensors", metadata={"format": "pt"})


def invent_an_evaluation(path: Path) -> None:
    evaluated = EmpiricalResult(
        task="digits", split="test", num_images=359, standard_accuracy=1.0, seed=0,
        standard_accuracy_interval=binomial_interval(359, 359),
    )  # fmt: skip
    write_config(path, empirical=evaluated)


def all_agree(row: CertificationRow) -> CertificationRow:
    return voted(row, row.provenance.n, predict=row.label)


def voted(row: CertificationRow, count: int, predict: int | None = None) -> CertificationRow:
    """The row had `count` draws named its class, or the class `predict`."""
    predict = row.predict if predict is None else predict
    how = row.provenance
    p_a_lower = clopper_pearson_lower(count, how.n, how.alpha)
    is_certified = p_a_lower > 0.5 and predict >= 0
    return replace(
        row,
        predict=predict if is_certified else -1,
        radius=certified_radius(p_a_lower, how.sigma) if is_certified else 0.0,
        correct=is_certified and predict == row.label,
        provenance=replace(
            how,
            count_a=count,
            p_a_lower=p_a_lower,
            count_b=how.n - count,
            count_label=count if predict == row.label else min(how.count_label, how.n - count),
        ),
    )


def invent(path: Path, rows: list[CertificationRow]) -> None:
    """Writes rows, and into the config every number that they give."""
    write_rows(path, rows)
    claim = read_spec(path).certified.certification
    summary = summarize(rows, radii=[point.radius for point in claim.certified_accuracy])
    names = ("standard_accuracy", "standard_accuracy_interval", "abstention_rate", "certified_accuracy", "mean_n")
    names += ("average_certified_radius", "average_certified_radius_interval", "p_a_of_label", "classes")
    write_config(path, certification=claim.model_copy(update={name: getattr(summary, name) for name in names}))


def write_rows(path: Path, rows: list[CertificationRow]) -> None:
    (path / "certification.tsv").write_text(log_text(rows))


def write_config(path: Path, **changed: object) -> None:
    spec = read_spec(path)
    certified = spec.certified.model_copy(update=changed)
    (path / "config.json").write_bytes(config_bytes(spec.model_copy(update={"certified": certified})))
