"""Recordings in the formats of other programs: one module each, with ``chunks(recording)``, the parts of the file."""

from __future__ import annotations

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from prock.recording.reader import Recording

    class Format(Protocol):
        def chunks(self, recording: Recording, /) -> Iterator[bytes]: ...


SUFFIXES = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".pftrace": "perfetto",
    ".perfetto-trace": "perfetto",
    ".trace.json": "chrome",
    ".speedscope.json": "speedscope",
    ".folded": "folded",
    ".prom": "openmetrics",
}
"""The format of a file by the end of its name."""
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))


def format_of(path: str) -> str | None:
    """By the end of the name; None where that says nothing."""
    return next((name for suffix, name in SUFFIXES.items() if path.lower().endswith(suffix)), None)


def chunks(recording: Recording, name: str) -> Iterator[bytes]:
    """The parts of the file. Raises `prock.errors.NotSupported` where a library is missing."""
    module: Format = importlib.import_module(f"prock.export.{name}")
    return module.chunks(recording)
