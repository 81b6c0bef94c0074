"""Reading a stream of progressive certificates, line by line, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from serving.client.answers import Answer
from serving.client.payload import error_of, raise_for_problem, something_else
from zoo.errors import StreamInterruptedError


class StreamUpdate(Answer):
    """What is certified so far. With probability at least 1 - alpha every update of a stream holds, not only the last.

    `final` marks the last one.
    """

    final: bool


class StreamReader:
    """Turns the lines of one stream into updates, and knows whether it has ended as it should."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        """Raises: RefusedError or ServerError if the response is an error and no stream."""
        if not response.is_success:
            raise_for_problem(response)
            raise something_else(url, response.status_code)
        self.url = url
        self.status = response.status_code
        self.last: StreamUpdate | None = None

    def read(self, line: str) -> Iterator[StreamUpdate]:
        """The update in a line; none in a blank one.

        Raises: RefusedError or ServerError if the line tells of one, or was written by something else than a model;
        StreamInterruptedError if it is cut off.
        """
        if not line.strip():
            return
        try:
            told = json.loads(line)
        except ValueError as error:
            raise self.interrupted("its last line is cut off") from error
        if isinstance(told, dict) and isinstance(told.get("code"), int):
            raise error_of(told)
        try:
            self.last = StreamUpdate.model_validate(told)
        except ValidationError as error:
            raise something_else(self.url, self.status) from error
        yield self.last

    def finish(self) -> None:
        """Raises: StreamInterruptedError if the last line was not the final one."""
        if self.last is None or not self.last.final:
            raise self.interrupted("it ended before its final line")

    def interrupted(self, reason: str) -> StreamInterruptedError:
        """The error of a stream that broke off, which says what holds nevertheless."""
        so_far = f"radius {self.last.radius:.4g} is certified" if self.last else "nothing is certified"
        return StreamInterruptedError(f"the stream from {self.url} broke off: {reason}; {so_far}; ask again")
