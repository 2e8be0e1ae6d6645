"""`kill_tree`: end a tree that this process did not start."""

from __future__ import annotations

import os

from prock import engine as engines
from prock.engine.pids import check_pid
from prock.errors import NoSuchProcess, check_seconds
from prock.runner.members import Members, ancestors
from prock.runner.terminate import end_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prock.engine.protocol import Engine
    from prock.model import Identity

NEVER_NS = 2**63
EMPTY_PASSES = 20
"""Passes without a living member after which a tree is over, if each of them found zombies, or processes vanished."""


class FoundTree:
    """A tree by its root and other processes that are known to belong to it. For `prock.runner.terminate`."""

    due_ns = NEVER_NS
    """There is nothing to do between two signals."""

    def __init__(self, engine: Engine) -> None:
        self.members = Members(engine, 0)
        """Its `known` are to be set."""
        self._empty_passes = 0

    def step(self) -> None: ...

    def is_over(self) -> bool:
        """A member of a chain of processes, each of which starts the next one and exits, can be missed by a pass."""
        rows = self.members.rows()
        if any(row.is_alive for row in rows):
            self._empty_passes = 0
            return False
        self._empty_passes += 1
        return (self.members.is_complete and not rows) or self._empty_passes >= EMPTY_PASSES

    def signal_tree(self, number: int) -> int:
        return self.members.signal(number)


def kill_tree(process: int | Identity, kill_after: float = 2.0) -> bool | None:
    """End a process and its whole tree, which this process need not have started: SIGTERM, later SIGKILL.

    - `process`: pid of the root; or its identity, as of `LivenessInfo`, if its pid may have been reused meanwhile.
    - `kill_after`: seconds from SIGTERM to SIGKILL. Default: 2; with 0 the tree gets SIGKILL at once.

    Returns True if no process of the tree is left, False if one is (another user's, or blocked in the kernel), and None
    if that is unknown: a process that started meanwhile may be an orphan of the tree, or the root had ended before.

    The tree: the root, its descendants, what joined a session after a member that leads it, and what these start before
    they end. Other orphans from before the call are not found: only `prock.run` knows them.

    Linux: signals are sent through pidfds, to these processes or none. Other systems: by pid, just after the start time
    was checked. Cost: a read of ``stat`` for each member and signal, and some scans of the machine.

    Raises `NoSuchProcess` for a pid that does not exist, `AccessDenied` for a root that this user may not read, and
    `ValueError` for the calling process, its ancestors, and what cannot be a pid.

    >>> import subprocess
    >>> server = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    >>> kill_tree(server.pid) is not False, server.wait()
    (True, -15)
    """
    check_seconds("kill_after", kill_after)
    engine = engines.active
    number, start_ticks = process if isinstance(process, tuple) else (process, None)
    pid = check_pid(number)
    if pid is None:
        raise TypeError("invalid pid None: give the pid of the root")
    began_ticks = engine.now_ticks()
    root = engine.info(pid)
    if root is None and start_ticks is None:
        raise NoSuchProcess(pid)
    if root is None or start_ticks not in (None, root.start_ticks):
        return None
    if pid in ancestors(os.getpid(), engine.parents()):
        raise ValueError(f"process {pid} is this process or an ancestor of it: use os.kill for one process")
    tree = FoundTree(engine)
    tree.members.known = {pid: root.start_ticks}
    tree.members.rows()
    is_certain = tree.members.is_complete
    if not end_tree(tree, kill_after):
        return False
    return True if is_certain and tree.members.possible_orphans(root.ppid, began_ticks) == [] else None
