"""Launch a command as `prock.accounting.perf_records` wants it: it opens events on itself, waits, then executes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prock.accounting.perf_clock import cpus_to_record
from prock.accounting.perf_records import TaskRecords

if TYPE_CHECKING:
    from prock.engine.protocol import Engine


def why_refused(engine: Engine) -> str | None:
    """None where events and their buffers can be had."""
    try:
        cpus = cpus_to_record()
        core = engine.core
        if core is None:
            return "the C core was not compiled"
        descriptors = [core.open_on_exec(cpu) for cpu in cpus]
        TaskRecords(descriptors, engine).close()
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


@contextmanager
def launched(
    engine: Engine,
    *command: str | bytes,
    switches: bool = True,
    before: Callable[[], object] = lambda: None,
) -> Iterator[Launched]:
    """`before` is called in the process that is to execute the command, before it opens its events."""
    core = engine.core
    assert core is not None
    ours, its = socket.socketpair()
    cpus = cpus_to_record()
    with ours:
        pid = os.fork()
        if pid == 0:
            try:
                before()
                descriptors = [core.open_on_exec(cpu) for cpu in cpus]
                descriptors += [core.open_switches_on_exec(cpu) for cpu in cpus if switches]
                socket.send_fds(its, [b"x"], descriptors)
                if its.recv(1):
                    os.execv(command[0], command)
            finally:
                os._exit(127)
        its.close()
        descriptors = socket.recv_fds(ours, 1, 2 * len(cpus))[1]
        with TaskRecords(
            descriptors[: len(cpus)], engine, switches=descriptors[len(cpus) :], keep_processes=True
        ) as records:
            ours.send(b"x")
            yield Launched(pid, records)
