"""The metrics of the replicas, wherever they run: the front process keeps their files, and counts the open requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import mmap_dict

from serving.server.exposition import OPEN_REQUESTS
from zoo.host.atomic_write import replaced_file

MmapedDict: Any = mmap_dict.MmapedDict  # its methods have no types
KINDS = ("counter", "histogram")
OPEN_HELP = "Requests being drawn for."
REFUSED, REFUSED_HELP = "zoo_requests_refused", "Requests answered with an error."


class ReplicaMetrics:
    """The metrics of all replicas of a server, as files of prometheus_client's multiprocess mode in one folder.

    Their sums are the server's. What a replica had counted stays in the sums when it ends; a replica that is killed
    loses what it had not reported yet, at most a second.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open = MmapedDict(str(folder / "gauge_livesum_front.db"))
        self._refused = MmapedDict(str(folder / "counter_front.db"))

    def keep(self, replica: str, files: Mapping[str, bytes]) -> None:
        """Keeps the latest report of a replica; `files` has the content by kind."""
        for kind, content in files.items():
            with replaced_file(self._path(kind, replica)) as temporary:
                temporary.write_bytes(content)

    def retire(self, replica: str) -> None:
        """Adds the last report of a replica that has ended to the sum of those that have."""
        with self._lock:
            for kind in KINDS:
                path = self._path(kind, replica)
                if path.exists():
                    ended = MmapedDict(str(self._path(kind, "ended")))
                    for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
                        ended.write_value(key, ended.read_value(key)[0] + value, 0.0)
                    ended.close()
                    path.unlink()

    def set_open(self, model: str, version: str, num_open: int) -> None:
        """Sets the number of open requests of a version."""
        key = mmap_dict.mmap_key(OPEN_REQUESTS, OPEN_REQUESTS, ["model", "version"], [model, version], OPEN_HELP)
        with self._lock:
            self._open.write_value(key, float(num_open), 0.0)

    def count_refusal(self, model: str, version: str, *, error: str, status: int) -> None:
        """Counts a request that the front process has refused."""
        names, values = ["model", "version", "error", "status"], [model, version, error, str(status)]
        key = mmap_dict.mmap_key(REFUSED, f"{REFUSED}_total", names, values, REFUSED_HELP)
        with self._lock:
            self._refused.write_value(key, self._refused.read_value(key)[0] + 1, 0.0)

    def close(self) -> None:
        """Closes the files."""
        self._open.close()
        self._refused.close()

    def _path(self, kind: str, replica: str) -> Path:
        return self._folder / f"{kind}_{replica}.db"
