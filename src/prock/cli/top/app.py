"""The full-screen view of ``prock top`` on a terminal: a `State` in a textual application.

One widget draws everything, and only changed lines: textual's own trees and tables would keep an object for each of
thousands of processes, and over a slow connection every byte counts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from prock.cli import parser as command
from prock.cli.output import Screen
from prock.cli.top import details, panes
from prock.cli.top.render import Pen
from prock.cli.top.sampler_thread import SamplerThread
from prock.cli.top.view import State

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from textual import events

    from prock.cli.top.model import Picture
    from prock.cli.top.render import Drawn
    from prock.cli.top.trees import Source
    from prock.model import MemberSample

STYLES = {
    "": Style(),
    "bold": Style(bold=True),
    "dim": Style(dim=True),
    "title": Style(reverse=True),
    "sorted": Style(reverse=True, bold=True, underline=True),
    "cursor": Style(reverse=True),
    "history": Style(color="green"),
    "warning": Style(color="yellow", bold=True),
}
WHEEL_LINES = 3
PATIENCE_S = 1.0
"""How long to wait for a running sample when the view ends."""


def show(source: Source, interval_s: float, arguments: argparse.Namespace) -> int:
    """Show the view until the user quits or the tree has ended."""
    app = TopApp(
        source,
        interval_s=interval_s,
        sort=arguments.sort,
        with_io=arguments.io,
        numbers=command.chosen_numbers(arguments),
        count=arguments.count,
    )
    ended_by = app.run()
    if app.error is not None:
        raise app.error
    if ended_by == signal.SIGINT:
        raise KeyboardInterrupt
    if ended_by is not None and sys.platform != "win32":
        # The terminal is restored: now be killed by the signal, as its sender expects.
        signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    return app.return_code or 0


class Delivery(Message):
    """A function for the thread of the view, sent by another thread."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act


class View(Widget, can_focus=True):
    """The lines of a `State`."""

    DEFAULT_CSS = "View { width: 100%; height: 100%; }"
    ALLOW_SELECT = False

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state
        self._drawn: list[Drawn] = []

    def redraw(self) -> None:
        """Draw the state; only changed lines are written to the terminal."""
        before, self._drawn = self._drawn, self.state.draw(self.size.width, self.size.height)
        if len(before) != len(self._drawn):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, self._drawn, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        spans = self._drawn[y] if y < len(self._drawn) else []
        reverse = bool(spans) and all(style in ("title", "sorted", "cursor") for _, style in spans)
        strip = Strip([Segment(text, STYLES[style]) for text, style in spans])
        return strip.adjust_cell_length(self.size.width, STYLES["title" if reverse else ""])

    def redraw_all(self) -> None:
        """After a stop, a change of size, or output of another program."""
        self._drawn = []
        self.redraw()

    def on_mount(self) -> None:
        self.app.app_resume_signal.subscribe(self, lambda _: self.redraw_all())

    def on_resize(self) -> None:
        self.redraw_all()

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key == "ctrl+c":
            self.app.exit(signal.SIGINT)
        elif event.key == "ctrl+z":
            self.app.action_suspend_process()
        elif event.key == "ctrl+l":
            self.redraw_all()
        else:
            self.state.key(event.key, event.character)
            self._follow_up()

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self.state.paste(event.text)
        self._follow_up()

    def on_click(self, event: events.Click) -> None:
        self.state.click(event.x, event.y)
        self._follow_up()

    def on_mouse_scroll_down(self) -> None:
        self.state.move(WHEEL_LINES)
        self._follow_up()

    def on_mouse_scroll_up(self) -> None:
        self.state.move(-WHEEL_LINES)
        self._follow_up()

    def on_delivery(self, delivery: Delivery) -> None:
        delivery.act()
        self._follow_up()

    def _follow_up(self) -> None:
        if self.state.is_done:
            self.app.exit()
        else:
            self.redraw()


class TopApp(App[signal.Signals]):
    """Returns the signal that ended it; None if the user quit."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { overflow: hidden; background: ansi_default; color: ansi_default; }"

    def __init__(
        self,
        source: Source,
        *,
        interval_s: float,
        sort: str = "cpu",
        with_io: bool = False,
        numbers: Mapping[str, bool] | None = None,
        count: int | None = None,
    ) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours; none if NO_COLOR is set
        self.error: Exception | None = None
        self._screen_of_stdout = Screen()
        self._screen_of_stdout.colour = False  # textual writes the colours
        self._sampler = SamplerThread(source, interval_s, self._deliver, count=count)
        self.state = State(
            source.title,
            # The Linux console has no glyphs for eighths of a block.
            Pen(self._screen_of_stdout, with_io=with_io, numbers=numbers, poor=os.environ.get("TERM") == "linux"),
            interval_s=interval_s,
            sort=sort,
            set_interval=self._sampler.set_interval,
            show_details=self._show_details,
        )
        self._view = View(self.state)

    def compose(self) -> ComposeResult:
        yield self._view

    def on_mount(self) -> None:
        self._view.focus()
        for number in (signal.SIGTERM, signal.SIGINT) if sys.platform != "win32" else ():
            asyncio.get_running_loop().add_signal_handler(number, self.exit, number)
        self._sampler.start()

    def on_unmount(self) -> None:
        self._sampler.stop()
        self._sampler.join(PATIENCE_S)

    def _deliver(self, result: Picture | Exception | None) -> None:
        """Called in the sampler's thread."""
        self._view.post_message(Delivery(lambda: self._take(result)))

    def _take(self, result: Picture | Exception | None) -> None:
        if isinstance(result, Exception):
            self.error = result
            self.exit()
        elif result is not None:
            self.state.take(result)
        elif not self.state.is_over:  # --count was reached
            self.exit()

    def _show_details(self, member: MemberSample) -> None:
        """In a thread of their own: reading the command line of a hung process may hang."""

        def read() -> None:
            pane = panes.Text(details.describe(member, self._screen_of_stdout))
            self._view.post_message(Delivery(lambda: self.state.open(pane)))

        self.state.message = f"reading details of {member.pid}"
        threading.Thread(target=read, name="prock top details", daemon=True).start()
