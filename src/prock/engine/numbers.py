"""Reads the metrics that have a reader of their own (`prock.model.NUMBERS`) of one process."""

from __future__ import annotations

from prock.errors import AccessDenied, MalformedProcFile, NotSupported
from prock.model import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class HasNumbers(Protocol):
        def number(self, metric: str, pid: int | None, /) -> int | None: ...


def read_numbers(
    engine: HasNumbers, pid: int | None, want: int, refused: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The wanted metrics as keywords of a row, and the names of the refused files with theirs added."""
    values: dict[str, Any] = {}
    for metric in NUMBERS:
        if want & metric.want:
            try:
                values[metric.name] = engine.number(metric.name, pid)
            except (AccessDenied, MalformedProcFile, NotSupported):
                refused += (metric.file,)
    return values, refused
