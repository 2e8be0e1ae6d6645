"""How runs are brought to their end, and what is left of those that can't be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import in_child
from support.processes import descendants
from support.runs import (
    MS,
    children_of,
    drive,
    groups,
    has_cgroups,
    has_ended,
    has_perf,
    name_of,
    needs_filters,
    opened,
    python,
    refuse,
    state_of,
    until,
)

import prock
from prock.engine import active
from prock.engine.linux.mountinfo import cgroup2_home
from prock.runner.build_result import finish
from prock.runner.session import Options, RunSession
from prock.runner.spawn_linux import SpawnOptions
from prock.runner.terminate import end_tree

STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
SLEEP = "time.sleep(3600)"
HAS_LAUNCHER = active.launcher is not None
STARTS_IN_CGROUP = HAS_LAUNCHER and has_cgroups()
"""Without the launcher a command joins its cgroup after its start; processes that it starts before are not in it."""
needs_cgroups = pytest.mark.skipif(not STARTS_IN_CGROUP, reason="no cgroup can be made here, or no launcher joins it")


def launch(program: str, **options: Any) -> RunSession:
    setup = SpawnOptions([b"=".join(pair) for pair in os.environb.items()])
    return RunSession.launch(python(program), setup, Options(**options))


def times_out(command: list[str], **options: Any) -> Any:
    """The result of a run of a command that does not end by itself."""
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        prock.run(command, **{"timeout": 0.2, "kill_after": 60, **options})
    assert caught.value.timeout <= 0.2 and caught.value.cmd == command
    return caught.value.result  # type: ignore[attr-defined]


@pytest.mark.parametrize("adopt", [True, False])
def test_orphans_in_other_sessions_are_ended_too(adopt: bool) -> None:
    def check() -> None:
        for at_once in (True, False):
            program = f"orphan(lambda: {SLEEP}); orphan(lambda: (orphan(lambda: {SLEEP}), {SLEEP}))\n"
            program += "say('ready')\n" + ("" if at_once else SLEEP)
            options: dict[str, Any] = {"wait_all": True} if at_once else {}
            result = times_out(python(program), reap_orphans=adopt, stdout=subprocess.PIPE, text=True, **options)
            assert result.timed_out and result.survivors == () and not groups()
            assert result.returncode == -signal.SIGTERM or (at_once and result.returncode == 0)
            assert result.stdout in ("ready\n", "")
            assert not descendants(os.getpid())

    if not adopt and not STARTS_IN_CGROUP:
        pytest.skip("no cgroup, and no subreaper: nobody knows of orphans")
    in_child(check)


def test_who_ignores_it_is_killed() -> None:
    def check() -> None:
        with opened(python(f"{STUBBORN}say('ready')\n{SLEEP}"), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            assert process.kill_tree(0.01)
            result = process.finish()
        assert result.returncode == -signal.SIGKILL and not result.timed_out and result.survivors == ()

    in_child(check)


def test_who_is_stopped_hears_of_it() -> None:
    with opened(python(f"os.kill(os.getpid(), signal.SIGSTOP)\n{SLEEP}")) as process:
        until(lambda: state_of(process.pid) == "T")
        assert process.kill_tree(3600)
    assert process.returncode == -signal.SIGTERM


def test_what_was_ended_can_be_ended_again() -> None:
    """Also just when its account is being closed: there is nobody left then to be told."""
    for _ in range(50):
        with prock.Popen(["sleep", "60"]) as process:
            assert process.kill_tree(0)
            assert process.kill_tree(0)
            assert process.send_tree_signal(signal.SIGTERM) == 0


@pytest.mark.skipif(not HAS_LAUNCHER, reason="no launcher")
def test_one_that_stops_itself_goes_on_when_it_is_told_to() -> None:
    running = launch("os.kill(os.getpid(), signal.SIGSTOP)\nuse(0.03)", adopt=False)
    try:
        while running.stopped_by != signal.SIGSTOP:
            running.step()
        os.kill(running.pid, signal.SIGCONT)
        drive(running)
        assert running.stopped_by is None
    finally:
        result = finish(running)
    assert result.returncode == 0 and result.cpu_ns is not None and result.cpu_ns >= 30 * MS


def test_those_that_fork_when_they_are_asked_to_end() -> None:
    program = f"""
