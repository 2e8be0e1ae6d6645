"""What takes the place of the tree for a while: help, details of a process, the choice of a signal.

A pane draws itself in the room it gets, and answers a key with what follows: itself, or None to go back to the tree.
"""

from __future__ import annotations

from prock.report.layout import width
from prock.runner.send_signal import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from signal import Signals
    from typing import Protocol

    from prock.cli.top.render import Drawn

    class Pane(Protocol):
        def draw(self, columns: int, rows: int, /) -> list[Drawn]: ...

        def key(self, key: str, /) -> Pane | None: ...


HELP = """\
up down PgUp PgDn Home End   move
Enter                        fold, unfold
left right                   fold or go to the parent, unfold or go to a child
a                            fold all below the roots, unfold all
c m t p n                    order by %CPU+, RSS+, TIME+, PID, name
< >                          order by the column before, after
/                            filter by a part of a name or pid; Esc shows all
d                            details of the process
k                            send it a signal
Space                        hold the picture; totals go on
+ -                          longer, shorter interval
Ctrl-L                       draw everything again
q                            quit

%CPU is of one core, over the last interval. A column with + counts the
process and all below it: %CPU+ with the children that ended meanwhile,
TIME+ with those that were waited for. RSS+ is an upper bound, as memory
that processes share counts in each. An orphan was started in this tree,
and its parent has ended; who adopted it is outside.

gone   CPU time of no living process: of members that were seen and have
       ended, and of children that came and went between two samples.
trust  what was refused or vanished while being read, and how true the
       CPU total is."""


class Text:
    """Lines to be read; long ones are wrapped."""

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
        end = f"-- {more:,} more lines: down --" if more > 0 else "-- Esc goes back --"
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
    """Which signal, then: really? Only y sends."""

    def __init__(self, who: str, send: Callable[[Signals], None]) -> None:
        self._who = who
        self._send = send
        self._chosen = 0
        self._is_sure = False

    def draw(self, columns: int, rows: int) -> list[Drawn]:
        number, _ = SIGNALS[self._chosen]
        if self._is_sure:
            return [[(f"Send {number.name} to {self._who}?", "bold")], [("y sends it; any other key does not", "")]]
        head: Drawn = [(f"Signal to {self._who}: Enter chooses, Esc goes back", "bold")]
        room = max(1, rows - 1)
        first = max(0, self._chosen - room + 1)
        choices: list[Drawn] = [
            [(f" {number.name:8} {number:2}  {meaning}", "cursor" if index == self._chosen else "")]
            for index, (number, meaning) in enumerate(SIGNALS)
        ]
        return [head, *choices[first : first + room]]

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
    """Pieces of at most so many columns."""
    if width(line) <= columns:
        return [line]
    pieces, piece, room = [], "", columns
    for character in line:
        needed = width(character)
        if needed > room and piece:
            pieces.append(piece)
            piece, room = "", columns
        piece += character
        room -= needed
    return [*pieces, piece]
