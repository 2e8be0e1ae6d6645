"""``prock attach``: measure a tree that is already running, from now until it ends or a signal stops the measurement.

JSON: ``prock.run/1``, as of ``prock run``, with empty `args`; see docs/formats.md.
"""

from __future__ import annotations

import time

from prock.cli.argtypes import pid_argument
from prock.cli.output import Failure
from prock.cli.run import options
from prock.cli.run.command import keep_low_descriptors_free, line_opener, open_recorder, session_options
from prock.cli.run.options import ATTACH, PROCK_FAILED, Settings
from prock.cli.run.supervisor import Plan, Supervisor, open_signals
from prock.cli.run.writer import ReportWriter
from prock.report.layout import escape
from prock.runner.build_result import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.runner.session import RunSession
    from prock.sampling.recorder import Recorder

NAME = "attach"
USAGE = "prock attach [OPTION ...] PID"
EPILOG = """\
Counts from now until the process has ended (--wait-all: its whole tree), or
until Ctrl-C, SIGTERM or SIGHUP: then prock reports, and the tree goes on. prock
sends no signal to any process. The exit code is 0, also if the process fails.

DURATION is in seconds, or with units: 500ms, 90s, 10m (minutes), 1h30m.

example:
  prock attach 4711             measure this server until Ctrl-C
"""


def main(words: Sequence[str], summary: str) -> int:
    settings, pid = _parse(list(words), summary)
    keep_low_descriptors_free()
    writer = ReportWriter(settings, f"process {pid}{_name(pid)} since prock attached", NAME)
    recorder = open_recorder(settings)
    try:
        session = _attach(pid, settings, recorder)
    except BaseException:
        if recorder is not None:
            recorder.discard()
        raise
    signals = open_signals()
    try:
        plan = Plan(wait_all=settings.wait_all, detach=True)
        Supervisor(session, signals, plan, line_opener(settings, alone=True)).run()
        result = finish(session, whole_tree=settings.wait_all)
        return 0 if writer.write([result._replace(cost_ns=time.process_time_ns())]) else PROCK_FAILED
    finally:
        signals.close()
        if recorder is not None:
            recorder.close()


def _parse(words: list[str], summary: str) -> tuple[Settings, int]:
    """Options may also follow the PID."""
    for before, word in zip(("", *words), words, strict=False):
        if word[:1] == "-" and word[1:].isdigit() and not before.startswith("-"):
            pid_argument(word)  # raises: argparse would take it for an option
    rest: list[str] = []
    pids: list[str] = []
    while True:
        settings, rest = options.parse(words, ATTACH, name=NAME, usage=USAGE, summary=summary, epilog=EPILOG)
        if not rest:
            break
        pids.append(rest[0])
        words = words[: len(words) - len(rest)] + rest[1:]
    if len(pids) != 1:
        given = f"{len(pids)} PIDs" if pids else "no PID"
        raise Failure(f"{given}: give one (see prock attach --help)", 2)
    return settings, pid_argument(pids[0])


def _name(pid: int) -> str:
    import prock

    try:
        comm = prock.get_process_comm(pid)
    except prock.ProckError:
        return ""
    return "" if comm is None else f" ({escape(comm)})"


def _attach(pid: int, settings: Settings, recorder: Recorder | None) -> RunSession:
    from prock.errors import NoSuchProcess
    from prock.runner.session import RunSession

    try:
        return RunSession.attach(pid, session_options(settings, recorder))
    except NoSuchProcess:
        raise Failure(f"no process {pid}") from None
