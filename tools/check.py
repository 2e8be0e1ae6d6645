"""Runs targets of the Makefile one after the other, also after a failure, and prints the result of each at the end.

    python tools/check.py MAKE TARGET...

Their output goes to build/check/TARGET.log; the end of a failed one is shown.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LOGS = Path("build", "check")
SHOWN = 20
"""Lines of the log of a failed target."""
LIMIT_S = 3600
"""Three times the slowest target on two slow cores: a target that takes longer hangs."""

GRACE_S = 30
"""For a target to clean up after SIGTERM."""


def main(make: str, targets: list[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    ended: list[tuple[str, float, str]] = []
    stopped = False
    for number, target in enumerate(targets, 1):
        log = LOGS / f"{target}.log"
        print(f"check: {number} of {len(targets)}: {target} (to {log})", flush=True)
        start = time.monotonic()
        try:
            failure = run([*make.split(), "--no-print-directory", target], log)
        except KeyboardInterrupt:
            failure, stopped = "stopped", True
        ended.append((target, time.monotonic() - start, failure))
        if failure and not stopped:
            lines = log.read_text(errors="replace").splitlines()
            print("".join(f"    {line}\n" for line in lines[-SHOWN:]), end="", flush=True)
        if stopped:
            break
    summarize(ended, targets[len(ended) :])
    return 130 if stopped else int(any(failure for _, _, failure in ended))


def run(command: list[str], log: Path) -> str:
    """Why it failed; empty where it did not."""
    with log.open("wb") as file:
        # In a group of its own, so that one that hangs can be ended with all that it started.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, process_group=0
        )
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return f"not ended after {LIMIT_S // 60} minutes"
        finally:
            end(process)
    return f"exit code {code}" if code else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """With all of its group: first as Ctrl-C does, so that tests tidy up."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                pass


def summarize(ended: list[tuple[str, float, str]], left: list[str]) -> None:
    print()
    width = max(len(name) for name in [*(target for target, _, _ in ended), *left])
    for target, seconds, failure in ended:
        print(f"  {target:{width}}  {int(seconds) // 60:3}:{int(seconds) % 60:02}  {failure or 'passed'}")
    for target in left:
        print(f"  {target:{width}}       -  not run")
    failed = [target for target, _, failure in ended if failure]
    total = sum(seconds for _, seconds, _ in ended)
    result = f"failed: {', '.join(failed)}" if failed else "all passed"
    print(f"check: {result}, in {int(total) // 60}:{int(total) % 60:02} minutes", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: check.py MAKE TARGET...")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
