"""A thread that looks at the trees, so that a slow look never holds up a key."""

from __future__ import annotations

import threading
import time

from prock.sampling.schedule import Deadlines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from prock.cli.top.model import Picture
    from prock.cli.top.trees import Source

FIRST_S = 0.2
"""The first look comes early, or else the screen is empty for an interval."""


class SamplerThread(threading.Thread):
    """Delivers, in its own thread, each picture, at last None or the error that ended it."""

    def __init__(
        self,
        source: Source,
        interval_s: float,
        deliver: Callable[[Picture | Exception | None], None],
        *,
        count: int | None = None,
    ) -> None:
        super().__init__(name="prock top", daemon=True)  # a read of proc that hangs must not keep the command alive
        self._source = source
        self._deliver = deliver
        self._count = count
        self._changed = threading.Condition()
        self._is_stopped = False
        first_ns = round(min(FIRST_S, interval_s) * 1e9)
        self._last_ns = time.monotonic_ns() + first_ns - round(interval_s * 1e9)
        self._deadlines = Deadlines(interval_s, self._last_ns)

    def run(self) -> None:
        try:
            self._follow()
        except Exception as error:  # whatever it is, the view has to say it: nobody looks at this thread
            self._deliver(error)
        else:
            self._deliver(None)

    def _follow(self) -> None:
        looks = 0
        while (due := self._wait()) is not None:
            picture = self._source.look(*due)
            self._deliver(picture)
            looks += 1
            if picture.totals.is_over or looks == self._count:
                return

    def _wait(self) -> tuple[int, int] | None:
        """Until the next look is due, even if the interval changes meanwhile. None: no more."""
        with self._changed:
            while not self._is_stopped:
                left = self._deadlines.remaining(time.monotonic_ns())
                if left <= 0:
                    due = self._deadlines.take(time.monotonic_ns())
                    self._last_ns = due[0]
                    return due
                self._changed.wait(left)
        return None

    def set_interval(self, interval_s: float) -> None:
        """From the last look on."""
        with self._changed:
            self._deadlines = Deadlines(interval_s, self._last_ns)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
