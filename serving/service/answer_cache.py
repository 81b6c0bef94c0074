"""Repeatable answers: a repeated question gets the same noise, so repeating it cannot produce a better certificate."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from zoo.smoothing import FamilyMember, NoiseKey
from zoo.smoothing.jobs import Result

PURPOSE = "certified-zoo: noise key of a repeatable answer"


@dataclass(slots=True)
class Entry:
    """The noise key of a question and, once known, its answer.

    `repeats`: whether the same question gets this key.
    `image`, `question`: what identifies the image with the weights, and the question; empty if the noise is not keyed.
    `family`: the question's place among the questions about its image, if they are counted.
    """

    key: NoiseKey
    repeats: bool
    image: bytes = b""
    question: bytes = b""
    family: FamilyMember | None = None
    result: Result | None = None


class AnswerCache:
    """The noise keys of questions, and the answers of the most recently used ones.

    The noise key is a keyed hash of the question (HMAC-SHA256). All workers and replicas with one secret therefore draw
    the same noise for the same question, without shared state, and so does a worker that has forgotten the answer. A
    client that does not know the secret cannot predict the noise.
    """

    def __init__(self, size: int, *, secret: bytes, model_sha256: str) -> None:
        """Creates an empty cache.

        Args:
            size: the maximum number of answers to keep, at least 0; evicting an answer costs its draws, not its
                repeatability.
            secret: the deployment's noise secret.
            model_sha256: the SHA-256 of the weights; other weights draw other noise.
        """
        self._size = size
        self._secret = secret
        self._model_sha256 = model_sha256
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def entry(self, x_CHW: Tensor, parameters: Mapping[str, object]) -> Entry:
        """The entry of a question, created if missing. A full cache evicts the least recently used entry.

        `x_CHW` is the preprocessed image, and `parameters` are the JSON values that the answer depends on.
        """
        image = {
            "model": self._model_sha256,
            "shape": list(x_CHW.shape),
            "image": hashlib.sha256(x_CHW.numpy().tobytes()).hexdigest(),
        }
        question = _json(image | {"purpose": PURPOSE, "parameters": dict(parameters)})
        digest = hmac.digest(self._secret, question, "sha256")
        words = (int.from_bytes(digest[start : start + 8], "big") for start in (0, 8))
        new = Entry(NoiseKey(*words), repeats=True, image=_json(image), question=digest)
        entry = self._entries.setdefault(digest, new)
        self._entries.move_to_end(digest)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return entry


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
