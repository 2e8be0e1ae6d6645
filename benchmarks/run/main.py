"""Running a command: accuracy, overhead and behaviour of `prock run` and of other tools."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.harness.cgroup import about_accounts
from benchmarks.harness.chapter import Chapter
from benchmarks.harness.command import machine, measure_chapters, option_parser
from benchmarks.harness.programs import Unavailable
from benchmarks.run import accuracy, behaviour, disk_io, memory, overhead, peers, prock_run
from benchmarks.run.setting import Setting
from benchmarks.run.tool import Tool

CHAPTERS: dict[str, Callable[[Setting], Chapter]] = {
    "accuracy": accuracy.chapter,
    "memory": memory.chapter,
    "io": disk_io.chapter,
    "overhead": overhead.chapter,
    "behaviour": behaviour.chapter,
}


def main(arguments: Sequence[str]) -> None:
    parser = option_parser("run", __doc__, "smaller and fewer: three minutes instead of fifteen", CHAPTERS)
    parser.add_argument("--tools", nargs="+", metavar="WORD", help="only tools with such a word in their names")
    options = parser.parse_args(arguments)
    tools, about = _tools(options.tools, quick=options.quick)
    try:
        truth = about_accounts()
    except Unavailable as reason:
        truth = f"none ({reason})"
    with tempfile.TemporaryDirectory(prefix="prock-bench-") as home:
        os.chmod(home, 0o755)  # one of the tools runs as another user
        setting = Setting(Path(home), tools, options.quick)
        chapters = {name: partial(chapter, setting) for name, chapter in CHAPTERS.items()}
        measure_chapters(options, {**machine(), "truth": truth, **about}, chapters)


def _tools(wanted: list[str] | None, *, quick: bool) -> tuple[list[Tool], dict[str, str]]:
    """Those that take part, and a description of all."""
    versions = peers.versions()
    missing = prock_run.why_missing()
    tools = [*(prock_run.ours() if missing is None else ()), *(p for p in peers.PEERS if versions[p.about])]
    if quick:
        tools = [tool for tool in tools if not tool.is_slow]
    if wanted:
        tools = [tool for tool in tools if any(word.lower() in tool.name.lower() for word in wanted)]
    return tools, {
        "prock run": "takes part" if missing is None else f"MISSING ({missing})",
        "others": ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items()),
        "left out": ", ".join(f"{name} ({reason})" for name, reason in peers.LEFT_OUT.items()),
    }
