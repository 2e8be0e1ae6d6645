"""Trees of 5000, chains of 200, trees that are stopped or dead, bombs, and storms of orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from support.chaos import invariants, pid_namespace
from support.chaos.cgroup_limits import Pen, pen
from support.chaos.pid_namespace import Crowd, crowd, in_cell
from support.runs import has_perf

import prock
from prock.engine import open_engine, using

pytestmark = pytest.mark.usefixtures("programs")
MS = 1_000_000
PORTABLE_LACKS = {"test_a_run_of_a_fork_bomb": "only Linux hands orphans to who started the command"}


def follow(root: int, looks: int, *, io: bool = True) -> prock.TreeSample:
    following = invariants.Following()
    with prock.TreeSampler(root, accounting="ledger", io=io) as sampler:
        for _ in range(looks):
            sample = following.take(sampler.sample())
    return sample


# ---- large and deep ----


def test_a_tree_of_5000(engine_name: str) -> None:
    """Each is there, once, by every way to look at it; half of them die, and stay counted."""

    def check() -> None:
        with using(open_engine(engine_name)), crowd("wide", 5000) as wide:
            snapshot = invariants.tree(prock.snapshot_tree(wide.pid, io=True), wide.pid)
            assert snapshot is not None and snapshot.process_count == 5001 and snapshot.vanished == 0
            rows = invariants.scan(prock.scan_all_processes())
            from_scan = invariants.tree(prock.snapshot_tree_from_scan(wide.pid, rows), wide.pid)
            assert from_scan is not None and set(from_scan.pids) == set(snapshot.pids)
            assert set(prock.collect_tree_pids(wide.pid) or ()) == set(snapshot.pids)
            following = invariants.Following()
            tracker = prock.CumulativeTracker()
            assert tracker.get_tree_cpu_ns(wide.pid) == 0
            with prock.Monitor(0.05, wide.pid, accounting="ledger", series=True) as monitor:
                with prock.TreeSampler(wide.pid, accounting="ledger", io=True) as sampler:
                    assert following.take(sampler.sample()).process_count == 5001
                    for pid in snapshot.pids[1::2]:
                        os.kill(pid, signal.SIGKILL)
                    while sum(row.state == "Z" for row in prock.scan_all_processes()) < 2500:
                        pass
                    time.sleep(1.1)  # so old the state of one that has run may be
                    sample = following.take(sampler.sample())
                    assert sample.process_count == 5001 and sum(row.state == "Z" for row in sample.members) == 2500
                used = tracker.get_tree_cpu_ns(wide.pid)
                assert used is not None and used >= 0
            assert invariants.monitored(monitor.result).peak_process_count == 5001

    in_cell(check)


def test_a_chain_of_200(engine_name: str) -> None:
    """It loses its links one by one: who is handed to somebody outside stays a member."""

    def check() -> None:
        with using(open_engine(engine_name)), crowd("deep", 200) as deep:
            snapshot = invariants.tree(prock.snapshot_tree(deep.pid), deep.pid)
            assert snapshot is not None and snapshot.process_count == 201
            assert [member.ppid for member in snapshot.members[1:]] == list(snapshot.pids[:-1])
            parents = prock.build_parent_map()
            assert prock.is_descendant_of(snapshot.pids[-1], deep.pid, parents)
            following = invariants.Following()
            with prock.TreeSampler(deep.pid, accounting="ledger", io=True) as sampler:
                assert following.take(sampler.sample()).process_count == 201
                for number, pid in enumerate(snapshot.pids[1:-1], 1):
                    os.kill(pid, signal.SIGKILL)
                    if number % 10:
                        continue
                    while prock.get_ppid(snapshot.pids[number + 1]) == pid:
                        pass
                    sample = following.take(sampler.sample())
                    alive = [row.pid for row in sample.members if row.is_alive]
                    assert set(snapshot.pids[number + 1 :]) < set(alive)
                assert sample.root is not None and len(alive) < 30

    in_cell(check)


# ---- stopped and dead ----


def test_a_tree_that_is_stopped(engine_name: str) -> None:
    def check() -> None:
        with using(open_engine(engine_name)), crowd("wide", 300) as wide:
            pids = prock.collect_tree_pids(wide.pid) or []
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            while not all(row.state == "T" for row in prock.scan_all_processes() if row.pid in pids):
                pass
            following = invariants.Following()
            with prock.TreeSampler(wide.pid, accounting="ledger", io=True) as sampler:
                samples = [following.take(sampler.sample()) for _ in range(5)]
                assert {row.state for sample in samples for row in sample.members} == {"T"}
                assert len({sample.cpu_ns for sample in samples}) == 1 and samples[-1].process_count == 301
                for pid in pids[1:]:
                    os.kill(pid, signal.SIGKILL)  # reaches who is stopped; its parent can't wait for it
                while not all(row.state in "ZT" for row in prock.scan_all_processes() if row.pid in pids):
                    pass
                sample = following.take(sampler.sample())
                assert sample.process_count == 301
            assert invariants.tree(prock.snapshot_tree(wide.pid), wide.pid)

    in_cell(check)


def test_1000_zombies(engine_name: str) -> None:
    """What they used is known while they are zombies, and is in it once when they have been waited for."""

    def check() -> None:
        with using(open_engine(engine_name)), crowd("zombies", 1000) as dead:
            snapshot = invariants.tree(prock.snapshot_tree(dead.pid, io=True), dead.pid)
            assert snapshot is not None and snapshot.process_count == 1001
            assert [member.state for member in snapshot.members].count("Z") == 1000
            used = sum(member.cpu_time.total_ns for member in snapshot.members[1:] if member.cpu_time)
            assert (
                used >= 1000 * MS // 10 or not prock.engine.active.clocks_usable
            )  # in ticks each is too short to be told
            following = invariants.Following()
            with prock.TreeSampler(dead.pid, accounting="ledger", io=True) as sampler:
                first = following.take(sampler.sample())
                assert first.process_count == 1001 and sum(row.is_alive for row in first.members) == 1
                before = prock.get_cpu_time(dead.pid)
                dead.tell()
                reaped = dead.hears("reaped")
                after = prock.get_cpu_time(dead.pid)
                last = following.take(sampler.sample())
                assert last.process_count == 1 and last.ended == 1000
                assert before is not None and after is not None
                # They had ended before the baseline: waiting for them brings nothing that is new.
                invariants.not_above(last.cpu_ns, (after - before).total_ns, invariants.TICKS_NS)
            assert reaped > 0
            again = invariants.tree(prock.snapshot_tree(dead.pid), dead.pid)
            assert again is not None and again.cpu_time_with_children is not None
            invariants.not_above(again.cpu_time_with_children.total_ns, reaped + again.cpu_time.total_ns, 1000)

    in_cell(check)


# ---- never at rest ----


def held(pen: Pen) -> dict[str, object]:
    """As an ordinary user of its own where no control group holds it."""

    def become_nobody_else() -> None:
        import resource

        os.setgroups([])
        os.setresgid(61234, 61234, 61234)
        os.setresuid(61234, 61234, 61234)
        resource.setrlimit(resource.RLIMIT_NPROC, (150, 150))

    return {"groups": pen.groups, "before": None if pen.is_limited else become_nobody_else}


def test_a_fork_bomb(engine_name: str) -> None:
    """Within its limit: every look comes to an end, and no total is above the scheduler's own account."""
    with pen(150, 0.5) as cage:

        def check() -> None:
            with using(open_engine(engine_name)):
                bomb = Crowd("bomb", **held(cage))  # type: ignore[arg-type]  # as `held` has them
                tracker, delta, following = prock.CumulativeTracker(), prock.DeltaTracker(), invariants.Following()
                total = tracker.get_tree_cpu_ns(bomb.pid)
                with (
                    prock.Monitor(0.02, bomb.pid, accounting="ledger", io=True, series=True) as monitor,
                    prock.TreeSampler(bomb.pid, accounting="ledger", io=True) as sampler,
                ):
                    for _ in range(40):
                        sample = following.take(sampler.sample())
                        snapshot = invariants.tree(prock.snapshot_tree(bomb.pid, io=True), bomb.pid)
                        invariants.scan(prock.scan_all_processes())
                        used = tracker.get_tree_cpu_ns(bomb.pid)
                        assert used is not None and total is not None and used >= total
                        total = used
                        usage = delta.get_tree_cpu_percent(bomb.pid)
                        invariants.non_negative(usage)
                        assert snapshot is not None and sample.root is not None
                        time.sleep(0.01)
                result = invariants.monitored(monitor.result)
                assert result.peak_process_count > 50
                if cage.is_accounted:
                    truth = cage.used_ns()
                    for known in (result.cpu_ns, sample.cpu_ns, total or 0):
                        invariants.not_above(known, truth)
                bomb.close()

        in_cell(check)


