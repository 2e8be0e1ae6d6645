"""What chaos needs: root, a compiler, and a session that leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chaos import pid_namespace
from support.chaos.cgroup_limits import sweep

HERE = Path(__file__).parent
SOURCES = Path(pid_namespace.__file__).parent


def pytest_report_header() -> str:
    return "chaos: each test in PID and mount namespaces of its own; some minutes"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = None
    if os.geteuid() != 0:
        why = "chaos needs root: to make namespaces and control groups"
    elif not (shutil.which("gcc") or shutil.which("cc")):
        why = "chaos needs a C compiler"
    for item in items:
        if HERE not in item.path.parents:
            continue
        if why is not None:
            item.add_marker(pytest.mark.skip(reason=why))
        engine = item.callspec.params.get("engine_name") if hasattr(item, "callspec") else None
        lacks = getattr(getattr(item, "module", None), "PORTABLE_LACKS", {})
        reason = lacks.get(getattr(item, "originalname", ""), lacks.get("all"))
        if engine == "portable" and reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def programs() -> Iterator[None]:
    """The compiled ones, where all users may read them."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler is not None
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    sweep()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        subprocess.run([compiler, *flags, SOURCES / "process_trees.c", "-o", directory / "crowd"], check=True)
        subprocess.run(
            [compiler, *flags, "-shared", "-fPIC", SOURCES / "fault_shim.c", "-o", directory / "shim.so"], check=True
        )
        pid_namespace.CROWD = directory / "crowd"
        pid_namespace.SHIM = directory / "shim.so"
        yield
