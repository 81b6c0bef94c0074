"""The runs of a study in execution order: seed by seed, each run after the run that it starts from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from training.recipe import TrainingRecipe, override
from training.recipes import find_recipe, without_starting_point
from training.study.long_table import RANDOM
from training.study.study_file import Evaluation, Images, Measure, Role, StartingPoint, Study
from zoo.models.architecture import find_architecture

PRETRAINING = "pretraining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One network to train and to measure.

    The network starts from that of the run `parent`, or from the MODEL `model`, or else from random weights. `role` is
    None for pre-training.
    """

    id: str
    experiment: str
    role: Role | None
    target: str
    task: str
    starting_point: str
    method: str
    recipe: TrainingRecipe
    seed: int
    measure: Measure
    evaluated: Images
    certified: Images
    evaluation: Evaluation
    parent: str | None = None
    model: str | None = None

    def request(self) -> dict[str, Any]:
        """Everything that determines the run's numbers, as JSON values; two runs with equal requests are the same."""
        request = {
            "task": self.task,
            "starts_from": self.parent or self.model or RANDOM,
            "recipe": self.recipe.identity(),
            "seed": self.seed,
            "measure": self.measure.model_dump(mode="json"),
            "evaluated": self.evaluated.model_dump(mode="json"),
            "certified": self.certified.model_dump(mode="json"),
            "evaluation": self.evaluation.model_dump(mode="json"),
        }
        as_read_back: dict[str, Any] = json.loads(json.dumps(request))
        return as_read_back


def plan_runs(study: Study) -> list[Run]:
    """Every run of the study, each after the run that it starts from.

    Raises: RecipeError, UnknownNameError for an unknown recipe, objective, architecture or assignment.
    """
    find_architecture(study.architecture)
    runs: dict[str, Run] = {}
    for seed in study.seeds:
        for run in (*_pretraining(study, seed), *_experiments(study, seed)):
            runs.setdefault(run.id, run)
    return list(runs.values())


def _pretraining(study: Study, seed: int) -> Iterator[Run]:
    done: list[str] = []

    def trained(name: str) -> Iterator[Run]:
        point = study.starting_points.get(name)
        if point is None or not point.is_trained_here or name in done:
            return
        yield from trained(point.start)
        done.append(name)
        assert point.task is not None and point.method is not None
        own_seed = _seed_of(point, seed)
        run = _run(study, PRETRAINING, None, point.task, point.start, point.method, own_seed, point.assignments)
        yield replace(run, id=_pretraining_id(name, own_seed), starting_point=name, measure=point.measure)

    for name in study.starting_points:
        yield from trained(name)


def _experiments(study: Study, seed: int) -> Iterator[Run]:
    for name, experiment in study.experiments.items():
        for target, method, start in study.networks_of(experiment, seed):
            run = _run(study, name, experiment.role, target, start, method, seed, experiment.assignments)
            yield replace(run, measure=experiment.measure)


def _run(
    study: Study,
    experiment: str,
    role: Role | None,
    target: str,
    start: str,
    method: str,
    seed: int,
    assignments: tuple[str, ...],
) -> Run:
    entry, labels = study.targets[target]
    point = study.starting_points.get(start, StartingPoint())
    chosen = study.methods[method]
    recipe = find_recipe(chosen.recipe, objective=chosen.objective)
    if start == RANDOM and recipe.head_steps > 0:
        recipe = without_starting_point(recipe)
    recipe = override(
        recipe,
        [
            f"architecture={study.architecture}",
            *([] if labels.per_class is None else [f"limit_per_class={labels.per_class}"]),
            *study.assignments,
            *entry.assignments,
            *labels.assignments,
            *point.fine_tuning,
            *chosen.assignments,
            *assignments,
        ],
    )
    return Run(
        id=f"{experiment}.{target}.{method}.from-{start}.s{seed}",
        experiment=experiment,
        role=role,
        target=target,
        task=entry.task,
        starting_point=start,
        method=method,
        recipe=recipe,
        seed=seed,
        measure=Measure(),
        evaluated=entry.evaluated,
        certified=entry.certified,
        evaluation=study.evaluation,
        parent=_pretraining_id(start, _seed_of(point, seed)) if point.is_trained_here else None,
        model=point.model,
    )


def _seed_of(point: StartingPoint, seed: int) -> int:
    return seed if point.seed is None else point.seed


def _pretraining_id(name: str, seed: int) -> str:
    return f"{PRETRAINING}.{name}.s{seed}"
