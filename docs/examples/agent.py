"""Worker of a job queue: runs a job with a timeout and prints its cost."""

from __future__ import annotations

import json
import subprocess
import sys

import prock


def do(job: str, command: list[str], seconds: float) -> prock.RunResult:
    try:
        return prock.run(command, timeout=seconds, kill_tree=True, labels={"job": job})
    except subprocess.TimeoutExpired as expired:
        result: prock.RunResult = expired.result  # type: ignore[attr-defined]  # prock's
        return result


def main() -> None:
    seconds, *command = sys.argv[1:]
    document = do("17", command, float(seconds)).as_document()
    names = (
        "labels",
        "exit_code",
        "timed_out",
        "cpu_ns",
        "peak_footprint_bytes",
        "survivors",
    )
    print(json.dumps({name: document[name] for name in names}))


if __name__ == "__main__":
    main()
