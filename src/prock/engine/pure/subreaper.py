"""`subreaper` for the pure engine, as ``native/procfs/prctl.c`` has it: by ctypes, as Python has no prctl."""

from __future__ import annotations

import ctypes
import errno
import os

from prock.errors import NotSupported

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
_libc = ctypes.CDLL(None, use_errno=True)


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
