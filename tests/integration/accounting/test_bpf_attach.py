"""CPU time of a running tree by eBPF records, against the account of a cgroup. As root, where the kernel allows it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.accounts import open_account
from support.command_line import TIMEOUT_S, command, environment, is_followed_by
from support.processes import Program

import prock

if sys.platform != "linux":
    pytest.skip("eBPF needs Linux", allow_module_level=True)

from support.bpf import needs_bpf

pytestmark = needs_bpf
MS = 1_000_000
STORM = """
for _ in range(200):
    child(lambda: burn(0.005)); os.wait()
say(0)"""
AUTO_REAPED = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(20):
    one = child(lambda: burn(0.03))
    while os.path.exists(f'/proc/{one}'): time.sleep(0.001)
say(0)"""
ORPHANS = """
for _ in range(50):
    child(lambda: (child(lambda: burn(0.01)), os._exit(0))); os.wait()
time.sleep(1.5)
say(0)"""


@pytest.mark.parametrize("workload", [STORM, AUTO_REAPED, ORPHANS], ids=["storm", "auto-reaped", "orphans"])
def test_the_total_is_the_account_of_the_cgroup(workload: str, puppet: Program, tmp_path: Path) -> None:
    with open_account(tmp_path / "log") as account:
        if not account.exact:
            pytest.skip("no cgroup that counts CPU time")
        assert account.group is not None
        (account.group / "cgroup.procs").write_text(str(puppet.pid))
        with prock.TreeSampler(puppet.pid, accounting="bpf") as sampler:
            used_before_ns, before = account.used_ns(), sampler.sample()
            puppet.does(workload)
            time.sleep(0.1)  # the kernel frees a process some milliseconds after its end
            after = sampler.sample()
            used_ns = account.used_ns() - used_before_ns
    assert (after.accounting, after.cpu_bias[:11]) == ("bpf", "lower bound")
    assert 0.99 * used_ns <= after.cpu_ns - before.cpu_ns <= 1.005 * used_ns + 2 * MS


def test_attach_as_root_uses_it_and_what_came_before_does_not_count(puppet: Program) -> None:
    puppet.does("burn(0.3); say(0)")
    with subprocess.Popen(
        command("attach", puppet.pid, "--json", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as attached:
        is_followed_by(attached.pid)
        puppet.does(AUTO_REAPED)
        time.sleep(0.1)
        attached.send_signal(signal.SIGINT)
        out, _ = attached.communicate(timeout=TIMEOUT_S)
    document = json.loads(out)
    assert document["accounting"] == "bpf"
    assert 600 * MS <= document["cpu_ns"] <= 800 * MS


def test_a_launched_command_is_refused() -> None:
    with pytest.raises(prock.NotSupported, match="prock attach"):
        prock.run(["true"], accounting="bpf")


def test_a_process_that_is_gone() -> None:
    popen = subprocess.Popen(["true"])
    popen.wait()
    with pytest.raises(prock.NoSuchProcess):
        prock.TreeSampler(popen.pid, accounting="bpf")
