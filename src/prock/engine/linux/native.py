"""The engine in C: one call into it a question, with the GIL let go of once at most."""

from __future__ import annotations

from prock import errors, model
from prock._core import Proc
from prock.engine import tuples
from prock.engine.linux.procfs import PAGE_BYTES, TICK_NS, ProcFiles
from prock.errors import NotSupported


class NativeEngine(Proc, ProcFiles):
    name = "native"

    def __new__(cls, root: str = "/proc") -> NativeEngine:
        return super().__new__(cls, root.rstrip("/"), TICK_NS, PAGE_BYTES, model, errors, tuples)

    def __init__(self, root: str = "/proc") -> None:
        ProcFiles.__init__(self, root)

    def children(self, pid: int | None, /) -> list[int] | None:
        try:
            return super().children(pid)
        except NotSupported:
            return self.children_by_scan(pid)
