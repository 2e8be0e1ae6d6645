"""Panes that cover the tree: help, details of a process, the choice of a signal.

`key` returns the pane to show next, or None to return to the tree.
"""

from __future__ import annotations

from prock.report.layout import width
from prock.runner.send_signal import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from signal import Signals
    from typing import TypeAlias

    from prock.cli.top.render import Drawn

    Pane: TypeAlias = "Text | SignalChoice"


HELP = """\
up down PgUp PgDn Home End   move
Enter                        fold, unfold
left right                   fold or go to parent, unfold or go to first child
a                            fold all below the roots, unfold all
c m t p n                    sort by %CPU+, RSS+, TIME+, PID, name
< >                          sort by the previous, next column
/                            filter by part of a command or pid; Esc shows all
d                            details of the process
k                            send a signal to the process
Space                        pause the display; totals go on
+ -                          longer, shorter interval
Ctrl-L                       redraw
q                            quit

%CPU is of one core, over the last interval. A column with + includes all
descendants: %CPU+ also children that ended in the interval, TIME+ also
children that were waited for. RSS+ is an upper bound, as shared pages
count in each process. An orphan was started in this tree; its parent has
ended, and a process outside the tree adopted it.

ended     CPU time of processes that have ended: of those that were
          sampled before, and of those that started and ended between
          two samples.
accuracy  processes that denied access or ended while being read; source
          and bias of the CPU total."""


class Text:
    """Scrollable lines; long ones are wrapped."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._first = 0
        self._page = 1
        self._last_first = 0

    def draw(self, columns: int, rows: int) -> list[Drawn]:
        wrapped = [part for line in self._lines for part in wrap(line, columns)]
        self._page = max(1, rows - 1)
        self._last_first = max(0, len(wrapped) - self._page)
        self._first = min(self._first, self._last_first)
        more = len(wrapped) - self._first - self._page
        end = f"-- {more:,} more lines: down --" if more > 0 else "-- Esc: back --"
        shown: list[Drawn] = [[(line, "")] for line in wrapped[self._first : self._first + self._page]]
        return [*shown, [(end, "dim")]]

    def key(self, key: str) -> Pane | None:
        steps = {
            "up": -1,
            "down": 1,
            "pageup": -self._page,
            "pagedown": self._page,
            "space": self._page,
            "home": -self._first,
            "end": self._last_first,
        }
        if key not in steps:
            return None
        self._first = min(max(0, self._first + steps[key]), self._last_first)
        return self


class SignalChoice:
    """The choice of a signal, then a confirmation by y."""

    def __init__(self, target: str, send: Callable[[Signals], None]) -> None:
        self._target = target
        self._send = send
        self._chosen = 0
        self._is_sure = False

    def draw(self, columns: int, rows: int) -> list[Drawn]:
        number, _ = SIGNALS[self._chosen]
        if self._is_sure:
            return [[(f"Send {number.name} to {self._target}?", "bold")], [("y: send, any other key: cancel", "")]]
        head: Drawn = [(f"Signal to {self._target}: Enter: choose, Esc: back", "bold")]
        height = max(1, rows - 1)
        first = max(0, self._chosen - height + 1)
        choices: list[Drawn] = [
            [(f" {number.name:8} {number:2}  {meaning}", "cursor" if index == self._chosen else "")]
            for index, (number, meaning) in enumerate(SIGNALS)
        ]
        return [head, *choices[first : first + height]]

    def key(self, key: str) -> Pane | None:
        if self._is_sure:
            if key == "y":
                self._send(SIGNALS[self._chosen][0])
            return None
        if key == "enter":
            self._is_sure = True
        elif key in ("up", "down"):
            self._chosen = (self._chosen + (1 if key == "down" else -1)) % len(SIGNALS)
        else:
            return None
        return self


def wrap(line: str, columns: int) -> list[str]:
    """Pieces of at most that many columns."""
    if width(line) <= columns:
        return [line]
    pieces, piece, left = [], "", columns
    for character in line:
        needed = width(character)
        if needed > left and piece:
            pieces.append(piece)
            piece, left = "", columns
        piece += character
        left -= needed
    return [*pieces, piece]
