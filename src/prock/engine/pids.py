"""Which numbers can be pids, on every system."""

from __future__ import annotations

PID_MAX = 2**31 - 1


def check_pid(pid: int | None) -> int | None:
    """The pid as an `int`, or the error that says why it can't be one."""
    if pid is None:
        return None
    try:
        number = pid.__index__()
    except AttributeError:
        raise TypeError(f"a pid is an int or None, not {type(pid).__name__}") from None
    if not 0 < number <= PID_MAX:
        raise ValueError(f"{number} can't be a pid: it must be from 1 to {PID_MAX}")
    return number
