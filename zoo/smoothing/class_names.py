"""Class names in results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, cast

from zoo.smoothing.certificate import Certificate
from zoo.smoothing.label_set import LabelSet
from zoo.smoothing.prediction import Votes

Answer = TypeVar("Answer", bound=Certificate | Votes | LabelSet)


def named(answer: Answer, class_names: Sequence[str]) -> Answer:
    """The answer with `class_name` set to the name of its label; unchanged if it abstains or `class_names` is empty.

    A label set gets the names of all its labels. `class_names` has one name per class, in the order of the labels.
    """
    if isinstance(answer, LabelSet):
        names = tuple(class_names[label] for label in answer.labels) if class_names else None
        return cast("Answer", replace(answer, class_names=names))
    if answer.label is None or not class_names:
        return answer
    return replace(answer, class_name=class_names[answer.label])
