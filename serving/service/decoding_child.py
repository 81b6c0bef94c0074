"""A decoding process as its parent sees it: pictures go in, and time and memory are limited."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
from PIL import Image

from zoo.errors import ImageError
from zoo.models.decoding_process import read_frame, write_frame

LONGEST_WAIT_SECONDS = 60.0  # for a process that neither answers nor uses the processor
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a process may spend on one request: pixels, processor time in seconds, and bytes of memory.

    It hands back requests that take more work than `quick_pixels` pixels; None sets no such limit.
    """

    max_pixels: int
    quick_pixels: int | None
    seconds: float
    most_memory: int


class TooSlowError(Exception):
    """The process used its processor time without an answer."""


class DecodingProcess:
    """A running `zoo.models.decoding_process`."""

    def __init__(self, most_memory: int) -> None:
        """Starts the process and waits until it can decode. Raises: OSError, EOFError."""
        command = [sys.executable, "-P", "-m", "zoo.models.decoding_process", str(most_memory)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._child.stdin is not None and self._child.stdout is not None
        self._requests, self._replies = self._child.stdin, self._child.stdout
        read_frame(self._replies)

    def decode(self, images: Sequence[bytes], allowance: Allowance) -> list[Image.Image] | None:
        """The pictures; None if they take more work than `quick_pixels` pixels.

        Raises: ImageError; TooSlowError; OSError, EOFError if the process died.
        """
        used_before = self._processor_seconds()
        head = {
            "num_images": len(images),
            "max_pixels": allowance.max_pixels,
            "quick_pixels": allowance.quick_pixels,
        }
        for frame in (json.dumps(head).encode(), *images):
            write_frame(self._requests, frame)
        self._requests.flush()
        self._wait(used_before + allowance.seconds)
        reply: dict[str, Any] = json.loads(read_frame(self._replies))
        if "error" in reply:
            raise ImageError(reply["error"], http_status=reply["status"])
        if "is_large" in reply:
            return None
        sizes = [(width, height) for width, height in reply["sizes"]]
        return [Image.frombytes("RGB", size, read_frame(self._replies)) for size in sizes]

    @property
    def has_ended(self) -> bool:
        return self._child.poll() is not None

    def end(self) -> None:
        """Ends the process at once."""
        self._child.kill()
        with suppress(OSError):
            self._child.communicate()

    def _wait(self, most_processor_seconds: float) -> None:
        """Waits until a reply begins. Raises: TooSlowError."""
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while not select.select([self._replies], [], [], POLL_SECONDS)[0]:
            if self._processor_seconds() > most_processor_seconds or time.monotonic() > deadline:
                raise TooSlowError

    def _processor_seconds(self) -> float:
        """Processor time, which does not grow while other work occupies the cores. Raises: OSError if it ended."""
        try:
            times = psutil.Process(self._child.pid).cpu_times()
        except psutil.Error as error:
            raise OSError("the decoding process ended") from error
        return times.user + times.system
