"""The output of an empirical evaluation, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from zoo.models.measurements import EmpiricalResult


def json_of(result: EmpiricalResult) -> str:
    """The result as JSON with a stable format."""
    return json.dumps(result.model_dump(mode="json", exclude={"task", "split", "smoothed"}), indent=2)


def sentences(result: EmpiricalResult) -> Iterator[str]:
    """The result in words, one line per number; fractions in [0, 1], intervals at 95 % over images."""
    owner = "the smoothed classifier's " if result.classifier == "smoothed" else ""
    accuracy = _with_interval(result.standard_accuracy, result.standard_accuracy_interval)
    yield f"{owner}standard accuracy {accuracy} on {result.num_images} images ({result.images})"
    if result.mean_per_class_accuracy is not None:
        yield f"mean per-class accuracy {result.mean_per_class_accuracy:.3f}"
    for point in result.noise:
        yield f"accuracy under noise of sigma {point.sigma:g}: {_with_interval(point.accuracy, point.interval)}"
    if result.attack is None or result.robust_accuracy is None:
        return
    robust = _with_interval(result.robust_accuracy, result.robust_accuracy_interval)
    yield f"{owner}robust accuracy {robust} under {result.attack.describe()}"
    if result.mean_per_class_robust_accuracy is not None:
        yield f"mean per-class robust accuracy {result.mean_per_class_robust_accuracy:.3f}"
    if result.classifier == "smoothed":
        yield (
            "this is an upper bound: a better attack may break more; zoo certify gives a lower bound. Abstentions "
            f"under attack, {result.attacked_abstention_rate:.3f} of all images, count as robust"
        )


def _with_interval(accuracy: float, interval: tuple[float, float] | None) -> str:
    return f"{accuracy:.3f}" if interval is None else f"{accuracy:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
