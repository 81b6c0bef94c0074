"""Cache of answers: a repeated question gets the same answer, so repeating it cannot produce a better certificate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from zoo.smoothing import Certificate, NoiseKey, Votes
from zoo.smoothing.keys import fresh_key


@dataclass(slots=True)
class Entry:
    """The noise key of a question and, once known, its answer."""

    key: NoiseKey
    result: Certificate | Votes | None = None


class AnswerCache:
    """The noise keys and answers of the `size` most recently used questions; size 0 disables the cache.

    The cache fixes the noise key when a question first arrives. A client that repeats the question before it is
    answered, or after a deadline cut it off, gets the same draws.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()

    def entry(self, question: Hashable) -> Entry:
        """The entry of a question, created if missing. A full cache evicts the least recently used entry."""
        entry = self._entries.setdefault(question, Entry(fresh_key()))
        self._entries.move_to_end(question)
        if len(self._entries) > self.size:
            self._entries.popitem(last=False)
        return entry