def again(*_): child(sleep)
def sleep(): signal.signal(signal.SIGTERM, again); time.sleep(3600)
for _ in range(20): child(sleep)
signal.signal(signal.SIGTERM, again)
say('ready')
while True: {SLEEP}"""

    def check() -> None:
        with opened(python(program), stdout=subprocess.PIPE, whole_tree=True) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            assert process.send_tree_signal(0) == 21
            assert process.kill_tree(0.1)
            result = process.finish()
        assert result.survivors == () and not groups() and not descendants(os.getpid())

    in_child(check)


def test_what_is_left_behind_is_ended_where_that_is_asked_for() -> None:
    def check() -> None:
        result = prock.run(python(f"orphan(lambda: {SLEEP})"), kill_tree=True, kill_after=60)
        assert result.returncode == 0 and result.survivors == () and not result.timed_out
        assert not descendants(os.getpid()) and not groups()

    in_child(check)


@pytest.mark.parametrize("adopt", [True, False])
def test_survivors_are_named(adopt: bool) -> None:
    """With what they have used so far, which is part of the total. They go on."""
    program = """
reader, writer = os.pipe()
def survive(): use(0.05); os.write(writer, b'x'); os.close(writer); sys.stdin.read()
orphan(survive)
os.read(reader, 1)"""

    def check() -> None:
        alive, end = os.pipe()
        result = prock.run(python(program), stdin=alive, reap_orphans=adopt)
        os.close(alive)
        (survivor,) = result.survivors
        assert survivor.cpu_ns >= 50 * MS and survivor.rss_bytes and survivor.comm.startswith("python")
        assert result.returncode == 0 and result.cpu_ns is not None and result.cpu_ns >= survivor.cpu_ns + 10 * MS
        until(lambda: state_of(survivor.pid) == "S")
        assert not groups()
        os.close(end)
        until(lambda: has_ended(survivor.pid))

    if not adopt and not STARTS_IN_CGROUP:
        pytest.skip("no cgroup, and no subreaper: nobody knows of orphans")
    in_child(check)


def test_waiting_for_all() -> None:
    """Its wall time is the tree's, and waiting costs next to nothing."""

    def check() -> None:
        alive, end = os.pipe()
        with opened(
            python("orphan(lambda: sys.stdin.read())"), stdin=alive, whole_tree=True, reap_orphans=True
        ) as process:
            os.close(alive)
            process.wait()
            for _ in range(2):
                with pytest.raises(subprocess.TimeoutExpired):
                    process.finish(timeout=0.15)
            os.close(end)
            result = process.finish()
        assert result.survivors == () and result.returncode == 0
        assert result.wall_ns >= 300 * MS
        assert result.cost_ns <= result.wall_ns / 4

    in_child(check)


def test_the_time_is_over_while_the_account_is_closed() -> None:
    """A command that ended in time has not timed out, however long this process takes to notice."""
    result = prock.run(["true"], timeout=3600)
    assert not result.timed_out
    with pytest.raises(subprocess.TimeoutExpired):
        prock.run(["sleep", "60"], timeout=0, kill_after=0)


@needs_cgroups
def test_one_that_is_killed_leaves_a_group_for_the_next_to_remove() -> None:
    """The command goes on; whoever of it is left is moved to where it would have been."""
    program = "import os, prock, sys\nprock.Popen(['cat'], stdout=2).wait()"

    def check() -> None:
        alive, end = os.pipe()
        killed = subprocess.Popen([sys.executable, "-c", program], stdin=alive)
        os.close(alive)
        (command,) = until(lambda: [pid for pid in children_of(killed.pid) if name_of(pid) == "cat"])
        (group,) = groups(killed.pid)
        killed.kill()
        killed.wait()
        assert not has_ended(command) and os.path.exists(group)
        assert prock.run(["true"]).survivors == ()
        home = cgroup2_home("/proc")
        assert home is not None and not os.path.exists(group) and not has_ended(command)
        assert str(command) in Path(home[1], "cgroup.procs").read_text().split()
        os.close(end)
        until(lambda: has_ended(command))

    in_child(check)


