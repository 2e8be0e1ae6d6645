"""Command lines in the results, documents and reports of ``prock run``."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from support.command_line import prock
from support.run_engines import on_both

import prock as library

pytestmark = on_both

SCRIPT = "sh -c 'sleep 0.7; :' sh --password hunter2 & sleep 0.9"


def document(tmp_path: Path, *options: str) -> Any:
    file = tmp_path / "run.json"
    done = prock("run", "-v", "--json", str(file), *options, "sh", "-c", SCRIPT, "sh", "--token=hunter2")
    assert done.returncode == 0 and "--token=hunter2" not in done.stderr + file.read_text()
    return json.loads(file.read_text()), done.stderr


def test_processes_of_a_run(tmp_path: Path) -> None:
    made, report = document(tmp_path)
    assert made["args"][-1] == "--token=***"
    known = [process["cmdline"] for process in made["processes"] if process["cmdline"] is not None]
    assert ["sleep", "0.7"] in known and ["sleep", "0.9"] in known
    assert ["sh", "-c", "sleep 0.7; :", "sh", "--password", "***"] in known
    assert any(process["cmdline"] for process in made["largest"])
    assert "sh -c 'sleep 0.7; :' sh" in report and "hunter2" not in report + str(made)


def test_names_alone(tmp_path: Path) -> None:
    made, report = document(tmp_path, "--no-args")
    assert made["args"] == ["sh"] and report.startswith("prock: sh: exit code 0")
    known = [process["cmdline"] for process in made["processes"] if process["cmdline"] is not None]
    assert ["sleep"] in known and all(len(cmdline) == 1 for cmdline in known)


def test_survivors(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    done = prock("run", "--json", str(file), "sh", "-c", "sleep 1.03125 >/dev/null 2>&1 & sleep 0.05")
    (survivor,) = json.loads(file.read_text())["survivors"]
    assert survivor["cmdline"] == ["sleep", "1.03125"] and f"{survivor['pid']} sleep 1.03125: " in done.stderr


def test_what_exceeded_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    loop = "while :; do :; done"
    done = prock("run", "--limit-cpu", "0.1", "--json", str(file), "sh", "-c", loop)
    (largest,) = json.loads(file.read_text())["limit_exceeded"]["largest"]
    assert largest["cmdline"] == ["sh", "-c", loop] and f"{largest['pid']} sh -c '{loop}': " in done.stderr


def test_the_object_has_the_arguments_as_they_are() -> None:
    result = library.run(["sh", "-c", "sleep 0.5; :", "sh", "--password", "hunter2"], processes=True)
    assert ("sh", "-c", "sleep 0.5; :", "sh", "--password", "hunter2") in [row.cmdline for row in result.processes]
    assert result.args[-1] == "hunter2" and "hunter2" not in f"{result} {result.as_document()}"


def test_a_process_that_executed_another_program_last_has_no_command_line_of_the_earlier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prock.runner import sample_stats

    monkeypatch.setattr(sample_stats, "CMDLINES_EVERY_NS", 10**12)
    result = library.run(["sh", "-c", "sh -c 'sleep 0.3; exec sleep 0.01' & wait"], processes=True)
    assert all(row.cmdline is None or row.cmdline[0] == row.comm for row in result.processes)


def test_where_and_when_a_run_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    before = time.time()
    assert prock("run", "-q", "--json", str(file), "sleep", "0.2", cwd=tmp_path).returncode == 0
    made = json.loads(file.read_text())
    facts = made["measurement"]
    uname = os.uname()
    assert facts["prock_version"] == library.__version__ and facts["host"] == uname.nodename
    assert facts["system"] == f"{uname.sysname} {uname.release} {uname.machine}"
    assert facts["cpu_count"] == os.cpu_count() and facts["user"] == Path("/proc/self").owner()
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    assert abs(facts["memory_bytes"] - 1024 * kib) < 2**20 and facts["directory"] == str(tmp_path)
    assert before < made["start_time"] < made["end_time"] < facts["time"] < time.time()
    assert abs(made["end_time"] - made["start_time"] - made["wall_ns"] / 1e9) < 0.01
