"""The observer interface of the service, which reports every engine step and every request's admission and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request that was answered `seconds` after its admission.

    For a certification, `radii` has one l2 radius per image, 0 for an abstention. For a prediction it is empty.
    `family_indices` has the index of each question among the questions about its image, if they are counted.
    """

    mode: str
    stopping: str | None
    num_images: int
    num_draws: int
    radii: Sequence[float]
    num_abstained: int
    family_indices: Sequence[int]
    deadline_reached: bool
    seconds: float


class ServiceObserver(Protocol):
    """Receives the service's events. The service calls it in the stepping thread: it must be quick and must not raise.

    `mode` and `stopping` are those of `Parameters`; `stopping` is None except for a certification. Events contain
    neither images nor any other data of a client.
    """

    def stepped(self, *, num_draws: int, capacity: int, num_open: int, seconds: float) -> None:
        """One engine step made `num_draws` of at most `capacity` draws for `num_open` open requests."""
        ...

    def admitted(self, *, mode: str, stopping: str | None, num_images: int) -> None:
        """A request was parsed and is now open."""
        ...

    def answered(self, answered: Answered) -> None:
        """An open request was answered with status 200."""
        ...

    def refused(self, *, error: str, status: int) -> None:
        """A request was answered with an error of type `error`: at admission (4xx, 503), or after it (500)."""
        ...

    def forgotten(self, *, num_draws: int) -> None:
        """The client of an open request disconnected after `num_draws` draws; the service makes no further ones."""
        ...


class NullObserver:
    """Ignores all events."""

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
