"""Families of questions: all certificates of a family are right at once, with one error probability alpha.

Question i of a family gets the error probability 6 alpha / (pi^2 i^2), or alpha / m if the family has m questions. The
sum over all questions is at most alpha. By the union bound, the probability that any certificate of the family is wrong
is at most alpha, for any dependence between the questions. A question may be chosen after the answers to the earlier
ones, as in "repeat until certified". Every question counts, also if its answer is an abstention or an error.

Golden numbers (alpha = 0.001): the first three questions get 6.08e-4, 1.52e-4 and 6.75e-5.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_alpha, checked_count

SHARE_OF_FIRST = Fraction(60792710185402662866, 10**20)
"""6 / pi^2, rounded down: the sum of 1 / i^2 over all i is pi^2 / 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyMember:
    """The place of one question in its family.

    Attributes:
        alpha: Upper bound of the probability that any certificate of the family is wrong.
        index: The number of the question, from 1 on. It is fixed before the noise of the question is drawn.
        size: The number of questions of the family, or None if it is not limited.

    Raises: CertificationError if a value is outside its range.
    """

    alpha: float
    index: int
    size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", checked_alpha(self.alpha))
        object.__setattr__(self, "index", checked_count("index", self.index))
        if self.size is not None:
            object.__setattr__(self, "size", checked_count("size", self.size))
            if self.index > self.size:
                raise CertificationError(f"a family of {self.size} questions has no question {self.index}")

    @property
    def level(self) -> float:
        """The alpha of this question's own certificate, rounded down."""
        share = Fraction(1, self.size) if self.size is not None else SHARE_OF_FIRST / self.index**2
        return _rounded_down(Fraction(self.alpha) * share)


class Family:
    """Hands out the places of a family, in the order of the questions. Threads may share a family.

    Guarantee: with probability at least `1 - alpha`, all certificates whose places come from this family are right at
    once. The number of the questions may depend on the answers.

    >>> from zoo.smoothing import Family
    >>> family = Family(alpha=0.001)
    >>> [round(family.next().level, 7) for _ in range(3)]
    [0.0006079, 0.000152, 6.75e-05]
    >>> round(Family(alpha=0.001, size=4).next().level, 6)
    0.00025
    """

    def __init__(self, *, alpha: float, size: int | None = None) -> None:
        """Creates a family without questions.

        Args:
            alpha: Upper bound of the probability that any certificate of the family is wrong, in (0, 1).
            size: The maximum number of questions, each of which gets `alpha / size`. By default the number is not
                limited, and later questions get less.

        Raises: CertificationError if a value is outside its range.
        """
        first = FamilyMember(alpha=alpha, index=1, size=size)
        self.alpha, self.size = first.alpha, first.size
        self._num_questions = 0
        self._lock = threading.Lock()

    @property
    def num_questions(self) -> int:
        """The number of places that were handed out."""
        return self._num_questions

    def next(self) -> FamilyMember:
        """The place of the next question. A place that was handed out stays spent, also if its question fails.

        Raises: CertificationError if all `size` places are handed out.
        """
        with self._lock:
            if self._num_questions == self.size:
                raise CertificationError(
                    f"all {self.size} questions of this family are asked: declare a larger size, or none, beforehand"
                )
            self._num_questions += 1
            return FamilyMember(alpha=self.alpha, index=self._num_questions, size=self.size)


@contextmanager
def place_in_errors(member: FamilyMember | None) -> Iterator[None]:
    """Adds the place and its alpha to the message of a CertificationError, such as that the draws are too few."""
    try:
        yield
    except CertificationError as error:
        if member is None:
            raise
        place = f"question {member.index} of a family with alpha={member.alpha:g} gets alpha={member.level:g}"
        raise CertificationError(f"{place}: {error}") from error


def _rounded_down(value: Fraction) -> float:
    """The largest floating-point number that is at most `value`."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, 0.0)
