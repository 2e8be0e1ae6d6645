"""How quick prock is beside bare system calls, psutil and the Rust crate, all measured in this very run.

python benchmarks/core.py [--quick] [--markdown] [--save] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

import _paper
import _report
import _rounds
import psutil
from _contestants import FLOOR, PROCK, PSUTIL, PURE, SCAN_FIELDS, all_contestants
from _forest import FANOUT, processes_here
from _programs import compile_c

import prock

NOTES = (
    "Everybody has a short turn in each pass. Ratios are taken within a pass; what is shown is their median.",
    "Nobody pauses or waits, so what is counted is CPU time: on a quiet machine the time that it takes.",
    f"{PROCK}: its engine in C; {PURE}: its engine in plain Python.",
    f"{FLOOR}, of CPU time: three bare clock_gettime; of all statistics: those, statm and io; of a scan: getdents64,"
    " each stat and, but for the floor in ticks, one clock_gettime each; of a tree: each member's list of children, its"
    " stat and one clock_gettime.",
    f"{PSUTIL}: Process objects are kept; a scan is process_iter({', '.join(SCAN_FIELDS)}); a tree is"
    " children(recursive=True), and cpu_times() and memory_info() of each.",
    f"Trees: processes that sleep, up to {FANOUT} children each, on as many levels as that takes. Strangers: sleeping"
    " children of another process.",
    "Beside a busy thread: one that computes in the same Python process. Each call follows a sleep of 1 ms;"
    " counted is elapsed time, of a turn the median of its calls.",
)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that temporary files and processes go
    pace = _rounds.QUICK if options.quick else _rounds.THOROUGH
    processes, load = processes_here(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as name:
        temporary = Path(name)
        floor, forest = compile_c("floor", temporary), compile_c("forest", temporary)
        with all_contestants(floor) as (contestants, crate):
            rounds = _rounds.run(contestants, forest, temporary, pace)
    conditions = {
        "prock": prock.__version__,
        "psutil": psutil.__version__,
        "Rust crate prock": crate,
        "Python": platform.python_version(),
        "Linux": f"{platform.release()} on {os.cpu_count()} {platform.machine()} CPUs",
        "processes": f"{processes} on the machine before the first tree was made, load average {load:.1f}",
    }
    paper = _paper.Paper("core", options)
    paper.tell(_paper.conditions(conditions, NOTES))
    paper.tell(lambda markdown: _report.tables(rounds, markdown=markdown))
    paper.save()
    if options.json is not None:
        options.json.write_text(json.dumps(_raw(conditions, rounds), indent=1, ensure_ascii=False) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer passes: under a minute instead of about four")
    _paper.add_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement to FILE")
    return parser.parse_args()


def _raw(conditions: dict[str, str], rounds: _rounds.Rounds) -> dict[str, object]:
    """Nanoseconds a call, by row, contestant and number of the pass."""
    return {
        "conditions": conditions,
        "plain": {title: row.samples for title, row in rounds.plain.items()},
        "busy": {title: row.samples for title, row in rounds.busy.items()},
        "startup": rounds.startup.samples,
        "targets": [
            {
                "what": target.what,
                "measured": target.measured(),
                "required": target.limit,
                "at_least": target.at_least,
                "verdict": target.verdict(),
            }
            for target in _report.targets(rounds)
        ],
    }


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
