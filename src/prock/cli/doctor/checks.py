"""One thing that ``prock doctor`` looks at, and those that every system has."""

from __future__ import annotations

import sys

from prock import engine
from prock._compat.namedtuple import NamedTuple
from prock.cli.output import describe
from prock.errors import ProckError

OK, LIMITED, NO = "ok", "limited", "no"

FEW_DESCRIPTORS = 1024
SYSTEMS = {
    "darwin": "macOS",
    "freebsd": "FreeBSD",
    "linux": "Linux",
    "netbsd": "NetBSD",
    "openbsd": "OpenBSD",
    "win32": "Windows",
}


class Check(NamedTuple):
    """One thing looked at."""

    name: str
    """Stable: programs may ask for it."""
    status: str
    finding: str
    remedy: str | None = None
    """What would enable the rest."""


def system_name() -> str:
    """As people call it."""
    return SYSTEMS.get(sys.platform) or SYSTEMS.get(sys.platform.rstrip("0123456789"), sys.platform)


def engine_that_fails() -> str | None:
    """Why the engine does not even find this process; None where it does."""
    try:
        return None if engine.active.info(None) is not None else "does not find its own process"
    except (ProckError, OSError) as error:
        return str(error) if isinstance(error, ProckError) else describe(error)


def the_python() -> Check:
    return Check("python", OK, f"{sys.implementation.name} {sys.version.split()[0]}, {sys.executable}")


def the_kernel() -> Check:
    import platform

    return Check("kernel", OK, f"{platform.system()} {platform.release()} {platform.machine()}")


def descriptors() -> Check:
    if sys.platform == "win32":
        return Check("descriptors", OK, "nothing is kept open between two looks")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said_soft, said_hard = ("unlimited" if limit == resource.RLIM_INFINITY else str(limit) for limit in (soft, hard))
    finding = f"soft limit {said_soft}, hard limit {said_hard}"
    if soft == resource.RLIM_INFINITY or soft >= FEW_DESCRIPTORS:
        return Check("descriptors", OK, finding)
    return Check("descriptors", LIMITED, f"{finding}: few can be kept open", f"ulimit -n {FEW_DESCRIPTORS}")