def own_group(program: str) -> str:
    """A program that knows the directory of the group that it was born in."""
    home = cgroup2_home("/proc")
    assert home is not None
    top, root = home[0].point, home[0].root
    return f"""
name = [line for line in open('/proc/self/cgroup') if line.startswith('0::')][0][3:].strip()
group = {top!r} + (name[len({root!r}):] if {root!r} != '/' else name)
def enter(path): open(path + '/cgroup.procs', 'w').write(str(os.getpid()))
{program}"""


@needs_cgroups
@pytest.mark.parametrize("adopt", [True, False])
def test_a_command_that_makes_groups_below(adopt: bool) -> None:
    """All below is its own: accounted for, ended, and removed."""
    program = own_group(
        "os.makedirs(group + '/a/b'); os.mkdir(group + '/c')\n"
        f"orphan(lambda: (enter(group + '/a/b'), use(0.05), say('ready'), {SLEEP}))\n"
        f"{SLEEP}"
    )

    def check() -> None:
        with opened(python(program), stdout=subprocess.PIPE, reap_orphans=adopt) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            assert process.send_tree_signal(0) == 2
            assert process.kill_tree(60)
            result = process.finish()
        assert result.survivors == () and not groups() and result.accounting == "cgroup"
        assert result.cpu_ns is not None and result.cpu_ns >= 50 * MS

    in_child(check)


@needs_cgroups
@pytest.mark.skipif(not has_perf(), reason="no perf events here")
def test_what_leaves_the_group_and_is_not_reaped_still_counts() -> None:
    program = own_group(
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "enter(os.path.dirname(group))\n"
        "for _ in range(10):\n"
        "    pid = child(lambda: use(0.05))\n"
        "    while os.path.exists(f'/proc/{pid}'): time.sleep(0.001)\n"
    )
    result = prock.run(python(program), check=True)
    assert result.cpu_ns is not None and result.cpu_ns > 400 * MS and result.accounting == "perf"
    bias = next(source.bias for source in result.sources if source.figure == "cpu")
    assert "processes have left the command's cgroup" in bias and not bias.startswith("exact")


@needs_cgroups
def test_groups_below_that_are_in_use_stay() -> None:
    """Until they are not: then the next run removes them."""

    def check() -> str:
        alive, end = os.pipe()
        program = own_group(
            "os.mkdir(group + '/a'); reader, writer = os.pipe()\n"
            "def survive(): enter(group + '/a'); os.close(writer); sys.stdin.read()\n"
            "orphan(survive); os.close(writer); os.read(reader, 1)"
        )
        result = prock.run(python(program), stdin=alive)
        os.close(alive)
        (survivor,) = result.survivors
        (group,) = groups()
        assert os.listdir(f"{group}/a") and Path(f"{group}/a/cgroup.procs").read_text().split() == [str(survivor.pid)]
        os.close(end)
        until(lambda: has_ended(survivor.pid))
        return group

    group = in_child(check)
    assert prock.run(["true"]).returncode == 0
    assert not os.path.exists(group)


@needs_cgroups
def test_a_command_that_leaves_its_group() -> None:
    """Its group's account is not the whole then: that is said, and the total holds what others know of."""
    program = own_group("enter(os.path.dirname(group)); use(0.2); os.waitpid(child(lambda: use(0.05)), 0)")

    def check() -> None:
        result = prock.run(python(program))
        source = result.source("cpu")
        assert result.returncode == 0 and result.cpu_ns is not None and result.cpu_ns >= 250 * MS
        assert source is not None and source.bias.startswith("lower bound") and "left" in source.bias
        assert dict(result.cpu_by_source)["cgroup"] < 200 * MS and not groups()

    in_child(check)


