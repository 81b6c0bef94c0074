"""What a run trains at a step, by which loss and at which rate: first the last layer alone, then all layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from training.freezing import Freeze
from training.objectives import Objective
from training.objectives.gaussian import Gaussian
from training.objectives.standard import Standard
from training.recipe import Schedule, TrainingRecipe
from training.schedule import lr_factor

FALLING = Schedule(name="cosine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The phases of a run of `num_steps` steps. Everything is a function of the step, so a run resumes in any phase."""

    recipe: TrainingRecipe
    steps_per_epoch: int

    @property
    def num_steps(self) -> int:
        return self.recipe.num_steps(self.steps_per_epoch)

    @property
    def num_head_steps(self) -> int:
        return min(self.recipe.head_steps, self.num_steps)

    def trains_only_head(self, step: int) -> bool:
        """Whether the step, counted from 0, is in the first phase."""
        return step < self.num_head_steps

    def freeze(self, step: int) -> Freeze:
        """The frozen layers."""
        return "all-but-head" if self.trains_only_head(step) else self.recipe.freeze

    def objective(self, step: int) -> Objective:
        """The loss at the step, with its noise: in the first phase cross-entropy, under noise if the method uses it."""
        objective = self.recipe.objective
        sigma = objective.sigma
        if sigma is not None and self.noise_factor(step) < 1:
            sigma *= self.noise_factor(step)
        if self.trains_only_head(step):
            return Standard() if sigma is None else Gaussian(sigma=sigma)
        if sigma == objective.sigma or "sigma" not in {entry.name for entry in fields(objective)}:
            return objective
        return replace(objective, sigma=sigma)

    def noise_factor(self, step: int) -> float:
        """The share of the objective's sigma at the step, in (0, 1]."""
        num_warm = self.recipe.noise_warmup * self.num_steps
        return 1.0 if num_warm == 0 else min(1.0, (step + 1) / num_warm)

    def rate(self, step: int, *, history: Sequence[float]) -> float:
        """The learning rate at the step; `history` is the validation accuracy after each finished epoch."""
        recipe, head = self.recipe, self.num_head_steps
        if self.trains_only_head(step):
            lengths = {"steps_per_epoch": self.steps_per_epoch, "total_steps": head}
            return recipe.head_rate * lr_factor(FALLING, step=step, history=(), **lengths)
        lengths = {"steps_per_epoch": self.steps_per_epoch, "total_steps": self.num_steps - head}
        return recipe.optimizer.lr * lr_factor(recipe.schedule, step=step - head, history=history, **lengths)
