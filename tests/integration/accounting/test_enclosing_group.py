"""The CPU time of a cgroup that a tree cannot leave bounds the tree's from above, for an ordinary user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.made_up_runs import result
from support.runs import MS

from prock.accounting.enclosing_group import EnclosingGroup
from prock.engine.linux.mountinfo import cgroup2_home
from prock.results import Source

NOBODY = 65534
JOIN = """
import os, sys
open(sys.argv[1] + "/cgroup.procs", "w").write("0")
os.execvp(sys.argv[2], sys.argv[2:])
"""
# The capability lets it execute a Python below a private home; it may write no more than others may.
CAP = "dac_read_search"
AS_NOBODY = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    f"--inh-caps=+{CAP}",
    f"--ambient-caps=+{CAP}",
]
START = """
import json, subprocess, sys, prock
BURN = [sys.executable, "-ISc", "import time\\nwhile time.process_time() < 0.3: pass"]
def show(run): print(json.dumps({**run.as_document(), "report": str(run)}))
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A group that root made."""
    home = cgroup2_home("/proc")
    if os.geteuid() != 0 or home is None:
        pytest.skip("needs root and cgroup v2")
    path = Path(home[0].point) / f"prock-test-{os.getpid()}"
    path.mkdir()
    yield path
    for inner in (path / "delegated", path):
        with suppress(FileNotFoundError):
            inner.rmdir()


def as_nobody(group: Path, program: str) -> dict[str, Any]:
    command = [sys.executable, "-c", JOIN, str(group), *AS_NOBODY, sys.executable, "-c", START + program]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_tree_in_a_group_of_its_own_is_bounded_to_one_percent(group: Path) -> None:
    found = as_nobody(group, "show(prock.run(BURN, accounting='waited'))")
    assert 300 * MS <= found["cpu_ns"] <= found["cpu_upper_ns"] <= 1.01 * found["cpu_ns"]
    assert "CPU: accurate to" in found["report"]
    assert (
        Source("cpu_upper", str(group), "upper bound: of a cgroup that the tree cannot leave")._asdict()
        in found["sources"]
    )


def test_children_that_nobody_waits_for_are_in_the_bound(group: Path) -> None:
    found = as_nobody(
        group,
        """
program = f'''
import os, signal, subprocess
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
subprocess.Popen({BURN!r}).wait()'''
show(prock.run([sys.executable, "-ISc", program], accounting='waited'))""",
    )
    assert found["cpu_ns"] < 250 * MS
    assert 300 * MS <= found["cpu_upper_ns"] <= 600 * MS
    assert "at most" in found["report"]


def test_a_delegated_group_can_be_left(group: Path) -> None:
    inner = group / "delegated"
    inner.mkdir()
    os.chown(inner, NOBODY, NOBODY)
    os.chown(inner / "cgroup.procs", NOBODY, NOBODY)
    found = as_nobody(inner, "show(prock.run(BURN))")
    assert next(one["source"] for one in found["sources"] if one["figure"] == "cpu_upper") == str(group)
    assert 300 * MS <= found["cpu_ns"] <= found["cpu_upper_ns"]


def test_of_an_attached_tree_it_is_the_group_of_its_processes(group: Path) -> None:
    found = as_nobody(
        group,
        """
process = subprocess.Popen([*BURN[:2], "import sys; sys.stdin.read(1)\\n" + BURN[2]], stdin=subprocess.PIPE)
from prock.runner.build_result import finish
from prock.runner.session import Options, RunSession
session = RunSession.attach(process.pid, Options())
process.communicate(b"x")
show(finish(session))""",
    )
    assert 200 * MS <= found["cpu_ns"] <= found["cpu_upper_ns"] <= 340 * MS


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root")
def test_root_can_leave_every_group() -> None:
    assert EnclosingGroup("/proc").growth_ns() is None


@pytest.mark.parametrize(
    ("upper_ms", "said"),
    [
        (1000, "accurate to 0.1 %"),
        (1009.5, "accurate to 1 %"),
        (1010.5, "lower bound: lacks orphans; at most 1.010s"),
        (None, "lower bound: lacks orphans (waited)"),
    ],
)
def test_the_report_has_one_accuracy_where_both_bounds_are_close(upper_ms: float | None, said: str) -> None:
    sources = [Source("cpu", "waited", "lower bound: lacks orphans")]
    if upper_ms is not None:
        sources.append(Source("cpu_upper", "/g", "upper bound: of a cgroup that the tree cannot leave"))
    upper_ns = None if upper_ms is None else round(upper_ms * MS)
    made = result(cpu_ns=1000 * MS, cpu_upper_ns=upper_ns, accounting="waited", sources=tuple(sources))
    assert said in " ".join(str(made).split())
