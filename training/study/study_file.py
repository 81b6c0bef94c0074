"""A study file: tasks x labels x starting points x methods x seeds, and the measurements of every network."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.study.long_table import RANDOM
from zoo.errors import RecipeError
from zoo.models.measurements import is_none
from zoo.results.selection import Selection
from zoo.smoothing.stopping import CLOPPER_PEARSON, Bound

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Assignments = Annotated[tuple[str, ...], Field(alias="set")]
"""Assignments as in `zoo train --set`. Those of the study come first, then those of task, labels, starting point,
method and experiment; a later assignment overrides an earlier one."""
Role = Literal["empirical", "certified", "last-layer", "standard-fine-tuning", "denoised"]
"""The paper's tables and figures that an experiment contributes to.

`empirical`: Tables 4 and 6, Figure 2. `certified`: Tables 5 and 6, Figure 3. `last-layer`: Table 7.
`standard-fine-tuning`: section 5.2. `denoised`: none; the paper has no classifier behind a denoiser.
"""
ReportName = Literal["paper", "pictures"]
"""The claims that a study answers, with its tables and figures (`training.study.reports`)."""

CERTIFIED_RADIUS = 0.5
"""The radius of the paper's certified accuracy, equal to the epsilon of its attack."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=True)


class Images(_Strict):
    """Every `skip`-th test image with a number below `max`, or a stratified sample of `sample` images.

    The run's seed draws the sample, so all networks of one seed are measured on the same images.
    """

    skip: int = Field(default=1, ge=1)
    max: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1, exclude_if=is_none)

    def selection(self, seed: int) -> Selection:
        """The rule that selects the images of a run with this seed."""
        if self.sample is None:
            return Selection(skip=self.skip, maximum=self.max)
        return Selection(sample="stratified", num_images=self.sample, seed=seed)

    @model_validator(mode="after")
    def _is_one_rule(self) -> Images:
        if self.sample is not None and (self.skip != 1 or self.max is not None):
            raise ValueError("sample draws images, skip and max select evenly spaced ones: give one of both")
        return self


class Labels(_Strict):
    """The number of labels per class; None uses all labels."""

    per_class: int | None = Field(default=None, ge=1)
    assignments: Assignments = ()


class TaskEntry(_Strict):
    """A task as in `--task`, with one or several numbers of labels.

    `evaluated` are the test images that are attacked and classified under noise; `certified` are those that are
    certified (the paper's Table 8).
    """

    task: str
    labels: tuple[Labels, ...] = (Labels(),)
    evaluated: Images = Images()
    certified: Images = Images()
    assignments: Assignments = ()

    @model_validator(mode="after")
    def _names_each_number_once(self) -> TaskEntry:
        counts = [labels.per_class for labels in self.labels]
        if len(set(counts)) < len(counts) or not counts:
            raise ValueError(f"labels must have at least one entry and no per_class twice, got {counts}")
        return self


class Method(_Strict):
    """A training method with its recipe."""

    objective: str
    recipe: str = "quick"
    assignments: Assignments = ()


class Measure(_Strict):
    """The measurements of a network in addition to standard accuracy; `certify` lists the sigmas of the smoothing."""

    attack: bool = False
    noise: bool = False
    certify: tuple[Annotated[float, Field(ge=0)], ...] = ()


class StartingPoint(_Strict):
    """Weights to start from: a MODEL, or a network that the study trains on one of its tasks.

    With `seed`, all seeds share one network; without it, each seed trains its own. `fine_tuning` are assignments for
    the runs that start from these weights; `random` may have only this field.
    """

    model: str | None = None
    task: Name | None = None
    method: Name | None = None
    start: Name = RANDOM
    seed: int | None = Field(default=None, ge=0)
    assignments: Assignments = ()
    measure: Measure = Measure()
    fine_tuning: tuple[str, ...] = ()

    @property
    def is_trained_here(self) -> bool:
        return self.task is not None

    @model_validator(mode="after")
    def _is_one_thing(self) -> StartingPoint:
        if (self.task is None) != (self.method is None):
            raise ValueError("a starting point that is trained here needs both task and method")
        if self.model is not None and self.task is not None:
            raise ValueError("a starting point is either a model or trained here by task and method, not both")
        return self


