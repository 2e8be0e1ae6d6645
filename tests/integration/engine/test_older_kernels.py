"""What a kernel lacks that is older than the newest thing prock asks for: system calls are refused as it would.

docs/kernel-requirements.md has the table.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import in_child
from support.engines import core, on_linux_engines
from support.launching import why_refused
from support.runs import be_linux_4_18, has_cgroups, has_perf, needs_filters, opened, refuse, until

import prock
from prock.accounting.cgroup import RunCgroup
from prock.engine import open_engine

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

BURN = ["/bin/sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; (exit 7)"]
NEW_CALLS = Path(__file__).resolve().parents[2] / "support" / "older_kernel.c"
LIST = ["/bin/sh", "-c", "ls /proc/self/fd"]
GENERATIONS = ["/bin/sh", "-c", 'sh -c "sleep 60 & sleep 60; :" & sleep 60; :']


def size(pid: int) -> int:
    tree = prock.snapshot_tree(pid)
    return 0 if tree is None else tree.process_count


@needs_filters
@on_linux_engines
def test_a_command_on_linux_4_18(engine: Engine) -> None:
    def check() -> None:
        be_linux_4_18()
        result = prock.run(BURN)
        assert result.returncode == 7 and result.cpu_ns and result.peak_footprint_bytes
        by_perf = "perf" if engine.core is not None and has_perf() else "waited"
        assert ("cgroup" if has_cgroups() else by_perf) in dict(result.cpu_by_source)

    in_child(check)


@needs_filters
@on_linux_engines
def test_a_tree_on_linux_4_18(engine: Engine) -> None:
    def check() -> None:
        be_linux_4_18()
        with opened(["/bin/sh", "-c", "sleep 60 & sleep 60; :"]) as process:
            until(lambda: size(process.pid) == 3)
            tree = prock.snapshot_tree(process.pid)
            assert tree is not None and tree.process_count == 3 and tree.rss_bytes
            with prock.TreeSampler(process.pid, accounting="ledger") as sampler:
                assert sampler.sample().process_count == 3
            assert process.kill_tree(0)

    in_child(check)


@needs_filters
@pytest.mark.parametrize("command", [["doctor"], ["run", "--", "true"], ["tree", "--json", "1"], ["stat"]])
def test_the_command_on_linux_4_18(command: list[str]) -> None:
    def check() -> None:
        be_linux_4_18()
        result = subprocess.run([sys.executable, "-m", "prock", *command], capture_output=True, text=True)
        assert result.returncode == 0 and "Traceback" not in result.stderr, result

    in_child(check)


def without_pidfds() -> None:
    refuse("pidfd_open", errno.ENOSYS)


def without_signals_through_pidfds() -> None:
    """Some sandbox: no kernel has the one without the other."""
    refuse("pidfd_send_signal", errno.ENOSYS)


@needs_filters
@pytest.mark.parametrize("hinder", [without_pidfds, without_signals_through_pidfds])
def test_a_tree_ends_without_pidfds(hinder: Callable[[], None]) -> None:
    """Generation by generation: who is a child of this process can be told safely, and orphans become that."""

    def check() -> None:
        hinder()
        with opened(GENERATIONS, accounting="waited", reap_orphans=True) as process:
            until(lambda: size(process.pid) == 5)
            assert process.kill_tree(0)
            assert process.finish().survivors == () and process.wait() == -signal.SIGKILL

    in_child(check)


@needs_filters
def test_a_terminated_tree_ends_without_pidfds() -> None:
    """SIGTERM goes to the command alone; after the grace who is left is killed."""

    def check() -> None:
        without_pidfds()
        with opened(GENERATIONS, accounting="waited", reap_orphans=True) as process:
            until(lambda: size(process.pid) == 5)
            assert process.kill_tree(0.05) and process.wait() == -signal.SIGTERM

    in_child(check)


@needs_filters
@pytest.mark.parametrize("pass_fds", [False, True])
def test_descriptors_are_closed_without_close_range(pass_fds: bool) -> None:
    def check() -> None:
        refuse("close_range", errno.ENOSYS)
        strange, passed = os.open("/", os.O_RDONLY), os.open("/", os.O_RDONLY)
        os.set_inheritable(strange, True)
        kept = (passed,) if pass_fds else ()
        result = prock.run(LIST, stdout=subprocess.PIPE, text=True, pass_fds=kept)
        found = set(map(int, result.stdout.split()))
        assert strange not in found and (passed in found) == pass_fds

    in_child(check)


@needs_filters
def test_a_kernel_without_perf_events() -> None:
    def check() -> None:
        refuse("perf_event_open", errno.ENOSYS)
        with pytest.raises(prock.NotSupported):
            core().open_task_clock(None)
        result = prock.run(BURN)
        assert result.returncode == 7 and result.accounting == ("cgroup" if has_cgroups() else "waited")
        assert any("perf" in sentence for sentence in result.missing)

    in_child(check)


EVENTS = """
import sys
sys.path[:0] = {path!r}
from support.launching import launched
from prock.engine import open_engine
with launched(open_engine("native"), "/bin/true", switches=False) as tree:
    records = tree.finish()
    print(records.started, records.lost)
"""


@pytest.mark.skipif(why_refused(open_engine()) is not None, reason="no records of perf events here")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")
def test_events_that_do_not_tell_what_they_lost(tmp_path: Path) -> None:
    """Before Linux 6.0 they can't be asked to."""
    library = tmp_path / "older.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", NEW_CALLS, "-o", library, "-ldl"], check=True)
    script = EVENTS.format(path=[str(Path(__file__).parents[2])])
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("1 0\n", "")


def test_a_group_that_can_not_kill_and_knows_no_peak(tmp_path: Path) -> None:
    """Before Linux 5.14 and 5.19, or without the memory controller."""
    group = RunCgroup.__new__(RunCgroup)
    group.directory = os.open(tmp_path, os.O_RDONLY)
    try:
        assert group.peak_memory() is None
        group.kill()
    finally:
        os.close(group.directory)
    assert list(tmp_path.iterdir()) == []
