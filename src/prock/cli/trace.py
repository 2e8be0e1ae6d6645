"""``prock trace``: a line for each process as it ends, with what it has used.

JSON (``prock.trace/1``, one document per line and process): `pid`, `ppid`, `comm`, `cmdline` (the values of passwords,
tokens, secrets and keys are ``***``), `start_time` and `end_time` (seconds since the epoch), `wall_ns`, `cpu_ns`,
`user_ns`, `system_ns`, `peak_rss_bytes` (since its last exec), `disk_io` (its own, without that of children),
`minor_faults`, `major_faults`, `exit_code`, `signal` (number of the signal that ended it), `uid`, `cgroup` (id in
cgroup v2) and `reaped` (false for a zombie). Null is unknown or not applicable.
"""

from __future__ import annotations

import fnmatch
import signal
import sys
import time

from prock import engine
from prock.cli import output, selectors
from prock.cli import parser as command
from prock.cli.argtypes import duration_argument
from prock.errors import NoSuchProcess, NotSupported
from prock.redaction import redact
from prock.report.layout import (
    as_document,
    cut,
    decode_bytes,
    describe,
    format_bytes,
    format_cpu,
    format_number,
    format_span,
    table,
)
from prock.sampling.command_lines import CommandLines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from prock.engine.bpf.records import EndedProcess, ProcessRecords
    from prock.model import ProcessInfo

EPILOG = """\
The kernel records each process, however short, with the CPU time and I/O of all
its threads, and its peak memory since its last exec. It needs root (CAP_BPF and
CAP_PERFMON) and Linux 5.8. A process appears when its parent has reaped it, or
a second after its end. Ctrl-C ends it, and so does the end of the last selected
tree. Arguments are shown up to 4 KiB, passwords as ***.

examples:
  prock trace --all             each process of the machine as it ends
  prock trace --pid 4711 --min-cpu 100ms
  prock trace --name '^make$' --command 'cc1*'
  prock trace --all --duration 10s --summary
"""

POLL_S = 0.1
WIDTHS = (8, 7, 7, 7, 7, 6, 7, 4)
HEADER = ("TIME", "PID", "PARENT", "LIFE", "CPU", "PEAK", "WRITTEN", "EXIT")


def configure(parser: argparse.ArgumentParser) -> None:
    selectors.add_options(parser)
    parser.add_argument("--duration", type=duration_argument, metavar="DURATION", help="end after this time")
    parser.add_argument("--min-cpu", type=duration_argument, default=0.0, metavar="DURATION", help="with this CPU time")
    parser.add_argument(
        "--min-life", type=duration_argument, default=0.0, metavar="DURATION", help="that lived so long"
    )
    parser.add_argument("--command", metavar="PATTERN", help="with this name, a shell pattern such as 'cc1*'")
    parser.add_argument("--summary", action="store_true", help="sums by command at the end, instead of processes")
    command.add_no_args(parser)


def run(arguments: argparse.Namespace) -> int:
    if sys.platform != "linux":
        raise NotSupported("records by eBPF, which needs Linux")
    from prock.engine.bpf.records import ProcessRecords

    selector = selectors.chosen(vars(arguments))
    if selector is None:
        raise output.Failure("no processes are selected: use --all, --pid, --name, --pidfile, --cgroup or --user", 2)
    roots = [] if arguments.all else selector.find()
    if not roots and not arguments.all:
        raise output.Failure(selector.missing)
    with ProcessRecords(everything=arguments.all, arguments=arguments.arguments) as records:
        trace = Trace(records, arguments, roots)
        try:
            trace.follow()
        finally:
            trace.end()
    return 0


class Sum:
    """Of the processes of one command, as far as their figures are known."""

    def __init__(self) -> None:
        self.processes = self.failed = self.cpu_ns = self.wall_ns = 0
        self.peak_rss_bytes: int | None = None
        self.write_bytes: int | None = None

    def add(self, ended: EndedProcess) -> None:
        self.processes += 1
        self.failed += ended.exit_code != 0
        self.cpu_ns += ended.cpu_ns or 0
        self.wall_ns += ended.wall_ns
        if ended.peak_rss_bytes is not None:
            self.peak_rss_bytes = max(self.peak_rss_bytes or 0, ended.peak_rss_bytes)
        if ended.disk_io is not None and ended.disk_io.write_bytes is not None:
            self.write_bytes = (self.write_bytes or 0) + ended.disk_io.write_bytes


