"""`find` and `busiest`, on real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import processes
from support.engines import on_linux_engines

import prock

pytestmark = on_linux_engines


@pytest.mark.usefixtures("engine")
def test_find(tmp_path: Path) -> None:
    name = f"f{os.getpid()}-of-more-than-15-bytes"
    program = tmp_path / name
    shutil.copy("/bin/sleep", program)
    own = Path("/proc/self").owner()
    with subprocess.Popen([program, "100.5"]) as first, subprocess.Popen([program, "100.625"]) as second:
        try:
            while not all(prock.get_process_comm(popen.pid) == name[:15] for popen in (first, second)):
                pass
            both = sorted([first.pid, second.pid])
            assert [row.pid for row in prock.find(name)] == [row.pid for row in prock.find(name[:15])] == both
            assert prock.find(name[:16]) == prock.find(name[1:]) == []
            assert [row.pid for row in prock.find(name, cmdline="100.625")] == [second.pid]
            assert [row.pid for row in prock.find(cmdline=f"{name} 100.5", user=own)] == [first.pid]
            assert [row.pid for row in prock.find(name, user=os.geteuid())] == both
            assert prock.find(name, user=os.geteuid() + 1) == prock.find(name, user="no-such-user") == []
            assert os.getpid() not in [row.pid for row in prock.find()] and len(prock.find()) > 2
        finally:
            first.kill()
            second.kill()


@pytest.mark.usefixtures("engine")
def test_busiest(spawn: processes.Spawn) -> None:
    program = spawn("say()\nwhile True: pass")
    program.hears()
    rows = prock.busiest(100, interval=0.3)
    row = next(row for row in rows if row.pid == program.pid)
    assert row.cmdline == prock.get_process_cmdline(program.pid) and row.rss_mib == row.rss_bytes / 2**20
    assert row.cpu_ns > 0 and row.cpu_percent is not None and 0 < row.cpu_percent < 130
    assert [row.cpu_ns for row in rows] == sorted((row.cpu_ns for row in rows), reverse=True)
    assert len(prock.busiest(1, interval=0.05)) == 1
    for wrong in ({"n": 0}, {"interval": 0}):
        with pytest.raises(ValueError, match="invalid"):
            prock.busiest(**wrong)
