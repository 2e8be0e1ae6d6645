"""Which trees ``prock top`` follows, and each look at them."""

from __future__ import annotations

import os
import re
import time

import prock
from prock import engine
from prock.cli import output
from prock.cli.top.model import NOTHING, Picture
from prock.report.layout import escape
from prock.sampling.forest import Forest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prock.model import ProcessInfo


LONGEST_COMMAND_LINE = 131_072
"""Bytes: as long as the kernel lets one argument be."""
NEWCOMERS_S = 5.0
"""How often trees that are told by a name are looked for: a scan of the machine each time."""


class Source:
    """Looks at the trees, and remembers the look before."""

    def __init__(self, title: str, find: Callable[[], Iterable[int]], *, io: bool, newcomers: bool = False) -> None:
        self.title = title
        """Text of strangers is in it."""
        self._find = find
        self._newcomers = newcomers
        self._forest = Forest(io=io)
        self._roots: set[int] = set()
        self._before: Picture | None = None
        self._past = NOTHING
        self._search()

    def __bool__(self) -> bool:
        """Whether there is a tree to follow."""
        return bool(self._roots)

    def look(self, due_ns: int | None = None, skipped: int = 0) -> Picture:
        """Now. When it was due, and how many before it were left out, is told in its samples."""
        if self._newcomers and time.monotonic() - self._searched >= NEWCOMERS_S:
            self._search()
        picture = self._picture(due_ns, skipped)
        if picture.totals.is_over and self._newcomers and self._search():
            picture = self._picture(due_ns, skipped)
        for sample in picture.samples:
            # Once told that it is over, a tree is no more than what it has used.
            if sample.is_over and self._newcomers:
                self._forest.remove(sample.root_pid)
                self._roots.discard(sample.root_pid)
                self._past = self._past.with_tree(sample)
        return picture

    def close(self) -> None:
        self._forest.close()

    def _picture(self, due_ns: int | None, skipped: int) -> Picture:
        samples = self._forest.sample(due_ns=due_ns, skipped=skipped)
        self._before = Picture(list(samples.values()), self._before, self._past)
        return self._before

    def _search(self) -> bool:
        """Whether there is a new tree."""
        self._searched = time.monotonic()
        before = len(self._roots)
        for root in self._find():
            if root in self._roots:
                continue
            try:
                self._forest.add(root)
            except (ProcessLookupError, ValueError):  # ended, or by now a member of another one's tree
                continue
            self._roots.add(root)
        return len(self._roots) > before


def one(pid: int, *, io: bool) -> Source:
    """The tree of one process."""
    source = Source(_title(pid), lambda: [pid], io=io)
    if not source:
        raise output.Failure(f"no process {pid}")
    return source


def named(pattern: str, *, full: bool, io: bool) -> Source:
    """The trees whose root's name, or whole command line, has a match of the expression in it; new ones, too."""
    try:
        wanted = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise output.Failure(f"{pattern!r} is no regular expression: {escape(str(error))}", 2) from None

    def find() -> list[int]:
        return outermost(prock.scan_all_processes(), wanted, full=full)

    source = Source(f"{'command line' if full else 'name'} {pattern}", find, io=io, newcomers=True)
    if not source:
        raise output.Failure(f"no process has a {'command line' if full else 'name'} that matches {pattern!r}")
    return source


def outermost(rows: Iterable[ProcessInfo], wanted: re.Pattern[str], *, full: bool) -> list[int]:
    """Pids of the processes that match and have no match above them. The calling process is never one of them."""
    by_pid = {row.pid: row for row in rows}
    myself = os.getpid()
    matching = {
        row.pid
        for row in by_pid.values()
        if row.pid != myself and wanted.search((full and command_line(row.pid)) or row.comm)
    }
    return [pid for pid in by_pid if pid in matching and not matching.intersection(_above(pid, by_pid))]


def command_line(pid: int) -> str:
    """Its arguments with spaces between them; empty for a kernel thread, a zombie, and for one that has ended.

    No more than `LONGEST_COMMAND_LINE` of them: a process can declare all of its memory to be its arguments.
    """
    if engine.active.name == "portable":
        from prock.cli.top import words

        return words.command_line(pid)[:LONGEST_COMMAND_LINE]
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsdecode(file.read(LONGEST_COMMAND_LINE).rstrip(b"\0").replace(b"\0", b" "))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def _above(pid: int, by_pid: Mapping[int, ProcessInfo]) -> set[int]:
    """Its ancestors. A scan is not atomic: they can form a cycle."""
    above: set[int] = set()
    parent = by_pid[pid].ppid
    while parent in by_pid and parent not in above and parent != pid:
        above.add(parent)
        parent = by_pid[parent].ppid
    return above


def _title(pid: int) -> str:
    try:
        comm = prock.get_process_comm(pid)
    except prock.AccessDenied:
        comm = None
    return f"{pid} {comm or ''}".rstrip()
