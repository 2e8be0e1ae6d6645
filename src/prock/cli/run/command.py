"""``prock run``: a command in front of commands, that tells what they and all that they started have cost.

JSON (``prock.run/1``, with ``--repeat`` ``prock.run-repeat/1``): see docs/formats.md.

The command is started as early as possible: what only the report needs is imported while it runs, or after it.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from prock._compat.signals import numbers
from prock.cli.output import Failure
from prock.cli.run import options
from prock.cli.run.files import TROUBLE, keep_low_descriptors_free
from prock.cli.run.options import RUN, Settings
from prock.cli.run.supervisor import Plan, Supervisor, open_signals
from prock.errors import ProckError
from prock.report.layout import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prock.cli.run.supervisor import Line, SignalSource
    from prock.cli.run.writer import ReportWriter
    from prock.results import RunResult
    from prock.runner.session import Options, RunSession

NAME = "run"
USAGE = "prock run [OPTION ...] [--] COMMAND [ARGUMENT ...]"
_CHANGED_BY_PYTHON = numbers("SIGPIPE SIGXFSZ")
"""Python ignores these; the command gets their default back."""
EPILOG = """\
The command gets prock's input, outputs, terminal and environment as they are.
The report goes to standard error. CPU time is that of all processes, also of
those that nobody waited for; the report says how true each figure is.

exit code: the command's own; 128 + n if signal n ended it; 126 if it can't be
  executed, 127 if there is none; 124 if its time was over; 123 if it succeeded
  above its budget; 125 if it succeeded, but the account could not be written.

signals: SIGTERM, SIGINT, SIGHUP, SIGQUIT that a process sends go to the whole
  tree; a second one kills it. Ctrl-C reaches the command anyway; twice within
  2 s sends SIGTERM to the whole tree, three times kills it.

--repeat makes all runs, also after one that fails (Ctrl-C ends the series);
  the exit code is that of the first that failed.

On macOS, Windows and BSD some sources are missing: prock doctor says which.

--format: %e elapsed, %U user, %S system seconds; %P CPU; %M largest process in
  KiB; %x exit code; %C command; %F %R major, minor faults; %I %O blocks of 512
  read, written; %c %w involuntary, voluntary switches; %E h:m:s; %Z page size;
  %D %K %W %X %k %p %r %s %t 0, as in GNU time; %% \\n \\t \\\\. A ? is unknown.
  %{cpu} %{user} %{system} %{wall} seconds, %{cores}, %{peak}, %{processes}, and
  any key of the JSON document: %{peak_rss_bytes}, %{disk_io.read_bytes}.

examples:
  prock run make -j8                      what does the build cost?
  prock run -q --json cost.json pytest    nothing but a file
  prock run -f '%{cpu} s, %{peak}' cc x.c one line of your own
  prock run -t 10m --max-memory 2G ./job  for CI
