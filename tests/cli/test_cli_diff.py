"""``prock diff``: differences of real runs, noise, limits and bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.made_up_runs import result

from prock.report.comparison import command_differences, differences, exceeded
from prock.results import CommandUsage

if TYPE_CHECKING:
    from pathlib import Path

    from prock.results import RunFigures

PROCK = [sys.executable, "-m", "prock"]
S = 10**9


def diff(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROCK, "diff", *map(str, words)], capture_output=True, text=True, timeout=60)


def runs(*cpu_s: float) -> list[RunFigures]:
    return [result(cpu_ns=round(cpu * S), commands=(CommandUsage("cc1", 1, round(cpu * S), None),)) for cpu in cpu_s]


def test_a_heavier_run_fails_and_names_the_command(tmp_path: Path) -> None:
    for name, rounds in (("a", 20_000), ("b", 400_000)):
        loop = f"i=0; while [ $i -lt {rounds} ]; do i=$((i + 1)); done"
        option = ("--json", tmp_path / "a") if name == "a" else ("--record", tmp_path / "b")
        subprocess.run([*PROCK, "run", "-q", *map(str, option), "sh", "-c", loop], check=True)
    done = diff(tmp_path / "a", tmp_path / "b", "--fail-on", "cpu=20%,processes=0%")
    assert done.returncode == 123 and "CPU has grown by" in done.stderr and "processes" not in done.stderr
    assert "CPU of sh" in done.stdout and "with three of each" in done.stdout
    document = json.loads(diff("--json", tmp_path / "a", tmp_path / "b").stdout)
    cpu = next(row for row in document["figures"] if row["name"] == "cpu")
    assert cpu["change"] > 1 and cpu["is_noise"] is None and document["exceeded"] == []
    assert diff(tmp_path / "a", tmp_path / "a", "--fail-on", "cpu=0%,wall=0,peak=0").returncode == 0


def test_series_of_runs_and_markdown(tmp_path: Path) -> None:
    for name in "ab":
        words = [*PROCK, "run", "-q", "-r", "3", "--json", str(tmp_path / name), "true"]
        subprocess.run(words, check=True)
    lines = diff(tmp_path / "a", tmp_path / "b", "--markdown").stdout.splitlines()
    assert lines[1].startswith("|---:|") and all(line.count("|") == 6 for line in lines[:5])
    assert "3 runs and 3 runs" in lines[-1]


def test_noise_is_where_the_ranges_overlap() -> None:
    for after, is_noise in (((1.2, 1.3, 1.4), False), ((1.05, 1.3, 1.4), True), ((1.3, 1.4), None)):
        row = next(row for row in differences(runs(1.0, 1.1, 1.06), runs(*after)) if row.name == "cpu")
        assert row.is_noise is is_noise
    assert row.before == 1_060_000_000 and row.before_range == (S, 1_100_000_000)


def test_a_command_that_is_new_has_grown_from_nothing() -> None:
    (row,) = command_differences([result(commands=())], runs(2.0))
    assert (row.name, row.before, row.after, row.change) == ("cc1", 0, 2 * S, None)


def test_limits() -> None:
    rows = differences(runs(1.0), runs(1.2))
    assert exceeded(rows, [("cpu", 0.21)]) == [] and len(exceeded(rows, [("cpu", 0.19)])) == 1
    unknown = differences(runs(1.0), [result(cpu_ns=None)])
    assert exceeded(unknown, [("cpu", 9.0)]) == ["CPU is unknown"]


@pytest.mark.parametrize("limits", ["cpu", "cpu=", "cpu=x%", "cpu=-1%", "speed=1%", "cpu=1%,", "cpu=nan"])
def test_bad_limits(limits: str, tmp_path: Path) -> None:
    done = diff(tmp_path, tmp_path, "--fail-on", limits)
    assert done.returncode == 2 and "invalid limit" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", ["", "{}", "[1]", '"prock"', '{"schema": "prock.top/1"}', "\0"])
def test_a_file_that_is_neither_is_said(content: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(content)
    done = diff(tmp_path / "a", tmp_path / "a")
    assert done.returncode == 1 and "neither a recording nor" in done.stderr and len(done.stderr.splitlines()) == 1
    done = diff(tmp_path / "none", tmp_path / "a")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "content", ['{"schema": "prock.run/1", "commands": [1]}', '{"schema": "prock.run-repeat/1"}', '{"schema": [1]}']
)
def test_a_damaged_document_is_said(content: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(content)
    done = diff(tmp_path / "a", tmp_path / "a")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("prock diff: ")
