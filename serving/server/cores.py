"""How many cores this process may use, a container's quota included."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def num_cores(cgroup: Path = CGROUP) -> int:
    """The cores that the scheduler grants: those of the affinity mask, at most the control group's quota, rounded up.

    Without this a container of two cores on a machine of 64 would compute on 64 threads, and crawl.
    """
    affinity = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Cores by the control group, version 2 or 1; None where it sets no limit."""
    try:
        granted, period = (cgroup / "cpu.max").read_text().split()
    except OSError:
        try:
            granted = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if granted in ("max", "-1") else int(granted) / int(period)
