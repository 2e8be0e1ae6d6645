"""What several tests of the command share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.command_line import NOBODY, TIMEOUT_S, environment
from support.subjects import HOSTILE_NAME, Family

import prock


@pytest.fixture
def family(spawn: processes.Spawn) -> Family:
    return Family(spawn)


@pytest.fixture
def hostile(spawn: processes.Spawn) -> int:
    """The pid of a process whose name holds a bracket, a newline, an escape sequence and bytes that are no UTF-8."""
    program = spawn(f"libc.prctl(15, {HOSTILE_NAME!r}); say(os.getpid()); wait()")
    return program.pids()[0]


@pytest.fixture(scope="session")
def as_other_user() -> dict[str, Any]:
    """Options of `command_line.prock` for a user who may not read everything of our processes.

    That user may not be allowed to run this Python (one below root's home): then the system's does, with our packages.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    env = environment(PYTHONPATH=str(Path(prock.__file__).parent.parent), PYTHONDONTWRITEBYTECODE="1")
    options: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "env": env}
    for python in (sys.executable, "/usr/bin/python3"):
        tried = [python, "-c", "import sys; assert sys.version_info >= (3, 11); import prock.cli"]
        try:
            done = subprocess.run(tried, capture_output=True, timeout=TIMEOUT_S, check=False, **options)
        except OSError:
            continue
        if done.returncode == 0:
            return {"python": python, **options}
    pytest.skip("another user may not run this Python, or not read its packages")
