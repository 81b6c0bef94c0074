"""Parsing of a stream of progressive certificates, line by line, without a socket."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from serving.client.answers import Answer
from serving.client.payload import error_of, raise_for_problem, something_else
from zoo.errors import StreamInterruptedError
from zoo.host.untrusted_json import parse_json

WORKER_LOST = 503  # in a stream: the worker ended, and what came before is certified


class StreamUpdate(Answer):
    """The certificate so far. With probability at least 1 - alpha, every update of a stream is correct.

    `final` marks the last update.
    """

    final: bool


class StreamReader:
    """Parses the lines of one stream into updates, and checks that the stream is complete."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        """Raises: RefusedError or ServerError if the response is an error instead of a stream."""
        if not response.is_success:
            raise_for_problem(response)
            raise something_else(url, response.status_code)
        self.url = url
        self.status = response.status_code
        self.last: StreamUpdate | None = None

    def read(self, line: str) -> Iterator[StreamUpdate]:
        """The update in a line. A blank line yields nothing.

        Raises: RefusedError or ServerError if the line is an error object; ServerError if the line did not come from a
        model server; StreamInterruptedError if the line is cut off, or reports that the worker ended.
        """
        if not line.strip():
            return
        try:
            update = parse_json(line)
        except ValueError as error:
            raise self.interrupted("its last line is cut off") from error
        if isinstance(update, dict) and isinstance(update.get("code"), int):
            if self.last is not None and update["code"] == WORKER_LOST:
                raise self.interrupted(str(update.get("message")))
            raise error_of(update)
        try:
            self.last = StreamUpdate.model_validate(update)
        except ValidationError as error:
            raise something_else(self.url, self.status) from error
        yield self.last

    def finish(self) -> None:
        """Raises: StreamInterruptedError if the last line was not the final one."""
        if self.last is None or not self.last.final:
            raise self.interrupted("it ended before its final line")

    def interrupted(self, reason: str) -> StreamInterruptedError:
        """The error for a stream that broke off; its message reports the radius that is certified nevertheless."""
        so_far = f"radius {self.last.radius:.4g} is certified" if self.last else "nothing is certified"
        return StreamInterruptedError(f"the stream from {self.url} broke off: {reason}; {so_far}; retry the request")
