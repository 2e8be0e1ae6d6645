"""Questions that only Linux answers, as the engine for other systems answers them."""

from __future__ import annotations

from prock.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from prock.engine.protocol import Records


def _lacking(what: str) -> NoReturn:
    raise NotSupported(f"{what}: only Linux has them, and the engine portable asks for nothing of that kind")


class LinuxOnly:
    """Each raises `NotSupported` with the reason."""

    def children_by_thread(self, pid: int | None, /) -> list[tuple[int, list[int]]] | None:
        _lacking("lists of the children of single threads")

    def thread_state(self, pid: int, tid: int, /) -> str | None:
        _lacking("states of single threads")

    def subreaper(self, wanted: bool | None, /) -> bool:
        _lacking("processes that inherit orphans (prctl)")

    def last_pid(self) -> int:
        _lacking("records of the pid that was given away last")

    def pid_limit(self) -> int:
        _lacking("limits of pids that can be read")

    def open_task_clock(self, tid: int | None, /) -> int | None:
        _lacking("perf events")

    def read_task_clocks(self, fds: Iterable[int], /) -> int:
        _lacking("perf events")

    def open_on_exec(self, cpu: int, /) -> int:
        _lacking("perf events")

    def open_switches_on_exec(self, cpu: int, /) -> int:
        _lacking("perf events")

    def map_records(self, descriptors: list[int], switches: list[int], size: int, /) -> Records:
        _lacking("perf events")
