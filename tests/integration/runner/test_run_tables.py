"""CPU time by command and by process: never more than the total, null where unknown, each process once."""

from __future__ import annotations

import collections
import sys

import pytest
from support.runs import has_perf

import prock
from prock.accounting.usage_tables import by_command, by_process, within
from prock.report.layout import Style
from prock.report.text import run_report
from prock.results import CommandUsage, ProcessUsage

MS = 1_000_000
PINGPONG = """\
import os
a, b = os.pipe(), os.pipe()
if os.fork() == 0:
    for _ in range(60_000):
        os.write(b[1], os.read(a[0], 1))
    os._exit(0)
for _ in range(60_000):
    os.write(a[1], b"x")
    os.read(b[0], 1)
os.wait()
"""


@pytest.mark.skipif(not has_perf(), reason="no perf events here")
def test_after_too_many_switches_short_processes_have_no_cpu_time() -> None:
    burn = f"for i in 1 2 3 4; do {sys.executable} -S -c 'for i in range(300_000): pass'; done"
    result = prock.run(["sh", "-c", f'{sys.executable} -c "$0"; sleep 1.2; {burn}', PINGPONG], processes=True)
    last = [row for row in result.processes if row.comm.startswith("python")][-4:]
    assert len(last) == 4 and all(row.cpu_ns is None or row.cpu_ns >= 5 * MS for row in last), last
    known = sum(row.cpu_ns or 0 for row in result.commands)
    assert result.cpu_ns is not None and known + (result.unattributed_cpu_ns or 0) == result.cpu_ns
    source = result.source("commands")
    assert source is not None and source.bias.startswith(("estimate: as sampled", "lower bound: as sampled"))
    assert "CPU not attributed to a command" in run_report(result, Style(verbose=1))


def test_each_process_is_in_the_table_once() -> None:
    script = "sleep 0.01 & sleep 0.3 & for i in 1 2 3 4 5 6; do sleep 0.02; done; wait; exec sleep 0.2"
    result = prock.run(["sh", "-c", script], processes=True, interval=0.005)
    counted = collections.Counter(row.pid for row in result.processes)
    assert counted[result.pid] == 1 and set(counted.values()) == {1}, result.processes
    assert result.processes_started in (None, len(result.processes))


def test_a_zombie_at_the_first_sample_is_the_process_of_its_record() -> None:
    zombie = ProcessUsage(7, 5, "sh", 0, None, 20 * MS, None)
    ended = [(7, 5, "sh", 3 * MS, 101 * MS, 110 * MS)]
    assert by_process([zombie], ended, 100 * MS, []) == [ProcessUsage(7, 5, "sh", 3 * MS, None, 1 * MS, 10 * MS)]


def test_a_reused_pid_is_another_process() -> None:
    seen = ProcessUsage(7, 5, "old", 2 * MS, 4096, 5 * MS, 9 * MS)
    again = ProcessUsage(7, 5, "new", 1 * MS, None, 60 * MS, None)
    ended = [(7, 5, "old", 3 * MS, 101 * MS, 110 * MS)]
    rows = by_process([seen, again], ended, 100 * MS, [7])
    assert rows == [ProcessUsage(7, 5, "old", 3 * MS, 4096, 1 * MS, 10 * MS), again]


def test_cpu_time_that_records_lack_is_sampled_where_a_sample_was_near_the_end() -> None:
    ended = [(7, 5, "x", None, 100 * MS, 200 * MS)]
    for last_ns, cpu_ns in (99 * MS, 70 * MS), (50 * MS, None):
        (row,) = by_process([ProcessUsage(7, 5, "x", 70 * MS, None, 0, last_ns)], ended, 100 * MS, [])
        assert row.cpu_ns == cpu_ns


def test_commands_are_as_sampled_only_where_samples_have_nearly_all() -> None:
    counted: dict[str, tuple[int, int | None]] = {"a": (3, None)}
    for sampled_ns, cpu_ns in (96, 96), (80, None):
        assert by_command(counted, {"a": (1, sampled_ns, None)}, 100) == (CommandUsage("a", 3, cpu_ns, None),)


@pytest.mark.parametrize(("total", "expected"), [(300, [100, 200]), (150, [50, 100]), (None, [100, 200])])
def test_rows_do_not_exceed_the_total(total: int | None, expected: list[int]) -> None:
    rows = [CommandUsage(name, 1, cpu_ns, None) for name, cpu_ns in (("a", 100), ("b", None), ("c", 200))]
    assert [row.cpu_ns for row in within(rows, total)] == [expected[0], None, expected[1]]
