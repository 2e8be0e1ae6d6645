"""`CallerWatch`: a helper process that ends a tree when this process has ended, whatever ended it.

The helper is outside the tree, in a session of its own, with all signals blocked. It waits on a pidfd of this process
and on a socket, through which it learns the members. The parent-death signal of prctl(2) does not serve: it depends on
the thread that started the command, is lost when a set-id program is executed, and does not reach grandchildren.

The helper is a Python of its own, 15 ms of CPU time and 11 MB, half of it shared with other Pythons: a fork of a
program with threads could block for ever.
"""

from __future__ import annotations

import _socket  # the module socket around it costs ten milliseconds to import
import os
import sys

from prock._compat.signals import kernel
from prock.accounting.wait_linux import forget_helper, keep_helper
from prock.errors import NotSupported
from prock.runner.args import environment_of
from prock.runner.spawn_linux import kill_child, reap_child, socket_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from prock.runner.kill_tree import FoundTree

CODE = "import sys; sys.path.insert(0, {!r}); from prock.runner.caller_watch import main; main()"
LONGEST_MESSAGE = 200_000
"""Below the default limit of a socket's buffer (net.core.wmem_default)."""
MOST_DESCRIPTORS = 65_536
FINAL = b"final"
CHECK_MS = 1000
"""Between two checks of the helper whether the processes that a run left have ended."""


class CallerWatch:
    """Raises `NotSupported` where there is no helper, and `OSError` where it cannot be started."""

    def __init__(self, cgroup: str) -> None:
        """`cgroup`: directory of the run's cgroup, or empty."""
        if not sys.executable:
            raise NotSupported("die_with_caller: sys.executable is not set: it must be the path of a Python")
        self._owner = os.getpid()
        self._sent = b""
        ours, theirs = socket_pair()
        package = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        words = ["-I", "-S", "-c", CODE.format(package), str(theirs.fileno()), str(self._owner), cgroup]
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, *words],
                dict(entry.split(b"=", 1) for entry in environment_of(None)),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), theirs.fileno()),  # clears its close-on-exec flag
                    *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)),
                ],
                setsigmask=kernel.valid_signals(),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control = ours
        keep_helper(self.pid)

    def follow(self, known: Mapping[int, int], sessions: Mapping[int, int], kind: bytes = b"") -> None:
        """These processes, and sessions that members lead, are the tree from now on: pids and start times."""
        lists = [b" ".join(b"%d %d" % pair for pair in sorted(pairs.items())) for pairs in (known, sessions)]
        message = b",".join([*lists, kind])
        if message == self._sent or len(message) > LONGEST_MESSAGE:
            return
        try:
            self._control.send(message, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except OSError:  # the buffer is full: the next message says the same and more; or the helper was killed
            return
        self._sent = message

    def close(self, left: Mapping[int, int], sessions: Mapping[int, int]) -> None:
        """The run is over. The helper remains until the processes that it left have ended. Idempotent."""
        pid, self.pid = self.pid, 0
        if not pid:
            return
        if os.getpid() != self._owner:  # in a fork
            self._control.close()
            return
        if left:
            self.follow(left, sessions, FINAL)
        else:
            kill_child(pid)
            reap_child(pid)
        forget_helper(pid, is_reaped=not left)
        self._control.close()


def main() -> None:
    """The helper: ``FD CALLER CGROUP``."""
    from prock import engine as engines
    from prock.runner.kill_tree import FoundTree
    from prock.runner.terminate import end_tree

    control, caller, cgroup = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    os.setsid()
    os.chdir("/")
    os.closerange(3, control)
    os.closerange(control + 1, min(os.sysconf("SC_OPEN_MAX"), MOST_DESCRIPTORS))
    tree = FoundTree(engines.active)
    if _wait(tree, _socket.socket(fileno=control), caller):
        cgroup = ""  # the run is over, and has removed it
    if cgroup:
        from prock.accounting.cgroup import kill_group, remove_group

        kill_group(cgroup)
    end_tree(tree, 0)
    if cgroup:
        remove_group(cgroup, os.path.dirname(cgroup))
    os._exit(0)


def _wait(tree: FoundTree, control: _socket.socket, caller: int) -> bool:
    """Until the caller has ended, or what a run left. Returns whether the run was over before."""
    import select

    poll = select.poll()
    poll.register(control, select.POLLIN)
    try:
        pidfd = os.pidfd_open(caller)
        poll.register(pidfd, select.POLLIN)
    except OSError:  # it has ended, or before Linux 5.3; then the end of the socket says so
        pidfd = -1
    is_final = False
    while os.getppid() == caller:  # while it lives, its pid is not reused
        ready = [descriptor for descriptor, _ in poll.poll(CHECK_MS if is_final else None)]
        if control.fileno() in ready:
            message = control.recv(LONGEST_MESSAGE)
            if message:
                *lists, kind = message.split(b",")
                tree.members.known, tree.members.sessions = map(_pairs, lists)
                is_final = kind == FINAL
                continue
            if not is_final:
                break
            poll.unregister(control)
        elif pidfd in ready or (is_final and tree.is_over()):
            break
    return is_final


def _pairs(text: bytes) -> dict[int, int]:
    numbers = [int(word) for word in text.split()]
    return dict(zip(numbers[::2], numbers[1::2], strict=True))
