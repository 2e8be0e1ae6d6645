"""What following a process tree costs, and how true it is: prock beside psutil and other monitors, in this very run.

python benchmarks/sampler.py [--quick] [--markdown] [--save] [--json FILE] [--only CHAPTER...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import _accuracy
import _cost
import _cost_report
import _leaks
import _monitors
import _paper
import _price
import psutil
from _chapter import Chapter, progress, raw, told
from _followers import allow_descriptors
from _forest import processes_here

import prock

CHAPTERS: dict[str, Callable[[Path, bool], Chapter]] = {
    "cost": lambda home, quick: _cost_report.chapter(home, _cost.QUICK if quick else _cost.THOROUGH),
    "monitors": lambda home, quick: _monitors.chapter(home, _monitors.QUICK if quick else _monitors.THOROUGH),
    "accuracy": lambda home, quick: _accuracy.chapter(home, _accuracy.QUICK if quick else _accuracy.THOROUGH),
    "price": lambda home, quick: _price.chapter(home, _price.QUICK if quick else _price.THOROUGH),
    "leaks": lambda home, quick: _leaks.chapter(home, _leaks.QUICK if quick else _leaks.THOROUGH),
}
BY_DEFAULT = ("cost", "monitors", "accuracy", "price")


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that files, processes and groups go
    allow_descriptors(None)
    conditions = {
        "prock": f"{prock.__version__}, its engine {prock.engine.active.name}",
        "psutil": psutil.__version__,
        "Python": platform.python_version(),
        "Linux": f"{platform.release()} on {os.cpu_count()} {platform.machine()} CPUs",
        "processes": f"{processes_here()} on the machine before, load average {os.getloadavg()[0]:.1f}",
    }
    paper = _paper.Paper("sampler", options)
    paper.tell(_paper.conditions(conditions))
    measured = {}
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
        for name in CHAPTERS:
            if name not in (options.only or BY_DEFAULT):
                continue
            own = Path(home, name)
            own.mkdir()
            try:
                chapter = CHAPTERS[name](own, options.quick)
            finally:
                progress.clear()
            paper.tell(partial(told, chapter))
            measured[name] = raw(chapter)
    paper.save()
    if options.json is not None:
        options.json.write_text(json.dumps({"conditions": conditions, **measured}, indent=1, ensure_ascii=False) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer passes: two minutes instead of about twelve")
    _paper.add_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement to FILE")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=tuple(CHAPTERS),
        metavar="CHAPTER",
        help=f"of {', '.join(CHAPTERS)}; by default all but leaks, which takes some minutes more",
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
