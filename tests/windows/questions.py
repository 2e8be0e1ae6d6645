"""Every question of prock, asked on Windows: that it is answered in the way that the documentation promises.

A program and no test module, as it runs under a Python without pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from typing import TypeVar

import prock
import prock.engine
from prock.cli import main

PYTHON = [sys.executable, "-c"]
BUSY = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BUSY!r}]); print('there', flush=True)\n"
Answer = TypeVar("Answer")
checks: list[Callable[[], None]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    checks.append(function)
    return function


class Tree:
    """A Python with a child that computes."""

    def __enter__(self) -> int:
        self.root = subprocess.Popen([*PYTHON, PARENT + "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.root.stdout is not None
        self.root.stdout.readline()
        return self.root.pid

    def __exit__(self, *exception: object) -> None:
        for pid in reversed(prock.collect_tree_pids(self.root.pid) or []):
            os.kill(pid, 15)
        self.root.wait()
        assert self.root.stdin is not None and self.root.stdout is not None
        self.root.stdin.close()
        self.root.stdout.close()


def known(answer: Answer | None) -> Answer:
    assert answer is not None
    return answer


def refused(question: Callable[[], object]) -> str:
    try:
        answer = question()
    except prock.NotSupported as error:
        return str(error)
    raise AssertionError(f"answered: {answer}")


def command(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(list(arguments))
        except SystemExit as ended:
            code = int(str(ended.code or 0))
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return code, out.getvalue(), err.getvalue()


@check
def one_process() -> None:
    assert prock.engine.active.name == "portable"
    pid = os.getpid()
    assert known(prock.get_cpu_time()).total_ns > 0
    assert known(prock.get_memory()) > 2**20 and known(prock.get_memory_virtual()) > 2**20
    io = known(prock.get_disk_io())
    assert io.read_bytes is None and io.read_count is not None
    assert known(prock.get_all_stats()).memory_bytes > 2**20
    assert known(prock.get_process_comm()).lower() == "python.exe"
    assert known(prock.get_process_path()).lower() == sys.executable.lower()
    assert known(prock.get_process_environ())["PYTHONPATH"] == os.environ["PYTHONPATH"]
    assert abs(known(prock.get_start_time()) - time.time()) < 600
    assert prock.get_tty() is None
    alive = known(prock.get_liveness_info())
    assert alive.is_alive and (alive.pid, alive.pgrp, alive.session) == (pid, None, None)
    assert pid in prock.list_all_pids() and prock.build_parent_map()[pid] == prock.get_ppid()
    assert "children" in refused(prock.get_cpu_time_with_children)


@check
def who_is_gone() -> None:
    ended = subprocess.Popen([*PYTHON, ""])
    ended.wait()
    pid = ended.pid
    del ended
    for question in (prock.get_memory, prock.get_cpu_time, prock.get_liveness_info, prock.snapshot_tree):
        assert question(pid) is None or prock.get_process_path(pid) is not None, question
    for wrong in (0, -1, 2**31):
        try:
            prock.get_memory(wrong)
        except ValueError:
            continue
        raise AssertionError(wrong)


@check
def trees() -> None:
    with Tree() as root:
        assert prock.get_ppid(root) == os.getpid() and root in known(prock.get_children())
        (child,) = known(prock.get_children(root))
        assert prock.collect_tree_pids(root) == [root, child]
        assert prock.is_descendant_of(child, os.getpid(), prock.build_parent_map())
        tree = known(prock.snapshot_tree(root, io=True))
        assert [member.pid for member in tree.members] == [root, child] and known(tree.thread_count) >= 2
        assert tree.cpu_time_with_children is None and known(tree.rss_bytes) > 2**20
        scan = prock.scan_all_processes()
        assert known(prock.snapshot_tree_from_scan(root, scan)).process_count == 2


@check
def over_time() -> None:
    with Tree() as root:
        delta, total = prock.DeltaTracker(), prock.CumulativeTracker()
        assert delta.get_cpu_percent(root) is None
        with prock.TreeSampler(root, io=True) as sampler:
            before = sampler.sample()
            time.sleep(0.5)
            after = sampler.sample()
        assert before.process_count == after.process_count == len(after.members) == 2
        assert (
            0 <= known(before.cpu_ns) <= known(after.cpu_ns)
            and after.accounting == "ledger"
            and after.suspended_ns is None
        )
        assert known(delta.get_cpu_percent(root)) >= 0 and total.get_tree_cpu_ns() == 0
        assert "perf" in refused(lambda: prock.TreeSampler(root, accounting="perf"))
        samples = list(prock.watch(root, interval=0.05, count=3))
        assert len(samples) == 3
    with prock.Monitor() as monitor:
        sum(range(1_000_000))
    assert known(known(monitor.result).cpu_ns) > 0


@check
def commands_that_are_run() -> None:
    result = prock.run(
        [*PYTHON, "import sys; print(sys.stdin.read()[::-1]); sys.exit(3)"], input="abc", capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (3, "cba\n") and result.accounting == "ledger"
    assert known(result.cpu_ns) > 0 and known(result.largest_process_bytes) > 2**20 and result.user_ns is None
    assert any("Windows" in line or "system" in line for line in result.missing)
    try:
        prock.run([*PYTHON, PARENT + BUSY], timeout=2, stdout=subprocess.DEVNULL)
        raise AssertionError("in time")
    except subprocess.TimeoutExpired as expired:
        timed_out: prock.RunResult = expired.result  # type: ignore[attr-defined]  # prock's
    assert timed_out.timed_out and not timed_out.survivors
    try:
        prock.run(["there-is-no-such-command"])
    except FileNotFoundError:
        pass
    for source in ("cgroup", "perf", "waited"):
        assert source in refused(partial(prock.run, [*PYTHON, ""], accounting=source))


@check
def the_command() -> None:
    with Tree() as root:
        for words in (("stat",), ("tree",), ("tree", "--interval", "0.2"), ("top", "--plain", "--count", "2")):
            code, out, err = command(words[0], str(root), *words[1:])
            assert code == 0 and str(root) in out, (words, code, out, err)
        code, out, _ = command("scan", "--json")
        assert code == 0 and json.loads(out)
    code, out, _ = command("doctor")
    assert code == 0 and "portable" in out and "Windows" in out
    assert command("stat", "999999")[0] != 0 and command("attach", "999999")[0] != 0
    assert command("run", "-q", "--", *PYTHON, "import sys; sys.exit(4)")[0] == 4
    assert command("run", "--", "there-is-no-such-command")[0] == 127
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "account.json")
        for _ in range(2):  # the second replaces the first
            assert command("run", "-q", "--json", path, "--", *PYTHON, "")[0] == 0
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
            assert document["schema"] == "prock.run/1" and document["returncode"] == 0
        assert os.listdir(directory) == ["account.json"]
    code, _, err = command("run", "--timeout", "0.5", "--", *PYTHON, BUSY)
    assert code == 124 and "timed out" in err


failed = 0
for one in checks:
    try:
        one()
    except Exception:
        import traceback

        failed += 1
        print(f"{one.__name__}: FAILED")
        traceback.print_exc()
    else:
        print(f"{one.__name__}: as promised")
print("all passed" if not failed else f"{failed} of {len(checks)} failed")
