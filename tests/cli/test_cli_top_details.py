"""What ``prock top`` tells of one process in words, whoever is asked for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import processes
from support.other_systems import SYSTEMS, run_on
from support.run_engines import on_both

import prock
from prock.cli.output import Screen
from prock.cli.top.details import describe

DESCRIBE = """
import os, sys
import prock
from prock.cli.output import Screen
from prock.cli.top.details import describe

with prock.TreeSampler() as sampler:
    answer = describe(sampler.sample().root, Screen())
"""


def fact(lines: list[str], label: str) -> str:
    return next(line.removeprefix(label).strip() for line in lines if line.startswith(label))


@on_both
def test_command_directory_user_and_files(puppet: processes.Program) -> None:
    with prock.TreeSampler(puppet.pid) as sampler:
        root = sampler.sample().root
    assert root is not None
    lines = describe(root, Screen())
    assert fact(lines, "command").startswith(f"{processes.WORKER} ")
    assert fact(lines, "directory") == os.getcwd()
    assert Path("/proc/self").owner() in fact(lines, "user")
    assert int(fact(lines, "open files").split()[0]) >= 3


@pytest.mark.parametrize("system", SYSTEMS)
def test_on_another_system_there_is_no_traceback(system: str) -> None:
    lines = run_on(system, DESCRIBE)
    assert fact(lines, "command") and fact(lines, "process") and "subtree" in "".join(lines)
