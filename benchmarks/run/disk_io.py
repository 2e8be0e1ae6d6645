"""Bytes written that a tool reports: by children of a shell, by children, and by orphans."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.chapter import MISSING, Chapter, Table
from benchmarks.harness.format import number
from benchmarks.harness.programs import HERE, Unavailable
from benchmarks.run.execute import Ask, Outcome
from benchmarks.run.setting import Setting, doing, ratio_text, raw_outcome, troubles
from benchmarks.run.tool import Tool, What

MIB = 1 << 20
WRITTEN_MIB, QUICK_MIB = 256, 64
NO_DISK = ("tmpfs", "ramfs", "overlay")
"""The first two are in memory; the file system below an overlay is unknown."""


class Truth(NamedTuple):
    chars: int
    bytes: int


def chapter(setting: Setting) -> Chapter:
    made = Chapter("Bytes written that are reported")
    mib = QUICK_MIB if setting.quick else WRITTEN_MIB
    tools = [tool for tool in setting.reporting(What.IO) if not tool.is_variant]
    found: list[tuple[Tool, Outcome, Truth]] = []
    try:
        with _place(mib) as place:
            for tool in tools:
                doing("i/o", f"{mib} MiB", tool)
                found.append((tool, *_run(setting, tool, place, mib)))
    except Unavailable as reason:
        made.notes.append(f"Skipped: {reason}.")
        return made
    made.notes += [
        f"{mib} MiB in synchronous blocks to {_kind_of_place(place)}, by eight processes: half of it by children of a"
        " shell, a quarter by children that are waited for, a quarter by orphans.",
        "Truth: what the kernel has charged to each of them just before it ends.",
    ]
    made.notes += troubles((tool.name, "all", outcome) for tool, outcome, _ in found)
    lines = [[tool.name, *_text(outcome, truth)] for tool, outcome, truth in found]
    made.tables.append(Table("Bytes written to storage", ("", "reported", "true", "ratio"), lines))
    made.raw = {tool.name: {**raw_outcome(outcome), "truth": truth._asdict()} for tool, outcome, truth in found}
    return made


def _run(setting: Setting, tool: Tool, place: Path, mib: int) -> tuple[Outcome, Truth]:
    report = place / "report"
    report.unlink(missing_ok=True)
    command = [str(setting.program("writes")), "all", str(place), str(mib), str(report)]
    outcome, _ = setting.run(tool, Ask(command, What.IO, limit_s=40))
    parts = [line.split() for line in report.read_text().splitlines()] if report.exists() else []
    truth = Truth(sum(int(chars) for chars, _ in parts), sum(int(written) for _, written in parts))
    if truth.chars < mib * MIB and outcome.trouble is None:
        outcome.trouble = f"the workload itself wrote only {truth.chars / MIB:.0f} MiB"
    return outcome, truth


def _text(outcome: Outcome, truth: Truth) -> list[str]:
    reported, true = outcome.report.written_bytes, f"{truth.bytes / MIB:.0f} MiB" if truth.bytes else MISSING
    if reported is None or not truth.bytes:
        return [MISSING if reported is None else f"{number(reported / MIB)} MiB", true, MISSING]
    return [f"{reported / MIB:.0f} MiB", true, ratio_text(reported / truth.bytes)]


@contextmanager
def _place(mib: int) -> Iterator[Path]:
    """A directory on a disk, removed afterwards."""
    for parent in (Path(tempfile.gettempdir()), Path("/var/tmp"), HERE):
        if os.access(parent, os.W_OK) and _kind_of_place(parent) not in NO_DISK:
            if shutil.disk_usage(parent).free < 2 * mib * MIB:
                continue
            with tempfile.TemporaryDirectory(prefix="prock-bench-io-", dir=parent) as place:
                yield Path(place)
            return
    raise Unavailable("no directory to write to is on a disk with enough space")


def _kind_of_place(path: Path) -> str:
    """The file system that it is, or was, on."""
    best, kind = -1, "?"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = Path(left.split()[4].encode().decode("unicode_escape"))
        if path.absolute().is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), right.split()[0]
    return kind
