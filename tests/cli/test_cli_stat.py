"""``prock stat``."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.command_line import environment, prock, prock_json
from support.run_engines import on_both
from support.subjects import Family

import prock as package

pytestmark = on_both

KEYS = {
    "schema", "pid", "ppid", "pgrp", "session", "comm", "path", "state", "tty", "start_ticks", "start_time", "age_s",
    "thread_count", "children", "cpu_time", "waited_for_children_cpu_time", "rss_bytes", "vsize_bytes", "minor_faults",
    "major_faults", "disk_io", "fd_count", "refused", "cmdline", "directory", "user", "real_user", "nice", "cgroup",
}  # fmt: skip
"""The shape that programs rely on: what is renamed or removed needs another schema."""


def facts(text: str) -> dict[str, str]:
    """The lines above the first empty one, by their labels."""
    head = text.split("\n\n")[0].split("\n")
    return {line[:12].strip(): line[12:] for line in head}


def test_json_has_the_documented_shape(family: Family) -> None:
    answer = prock_json("stat", family.head)
    assert set(answer) == KEYS
    assert answer["schema"] == "prock.stat/1"
    for time_used in (answer["cpu_time"], answer["waited_for_children_cpu_time"]):
        assert time_used["total_ns"] == time_used["user_ns"] + time_used["system_ns"]
    assert set(answer["disk_io"]) == set(package.DiskIo._fields)


def test_json_is_what_the_library_says(family: Family) -> None:
    answer = prock_json("stat", family.head)
    liveness = package.get_liveness_info(family.head)
    assert liveness is not None
    assert answer["pid"] == answer["pgrp"] == answer["session"] == family.head
    assert answer["ppid"] == os.getpid()
    assert answer["children"] == [family.middle]
    assert (answer["comm"], answer["state"], answer["thread_count"]) == ("head", "S", 1)
    assert (answer["start_ticks"], answer["start_time"]) == (liveness.start_ticks, liveness.start_time)
    assert answer["path"] == package.get_process_path(family.head)
    assert answer["refused"] == []


def test_command_user_directory_nice_and_cgroup(tmp_path: Path, command_engine: str) -> None:
    with subprocess.Popen(
        ["nice", "-n", "3", "sh", "-c", "echo; read line; :", "sh", "--password", "hunter2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    ) as popen:
        assert popen.stdout is not None and popen.stdout.readline() == b"\n"
        answer = prock_json("stat", popen.pid)
        assert answer["cmdline"] == ["sh", "-c", "echo; read line; :", "sh", "--password", "***"]
        user = Path("/proc/self").owner()
        assert (answer["user"], answer["real_user"], answer["nice"]) == (user, user, 3)
        assert answer["directory"] == str(tmp_path)
        groups = Path(f"/proc/{popen.pid}/cgroup").read_text().splitlines()
        group = next((line.removeprefix("0::") for line in groups if line.startswith("0::")), None)
        assert answer["cgroup"] == (None if command_engine == "portable" else group)
        page = facts(prock("stat", popen.pid).stdout)
        assert page["command"] == "sh -c 'echo; read line; :' sh --password hunter2"  # what ps shows
        assert facts(prock("stat", popen.pid, "--no-args").stdout)["command"] == "sh"
        assert prock_json("stat", popen.pid, "--no-args")["cmdline"] == ["sh"]
        assert (page["directory"], page["user"], page["nice"]) == (str(tmp_path), user, "3")
        popen.communicate(b"\n")


def test_default_is_the_process_that_calls() -> None:
    assert prock_json("stat")["pid"] == os.getpid()


def test_threads_and_waited_for_children(spawn: processes.Spawn) -> None:
    program = spawn(
        "threading.Thread(target=signal.pause, daemon=True).start()\n"
        "pid = os.fork()\n"
        "if pid == 0: burn(0.05); os._exit(0)\n"
        "os.waitpid(pid, 0); say(); wait()\n"
    )
    program.hears()
    answer = prock_json("stat", program.pid)
    assert answer["thread_count"] == 2
    assert answer["children"] == []
    assert answer["waited_for_children_cpu_time"]["total_ns"] >= 30_000_000  # two ticks may be missing
    rows = prock("stat", program.pid).stdout
    assert re.search(r"^CPU +user +system +total$", rows, re.MULTILINE)
    assert all(re.search(rf"  {of}$", rows, re.MULTILINE) for of in ("own", "waited-for children", "sum"))


def test_page_names_everything(family: Family) -> None:
    page = facts(prock("stat", family.head, env=environment(TZ="XYZ-5:30")).stdout)
    assert page["process"] == f"{family.head} head"
    assert page["parent"].startswith(f"{os.getpid()} ")
    assert page["children"] == "1"
    assert page["state"] == "S (sleeping)"
    assert page["terminal"] == "none"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+05:30, \d+s ago", page["started"])
    assert page["threads"] == "1"


def test_zombie(spawn: processes.Spawn) -> None:
    program = spawn(
        "pid = os.fork()\n"
        "if pid == 0: os._exit(0)\n"
        "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT); say(pid); wait()\n"
    )
    (pid,) = program.pids()
    page = facts(prock("stat", pid).stdout)
    assert page["state"] == "Z (zombie, not reaped by its parent)"
    assert page["path"] == "-"
    assert prock_json("stat", pid)["path"] is None


def test_main_thread_gone_others_running(spawn: processes.Spawn) -> None:
    program = spawn(
        "def last():\n"
        "    while open(f'/proc/{os.getpid()}/stat').read().rpartition(')')[2].split()[0] != 'Z': pass\n"
        "    say(); wait()\n"
        "threading.Thread(target=last).start()\n"
        "libc.syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)  # exit of this thread alone\n"
    )
    program.hears()
    assert facts(prock("stat", program.pid).stdout)["state"] == "Z (main thread has ended, 1 other running)"


def test_another_users_process(family: Family, as_other_user: dict[str, Any]) -> None:
    page = prock("stat", family.head, **as_other_user).stdout
    assert facts(page)["path"] == "access denied"
    assert re.search(r"^I/O +access denied$", page, re.MULTILINE)
    answer = prock_json("stat", family.head, **as_other_user)
    assert (answer["path"], answer["disk_io"]) == (None, None)
    assert set(answer["refused"]) == {"io", "exe", "cwd"}
    assert (answer["directory"], answer["user"]) == (None, "root")
    assert facts(page)["directory"] == "access denied"
    assert answer["cpu_time"]["total_ns"] > 0


def test_kernel_thread() -> None:
    row = package.get_liveness_info(2) if 2 in package.list_all_pids() else None
    if row is None or (row.comm, row.ppid) != ("kthreadd", 0):
        pytest.skip("no kernel threads in this PID namespace")
    page = facts(prock("stat", 2).stdout)
    assert page["parent"] == "none in this PID namespace"
    assert page["path"] in ("none (kernel thread)", "access denied")
