"""Training of a denoiser before a classifier that stays as it is (Salman et al. 2020).

The checkpoint of such a run is the classifier behind the denoiser. It contains the classifier's weights file byte for
byte. Without `--init` the classifier is a random network, which only takes the place of a trained one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.objectives.denoise import Denoise
from training.objectives.objective import require
from training.recipe import TrainingRecipe
from training.streams import global_stream
from zoo.checkpoints.checkpoint import Checkpoint, require_trained_head
from zoo.checkpoints.denoising import split_of
from zoo.checkpoints.weights import read_unchanged, serialized
from zoo.errors import RecipeError
from zoo.models.architecture import NormalizedNetwork
from zoo.models.denoiser import Denoiser
from zoo.models.layout import WEIGHTS
from zoo.models.spec import ModelSpec, Preprocessing
from zoo.smoothing.backends import evaluating


def starting_denoiser(objective: Denoise, *, crop: int, seed: int, parent: Checkpoint | None) -> Denoiser:
    """The denoiser at the start of a run: that of `parent` if it has one, else random weights.

    Raises: RecipeError if the images of `crop` pixels do not fit it, the parent's denoiser has another shape, or the
    loss needs a classifier and there is none; RequestError if the classifier's head is untrained; CheckpointError.
    """
    require(
        crop % objective.downsampling == 0,
        f"objective.downsampling must divide the image size, {crop}; got {objective.downsampling}",
    )
    if objective.loss == "stability":
        if parent is None:
            raise RecipeError("objective.loss=stability needs the predictions of a classifier: give --init MODEL")
        require_trained_head(parent)
    known = None if parent is None else parent.spec.certified.denoiser
    if parent is not None and known is not None:
        require(
            known.shape == objective.shape,
            f"the denoiser of --init {parent.path} is a {known.shape.describe()}, and the recipe asks for a "
            f"{objective.shape.describe()}: keep its shape, or start from a classifier without a denoiser",
        )
        denoiser = parent.load_denoiser()
        assert denoiser is not None, "its spec has one"
        return denoiser
    with global_stream(seed, "denoiser"):
        return Denoiser(objective.shape)


def kept_preprocessing(recipe: TrainingRecipe, classifier: Checkpoint) -> Preprocessing:
    """The preprocessing of the classifier, which a denoiser before it must not change.

    Raises: RecipeError if the recipe asks for another one, or for another network.
    """
    given = {name: getattr(recipe, name) for name in ("image_size", "resize") if getattr(recipe, name) is not None}
    given |= {} if recipe.fit == "task" else {"fit": recipe.fit}
    given |= {} if recipe.normalization in ("task", "init") else {"normalization": recipe.normalization}
    if recipe.architecture != classifier.spec.architecture:
        given["architecture"] = recipe.architecture
    if given:
        settings = ", ".join(f"{name}={value}" for name, value in given.items())
        raise RecipeError(f"the classifier of --init stays as it is, so the recipe cannot set {settings}")
    return classifier.spec.preprocessing


def module_of_loss(network: NormalizedNetwork, objective: object) -> nn.Module:
    """The `model` of the objective: the denoiser alone for its mean squared error, else the whole network."""
    if isinstance(objective, Denoise) and objective.loss == "mse":
        assert network.denoiser is not None, "the run trains it"
        return network.denoiser
    return network


def trained_module(network: NormalizedNetwork) -> nn.Module:
    """The part of the network that a run trains: its denoiser if it has one, else its backbone."""
    return network.backbone if network.denoiser is None else network.denoiser


def trained_epochs(spec: ModelSpec) -> int | None:
    """The number of epochs of the run that wrote the checkpoint: the denoiser's, if it has one."""
    return spec.certified.epochs if spec.certified.denoiser is None else spec.certified.denoiser.epochs


def predicted_labels(network: NormalizedNetwork, x_BCHW: Tensor) -> Tensor:
    """`labels_B`: the classes that the classifier alone predicts for clean images."""
    with evaluating(network.backbone), torch.no_grad():
        return network.classify(x_BCHW).argmax(dim=1)


def classifier_weights(network: NormalizedNetwork, parent: Checkpoint | None) -> bytes:
    """The content of the classifier's weights file: the parent's, unchanged, or that of the random network.

    Raises: CheckpointError if the parent's file has changed.
    """
    if parent is None:
        return serialized(network.backbone, Path(WEIGHTS))
    return read_unchanged(parent.path / WEIGHTS, sha256=parent.classifier_sha256)


def split_with_denoiser(parent: Checkpoint | None, denoiser: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of split.json: the images of the classifier, if they are known, and those of the denoiser."""
    return {**({} if parent is None else split_of(parent)), "denoiser": dict(denoiser)}
