"""``prock run`` where /proc is missing or another PID namespace's, system calls are refused, or clocks differ."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.elsewhere import CLONE_NEWNS, CLONE_NEWPID, in_child, libc, needs_root, unshare
from support.runs import groups, has_cgroups, needs_filters, refuse, until

from prock.engine import active

COMMANDS = [
    ("tree",),
    ("stat",),
    ("scan",),
    ("top", "--plain", "-n", "1"),
    ("attach", "1"),
    ("run", "true"),
    ("run", "--accounting", "waited", "/bin/true"),
]
PROCK = (sys.executable, "-m", "prock")
on_linux = pytest.mark.skipif(not active.reads_proc, reason="only Linux, with its proc")


def refused(*words: str) -> str:
    done = subprocess.run([*PROCK, *words], capture_output=True, text=True, timeout=60)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.returncode == (125 if words[0] == "run" else 1)
    return done.stderr


@needs_root
@on_linux
@pytest.mark.parametrize("words", COMMANDS)
def test_without_proc_the_reason_is_said(words: tuple[str, ...]) -> None:
    def check() -> None:
        unshare(CLONE_NEWNS)
        assert libc.mount(None, b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
        assert libc.mount(b"none", b"/proc", b"tmpfs", 0, None) == 0
        assert "no proc is mounted at /proc" in refused(*words)

    in_child(check)


@needs_root
@on_linux
@pytest.mark.parametrize("words", COMMANDS)
def test_the_proc_of_another_pid_namespace_is_not_used(words: tuple[str, ...]) -> None:
    def check() -> None:
        unshare(CLONE_NEWPID)
        in_child(lambda: refused_as_foreign(*words))

    in_child(check)


def refused_as_foreign(*words: str) -> None:
    assert "/proc belongs to another PID namespace" in refused(*words)


@needs_root
@on_linux
def test_functions_do_not_use_the_proc_of_another_pid_namespace() -> None:
    functions = ("get_memory()", "list_all_pids()", "run(['true'])", "TreeSampler()", "kill_tree(1)")
    program = f"""
import prock
for call in {functions!r}:
    try:
        eval(f"prock.{{call}}")
    except prock.NotSupported as error:
        assert "another PID namespace" in str(error)
    else:
        raise SystemExit(call)
"""

    def check() -> None:
        unshare(CLONE_NEWPID)
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    in_child(check)


@needs_filters
@on_linux
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("call", ["waitid", "wait4", "rt_sigtimedwait", "socketpair"])
def test_a_refused_system_call_is_named_and_nothing_is_started(call: str, error: int, tmp_path: Path) -> None:
    if call == "socketpair" and active.launcher is None:
        pytest.skip("only the launcher needs it")

    def check() -> None:
        pid = os.fork()
        if pid == 0:
            refuse(call, error)
            with open(tmp_path / "errors", "wb") as file:
                os.dup2(file.fileno(), 2)
            os.execv(PROCK[0], [*PROCK, "run", "-q", "touch", str(tmp_path / "started")])
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 125
        assert call in (tmp_path / "errors").read_text()
        assert not (tmp_path / "started").exists()
        assert not groups(pid)

    in_child(check)


@needs_filters
@on_linux
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_without_clone3_a_command_runs_and_is_counted(error: int, tmp_path: Path) -> None:
    """It is forked, and joins its cgroup before the command is executed."""

    def check() -> None:
        pid = os.fork()
        if pid == 0:
            refuse("clone3", error)
            os.chdir(tmp_path)
            with open("inherited", "wb") as file:
                os.dup2(file.fileno(), 7)
            command = "true & wait; echo here >&7; exit 3"
            os.execv(PROCK[0], [*PROCK, "run", "-q", "--json", "x.json", "sh", "-c", command])
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        assert (tmp_path / "inherited").read_text() == "here\n"
        document = json.loads((tmp_path / "x.json").read_text())
        assert document["cpu_ns"] > 0 and document["survivors"] == []
        assert has_cgroups() is ("cgroup" in document["cpu_by_source"])
        assert not groups(pid)

    in_child(check)


@needs_root
@on_linux
@pytest.mark.skipif(not has_cgroups(), reason="no cgroups")
def test_runs_in_different_mount_namespaces_leave_each_others_cgroups_alone(tmp_path: Path) -> None:
    other = ["unshare", "--mount", "--propagation", "private", *PROCK, "run", "-q", "true"]
    command = [*PROCK, "run", "-q", "--json", "x.json", "sh", "-c", f"{' '.join(other)}; sleep 0.1"]
    with subprocess.Popen(command, cwd=tmp_path) as outer:
        until(lambda: groups(outer.pid) or outer.poll() is not None)
        beside = subprocess.run(other, check=False)
    assert (outer.returncode, beside.returncode) == (0, 0)
    document = json.loads((tmp_path / "x.json").read_text())
    assert "cgroup" in document["cpu_by_source"]
    assert not [sentence for sentence in document["missing"] if "removed" in sentence]


@needs_root
@on_linux
@pytest.mark.skipif(
    not (has_cgroups() and os.path.exists("/proc/self/ns/time")), reason="no cgroups, or Linux before 5.6"
)
def test_runs_in_different_time_namespaces_leave_each_others_cgroups_alone(tmp_path: Path) -> None:
    other = f"unshare -T --boottime 100000 --fork {' '.join(PROCK)} run -q true"
    command = [*PROCK, "run", "-q", "--json", "x.json", "sh", "-c", f"{other}; sleep 0.1"]
    with subprocess.Popen(command, cwd=tmp_path) as outer:
        until(lambda: groups(outer.pid) or outer.poll() is not None)
        other_way = subprocess.run(["unshare", "-T", "--boottime", "100000", "--fork", *PROCK, "run", "-q", "true"])
    assert (outer.returncode, other_way.returncode) == (0, 0)
    document = json.loads((tmp_path / "x.json").read_text())
    assert "cgroup" in document["cpu_by_source"]
    assert not [sentence for sentence in document["missing"] if "removed" in sentence]
