"""``prock attach``: the account of a tree that runs already, from now until it ends or nobody wants to wait longer.

JSON: ``prock.run/1``, as of ``prock run``, with `args` empty; see docs/formats.md.
"""

from __future__ import annotations

import time

from prock.cli.argtypes import pid_argument
from prock.cli.output import Failure
from prock.cli.run import options
from prock.cli.run.command import line_opener, running_options
from prock.cli.run.files import TROUBLE, keep_low_descriptors_free
from prock.cli.run.options import ATTACH, Settings
from prock.cli.run.supervisor import Plan, Supervisor, open_signals
from prock.cli.run.writer import ReportWriter
from prock.report.layout import escape
from prock.runner.build_result import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.cli.run.supervisor import SignalSource
    from prock.runner.session import RunSession

NAME = "attach"
USAGE = "prock attach [OPTION ...] PID"
EPILOG = """\
Counts from now on, until the process has ended (--wait-all: its whole tree), or
Ctrl-C, SIGTERM or SIGHUP: then it reports, and lets the tree go on. Nothing is
sent to any process. The exit code is 0, whatever the process's own may be.

example:
  prock attach 4711             what does this server cost, until Ctrl-C?
"""


def main(words: Sequence[str]) -> int:
    settings, pid = _parse(list(words))
    keep_low_descriptors_free()
    name = _name(pid)
    publisher = ReportWriter(settings, f"process {pid}{name}", NAME)
    running = _attach(pid, settings)
    signals = open_signals()
    try:
        _follow(running, settings, signals)
        result = finish(running, whole_tree=settings.wait_all)
        return TROUBLE if publisher.write([result._replace(cost_ns=time.process_time_ns())]) else 0
    finally:
        signals.close()


def _parse(words: list[str]) -> tuple[Settings, int]:
    """Options may also follow the PID: there is nobody else whom they could belong to."""
    from prock.cli import COMMANDS

    rest: list[str] = []
    pids: list[str] = []
    while True:
        settings, rest = options.parse(words, ATTACH, name=NAME, usage=USAGE, summary=COMMANDS[NAME], epilog=EPILOG)
        if not rest:
            break
        pids.append(rest[0])
        words = words[: len(words) - len(rest)] + rest[1:]
    if len(pids) != 1:
        raise Failure("give one PID (see prock attach --help)", 2)
    return settings, pid_argument(pids[0])


def _name(pid: int) -> str:
    import prock

    try:
        comm = prock.get_process_comm(pid)
    except prock.ProckError:
        return ""
    return "" if comm is None else f" ({escape(comm)})"


def _attach(pid: int, settings: Settings) -> RunSession:
    from prock.errors import NoSuchProcess
    from prock.runner.session import RunSession

    try:
        return RunSession.attach(pid, running_options(settings))
    except NoSuchProcess:
        raise Failure(f"no process {pid}") from None


def _follow(running: RunSession, settings: Settings, signals: SignalSource) -> None:
    supervisor = Supervisor(
        running, signals, Plan(wait_all=settings.wait_all, detach=True), line_opener(settings, alone=True)
    )
    supervisor.run()
