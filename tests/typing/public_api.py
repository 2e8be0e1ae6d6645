"""What a type checker must see. Not run: checked with the rest, where a wrong claim is an error."""

from __future__ import annotations

from typing import assert_type

import prock
from prock import CpuTime, DiskIo, LivenessInfo, ProcessStats, Scan, TreeStats, TreeUsage

assert_type(prock.get_cpu_time(), CpuTime | None)
assert_type(prock.get_cpu_time(1), CpuTime | None)
assert_type(prock.get_memory(1), int | None)
assert_type(prock.get_disk_io(), DiskIo | None)
assert_type(prock.get_start_time(1), float | None)
assert_type(prock.get_process_comm(1), str | None)
assert_type(prock.get_process_cmdline(1), tuple[str, ...] | None)
assert_type(prock.process_exists(1), bool)
assert_type(prock.get_process_environ(1), dict[str, str] | None)
assert_type(prock.get_liveness_info(1), LivenessInfo | None)
assert_type(prock.get_children(1), list[int] | None)
assert_type(prock.collect_tree_pids(1), list[int] | None)
assert_type(prock.list_all_pids(), list[int])
assert_type(prock.scan_all_processes(), Scan)
assert_type(prock.build_parent_map(), dict[int, int])
assert_type(prock.build_children_map(prock.scan_all_processes()), dict[int, list[int]])
assert_type(prock.snapshot_process(1, io=True), ProcessStats | None)
assert_type(prock.snapshot_tree(1, memory=False), TreeStats | None)
assert_type(prock.snapshot_tree_from_scan(1), TreeStats | None)
assert_type(prock.is_descendant_of(2, 1, {2: 1}), bool)
assert_type(CpuTime(1, 2) - CpuTime(0, 1), CpuTime)
assert_type(CpuTime(1, 2).total_ns, int)
assert_type(DiskIo(1, 2, 3, 4, 5, 6, 7) + DiskIo(1, 2, 3, 4, 5, 6, 7), DiskIo)
assert_type(prock.DeltaTracker().get_cpu_percent(1), prock.CpuPercent | None)
assert_type(prock.CumulativeTracker().get_tree_cpu_percent(1), TreeUsage | None)
assert_type([row.rss_bytes for row in prock.scan_all_processes()], list[int])

with prock.TreeSampler(5, io=True) as sampler:
    sample = sampler.sample()
assert_type(sample, prock.TreeSample)
assert_type(sample.members, tuple[prock.MemberSample, ...])
assert_type(sample.totals, prock.TreeTotals)
assert_type(sample.disk_io, prock.DiskIo | None)
assert_type(next(prock.watch(5)), prock.TreeSample)
with prock.Forest([5, 6]) as forest:
    assert_type(forest.sample(), dict[int, prock.TreeSample])
with prock.Monitor(series=True) as monitor:
    pass
assert_type(monitor.result, prock.MonitorResult | None)


async def follow() -> None:
    async for one in prock.awatch(5, accounting="ledger"):
        assert_type(one, prock.TreeSample)
