"""The commands that reproduce a checkpoint or a number on its card."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from zoo.models.denoiser_config import DenoiserConfig
from zoo.models.measurements import Attack, CertificationResult, EmpiricalResult
from zoo.models.spec import CertifiedConfig, ModelSpec
from zoo.smoothing.precision import DEFAULT, INT8, precision_of

MODEL, AUTOATTACK = "MODEL", "autoattack"
BASE = "quick"
"""The recipe that the recorded fields replace. Fields that are not recorded have the value that it leaves them."""
FIELDS_WITH_AN_OPTION = ("objective.name", "architecture", "freeze", "limit_per_class")


def train_command(spec: ModelSpec) -> str | None:
    """The `zoo train` command with every field of the recipe; None if the recipe or the seed was not recorded.

    It is the command of the classifier, if there is a denoiser before it.
    """
    return _train_command(spec.certified, spec.architecture, output="DIR")


def denoiser_command(spec: ModelSpec) -> str | None:
    """The `zoo train` command of the denoiser; None if there is no denoiser, or its recipe or seed was not recorded."""
    denoiser = spec.certified.denoiser
    if denoiser is None:
        return None
    architecture = str(denoiser.recipe.get("architecture", spec.architecture))
    return _train_command(denoiser, architecture, output="DENOISED")


def _train_command(trained: CertifiedConfig | DenoiserConfig, architecture: str, *, output: str) -> str | None:
    if not trained.recipe or trained.seed is None:
        return None
    words = ["zoo"]
    if trained.num_ranks is not None and trained.num_ranks > 1:
        words = ["torchrun", "--nproc-per-node", str(trained.num_ranks), "-m", "zoo", "--"]
    words += ["train", "--task", trained.task, "--objective", trained.objective]
    words += ["--architecture", architecture, "--recipe", BASE, "--seed", str(trained.seed)]
    if trained.parent is not None:
        words += ["--init", trained.parent_id or "PARENT"]
    fields = dict(_flat(trained.recipe))
    if fields.get("freeze") not in (None, "none"):
        words += ["--freeze", str(fields["freeze"])]
    if fields.get("limit_per_class") is not None:
        words += ["--limit-per-class", str(fields["limit_per_class"])]
    for path, value in fields.items():
        if path not in FIELDS_WITH_AN_OPTION:
            words += ["--set", f"{path}={_set_syntax(value)}"]
    words += [] if trained.device is None else ["--device", trained.device]
    return shlex.join([*words, "--output", output])


def certify_command(spec: ModelSpec) -> str | None:
    """The `zoo certify` command behind the certified numbers; None if there are none."""
    result = spec.certified.certification
    if result is None:
        return None
    words: list[object] = ["zoo", "certify", MODEL, "--task", result.task, *_image_options(result)]
    words += ["--sigma", result.sigma, "--n0", result.n0, "--n", result.n]
    words += ["--alpha", result.alpha] if result.family is None else ["--alpha", result.family.alpha, "--family"]
    words += ["--noise", result.noise, "--stopping", result.stopping]
    words += ["--bound", result.bound] if result.stopping == "fixed" and result.bound is not None else []
    words += [] if result.radius_asked is None else ["--radius", result.radius_asked]
    words += [] if result.tolerance is None else ["--tolerance", result.tolerance]
    words += ["--backend", _backend_option(result.backend)]
    words += _machine_options(result.backend, result.batch_size)
    words += ["--seed", result.seed, "--output", "rows.tsv"]
    return shlex.join(map(str, words))


def quantize_command(spec: ModelSpec) -> str | None:
    """The `zoo quantize` command of an int8 checkpoint; None for any other."""
    quantization, parent = spec.certified.quantization, spec.certified.parent_id or "PARENT"
    if quantization is None:
        return None
    words: list[object] = ["zoo", "quantize", parent, "--task", quantization.task, "--images", quantization.num_images]
    return shlex.join(map(str, [*words, "--seed", quantization.seed, "--output", "DIR"]))


def calibrate_command(spec: ModelSpec) -> str | None:
    """The `zoo calibrate` command behind the label sets; None if there are none."""
    result = spec.certified.calibration
    if result is None:
        return None
    words: list[object] = ["zoo", "calibrate", MODEL, "--task", result.task, "--radius", result.radius]
    words += ["--alpha", result.alpha, "--images", result.num_images, "--noise", result.noise, "--seed", result.seed]
    words += ["--backend", _backend_option(result.backend)]
    words += _machine_options(result.backend, result.batch_size)
    return shlex.join(map(str, words))


def evaluate_commands(spec: ModelSpec) -> list[str]:
    """The `zoo evaluate` commands that were run: for the base classifier and, if measured, the smoothed classifier."""
    result = spec.certified.empirical
    if result is None:
        return []
    return [_evaluate_command(measured) for measured in (result, result.smoothed) if measured is not None]


def _evaluate_command(result: EmpiricalResult) -> str:
    words: list[object] = ["zoo", "evaluate", MODEL, "--task", result.task, *_image_options(result)]
    if result.noise:
        words += ["--noise-sigmas", ",".join(repr(point.sigma).removesuffix(".0") for point in result.noise)]
    words += [] if result.attack is None else _attack_options(result.attack)
    words += _machine_options(result.backend, result.batch_size)
    return shlex.join(map(str, [*words, "--seed", result.seed]))


def _image_options(result: CertificationResult | EmpiricalResult) -> list[object]:
    if result.sample is not None:
        return ["--images", result.num_images, "--sample", result.sample]
    return ["--skip", result.skip, *([] if result.maximum is None else ["--max", result.maximum])]


def _backend_option(backend: str) -> str:
    """The backend's name on the command line."""
    if not backend.startswith("torch"):
        return "onnx"
    return "compiled" if "-compiled-" in backend else "torch"


def _machine_options(backend: str | None, batch_size: int | None) -> list[object]:
    """The options for device type, precision and batch size, where they were recorded.

    This project names its backends by runtime, device and precision, such as torch-cpu-float32, or
    torch-cuda-compiled-float32. The name of another backend may not contain a device.
    """
    parts = [] if backend is None else backend.replace("-compiled-", "-").split("-")
    options: list[object] = ["--device", parts[1]] if len(parts) == 3 and parts[1] in ("cpu", "cuda") else []
    precision = precision_of(backend or "")
    options += [] if precision in (None, DEFAULT, INT8) else ["--precision", precision]  # int8 is the checkpoint's
    return options if batch_size is None else [*options, "--batch-size", batch_size]


def _attack_options(attack: Attack) -> list[object]:
    options: list[object] = ["--attack", attack.name, "--epsilon", attack.epsilon, "--norm", attack.norm]
    if attack.name == AUTOATTACK:  # AutoAttack sets the other parameters itself
        return options
    options += ["--attack-steps", attack.num_steps]
    if attack.smoothed is not None:
        target = attack.smoothed
        return [*options, "--sigma", target.sigma, "--noise-samples", target.num_noise_samples, "--n", target.n]
    options += [] if attack.loss is None else ["--loss", attack.loss]
    return [*options, "--restarts", attack.num_restarts]


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _set_syntax(value: Any) -> str:
    """The value of a recipe's field in the syntax of `--set`."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
