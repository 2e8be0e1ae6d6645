"""prock as a job of a shell: foreground, terminal modes, stopping together with the command."""

from __future__ import annotations

import os
import sys

from prock._compat.signals import kernel


def stop_self() -> None:
    if sys.platform != "win32":
        os.kill(os.getpid(), kernel.SIGSTOP)


def is_foreground_job() -> bool:
    """Whether a shell with job control runs prock in the foreground, and will continue it.

    prock must not stop below a script: whatever continues the command then does not know of prock.
    """
    if sys.platform == "win32":
        return False
    try:
        shell = os.getppid()
        if os.getpgid(shell) == os.getpgrp() or os.getsid(shell) != os.getsid(0):
            return False
    except OSError:
        return False
    return in_foreground()


def in_foreground() -> bool:
    """Whether the keys of a terminal send their signals to this process group."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def terminal_edits_lines() -> bool:
    """Whether the terminal edits lines. If not, a full-screen program reads Ctrl-C as a key."""
    if sys.platform == "win32":
        return True
    try:
        import termios

        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            return bool(termios.tcgetattr(terminal)[3] & termios.ICANON)
        finally:
            os.close(terminal)
    except (ImportError, OSError, termios.error):
        return False
