"""A worker process: `python -m ... FILE_DESCRIPTOR`.

It can be started before its settings are known: it imports PyTorch, which takes most of a start, and then reads them.
It ends when the front process closes the connection, and so also when the front process dies.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from contextlib import suppress
from socket import socket

from serving.plain_server.frames import Frames
from serving.plain_server.settings import WorkerSettings
from serving.server.logs import log_json_lines

METRICS = "PROMETHEUS_MULTIPROC_DIR"


def main() -> None:
    """Serves until the connection ends."""
    logging.basicConfig(stream=sys.stdout)
    log_json_lines(is_serving=False)
    frames = Frames(socket(fileno=int(sys.argv[1])))
    import torch  # noqa: F401

    with suppress(EOFError, OSError):  # the front process may end before it has settings for this worker
        head, _ = frames.read()
        settings = WorkerSettings.from_json(head["load"])
        # prometheus_client reads its variable when it is imported, which the next import does.
        os.environ |= {METRICS: str(settings.metrics), "TMPDIR": str(settings.temporary)}
        tempfile.tempdir = None
        from serving.plain_server.answering import serve

        serve(frames, settings)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the connection has ended: nothing is left to answer, and libraries' threads need not be joined
