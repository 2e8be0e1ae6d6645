"""Where and when figures were measured: for documents and recordings."""

from __future__ import annotations

import os
import sys
import time

from prock.engine.facts import user_name


def measurement() -> dict[str, object]:
    """Version of prock, host, system, CPUs, memory, effective user, working directory and time. None is unknown."""
    host = memory = user = directory = None
    system = sys.platform
    if sys.platform != "win32":
        uname = os.uname()
        host, system = uname.nodename, f"{uname.sysname} {uname.release} {uname.machine}"
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        user = user_name(os.geteuid())
    try:
        directory = os.getcwd().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except OSError:  # it was removed
        pass
    return {
        "prock_version": sys.modules["prock"].__version__,
        "host": host,
        "system": system,
        "cpu_count": os.cpu_count(),
        "memory_bytes": memory,
        "user": user,
        "directory": directory,
        "time": time.time(),
    }
