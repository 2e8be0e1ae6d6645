"""The full-screen view of ``prock top``, on real processes, driven key by key."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import psutil
import pytest
from support import processes
from support.command_line import TIMEOUT_S
from support.subjects import Family
from textual.pilot import Pilot

from prock.cli.selectors import by_pid
from prock.cli.top import trees as sources
from prock.cli.top.app import TopApp, View
from prock.cli.top.model import Picture
from prock.report.layout import width

if TYPE_CHECKING:
    from typing import TypeAlias

Drive: TypeAlias = "Callable[[Seat], Awaitable[None]]"


class Seat:
    """In front of the view of one tree."""

    def __init__(self, app: TopApp, pilot: Pilot[signal.Signals]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def text(self) -> list[str]:
        """What the widget gives to the terminal."""
        view = self.app.query_one(View)
        return [view.render_line(y).text for y in range(view.size.height)]

    @property
    def pids(self) -> list[int]:
        return [line.node.member.pid for line in self.app.state.shown]

    def says(self, words: str) -> bool:
        return any(words in line for line in self.text)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Samples and answers come when they come."""
        while not condition():
            await self.pilot.pause(0.01)

    async def select(self, pid: int) -> None:
        await self.until(lambda: pid in self.pids)
        await self.press("p", "home", *["down"] * sorted(self.pids).index(pid))
        await self.until(lambda: self.app.state.selected is not None)
        while self.app.state.selected is None or self.app.state.selected.pid != pid:
            await self.press("down")


def view(
    pid: int, drive: Drive, *, interval_s: float = 0.05, size: tuple[int, int] = (80, 24), io: bool = False
) -> TopApp:
    """Open it, drive it, and leave it."""

    async def visit() -> TopApp:
        source = sources.of(by_pid(pid), io=io)
        app = TopApp(source, interval_s=interval_s, sort="pid", with_io=io)
        try:
            async with asyncio.timeout(TIMEOUT_S), app.run_test(size=size) as pilot:
                await drive(Seat(app, pilot))
        finally:
            source.close()
        return app

    return asyncio.run(visit())


def test_the_tree_is_there(family: Family) -> None:
    async def drive(seat: Seat) -> None:
        await seat.until(lambda: len(seat.pids) == 4)
        assert set(seat.pids) == family.pids
        await seat.until(lambda: seat.says("└─ middle"))
        assert seat.says(f"{family.head} head")
        assert seat.says("4 processes, 4 threads")
        assert seat.text[-3].startswith("ended     sampled")
        assert seat.text[-2].startswith("accuracy  CPU by ")

    view(family.head, drive)


def test_new_and_ended_members(family: Family) -> None:
    async def drive(seat: Seat) -> None:
        await seat.until(lambda: len(seat.pids) == 4)
        os.kill(family.grandchildren[0], signal.SIGKILL)
        await seat.until(lambda: seat.says("(zombie)"))  # its parent does not wait for it

    view(family.head, drive)


def test_keys_reach_the_view(family: Family) -> None:
    async def drive(seat: Seat) -> None:
        await seat.select(family.middle)
        await seat.press("enter")
        assert seat.pids == [family.head, family.middle]
        assert seat.says("[+2] middle")
        await seat.press("right")
        assert set(seat.pids) == family.pids
        await seat.press("greater_than_sign")
        assert seat.says("by name")
        await seat.press("slash", *str(family.middle), "enter")
        assert seat.pids == [family.head, family.middle]
        assert seat.says(f"only *{family.middle}*")
        await seat.press("escape", "question_mark")
        assert seat.says("sort by")
        await seat.press("escape", "plus")
        assert seat.says("every 0.1 s")

    view(family.head, drive)


def test_a_pause_holds_the_picture(family: Family) -> None:
    async def drive(seat: Seat) -> None:
        await seat.until(lambda: len(seat.pids) == 4)
        await seat.press("space")
        before = seat.text
        os.kill(family.grandchildren[0], signal.SIGKILL)
        waiting = seat.app.state._waiting
        await seat.until(lambda: seat.app.state._waiting is not waiting)
        assert seat.text == before
        await seat.press("space")
        await seat.until(lambda: seat.says("(zombie)"))

    view(family.head, drive)


def test_details(family: Family) -> None:
    async def drive(seat: Seat) -> None:
        await seat.select(family.middle)
        await seat.press("d")
        await seat.until(lambda: seat.says(f"{family.middle} middle"))
        assert seat.says("command     ") and seat.says(os.getcwd())
        assert seat.says("open files  ")
        await seat.press("escape")
        assert seat.says("COMMAND")

    view(family.head, drive, size=(120, 60))


def test_details_of_one_that_has_ended(family: Family) -> None:
    async def drive(seat: Seat) -> None:
        await seat.select(family.middle)
        await seat.press("space")
        for pid in (*family.grandchildren, family.middle):
            os.kill(pid, signal.SIGKILL)
        await seat.until(lambda: psutil.Process(family.middle).status() == "zombie")
        await seat.press("d")
        await seat.until(lambda: seat.says("zombie"))

    view(family.head, drive, size=(120, 60))


