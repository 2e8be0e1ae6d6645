"""A terminal of one's own, with a command in front of it that a shell may watch over."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence

from support.command_line import TIMEOUT_S, environment

CTRL_C, CTRL_Z, CTRL_BACKSLASH = b"\x03", b"\x1a", b"\x1c"


class Session:
    """Runs a command as the leader of a session that has a terminal of 24 rows and 80 columns."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None, rows: int = 24) -> None:
        self.written = b""
        """What came out on the terminal."""
        # Not pty.fork: the size has to be there before the command looks.
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
                for descriptor in range(3):
                    os.dup2(theirs, descriptor)
                os.closerange(3, 256)
                os.execve(command[0], list(command), env or environment())
            finally:
                os._exit(127)
        os.close(theirs)

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def resize(self, rows: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))

    def shows(self, text: str, times: int = 1) -> None:
        """Waits until the terminal has shown it so often."""
        self._read(text.encode(), times)
        assert self.written.count(text.encode()) >= times, self.written

    def end(self) -> int:
        """Waits for it; its exit code, or -n."""
        self._read(None, 1)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    @property
    def text(self) -> str:
        return self.written.decode().replace("\r\n", "\n")

    def _read(self, until: bytes | None, times: int) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while until is None or self.written.count(until) < times:
            ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, self.written
            try:
                part = os.read(self._terminal, 65536)
            except OSError:  # EIO: nobody has it open any more
                return
            if not part:
                return
            self.written += part
