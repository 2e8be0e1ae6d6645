"""Where Wine does not know the question by which psutil finds the path of an executable, another one is asked."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import psutil

assert sys.platform == "win32"
layer: Any = __import__("psutil._pswindows", fromlist=["cext"])
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
NO_SUCH_PROCESS = 87  # ERROR_INVALID_PARAMETER, of a pid that is none
kernel = ctypes.WinDLL("kernel32", use_last_error=True)
kernel.OpenProcess.restype = ctypes.c_void_p


def proc_exe(pid: int) -> str:
    handle = kernel.OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid)
    if not handle:
        error = ctypes.get_last_error()
        raise psutil.NoSuchProcess(pid) if error == NO_SUCH_PROCESS else ctypes.WinError(error)
    path, size = ctypes.create_unicode_buffer(1024), ctypes.c_ulong(1024)
    found = kernel.QueryFullProcessImageNameW(ctypes.c_void_p(handle), 0, path, ctypes.byref(size))
    kernel.CloseHandle(ctypes.c_void_p(handle))
    if not found:
        raise ctypes.WinError(ctypes.get_last_error())
    return path.value


layer.cext.proc_exe = proc_exe
