"""What tests of trees that are followed share."""

from __future__ import annotations

import os

import prock
from prock.model import MemberSample
from support.processes import Program

MS = 1_000_000
TICK_NS = 10 * MS
SLACK_NS = 4 * TICK_NS
"""The ledger's: two ticks of waited time at the beginning, two at the end."""


class Time:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 10**15

    def __call__(self) -> int:
        return self.now_ns

    def passes(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


def members(sample: prock.TreeSample) -> dict[int, MemberSample]:
    rows = {member.pid: member for member in sample.members}
    assert len(rows) == len(sample.members) == sample.process_count
    return rows


def used_ns(puppet: Program) -> int:
    """By the puppet itself, of itself and of all that it waited for."""
    return puppet.does(
        "import resource\n"
        "used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]\n"
        "say(round(sum(one.ru_utime + one.ru_stime for one in used) * 1e9))"
    )[0]


WORKERS = """
def work():
    while True:
        gate(); burn(time.process_time() + 0.0001); os.waitpid(child(lambda: None), 0); tells(1)
for _ in range(20): child(work)
def all_work():
    os.write(before, b'x' * 20); told(20)
"""
"""Members that, when told, use CPU time and change the last pid: all of their files are read again."""


def open_descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}
