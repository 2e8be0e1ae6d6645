"""System calls of the pure engine that Python does not have, by ctypes."""

from __future__ import annotations

import ctypes
import errno
import os
import platform

from prock.errors import NotSupported

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
_libc = ctypes.CDLL(None, use_errno=True)


SYS_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272}
KCMP_VM = 1


def shares_space(pid: int, other: int) -> bool | None:
    """Whether both have one address space, by kcmp(2); None where that is refused, or its number not known here."""
    number = SYS_KCMP.get(platform.machine())
    if number is None:
        return None
    zero = ctypes.c_ulong(0)
    order = _libc.syscall(ctypes.c_long(number), pid, other, KCMP_VM, zero, zero)
    return None if order < 0 else order == 0


def subreaper(wanted: bool | None) -> bool:
    was = ctypes.c_int(0)
    _prctl(PR_GET_CHILD_SUBREAPER, ctypes.addressof(was))
    if wanted is not None:
        _prctl(PR_SET_CHILD_SUBREAPER, int(wanted))
    return bool(was.value)


def _prctl(option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), unused, unused, unused) < 0:
        error = ctypes.get_errno()
        if error == errno.EINVAL:
            raise NotSupported("PR_SET_CHILD_SUBREAPER")
        raise OSError(error, os.strerror(error))
