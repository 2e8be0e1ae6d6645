"""Commands that are run where something is refused or missing: the best that is left, and what it lacks is said."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import (
    CLONE_NEWNS,
    MS_PRIVATE,
    MS_REC,
    become_nobody,
    in_child,
    libc,
    mount_proc,
    needs_root,
    unshare,
)
from support.runs import MS, PYTHON, groups, has_cgroups, has_perf, is_public, needs_filters, refuse

import prock
from prock.engine import open_engine, using
from prock.engine.linux.mountinfo import cgroup2_home

MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
BURN = ["/bin/sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; (exit 7)"]
ORPHAN = ["/bin/sh", "-c", "(i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done) & exit 7"]
needs_cgroups = pytest.mark.skipif(not has_cgroups(), reason="no cgroup can be made here")
needs_perf = pytest.mark.skipif(not has_perf(), reason="no perf events here")
needs_public_files = pytest.mark.skipif(
    not is_public(open_engine().launcher or prock.__file__), reason="other users can't execute the launcher"
)


def be_nobody() -> None:
    """Whatever is imported on the way may be in a place that only root can read."""
    prock.run(["sleep", "0.03"], wait_all=True)
    become_nobody()
    os.chdir("/")


def agrees(result: prock.RunResult) -> bool:
    """Of a tree that is waited for to the last, what waiting and a cgroup tell is the same, and in the total.

    Of perf events without a cgroup a guess of what was stolen is taken off.
    """
    known = dict(result.cpu_by_source)
    least, most = 0.95 * known["waited"] - 4 * MS, 1.05 * known["waited"] + 4 * MS
    assert result.cpu_ns is not None
    return least <= known.get("cgroup", least) <= most and least <= result.cpu_ns


def check_without(lost: str, command: list[str] = BURN, **options: Any) -> prock.RunResult:
    result = prock.run(command, **options)
    assert result.returncode == 7 and result.cpu_ns
    assert lost not in dict(result.cpu_by_source)
    assert any(lost in sentence for sentence in result.missing) or (
        lost == "cgroup" and "perf" in dict(result.cpu_by_source)
    )
    with pytest.raises(prock.NotSupported):
        prock.run(command, accounting=lost)
    return result


@needs_filters
def test_no_perf_events() -> None:
    def check() -> None:
        refuse("perf_event_open", errno.EACCES)
        result = check_without("perf", ORPHAN, wait_all=True)
        assert result.accounting == ("cgroup" if has_cgroups() else "waited")
        assert len(result.missing) == (1 if has_cgroups() else 2) and agrees(result)

    in_child(check)


@needs_filters
def test_a_launch_that_can_not_enter_the_group_at_birth() -> None:
    """It joins late, and what it used before counts in no source."""

    def check() -> None:
        refuse("clone3", errno.ENOSYS)
        result = prock.run(BURN)
        assert result.returncode == 7 and result.missing == () and agrees(result)
        assert result.accounting == "cgroup" or not has_cgroups()

    in_child(check)


@needs_filters
def test_no_pidfds() -> None:
    def check() -> None:
        refuse("pidfd_open", errno.ENOSYS)
        assert prock.run(BURN).returncode == 7
        with prock.Popen(["sleep", "60"]) as process:
            process.terminate()
            assert process.wait() == -signal.SIGTERM

    in_child(check)


def hide_cgroups(by: Callable[[bytes], int]) -> None:
    home = cgroup2_home("/proc")
    assert home is not None
    unshare(CLONE_NEWNS)
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    assert by(home[0].point.encode()) == 0


@needs_root
@needs_cgroups
@pytest.mark.parametrize(
    "hide",
    [
        pytest.param(lambda at: libc.mount(at, at, None, MS_BIND | MS_REMOUNT | MS_RDONLY, None), id="read-only"),
        pytest.param(lambda at: libc.mount(b"none", at, b"tmpfs", 0, None), id="other files in their place"),
        pytest.param(lambda at: libc.umount2(at, 2), id="not mounted"),
    ],
)
def test_no_cgroups(hide: Callable[[bytes], int]) -> None:
    def check() -> int:
        hide_cgroups(hide)
        result = check_without("cgroup", ORPHAN, wait_all=True)
        assert ("perf" in dict(result.cpu_by_source)) == has_perf() and len(result.missing) == 2 * (not has_perf())
        assert agrees(result) and result.survivors == ()
        return os.getpid()

    assert not groups(in_child(check))


@needs_root
@needs_filters
def test_neither_perf_nor_cgroups() -> None:
    def check() -> None:
        refuse("perf_event_open", errno.EPERM)
        hide_cgroups(lambda at: int(libc.umount2(at, 2)))
        result = prock.run(ORPHAN, wait_all=True)
        assert result.accounting == "waited" and agrees(result)
        assert len(result.missing) == 3 and any("SIGCHLD" in sentence for sentence in result.missing)

    in_child(check)


@needs_root
@needs_public_files
def test_an_ordinary_user() -> None:
    def check() -> None:
        be_nobody()
        result = prock.run(ORPHAN, wait_all=True)
        assert result.returncode == 7 and agrees(result) and result.disk_io is not None
        assert ("perf" in dict(result.cpu_by_source)) == has_perf()
        assert any("cgroup" in sentence for sentence in result.missing) == (not has_perf())
        with pytest.raises(prock.NotSupported):
            prock.run(BURN, accounting="cgroup")
        with pytest.raises(PermissionError):
            prock.run(["/etc/shadow"])

    in_child(check)


@needs_root
@needs_public_files
def test_hidepid(tmp_path: Path) -> None:
    def check() -> None:
        unshare(CLONE_NEWNS)
        mount_proc(str(tmp_path), "hidepid=2")
        be_nobody()
        with using(open_engine(prock.engine.active.name, str(tmp_path))):
            result = prock.run(ORPHAN, wait_all=True)
        assert result.returncode == 7 and agrees(result) and result.disk_io is not None

    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    in_child(check)


@needs_root
def test_a_command_that_becomes_another_user() -> None:
    """Root sees it all the same, and has its events."""
    program = "import os, time\nos.setresgid(1, 1, 1); os.setresuid(1, 1, 1)\nwhile time.process_time() < 0.1: pass"
    result = prock.run([*PYTHON, program])
    assert result.returncode == 0 and agrees(result) and result.disk_io is not None


@needs_root
@needs_public_files
def test_an_ordinary_users_command_that_becomes_another_user() -> None:
    """Its I/O is refused then, and that is said; its CPU is known from waiting for it."""
    su = Path("/bin/su").resolve()
    if not su.stat().st_mode & 0o4000:
        pytest.skip("no program that becomes root")

    def check() -> None:
        be_nobody()
        result = prock.run([su, "--version"], stdout=subprocess.DEVNULL)
        assert result.returncode == 0 and result.cpu_ns and dict(result.cpu_by_source)["waited"] > 0

    in_child(check)


def test_few_descriptors() -> None:
    def check() -> None:
        limit = max(map(int, os.listdir("/proc/self/fd"))) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 24, limit + 24))
        assert prock.run(BURN).returncode == 7
        before = set(os.listdir("/proc/self/fd"))
        for room in range(24):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit + room, limit + 24))
            with suppress(OSError):
                assert prock.run(["/bin/sh", "-c", "exit 7"]).returncode == 7
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit + 24, limit + 24))
            assert set(os.listdir("/proc/self/fd")) == before
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        assert not groups()

    in_child(check)
