"""Loops over processes and metrics that several modules share."""

from __future__ import annotations

import time

from prock.errors import AccessDenied, MalformedProcFile, NotSupported
from prock.model import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from prock.model import ProcessInfo

    class HasNumbers(Protocol):
        def number(self, metric: str, pid: int | None, /) -> int | None: ...


REFUSALS = (AccessDenied, MalformedProcFile, NotSupported)


def read_rows(pids: Iterable[int], read: Callable[[int], ProcessInfo | None]) -> tuple[list[ProcessInfo], int, int]:
    """The rows of those processes, how many had vanished, and how many were denied."""
    rows = []
    vanished = denied = 0
    for pid in pids:
        try:
            row = read(pid)
        except REFUSALS:
            denied += 1
            continue
        if row is None:
            vanished += 1
        else:
            rows.append(row)
    return rows, vanished, denied


def read_until(until_ns: int, pids: Iterable[int], read: Callable[[int], int | None]) -> list[int | None]:
    """A number of each process, None where it is denied. Stops at that instant, after one process at least."""
    found: list[int | None] = []
    for pid in pids:
        if found and time.monotonic_ns() > until_ns:
            break
        try:
            found.append(read(pid))
        except REFUSALS:
            found.append(None)
    return found


def read_numbers(
    engine: HasNumbers, pid: int | None, want: int, refused: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The wanted metrics of `prock.model.NUMBERS` as keywords of a row, and `refused` with their files added."""
    values: dict[str, Any] = {}
    for metric in NUMBERS:
        if want & metric.want:
            try:
                values[metric.name] = engine.number(metric.name, pid)
            except REFUSALS:
                refused += (metric.file,)
    return values, refused
