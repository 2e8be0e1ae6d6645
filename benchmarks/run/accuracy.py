"""The share of the CPU time of a command's whole tree that a tool reports after running it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.harness.chapter import MISSING, Chapter, Table
from benchmarks.harness.format import duration
from benchmarks.run.execute import Ask, Outcome, why_no_truth
from benchmarks.run.setting import ALONE, Setting, doing, ratio_text, raw_outcome, troubles
from benchmarks.run.tool import Tool, What

QUICK_SHARE = 0.12
ORPHANS, GROVE = "orphans", "313 processes"


@dataclass(frozen=True)
class Load:
    """Arguments of work.c."""

    title: str
    kind: str
    count: int
    us: int
    scales: str = "count"
    """Which of the two is smaller in a quick run."""

    def sized(self, share: float) -> Load:
        count, us = self.count, self.us
        if self.scales == "count":
            count = max(1, round(count * share))
        elif self.scales == "us":
            us = round(us * share)
        return Load(self.title, self.kind, count, us, self.scales)


LOADS = (
    Load("steady", "steady", 1, 1_200_000, "us"),
    Load("fork storm", "storm", 2000, 2000),
    Load(ORPHANS, "orphans", 64, 25_000),
    Load("SIGCHLD ignored", "auto-reap", 400, 2000),
    Load(GROVE, "grove", 300, 500_000, "us"),
    Load("threads", "threads", 10, 2000),
    Load("100 deep", "chain", 100, 8_000, "us"),
    Load("100 execs", "exec-chain", 100, 5000, "us"),
    Load("5 ms", "chain", 1, 5000, ""),
)
CUT = "*"
PROCESSES = 313
"""Of the grove: 300 leaves, their 12 parents, and the root."""

BY_INTERVAL = ("steady", "fork storm", GROVE)

Results = dict[str, dict[str, Outcome]]
"""By workload and tool."""


def chapter(setting: Setting) -> Chapter:
    made = Chapter("CPU time that is reported")
    if (reason := why_no_truth()) is not None:
        made.notes.append(f"Skipped: no control group for the reference value ({reason}).")
        return made
    share = QUICK_SHARE if setting.quick else 1.0
    results: Results = {}
    for load in (load.sized(share) for load in LOADS):
        row = results.setdefault(load.title, {})
        for tool in (None, *_contestants(setting, load)):
            doing("accuracy", load.title, tool)
            name = ALONE if tool is None else tool.name
            row[name] = run_load(setting, tool, load)
            setting.kept[name, load.title] = row[name]
    made.notes += _notes(results, short=setting.quick)
    made.notes += troubles((tool, title, one) for title, row in results.items() for tool, one in row.items())
    names = [tool.name for tool in setting.reporting(What.CPU) if any(tool.name in row for row in results.values())]
    lines = [[name, *(_text(row.get(name), row[ALONE]) for row in results.values())] for name in names]
    if any(CUT in cell for line in lines for cell in line):
        made.notes.append(f"{CUT}: the tool ended the tree early; the ratio is to what the tree used until then.")
    made.tables.append(Table("CPU time reported ÷ truth", ("", *results), lines))
    made.raw = {title: {name: raw_outcome(one) for name, one in row.items()} for title, row in results.items()}
    return made


def run_load(setting: Setting, tool: Tool | None, load: Load) -> Outcome:
    outcome, _ = setting.run(tool, Ask(setting.work(load.kind, load.count, load.us), What.CPU, limit_s=45))
    return outcome


def _contestants(setting: Setting, load: Load) -> list[Tool]:
    """Tools are also run at a second interval where that matters most."""
    every = load.title in BY_INTERVAL and not setting.quick
    some = [tool for tool in setting.reporting(What.CPU) if every or not tool.is_variant or tool.about == "prock"]
    return [tool for tool in some if tool.only in (None, load.title)]


def _text(outcome: Outcome | None, alone: Outcome) -> str:
    if outcome is None or outcome.report.cpu_s is None or not outcome.used_ns:
        return MISSING
    return ("", CUT)[_is_cut(outcome, alone)] + ratio_text(outcome.report.cpu_s * 1e9 / outcome.used_ns)


def _is_cut(outcome: Outcome, alone: Outcome) -> bool:
    """Whether most of the work after the root's end is missing. Other workloads do less there than runs differ by."""
    if outcome.used_ns is None or alone.used_ns is None or alone.used_by_root_end_ns is None:
        return False
    late_ns = alone.used_ns - alone.used_by_root_end_ns
    return late_ns > alone.used_ns / 10 and outcome.used_ns < alone.used_ns - late_ns / 2


def _notes(results: Results, *, short: bool) -> list[str]:
    notes = [
        "Truth: CPU time of a control group with the whole tree, until its last process has ended, in a hierarchy in"
        " which the tool makes no groups; where there is none, that of tool and tree, less the tool's own CPU clock.",
    ]
    at_end = [
        one.used_by_root_end_ns / one.used_ns
        for one in results[ORPHANS].values()
        if one.used_by_root_end_ns is not None and one.used_ns
    ]
    if at_end:
        notes.append(
            f"Orphans: a quarter of them outlives the root, and a tool that ends with the root can report at most"
            f" {ratio_text(statistics.median(at_end))}."
        )
    truths = {title: duration(row[ALONE].used_ns or 0) for title, row in results.items()}
    notes.append(f"CPU time of each, alone: {', '.join(map(' '.join, truths.items()))}.")
    if short:
        notes.append(f"The workloads are {QUICK_SHARE:g} of what they are otherwise, and ticks weigh more.")
    return notes
