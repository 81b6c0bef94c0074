"""The network at the start of a run."""

from __future__ import annotations

import copy

from torch import nn

from training.architecture import require_logits
from training.denoising import kept_preprocessing, starting_denoiser
from training.freezing import freeze_parameters, require_stages
from training.objectives.denoise import Denoise
from training.objectives.table import objective_name
from training.recipe import TrainingRecipe
from training.streams import global_stream
from training.tasks import Task
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import CheckpointError, RecipeError, TaskError
from zoo.models.architecture import NormalizedNetwork, build_network, head_names, is_inside
from zoo.models.spec import UNTRAINED, Preprocessing


def starting_network(task: Task, recipe: TrainingRecipe, *, seed: int, parent: Checkpoint | None) -> NormalizedNetwork:
    """The network at the start of a run: random weights, or those of `parent` with a head for the task.

    The parent's head is kept if it was trained for the same classes. The parameters of frozen layers require no
    gradient. A method's own head replaces the network's. A method that trains a denoiser keeps the whole parent, and
    every other method keeps a parent's classifier without its denoiser.

    Args:
        task: task to train on.
        recipe: recipe of the run.
        seed: seed of the run, for random weights.
        parent: starting point; None for random weights.
    Raises: RecipeError if random layers would be frozen, or the method or the freezing does not fit the architecture;
    TaskError if there are no classes to learn; CheckpointError if the parent's weights do not fit; RequestError if the
    architecture cannot be built or does not take the task's images.
    """
    if isinstance(recipe.objective, Denoise):
        return _behind_denoiser(task, recipe, recipe.objective, seed=seed, parent=parent)
    if recipe.objective.learns_classes and task.num_classes < 2:
        raise TaskError(f"{task.name} has no classes to learn: use a method without labels, such as simclr")
    keeps_parent = recipe.freeze != "none" or recipe.batch_statistics == "no-layer" or recipe.head_steps > 0
    if parent is None and keeps_parent:
        raise RecipeError(
            f"freeze={recipe.freeze} with batch_statistics={recipe.batch_statistics} and head_steps="
            f"{recipe.head_steps} keeps parts of a trained starting point, and random weights are untrained: "
            "give --init"
        )
    name, preprocessing = recipe.architecture, fitted_preprocessing(task, recipe, parent)
    with global_stream(seed, "weights"):
        network = build_network(name, num_classes=task.num_classes, preprocessing=preprocessing)
        require_logits(network, name=name, num_classes=task.num_classes, size=preprocessing.crop)
        require_stages(network.backbone, recipe.freeze, architecture=name)
        head = _own_head(network.backbone, recipe)
    if parent is not None:
        _copy_weights(parent, network, keep_head=_has_head_for(parent, task))
    if head is not None:
        (head_name,) = head_names(network.backbone)
        network.backbone.set_submodule(head_name, head)
    freeze_parameters(network.backbone, recipe.freeze)
    return network


def _behind_denoiser(
    task: Task, recipe: TrainingRecipe, objective: Denoise, *, seed: int, parent: Checkpoint | None
) -> NormalizedNetwork:
    """The classifier of `parent`, or a random one, without gradients, behind the denoiser to train."""
    if recipe.freeze != "none":
        raise RecipeError(f"freeze={recipe.freeze} does not apply to a denoiser: its classifier stays as it is")
    preprocessing = fitted_preprocessing(task, recipe, parent)
    denoiser = starting_denoiser(objective, crop=preprocessing.crop, seed=seed, parent=parent)
    with global_stream(seed, "weights"):
        network = build_network(recipe.architecture, num_classes=task.num_classes, preprocessing=preprocessing)
    if parent is not None:
        network.backbone = parent.load_backbone()
    network.denoiser = denoiser
    network.backbone.requires_grad_(False)
    return network


def published_network(
    network: NormalizedNetwork, task: Task, recipe: TrainingRecipe, *, seed: int
) -> NormalizedNetwork:
    """The network that the checkpoint stores. If training used another head, it has an untrained head for the task."""
    if recipe.objective.learns_classes or recipe.objective.trains_denoiser:
        return network
    published = copy.deepcopy(network)
    with global_stream(seed, "head"):
        (name,) = head_names(published.backbone)
        own_head = published.backbone.get_submodule(name)
        num_features = next(module.in_features for module in own_head.modules() if isinstance(module, nn.Linear))
        published.backbone.set_submodule(name, nn.Linear(num_features, task.num_classes))
    return published


def _own_head(backbone: nn.Module, recipe: TrainingRecipe) -> nn.Module | None:
    """The method's own head for the network, if it has one.

    Raises: RecipeError if the network's last layer is not a single linear layer, which such a head could replace.
    """
    layers = [backbone.get_submodule(name) for name in head_names(backbone)]
    features = [layer.in_features for layer in layers if isinstance(layer, nn.Linear) and layer.bias is not None]
    if len(layers) == len(features) == 1:
        return recipe.objective.head(features[0])
    if not recipe.objective.learns_classes:
        raise RecipeError(
            f"{objective_name(recipe.objective)} replaces the last layer, and that of {recipe.architecture} is not a "
            "single linear layer: choose another architecture"
        )
    return None


def fitted_preprocessing(task: Task, recipe: TrainingRecipe, parent: Checkpoint | None) -> Preprocessing:
    """The task's preprocessing, adjusted to the recipe and the starting point; a denoiser keeps its classifier's.

    Raises: RecipeError if the recipe's settings contradict the starting point.
    """
    if recipe.objective.trains_denoiser and parent is not None:
        return kept_preprocessing(recipe, parent)
    return recipe.fit_preprocessing(task.preprocessing, of_init=None if parent is None else parent.spec.preprocessing)


def _has_head_for(parent: Checkpoint, task: Task) -> bool:
    certified = parent.spec.certified
    return certified.has_trained_head and certified.class_names == task.class_names


def _copy_weights(parent: Checkpoint, network: NormalizedNetwork, *, keep_head: bool) -> None:
    if parent.spec.certified.objective == UNTRAINED:
        raise RecipeError(f"--init {parent.path} is a denoiser without a trained classifier: give --init random")
    weights = parent.load_backbone().state_dict()
    if not keep_head:
        heads, fresh = head_names(network.backbone), network.backbone.state_dict()
        weights = {name: value for name, value in weights.items() if not is_inside(name, heads)}
        weights |= {name: value for name, value in fresh.items() if is_inside(name, heads)}
    try:
        network.backbone.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"--init {parent.path} is a {parent.spec.architecture} and does not fit the network: {error}"
        ) from error