class AttackSettings(_Strict):
    """The attack of robust accuracy; `epsilon` on the [0, 1] pixel scale. `num_steps` None: the attack's default."""

    name: str = "apgd"
    norm: Literal["l2", "linf"] = "l2"
    epsilon: float = Field(default=0.5, ge=0)
    num_steps: int | None = Field(default=None, ge=1)


class CertificationSettings(_Strict):
    """`n0` draws select the class, `n` draws bound its probability; `alpha` is the error probability.

    `bound` is that of `zoo certify`. The identity of a run names it only if it is not the default, so that results of
    studies that do not set it keep their identity.
    """

    n0: int = Field(default=100, ge=1)
    n: int = Field(default=100_000, ge=1)
    alpha: float = Field(default=0.001, gt=0, lt=1)
    bound: Bound = Field(default=CLOPPER_PEARSON, exclude_if=lambda bound: bound == CLOPPER_PEARSON)


class Evaluation(_Strict):
    """The settings of all measurements; defaults are the paper's. Sigmas and radii are on the [0, 1] pixel scale.

    `certified_radius`, one of the `radii`, is the radius of the certified accuracy that tables and claims state.
    """

    attack: AttackSettings = AttackSettings()
    noise_sigmas: tuple[Annotated[float, Field(ge=0)], ...] = (0.001, 0.01, 0.1, 0.5)
    certification: CertificationSettings = CertificationSettings()
    radii: tuple[Annotated[float, Field(ge=0)], ...] = (0.0, 0.5, 1.0, 1.5)
    batch_size: int = Field(default=256, ge=1)
    certified_radius: float = Field(
        default=CERTIFIED_RADIUS, gt=0, exclude_if=lambda radius: radius == CERTIFIED_RADIUS
    )

    @model_validator(mode="after")
    def _measures_its_certified_radius(self) -> Evaluation:
        if self.certified_radius not in self.radii:
            raise ValueError(
                f"radii must contain {self.certified_radius}, the radius of the certified accuracy, got "
                f"{list(self.radii)}"
            )
        return self


class NamedRuns(_Strict):
    """The runs of one task with one number of labels (`clothes-10`), one starting point and one method.

    `seeds` are some of the study's seeds; None selects all of them.
    """

    task: str
    start: Name
    method: Name
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)


class Experiment(_Strict):
    """A product of tasks, starting points and methods for all seeds, or `runs` that are named one by one.

    `tasks` names task entries with all their numbers of labels (`clothes`), or with one of them (`clothes-10`).
    """

    role: Role
    tasks: tuple[str, ...] = ()
    starting_points: tuple[Name, ...] = ()
    methods: tuple[Name, ...] = ()
    runs: tuple[NamedRuns, ...] = ()
    measure: Measure
    assignments: Assignments = ()

    @model_validator(mode="after")
    def _is_a_product_or_a_list(self) -> Experiment:
        axes = (self.tasks, self.starting_points, self.methods)
        if any(axes) if self.runs else not all(axes):
            raise ValueError("an experiment needs tasks, starting_points and methods, or else runs")
        return self


