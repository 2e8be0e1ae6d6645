"""A tree of sleeping processes, in C, so that thousands of them are cheap."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FANOUT = 8
"""Children that each process of a mixed tree has, down to the last level."""


@contextmanager
def forest(program: Path, count: int, fanout: int = FANOUT) -> Iterator[int]:
    """A tree of so many sleeping processes, its root included; yields the root's pid.

    They are gone when the block ends, and also when this process ends in any other way: the root waits for the pipe to
    close. A session of their own keeps the Ctrl-C of a terminal from them, so that they end in order.
    """
    root = subprocess.Popen(
        [program, str(count), str(fanout)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert root.stdout is not None
        if root.stdout.readline() != "ready\n":
            raise RuntimeError(f"a tree of {count} processes couldn't be made")
        yield root.pid
    finally:
        root.communicate()


def processes_here() -> int:
    """How many processes the machine shows."""
    return sum(1 for name in os.listdir("/proc") if name.isdecimal())
