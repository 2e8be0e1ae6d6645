"""A tool that runs a command and reports the usage of its tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import NamedTuple


class What(Enum):
    """The figure that a run is about: some tools need an option for it."""

    CPU = "cpu"
    MEMORY = "memory"
    IO = "io"


class Report(NamedTuple):
    """Figures of a tool. None: not reported."""

    cpu_s: float | None = None
    peak_bytes: float | None = None
    written_bytes: float | None = None


@dataclass(frozen=True)
class Tool:
    name: str
    about: str
    """The package or program, for its version."""
    command: Callable[[Sequence[str], Path, What], list[str]]
    """Command line that runs this command and writes into this directory."""
    report: Callable[[Path], Report]
    """Parses what it wrote there; may raise any error."""
    reports: frozenset[What]
    is_variant: bool = False
    """With other options than the default; takes part only where they make a difference."""
    groups: frozenset[int] = frozenset()
    """Versions of the cgroup hierarchies in which it makes a group for the command."""
    starts: bool = True
    """Whether it starts the command. Otherwise a shell attaches it, at the shell's cost."""
    is_slow: bool = False
    """Whether its start is slow: left out of quick runs."""
    as_other_user: bool = False
    """Run by an ordinary user, if root runs the benchmark."""
    only: str | None = None
    """The only workload that it takes part in."""


def version_of_package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
