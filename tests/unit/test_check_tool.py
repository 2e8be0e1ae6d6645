"""What ``make check`` says at its end: it names what failed, and goes on where something did."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import until

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check.py"
MAKEFILE = """
good:
	@echo "of the good one"
bad:
	@echo "of the bad one"; exit 3
slow:
	@touch started; sleep 60
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):  # of the make that runs this test
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    return tmp_path


def check(place: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, "make", *targets], cwd=place, capture_output=True, text=True)


def test_all_pass(place: Path) -> None:
    result = check(place, "good")
    assert result.returncode == 0 and result.stderr == ""
    assert "check: all passed" in result.stdout and "of the good one" not in result.stdout
    assert (place / "build/check/good.log").read_text() == "of the good one\n"


def test_it_goes_on_after_a_failure(place: Path) -> None:
    result = check(place, "bad", "no-such-target", "good")
    assert result.returncode == 1
    assert "check: failed: bad, no-such-target, in " in result.stdout
    assert "    of the bad one\n" in result.stdout
    assert (place / "build/check/good.log").read_text() == "of the good one\n"


def test_stopped_by_ctrl_c(place: Path) -> None:
    command = [sys.executable, str(TOOL), "make", "slow", "good"]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        until((place / "started").exists)
        process.send_signal(signal.SIGINT)
        output = process.communicate()[0]
    assert process.returncode == 130
    assert "slow" in output and "stopped" in output and "not run" in output
    assert not (place / "build/check/good.log").exists()
