"""The engine on the C core: each method is one call into it, which releases the GIL at most once."""

from __future__ import annotations

import os

from prock import errors, model
from prock._core import Proc
from prock.engine import tuples
from prock.engine.linux.procfs import PAGE_BYTES, TICK_NS, ProcFiles
from prock.errors import NotSupported

LAUNCHER = os.path.join(os.path.dirname(model.__file__), "_launcher")


class NativeEngine(Proc, ProcFiles):
    name = "native"

    def __new__(cls, root: str = "/proc") -> NativeEngine:
        return super().__new__(cls, root.rstrip("/"), TICK_NS, PAGE_BYTES, model, errors, tuples)

    def __init__(self, root: str = "/proc") -> None:
        ProcFiles.__init__(self, root)
        self.launcher = LAUNCHER if os.access(LAUNCHER, os.X_OK) else None

    @property
    def core(self) -> NativeEngine:
        return self

    def children(self, pid: int | None, /) -> list[int] | None:
        try:
            return super().children(pid)
        except NotSupported:
            return self.children_by_scan(pid)

    def pid_limit(self) -> int:
        try:
            with open(f"{self.root}/sys/kernel/pid_max", "rb") as file:
                return int(file.read())
        except (OSError, ValueError):
            raise NotSupported(f"{self.root}/sys/kernel/pid_max") from None
