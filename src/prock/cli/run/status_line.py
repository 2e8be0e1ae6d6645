"""The status line of ``prock run``: on the terminal, never in the output of the command.

Without ``--progress`` it is shown only if all output of the command goes to files. With it, the bottom row of the
terminal is reserved, and the rest scrolls above. It is not drawn while a program reads single keys or a password.
"""

from __future__ import annotations

import os
import stat
import sys

from prock.report.layout import count, format_bytes, format_cpu

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.runner.session import RunSession, Status

EVERY_NS = 500_000_000
LEAST_ROWS = 5
LEAST_COLUMNS = 30
USUAL_COLUMNS = 80


def open_line(wish: bool, *, alone: bool = False) -> StatusLine | None:
    """The status line, if it is wanted and there is a terminal. `alone`: no command writes to the terminal.

    None on Windows, where writing to a shared console was never tried.
    """
    if sys.platform == "win32":
        return None
    if alone:
        return StatusLine(os.dup(2), reserve=False) if os.isatty(2) else None
    shared = os.isatty(1) or os.isatty(2)
    if not wish and not (_is_file(1) and _is_file(2)):
        return None  # the reader of a pipe may write to the terminal
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        if not os.isatty(2):
            return None
        terminal = os.dup(2)
    return StatusLine(terminal, reserve=shared or wish)


def text(status: Status, columns: int) -> str:
    """
    >>> from types import SimpleNamespace
    >>> text(SimpleNamespace(wall_ns=61_500_000_000, cpu_ns=83_000_000_000, footprint_bytes=2**30, process_count=3), 80)
    'prock: 1:01.5  CPU 1:23.0 (134%)  1.0G  3 processes'
    """
    percent = f" ({100 * status.cpu_ns // status.wall_ns}%)" if status.wall_ns and status.cpu_ns is not None else ""
    parts = [f"prock: {format_cpu(status.wall_ns)}", f"CPU {format_cpu(status.cpu_ns)}{percent}"]
    if status.footprint_bytes is not None:
        parts.append(format_bytes(status.footprint_bytes))
    if status.process_count is not None:
        parts.append(count(status.process_count, "process", "processes"))
    return "  ".join(parts)[: columns - 1]


class StatusLine:
    """One row of a terminal."""

    def __init__(self, terminal: int, *, reserve: bool) -> None:
        self._terminal = terminal
        self._reserve = reserve
        self._reserved: int | None = None
        """The row that does not scroll."""
        self._shown = False
        self.due_ns = 0

    def step(self, session: RunSession, now_ns: int) -> None:
        if now_ns < self.due_ns:
            return
        self.due_ns = now_ns + EVERY_NS
        try:
            if self._may_write():
                self._draw(session.status())
        except OSError:  # the terminal is gone
            self.due_ns = now_ns + 3600 * 10**9

    def hide(self) -> None:
        """Restore the terminal."""
        if not self._shown:
            return
        self._shown = False
        if self._reserved is None:
            erase = "\r\x1b[K"
        else:  # setting the scroll region moves the cursor, so that it is saved around it
            erase = f"\x1b7\x1b[r\x1b[{self._reserved};1H\x1b[K\x1b8"
            self._reserved = None
        try:
            os.write(self._terminal, erase.encode())
        except OSError:
            pass

    def resized(self) -> None:
        """Draw again: after a change of size, or after a stop."""
        self.hide()
        self.due_ns = 0

    def close(self) -> None:
        self.hide()
        os.close(self._terminal)

    def _may_write(self) -> bool:
        """Not from the background, and not while a program reads single keys or a password."""
        if sys.platform == "win32":
            return False
        import termios

        if os.tcgetpgrp(self._terminal) != os.getpgrp():
            return False
        try:
            flags = termios.tcgetattr(self._terminal)[3]
        except termios.error as error:
            raise OSError(*error.args) from None
        return bool(flags & termios.ICANON and flags & termios.ECHO)

    def _draw(self, status: Status) -> None:
        size = os.get_terminal_size(self._terminal)
        columns = size.columns or USUAL_COLUMNS  # unknown on some terminals
        if columns < LEAST_COLUMNS:
            return
        line = text(status, columns)
        if not self._reserve:
            self._shown = True
            os.write(self._terminal, f"\r{line}\x1b[K".encode())
            return
        if size.lines < LEAST_ROWS:
            return
        begin = ""
        if self._reserved != size.lines:
            # One row down and up again: the cursor may be on the row that is about to be reserved.
            begin = f"\x1bD\x1b[A\x1b7\x1b[1;{size.lines - 1}r\x1b8"
            self._reserved = size.lines
        self._shown = True
        os.write(self._terminal, f"{begin}\x1b7\x1b[{size.lines};1H{line}\x1b[K\x1b8".encode())


def _is_file(fd: int) -> bool:
    """Also /dev/null."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return True  # closed: nothing is written to it
    return stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(fd))
