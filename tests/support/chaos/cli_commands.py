"""The command, in this process and as a program, for tests that only want to know that it bears what happens."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import Any

from prock.cli import main

TIMEOUT_S = 60
"""Longer than any takes; only for one that would hang."""


def here(*words: object) -> tuple[int, str, str]:
    """Exit code and what it says, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


def is_borne(code: int, out: str, err: str, *, said: tuple[int, ...] = (0, 1)) -> bool:
    """An answer and success, or one that says why there is none; never a traceback."""
    assert code in said, (code, out, err)
    assert "Traceback" not in err and "Warning" not in err, err
    assert code == 0 or err.strip(), "it failed, and doesn't say why"
    return code == 0


def every_command(pid: int) -> list[tuple[str, ...]]:
    """One of each, about that process."""
    return [
        ("stat", str(pid)),
        ("stat", str(pid), "--json"),
        ("tree", str(pid)),
        ("tree", str(pid), "-i", "0.05", "--json"),
        ("scan",),
        ("scan", "-i", "0.05", "--json"),
        ("top", str(pid), "-n", "2", "-i", "0.05", "--plain"),
        ("top", str(pid), "-n", "2", "-i", "0.05", "--json", "--io"),
        ("run", "-v", "true"),
        ("run", "--json", "-", "sh", "-c", "true & wait"),
        ("doctor",),
        ("doctor", "--json"),
    ]


def program(*words: str, python: tuple[str, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    """As somebody else calls it."""
    return subprocess.run(
        [sys.executable, *python, "-m", "prock", *words],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        env={**os.environ, "TERM": "xterm"}, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip
