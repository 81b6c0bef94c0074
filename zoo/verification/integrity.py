"""A check of a checkpoint, and the checks of its files: manifest, contents, config and weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.checkpoints.checkpoint import Checkpoint, config_bytes, sha256_of
from zoo.errors import CheckpointError
from zoo.models.layout import CONFIG, MANIFEST, SIGNATURE, WEIGHTS
from zoo.models.spec import ModelSpec
from zoo.verification.contents import format_fault, looks_like_code

Outcome = Literal["passed", "failed", "unchecked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`findings` are what is wrong, in words. `note` says what was looked at, or why nothing could be: `is_unchecked`
    means that nothing speaks for the checkpoint here, and nothing against it."""

    name: str
    note: str
    findings: tuple[str, ...] = ()
    is_unchecked: bool = False

    @property
    def outcome(self) -> Outcome:
        if self.findings:
            return "failed"
        return "unchecked" if self.is_unchecked else "passed"


def check_files(directory: Path, manifest: Mapping[str, str], hashes: Mapping[str, str]) -> Check:
    """Every file of the manifest is there with its hash, and there is no other; `hashes` are those of the files there.

    Names that start with a dot are no part of a checkpoint, and are not looked at.
    """
    findings = [_why_not(name, expected, hashes.get(name)) for name, expected in manifest.items()]
    findings += [f"{MANIFEST} does not list {name}" for name in (CONFIG, WEIGHTS) if name not in manifest]
    findings += _unknown(directory, manifest)
    return _check("files", f"{len(manifest)} files by their SHA-256, and no other", findings)


def file_hashes(directory: Path, names: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of those files that are there."""
    return {name: sha256_of(directory / name) for name in names if (directory / name).is_file()}


def _why_not(name: str, expected: str, found: str | None) -> str | None:
    if found is None:
        return f"{name} is missing"
    return None if found == expected else f"{name}: SHA-256 is {found}, {MANIFEST} says {expected}"


def _unknown(directory: Path, manifest: Mapping[str, str]) -> Iterator[str]:
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.name in {*manifest, MANIFEST, SIGNATURE}:
            continue
        kind = looks_like_code(path) if path.is_file() else "a folder" if path.is_dir() else "no file"
        yield f"{path.name} is in no manifest" + ("" if kind is None else f", and is {kind}")


def check_contents(directory: Path, hashes: Mapping[str, str]) -> Check:
    """Every file holds what its name says, and none a pickle under another name."""
    findings = []
    for name in hashes:
        code = looks_like_code(directory / name)
        if code is not None:
            findings.append(f"{name} is {code}")
            continue
        wrong = format_fault(directory / name)
        findings += [] if wrong is None else [f"{name} {wrong}"]
    return _check("contents", "each file is of its kind, and no pickle", findings)


def check_config(directory: Path, spec: ModelSpec) -> Check:
    """What timm reads says the same as what we read, the recipe is its digest's, and every sigma is the same one."""
    stated, expected = (_flat(json.loads(data)) for data in ((directory / CONFIG).read_bytes(), config_bytes(spec)))
    findings = [
        f"{CONFIG}: {name} is {stated.get(name)!r}, and what stands under 'certified' makes it {expected.get(name)!r}"
        for name in sorted({*stated, *expected})
        if stated.get(name) != expected.get(name)
    ]
    return _check("config", "schema, timm's part, recipe digest, one sigma", [*findings, *_of_training(spec)])


def _flat(config: Mapping[str, object]) -> dict[str, object]:
    """What timm reads: all but our own part, each value by its path."""
    flat: dict[str, object] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and name != "certified":
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}
        elif name != "certified":
            flat[name] = value
    return flat


def _of_training(spec: ModelSpec) -> Iterator[str]:
    certified = spec.certified
    if certified.recipe and certified.recipe_digest != _digest(certified.recipe):
        yield f"{CONFIG}: recipe_digest is {certified.recipe_digest}, and the recipe's is {_digest(certified.recipe)}"
    sigmas = {"sigma": certified.sigma, "hyper_parameters.sigma": certified.hyper_parameters.get("sigma")}
    in_recipe = certified.recipe.get("objective", {})
    if isinstance(in_recipe, Mapping):
        sigmas["recipe.objective.sigma"] = in_recipe.get("sigma")
    known = {name: sigma for name, sigma in sigmas.items() if sigma is not None}
    if len(set(known.values())) > 1:
        yield f"{CONFIG}: " + " but ".join(f"{name} is {sigma}" for name, sigma in known.items())


def _digest(recipe: Mapping[str, object]) -> str:
    """As a training run makes it: of the recipe's JSON with sorted keys."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def check_weights(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> Check:
    """The weights fit the architecture, tensor by tensor, and are finite."""
    note = f"names and shapes of {spec.architecture}, every value finite"
    if WEIGHTS not in hashes:
        return _check("weights", note, [f"{WEIGHTS} is missing"])
    try:
        Checkpoint(path=directory, spec=spec, files=hashes).load_network()
    except CheckpointError as error:
        return _check("weights", note, [str(error)])
    return _check("weights", note, [])


def _check(name: str, note: str, findings: list[str | None] | list[str]) -> Check:
    return Check(name=name, note=note, findings=tuple(finding for finding in findings if finding is not None))
