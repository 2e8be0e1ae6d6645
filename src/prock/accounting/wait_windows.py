"""The account of a launched command's root on Windows: of that process alone, as nothing is handed on from children.

Its handle stays valid after its end, so that times, exit code and largest resident set can be asked for then. Written
after Microsoft's documentation (GetProcessTimes, K32GetProcessMemoryInfo), and run under Wine alone (``make
check-windows``), which answers with the times of the caller.
"""

from __future__ import annotations

import sys

from prock.accounting.protocol import ExitedChild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if sys.platform == "win32":
    import _winapi
    import ctypes
    import signal
    import subprocess
    from ctypes import wintypes

    FILETIME_NS = 100

    class _Memory(ctypes.Structure):
        """``PROCESS_MEMORY_COUNTERS``."""

        _fields_ = (
            ("cb", wintypes.DWORD),
            ("PageFaultCount", wintypes.DWORD),
            ("PeakWorkingSetSize", ctypes.c_size_t),
            ("WorkingSetSize", ctypes.c_size_t),
            ("QuotaPeakPagedPoolUsage", ctypes.c_size_t),
            ("QuotaPagedPoolUsage", ctypes.c_size_t),
            ("QuotaPeakNonPagedPoolUsage", ctypes.c_size_t),
            ("QuotaNonPagedPoolUsage", ctypes.c_size_t),
            ("PagefileUsage", ctypes.c_size_t),
            ("PeakPagefileUsage", ctypes.c_size_t),
        )

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _TIME = ctypes.POINTER(wintypes.FILETIME)
    _kernel.GetProcessTimes.argtypes = (wintypes.HANDLE, _TIME, _TIME, _TIME, _TIME)
    _kernel.GetProcessTimes.restype = wintypes.BOOL
    _kernel.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.POINTER(_Memory), wintypes.DWORD)
    _kernel.K32GetProcessMemoryInfo.restype = wintypes.BOOL

    class WindowsChild:
        """Of a process that the standard library has started."""

        adopts = False
        holds_children = False
        lost_root = False
        root_state = None
        minor_faults = major_faults = voluntary_switches = involuntary_switches = None
        disk_io = None
        refused_io = 0

        def __init__(self, process: subprocess.Popen[Any]) -> None:
            self._process = process
            self._handle = int(process._handle)  # type: ignore[attr-defined]  # there is no other way to it
            self.root_pid = process.pid
            self.root: ExitedChild | None = None
            self.user_ns = self.system_ns = self.largest_bytes = 0

        def reap(self) -> None:
            if self.root is not None or _winapi.WaitForSingleObject(self._handle, 0) != _winapi.WAIT_OBJECT_0:
                return
            code = _winapi.GetExitCodeProcess(self._handle)
            own_ns = None
            created, ended, system, user = (wintypes.FILETIME() for _ in range(4))
            if _kernel.GetProcessTimes(
                self._handle, ctypes.byref(created), ctypes.byref(ended), ctypes.byref(system), ctypes.byref(user)
            ):
                self.user_ns, self.system_ns = _nanoseconds(user), _nanoseconds(system)
                own_ns = self.user_ns + self.system_ns
            memory = _Memory()
            memory.cb = ctypes.sizeof(memory)
            if _kernel.K32GetProcessMemoryInfo(self._handle, ctypes.byref(memory), memory.cb):
                self.largest_bytes = int(memory.PeakWorkingSetSize)
            self.root = ExitedChild(self.root_pid, code, own_ns)

        def children(self) -> list[int]:
            return [] if self.root is not None else [self.root_pid]

        @property
        def holds_root(self) -> bool:
            """As long as its handle is open."""
            return True

        def send(self, number: int, /) -> bool:
            """By its handle, which is nobody else's: it ends at once. Ctrl-C and Ctrl-Break as the standard library."""
            if self.root is None:
                if number == signal.SIGTERM:
                    _winapi.TerminateProcess(self._handle, 1)
                else:
                    subprocess.Popen.send_signal(self._process, number)
            return True

        def close(self) -> None:
            """The handle is the standard library's."""

    def _nanoseconds(time: wintypes.FILETIME) -> int:
        return ((int(time.dwHighDateTime) << 32) + int(time.dwLowDateTime)) * FILETIME_NS
