"""A thread that samples the trees, so that a slow sample never delays a key."""

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
"""The first sample comes early, so that the screen is not empty for an interval."""


class SamplerThread(threading.Thread):
    """Delivers each picture, at the end None or the error that ended it; `deliver` is called in this thread."""

    def __init__(
        self,
        source: Source,
        interval_s: float,
        deliver: Callable[[Picture | Exception | None], None],
        *,
        count: int | None = None,
    ) -> None:
        super().__init__(name="prock top", daemon=True)  # a hanging read of /proc must not keep the command alive
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
        except Exception as error:  # of any kind: the view reports it
            self._deliver(error)
        else:
            self._deliver(None)

    def _follow(self) -> None:
        samples = 0
        while (due := self._wait()) is not None:
            picture = self._source.look(*due)
            self._deliver(picture)
            samples += 1
            if picture.totals.is_over or samples == self._count:
                return

    def _wait(self) -> tuple[int, int] | None:
        """Wait until the next sample is due, even if the interval changes. None after `stop`."""
        with self._changed:
            while not self._is_stopped:
                left = self._deadlines.remaining(time.monotonic_ns())
                if left <= 0:
                    due = self._deadlines.advance(time.monotonic_ns())
                    self._last_ns = due[0]
                    return due
                self._changed.wait(left)
        return None

    def set_interval(self, interval_s: float) -> None:
        """Effective from the last sample."""
        with self._changed:
            self._deadlines = Deadlines(interval_s, self._last_ns)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
