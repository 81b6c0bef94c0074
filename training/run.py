"""The definition of a training run, and the metadata of its checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from training.distributed import Ranks
from training.objectives.denoise import Denoise
from training.objectives.table import objective_name
from training.recipe import TrainingRecipe
from training.run_folder import RunIdentity
from training.starting_point import fitted_preprocessing
from training.streams import derived_seed
from training.tasks import Task
from training.tasks.subsets import limit_per_class
from training.tasks.task import stratified_split
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.models.denoiser_config import DenoiserConfig
from zoo.models.spec import UNTRAINED, CertifiedConfig, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """A training run: task, recipe, seed and starting point. `output` becomes the checkpoint directory.

    `parent` is the starting point; None means random weights. `parent_id` is the Hub or catalog id from which the
    parent was loaded, if any.
    """

    task: Task
    recipe: TrainingRecipe
    seed: int
    output: Path
    parent: Checkpoint | None = None
    parent_id: str | None = None

    @property
    def parent_sha256(self) -> str | None:
        """The identity of the weights that training starts from; only a denoiser starts from a parent's denoiser."""
        if self.parent is None:
            return None
        return self.parent.weights_sha256 if self.recipe.objective.trains_denoiser else self.parent.classifier_sha256

    def identity(self, ranks: Ranks) -> RunIdentity:
        """The values that must match for the run to be resumed."""
        return RunIdentity(
            recipe=self.recipe,
            task=self.task.name,
            data=self.task.digest,
            seed=self.seed,
            parent=self.parent_sha256,
            num_ranks=ranks.world_size,
        )

    def spec(
        self, task: Task, *, epochs: int, num_train_images: int, num_ranks: int, device: str, is_synchronized: bool
    ) -> ModelSpec:
        """The spec of the checkpoint after `epochs` epochs.

        Args:
            task: the run's task, reduced to the images that are used.
            epochs: number of finished epochs.
            num_train_images: number of training images without the validation set.
            num_ranks: number of processes that train together.
            device: type of the device, such as cuda.
            is_synchronized: whether batch normalization is synchronized over the processes.
        """
        recipe = self.recipe
        if isinstance(recipe.objective, Denoise):
            denoiser = self._denoiser(
                recipe.objective,
                task,
                epochs=epochs,
                num_train_images=num_train_images,
                num_ranks=num_ranks,
                device=device,
            )
            return self._classifier(task).behind(denoiser)
        return ModelSpec(
            architecture=recipe.architecture,
            num_classes=task.num_classes,
            certified=CertifiedConfig(
                objective=objective_name(recipe.objective),
                hyper_parameters=asdict(recipe.objective),
                sigma=recipe.objective.sigma,
                task=task.name,
                class_names=task.class_names,
                parent=self.parent_sha256,
                parent_id=self.parent_id,
                seed=self.seed,
                epochs=epochs,
                recipe_digest=recipe.digest(),
                recipe=recipe.identity(),
                has_trained_head=recipe.objective.learns_classes,
                batch_statistics=self._batch_statistics(num_ranks, is_synchronized),
                num_ranks=num_ranks,
                device=device,
                limit_per_class=recipe.limit_per_class,
                num_train_images=num_train_images,
                preprocessing=fitted_preprocessing(task, recipe, self.parent),
            ),
        )

    def _denoiser(
        self,
        objective: Denoise,
        task: Task,
        *,
        epochs: int,
        num_train_images: int,
        num_ranks: int,
        device: str,
    ) -> DenoiserConfig:
        recipe = self.recipe
        return DenoiserConfig(
            shape=objective.shape,
            sigma=objective.sigma,
            objective=objective_name(objective),
            hyper_parameters=asdict(objective),
            task=task.name,
            input=fitted_preprocessing(task, recipe, self.parent).describe(),
            parent=self.parent_sha256,
            parent_id=self.parent_id,
            seed=self.seed,
            epochs=epochs,
            recipe_digest=recipe.digest(),
            recipe=recipe.identity(),
            num_ranks=num_ranks,
            device=device,
            limit_per_class=recipe.limit_per_class,
            num_train_images=num_train_images,
        )

    def _classifier(self, task: Task) -> ModelSpec:
        """The spec of the classifier behind the denoiser: the parent's, or that of a random network."""
        if self.parent is not None:
            return self.parent.spec
        certified = CertifiedConfig(
            objective=UNTRAINED,
            task=task.name,
            class_names=task.class_names,
            has_trained_head=False,
            preprocessing=fitted_preprocessing(task, self.recipe, None),
        )
        return ModelSpec(architecture=self.recipe.architecture, num_classes=task.num_classes, certified=certified)

    def _batch_statistics(self, num_ranks: int, is_synchronized: bool) -> str:
        """A phrase for the images that batch normalization's running statistics describe."""
        recipe = self.recipe
        if recipe.batch_statistics == "no-layer":
            return "the starting point, unchanged"
        words = "all training batches"
        if is_synchronized:
            words += f", synchronized over {num_ranks} processes"
        elif num_ranks > 1:
            words = f"the first of {num_ranks} processes, which saw its share of every batch"
        if recipe.freeze != "none" and recipe.batch_statistics == "trained-layers":
            words += "; in frozen layers the starting point, unchanged"
        return words


def limited_task(run: TrainingRun) -> Task:
    """The run's task with the training images that its recipe allows."""
    limit = run.recipe.limit_per_class
    return run.task if limit is None else limit_per_class(run.task, limit, seed=derived_seed(run.seed, "limit"))


def split_of(run: TrainingRun, limited: Task) -> tuple[list[int], list[int]]:
    """The numbers of the training images that are trained on, and of those held out for validation."""
    share = run.recipe.validation_share if run.recipe.validates else 0.0
    return stratified_split(limited.train.labels, share=share, seed=derived_seed(run.seed, "validation"))
