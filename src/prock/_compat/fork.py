"""Objects that must notice a fork: in a forked child, `after_fork` of each of them is called."""

from __future__ import annotations

import os
from _weakref import ref  # importing weakref costs 1 ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class ForkAware(Protocol):
        def after_fork(self) -> None: ...


_registered: set[ref[ForkAware]] = set()


def register(thing: ForkAware) -> None:
    """Call `after_fork` of an object in forked children as long as the object exists."""
    _registered.add(ref(thing, _registered.discard))


def registered() -> list[ForkAware]:
    """The objects that exist."""
    # Copied in one step, as other threads and the garbage collector change the set at any time.
    return [thing for known in _registered.copy() if (thing := known()) is not None]


def _after_fork() -> None:
    for thing in registered():
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
