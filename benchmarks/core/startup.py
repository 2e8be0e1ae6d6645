"""Start-up time: fresh Python processes, one of each kind in turn.

They run in a virtual environment that contains prock and psutil only. Other packages may import much of the standard
library whenever Python starts, which would hide what prock imports.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import time
import venv
from importlib import metadata
from pathlib import Path

import psutil

import prock
from benchmarks.harness.measure import Contestant, Turn

BARE = "python -c pass"
IMPORT_PROCK = "import prock"
IMPORT_PSUTIL = "import psutil"
STAT = "prock stat PID"
NAMES = (IMPORT_PROCK, IMPORT_PSUTIL, STAT)


def contestants(temporary: Path) -> list[Contestant]:
    """The bare interpreter and the commands compared with it; those that fail are left out."""
    home = temporary / "venv"
    venv.create(home, symlinks=True)
    _install(next(home.glob("lib/python*/site-packages")))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PROCK", "VIRTUAL_ENV"))}
    python = [str(home / "bin/python"), "-c"]
    commands = {
        BARE: [*python, "pass"],
        IMPORT_PROCK: [*python, "import prock"],
        IMPORT_PSUTIL: [*python, "import psutil"],
        STAT: [*python, _command_script(), "stat", str(os.getpid())],
    }
    return [
        Contestant(name, _starting(command, env)) for name, command in commands.items() if _runs(name, command, env)
    ]


def _install(site: Path) -> None:
    for package in (prock, psutil):
        shutil.copytree(package.__path__[0], site / package.__name__, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(site, quiet=1)


def _command_script() -> str:
    """The program that an installer writes into the file ``prock``."""
    scripts = metadata.entry_points(group="console_scripts", name="prock")
    module, _, function = next(iter(scripts)).value.partition(":") if scripts else ("prock.cli", "", "main")
    return f"import sys; from {module} import {function}; sys.exit({function}())"


def _runs(name: str, command: list[str], env: dict[str, str]) -> bool:
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        print(f"{name}: left out, as it fails: {reason[-1]}", file=sys.stderr)
    return done.returncode == 0


def _starting(command: list[str], env: dict[str, str]) -> Turn:
    def turn(calls: int) -> float:
        begin = time.perf_counter_ns()
        for _ in range(calls):
            subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        return (time.perf_counter_ns() - begin) / calls

    return turn
