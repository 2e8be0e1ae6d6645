"""Pids that come round again and again, few descriptors, little memory."""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.chaos import invariants
from support.chaos.cgroup_limits import pen
from support.chaos.cli_commands import every_command, is_borne, program
from support.chaos.pid_namespace import Crowd, crowd, in_cell
from support.elsewhere import in_child

import prock
from prock.engine import open_engine, using

MS = 1_000_000
PIDS = 400
SPACE = Path("/proc/sys/kernel/pid_max")
LAST = Path("/proc/sys/kernel/ns_last_pid")
PORTABLE_LACKS = {
    "test_pids_that_are_given_away_again_and_again": "the last pid is known to the engines of Linux",
    "test_little_memory": "psutil needs memory of its own for it",
}


def has_own_pid_space() -> bool:
    """Since Linux 6.14 a PID namespace has a `pid_max` of its own; before, it is the machine's."""
    major, minor = map(int, os.uname().release.split(".")[:2])
    return (major, minor) >= (6, 14)


# ---- pids ----


def test_pids_that_are_given_away_again_and_again(engine_name: str) -> None:
    """Of two crowds that take turns with the same few pids, only one is followed: the other never gets into it."""
    with pen(PIDS) as cage:

        def check() -> None:
            if has_own_pid_space():
                SPACE.write_text(str(PIDS))
            with using(open_engine(engine_name)):
                followed = Crowd("churn", "member", 300, groups=cage.groups)
                stranger = Crowd("churn", "stranger", 1000)
                following, tracker = invariants.Following(), prock.CumulativeTracker()
                seen: set[tuple[int, int]] = set()
                total, rounds, highest = 0, 0, 0
                used_before = cage.used_ns() if cage.is_accounted else 0
                with prock.TreeSampler(followed.pid, accounting="ledger", io=True) as sampler:
                    while rounds < 4:
                        if not has_own_pid_space():
                            LAST.write_text("310")
                        now = prock.engine.active.last_pid()
                        rounds += now < highest
                        highest = now
                        sample = following.take(sampler.sample())
                        assert {row.comm for row in sample.members} <= {"crowd", "member"}
                        seen.update(row.identity for row in sample.members)
                        snapshot = invariants.tree(prock.snapshot_tree(followed.pid), followed.pid)
                        assert snapshot is not None
                        assert {row.comm for row in snapshot.members} <= {"crowd", "member"}
                        invariants.scan(prock.scan_all_processes())
                        used = tracker.get_tree_cpu_ns(followed.pid)
                        assert used is not None and used >= total
                        total = used
                    last = following.take(sampler.sample())
                if cage.is_accounted:
                    invariants.not_above(last.cpu_ns, cage.used_ns() - used_before)
                    invariants.not_above(total, cage.used_ns() - used_before)
                assert all(pid < PIDS for pid, _ in seen) or not has_own_pid_space()
                stranger.close()
                followed.close()

        in_cell(check)


# ---- descriptors ----


def few_descriptors(limit: int = 32) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def test_32_descriptors(engine_name: str) -> None:
    """Enough for every answer about any number of processes."""

    def check() -> None:
        with using(open_engine(engine_name)), crowd("wide", 500) as wide:
            few_descriptors()
            before = sorted(os.listdir("/proc/self/fd"))
            following = invariants.Following()
            with (
                prock.Monitor(0.01, wide.pid, io=True, accounting="auto", series=True) as monitor,
                prock.TreeSampler(wide.pid, io=True, pss=True) as sampler,
            ):
                for _ in range(20):
                    sample = following.take(sampler.sample())
                    assert sample.process_count == 501 and sample.denied == 0
                    assert invariants.tree(prock.snapshot_tree(wide.pid, io=True), wide.pid) is not None
                    assert invariants.scan(prock.scan_all_processes()).denied == 0
            invariants.monitored(monitor.result)
            assert invariants.account(prock.run(["sh", "-c", "exit 7"])).returncode == 7
            assert sorted(os.listdir("/proc/self/fd")) == before

    in_cell(check)


@pytest.mark.parametrize("limit", [32, 8, 5, 4])
def test_commands_with_few_descriptors(limit: int) -> None:
    """32 are enough for all; with fewer it may fail, and says so in a line."""

    def check() -> None:
        with crowd("wide", 100) as wide:
            for words in every_command(wide.pid):
                done = program(*words, preexec_fn=lambda: few_descriptors(limit))
                if limit < 8 and done.returncode and "prock" not in done.stderr:
                    continue  # the interpreter itself could not start
                succeeded = is_borne(done.returncode, done.stdout, done.stderr, said=(0, 1, 124, 125, 126))
                assert succeeded or limit < 32, (words, done)

    in_cell(check)


# ---- memory ----


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def with_little_memory(ask: Callable[[], Any], more: int) -> Any:
    """Its answer, or MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + more, hard))
    try:
        return ask()
    except (MemoryError, OSError, SystemError) as error:
        if not is_lack_of_memory(error):
            raise
        return error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def is_lack_of_memory(error: BaseException) -> bool:
    """Python 3.11 itself forgets to say it where there is no room for the frame of a function written in Python."""
    if isinstance(error, SystemError):
        return sys.version_info < (3, 12) and str(error).startswith(("<function ", "error return without"))
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def test_little_memory(engine_name: str) -> None:
    """MemoryError, and all is well again with more; whatever it was that there was no room for."""

    def check() -> None:
        with using(open_engine(engine_name)), crowd("wide", 800) as wide:

            def begin() -> prock.TreeSample:
                with prock.TreeSampler(wide.pid, accounting="ledger", io=True) as sampler:
                    return sampler.sample()

            def look_again() -> Any:
                following = invariants.Following()
                with prock.TreeSampler(wide.pid, accounting="ledger", io=True) as sampler:
                    following.take(sampler.sample())
                    failures = 0
                    for more in range(24):
                        answer = with_little_memory(lambda: sampler.sample().members, more << 15)
                        failures += isinstance(answer, Exception)
                        sample = following.take(sampler.sample())
                        assert sample.process_count == 801 and sample.denied == 0
                return failures

            def each(ask: Callable[[], Any], holds: Callable[[Any], object]) -> int:
                failures = 0
                for more in range(24):
                    answer = with_little_memory(ask, more << 14)
                    if isinstance(answer, Exception):
                        failures += 1
                    else:
                        holds(answer)
                holds(ask())
                return failures

            def snapshot(answer: prock.TreeStats) -> None:
                invariants.tree(answer, wide.pid)
                assert answer.process_count == 801

            def sample(answer: prock.TreeSample) -> None:
                assert answer.process_count == 801

            # Each in a process of its own: what one leaves in the allocator is room for the next.
            failures = [
                in_child(lambda: each(lambda: prock.snapshot_tree(wide.pid, io=True), snapshot)),
                in_child(lambda: each(prock.scan_all_processes, invariants.scan)),
                in_child(lambda: each(begin, sample)),
                in_child(look_again),
            ]
            assert sum(failures) > 0, "there was always room"

    in_cell(check)
