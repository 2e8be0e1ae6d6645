"""CPU and memory limits of this container, from its cgroups (v2) up to the root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def groups(mount: str = "/sys/fs/cgroup") -> Iterator[Path]:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            here = Path(mount) / line.removeprefix("0::").lstrip("/")
            yield from (
                group for group in (here, *here.parents) if group.is_relative_to(mount)
            )


def cores(mount: str = "/sys/fs/cgroup") -> float:
    """The CPU quota; at most the processors of the affinity mask."""
    most = float(len(os.sched_getaffinity(0)))
    for group in groups(mount):
        if (file := group / "cpu.max").exists():
            quota, period = file.read_text().split()
            most = most if quota == "max" else min(most, int(quota) / int(period))
    return most


def memory_bytes(mount: str = "/sys/fs/cgroup") -> int:
    """The memory limit; at most the memory of the machine."""
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for group in groups(mount):
        if (file := group / "memory.max").exists() and (
            text := file.read_text().strip()
        ) != "max":
            most = min(most, int(text))
    return most
