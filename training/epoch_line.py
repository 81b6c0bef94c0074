"""The line that a run prints after each validation."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.cli._shares import percent

SHORT_NAMES = {"accuracy_under_noise": "accuracy", "mean_per_class": "per class"}


def epoch_line(scores: Mapping[str, float], *, epoch: int, step: int, num_steps: int, trains_only_head: bool) -> str:
    """The scores of an epoch, in 80 columns if no number of steps has more than five digits.

    Args:
        scores: The mean loss and, if there are validation images, their scores in [0, 1] by name.
        epoch: The number of finished epochs.
        step: The number of finished steps.
        num_steps: The number of steps of the run.
        trains_only_head: Whether the step was in the first phase; the line then says "head" instead of "step".
    """
    shown = [f"loss {scores['loss']:.3f}"]
    shown += [f"{short} {percent(scores[name])}" for name, short in SHORT_NAMES.items() if name in scores]
    return f"epoch {epoch}, {'head' if trains_only_head else 'step'} {step}/{num_steps}: {', '.join(shown)}"
