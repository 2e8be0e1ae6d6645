"""The functions of `signal` without its enums, which take 5 ms to import: what stands in front of short commands."""

from __future__ import annotations

TYPE_CHECKING = False  # see _records.py
if TYPE_CHECKING:
    import signal as kernel
else:
    try:
        import _signal as kernel
    except ImportError:  # another Python than CPython may keep them elsewhere
        import signal as kernel

__all__ = ["CONT", "KILL", "TERM", "kernel", "name", "numbers"]

TERM = int(kernel.SIGTERM)
KILL = int(getattr(kernel, "SIGKILL", 9))
"""Windows has no such signal: what is sent there ends a process at once, whatever it is called."""
CONT: int | None = getattr(kernel, "SIGCONT", None)


def numbers(names: str) -> tuple[int, ...]:
    """Of those, with spaces between them, that this system has.

    >>> numbers("SIGINT SIGTERM SIGNONE")
    (2, 15)
    """
    return tuple(int(getattr(kernel, word)) for word in names.split() if hasattr(kernel, word))


def name(number: int) -> str:
    """What a signal is called.

    >>> name(15), name(9), name(64), name(61)
    ('SIGTERM', 'SIGKILL', 'SIGRTMAX', 'SIGRTMAX-3')
    """
    for word, value in vars(kernel).items():
        if value == number and word.startswith("SIG") and not word.startswith(("SIG_", "SIGCLD", "SIGPOLL")):
            return word
    low, high = getattr(kernel, "SIGRTMIN", 0), getattr(kernel, "SIGRTMAX", 0)  # macOS has none, nor has Windows
    if low < number < high:
        return f"SIGRTMIN+{number - low}" if number - low <= high - number else f"SIGRTMAX-{high - number}"
    return f"signal {number}"
