"""`WindowsWaiter`: waits for the root of a launched command. Windows does not add the usage of children to a process.

The process handle stays valid after the process has ended, so that times, exit code and largest resident set are read
then. Written from Microsoft's documentation (GetProcessTimes, K32GetProcessMemoryInfo). It ran only under Wine (``make
check-windows``), which returns the times of the calling process; it never ran on Windows.
"""

from __future__ import annotations

import sys

from prock.accounting.protocol import ExitedChild, RootWaiter

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

    class WindowsWaiter(RootWaiter):
        """Waits for a process that `subprocess` started."""

        includes_children = False

        def __init__(self, process: subprocess.Popen[Any]) -> None:
            super().__init__(process.pid)
            self._process = process
            self._handle = int(process._handle)  # type: ignore[attr-defined]  # there is no public attribute

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

        @property
        def holds_root(self) -> bool:
            """As long as its handle is open."""
            return True

        def send(self, number: int, /) -> None:
            """Through the handle: SIGTERM ends the process at once; Ctrl-C and Ctrl-Break as `subprocess` does."""
            if self.root is None:
                if number == signal.SIGTERM:
                    _winapi.TerminateProcess(self._handle, 1)
                else:
                    subprocess.Popen.send_signal(self._process, number)

    def _nanoseconds(time: wintypes.FILETIME) -> int:
        return ((int(time.dwHighDateTime) << 32) + int(time.dwLowDateTime)) * FILETIME_NS
