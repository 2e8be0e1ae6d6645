"""The full-screen view of ``prock top`` without a terminal library: takes pictures and keys, draws lines."""

from __future__ import annotations

from collections import deque

from prock.cli.top import panes
from prock.cli.top.model import SORTS, Line, Picture, all_nodes, lines
from prock.cli.top.render import Pen, accuracy, counts, ended_cpu, widest_fitting
from prock.report.layout import format_bytes, format_cpu, format_percent, printable, width
from prock.runner import send_signal as signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from signal import Signals

    from prock.cli.top.model import Totals
    from prock.cli.top.panes import Pane
    from prock.cli.top.render import Drawn
    from prock.model import Identity, MemberSample

HISTORY = 512
"""Samples: more than a terminal has columns."""
INTERVALS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
FEWEST_ROWS = 3
"""Of the tree; on a smaller terminal the heading is left out line by line."""
SORT_KEYS = {"c": "cpu", "m": "rss", "t": "time", "p": "pid", "n": "name"}


class State:
    """`draw` takes the size; the caller draws again after each picture and each key."""

    def __init__(
        self,
        title: str,
        pen: Pen,
        *,
        interval_s: float,
        sort: str,
        set_interval: Callable[[float], None],
        show_details: Callable[[MemberSample], None],
    ) -> None:
        self.interval_s = interval_s
        self.sort = sort
        self.filter = ""
        self.folded: set[Identity] = set()
        self.is_paused = self.is_over = self.is_done = False
        self.message = ""
        self.pane: Pane | None = None
        self.shown: list[Line] = []
        self.cursor = 0
        self._pen = pen
        self._title = pen.screen.clean(title)
        self._set_interval = set_interval
        self._show_details = show_details
        self._picture: Picture | None = None
        self._waiting: Picture | None = None
        self._unseen: deque[Totals] = deque(maxlen=HISTORY)
        """Totals that arrived during a pause."""
        self._cpu: deque[float | None] = deque(maxlen=HISTORY)
        self._rss: deque[float | None] = deque(maxlen=HISTORY)
        self._is_typing = False
        self._first = 0
        self._page = 1
        self._table_top = 0
        self._columns = pen.fitting_columns(80)

    # Pictures

    def take(self, picture: Picture) -> None:
        """Take the next sample."""
        self._unseen.append(picture.totals)
        if self.is_paused and not picture.totals.is_over:
            self._waiting = picture
        else:
            self._show(picture)

    def _show(self, picture: Picture) -> None:
        if picture.totals.is_over:  # the last sample has no members: keep showing the one before
            self.is_over = True
            picture.tops = picture.tops or ([] if self._picture is None else self._picture.tops)
        self._picture, self._waiting = picture, None
        while self._unseen:
            totals = self._unseen.popleft()
            self._cpu.append(totals.cpu_percent)
            self._rss.append(totals.rss_bytes)
        self._arrange()

    def _arrange(self) -> None:
        """Compute the lines again; the cursor stays at its process while that is visible."""
        chosen = self.selected
        tops = [] if self._picture is None else self._picture.tops
        self.shown = lines(tops, sort=self.sort, folded=self.folded, wanted=self.filter)
        if chosen is not None:
            identity = chosen.identity
            found = (index for index, line in enumerate(self.shown) if line.node.identity == identity)
            self.cursor = next(found, self.cursor)
        self.cursor = max(0, min(self.cursor, len(self.shown) - 1))

    @property
    def selected(self) -> MemberSample | None:
        return self.shown[self.cursor].node.member if self.cursor < len(self.shown) else None

    # Keys

    def key(self, key: str, character: str | None = None) -> None:
        """Handle a key by its name; `character` is the text that it types, if any."""
        self.message = ""
        if self._is_typing:
            self._type(key, character)
        elif self.pane is not None:
            self.pane = self.pane.key(key)
        elif key in SORT_KEYS:
            self._order_by(SORT_KEYS[key])
        else:
            act = self._actions.get(key)
            if act is not None:
                act(self)

    def _type(self, key: str, character: str | None) -> None:
        """Edit the filter, which applies immediately."""
        if key in ("enter", "escape", "up", "down"):
            self._is_typing = False
            self.filter = "" if key == "escape" else self.filter
        elif key in ("backspace", "ctrl+h"):
            self.filter = self.filter[:-1]
        elif key == "ctrl+u":
            self.filter = ""
        elif character is not None and character.isprintable():
            self.filter += character
        self._arrange()

    def paste(self, text: str) -> None:
        if self._is_typing:
            self.filter += "".join(character for character in text if character.isprintable())
            self._arrange()

    def open(self, pane: Pane) -> None:
        self.pane, self.message = pane, ""

    def move(self, step: int) -> None:
        self.cursor = max(0, min(self.cursor + step, len(self.shown) - 1))

    def _order_by(self, sort: str) -> None:
        self.sort = sort
        self._arrange()

    def _cycle(self, step: int) -> None:
        names = list(SORTS)
        self._order_by(names[(names.index(self.sort) + step) % len(names)])

    def _fold(self, fold: bool | None = None) -> None:
        """Fold or unfold the selected process; None toggles."""
        member = self.selected
        if member is None or not self.shown[self.cursor].node.children:
            return
        if fold is None:
            fold = member.identity not in self.folded
        (self.folded.add if fold else self.folded.discard)(member.identity)
        self._arrange()

    def _left(self) -> None:
        """Fold; if it is folded or has no children, go to its parent."""
        if self.cursor >= len(self.shown):
            return
        line = self.shown[self.cursor]
        if line.node.children and not line.hidden:
            self._fold(True)
        elif line.parent is not None:
            self.cursor = self.shown.index(line.parent)

    def _right(self) -> None:
        if self.cursor < len(self.shown) and self.shown[self.cursor].node.children:
            if self.shown[self.cursor].hidden:
                self._fold(False)
            else:
                self.move(1)

    def _fold_all(self) -> None:
        """Fold all below the roots; if anything is folded, unfold everything."""
        if self.folded:
            self.folded.clear()
        elif self._picture is not None:
            below = [child for top in self._picture.tops for child in top.children]
            self.folded.update(node.identity for node in all_nodes(below) if node.children)
        self._arrange()

    def _pause(self) -> None:
        self.is_paused = not self.is_paused
        if not self.is_paused and self._waiting is not None:
            self._show(self._waiting)

    def _change_interval(self, *, longer: bool) -> None:
        if longer:
            self.interval_s = next((seconds for seconds in INTERVALS_S if seconds > self.interval_s), self.interval_s)
        else:
            shorter = (seconds for seconds in reversed(INTERVALS_S) if seconds < self.interval_s)
            self.interval_s = next(shorter, self.interval_s)
        self._set_interval(self.interval_s)

    def _filter(self) -> None:
        self._is_typing = True

    def _escape(self) -> None:
        self.filter = ""
        self._arrange()

    def _details(self) -> None:
        if self.selected is not None:
            self._show_details(self.selected)

    def _signal(self) -> None:
        member = self.selected
        if member is None:
            return

        def send(number: Signals) -> None:
            try:
                signals.send(member.identity, number)
            except signals.NotSent as reason:
                self.message = str(reason)
            else:
                self.message = f"sent {number.name} to {target}"

        target = f"{member.pid} {self._pen.screen.clean(member.comm)}"
        self.pane = panes.SignalChoice(target, send)

    def _help(self) -> None:
        sources = () if self._picture is None else ("", *self._picture.totals.accuracy)
        self.pane = panes.Text([*panes.HELP.split("\n"), *sources])

    def _quit(self) -> None:
        self.is_done = True

    _actions: dict[str, Callable[[State], None]] = {
        "up": lambda self: self.move(-1),
        "down": lambda self: self.move(1),
        "pageup": lambda self: self.move(-self._page),
        "pagedown": lambda self: self.move(self._page),
        "home": lambda self: self.move(-len(self.shown)),
        "end": lambda self: self.move(len(self.shown)),
        "enter": lambda self: self._fold(),
        "left": _left,
        "right": _right,
        "a": _fold_all,
        "less_than_sign": lambda self: self._cycle(-1),
        "greater_than_sign": lambda self: self._cycle(1),
        "slash": _filter,
        "escape": _escape,
        "d": _details,
        "i": _details,
        "k": _signal,
        "space": _pause,
        "plus": lambda self: self._change_interval(longer=True),
        "minus": lambda self: self._change_interval(longer=False),
        "question_mark": _help,
        "h": _help,
        "f1": _help,
        "q": _quit,
    }

    def click(self, x: int, y: int) -> None:
        """Select a process, or sort by the column of a title."""
        if self.pane is not None:
            return
        row = y - self._table_top
        if row == -1:
            sort = self._pen.sort_at(self._columns, x)
            if sort:
                self._order_by(sort)
        elif 0 <= row < self._page and self._first + row < len(self.shown):
            self.cursor = self._first + row

    # Drawing

    def draw(self, columns: int, rows: int) -> list[Drawn]:
        """Exactly that many lines. On a small terminal the footer stays longest."""
        if columns <= 0 or rows <= 0:
            return []
        footer = self._footer(columns)
        left = rows - len(footer)
        with_status = left > 1
        left -= with_status
        heading = self._heading(columns)[: max(0, left - FEWEST_ROWS - 1)]
        left = max(0, left - len(heading))
        self._table_top = len(heading)
        body = self._table(columns, left) if self.pane is None else self.pane.draw(columns, left)[:left]
        body += [[] for _ in range(left - len(body))]
        drawn = [*heading, *body, *footer, *([self._status(columns)] if with_status else [])]
        return [self._fitted(line, columns) for line in drawn[:rows]]

    def _heading(self, columns: int) -> list[Drawn]:
        if self._picture is None:
            return [[(self._title, "bold")]]
        totals = self._picture.totals
        state = "OVER" if self.is_over else "PAUSED" if self.is_paused else ""
        facts = f"{counts(totals)}, +{totals.appeared:,} -{totals.ended:,}, every {self.interval_s:g} s"
        name = self._pen.cut(self._title, max(12, columns - len(facts) - len(state) - 4))
        top: Drawn = [(state, "warning"), (" ", "")] if state else []
        top += [(name, "bold"), (f"  {facts}", "")]
        drawn = [top, self._history("CPU", self._cpu, _percent, columns)]
        drawn.append(self._history("RSS", self._rss, format_bytes, columns))
        if self._pen.with_io:
            drawn.append([("I/O", "bold"), (f"  {self._pen.rates(totals)}", "")])
        return drawn

    def _history(
        self, label: str, values: Sequence[float | None], show: Callable[[float | None], str], columns: int
    ) -> Drawn:
        """The current value, a history, and the peak."""
        largest = max((value for value in values if value is not None), default=None)
        peak = f"  peak {show(largest)}" if columns >= 60 else ""
        line = self._pen.sparkline(values, columns - 14 - len(peak))
        return [(label, "bold"), (f"{show(values[-1] if values else None):>9}  ", ""), (line, "history"), (peak, "dim")]

    def _table(self, columns: int, rows: int) -> list[Drawn]:
        if rows <= 0:
            return []
        if self._picture is None:
            return [[("waiting for the first sample", "dim")]]
        titles = 1 if rows > 1 else 0
        self._table_top += titles
        self._page = rows - titles
        self._first = max(0, min(self._first, self.cursor, len(self.shown) - self._page))
        self._first = max(self._first, self.cursor - self._page + 1)
        page = self.shown[self._first : self._first + self._page]
        self._columns = self._pen.fitting_columns(columns)
        numbers = self._pen.numbers([line.node for line in page], self._columns)
        drawn = [self._pen.titles(self._columns, self.sort)][:titles]
        for index, (number, line) in enumerate(zip(numbers, page, strict=True), self._first):
            name = self._pen.name(line, max(0, columns - len(number)))
            style = "cursor" if index == self.cursor else "" if line.node.member.is_alive else "dim"
            drawn.append([(number, style), (name, style)])
        return drawn

    def _footer(self, columns: int) -> list[Drawn]:
        if self._picture is None:
            return [[("ended     -", "")], [("accuracy  -", "")]]
        totals = self._picture.totals
        style = "warning" if totals.denied else ""
        return [[(widest_fitting(ended_cpu(totals), columns), "")], [(accuracy(totals), style)]]

    def _status(self, columns: int) -> Drawn:
        if self.message:
            return [(self.message, "warning")]
        if self._is_typing:
            return [(f"/{self._pen.screen.clean(self.filter)}", "bold"), ("_", "cursor"), ("  Enter, Esc", "dim")]
        if self.is_over and self._picture is not None:
            elapsed = format_cpu(self._picture.totals.wall_ns)
            return [(f"all processes have ended after {elapsed}: q quits", "warning")]
        hints = ["? help", "q quit", "/ filter", "d details", "k signal", f"by {self.sort}"]
        if self.filter:
            hints.insert(0, f"only *{self._pen.screen.clean(self.filter)}* (Esc: all)")
        if len(self.shown) > self._page:
            hints.append(f"{self.cursor + 1:,} of {len(self.shown):,}")
        return [("  ".join(hints), "dim")]

    def _fitted(self, line: Drawn, columns: int) -> Drawn:
        fitted: Drawn = []
        for text, style in line:
            part = printable(self._pen.cut(text, columns))
            columns -= width(part)
            if part:
                fitted.append((part, style))
        return fitted


def _percent(value: float | None) -> str:
    return f"{format_percent(value)}%"
