"""The only rooms that ask the kernel.

`active` is the engine that everything uses that is not told otherwise. It is chosen once, on import: the native one
where it was compiled, else the pure one; ``PROCK_ENGINE=native`` or ``pure`` overrides that.
"""

from __future__ import annotations

import os

from prock.engine import pure

TYPE_CHECKING = False  # see _records.py
if TYPE_CHECKING:
    from prock.engine.protocol import Engine

NAMES = ("native", "pure")


def open_engine(name: str | None = None, root: str = "/proc") -> Engine:
    """The engine of that name, or the best that this installation has, asking the proc that is mounted at `root`.

    Raises `ValueError` for a name that does not exist and `ImportError` for ``native`` where it was not compiled.
    """
    if name is not None and name not in NAMES:
        raise ValueError(f"no engine is called {name!r}: choose one of {', '.join(NAMES)}")
    if name != "pure":
        try:
            from prock.engine import native
        except ImportError:
            if name == "native":
                raise
        else:
            return native.NativeEngine(root)
    return pure.PureEngine(root)


active: Engine = open_engine(os.environ.get("PROCK_ENGINE") or None)


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
        self._before, active = active, self._engine
        return active

    def __exit__(self, *exception: object) -> None:
        global active
        active = self._before
