"""Runs commands by a launcher that was built for another machine, as `prock.run` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from prock.runner import spawn_linux as launch


def main(launcher: str) -> int:
    reader, writer = os.pipe()
    env = [b"%b=%b" % pair for pair in os.environb.items()]
    setup = launch.SpawnOptions(env, cwd=b"/", stdio=(-1, writer, -1), umask=0o27, keep=(), new_session=True)
    reports: list[launch.LauncherReport] = []

    def ready(state: launch.LauncherReport, events: list[int]) -> None:
        reports.append(state)
        for event in events:
            os.close(event)

    script = b"pwd; umask; ls /proc/self/fd | wc -l; exit 7"
    launched = launch.launch(
        launcher, [b"sh", b"-c", script], [b"/bin/sh"], setup, name=b"sh", cpus="any", when_ready=ready
    )
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        output = pipe.read().split()
    status = os.waitpid(launched.pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 7, status
    assert output == ["/", "0027", "4"], output
    assert len(reports) == 1 and reports[0].pid == launched.pid and reports[0].group_error == 0, reports
    assert cannot_launch_what_is_not_there(launcher, setup._replace(stdio=(-1, -1, -1)), ready)
    print(f"cross: perf events: {os.strerror(reports[0].perf_error) if reports[0].perf_error else 'opened'}")
    return 0


def cannot_launch_what_is_not_there(
    launcher: str, setup: launch.SpawnOptions, ready: Callable[[launch.LauncherReport, list[int]], None]
) -> bool:
    try:
        launch.launch(launcher, [b"x"], [b"/none/x"], setup, name=b"x", when_ready=ready)
    except FileNotFoundError as error:
        return str(error.filename) == "x"
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
