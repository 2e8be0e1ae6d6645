"""What a type checker must see of commands that are run. Not run: checked with the rest."""

from __future__ import annotations

import subprocess
from typing import Any, assert_type

import prock
from prock import CpuTime, DiskIo, RunResult

result = prock.run(["make", "-j2"], capture_output=True, text=True, timeout=5.0, labels={"name": "build"})
assert_type(result, RunResult)
assert_type(result.returncode, int | None)
assert_type(result.exit_code, int | None)
assert_type(result.cpu_ns, int | None)
assert_type(result.cpu_time, CpuTime | None)
assert_type(result.cpu_percent, prock.CpuPercent | None)
assert_type(result.disk_io, DiskIo | None)
assert_type(result.survivors, tuple[prock.Survivor, ...])
assert_type(result.commands, tuple[prock.CommandUsage, ...])
assert_type(result.processes, tuple[prock.ProcessUsage, ...])
assert_type(result.source("cpu"), prock.Source | None)
assert_type(result.cpu_by_source, tuple[tuple[str, int], ...])
assert_type(result.missing, tuple[str, ...])
assert_type(result.stdout, Any)
assert_type(result.as_document(), dict[str, object])
assert_type(prock.run("exit 3", shell=True, wait_all=True, kill_tree=True, kill_after=0.5, pss=True), RunResult)

with prock.Popen(["cat"], stdin=subprocess.PIPE, accounting="waited", interval=0.5, whole_tree=True) as process:
    assert_type(process, prock.Popen)
    assert_type(process.pid, int)
    assert_type(process.send_tree_signal(15), int)
    assert_type(process.kill_tree(0.5), bool)
assert_type(process.finish(timeout=1.0), RunResult)
as_subprocess: subprocess.Popen[Any] = process


async def several() -> None:
    assert_type(await prock.arun(["true"], check=True, input=b""), RunResult)
