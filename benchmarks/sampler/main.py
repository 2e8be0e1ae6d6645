"""Cost and accuracy of following a process tree: prock beside psutil and other monitors."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness.chapter import Chapter
from benchmarks.harness.command import machine, measure_chapters, option_parser
from benchmarks.sampler import accuracy, cost, cost_report, leaks, monitors, overhead
from benchmarks.sampler.followers import allow_descriptors
from benchmarks.workloads.forest import processes_here

CHAPTERS: dict[str, tuple[Callable[[Path, Any], Chapter], object, object]] = {
    "cost": (cost_report.chapter, cost.QUICK, cost.THOROUGH),
    "monitors": (monitors.chapter, monitors.QUICK, monitors.THOROUGH),
    "accuracy": (accuracy.chapter, accuracy.QUICK, accuracy.THOROUGH),
    "overhead": (overhead.chapter, overhead.QUICK, overhead.THOROUGH),
    "leaks": (leaks.chapter, leaks.QUICK, leaks.THOROUGH),
}
"""The function that measures it, its quick and its thorough pace."""
BY_DEFAULT = ("cost", "monitors", "accuracy", "overhead")


def main(arguments: Sequence[str]) -> None:
    quick = "fewer passes: two minutes instead of twelve"
    options = option_parser("sampler", __doc__, quick, CHAPTERS, BY_DEFAULT).parse_args(arguments)
    allow_descriptors(None)
    conditions = {**machine(), "psutil": psutil.__version__, "processes": f"{processes_here()} before"}
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
        chapters = {}
        for name, (chapter, quickly, thoroughly) in CHAPTERS.items():
            own = Path(home, name)
            own.mkdir()
            chapters[name] = partial(chapter, own, quickly if options.quick else thoroughly)
        measure_chapters(options, conditions, chapters)