"""


def main(words: Sequence[str]) -> int:
    from prock.cli import COMMANDS

    settings, command = options.parse(words, RUN, name=NAME, usage=USAGE, summary=COMMANDS[NAME], epilog=EPILOG)
    if not command:
        raise Failure("no command: prock run COMMAND [ARGUMENT ...] (see prock run --help)", 2)
    if settings.repeat == 0:
        raise Failure("--repeat 0 runs nothing", 2)
    keep_low_descriptors_free()
    publisher = _open_publisher(settings)
    try:
        signals = open_signals()
    except ProckError as error:
        raise Failure(str(error), TROUBLE) from None
    try:
        code, interrupted = _run_all(command, settings, signals, publisher)
    finally:
        signals.close()
    if interrupted:
        raise KeyboardInterrupt  # the shell that waits for us is to see that it was
    return code


def _open_publisher(settings: Settings) -> ReportWriter | None:
    """What can be seen to fail has to fail before the command runs; None where nothing can."""
    if settings.json is None and settings.output is None and settings.format is None:
        return None
    from prock.cli.run.writer import ReportWriter

    return ReportWriter(settings)


def _run_all(
    command: list[str], settings: Settings, signals: SignalSource, publisher: ReportWriter | None
) -> tuple[int, bool]:
    """The exit code, and whether Ctrl-C has ended the command."""
    results: list[RunResult] = []
    wanted, interrupted = settings.repeat or 1, False
    failure: Failure | None = None
    spent_ns = 0
    while len(results) < wanted and not interrupted:
        try:
            running = _launch(command, settings, signals)
        except Failure as error:
            if not results:
                raise
            failure = error
            break
        supervisor = _follow(running, settings, signals)
        from prock.runner.build_result import finish

        whole_tree = settings.wait_all or supervisor.timed_out
        result = finish(running, timed_out=supervisor.timed_out, whole_tree=whole_tree)
        spent_ns, before_ns = time.process_time_ns(), spent_ns  # the interpreter's start is part of the price, too
        results.append(result._replace(cost_ns=spent_ns - before_ns))
        supervisor.hear_the_rest()
        interrupted = supervisor.interrupted and results[-1].signal == 2
        if supervisor.was_asked_to_end:
            break
    if publisher is None:
        from prock.cli.run.writer import ReportWriter

        publisher = ReportWriter(settings)
    trouble = publisher.write(results, wanted)
    if failure is not None:
        raise failure
    return _exit_code(results, settings) or (TROUBLE if trouble else 0), interrupted


def _get_ready(signals: SignalSource) -> None:
    """Import what is needed when the command has ended, which may be soon, while its process is made."""
    signals.hear_of_children()


def _launch(command: list[str], settings: Settings, signals: SignalSource) -> RunSession:
    if not command[0]:  # in each directory of PATH it would be that directory
        raise Failure("'': command not found", 127)
    try:
        return _start(command, settings, signals)
    except ProckError as error:
        raise Failure(str(error), TROUBLE) from None
    except FileNotFoundError as error:
        raise Failure(_not_found(command[0], error), 127) from None
    except OSError as error:
        reason = errno.EISDIR if os.path.isdir(command[0]) else error.errno
        raise Failure(f"cannot execute {escape(command[0])}: {os.strerror(reason or 0)}", 126) from None


def _start(command: list[str], settings: Settings, signals: SignalSource) -> RunSession:
    from prock import engine

    if engine.active.name == "portable":
        from prock.runner.spawn_portable import start_command

        return start_command(command, running_options(settings), None if sys.platform == "win32" else _environment())
    from prock.runner.session import RunSession
    from prock.runner.spawn_linux import SpawnOptions

    setup = SpawnOptions(_environment(), mask=signals.original, defaults=_CHANGED_BY_PYTHON, scripts=True)
    return RunSession.launch(command, setup, running_options(settings), meanwhile=lambda: _get_ready(signals))


def running_options(settings: Settings) -> Options:
    """As `RunSession` has them."""
    from prock.runner.session import Options

    return Options(
        accounting=settings.accounting,
        interval=settings.interval,
        pss=settings.pss,
        processes=settings.verbose > 0,
        labels=tuple(settings.labels or ()),
    )


def _not_found(word: str, error: OSError) -> str:
    name = escape(word)
    if "/" not in word:
        return f"{name}: command not found"
    if os.path.exists(word):
        return f"cannot execute {name}: its interpreter was not found"
    return f"cannot execute {name}: {error.strerror}"


def _environment() -> dict[bytes, bytes]:
    """As prock was given it. Python adds LC_CTYPE to `os.environ` in the C locale; the command is not to see that."""
    from prock import engine

    try:
        block = engine.active.environ(None)
    except (OSError, ProckError):
        block = None
    if block is None:
        return {os.fsencode(name): os.fsencode(value) for name, value in os.environ.items()}
    entries = (entry.partition(b"=") for entry in block.split(b"\0"))
    return {name: value for name, equals, value in entries if equals}


def _follow(running: RunSession, settings: Settings, signals: SignalSource) -> Supervisor:
    plan = Plan(settings.timeout, settings.kill_after, settings.kill_tree, settings.wait_all)
    supervisor = Supervisor(running, signals, plan, line_opener(settings))
    try:
        supervisor.run()
    except BaseException:
        running.close()  # a cgroup would stay
        raise
    return supervisor


def line_opener(settings: Settings, *, alone: bool = False) -> Callable[[], Line | None] | None:
    """What opens the status line that was asked for, or may be there unasked."""
    if settings.progress is False or (settings.quiet and not settings.progress):
        return None

    def open_it() -> Line | None:
        from prock.cli.run.status_line import open_line

        return open_line(bool(settings.progress), alone=alone)

    return open_it


def _exit_code(results: Sequence[RunResult], settings: Settings) -> int:
    for result in results:
        if result.timed_out:
            return 124
        if result.exit_code != 0:
            return result.exit_code if result.exit_code is not None else TROUBLE
    if settings.max_cpu is settings.max_memory is settings.max_wall is None:
        return 0
    from prock.cli.run import budget

    said = budget.exceeded(results, settings)
    if said:
        from prock.cli.output import write_error

        write_error(f"prock run: above the budget: {'; '.join(said)}\n")
    return budget.EXCEEDED if said else 0
