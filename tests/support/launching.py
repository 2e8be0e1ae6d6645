"""Launch a command whose events `prock.accounting.perf_records` reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from prock.accounting.perf_clock import online_cpus
from prock.accounting.perf_records import TaskRecords
from prock.runner.spawn_linux import LauncherReport, SpawnOptions, launch

if TYPE_CHECKING:
    from prock.engine.protocol import Engine


def why_refused(engine: Engine) -> str | None:
    """None where events and their buffers can be had."""
    if engine.core is None:
        return "the C core was not compiled"
    try:
        with launched(engine, "/bin/true") as tree:
            tree.finish()
    except OSError as error:
        return str(error)
    return None


class Launched:
    def __init__(self, pid: int, records: TaskRecords) -> None:
        self.pid = pid
        self.records = records

    def finish(self) -> TaskRecords:
        """All that it did, once it has ended."""
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            self.records.drain()
        os.waitpid(self.pid, 0)
        self.records.drain()
        return self.records


def launch_with_events(
    engine: Engine,
    cpus: str,
    command: tuple[str | bytes, ...],
    when_opened: Callable[[list[int]], None],
    *,
    switches: bool = False,
    stdin: int = -1,
    launcher: str | None = None,
) -> int:
    """Its pid. `when_opened` is called with the descriptors of its events before it executes the command."""

    def when_ready(report: LauncherReport, events: list[int]) -> None:
        if report.perf_error:
            raise OSError(report.perf_error, os.strerror(report.perf_error))
        when_opened(events)

    launcher = launcher or engine.launcher
    assert launcher is not None
    words = [os.fsencode(word) for word in command]
    options = SpawnOptions([b"=".join(pair) for pair in os.environb.items()], stdio=(stdin, -1, -1))
    return launch(
        launcher,
        words,
        words[:1],
        options,
        name=words[0],
        cpus=cpus,
        with_switches=switches,
        when_ready=when_ready,
    ).pid


@contextmanager
def launched(
    engine: Engine, *command: str | bytes, switches: bool = True, stdin: int = -1, launcher: str | None = None
) -> Iterator[Launched]:
    cpus = online_cpus()
    records: list[TaskRecords] = []

    def record(events: list[int]) -> None:
        tasks, of_switches = events[: len(cpus)], events[len(cpus) :]
        records.append(TaskRecords(tasks, engine, switches=of_switches, keep_processes=True))

    numbers = ",".join(map(str, cpus))
    pid = launch_with_events(engine, numbers, command, record, switches=switches, stdin=stdin, launcher=launcher)
    with closing(records[0]):
        yield Launched(pid, records[0])