class Trace:
    """Reads the records, and writes the chosen ones."""

    def __init__(self, records: ProcessRecords, arguments: argparse.Namespace, roots: Sequence[int]) -> None:
        self._records = records
        self._arguments = arguments
        self._screen = output.Screen()
        self._sums: dict[str, Sum] = {}
        self._cmdlines = CommandLines(engine.active, arguments=arguments.arguments)
        if arguments.all:
            scan = engine.active.scan()
            for info, args in zip(scan, self._read_args(scan), strict=True):
                records.add_older(info, args)
        for tree, root in enumerate(roots, 1):
            if not records.add_tree(root, tree, self._read_args) and arguments.pid:
                raise NoSuchProcess(root)

    def follow(self) -> None:
        """Until the duration is over, or the trees have ended."""
        if not (self._arguments.json or self._arguments.summary):
            self._write_lines([self._screen.paint(f"{_columns(HEADER)} COMMAND", "bold")])
        duration = self._arguments.duration
        end = float("inf") if duration is None else time.monotonic() + duration
        while (left := end - time.monotonic()) > 0 and (self._arguments.all or self._records.running):
            self._records.wait(min(POLL_S, left))
            self._report(self._records.read())

    def end(self) -> None:
        """Report what has ended meanwhile, zombies included, the sums, and what was lost."""
        if not self._arguments.all and not self._records.running:
            self._records.wait(POLL_S)  # the kernel frees a process some milliseconds after its end
        self._report(self._records.read(unreaped_ns=0))
        if self._arguments.summary:
            self._write_sums()
        lost, full = self._records.losses()
        if lost:
            output.write_error(f"prock trace: {lost:,} events were lost: the ring buffer was full\n")
        if full:
            output.write_error(f"prock trace: {full:,} entries found no space: a map in the kernel was full\n")

    def _read_args(self, infos: Sequence[ProcessInfo]) -> list[tuple[str, ...] | None]:
        named = [(info.identity, info.comm) for info in infos]
        self._cmdlines.read(named)
        return [self._cmdlines.get(*process) for process in named]

    def _report(self, ended: list[EndedProcess]) -> None:
        chosen = sorted(filter(self._is_chosen, ended), key=lambda process: process.end_ns)
        if self._arguments.summary:
            for process in chosen:
                self._sums.setdefault(process.comm, Sum()).add(process)
        elif self._arguments.json:
            for process in chosen:
                output.write_json({"schema": "prock.trace/1", **as_json(process)}, one_line=True)
        elif chosen:
            self._write_lines(map(self._line, chosen))

    def _is_chosen(self, process: EndedProcess) -> bool:
        return (
            (process.cpu_ns or 0) >= self._arguments.min_cpu * 1e9
            and process.wall_ns >= self._arguments.min_life * 1e9
            and (self._arguments.command is None or fnmatch.fnmatchcase(process.comm, self._arguments.command))
        )

    def _line(self, process: EndedProcess) -> str:
        columns = (
            time.strftime("%H:%M:%S", time.localtime(_epoch_seconds(process.end_ns))),
            str(process.pid),
            str(process.ppid or "-"),
            format_span(process.wall_ns),
            format_span(process.cpu_ns),
            format_bytes(process.peak_rss_bytes),
            format_bytes(process.disk_io and process.disk_io.write_bytes),
            ending(process),
        )
        return f"{_columns(columns)} {_command(process, self._screen.encoding)}"

    def _write_lines(self, lines: Iterable[str]) -> None:
        width = self._screen.width
        output.write(line if width is None else cut(line, width, self._screen.ellipsis) for line in lines)

    def _write_sums(self) -> None:
        sums = sorted(self._sums.items(), key=lambda item: -item[1].cpu_ns)
        if self._arguments.json:
            for comm, of in sums:
                output.write_json(
                    {"schema": "prock.trace/1", "comm": decode_bytes(comm), "sum": vars(of)}, one_line=True
                )
            return
        rows = [("CPU", "LIFE", "PROCESSES", "FAILED", "LARGEST", "WRITTEN", "COMMAND")]
        rows += [
            (
                format_cpu(of.cpu_ns),
                format_cpu(of.wall_ns),
                format_number(of.processes),
                format_number(of.failed),
                format_bytes(of.peak_rss_bytes),
                format_bytes(of.write_bytes),
                self._screen.clean(comm),
            )
            for comm, of in sums
        ]
        self._write_lines(table(rows))


def as_json(process: EndedProcess) -> dict[str, object]:
    return {
        "pid": process.pid,
        "ppid": process.ppid or None,
        "comm": decode_bytes(process.comm),
        "cmdline": as_document(process.cmdline),
        "start_time": round(_epoch_seconds(process.start_ns), 6),
        "end_time": round(_epoch_seconds(process.end_ns), 6),
        "wall_ns": process.wall_ns,
        "cpu_ns": process.cpu_ns,
        "user_ns": process.user_ns,
        "system_ns": process.system_ns,
        "peak_rss_bytes": process.peak_rss_bytes,
        "disk_io": None if process.disk_io is None else process.disk_io._asdict(),
        "minor_faults": process.minor_faults,
        "major_faults": process.major_faults,
        "exit_code": process.exit_code,
        "signal": process.signal,
        "uid": process.uid,
        "cgroup": process.cgroup,
        "reaped": process.reaped,
    }


def ending(process: EndedProcess) -> str:
    """Its exit code, or the signal that ended it: ``KILL``."""
    if process.signal is None:
        return str(process.exit_code)
    try:
        return signal.Signals(process.signal).name.removeprefix("SIG")
    except ValueError:  # a real-time signal
        return f"SIG{process.signal}"


def _command(process: EndedProcess, encoding: str) -> str:
    return describe(None if process.cmdline is None else redact(process.cmdline), process.comm, encoding)


def _columns(texts: Iterable[str]) -> str:
    return " ".join(text.rjust(width) for text, width in zip(texts, WIDTHS, strict=True))


def _epoch_seconds(boot_ns: int) -> float:
    return (boot_ns + time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / 1e9