@needs_cgroups
@pytest.mark.parametrize("accounting", ["auto", "cgroup"])
def test_a_command_that_leaves_its_group_and_removes_it(accounting: str) -> None:
    """The other sources count on; the exit code and the result stay."""
    program = own_group("enter(os.path.dirname(group)); os.rmdir(group); use(0.05); sys.exit(5)")

    def check() -> None:
        result = prock.run(python(program), accounting=accounting)
        assert result.returncode == 5 and "cgroup" not in dict(result.cpu_by_source) and not groups()
        assert any("group was removed" in sentence for sentence in result.missing) == (
            "perf" not in dict(result.cpu_by_source)
        )
        assert result.cpu_ns is not None and result.cpu_ns >= 50 * MS

    in_child(check)


@pytest.mark.parametrize("accounting", ["auto", "waited"])
def test_a_chain_of_processes_is_ended(accounting: str) -> None:
    """Each starts the next one and exits: one look at the tree may see exited ones only."""
    program = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN); end = time.monotonic() + 60\n"
        "while time.monotonic() < end:\n    if os.fork(): os._exit(0)\n    time.sleep(0.0003)\n"
    )

    def check() -> None:
        reader, writer = os.pipe()
        command = ["sh", "-c", '"$@" & sleep 60', "sh", sys.executable, "-S", "-c", program]
        with pytest.raises(subprocess.TimeoutExpired):
            prock.run(command, stdout=writer, timeout=0.5, kill_after=0.1, accounting=accounting)
        os.close(writer)
        os.set_blocking(reader, False)
        assert os.read(reader, 1) == b""  # no process holds the other end

    in_child(check)


@needs_cgroups
def test_rubbish_beside_the_groups() -> None:
    """Names that no run would give, and pids that there can't be, stop nobody."""
    home = cgroup2_home("/proc")
    assert home is not None
    namespace = f"{os.stat('/proc/self/ns/pid').st_ino:x}"
    names = (f"{10**30}-1-0", "x-1-0", "1", "\u0663-1-0", f"{os.getpid()}-\xb2-0")
    rubbish = [f"{home[1]}/prock-run-{namespace}-{name}" for name in names]
    try:
        for path in rubbish:
            os.mkdir(path)
        assert prock.run(["true"]).accounting == "cgroup"
    finally:
        for path in rubbish:
            if os.path.exists(path):
                os.rmdir(path)


@pytest.mark.parametrize("accounting", ["auto", "ledger"])
def test_a_tree_that_was_attached_to(accounting: str) -> None:
    program = subprocess.Popen(python(f"say('ready')\nsys.stdin.readline(); use(0.1)\n{SLEEP}"), stdin=-1, stdout=-1)
    try:
        assert program.stdin is not None and program.stdout is not None and program.stdout.readline() == b"ready\n"
        running = RunSession.attach(program.pid, Options(accounting=accounting))
        try:
            program.stdin.write(b"\n")
            program.stdin.flush()
            while (running.step(), running.status().cpu_ns or 0)[1] < 95 * MS:  # type: ignore[func-returns-value]
                running.sample()
            assert running.signal_tree(0) == 1 and not running.is_over()
            killer = end_tree(running, 60)
            program.wait()
            assert killer
        finally:
            result = finish(running)
        assert result.returncode is None and result.args == () and result.survivors == ()
        assert result.cpu_ns is not None and 95 * MS <= result.cpu_ns <= 200 * MS
    finally:
        program.kill()
        program.communicate()


@needs_filters
def test_without_pidfds_signals_go_to_children_of_this_process_alone() -> None:
    """Another's pid alone could be somebody else's by then."""

    def check() -> None:
        refuse("pidfd_open", 38)
        with opened(["sh", "-c", "sleep 60 & sleep 60; :"]) as process:
            until(lambda: len(children_of(process.pid)) == 2)
            assert process.send_tree_signal(signal.SIGTERM) == 1

    in_child(check)
