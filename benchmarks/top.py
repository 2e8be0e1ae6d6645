"""CPU time of one refresh of ``prock top``, without the sample, on generated trees."""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Callable, Sequence

from prock.cli.output import Screen
from prock.cli.top.app import TopApp, View
from prock.cli.top.model import Picture
from prock.cli.top.render import Pen
from prock.cli.top.trees import Source
from prock.cli.top.view import State
from prock.model import MemberSample
from prock.sampling.sample import TreeSample

SIZE = (200, 60)
ROUNDS = 30
FIRST_PID = 1000


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks top", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="with 500 processes")
    parser.add_argument("processes", nargs="?", type=int, default=5000)
    options = parser.parse_args(arguments)
    processes = 500 if options.quick else options.processes
    print(f"{processes:,} processes on a terminal of {SIZE[0]}x{SIZE[1]}, median of {ROUNDS} refreshes\n")
    print(f"{'':34}{'a tree':>10}{'one level':>12}")
    columns = [measure(processes, is_flat=is_flat) for is_flat in (False, True)]
    for what in columns[0]:
        print(f"{what:34}" + "".join(f"{column[what]:9.1f} ms" for column in columns))


def measure(processes: int, *, is_flat: bool) -> dict[str, float]:
    samples = [made_up(processes, seed, is_flat=is_flat) for seed in range(ROUNDS)]
    pictures: list[Picture] = []
    state = State(
        "made up", Pen(Screen(), with_io=False), interval_s=1.0, sort="cpu", set_interval=print, show_details=print
    )
    each = iter(samples)
    took = {"the sampling thread: nodes": median(lambda: pictures.append(Picture([next(each)])))}
    following = iter(pictures)
    took["the screen: order and lines"] = median(lambda: state.take(next(following)))
    took["the screen: draw"] = median(lambda: state.draw(*SIZE))
    took["the screen: all, with textual"] = asyncio.run(with_textual(pictures))
    return took


async def with_textual(pictures: list[Picture]) -> float:
    """From a picture to what would be written to the terminal."""
    app = TopApp(Source("made up", lambda: [1], io=False), interval_s=86_400)
    took = []
    async with app.run_test(size=SIZE) as pilot:
        for picture in pictures:
            before = time.process_time()
            app.state.take(picture)
            app.query_one(View).redraw()
            await pilot.pause(0.05)
            took.append(1e3 * (time.process_time() - before))
    return statistics.median(took)


def median(action: Callable[[], object]) -> float:
    """Milliseconds."""
    took = []
    for _ in range(ROUNDS):
        before = time.process_time()
        action()
        took.append(1e3 * (time.process_time() - before))
    return statistics.median(took)


def made_up(processes: int, seed: int, *, is_flat: bool) -> TreeSample:
    chance = random.Random(seed)
    members = []
    for index in range(processes):
        parent = 0 if index == 0 else 1 if is_flat else 1 + chance.randrange(max(0, index // 3 - 20), index // 3 + 1)
        members.append(
            MemberSample(
                pid=FIRST_PID + index,
                ppid=FIRST_PID - 1 + parent,
                comm=f"process{index}",
                state="S",
                thread_count=1 + index % 4,
                start_ticks=index,
                cpu_ns=chance.randrange(10**10),
                cpu_percent=chance.random(),
                rss_bytes=chance.randrange(10**8),
                vsize_bytes=10**9,
                disk_io=None,
                pss_bytes=None,
                subtree_process_count=1,
                subtree_thread_count=1,
                subtree_cpu_ns=chance.randrange(10**11),
                subtree_cpu_percent=chance.random() * 100,
                subtree_rss_bytes=chance.randrange(10**9),
                subtree_vsize_bytes=10**10,
                subtree_disk_io=None,
                refused=(),
            )
        )
    totals = dict.fromkeys(TreeSample._fields, 0) | {
        "root_pid": FIRST_PID,
        "interval_ns": 10**9,
        "cpu_percent_over_ns": 10**9,
        "process_count": processes,
        "accounting": "ledger",
        "disk_io": None,
    }
    sample = TreeSample(**totals)  # type: ignore[arg-type]  # each field has its own type
    sample.__dict__.update(_root=members[0].identity, members=tuple(members))
    return sample
