"""What a process says of itself can be as long as it likes; what is read of it can't."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import processes

import prock
from prock.cli.output import Screen
from prock.cli.top.details import describe
from prock.engine.linux.mountinfo import cgroup2_home, lines, mounts
from prock.engine.linux.procfs import LONGEST_ENVIRON
from prock.process import LONGEST_CMDLINE
from prock.sampling.command_lines import LONGEST_BYTES

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

MIB = 1024**2
PRETENDS = """
import mmap
size = {size}
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
written = min(size, 9 << 20)
memory[:written] = b"A=" + b"x" * (written - 3) + b"\\0"
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
with open("/proc/self/stat") as file:
    field = [0, *file.read().split()]
libc.sbrk.restype = ctypes.c_void_p
known = [int(field[number]) for number in (26, 27, 45, 46, 47)]
layout = (ctypes.c_ulong * 13)(
    *known, libc.sbrk(0), int(field[28]), start, start + size, start, start + size, 0, 0xFFFFFFFF << 32
)
say(libc.prctl(35, ctypes.c_ulong(14), layout, ctypes.c_ulong(104), ctypes.c_ulong(0)))  # PR_SET_MM, PR_SET_MM_MAP
wait()
"""
"""Declares its memory to be its arguments and its environment: any user's process may."""


def pretends(spawn: processes.Spawn, size: int) -> int:
    program = spawn(PRETENDS.format(size=size))
    if program.hears() != ["0"]:
        pytest.skip("the kernel was built without CONFIG_CHECKPOINT_RESTORE")
    return program.pid


def test_arguments_and_environment_without_end(engine: Engine, spawn: processes.Spawn) -> None:
    pid = pretends(spawn, 256 * MIB)
    with open(f"/proc/{pid}/environ", "rb") as file:
        assert file.read(16) == b"A=xxxxxxxxxxxxxx"
    if engine.name != "portable":  # which asks psutil
        with pytest.raises(prock.MalformedProcFile, match=f"environ of process {pid}"):
            prock.get_process_environ(pid)
        assert prock.get_process_cmdline(pid) == ("A=" + "x" * (LONGEST_CMDLINE - 2),)


@pytest.mark.parametrize("more", [0, 1])
def test_as_much_as_can_be_is_read(more: int, spawn: processes.Spawn) -> None:
    pid = pretends(spawn, LONGEST_ENVIRON + more)
    if more:
        with pytest.raises(prock.MalformedProcFile):
            prock.get_process_environ(pid)
    else:
        assert prock.get_process_environ(pid) == {"A": "x" * (LONGEST_ENVIRON - 3)}


def test_details_of_a_process_that_pretends(spawn: processes.Spawn) -> None:
    from support.made_up_samples import member

    pid = pretends(spawn, 256 * MIB)
    liveness = prock.get_liveness_info(pid)
    assert liveness is not None
    lines = describe(member(pid, 0, start_ticks=liveness.start_ticks), Screen())
    assert f"command     A={'x' * (LONGEST_BYTES - 2)}" in lines


def test_the_largest_environment_that_the_kernel_takes(spawn: processes.Spawn) -> None:
    """An eighth of a megabyte a variable, six megabytes in all: it is read."""
    large = {f"LARGE{number}": "x" * 130_000 for number in range(12)}
    program = spawn("say(); wait()", env={**os.environ, **large})
    program.hears()
    environment = prock.get_process_environ(program.pid)
    assert environment is not None and large.items() <= environment.items()


ODD = "\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029"


def test_names_of_directories_make_no_lines(tmp_path: Path) -> None:
    """All that Python takes for the end of a line, but the kernel not."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_bytes(
        f"1 0 0:1 / /a{ODD}2 0 0:2 / /forged rw - cgroup2 none rw\n"
        f"3 0 0:3 / /true{ODD} rw,nosuid - cgroup2 none rw\n".replace(
            "forged rw - cgroup2", "forged rw - fuse"
        ).encode()
    )
    (tmp_path / "self/cgroup").write_bytes(f"1:name=a{ODD}0::/forged:/\n0::/own{ODD}group\n".encode())
    assert [mount.point for mount in mounts(str(tmp_path), "cgroup2")] == [f"/true{ODD}"]
    home = cgroup2_home(str(tmp_path))
    assert home is not None and home[1] == f"/true{ODD}/own{ODD}group"
    assert lines(str(tmp_path / "self/cgroup"))[1] == f"0::/own{ODD}group"
