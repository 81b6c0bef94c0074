"""The output of an empirical evaluation, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from zoo.cli._shares import percent, percents
from zoo.models.measurements import EmpiricalResult


def json_of(result: EmpiricalResult) -> str:
    """The result as JSON with a stable format."""
    return json.dumps(result.model_dump(mode="json", exclude={"task", "split", "smoothed"}), indent=2)


def sentences(result: EmpiricalResult) -> Iterator[str]:
    """The result in words, one line per number, with intervals at 95 % over images."""
    is_smoothed = result.classifier == "smoothed"
    owner = "the smoothed classifier's " if is_smoothed else ""
    name = f"{owner}accuracy" if is_smoothed else "standard accuracy"
    accuracy = _with_interval(result.standard_accuracy, result.standard_accuracy_interval)
    yield f"{name} {accuracy} on {result.num_images} images ({result.images})"
    if result.mean_per_class_accuracy is not None:
        yield f"mean per-class accuracy {percent(result.mean_per_class_accuracy)}"
    for point in result.noise:
        yield f"accuracy under noise of sigma {point.sigma:g}: {_with_interval(point.accuracy, point.interval)}"
    if result.attack is None or result.robust_accuracy is None:
        return
    robust = _with_interval(result.robust_accuracy, result.robust_accuracy_interval)
    yield f"{owner}robust accuracy {robust} under {result.attack.describe()}"
    if result.mean_per_class_robust_accuracy is not None:
        yield f"mean per-class robust accuracy {percent(result.mean_per_class_robust_accuracy)}"
    if is_smoothed and result.attacked_abstention_rate is not None:
        yield (
            "this is an upper bound: a better attack may break more; zoo certify gives a lower bound. Abstentions "
            f"under attack, {percent(result.attacked_abstention_rate)} of all images, count as robust"
        )


def _with_interval(accuracy: float, interval: tuple[float, float] | None) -> str:
    return percent(accuracy) if interval is None else f"{percent(accuracy)} ({percents(interval)})"
