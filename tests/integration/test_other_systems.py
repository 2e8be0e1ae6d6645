"""Every function, tracker and sampler as on another system: nothing is called that isn't there, and what can't be
known is said to be unknown."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from support.elsewhere import needs_root
from support.other_systems import SYSTEMS, run_on
from support.processes import Program, Spawn

EVERYTHING = """
import asyncio, sys
import prock

pid, gone = map(int, sys.argv[1:3])


def outcome(ask, *arguments, **options):
    try:
        return ask(*arguments, **options)
    except prock.NotSupported as error:
        return {"lacks": str(error)}
    except prock.AccessDenied as error:
        return {"refused": error.what}


def plain(value):
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


ASKS = (
    prock.get_cpu_time, prock.get_cpu_time_with_children, prock.get_memory, prock.get_memory_virtual,
    prock.get_disk_io, prock.get_all_stats, prock.get_ppid, prock.get_start_time, prock.get_tty,
    prock.get_process_comm, prock.get_process_path, prock.get_process_cmdline, prock.get_process_environ,
    prock.get_liveness_info, prock.get_children, prock.collect_tree_pids, prock.snapshot_process, prock.snapshot_tree,
)
answer = {ask.__name__: plain(outcome(ask, pid)) for ask in ASKS}
answer["gone"] = [ask.__name__ for ask in ASKS if outcome(ask, gone) is not None]
answer["own"] = [ask.__name__ for ask in ASKS if outcome(ask) is None]
answer["engine"] = prock.engine.active.name
answer["io"] = plain(outcome(prock.snapshot_process, pid, io=True))
answer["listed"] = pid in prock.list_all_pids() and 0 not in prock.list_all_pids()
scan = prock.scan_all_processes()
answer["row"] = [plain(row) for row in scan if row.pid == pid]
answer["denied"] = scan.denied
answer["tree_of_scan"] = plain(prock.snapshot_tree_from_scan(pid, scan))
parents, children = prock.build_parent_map(), prock.build_children_map()
answer["descendants"] = prock.collect_descendants_from_map(pid, children)
answer["is_descendant"] = all(prock.is_descendant_of(one, pid, parents) for one in answer["descendants"])
for tracker in (prock.DeltaTracker(), prock.CumulativeTracker()):
    outcome(tracker.get_cpu_percent, pid)
    first, second = tracker.get_tree_cpu_percent(pid), tracker.get_tree_cpu_percent(pid)
    answer[type(tracker).__name__] = [plain(first), plain(second), plain(outcome(tracker.get_cpu_percent, pid))]
    tracker.prune_dead()
with prock.TreeSampler(pid, io=True, pss=True) as sampler:
    sample = sampler.sample()
    answer["sample"] = plain(sample.totals)
    answer["members"] = plain(sample.members)
with prock.Forest([pid]) as forest:
    answer["forest"] = forest.sample()[pid].process_count
answer["watch"] = [sample.process_count for sample in prock.watch(pid, 0.01, count=2)]


async def look():
    return [sample.process_count async for sample in prock.awatch(pid, 0.01, count=2)]


answer["awatch"] = asyncio.run(look())
with prock.Monitor(0.01) as monitor:
    sum(range(300_000))
