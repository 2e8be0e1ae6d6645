"""The checks of ``prock doctor`` that every system has."""

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
    """The result of one check."""

    name: str
    """Stable, for programs."""
    status: str
    finding: str
    remedy: str | None = None
    """What would enable the rest."""


def system_name() -> str:
    """Its usual name."""
    return SYSTEMS.get(sys.platform) or SYSTEMS.get(sys.platform.rstrip("0123456789"), sys.platform)


def engine_that_fails() -> str | None:
    """Why the engine cannot read its own process; None if it can."""
    try:
        return "cannot find its own process" if engine.active.info(None) is None else engine.active.foreign
    except (ProckError, OSError) as error:
        return str(error) if isinstance(error, ProckError) else describe(error)


def the_python() -> Check:
    return Check("python", OK, f"{sys.implementation.name} {sys.version.split()[0]}, {sys.executable}")


def the_kernel() -> Check:
    import platform

    return Check("kernel", OK, f"{platform.system()} {platform.release()} {platform.machine()}")


def descriptors() -> Check:
    if sys.platform == "win32":
        return Check("descriptors", OK, "none is held open between samples")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft_text, hard_text = ("unlimited" if limit == resource.RLIM_INFINITY else str(limit) for limit in (soft, hard))
    finding = f"soft limit {soft_text}, hard limit {hard_text}"
    if soft == resource.RLIM_INFINITY or soft >= FEW_DESCRIPTORS:
        return Check("descriptors", OK, finding)
    return Check("descriptors", LIMITED, f"{finding}: few can be held open", f"ulimit -n {FEW_DESCRIPTORS}")
