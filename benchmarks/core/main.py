"""Cost of prock's one-shot functions and of its start, beside bare system calls, psutil and the Rust crate."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.core import report, rounds
from benchmarks.core.contestants import FLOOR, PROCK, PSUTIL, PURE, SCAN_FIELDS, all_contestants
from benchmarks.harness.chapter import Chapter
from benchmarks.harness.command import machine, measure_chapters, option_parser
from benchmarks.harness.programs import build_crate_or_reason, compile_c
from benchmarks.workloads.forest import FANOUT, processes_here

NOTES = [
    "Each contestant has a short turn in each pass. Ratios are taken within a pass; what is shown is their median.",
    "No contestant pauses or waits, so the unit is CPU time: on an idle machine the time that a call takes.",
    f"{PROCK}: the engine in C; {PURE}: the engine in plain Python.",
    f"{FLOOR}, of CPU time: three bare clock_gettime; of all statistics: those, statm and io; of a scan: getdents64,"
    " each stat and, but for the floor in ticks, one clock_gettime each; of a tree: each member's list of children, its"
    " stat and one clock_gettime.",
    f"{PSUTIL}: Process objects are reused; a scan is process_iter({', '.join(SCAN_FIELDS)}); a tree is"
    " children(recursive=True), and cpu_times() and memory_info() of each.",
    f"Trees: processes that sleep, up to {FANOUT} children each, on as many levels as needed. Unrelated processes:"
    " sleeping children of another process.",
    "Beside a busy thread: one that computes in the same Python process. Each call follows a sleep of 1 ms;"
    " the unit is elapsed time, of a turn the median of its calls.",
]


def main(arguments: Sequence[str]) -> None:
    options = option_parser("core", __doc__, "fewer passes: one minute instead of four", ["core"]).parse_args(arguments)
    crate, about_crate = build_crate_or_reason()
    conditions = {
        **machine(),
        "psutil": psutil.__version__,
        "Rust crate prock": about_crate,
        "processes": f"{processes_here()} before the first tree",
    }

    def core() -> Chapter:
        with tempfile.TemporaryDirectory(prefix="prock-bench-") as name:
            home = Path(name)
            floor, forest = compile_c("floor", home), compile_c("forest", home)
            with all_contestants(floor, crate) as contestants:
                pace = rounds.QUICK if options.quick else rounds.THOROUGH
                return report.chapter(rounds.run(contestants, forest, home, pace), NOTES)

    measure_chapters(options, conditions, {"core": core})
