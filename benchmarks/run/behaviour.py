"""What a tool does when a command fails, when it gets a signal, and with the command's output."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.chapter import Chapter, Table
from benchmarks.run.execute import Ask, Outcome, Poke
from benchmarks.run.setting import Setting, doing
from benchmarks.run.tool import Tool

BYTES = 1 << 20
POKED_AFTER_S, ALIVE_AFTER_S = 0.7, 0.5
LIMIT_S, SLOW_LIMIT_S = 5.0, 12.0

Check = Callable[[Setting, Tool | None], str]


def chapter(setting: Setting) -> Chapter:
    made = Chapter("Behaviour")
    made.notes += [
        f"SIGTERM: to the tool alone, {POKED_AFTER_S:g} s after a tree of 26 processes has begun. Ctrl-C: SIGINT to the"
        " tool's whole process group. Of each: how the tool ended, how many of the tree were alive"
        f" {ALIVE_AFTER_S:g} s later, and whether there is a report.",
        f"Output: {BYTES >> 10} KiB of all bytes through the tool's own standard output.",
    ]
    columns: dict[str, Check] = {
        "exit 3": lambda setting, tool: _status(setting, tool, "exit 3"),
        "SIGSEGV": lambda setting, tool: _status(setting, tool, "kill -SEGV $$"),
        "SIGTERM": lambda setting, tool: _poked(setting, tool, signal.SIGTERM, to_group=False),
        "Ctrl-C": lambda setting, tool: _poked(setting, tool, signal.SIGINT, to_group=True),
        "output": _output,
    }
    found: dict[str, dict[str, str]] = {}
    for tool in (None, *(tool for tool in setting.plain() if tool.starts)):
        name = "alone" if tool is None else tool.name
        for title, check in columns.items():
            doing("behaviour", title, tool)
            found.setdefault(name, {})[title] = check(setting, tool)
    lines = [[name, *(row[title] for title in columns)] for name, row in found.items()]
    made.tables.append(Table("Behaviour", ("", *columns), lines))
    made.raw = {"behaviour": found}
    return made


def _status(setting: Setting, tool: Tool | None, script: str) -> str:
    outcome, _ = setting.run(tool, Ask(["sh", "-c", script], limit_s=_limit_s(tool)))
    return _ended(outcome)


def _limit_s(tool: Tool | None) -> float:
    return SLOW_LIMIT_S if tool is not None and tool.is_slow else LIMIT_S


def _ended(outcome: Outcome) -> str:
    if outcome.status is None:
        return "hangs"
    return str(outcome.status) if outcome.status >= 0 else signal.Signals(-outcome.status).name


def _poked(setting: Setting, tool: Tool | None, number: signal.Signals, *, to_group: bool) -> str:
    command = setting.work("grove", 24, 1_500_000)  # 15 s
    poke = Poke(POKED_AFTER_S, number, to_group=to_group)
    outcome, _ = setting.run(tool, Ask(command, limit_s=_limit_s(tool), poke=poke, patience_s=ALIVE_AFTER_S))
    alive = "?" if outcome.survivors is None else str(outcome.survivors)
    words = [_ended(outcome), f"{alive} alive"]
    if tool is not None:
        words.append("report" if any(outcome.report) else "no report")
    return ", ".join(words)


def _output(setting: Setting, tool: Tool | None) -> str:
    given = bytes(range(256)) * (BYTES // 256)
    source = setting.home / "bytes"
    source.write_bytes(given)
    outcome, home = setting.run(tool, Ask(["cat", str(source)], limit_s=_limit_s(tool)), keep=True)
    try:
        got = Path(home, "stdout").read_bytes()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if outcome.status is None:
        return "hangs"
    if got == given:
        return "identical"
    if given in got:
        return "with its own text"
    return "goes elsewhere" if not got else "damaged" if len(got) > BYTES // 2 else "lost"
