"""``prock run --ci``: summaries and annotations, and ``prock export`` for benchmark services."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.command_line import command, environment, is_one_line, prock

from prock.cli.run.ci import BLOCK_BYTES, GITHUB_BYTES


def outside(**changed: str) -> dict[str, str]:
    """No environment of a CI system but this one."""
    return {name: value for name, value in environment(**changed).items() if name in changed or "GIT" not in name}


def github(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    file = tmp_path / "summary.md"
    file.touch()
    return file, outside(GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(file))


def test_a_summary_on_github(tmp_path: Path) -> None:
    file, env = github(tmp_path)
    file.write_text("before\n")
    loop = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
    script = f'{loop}; bash -c "$0"; echo after >>"$GITHUB_STEP_SUMMARY"; exit 3'
    done = prock("run", "-q", "--ci", "sh", "-c", script, loop, env=env)
    assert (done.returncode, done.stderr) == (3, "")
    text = file.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert re.search(r"^### prock: `sh -c .*`: exit code 3$", text, re.MULTILINE)
    assert re.search(r"^\| CPU time \| [\d.]+m?s \|$", text, re.MULTILINE)
    assert re.search(r'^```mermaid\npie showData\n  title .*\n(  "[\w.+ -]+" : [\d.]+\n)+```$', text, re.MULTILINE)
    assert len(text.encode()) == len("before\nafter\n") + BLOCK_BYTES


def test_a_killed_job_shows_what_it_had(tmp_path: Path) -> None:
    file, env = github(tmp_path)
    pid = tmp_path / "pid"
    script = f"echo $$ >{pid}; exec sleep 60"
    with subprocess.Popen(command("run", "-q", "--ci", "sh", "-c", script), env=env) as popen:
        until = time.monotonic() + 20
        while not (pid.exists() and file.exists() and "elapsed so far" in file.read_text()):
            assert time.monotonic() < until
            time.sleep(0.01)
        popen.kill()
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert re.search("^### prock: `sh -c .*`: running, or ended by force$", file.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--max-cpu", "1ms"], "budget exceeded: CPU time "),
        (["--limit-cpu", "50ms"], "limit exceeded: cpu "),
        (["-t", "0.2"], "timed out"),
    ],
)
def test_annotations(tmp_path: Path, options: list[str], problem: str) -> None:
    file, env = github(tmp_path)
    script = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"
    if "--max-cpu" not in options:
        script = "while :; do :; done"
    done = prock("run", "-q", "--ci", *options, "sh", "-c", script, env=env)
    assert done.returncode in (123, 124)
    assert f"::error title=prock run::{problem}" in done.stderr
    assert f"**{problem}" in file.read_text()


def test_several_runs_and_steps(tmp_path: Path) -> None:
    file, env = github(tmp_path)
    prock("run", "-q", "--ci", "-r", "2", "true", env=env)
    prock("run", "-q", "--ci", "false", env=env)
    text = file.read_text()
    assert text.count("### prock: `true`: exit code 0") == 2
    assert text.count("### prock: `false`: exit code 1") == 1
    assert len(text) == 2 * BLOCK_BYTES


def test_names_are_no_markup(tmp_path: Path) -> None:
    file, env = github(tmp_path)
    prock("run", "-q", "--ci", "sh", "-c", ":", "a`<b>|x", "--password", "geheim", "\n# title", env=env)
    text = file.read_text()
    (title,) = [line for line in text.splitlines() if line.startswith("#")]
    assert title.count("`") == 2 and "|" not in title and "geheim" not in text


def test_a_command_that_empties_the_file(tmp_path: Path) -> None:
    file, env = github(tmp_path)
    done = prock("run", "-q", "--ci", "sh", "-c", ': >"$GITHUB_STEP_SUMMARY"', env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\0" not in file.read_text() and "exit code 0" in file.read_text()


def test_no_room_is_said_before_the_command_runs(tmp_path: Path) -> None:
    file, env = github(tmp_path)
    file.write_bytes(b"\n" * (GITHUB_BYTES - BLOCK_BYTES + 1))
    done = prock("run", "-q", "--ci", "touch", tmp_path / "ran", env=env)
    assert done.returncode == 125
    assert is_one_line(done.stderr, f"prock run: --ci: cannot write {file}: it would exceed")
    assert not (tmp_path / "ran").exists()


def test_gitlab_and_others_get_files(tmp_path: Path) -> None:
    prock("run", "-q", "--ci", "sh", "-c", "exit 4", env=outside(), cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["prock-summary.md"]
    prock("run", "-q", "--ci", "sh", "-c", "exit 5", env=outside(GITLAB_CI="true"), cwd=tmp_path)
    assert "exit code 5" in (tmp_path / "prock-summary.md").read_text()
    assert 'prock_run_exit_code{command="sh"} 5\n' in (tmp_path / "metrics.txt").read_text()


def test_benchmarks_of_a_document(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    prock("run", "-q", "-r", "2", "--json", file, "sh", "-c", ":", "--token", "geheim")
    rows = json.loads(prock("export", file, "--to", "github-benchmark").stdout)
    assert all(set(row) == {"name", "unit", "value", "range", "extra"} and row["value"] >= 0 for row in rows)
    assert "sh -c : --token ***: cpu" in [row["name"] for row in rows]
    bencher = json.loads(prock("export", file, "--to", "bencher").stdout)
    ((name, measures),) = bencher.items()
    assert "geheim" not in name
    assert measures["cpu_s"]["lower_value"] <= measures["cpu_s"]["value"] <= measures["cpu_s"]["upper_value"]
    gitlab = tmp_path / "metrics.txt"
    assert prock("export", file, "--to", "gitlab", "-o", gitlab).stdout == ""
    assert 'prock_run_exit_code{command="sh"} 0\n' in gitlab.read_text()


def test_a_document_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("[]")
    done = prock("export", tmp_path / "x", "--to", "bencher")
    assert done.returncode == 1
    assert is_one_line(done.stderr, "prock export: ")