class Study(_Strict):
    """A whole study.

    `speeds` are forward passes per second on the intended `machine`, by phase: `attack`, `certify`, and the name of an
    objective for its training. They give estimates before the first run has finished.
    """

    name: Name
    report: ReportName = "paper"
    architecture: str = "resnet50"
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    assignments: Assignments = ()
    tasks: Mapping[Name, TaskEntry]
    methods: Mapping[Name, Method]
    starting_points: Mapping[Name, StartingPoint] = {}
    evaluation: Evaluation = Evaluation()
    experiments: Mapping[Name, Experiment]
    speeds: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    machine: str | None = None

    @model_validator(mode="after")
    def _names_what_it_has(self) -> Study:
        starts = {RANDOM, *self.starting_points}
        for name, point in self.starting_points.items():
            if (point.model is None and point.task is None) != (name == RANDOM):
                raise ValueError(
                    f"starting_points.{name}: {RANDOM} must have neither model nor task, and any other must have one"
                )
            where = f"starting_points.{name}"
            _require_known(f"{where}.start", [point.start], starts)
            _require_known(f"{where}.task", [] if point.task is None else [point.task], self.targets)
            _require_known(f"{where}.method", [] if point.method is None else [point.method], self.methods)
            _require_no_cycle(name, self.starting_points)
        for name, experiment in self.experiments.items():
            _require_known(f"experiments.{name}.tasks", experiment.tasks, {*self.tasks, *self.targets})
            _require_known(f"experiments.{name}.starting_points", experiment.starting_points, starts)
            _require_known(f"experiments.{name}.methods", experiment.methods, self.methods)
            for number, named in enumerate(experiment.runs):
                where = f"experiments.{name}.runs.{number}"
                _require_known(f"{where}.task", [named.task], self.targets)
                _require_known(f"{where}.start", [named.start], starts)
                _require_known(f"{where}.method", [named.method], self.methods)
                _require_known(f"{where}.seeds", map(str, named.seeds or ()), map(str, self.seeds))
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        if self.report == "paper" and self.evaluation.certified_radius != CERTIFIED_RADIUS:
            raise ValueError(
                f"evaluation.certified_radius must be {CERTIFIED_RADIUS}, the radius of the paper's tables, for the "
                f"report paper; got {self.evaluation.certified_radius}"
            )
        return self

    @property
    def targets(self) -> dict[str, tuple[TaskEntry, Labels]]:
        """Each task with each number of labels, by name: `clothes-10`, or `clothes` for all labels."""
        return {
            name if labels.per_class is None else f"{name}-{labels.per_class}": (entry, labels)
            for name, entry in self.tasks.items()
            for labels in entry.labels
        }

    def networks_of(self, experiment: Experiment, seed: int) -> list[tuple[str, str, str]]:
        """Target, method and starting point of each of the experiment's networks with that seed."""
        product = itertools.product(self._targets_of(experiment), experiment.methods, experiment.starting_points)
        named = [(run.task, run.method, run.start) for run in experiment.runs if seed in (run.seeds or self.seeds)]
        return [*product, *named]

    def _targets_of(self, experiment: Experiment) -> list[str]:
        matches = [
            target
            for name in experiment.tasks
            for target, (entry, _) in self.targets.items()
            if target == name or self.tasks.get(name) is entry
        ]
        return list(dict.fromkeys(matches))


def read_study(path: Path) -> Study:
    """The study in a YAML file. Raises: RecipeError with the file, the key and the expected value."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        # Strict validation of JSON still accepts a list for a tuple and an integer for a float, and nothing else.
        return Study.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the study"
        raise RecipeError(f"{path}: {where}: {_reason(first['type'], first['msg'])}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise RecipeError(f"{path} cannot be read as a study: {' '.join(str(error).split())}") from error


def _reason(kind: str, message: str) -> str:
    return "unknown key" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


def _require_known(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    listed = sorted(known)
    for name in names:
        if name not in listed:
            raise ValueError(f"{where} names {name!r}; expected one of {', '.join(listed)}")


def _require_no_cycle(name: str, points: Mapping[str, StartingPoint]) -> None:
    seen, current = [name], name
    while current in points and points[current].is_trained_here:
        current = points[current].start
        if current in seen:
            raise ValueError(f"starting points must not form a cycle, got {' from '.join([*seen, current])}")
        seen.append(current)
