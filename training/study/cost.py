"""The estimated duration of a run: its forward passes by phase, divided by the machine's forward passes per second.

A forward pass with a backward pass to the weights counts 3, and one with a backward pass to the pixels counts 2 (as in
docs/reference/tasks.md). An image that trains only the last layer counts 1. The speeds are measured on the finished
runs; the study file gives the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from training.objectives import Objective
from training.objectives.table import objective_name
from training.study.data import TaskLabels
from training.study.plan import Run
from training.study.result import RunResult

ATTACK, CERTIFY = "attack", "certify"
DEFAULT_ATTACK_STEPS = 100
UPDATE, HEAD_UPDATE, ATTACK_STEP = 3.0, 1.0, 2.0

Passes = Mapping[str, float]
"""Forward passes by phase: the objective's name for training, `attack`, `certify`."""


def passes_of(run: Run, labels: TaskLabels) -> dict[str, float]:
    """The forward passes of a run on a task with these images, by phase."""
    recipe, measure = run.recipe, run.measure
    num_train = _num_train_images(run, labels)
    shown = num_train * recipe.num_epochs(num_train)
    on_head = shown if recipe.freeze == "all-but-head" else min(shown, recipe.head_steps * recipe.batch_size)
    updates = (shown - on_head) * _forward_equivalents(recipe.objective)
    counted = {objective_name(recipe.objective): on_head * HEAD_UPDATE + updates}
    evaluated = len(run.evaluated.selection(run.seed).of(labels.test))
    certified = len(run.certified.selection(run.seed).of(labels.test))
    if measure.attack:
        counted[ATTACK] = evaluated * ATTACK_STEP * (run.evaluation.attack.num_steps or DEFAULT_ATTACK_STEPS)
    if any(sigma > 0 for sigma in measure.certify):
        draws = run.evaluation.certification.n0 + run.evaluation.certification.n
        counted[CERTIFY] = certified * draws * sum(sigma > 0 for sigma in measure.certify)
    return counted


def estimated_seconds(
    runs: Iterable[Run], results: Mapping[str, RunResult], speeds: Mapping[str, float], labels: Mapping[str, TaskLabels]
) -> dict[str, float | None]:
    """Seconds by run: measured for a finished run, otherwise estimated.

    None if a speed or the task's `labels` (by task name) are missing.
    """
    listed = list(runs)
    passes = {run.id: passes_of(run, labels[run.task]) if run.task in labels else {} for run in listed}
    known = {**speeds, **measured_speeds(passes, results)}
    return {
        run.id: results[run.id].seconds.total if run.id in results else _seconds(passes[run.id], known)
        for run in listed
    }


def why_unknown(
    runs: Sequence[Run],
    seconds: Mapping[str, float | None],
    results: Mapping[str, RunResult],
    speeds: Mapping[str, float],
    labels: Mapping[str, TaskLabels],
) -> dict[str, str]:
    """The reason by run why its duration in `seconds`, from `estimated_seconds`, is None; other runs are left out."""
    unknown = [run for run in runs if seconds[run.id] is None]
    if not unknown:
        return {}
    needed = [run for run in runs if run.task in labels and (run in unknown or run.id in results)]
    passes = {run.id: passes_of(run, labels[run.task]) for run in needed}
    known = {**speeds, **measured_speeds(passes, results)}
    reasons = {}
    for run in unknown:
        phases = sorted(passes.get(run.id, {}).keys() - known.keys())
        missing = f"no run has measured the speed of {', '.join(phases)} yet"
        reasons[run.id] = missing if phases else f"the data of {run.task} are missing"
    return reasons


def measured_speeds(passes: Mapping[str, Passes], results: Mapping[str, RunResult]) -> dict[str, float]:
    """Forward passes per second by phase, over the finished runs that were not interrupted."""
    counted: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for run_id, result in results.items():
        if result.was_resumed:
            continue
        for phase, number in passes.get(run_id, {}).items():
            counted[phase] = counted.get(phase, 0.0) + number
            seconds[phase] = seconds.get(phase, 0.0) + _seconds_of(phase, result)
    return {phase: counted[phase] / spent for phase, spent in seconds.items() if spent > 0}


def _seconds(passes: Passes, speeds: Mapping[str, float]) -> float | None:
    if not passes or not passes.keys() <= speeds.keys():
        return None
    return round(sum(number / speeds[phase] for phase, number in passes.items()), 1)


def _seconds_of(phase: str, result: RunResult) -> float:
    return {ATTACK: result.seconds.evaluate, CERTIFY: result.seconds.certify}.get(phase, result.seconds.train)


def _num_train_images(run: Run, labels: TaskLabels) -> int:
    limit, counted = run.recipe.limit_per_class, Counter(labels.train)
    return sum(count if limit is None else min(limit, count) for count in counted.values())


def _forward_equivalents(objective: Objective) -> float:
    """The forward passes per image and epoch of training with the objective."""
    values = {field.name: getattr(objective, field.name) for field in fields(objective)}
    copies = float(values.get("m", objective.num_views))
    return copies * (UPDATE + ATTACK_STEP * float(values.get("num_steps", 0)))