answer["monitor"] = monitor.result.cpu_ns >= 0 and monitor.result.peak_rss_bytes > 2**20
from prock.sampling.footprint import Footprint
footprint = Footprint(prock.engine.active)
footprint.add_sample(sample)
answer["footprint"] = [footprint.peak_bytes, footprint.source]
answer["perf"] = outcome(prock.TreeSampler, pid, accounting="perf")["lacks"]
"""


@pytest.fixture
def tree(puppet: Program) -> Program:
    puppet.does("[child() for _ in range(2)]; say(1)")
    return puppet


@pytest.mark.parametrize("system", SYSTEMS)
def test_everything(tree: Program, dead_pid: int, system: str) -> None:
    answer = run_on(system, EVERYTHING, tree.pid, dead_pid)
    assert answer["engine"] == "portable"
    assert answer["gone"] == ([] if system == "win32" else ["get_disk_io"])  # which nobody could have been asked
    assert answer["own"] == ["get_tty"]
    assert answer["get_ppid"] == os.getpid() and answer["listed"] and answer["is_descendant"]
    assert answer["get_process_comm"] == Path(f"/proc/{tree.pid}/comm").read_text().strip()
    assert answer["get_process_path"] == os.readlink(f"/proc/{tree.pid}/exe")
    assert answer["get_process_environ"]["PATH"] == os.environ["PATH"]
    assert answer["get_tty"] is None
    assert answer["collect_tree_pids"] == [tree.pid, *answer["get_children"]]
    assert answer["descendants"] == answer["get_children"] and len(answer["get_children"]) == 2
    assert answer["tree_of_scan"]["vanished"] >= 0 and len(answer["tree_of_scan"]["members"]) == 3
    assert answer["watch"] == answer["awatch"] == [3, 3] and answer["forest"] == 3
    assert len(answer["members"]) == answer["sample"]["process_count"] == 3
    assert answer["sample"]["rss_bytes"] > 3 << 20 and answer["sample"]["cpu_ns"] >= 0
    assert answer["sample"]["accounting"] == "ledger" and answer["sample"]["appeared"] == 0
    assert answer["monitor"] and "perf accounting" in answer["perf"]
    for name in ("DeltaTracker", "CumulativeTracker"):
        first, second, alone = answer[name]
        assert (
            first["cpu_percent"] is None and second["cpu_percent"] >= 0 and alone >= 0 and second["process_count"] == 3
        )


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_cannot_be_known_is_unknown_and_has_a_reason(tree: Program, dead_pid: int, system: str) -> None:
    answer = run_on(system, EVERYTHING, tree.pid, dead_pid)
    row, sample = answer["row"][0], answer["sample"]
    assert (row["minor_faults"], row["major_faults"], row["tty_nr"]) == (None, None, None)
    assert sample["pss_bytes"] is None and sample["suspended_ns"] is None
    assert answer["footprint"] == [sample["rss_bytes"], "rss"]
    if system == "win32":
        assert (row["pgrp"], row["session"], row["state"]) == (None, None, "?")
        io = answer["get_disk_io"]
        assert io["read_bytes"] is None and io["write_bytes"] is None and io["write_chars"] > 0
        assert sample["disk_io"]["read_bytes"] is None and sample["disk_io"]["read_chars"] >= 0
    else:
        assert (row["pgrp"], row["session"]) == (os.getpgid(tree.pid), os.getsid(tree.pid))
        assert "bytes" in answer["get_disk_io"]["lacks"] and answer["io"]["refused"] == ["io"]
        assert sample["disk_io"] is None and sample["denied"] == 3
        assert all(member["refused"] == ["io"] for member in answer["members"])
    if system == "freebsd14":
        assert row["children_user_ns"] >= 0 and answer["get_cpu_time_with_children"]["user_ns"] >= 0
    else:
        assert row["children_user_ns"] is None and answer["snapshot_tree"]["cpu_time_with_children"] is None
        assert "children" in answer["get_cpu_time_with_children"]["lacks"]


STRANGERS = """
import prock, sys
stranger, own = map(int, sys.argv[1:3])


def refused(ask, *arguments):
    try:
        return ask(*arguments)
    except prock.AccessDenied as error:
        return error.what


