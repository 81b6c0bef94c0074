"""`zoo denoise`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli._options import Json, Model
from zoo.cli._plain import echo


def denoise(
    model: Model,
    denoised: Annotated[
        str, typer.Option("--with", metavar="DENOISED", help="A MODEL whose denoiser to use, from --objective denoise.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="A new directory for the checkpoint.")],
    as_json: Json = False,
) -> None:
    """Put a classifier, unchanged, behind a trained denoiser.

    It can then be certified.

    The result is another base classifier: measure it with zoo certify DIR --record.

    Example: zoo denoise classifier --with denoiser --output denoised
    """
    from zoo.checkpoints.denoising import put_behind_denoiser
    from zoo.loading.locate import locate

    checkpoint = put_behind_denoiser(locate(model), locate(denoised), output)
    result = {
        "checkpoint": str(checkpoint.path),
        "name": checkpoint.spec.name,
        "sha256": checkpoint.weights_sha256,
        "classifier_sha256": checkpoint.classifier_sha256,
        "sigma": checkpoint.spec.certified.sigma,
    }
    line = f"{checkpoint.path}: {checkpoint.spec.name}, classifier with SHA-256 {checkpoint.classifier_sha256}"
    echo(json.dumps(result, indent=2) if as_json else line)
