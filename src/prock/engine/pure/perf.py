"""Events for the pure engine, as ``native/perf.c`` and ``native/on_exec.c`` have them: by ctypes, as libc has no
perf_event_open."""

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
COUNT_DUMMY = 9
DISABLED, COMM, ENABLE_ON_EXEC, TASK = 1 << 0, 1 << 9, 1 << 12, 1 << 13
SAMPLE_ID_ALL, COMM_EXEC, USE_CLOCK_ID, CONTEXT_SWITCH = 1 << 18, 1 << 24, 1 << 25, 1 << 26
ON_EXEC = DISABLED | ENABLE_ON_EXEC | INHERIT | EXCLUDE_KERNEL
WITH_IDS = SAMPLE_ID_ALL | USE_CLOCK_ID
SAMPLE_TID, SAMPLE_TIME = 1 << 1, 1 << 2
FORMAT_LOST = 1 << 4
CLOCK_MONOTONIC = 1
OLDEST = 64
"""Bytes of the oldest form of the attributes, which every kernel takes."""


class _Attributes(ctypes.Structure):
    """``perf_event_attr`` as Linux 4.1 has it: 96 bytes."""

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
        ("breakpoint_length", ctypes.c_uint64),
        ("branch_sample_type", ctypes.c_uint64),
        ("sample_regs_user", ctypes.c_uint64),
        ("sample_stack_user", ctypes.c_uint32),
        ("clockid", ctypes.c_int32),
    )


_libc = ctypes.CDLL(None, use_errno=True)


def _open(attributes: _Attributes, tid: int, cpu: int) -> int:
    """A descriptor, or a negative errno."""
    number = SYSTEM_CALL.get(os.uname().machine)
    if number is None or sys.maxsize < 2**32:  # a 32-bit Python has other numbers than its 64-bit kernel
        raise NotSupported(EVENT)
    descriptor = _libc.syscall(
        ctypes.c_long(number),
        ctypes.byref(attributes),
        ctypes.c_int(tid),
        ctypes.c_int(cpu),
        ctypes.c_int(-1),  # of no group
        ctypes.c_ulong(CLOSE_ON_EXEC),
    )
    return int(descriptor) if descriptor >= 0 else -ctypes.get_errno()


def open_task_clock(tid: int | None) -> int | None:
    attributes = _Attributes(
        type=TYPE_SOFTWARE,
        size=OLDEST,
        config=COUNT_TASK_CLOCK,
        flags=INHERIT | EXCLUDE_KERNEL,
    )
    descriptor = _open(attributes, tid or 0, -1)
    if descriptor >= 0:
        return descriptor
    error = -descriptor
    if error == errno.ESRCH:
        return None
    if error in (errno.EACCES, errno.EPERM):
        raise AccessDenied(tid or os.getpid(), EVENT)
    if error in (errno.ENOSYS, errno.ENOENT, errno.EOPNOTSUPP):
        raise NotSupported(EVENT)
    raise OSError(error, os.strerror(error))


def _open_on_exec(attributes: _Attributes, cpu: int) -> int:
    if cpu < -1:
        raise ValueError("a CPU is a number, or -1 for any")
    descriptor = _open(attributes, 0, cpu)
    if descriptor == -errno.EINVAL and attributes.read_format:
        attributes.read_format = 0
        descriptor = _open(attributes, 0, cpu)
    if descriptor >= 0:
        return descriptor
    error = -descriptor
    if error in (errno.EACCES, errno.EPERM):
        raise AccessDenied(os.getpid(), EVENT)
    if error in (errno.ENOSYS, errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL, errno.E2BIG):
        raise NotSupported(EVENT)
    raise OSError(error, os.strerror(error))


def open_on_exec(cpu: int) -> int:
    if cpu == -1:
        attributes = _Attributes(type=TYPE_SOFTWARE, size=OLDEST, config=COUNT_TASK_CLOCK, flags=ON_EXEC)
    else:
        attributes = _Attributes(
            type=TYPE_SOFTWARE,
            size=ctypes.sizeof(_Attributes),
            config=COUNT_TASK_CLOCK,
            flags=ON_EXEC | WITH_IDS | TASK | COMM | COMM_EXEC,
            sample_type=SAMPLE_TID | SAMPLE_TIME,
            clockid=CLOCK_MONOTONIC,
            read_format=FORMAT_LOST,
        )
    return _open_on_exec(attributes, cpu)


def open_switches_on_exec(cpu: int) -> int:
    attributes = _Attributes(
        type=TYPE_SOFTWARE,
        size=ctypes.sizeof(_Attributes),
        config=COUNT_DUMMY,
        flags=ON_EXEC | WITH_IDS | CONTEXT_SWITCH,
        sample_type=SAMPLE_TID | SAMPLE_TIME,
        clockid=CLOCK_MONOTONIC,
    )
    return _open_on_exec(attributes, cpu)