answer = {
    "asked": [refused(ask, stranger) for ask in (
        prock.get_cpu_time, prock.get_memory, prock.get_process_path, prock.get_process_environ,
        prock.TreeSampler, prock.snapshot_tree,
    )],
    "known": [ask(stranger) for ask in (prock.get_ppid, prock.get_process_comm, prock.get_children)],
    "liveness": prock.get_liveness_info(stranger)._asdict(),
    "started": prock.get_start_time(stranger),
    "denied": prock.scan_all_processes().denied,
    "parents": prock.build_parent_map().get(stranger),
}
tree = prock.snapshot_tree(own)
answer["tree"] = [[member.pid, member.ppid, member.refused] for member in tree.members], tree.denied
with prock.TreeSampler(own) as sampler:
    sampler.sample()
    sample = sampler.sample()
    answer["members"] = [[row.pid, row.ppid, row.comm, row.rss_bytes, row.refused] for row in sample.members]
    answer["sample"] = [sample.denied, sample.process_count, sample.rss_bytes]
"""


@needs_root
def test_strangers_on_macos(spawn: Spawn) -> None:
    """There only the owner learns what a process uses; who it is, and whose child, everybody does. A member that
    refuses does not sink the tree."""
    program = spawn("""
pid = os.fork()
if pid == 0:
    root = sleeper()
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); libc.prctl(4, 1)
    say(os.getpid(), root)
    os.wait(); signal.pause()
wait()""")
    own, stranger = program.pids()
    answer = run_on("darwin", STRANGERS, stranger, own, as_nobody=True)
    assert answer["asked"] == ["cpu_times", "memory_info", "exe", "environ", "stat", "stat"]
    assert answer["known"][0] == own and answer["known"][2] == [] and answer["known"][1].startswith("python")
    assert answer["liveness"]["thread_count"] is None and answer["liveness"]["state"] == "S"
    assert answer["started"] == pytest.approx(psutil.Process(stranger).create_time(), abs=1.1)
    assert answer["denied"] > 0 and answer["parents"] == own
    assert answer["tree"] == [[[own, program.pid, []], [stranger, own, ["stat"]]], 1]
    (_, ppid, comm, rss, refused), (_, *unknown) = answer["members"]
    assert (ppid, refused) == (program.pid, []) and comm.startswith("python") and rss > 1 << 20
    assert unknown[0] == own and unknown[1].startswith("python") and unknown[2:] == [None, ["stat"]]
    assert answer["sample"] == [1, 2, rss]


STALE_PARENTS = """
import os, psutil, sys
import prock
pid = int(sys.argv[1])
told, older, dead = psutil._ppid_map, os.getppid(), 2**30


def stale():
    return {**told(), os.getpid(): dead, older: pid}


psutil._ppid_map = stale
parents, rows = prock.build_parent_map(), {row.pid: row for row in prock.scan_all_processes()}
with prock.TreeSampler(pid) as sampler:
    members = [row.pid for row in sampler.sample().members]
tree = list(prock.snapshot_tree(pid).pids)
answer = {
    "older": [older in found for found in (members, tree, prock.get_children(pid), prock.build_children_map()[pid])],
    "parents": [prock.get_ppid(older), parents[older], rows[older].ppid, prock.get_ppid()],
    "mine": [prock.get_ppid(pid), parents[pid], rows[pid].ppid],
    "members": [len(members), len(tree)],
}
"""


def test_a_dead_parents_pid_that_is_anothers_by_now_on_windows(tree: Program) -> None:
    """There the parent stays named for ever: who began before it is no child, and who has no parent left says 0."""
    answer = run_on("win32", STALE_PARENTS, tree.pid)
    assert answer["older"] == [False] * 4 and answer["members"] == [3, 3]
    assert answer["parents"] == [0] * 4 and answer["mine"] == [os.getpid()] * 3


def test_an_engine_of_linux_is_refused_elsewhere_in_one_line() -> None:
    answer = run_on(
        "darwin",
        """
import prock
from prock.engine import open_engine
answer = []
for name, root in (("native", "/proc"), ("pure", "/proc"), (None, "/other"), ("portable", "/other")):
    try:
        open_engine(name, root)
    except prock.NotSupported as error:
        answer.append(str(error))
""",
    )
    assert len(answer) == 4 and all("\n" not in line for line in answer)
    assert all("darwin" in line for line in answer[:2]) and all("/other" in line for line in answer[2:])
