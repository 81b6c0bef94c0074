"""The result type of a check, and the checks of a checkpoint's files: manifest, contents, config and weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.checkpoints.checkpoint import Checkpoint, sha256_of
from zoo.checkpoints.writing import config_bytes
from zoo.errors import CheckpointError
from zoo.host.untrusted_json import parse_json
from zoo.models.denoiser_config import DenoiserConfig
from zoo.models.layout import CONFIG, MANIFEST, ONNX, SIGNATURE, WEIGHTS
from zoo.models.spec import CertifiedConfig, ModelSpec
from zoo.verification.contents import format_fault, looks_like_code

Outcome = Literal["passed", "failed", "unchecked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check.

    `findings` are the faults, one sentence each. `note` says what was checked, or why nothing could be checked. If
    `is_unchecked`, there is no evidence for or against the checkpoint.
    """

    name: str
    note: str
    findings: tuple[str, ...] = ()
    is_unchecked: bool = False

    @property
    def outcome(self) -> Outcome:
        if self.findings:
            return "failed"
        return "unchecked" if self.is_unchecked else "passed"


def check_files(
    directory: Path, manifest: Mapping[str, str], hashes: Mapping[str, str], *, network_file: str = WEIGHTS
) -> Check:
    """The check that every file of the manifest exists with its hash, and that there are no other files.

    `hashes` are those of the existing files, and `network_file` is the one that contains the network. Files whose name
    starts with a dot are not part of a checkpoint and are not checked.
    """
    findings = [_hash_fault(name, expected, hashes.get(name)) for name, expected in manifest.items()]
    findings += [f"{MANIFEST} does not list {name}" for name in (CONFIG, network_file) if name not in manifest]
    findings += _unknown(directory, manifest)
    return _check("files", f"SHA-256 of {len(manifest)} files, and no other files", findings)


def file_hashes(directory: Path, names: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of the named files that exist."""
    return {name: sha256_of(directory / name) for name in names if (directory / name).is_file()}


def _hash_fault(name: str, expected: str, sha256: str | None) -> str | None:
    if sha256 is None:
        return f"{name} is missing"
    return None if sha256 == expected else f"{name}: SHA-256 is {sha256}, {MANIFEST} says {expected}"


def _unknown(directory: Path, manifest: Mapping[str, str]) -> Iterator[str]:
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.name in {*manifest, MANIFEST, SIGNATURE}:
            continue
        kind = looks_like_code(path) if path.is_file() else "a folder" if path.is_dir() else "not a regular file"
        yield f"{path.name} is not in {MANIFEST}" + ("" if kind is None else f", and is {kind}")


def check_contents(directory: Path, hashes: Mapping[str, str]) -> Check:
    """The check that the content of every file fits its name, and that no file is a pickle."""
    findings = []
    for name in hashes:
        code = looks_like_code(directory / name)
        if code is not None:
            findings.append(f"{name} is {code}")
            continue
        fault = format_fault(directory / name)
        findings += [] if fault is None else [f"{name} {fault}"]
    return _check("contents", "each file has the format of its name, and none is a pickle", findings)


def check_config(directory: Path, spec: ModelSpec) -> Check:
    """The check that timm's part of the config agrees with ours, the recipe with its digest, and all sigmas."""
    stated, expected = (_flat(parse_json(data)) for data in ((directory / CONFIG).read_bytes(), config_bytes(spec)))
    findings = [
        f"{CONFIG}: {name} is {stated.get(name)!r}, but the section 'certified' implies {expected.get(name)!r}"
        for name in sorted({*stated, *expected})
        if stated.get(name) != expected.get(name)
    ]
    return _check("config", "schema, timm's part, recipe digest, equal sigmas", [*findings, *_of_training(spec)])


def _flat(config: Mapping[str, object]) -> dict[str, object]:
    """The part of the config that timm reads, which is all but our section, as values by path."""
    flat: dict[str, object] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and name != "certified":
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        elif name != "certified":
            flat[name] = value
    return flat


def _of_training(spec: ModelSpec) -> Iterator[str]:
    certified, denoiser = spec.certified, spec.certified.denoiser
    if denoiser is None:
        yield from _of_run(certified, {"sigma": certified.sigma}, prefix="")
        return
    # The classifier may have been trained under other noise, or none.
    yield from _of_run(certified, {}, prefix="")
    yield from _of_run(denoiser, {"sigma": denoiser.sigma}, prefix="denoiser.")


def _of_run(trained: CertifiedConfig | DenoiserConfig, sigmas: dict[str, object], *, prefix: str) -> Iterator[str]:
    """The contradictions in the record of one training run, whose paths in the config start with `prefix`."""
    if trained.recipe and trained.recipe_digest != _digest(trained.recipe):
        given, computed = trained.recipe_digest, _digest(trained.recipe)
        yield f"{CONFIG}: {prefix}recipe_digest is {given}, but the recipe gives {computed}"
    sigmas = {**sigmas, "hyper_parameters.sigma": trained.hyper_parameters.get("sigma")}
    in_recipe = trained.recipe.get("objective", {})
    if isinstance(in_recipe, Mapping):
        sigmas["recipe.objective.sigma"] = in_recipe.get("sigma")
    known = {f"{prefix}{name}": sigma for name, sigma in sigmas.items() if sigma is not None}
    if len(set(known.values())) > 1:
        yield f"{CONFIG}: " + " but ".join(f"{name} is {sigma}" for name, sigma in known.items())


def _digest(recipe: Mapping[str, object]) -> str:
    """The SHA-256 of the recipe's JSON with sorted keys, as a training run records it."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def check_weights(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> Check:
    """The check that every tensor of the weights fits the architecture and is finite.

    The weights of a quantized network are in its ONNX file, see `zoo.verification.onnx_file`.
    """
    if spec.certified.precision is not None:
        note = f"those of an {spec.certified.precision} network are in {ONNX}"
        findings = (f"{WEIGHTS} is not the network of {CONFIG}",) if WEIGHTS in hashes else ()
        return Check(name="weights", note=note, findings=findings, is_unchecked=True)
    denoiser = spec.certified.denoiser
    behind = "" if denoiser is None else f" and of its denoiser, a {denoiser.shape.describe()}"
    note = f"names and shapes of {spec.architecture}{behind}, every value finite"
    if WEIGHTS not in hashes:
        return _check("weights", note, [f"{WEIGHTS} is missing"])
    try:
        Checkpoint(path=directory, spec=spec, files=hashes).load_network()
    except CheckpointError as error:
        return _check("weights", note, [str(error)])
    return _check("weights", note, [])


def _check(name: str, note: str, findings: list[str | None] | list[str]) -> Check:
    return Check(name=name, note=note, findings=tuple(finding for finding in findings if finding is not None))
