"""Questions that only Linux answers, as the engine for other systems answers them."""

from __future__ import annotations

from prock.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def _lacking(what: str) -> NoReturn:
    raise NotSupported(f"{what}: only Linux has them, and the engine portable asks for nothing of that kind")


class LinuxOnly:
    """Each raises `NotSupported` with the reason."""

    def subreaper(self, wanted: bool | None, /) -> bool:
        _lacking("processes that inherit orphans (prctl)")

    def last_pid(self) -> int:
        _lacking("last allocated pid")
