"""Whether this machine lets this user record processes by eBPF. Only for Linux."""

from __future__ import annotations

import functools

import pytest

from prock.engine.bpf import Unavailable, open_recorder


@functools.cache
def why_unavailable() -> str | None:
    try:
        open_recorder(everything=False).close()
    except Unavailable as error:
        return str(error)
    return None


needs_bpf = pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))