def test_a_signal_is_sent_after_a_yes(spawn: processes.Spawn) -> None:
    program = spawn("child = sleeper(); say(child); print(*os.waitpid(child, 0), flush=True); wait()")
    (child,) = program.pids()

    async def drive(seat: Seat) -> None:
        await seat.select(child)
        await seat.press("k", "enter", "n")
        await seat.press("k")
        assert seat.says(f"Signal to {child}")
        await seat.press("down", "down", "down", "down", "enter")
        assert seat.says(f"Send SIGKILL to {child}")
        await seat.press("y")
        assert seat.text[-1].startswith(f"sent SIGKILL to {child}")
        await seat.until(lambda: seat.pids == [program.pid])
        await seat.until(lambda: seat.says("+0 -0"))

    view(program.pid, drive)
    assert program.hears() == [str(child), str(signal.SIGKILL.value)]


def test_who_has_ended_gets_no_signal(spawn: processes.Spawn) -> None:
    program = spawn("child = sleeper(); say(child); os.waitpid(child, 0); say('gone'); wait()")
    (child,) = program.pids()

    async def drive(seat: Seat) -> None:
        await seat.select(child)
        await seat.press("space", "k", "enter")  # the picture is held
        os.kill(child, signal.SIGKILL)
        assert program.hears() == ["gone"]
        await seat.press("y")
        assert seat.text[-1].startswith(f"process {child} has ended")

    view(program.pid, drive)


def test_the_tree_is_over(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()

    async def drive(seat: Seat) -> None:
        await seat.until(lambda: seat.pids == [program.pid])
        program.finish()
        await seat.until(lambda: seat.says("all processes have ended"))
        assert seat.pids == [program.pid]
        assert seat.text[0].startswith("OVER")
        await seat.press("q")

    app = view(program.pid, drive)
    assert app.state.is_done and app.error is None and app.return_value is None


@pytest.mark.parametrize("size", [(40, 10), (20, 6), (7, 3), (200, 60)])
def test_other_sizes(family: Family, hostile: int, size: tuple[int, int]) -> None:
    async def drive(seat: Seat) -> None:
        await seat.until(lambda: len(seat.pids) >= 4)
        for columns, rows in (size, (80, 24), size):
            await seat.pilot.resize_terminal(columns, rows)
            await seat.until(lambda: len(seat.text) == rows)  # noqa: B023
            assert all(width(line) == columns and line.isprintable() for line in seat.text)
            await seat.press("question_mark", "escape", "k", "escape", "slash", "x", "escape")

    view(os.getpid(), drive)


def test_a_hostile_name(hostile: int) -> None:
    async def drive(seat: Seat) -> None:
        await seat.until(lambda: seat.pids == [hostile])
        assert seat.says(r"s a) b\n\x1b[31m\xe9\xff")
        await seat.press("d")
        await seat.until(lambda: seat.says("command "))
        await seat.press("escape", "k")
        assert seat.says(r"Signal to " + str(hostile) + r" a) b\n")
        assert all(line.isprintable() for line in seat.text)

    view(hostile, drive, size=(120, 40))


def test_the_mouse(family: Family) -> None:
    async def drive(seat: Seat) -> None:
        await seat.until(lambda: len(seat.pids) == 4)
        titles = next(y for y, line in enumerate(seat.text) if "COMMAND" in line)
        await seat.pilot.click(View, offset=(seat.text[titles].index("RSS+") + 1, titles))
        assert seat.app.state.sort == "rss"
        await seat.pilot.click(View, offset=(3, titles + 2))
        assert seat.app.state.cursor == 1

    view(family.head, drive)


def test_io(family: Family) -> None:
    async def drive(seat: Seat) -> None:
        await seat.until(lambda: seat.says("READ+/s") and seat.says("0B/s"))

    view(family.head, drive, io=True, size=(100, 24))


@pytest.mark.parametrize(("key", "ended_by"), [("q", None), ("ctrl+c", signal.SIGINT)])
def test_leaving(family: Family, key: str, ended_by: signal.Signals | None) -> None:
    async def drive(seat: Seat) -> None:
        await seat.press(key)

    app = view(family.head, drive)
    assert (app.return_value, app.error) == (ended_by, None)


def test_after_as_many_samples_as_were_asked_for_it_ends(family: Family) -> None:
    async def visit() -> TopApp:
        source = sources.of(by_pid(family.head), io=False)
        app = TopApp(source, interval_s=0.01, count=3)
        async with asyncio.timeout(TIMEOUT_S), app.run_test() as pilot:
            while app.is_running:
                await pilot.pause(0.01)
        source.close()
        return app

    assert len(asyncio.run(visit()).state._cpu) == 3


def test_a_failing_source_ends_it(family: Family) -> None:
    class Broken(sources.Source):
        def look(self, due_ns: int | None = None, skipped: int = 0) -> Picture:
            raise OSError(24, "Too many open files")

    async def visit() -> TopApp:
        source = Broken("broken", lambda: [family.head], io=False)
        app = TopApp(source, interval_s=0.01)
        async with asyncio.timeout(TIMEOUT_S), app.run_test() as pilot:
            while app.error is None:
                await pilot.pause(0.01)
        source.close()
        return app

    assert isinstance(asyncio.run(visit()).error, OSError)
