"""Calling the real command, as users and scripts do."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

NOBODY = 65534
NO_PID = 2**31 - 1
"""Above the highest pid_max there is: never a process."""
TIMEOUT_S = 20
"""Longer than anything here takes; only for a test run that would hang."""
MEASUREMENT = {"prock_version", "host", "system", "cpu_count", "memory_bytes", "user", "directory", "time"}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

PAUSES = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell hands it on as ignored
def sleep(seconds):
    print("asleep", file=sys.stderr, flush=True)
    sys.stdin.readline()
time.sleep = sleep
sys.argv[0] = "prock"
from prock.cli import main
sys.exit(main())
"""
"""`prock` whose intervals last until it reads a line, and that says when one begins."""


def environment(**changed: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PYTHONIOENCODING", "COLUMNS")
    }
    return {**kept, "TERM": "xterm", "PYTHONUTF8": "1", **changed}


def command(*arguments: object, python: str = sys.executable) -> list[str]:
    return [python, "-m", "prock", *map(str, arguments)]


def prock(
    *arguments: object, python: str = sys.executable, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; both outputs are pipes."""
    return subprocess.run(
        command(*arguments, python=python),
        capture_output=True,
        encoding="utf-8",
        env=env or environment(),
        timeout=TIMEOUT_S,
        check=False,
        **options,
    )


def prock_json(*arguments: object, **options: Any) -> Any:
    """What it answers with ``--json``, which must be all that it says, in ASCII."""
    done = prock(*arguments, "--json", **options)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    document = json.loads(done.stdout)
    if arguments[0] != "top":  # which writes one for each sample
        assert set(document.pop("measurement")) == MEASUREMENT
    return document


def on_terminal(*arguments: object, columns: int = 80, env: dict[str, str] | None = None) -> str:
    """What it writes on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(command(*arguments), stdout=theirs, stderr=theirs, env=env or environment()) as popen:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # EIO: the last one who had it open as its terminal is gone
            pass
        assert popen.wait(TIMEOUT_S) == 0
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


class Watch:
    """``prock … --interval`` whose interval ends when the test says so."""

    def __init__(self, *arguments: object) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PAUSES, *map(str, arguments), "--interval", "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment(),
        )
        assert self.popen.stderr is not None
        assert self.popen.stderr.readline() == "asleep\n"

    def end(self) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        out, errors = self.popen.communicate("go on\n", TIMEOUT_S)
        return self.popen.returncode, out, errors


def is_followed_by(pid: int) -> None:
    """Waits until prock waits for signals, which are blocked or have a handler: it has begun then."""
    while not any(_masks(pid)[kind] & 1 << signal.SIGTERM - 1 for kind in ("SigBlk", "SigCgt")):
        pass


def _masks(pid: int) -> dict[str, int]:
    lines = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Sig")]
    return {line[0].removesuffix(":"): int(line[1], 16) for line in lines if "/" not in line[1]}


def is_one_line(text: str, start: str) -> bool:
    """Whether it is a single line, for a reader of English, that begins so."""
    return text.startswith(start) and text.endswith("\n") and text.count("\n") == 1 and text[:-1].isprintable()
