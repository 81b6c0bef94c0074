"""Puts a classifier behind the denoiser of another checkpoint. No weight of either is changed."""

from __future__ import annotations

from pathlib import Path

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.checkpoints.copying import require_new
from zoo.checkpoints.writing import save_weights
from zoo.errors import CheckpointError, RequestError
from zoo.host.untrusted_json import parse_json
from zoo.models.layout import DENOISER, SPLIT, WEIGHTS


def put_behind_denoiser(classifier: Checkpoint, denoised: Checkpoint, directory: Path) -> Checkpoint:
    """The checkpoint of `classifier` behind the denoiser of `denoised`, in a new directory.

    The files of the weights are copied byte for byte. Results measured of the classifier alone are left out.
    Raises: RequestError if `directory` is not new, the classifier is behind a denoiser already, `denoised` has none, or
    the two do not fit; CheckpointError if a file has changed since it was opened or cannot be written.
    """
    from zoo.checkpoints.weights import read_unchanged

    require_new(directory)
    denoiser = denoised.spec.certified.denoiser
    if denoiser is None:
        raise RequestError(f"{denoised.path} has no denoiser: train one with zoo train --objective denoise")
    if classifier.spec.certified.denoiser is not None:
        raise RequestError(f"{classifier.path} is behind a denoiser already: give the classifier alone")
    weights = {
        WEIGHTS: read_unchanged(classifier.path / WEIGHTS, sha256=classifier.classifier_sha256),
        DENOISER: read_unchanged(denoised.path / DENOISER, sha256=denoised.files[DENOISER]),
    }
    split = split_of(classifier) | {name: value for name, value in split_of(denoised).items() if name == "denoiser"}
    return save_weights(directory, weights, classifier.spec.behind(denoiser), split=split or None)


def split_of(checkpoint: Checkpoint) -> dict[str, object]:
    """The contents of a checkpoint's split.json, empty if it has none. Raises: CheckpointError if it is damaged."""
    from zoo.checkpoints.weights import read_unchanged

    if SPLIT not in checkpoint.files:
        return {}
    content = read_unchanged(checkpoint.path / SPLIT, sha256=checkpoint.files[SPLIT])
    try:
        split = parse_json(content)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path / SPLIT} is not valid JSON: {error}") from error
    if not isinstance(split, dict):
        raise CheckpointError(f"{checkpoint.path / SPLIT} is not a JSON object")
    return split
