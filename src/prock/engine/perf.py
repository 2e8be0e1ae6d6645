"""`open_task_clock` for the pure engine, as ``native/perf.c`` has it: by ctypes, as libc has no perf_event_open."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

from prock.errors import AccessDenied, NotSupported

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
"""Numbers of ``perf_event_open``, by machine."""
EVENT = "perf events"
TYPE_SOFTWARE = 1
COUNT_TASK_CLOCK = 1
INHERIT, EXCLUDE_KERNEL = 1 << 1, 1 << 5
"""Bits of the flags. Without the second it takes more privilege; task-clock counts time in the kernel even so."""
CLOSE_ON_EXEC = 8


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


_libc = ctypes.CDLL(None, use_errno=True)


def open_task_clock(tid: int | None) -> int | None:
    number = SYSTEM_CALL.get(os.uname().machine)
    if number is None or sys.maxsize < 2**32:  # a 32-bit Python has other numbers than its 64-bit kernel
        raise NotSupported(EVENT)
    attributes = _Attributes(
        type=TYPE_SOFTWARE,
        size=ctypes.sizeof(_Attributes),
        config=COUNT_TASK_CLOCK,
        flags=INHERIT | EXCLUDE_KERNEL,
    )
    any_cpu, no_group = ctypes.c_int(-1), ctypes.c_int(-1)
    descriptor = _libc.syscall(
        ctypes.c_long(number),
        ctypes.byref(attributes),
        ctypes.c_int(tid or 0),
        any_cpu,
        no_group,
        ctypes.c_ulong(CLOSE_ON_EXEC),
    )
    if descriptor >= 0:
        return int(descriptor)
    error = ctypes.get_errno()
    if error == errno.ESRCH:
        return None
    if error in (errno.EACCES, errno.EPERM):
        raise AccessDenied(tid or os.getpid(), EVENT)
    if error in (errno.ENOSYS, errno.ENOENT, errno.EOPNOTSUPP):
        raise NotSupported(EVENT)
    raise OSError(error, os.strerror(error))


def open_on_exec(cpu: int) -> int:
    """As ``prock_perf_open_on_exec``."""
    attributes = _Attributes(
        type=TYPE_SOFTWARE,
        size=ctypes.sizeof(_Attributes),
        config=COUNT_TASK_CLOCK,
        flags=INHERIT | EXCLUDE_KERNEL | 1 | 1 << 12,
    )
    number = SYSTEM_CALL.get(os.uname().machine)
    if number is None:
        raise NotSupported(EVENT)
    descriptor = _libc.syscall(
        ctypes.c_long(number), ctypes.byref(attributes), ctypes.c_int(0), ctypes.c_int(cpu), ctypes.c_int(-1),
        ctypes.c_ulong(CLOSE_ON_EXEC),
    )  # fmt: skip
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(descriptor)
