"""Logging of warnings and errors as JSON lines, without any data of clients.

    model.log      the unchanged output of the workers, mostly from their start
    server.log     the output of TorchServe before its logging is set up
    events.jsonl   warnings and errors of TorchServe, its workers and its parent process, one JSON object per line

Each log is limited to about 10 MB. Workers already write JSON records; all other records are wrapped.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import TracebackType

from zoo.errors import RequestError, ZooError

WORKER_LOG = "model.log"
SERVER_LOG = "server.log"
EVENTS = "events.jsonl"
MARK_OF_DEATH = "Backend worker process died."  # as TorchServe's worker prints it
OURS = ("serving", "zoo", "handlers", "ts", "root")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON.

    While requests are served (`is_serving`), a record contains an exception's type and frames. It contains the
    exception's message only for this project's own errors that do not quote a client, and omits the arguments of other
    libraries' records.
    """

    def __init__(self, *, is_serving: bool) -> None:
        super().__init__()
        self.is_serving = is_serving

    def format(self, record: logging.LogRecord) -> str:
        is_ours = record.name.split(".")[0] in OURS
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage() if is_ours or not self.is_serving else str(record.msg),
        }
        if record.exc_info and record.exc_info[1] is not None:
            _, error, trace = record.exc_info
            line["error"] = self._describe(error, trace)
        return json.dumps(line)

    def _describe(self, error: BaseException, trace: TracebackType | None) -> dict[str, object]:
        is_safe = not self.is_serving or (isinstance(error, ZooError) and not isinstance(error, RequestError))
        frames = traceback.extract_tb(trace)
        return {
            "type": type(error).__name__,
            "message": str(error) if is_safe else "",
            "frames": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
        }


def log_json_lines(*, is_serving: bool) -> None:
    """Switches the output of this worker process from text to JSON lines, for warnings and errors."""
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    for handler in root.handlers:
        if type(handler) is logging.StreamHandler:  # TorchServe's handler
            handler.setFormatter(JsonLines(is_serving=is_serving))


class _EventsFile(WatchedFileHandler):
    """Appends to a file that TorchServe writes and renames, too."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Loses the line, as on a full disk."""


def event_logger(folder: Path, *, echoes: bool) -> logging.Logger:
    """A logger of this process that writes to the events in `folder`, and with `echoes` to stderr."""
    logger = logging.Logger("serving.server", logging.WARNING)
    handlers: list[logging.Handler] = [_EventsFile(folder / EVENTS, delay=True)]
    if echoes:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(JsonLines(is_serving=False))
        logger.addHandler(handler)
    return logger


def require_writable(folder: Path) -> None:
    """Creates the folder of logs. Raises: RequestError if a log cannot be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (WORKER_LOG, SERVER_LOG, EVENTS):
            (folder / name).open("ab").close()
    except OSError as error:
        raise RequestError(f"the logs cannot be written to {folder}: {error}; choose another --logs") from error


def read_log(path: Path) -> str:
    """The text of a log; "" if the log does not exist or is not a regular file."""
    return path.read_text(errors="replace") if path.is_file() else ""


def reason_of_death(worker_log: str) -> str | None:
    """The reason why a worker died, from the log of the workers; None if no worker has died."""
    lines = worker_log.splitlines()
    deaths = [index for index, line in enumerate(lines) if MARK_OF_DEATH in line]
    if not deaths:
        return None
    _, _, record = lines[deaths[0]].partition(" - ")
    try:
        error = json.loads(record)["error"]
    except (ValueError, KeyError):  # the logging was not set up yet: a traceback, whose last line names the error
        following = [line.partition(" - ")[2] for line in lines[deaths[0] + 1 :]]
        messages = [line for line in following if line and not line.startswith((" ", "Traceback", "["))]
        return messages[0] if messages else "a worker ended while it was loading the model"
    return f"{error['type']}: {error['message']}"