@pytest.mark.parametrize("accounting", ["auto", "perf", "waited", "ledger"])
def test_a_run_of_a_fork_bomb(engine_name: str, accounting: str) -> None:
    """Its time over, nothing of it is left, whatever accounts for it."""
    if accounting == "perf" and (open_engine(engine_name).launcher is None or not has_perf()):
        pytest.skip("no perf events here, or no launcher that opens them")
    with pen(150, 0.5) as cage:

        def check() -> None:
            options = held(cage)
            before = options["before"]
            os.environ["CROWD_GROUPS"] = ":".join(map(str, cage.groups))
            with using(open_engine(engine_name)):
                used_before = cage.used_ns() if cage.is_accounted else 0
                with pytest.raises(subprocess.TimeoutExpired) as over:
                    prock.run(
                        [str(pid_namespace.CROWD), "bomb"], timeout=1, kill_after=0.2, accounting=accounting,
                        reap_orphans=True, preexec_fn=before, stdout=subprocess.DEVNULL, processes=True,
                    )  # fmt: skip
                result = invariants.account(over.value.result)  # type: ignore[attr-defined]  # prock's
                assert result.timed_out and result.survivors == ()
                if cage.is_accounted:
                    invariants.not_above(result.cpu_ns or 0, cage.used_ns() - used_before, 10 * MS)
                others = {row.comm for row in prock.scan_all_processes() if row.is_alive}
                assert "crowd" not in others

        in_cell(check)


def test_a_storm_of_orphans(engine_name: str) -> None:
    """Handed from one subreaper to the next while these come and go."""
    with pen(400, 1.0) as cage:

        def check() -> None:
            with using(open_engine(engine_name)), crowd("storm", 4, 40, groups=cage.groups) as storm:
                following = invariants.Following()
                with prock.TreeSampler(storm.pid, accounting="ledger", io=True) as sampler:
                    before = cage.used_ns() if cage.is_accounted else 0
                    storm.tell()
                    for _ in range(1000):
                        sample = following.take(sampler.sample())
                        if sample.process_count == 1 and following.samples > 50:
                            break
                        invariants.tree(prock.snapshot_tree(storm.pid), storm.pid)
                    told = storm.hears("done")
                    sample = following.take(sampler.sample())
                truth = cage.used_ns() - before if cage.is_accounted else told
                assert sample.process_count == 1
                invariants.not_above(sample.cpu_ns, truth, invariants.TICKS_NS)

        in_cell(check)
