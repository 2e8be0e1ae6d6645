"""Whether the kernel lets this user open its perf event ``task-clock``: opened for this process, and closed at once."""

from __future__ import annotations

import ctypes
import os
import sys

SYSTEM_CALL = {
    "x86_64": 298,
    "i686": 336,
    "aarch64": 241,
    "riscv64": 241,
    "loongarch64": 241,
    "armv7l": 364,
    "ppc64le": 319,
    "s390x": 331,
}
"""Numbers of ``perf_event_open``, for which libc has no function."""
TYPE_SOFTWARE = 1
COUNT_TASK_CLOCK = 1
EXCLUDE_KERNEL = 5
"""Which flag it is: without it the kernel asks for more privilege, and task-clock counts kernel time even so."""
CLOSE_ON_EXEC = 8
PARANOID_LIMIT = 2
"""The highest kernel.perf_event_paranoid with which an ordinary user may open it."""


class _Attributes(ctypes.Structure):
    """The oldest form of ``perf_event_attr``, which every kernel takes: 64 bytes."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("breakpoint_type", ctypes.c_uint32),
        ("breakpoint_address", ctypes.c_uint64),
    )


def why_task_clock_is_refused() -> str | None:
    """None where it can be opened."""
    number = SYSTEM_CALL.get(os.uname().machine)
    if number is None or sys.maxsize < 2**32:  # a 32-bit Python has other numbers than its 64-bit kernel
        return f"not tried on {os.uname().machine}"
    attributes = _Attributes(
        type=TYPE_SOFTWARE, size=ctypes.sizeof(_Attributes), config=COUNT_TASK_CLOCK, flags=1 << EXCLUDE_KERNEL
    )
    libc = ctypes.CDLL(None, use_errno=True)
    this_process, any_cpu, no_group = ctypes.c_int(0), ctypes.c_int(-1), ctypes.c_int(-1)
    descriptor = libc.syscall(
        ctypes.c_long(number), ctypes.byref(attributes), this_process, any_cpu, no_group, ctypes.c_ulong(CLOSE_ON_EXEC)
    )
    if descriptor < 0:
        return os.strerror(ctypes.get_errno()).lower()
    os.close(descriptor)
    return None
