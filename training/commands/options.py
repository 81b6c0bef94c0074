"""Checks and parses the options that several commands share; resolves the starting point and the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from training.objectives import Objective
    from training.recipe import TrainingRecipe
    from training.tasks import Task
    from zoo.checkpoints.checkpoint import Checkpoint
    from zoo.models.spec import CertifiedConfig
    from zoo.results.selection import Selection


def parse_numbers(text: str, option: str) -> list[float]:
    """The comma-separated numbers in `text`, each at least 0. Raises: RequestError that names the option."""
    from zoo.errors import RequestError

    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = [-1.0]
    if any(not 0 <= number < float("inf") for number in numbers):
        raise RequestError(f"{option} takes comma-separated numbers of at least 0, got {text!r}")
    return numbers


def image_selection(*, skip: int, maximum: int | None, images: int | None, sample: str, seed: int) -> Selection:
    """The images that --skip and --max, or --images and --sample, select.

    Raises: RequestError if both pairs are given; UnknownNameError for an unknown kind of sample.
    """
    from typing import cast, get_args

    from zoo.errors import UnknownNameError
    from zoo.models.measurements import Sampling
    from zoo.results.selection import Selection

    if sample not in get_args(Sampling):
        raise UnknownNameError("kind of sample", sample, get_args(Sampling))
    kind = None if images is None else cast(Sampling, sample)
    return Selection(skip=skip, maximum=maximum, sample=kind, num_images=images, seed=seed)


def require_recordable(model: str, record: bool, *, sigma: float | None = None) -> None:
    """Raises: RequestError if results cannot be written into `model`; CertificationError if sigma is 0."""
    from zoo.errors import CertificationError

    if record:
        require_directory(model, "--record")
    if record and sigma == 0:
        raise CertificationError("--record needs certificates, and sigma 0 gives none: omit --record or --sigma 0")


def require_directory(model: str, writer: str) -> None:
    """Raises RequestError if MODEL is not a directory, into which `writer`, an option or a command, can write."""
    from zoo.errors import RequestError

    if not Path(model).is_dir():
        raise RequestError(
            f"{writer} writes into a checkpoint directory, and {model} is not one: "
            f"pull it first with zoo pull {model} DIR"
        )


def print_notes(task: Task, console: Console) -> None:
    """Prints the task's differences from its published form, and the pictures that are in both of its sets."""
    from training.tasks.duplicates import duplicates_sentence

    for sentence in (*task.deviations, duplicates_sentence(task)):
        if sentence is not None:
            console.print(f"note: {sentence}", markup=False, highlight=False, soft_wrap=True)


def require_same_classes(checkpoint: Checkpoint, task: Task) -> None:
    """Raises: TaskError if checkpoint and task have different classes; RequestError if the last layer is untrained."""
    from zoo.checkpoints.checkpoint import require_trained_head
    from zoo.errors import TaskError

    require_trained_head(checkpoint)
    certified = checkpoint.spec.certified
    if certified.class_names != task.class_names:
        raise TaskError(_differing_classes(checkpoint.spec.name, certified, task))


def _differing_classes(name: str, certified: CertifiedConfig, task: Task) -> str:
    """What to do about a network that has other classes than the task, or the same in another order."""
    from training.tasks.task import listed
    from zoo.models.spec import UNKNOWN

    ours, theirs = certified.class_names, task.class_names
    rename = "import it again with --classes FILE, one name per line in the order of the network's outputs"
    if sorted(ours) == sorted(theirs):
        place = next(place for place, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        advice = "put the task's classes into its order with --task TASK#CLASS,CLASS,..."
        if certified.origin is not None:
            advice = f"if its names are in the wrong order, {rename}; if they are in the right one, {advice}"
        return (
            f"{name} has the classes of {task.name} in another order, from class {place} on, which is {ours[place]!r} "
            f"there and {theirs[place]!r} here: {advice}"
        )
    if certified.origin is not None and len(ours) == len(theirs):
        return (
            f"{name} names its {len(ours)} classes {listed(ours)}, and {task.name} names them {listed(theirs)}: if "
            f"they are the same classes, {rename}"
        )
    advice = "" if certified.task == UNKNOWN else f": give --task {certified.task}"
    return (
        f"{name} was trained on the {len(ours)} classes of {certified.task}, not on the {len(theirs)} of "
        f"{task.name}{advice}"
    )


def named_architecture(option: str | None, assignments: list[str]) -> str | None:
    """The architecture that --architecture or --set names; None if neither does."""
    pairs = [assignment.partition("=") for assignment in assignments]
    return next((value.strip() for path, _, value in reversed(pairs) if path.strip() == "architecture"), option)


def find_starting_point(init: str) -> Checkpoint | None:
    """The checkpoint that `--init` names; None for random weights. Raises: RequestError, CheckpointError, HubError."""
    from zoo.errors import RequestError
    from zoo.loading.locate import locate

    if init == "random":
        return None
    if Path(init).is_file():
        raise RequestError(
            f"--init {init} is a file: import it first with zoo import {init} --normalization ... --output DIR, "
            "then give --init DIR"
        )
    return locate(init)


def _continued(objective: Objective, parent: Checkpoint) -> Objective:
    """The method with the shape of the parent's denoiser, if it continues the training of that denoiser."""
    from dataclasses import replace

    from training.objectives.denoise import Denoise

    known = parent.spec.certified.denoiser
    if known is None or not isinstance(objective, Denoise):
        return objective
    return replace(objective, **known.shape.model_dump(exclude={"architecture"}))


def resolve_recipe(
    name: str,
    objective: str,
    parent: Checkpoint | None,
    asked: Mapping[str, str | int | float | None],
    assignments: list[str],
    *,
    task: Task,
    device: torch.device,
    console: Console,
) -> TrainingRecipe:
    """The named recipe, overridden by the starting point's architecture, the `asked` options and --set, in this order.

    If none of them names an architecture, a general recipe takes the default of the device and of the image size, and
    the console prints it.

    Raises: RecipeError, UnknownNameError.
    """
    from dataclasses import replace

    from training.architecture import default_architecture, describe_default
    from training.recipe import override
    from training.recipes import ARCHITECTURE_BY_DEVICE, find_recipe, without_starting_point
    from zoo.models.architecture import find_architecture

    recipe = find_recipe(name, objective=objective)
    if parent is not None:
        recipe = replace(recipe, architecture=parent.spec.architecture, objective=_continued(recipe.objective, parent))
    elif recipe.head_steps > 0:
        recipe = without_starting_point(recipe)
    given = [f"{field}={value}" for field, value in asked.items() if value is not None]
    words = [*given, *assignments]
    recipe = override(recipe, words)
    is_named = parent is not None or named_architecture(None, words) is not None
    if name in ARCHITECTURE_BY_DEVICE and not is_named:
        size = recipe.image_size or task.preprocessing.crop
        recipe = replace(recipe, architecture=default_architecture(device.type, size))
        line = describe_default(recipe.architecture, device_type=device.type, size=size)
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    find_architecture(recipe.architecture)
    return recipe
