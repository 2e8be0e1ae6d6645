"""The only package that reads /proc or calls psutil.

`active` is the default engine. It is chosen on first use: the native engine where the C core was compiled, else the
pure one; on other systems than Linux the portable one, which calls psutil. ``PROCK_ENGINE=native``, ``pure`` or
``portable`` overrides that. Where proc is missing, or belongs to another PID namespace, every use of it raises
`NotSupported`; this is checked once for each process, by one `readlink` (4 µs).
"""

from __future__ import annotations

import os
import sys

from prock.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine

NAMES = ("native", "pure", "portable")

active: Engine


def open_engine(name: str | None = None, root: str = "/proc") -> Engine:
    """The engine of that name, or the best of this installation, for the proc that is mounted at `root`.

    Raises `NotSupported` for a name that does not exist, for ``native`` where it was not compiled, for ``portable``
    without psutil or with another `root`, and for those two that need Linux on another system.
    """
    if name is not None and name not in NAMES:
        raise NotSupported(f"an engine called {name!r}; there are {', '.join(NAMES[:-1])} and {NAMES[-1]}")
    if name == "portable" or (name is None and sys.platform != "linux"):
        if root != "/proc":
            raise NotSupported(f"the proc at {root} with the engine portable")
        from prock.engine.portable.engine import PortableEngine  # with psutil, which takes 20 ms to import

        return PortableEngine()
    if sys.platform != "linux":
        raise NotSupported(f"the engine {name}, which needs Linux, on {sys.platform}")
    if name != "pure":
        try:
            from prock.engine.linux.native import NativeEngine
        except ImportError as error:
            if name == "native":
                raise NotSupported(f"the native engine ({error})") from error
        else:
            return NativeEngine(root)
    from prock.engine.pure.engine import PureEngine  # here, as the native engine has no use for it

    return PureEngine(root)


def __getattr__(name: str) -> Engine:
    """`active`, the first time; from then on it is an ordinary attribute, which costs nothing to find."""
    if name != "active":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    global active
    chosen = open_chosen()
    if chosen.foreign is not None:
        raise NotSupported(chosen.foreign)
    active = chosen
    return active


def open_chosen() -> Engine:
    """The engine that `active` is to be, also where it shows other processes than this system's (`Engine.foreign`)."""
    chosen = os.environ.get("PROCK_ENGINE") or None
    try:
        return open_engine(chosen)
    except NotSupported as error:
        if chosen is None:
            raise
        raise NotSupported(f"{error.what} (set by PROCK_ENGINE)") from error


class using:  # noqa: N801  # reads as the statement that it makes
    """Make another engine the active one, for the whole process, until the block ends.

    >>> with using(open_engine("pure")) as engine:
    ...     engine.name
    'pure'
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Engine:
        global active
        self._before = globals().get("active")
        active = self._engine
        return active

    def __exit__(self, *exception: object) -> None:
        global active
        if self._before is None:
            del active
        else:
            active = self._before
