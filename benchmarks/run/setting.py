"""What the chapters of the run benchmark share."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.chapter import MISSING, progress
from benchmarks.harness.format import number
from benchmarks.harness.programs import WORKLOADS, compile_c
from benchmarks.run.execute import Ask, Outcome, run_under
from benchmarks.run.tool import Tool, What

ALONE = "no tool"


@dataclass
class Setting:
    home: Path
    tools: Sequence[Tool]
    """Those that are installed."""
    quick: bool
    _programs: dict[str, Path] = field(default_factory=dict)
    _numbers: Iterable[int] = field(default_factory=lambda: itertools.count(1))
    kept: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    """By tool and workload: reused by later chapters."""

    def program(self, name: str) -> Path:
        if name not in self._programs:
            self._programs[name] = compile_c(name, self.home)
        return self._programs[name]

    def has_program(self, name: str) -> bool:
        return (WORKLOADS / f"{name}.c").exists()

    def reporting(self, what: What) -> list[Tool]:
        return [tool for tool in self.tools if what in tool.reports]

    def plain(self) -> list[Tool]:
        """One of each, with its default options."""
        return [tool for tool in self.tools if not tool.is_variant]

    def run(self, tool: Tool | None, ask: Ask, *, keep: bool = False) -> tuple[Outcome, Path]:
        """Also the directory of the tool's files, which is removed unless ``keep``."""
        home = self.home / f"run-{next(iter(self._numbers))}"
        outcome = run_under(tool, ask, self.program("charged"), home)
        if not keep:
            shutil.rmtree(home, ignore_errors=True)
        return outcome, home

    def work(self, kind: str, count: int, us: int) -> list[str]:
        return [str(self.program("work")), "-", "-", kind, str(count), str(us)]


def doing(chapter: str, what: str, tool: Tool | None) -> None:
    progress(f"{chapter}:", what, "under", ALONE if tool is None else tool.name)


def ratio_text(ratio: float | None) -> str:
    """Three digits below 0.1."""
    if ratio is None:
        return MISSING
    return "0" if ratio == 0 else f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}" if ratio < 10 else number(ratio)


def raw_outcome(outcome: Outcome) -> dict[str, Any]:
    return {**vars(outcome), "report": outcome.report._asdict()}


def troubles(found: Iterable[tuple[str, str, Outcome]]) -> list[str]:
    """A line for each tool and reason of a missing report, with the workloads."""
    failed: dict[tuple[str, str], list[str]] = {}
    for tool, workload, outcome in found:
        if outcome.trouble is not None:
            failed.setdefault((tool, outcome.trouble.splitlines()[0][:150]), []).append(workload)
    return [f"No report from {tool} of: {', '.join(works)} ({why})." for (tool, why), works in failed.items()]
