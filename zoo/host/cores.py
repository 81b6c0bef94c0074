"""The number of cores that this process may use, including a container's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def num_cores(cgroup: Path = CGROUP) -> int:
    """The number of usable cores: those in the affinity mask, at most the control group's quota, rounded up.

    Without the quota, a container with two cores on a 64-core machine would run 64 threads and slow down.
    """
    affinity = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """The control group's quota in cores (version 2 or 1); None without a limit."""
    try:
        granted, period = (cgroup / "cpu.max").read_text().split()
    except OSError:
        try:
            granted = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if granted in ("max", "-1") else int(granted) / int(period)
