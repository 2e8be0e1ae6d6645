"""Real processes to look at."""

from __future__ import annotations

from support import processes

HOSTILE_NAME = b"a) b\n\x1b[31m\xe9\xff"
FAMILY = """
child = os.fork()
if child == 0:
    libc.prctl(1, 9)
    libc.prctl(15, b"middle")
    grandchildren = [sleeper() for _ in range(2)]
    say(*grandchildren)
    signal.pause()
libc.prctl(15, b"head")
wait()
"""


class Family:
    """A process, its child, and two grandchildren that sleep."""

    def __init__(self, spawn: processes.Spawn) -> None:
        program = spawn(FAMILY)
        self.grandchildren = program.pids()
        self.head = program.pid
        (self.middle,) = set(processes.descendants(self.head)) - set(self.grandchildren)
        self.pids = {self.head, self.middle, *self.grandchildren}
