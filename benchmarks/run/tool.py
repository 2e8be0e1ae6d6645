"""What a tool is that runs a command and says what the command's tree cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import NamedTuple


class What(Enum):
    """What is asked of a tool: some have to be told."""

    CPU = "cpu"
    MEMORY = "memory"
    IO = "io"


class Report(NamedTuple):
    """What a tool said. None: nothing about that."""

    cpu_s: float | None = None
    peak_bytes: float | None = None
    written_bytes: float | None = None


@dataclass(frozen=True)
class Tool:
    name: str
    about: str
    """Package or program, whose version is told."""
    command: Callable[[Sequence[str], Path, What], list[str]]
    """That runs this command, and writes into this directory."""
    report: Callable[[Path], Report]
    """What it wrote there. May raise what reading raises."""
    tells: frozenset[What]
    is_variant: bool = False
    """Of another one here, and takes part only where that makes a difference."""
    groups: frozenset[int] = frozenset()
    """Versions of the hierarchies of control groups in which it puts the command into a group of its own."""
    starts: bool = True
    """The command by itself. Otherwise it is attached by a shell, whose cost isn't its own."""
    is_slow: bool = False
    """To start, so that it takes part only where there is time."""
    as_nobody: bool = False
    """Run by an ordinary user, where this benchmark is run by root."""
    only: str | None = None
    """The one workload that it is there for."""


def version_of_package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
