"""``prock run --ci``: a summary of the job in Markdown, written while the command runs, and annotations.

On GitHub the summary is a block in the file of GITHUB_STEP_SUMMARY, to which the command may append as well: the block
has a fixed size, filled with empty lines, and is written anew in its place. Other systems get files, for artifacts.
"""

from __future__ import annotations

import os
import re
import time

from prock.cli.output import Failure, complain, write_error
from prock.files import CannotWrite, OutputFile
from prock.redaction import redact
from prock.report.layout import cut, format_bytes, format_cpu, format_span, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.cli.run.options import Settings
    from prock.runner.result import RunResult
    from prock.runner.session import RunSession

BLOCK_BYTES = 8192
GITHUB_BYTES = 1 << 20
"""GitHub drops a larger summary of a step."""
EVERY_NS = 5_000_000_000
MOST_POINTS = 40
MOST_COMMANDS = 8
SUMMARY, METRICS = "prock-summary.md", "metrics.txt"


class Block:
    """A part of an existing file that other programs append to. Raises `OSError`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = self._append(b"")

    def _append(self, data: bytes) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
        try:
            if os.fstat(descriptor).st_size + BLOCK_BYTES > GITHUB_BYTES:
                raise OSError(27, f"it would exceed the {GITHUB_BYTES >> 20} MiB of a step")
            os.write(descriptor, data.ljust(BLOCK_BYTES, b"\n"))
            return os.lseek(descriptor, 0, os.SEEK_CUR) - BLOCK_BYTES
        finally:
            os.close(descriptor)

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")[:BLOCK_BYTES]
        descriptor = os.open(self._path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            if os.fstat(descriptor).st_size >= self._offset + BLOCK_BYTES:
                os.lseek(descriptor, self._offset, os.SEEK_SET)
                os.write(descriptor, data.ljust(BLOCK_BYTES, b"\n"))
                return
        finally:
            os.close(descriptor)
        self._offset = self._append(data)  # something has emptied the file


class Summary:
    """Fails before the command runs if the files cannot be written."""

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self._title = _code(quote(redact(command if settings.arguments else command[:1])))
        step_summary = os.environ.get("GITHUB_STEP_SUMMARY")
        self._on_github = bool(step_summary) or os.environ.get("GITHUB_ACTIONS") == "true"
        self._metrics: OutputFile | None = None
        self._failed = False
        self._points: list[tuple[float, float]] = []
        self._step = 1
        self._skipped = 0
        self._before = (0, 0)
        self._finished: list[str] = []
        """The parts of the summary that will not change."""
        self.due_ns = time.monotonic_ns()
        try:
            self._file: Block | OutputFile
            self._file = Block(step_summary) if step_summary else OutputFile(SUMMARY, whole=True)
            if os.environ.get("GITLAB_CI") == "true":
                self._metrics = OutputFile(METRICS, whole=True)
        except CannotWrite as error:
            raise Failure(f"--ci: {error}", 125) from None
        except OSError as error:
            raise Failure(f"--ci: cannot write {step_summary}: {error.strerror}", 125) from None

    def environment(self, entries: list[bytes]) -> list[bytes]:
        self._points, self._before, self._step, self._skipped = [], (0, 0), 1, 0
        return entries

    def step(self, session: RunSession, now_ns: int) -> None:
        status = session.status()
        first = not self._points
        self.due_ns = now_ns + (EVERY_NS // 5 if first else EVERY_NS)
        cpu_ns, memory = status.cpu_ns or 0, status.footprint_bytes or 0
        wall_ns = status.wall_ns - self._before[0]
        cores = max(0, cpu_ns - self._before[1]) / wall_ns if wall_ns else 0.0
        self._before = status.wall_ns, cpu_ns
        self._add_point(cores, memory / 2**20)
        rows = [
            ("elapsed so far", format_span(status.wall_ns)),
            ("CPU time so far", format_cpu(status.cpu_ns)),
            ("memory now", format_bytes(status.footprint_bytes)),
            ("processes now", "-" if status.process_count is None else f"{status.process_count:,}"),
        ]
        self._write([*self._finished, self._section("running, or ended by force", rows)])

    def _add_point(self, cores: float, memory: float) -> None:
        """Of a long run each point stands for several steps, with the largest of their values."""
        if self._skipped:
            last = self._points[-1]
            self._points[-1] = max(last[0], cores), max(last[1], memory)
        else:
            self._points.append((cores, memory))
        self._skipped = (self._skipped + 1) % self._step
        if len(self._points) > MOST_POINTS and not self._skipped:
            pairs = zip(self._points[::2], [*self._points[1::2], (0.0, 0.0)], strict=False)
            self._points = [(max(one[0], two[0]), max(one[1], two[1])) for one, two in pairs]
            self._step *= 2

    def add(self, result: RunResult) -> None:
        ended = "timed out" if result.timed_out else f"exit code {result.exit_code}"
        if result.limit_exceeded is not None:
            ended = f"{result.limit_exceeded.limit} limit exceeded"
        io = result.disk_io
        rows = [
            ("elapsed", format_span(result.wall_ns)),
            ("CPU time", format_cpu(result.cpu_ns)),
            ("peak memory", format_bytes(result.peak_footprint_bytes)),
            ("largest process", format_bytes(result.largest_process_bytes)),
            ("disk read", format_bytes(None if io is None else io.read_bytes)),
            ("disk written", format_bytes(None if io is None else io.write_bytes)),
            ("processes", "-" if result.processes_started is None else f"{result.processes_started:,}"),
        ]
        bias = result.source("cpu")
        lines = [self._section(ended, rows)]
        commands = [row for row in result.commands if row.cpu_ns]
        if len(commands) > 1:
            lines += ["```mermaid", "pie showData", "  title CPU time by command, ms"]
            shares = [(row.comm, row.cpu_ns or 0) for row in commands[:MOST_COMMANDS]]
            shares.append(("others", sum(row.cpu_ns or 0 for row in commands[MOST_COMMANDS:])))
            lines += [f'  "{_label(name)}" : {cpu_ns / 1e6:.1f}' for name, cpu_ns in shares if cpu_ns >= 50_000]
            lines += ["```", ""]
        if bias is not None:
            lines += [f"CPU time: {bias.bias} ({bias.source})", ""]
        self._finished.append("\n".join(lines))
        self._write(self._finished)
        if self._metrics is not None:
            from prock.export.run_metrics import prometheus_text

            try:
                self._metrics.write(prometheus_text(result))
            except CannotWrite as error:
                complain("prock run", f"--ci: {error}")

    def _section(self, state: str, rows: Sequence[tuple[str, str]]) -> str:
        lines = [f"### prock: {self._title}: {state}", "", "| | |", "|---|---:|"]
        lines += [f"| {name} | {value} |" for name, value in rows]
        lines.append("")
        for place, name in enumerate(("cores busy", "memory, MiB")):
            values = [point[place] for point in self._points]
            if len(values) > 2:
                numbers = ", ".join(f"{value:.4g}" for value in values)
                chart = [f'  title "{name}"', f"  line [{numbers}]"]
                lines += ["```mermaid", "xychart-beta", *chart, "```", ""]
        return "\n".join(lines)

    def _write(self, parts: Sequence[str]) -> None:
        if self._failed:
            return
        sizes = [len(part.encode("utf-8", "backslashreplace")) + 2 for part in parts]
        first = 0
        while first < len(parts) - 1 and sum(sizes[first:]) > BLOCK_BYTES:  # the latest runs are the ones to see
            first += 1
        try:
            self._file.write("\n" + "\n".join(parts[first:]) + "\n")
        except CannotWrite as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"cannot write the summary: {error.strerror}")

    def _fail(self, reason: str) -> None:
        self._failed = True
        complain("prock run", f"--ci: {reason}")

    def close(self, code: int, problems: Sequence[str]) -> None:
        if problems:
            self._write([*self._finished, *(f"**{_text(problem)}**" for problem in problems)])
        if self._on_github:
            for problem in problems:
                text = problem.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
                write_error(f"::error title=prock run::{text}\n")
        for file in (self._file, self._metrics):
            if isinstance(file, OutputFile):
                file.close()


def _code(text: str) -> str:
    """As code in one line, in which Markdown and HTML mean nothing."""
    return f"`{cut(text, 300).replace('`', chr(0x2BC)).replace('|', chr(0x2223))}`"


def _text(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text)


def _label(name: str) -> str:
    return re.sub(r"[^\w.+ -]", "_", name)
