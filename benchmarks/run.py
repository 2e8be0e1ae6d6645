"""Running a command to know what its tree cost: how true, how dear and how well-behaved `prock run` and others are.

python benchmarks/run.py [--quick] [--markdown] [--save] [--json FILE] [--only CHAPTER...] [--tools WORD...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import _paper
import _run_accuracy
import _run_behaviour
import _run_io
import _run_memory
import _run_peers
import _run_price
import _run_prock
from _account import about_accounts
from _chapter import Chapter, progress, raw, told
from _programs import Unavailable
from _setting import Setting
from _tool import Tool

import prock

CHAPTERS: dict[str, Callable[[Setting], Chapter]] = {
    "accuracy": _run_accuracy.chapter,
    "memory": _run_memory.chapter,
    "io": _run_io.chapter,
    "price": _run_price.chapter,
    "behaviour": _run_behaviour.chapter,
}


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that files, processes and groups go
    tools, about = _tools(options.tools, quick=options.quick)
    conditions = {**_conditions(), **about}
    paper = _paper.Paper("run", options)
    paper.tell(_paper.conditions(conditions))
    measured: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
        os.chmod(home, 0o755)  # one of the tools is run by another user
        setting = Setting(Path(home), tools, options.quick)
        for name in CHAPTERS:
            if name not in (options.only or CHAPTERS):
                continue
            begin = time.monotonic()
            try:
                chapter = CHAPTERS[name](setting)
            finally:
                progress.clear()
            paper.tell(partial(told, chapter))
            measured[name] = {**raw(chapter), "notes": chapter.notes, "took_s": time.monotonic() - begin}
    paper.save()
    if options.json is not None:
        options.json.write_text(json.dumps({"conditions": conditions, **measured}, indent=1, ensure_ascii=False) + "\n")


def _tools(wanted: list[str] | None, *, quick: bool) -> tuple[list[Tool], dict[str, str]]:
    """Those that take part, and what is told about all."""
    versions = _run_peers.versions()
    missing = _run_prock.why_missing()
    tools = [*(_run_prock.ours() if missing is None else ()), *(p for p in _run_peers.PEERS if versions[p.about])]
    if quick:
        tools = [tool for tool in tools if not tool.is_slow]
    if wanted:
        tools = [tool for tool in tools if any(word.lower() in tool.name.lower() for word in wanted)]
    about = {"prock run": "takes part" if missing is None else f"MISSING ({missing})"}
    about["others"] = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    about["left out"] = ", ".join(f"{name} ({reason})" for name, reason in _run_peers.LEFT_OUT.items())
    return tools, about


def _conditions() -> dict[str, str]:
    try:
        truth = about_accounts()
    except Unavailable as reason:
        truth = f"none ({reason})"
    return {
        "prock": f"{prock.__version__}, its engine {prock.engine.active.name}",
        "Python": platform.python_version(),
        "Linux": f"{platform.release()} on {os.cpu_count()} {platform.machine()} CPUs",
        "user": "root" if os.geteuid() == 0 else "ordinary",
        "load average": f"{os.getloadavg()[0]:.1f} before",
        "truth": truth,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="smaller and fewer: three minutes instead of a quarter hour"
    )
    _paper.add_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement to FILE")
    parser.add_argument("--tools", nargs="+", metavar="WORD", help="only those with such a word in their names")
    parser.add_argument(
        "--only", nargs="+", choices=tuple(CHAPTERS), metavar="CHAPTER", help=f"of {', '.join(CHAPTERS)}"
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
