"""What an operator may watch: the service tells an observer of every step and of every request's end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request that was answered, `seconds` after it was admitted.

    `radii` has one l2 radius an image for a certification, 0 for an abstention, and is empty for a prediction.
    """

    mode: str
    stopping: str | None
    num_images: int
    num_draws: int
    radii: Sequence[float]
    num_abstained: int
    deadline_reached: bool
    seconds: float


class ServiceObserver(Protocol):
    """Told what happened, in the thread that steps, and right after it: it must be quick and must not raise.

    `mode` and `stopping` are those of `Parameters`; `stopping` is None for a prediction. Neither images nor any other
    text of a client is told.
    """

    def stepped(self, *, num_draws: int, capacity: int, num_open: int, seconds: float) -> None:
        """One engine step made `num_draws` of at most `capacity` draws for `num_open` open requests."""
        ...

    def admitted(self, *, mode: str, stopping: str | None, num_images: int) -> None:
        """A request was read and is open now."""
        ...

    def answered(self, answered: Answered) -> None:
        """An open request was answered with status 200."""
        ...

    def refused(self, *, error: str, status: int) -> None:
        """A request was answered with an error, `error` being its type: before it was open (4xx) or after (500)."""
        ...

    def forgotten(self, *, num_draws: int) -> None:
        """The client of an open request went away; `num_draws` had been made for it, and no further ones will be."""
        ...


class NullObserver:
    """Watches nothing."""

    def stepped(self, *, num_draws: int, capacity: int, num_open: int, seconds: float) -> None:
        pass

    def admitted(self, *, mode: str, stopping: str | None, num_images: int) -> None:
        pass

    def answered(self, answered: Answered) -> None:
        pass

    def refused(self, *, error: str, status: int) -> None:
        pass

    def forgotten(self, *, num_draws: int) -> None:
        pass
