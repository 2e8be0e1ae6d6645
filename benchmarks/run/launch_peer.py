"""Run a command under a monitor that is a Python module without a command line: python launch_peer.py NAME INTERVAL LOG
COMMAND ARG... As its documentation shows it, and no more. The exit code is the command's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module


def denet(interval: float, log: str, command: Sequence[str]) -> int:
    run = import_module("denet").execute_with_monitoring
    code, _ = run(list(command), base_interval_ms=round(interval * 1000), output_file=log, quiet=True)
    return int(code)


def resource_tracker(interval: float, log: str, command: Sequence[str]) -> int:
    tracker = import_module("resource_tracker").ResourceTracker
    process = subprocess.Popen(command)
    # Off: figures of the whole system, and of the cloud service.
    options = {"track_system": False, "discover_server": False, "discover_cloud": False}
    with tracker(pid=process.pid, interval=interval, **options) as running:
        code = process.wait()
    shutil.copy(running.process_tracker_filepath, log)
    return code


LAUNCHERS = {"denet": denet, "resource-tracker": resource_tracker}

if __name__ == "__main__":
    name, interval, log, *command = sys.argv[1:]
    code = LAUNCHERS[name](float(interval), log, command)
    sys.exit(code if code >= 0 else 128 - code)
