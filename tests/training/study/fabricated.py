"""Finished runs with the paper's or invented numbers, as input for tables, figures and claims."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from training.study.evidence import Evidence
from training.study.plan import Run, plan_runs
from training.study.result import RunResult, Seconds
from training.study.study_file import Study
from zoo.models.measurements import Attack, CertificationResult, CertifiedAccuracy, EmpiricalResult, NoiseAccuracy

DATA = Path(__file__).parents[2] / "data"
ATTACK = Attack(name="apgd", version="1", norm="l2", epsilon=0.5, num_steps=100, start="a point", seed=0)
Numbers = dict[str, float]


def papers_study() -> tuple[Study, Evidence]:
    """The paper's Tables 4 and 5 as the runs of a study."""
    tables = {"empirical": _rows("table4_empirical.csv"), "certified": _rows("table5_certified.csv")}
    names = {row["task"]: row["task"].lower() for row in tables["empirical"]}
    pretraining = ("adversarial", "consistency", "simclr")
    study = Study.model_validate(
        {
            "name": "paper",
            "tasks": {name: {"task": name} for name in [*names.values(), "imagenet"]},
            "methods": {name: {"objective": name} for name in pretraining},
            "starting_points": {name: {"task": "imagenet", "method": name} for name in pretraining},
            "experiments": {
                "empirical": _experiment("empirical", names.values(), "adversarial", {"attack": True}),
                "certified": _experiment("certified", names.values(), "consistency", {"certify": (0.5,)}),
            },
        }
    )
    numbers = {
        (kind, names[row["task"]], row["initialization"]): {n: float(v) for n, v in row.items() if n in METRICS}
        for kind, rows in tables.items()
        for row in rows
    }
    return study, evidence(study, lambda run: numbers.get((run.experiment, run.target, run.starting_point), {}))


def evidence(study: Study, numbers_of: Callable[[Run], Numbers]) -> Evidence:
    """The study's runs, each finished with these numbers, accuracies in percent."""
    return Evidence([(run, result(run, numbers_of(run))) for run in plan_runs(study)], [])


def result(run: Run, numbers: Numbers) -> RunResult:
    """A result that holds what the run measures."""
    attacked = {}
    if run.measure.attack:
        share = numbers.get("robust_accuracy", 50) / 100
        attacked = {"attack": ATTACK, "robust_accuracy": share, "robust_accuracy_interval": _around(share)}
    standard = numbers.get("standard_accuracy", 60) / 100
    return RunResult(
        id=run.id, study="fabricated", request=run.request(), num_classes=5,
        num_train_images=5 * (run.recipe.limit_per_class or 1000), weights_sha256="0" * 64, parent_sha256=None,
        empirical=EmpiricalResult(
            task=run.task, split="test", num_images=250, standard_accuracy=standard,
            standard_accuracy_interval=_around(standard), seed=run.seed,
            noise=tuple(_noise(sigma, numbers) for sigma in run.evaluation.noise_sigmas) if run.measure.noise else (),
            **attacked,
        ),
        certifications=tuple(_certification(run, sigma, numbers) for sigma in run.measure.certify),
        versions={}, device="cpu", num_threads=1, seconds=Seconds(train=60, evaluate=1, certify=2),
        was_resumed=False, finished="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


METRICS = ("standard_accuracy", "robust_accuracy", "certified_accuracy_at_0.5", "average_certified_radius")


def _experiment(role: str, tasks, method: str, measure: dict[str, object]) -> dict[str, object]:
    starts = ("random", method, "simclr")
    return {"role": role, "tasks": tuple(tasks), "starting_points": starts, "methods": (method,), "measure": measure}


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((DATA / name).read_text().splitlines()))


def _around(share: float) -> tuple[float, float]:
    return max(0.0, share - 0.05), min(1.0, share + 0.05)


def _noise(sigma: float, numbers: Numbers) -> NoiseAccuracy:
    share = numbers.get(f"noise_{sigma:g}", 40) / 100
    return NoiseAccuracy(sigma=sigma, accuracy=share, interval=_around(share))


def _certification(run: Run, sigma: float, numbers: Numbers) -> CertificationResult:
    standard, at_half = (numbers.get(f"{name}", 50.0) / 100 for name in METRICS[::2])
    shares = [standard if radius == 0 else at_half if radius == 0.5 else at_half / 2 for radius in run.evaluation.radii]
    acr = numbers.get("average_certified_radius", 0.5) if sigma > 0 else 0.0
    settings = run.evaluation.certification
    return CertificationResult(
        task=run.task, split="test", skip=1, num_images=200, sigma=sigma, noise="gaussian", n0=settings.n0,
        n=settings.n, alpha=settings.alpha, stopping="fixed", backend="torch", seed=run.seed,
        standard_accuracy=standard, standard_accuracy_interval=_around(standard), average_certified_radius=acr,
        average_certified_radius_interval=(acr - 0.01, acr + 0.01) if acr else None, abstention_rate=0.1,
        certified_accuracy=tuple(
            CertifiedAccuracy(radius=radius, accuracy=share, low=_around(share)[0], high=_around(share)[1])
            for radius, share in zip(run.evaluation.radii, shares, strict=True)
        ),
    )  # fmt: skip
