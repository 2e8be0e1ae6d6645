"""Peak memory that a tool reports of a tree, beside what the tree held: shared pages once."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.chapter import MISSING, Chapter, Table
from benchmarks.run.execute import Ask, Outcome
from benchmarks.run.setting import Setting, doing, ratio_text, raw_outcome, troubles
from benchmarks.run.tool import What

MIB = 1 << 20
HOLD_MS, QUICK_HOLD_MS = 2000, 1200


@dataclass(frozen=True)
class Hold:
    """Arguments of memory.c, and the MiB that it takes."""

    title: str
    kind: str
    processes: int
    mib: int
    true_mib: int


HOLDS = (
    Hold("4 x 100 MiB", "private", 4, 100, 400),
    Hold("200 MiB shared by 4", "shared", 4, 200, 200),
    Hold("200 MiB copy-on-write by 5", "cow", 4, 200, 200),
)


def chapter(setting: Setting) -> Chapter:
    made = Chapter("Memory that is reported")
    if not setting.has_program("memory"):
        made.notes.append("Skipped, as memory.c, the workload, isn't here.")
        return made
    hold_ms = QUICK_HOLD_MS if setting.quick else HOLD_MS
    made.notes.append(
        f"Held for {hold_ms / 1000:g} s. Truth: the memory that the workload has touched; its programs are a few MiB"
        " more."
    )
    found: list[tuple[str, str, Outcome]] = []
    tools = [tool for tool in setting.reporting(What.MEMORY) if not tool.is_variant]
    for hold in HOLDS:
        command = [str(setting.program("memory")), hold.kind, str(hold.processes), str(hold.mib), str(hold_ms)]
        for tool in tools:
            doing("memory", hold.title, tool)
            found.append((tool.name, hold.title, setting.run(tool, Ask(command, What.MEMORY, limit_s=20))[0]))
    made.notes += troubles(found)
    by = {(tool, title): outcome for tool, title, outcome in found}
    lines = [[tool.name, *(_text(by[tool.name, hold.title], hold) for hold in HOLDS)] for tool in tools]
    made.tables.append(Table("Peak reported ÷ true footprint", ("", *(hold.title for hold in HOLDS)), lines))
    made.raw = {hold.title: {tool.name: raw_outcome(by[tool.name, hold.title]) for tool in tools} for hold in HOLDS}
    return made


def _text(outcome: Outcome, hold: Hold) -> str:
    peak = outcome.report.peak_bytes
    return MISSING if peak is None else ratio_text(peak / (hold.true_mib * MIB))
