"""Calls of psutil, whose exceptions become prock's. The only module that imports psutil.

`psutil.Process` reads a process twice for each value, reads command lines for a name, and guesses executables. So prock
calls the layer below, one per system: a row costs 50 µs instead of 123 (Linux, psutil 7.2), all of one reading. That
layer is not documented: a test compares it with the documented one, and pyproject.toml limits the version of psutil.
"""

from __future__ import annotations

import os
import sys
import time

from prock.errors import AccessDenied, NotSupported

try:
    import psutil
except ImportError as error:
    raise NotSupported(f"the portable engine without psutil ({error}): pip install psutil") from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Answer = TypeVar("Answer")

_layer: Any = getattr(psutil, "_psplatform", None)
if not hasattr(_layer, "Process") or psutil.version_info < (7, 1):
    raise NotSupported(f"the portable engine with psutil {psutil.__version__}: pip install 'psutil>=7.1,<8'")

PsZombie, PsRefused = psutil.ZombieProcess, psutil.AccessDenied
IS_LINUX = sys.platform == "linux"
IS_WINDOWS = sys.platform == "win32"
HAS_WAITED = not IS_WINDOWS and sys.platform != "darwin"
"""Whether the system keeps what children used that were waited for."""
HAS_MOVING_STARTS = sys.platform.startswith(("freebsd", "openbsd", "dragonfly"))
"""Whether the time at which a process started moves when the wall clock is set."""
TICKS_PER_SECOND = 1_000_000
if sys.platform == "linux":
    TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
"""The unit of starts: clock ticks since boot on Linux, microseconds since the epoch elsewhere."""

_LETTERS = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_DEAD: "X",
    "wake-kill": "K",
    psutil.STATUS_WAKING: "W",
    psutil.STATUS_IDLE: "I",
    psutil.STATUS_PARKED: "P",
    "locked": "L",
    "waiting": "W",
    "suspended": "T",
}


class IsZombie(NotSupported):
    """It is a zombie, of which this system reports no more."""


def answer(pid: int, what: str, question: Callable[[], Answer]) -> Answer | None:
    """Call psutil; None where the process is gone. The only place that converts psutil's exceptions."""
    try:
        return question()
    except psutil.ZombieProcess:
        raise IsZombie(f"{what} of process {pid}, which has ended and was not waited for yet") from None
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None
    except (psutil.AccessDenied, PermissionError):
        raise AccessDenied(pid, what) from None
    except (FileNotFoundError, NotImplementedError):
        if not psutil.pid_exists(pid):
            return None
        raise NotSupported(f"{what} of processes") from None


def process(pid: int) -> Any:
    """psutil's own object for a process of this system. Creating it makes no system call."""
    return _layer.Process(pid)


def has(question: str) -> bool:
    """Whether psutil has this method on this system."""
    return hasattr(_layer.Process, question)


def exists(pid: int) -> bool:
    """Whether the pid is a process, not a thread of Linux."""
    return bool(psutil.pid_exists(pid))


def all_pids() -> list[int]:
    """Ascending, without 0: some systems list 0, which is not a process."""
    return sorted(pid for pid in psutil.pids() if pid > 0)


def parents() -> dict[int, int]:
    """Of all processes. One question a process, but for Windows, where it is one for all of them."""
    try:
        found: dict[int, int] = psutil._ppid_map()  # type: ignore[attr-defined]  # what `children` is made of there
    except (psutil.Error, OSError, AttributeError):  # one that refuses refuses all of them
        found = {}
        for pid in psutil.pids():
            try:
                found[pid] = process(pid).ppid()
            except (psutil.Error, OSError):
                continue
    found.pop(0, None)
    return found


def letter(status: str) -> str:
    """As proc(5) has it; ``?`` for what it has no letter for."""
    return _LETTERS.get(status, "?")


def terminal(ps: Any) -> str | None:
    """Without ``/dev/``. psutil caches terminals for ever, so the cache is cleared."""
    if not has("terminal"):
        return None
    forget = getattr(getattr(getattr(_layer, "_psposix", None), "get_terminal_map", None), "cache_clear", None)
    if forget is not None:
        forget()
    name: str | None = ps.terminal()
    return None if name is None else name.removeprefix("/dev/")


def memory_of_threads(ps: Any) -> tuple[int, int]:
    """Resident and virtual bytes of a process on Linux after its main thread has ended; (0, 0) if no thread has any."""
    for thread in ps.threads():
        try:
            memory = process(thread.id).memory_info()
        except (psutil.Error, OSError):
            continue
        if memory.vms:
            return memory.rss, memory.vms
    return 0, 0


def nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


class Starts:
    """When processes started, in a unit that names them: it stays the same when the wall clock is set.

    Where the system itself lets these times move, the distance is what the start of this process has moved by.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._reference_s = self._own_start_s() if HAS_MOVING_STARTS else 0.0
        self._last_moved_s = 0.0

    def _own_start_s(self) -> float:
        return float(process(os.getpid()).create_time())

    def _moved_s(self) -> float:
        if not HAS_MOVING_STARTS:
            return 0.0
        own_s = self._own_start_s()
        if self._pid != os.getpid():  # forked: another process's start is the reference now
            self._pid, self._reference_s = os.getpid(), own_s - self._last_moved_s
        self._last_moved_s = own_s - self._reference_s
        return self._last_moved_s

    def of(self, ps: Any) -> int:
        """In `TICKS_PER_SECOND`."""
        if IS_WINDOWS:
            return round(float(ps.create_time()) * TICKS_PER_SECOND)
        return round((float(ps.create_time(monotonic=True)) - self._moved_s()) * TICKS_PER_SECOND)

    def now(self) -> int:
        """This instant in the same unit."""
        if sys.platform == "linux":
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * TICKS_PER_SECOND // 1_000_000_000
        return int((time.time() - self._moved_s()) * TICKS_PER_SECOND)

    def epoch_seconds(self, start: int) -> float:
        if sys.platform == "linux":
            boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            return round((boot_ns + start * 1_000_000_000 // TICKS_PER_SECOND) / 10_000_000) / 100
        return start / TICKS_PER_SECOND + self._moved_s()
