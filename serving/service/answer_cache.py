"""The same question gets the same answer: a client cannot ask until chance gives it the certificate that it wants."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from zoo.smoothing import Certificate, NoiseKey, Votes
from zoo.smoothing.keys import fresh_key


@dataclass(slots=True)
class Entry:
    """The noise of a question and, once it is known, the answer."""

    key: NoiseKey
    result: Certificate | Votes | None = None


class AnswerCache:
    """The noise and the answers of the questions asked last, at most `size`; 0 keeps nothing.

    The noise is settled when a question is first asked. Whoever asks again before there is an answer, or was cut off by
    a deadline, so meets the same draws.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()

    def entry(self, question: Hashable) -> Entry:
        """The entry of a question, made if need be; the one that was asked for the longest time ago makes room."""
        entry = self._entries.setdefault(question, Entry(fresh_key()))
        self._entries.move_to_end(question)
        if len(self._entries) > self.size:
            self._entries.popitem(last=False)
        return entry
