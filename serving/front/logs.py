"""The logs of a server, with the names and fields that they have under TorchServe, and one line per request.

    model.log      the output of the workers, mostly from their start
    events.jsonl   warnings and errors of the workers and of the front process, one JSON object per line
    access.jsonl   one JSON object per request, with the fields that deploy/nginx logs: nothing that the client wrote

Only the front process writes them. Each file is limited to about 10 MB.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from serving.application.access import AccessLine
from serving.server.logs import EVENTS, WORKER_LOG, JsonLines

ACCESS = "access.jsonl"
MOST_BYTES = 5_000_000
# Loggers of this process whose warnings are events; uvicorn warns of every malformed request.
LOGGERS = {"serving": logging.WARNING, "uvicorn.error": logging.ERROR, "asyncio": logging.ERROR}
RECORD = '{"time":'


class ServerLogs:
    """The log files in one folder."""

    def __init__(self, folder: Path, *, echoes: bool) -> None:
        """With `echoes`, events also go to stderr."""
        self._model = _writer("model", _RotatingFile(folder / WORKER_LOG))
        self._access = _writer("access", _RotatingFile(folder / ACCESS))
        self._handlers: list[logging.Handler] = [_RotatingFile(folder / EVENTS)]
        if echoes:
            self._handlers.append(logging.StreamHandler())
        for handler in self._handlers:
            handler.setFormatter(_Events(is_serving=True))
        self.events = logging.Logger("serving.server", logging.WARNING)
        for handler in self._handlers:
            self.events.addHandler(handler)

    def access(self, line: AccessLine) -> None:
        """Writes the line of one request."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        self._access.info(json.dumps({"time": stamp, **asdict(line), "seconds": round(line.seconds, 3)}))

    def copy_output(self, output: IO[bytes], pid: int) -> None:
        """Copies a worker's output to its end: all lines to model.log, its records also to the events."""
        for content in output:
            line = content.decode(errors="replace").rstrip("\n")
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            self._model.info(f"{stamp} W-{pid} - {line}")
            if line.startswith(RECORD):
                self.copy_record(line)

    def copy_record(self, line: str) -> None:
        """Copies a worker's record, a line of JSON, to the events."""
        self.events.error(line, extra={"is_record": True})

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Makes the warnings of this process events while the block runs."""
        levels = {name: logging.getLogger(name).level for name in LOGGERS}
        for name, level in LOGGERS.items():
            logging.getLogger(name).setLevel(level)
            for handler in self._handlers:
                logging.getLogger(name).addHandler(handler)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
                for handler in self._handlers:
                    logging.getLogger(name).removeHandler(handler)

    def close(self) -> None:
        """Closes the files."""
        for logger in (self._model, self._access, self.events):
            for handler in logger.handlers:
                handler.close()


class _Events(JsonLines):
    """Formats a record of this process; a worker's record is a line of JSON already."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage() if getattr(record, "is_record", False) else super().format(record)


class _RotatingFile(RotatingFileHandler):
    """Appends to a file. When it is full, it becomes NAME.1.SUFFIX, and another one is begun."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=MOST_BYTES, backupCount=1, delay=True, encoding="utf-8")
        self.namer = lambda name: str(path.with_name(f"{path.stem}.1{path.suffix}"))

    def handleError(self, record: logging.LogRecord) -> None:
        """Loses the line, as on a full disk."""


def _writer(name: str, handler: logging.Handler) -> logging.Logger:
    """A logger that writes its messages as they are."""
    logger = logging.Logger(name, logging.INFO)
    logger.addHandler(handler)
    return logger
