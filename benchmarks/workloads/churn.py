"""A tree of sleeping processes that changes on command."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Churn:
    """A running churn.c."""

    def __init__(self, program: Path, count: int) -> None:
        self._process = subprocess.Popen(
            [program, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.root = self._process.pid

    def replace(self, count: int) -> None:
        """So many leaves end and are waited for, and as many take their places."""
        self._order(f"replace {count}\n")

    def spawn(self, count: int) -> None:
        """So many children are started, end and are waited for."""
        self._order(f"spawn {count}\n")

    def wake(self) -> None:
        """Each member but the root runs for a moment."""
        self._order("wake 1\n")

    def _order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        self.await_line("done\n")

    def await_line(self, line: str) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != line:
            raise RuntimeError("churn ended before its time")

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def churning(program: Path, count: int) -> Iterator[Churn]:
    """So many processes, the root included. They are gone when the block ends, and whenever this process ends."""
    churn = Churn(program, count)
    try:
        churn.await_line("ready\n")
        yield churn
    finally:
        churn.close()
