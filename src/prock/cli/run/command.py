"""``prock run``: run a command and report the CPU time, memory and I/O of its whole process tree.

JSON (``prock.run/1``, with ``--repeat`` ``prock.run-repeat/1``): see docs/formats.md.

The command is started as early as possible: modules that only the report needs are imported while it runs or later.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from prock._compat.signals import IGNORED_BY_PYTHON
from prock.cli.output import Failure
from prock.cli.run import options
from prock.cli.run.options import EXCEEDED, PROCK_FAILED, RUN, Settings
from prock.cli.run.supervisor import Plan, Supervisor, open_signals
from prock.errors import NotSupported, ProckError
from prock.report.layout import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prock.cli.run.status_line import StatusLine
    from prock.cli.run.supervisor import Outlet, SignalSource
    from prock.cli.run.writer import ReportWriter
    from prock.runner.limits import Limits
    from prock.runner.result import RunResult
    from prock.runner.session import Options, RunSession
    from prock.sampling.recorder import Recorder

NAME = "run"
USAGE = "prock run [OPTION ...] [--] COMMAND [ARGUMENT ...]"
EPILOG = """\
The command gets prock's input, outputs, terminal and environment unchanged. The
report goes to standard error. CPU time includes every process of the tree, also
those that no parent waited for; the report states how accurate each figure is.

exit code: the command's own; 128 + n if signal n ended it; 126 if it cannot be
  executed; 127 if it was not found; 124 after a timeout; 123 if it succeeded
  but exceeded its budget, or was ended for a limit; 125 if it succeeded but the report was not written
  (a closed standard error counts as -q).

signals: SIGTERM, SIGINT, SIGHUP and SIGQUIT sent to prock are sent to the whole
  tree; a second one kills it. Ctrl-C reaches the command directly; twice within
  2 s sends SIGTERM to the whole tree, three times kills it.

--repeat makes all runs, even after a failed one (Ctrl-C ends the series); the
  exit code is that of the first failed run.

DURATION is in seconds, or with units: 500ms, 90s, 10m (minutes), 1h30m. SIZE is
  in bytes, or with K, M, G or T (powers of 1024): 512K, 100M, 1.5G.

On macOS, Windows and BSD some sources are missing: see prock doctor.

--format gnu, --format posix, or a template: %e elapsed, %U user, %S system
  seconds; %P CPU; %M largest process in KiB; %x exit code; %C command; %F %R
  major, minor faults; %I %O blocks of 512 read, written; %c %w involuntary,
  voluntary switches; %E h:m:s; %Z page size; %D %K %W %X %k %p %r %s %t print
  0, as in GNU time; %% \\n \\t \\\\. ? means unknown.
  %{cpu} %{user} %{system} %{wall} seconds, %{cores}, %{peak}, %{processes}, and
  any key of the JSON document: %{peak_rss_bytes}, %{disk_io.read_bytes}.
  --format prometheus: for the textfile collector of node_exporter, with -o FILE.

examples:
  prock run make -j8                      report the cost of a build
  prock run -q --json cost.json pytest    write only a JSON document
  prock run -f '%{cpu} s' cc x.c          print one line in your own format
  prock run -t 10m --max-memory 2G ./job  limit and budget a CI job
  prock run --record build.prock make -j8 record a build, for prock report
  prock run --otlp make -j8               show its processes as a trace
"""


def keep_low_descriptors_free() -> None:
    """Open /dev/null on each of 0, 1 and 2 that is closed, so that no file of prock's gets that number.

    Otherwise a report could be written into it. They are closed on exec, so the command finds them closed.
    """
    try:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
    except OSError:  # without /dev
        return
    os.close(descriptor)


def main(words: Sequence[str], summary: str) -> int:
    settings, command = options.parse(words, RUN, name=NAME, usage=USAGE, summary=summary, epilog=EPILOG)
    if not command:
        raise Failure("no command: give one, as in prock run COMMAND [ARGUMENT ...] (see prock run --help)", 2)
    if settings.repeat == 0:
        raise Failure("invalid --repeat 0: use a whole number, 1 or more", 2)
    keep_low_descriptors_free()
    writer = _open_writer(settings)
    outlets = _open_outlets(settings, command)
    recorder = open_recorder(settings, command)
    try:
        signals = open_signals()
    except ProckError as error:
        raise Failure(str(error), PROCK_FAILED) from None
    try:
        code, interrupted = _run_all(command, settings, signals, writer, recorder, outlets)
    except Failure:
        if recorder is not None and recorder.is_empty:
            recorder.discard()
        raise
    finally:
        signals.close()
        if recorder is not None:
            recorder.close()
    if interrupted:
        raise KeyboardInterrupt  # so that the calling shell sees that SIGINT ended prock
    return code


def _open_writer(settings: Settings) -> ReportWriter | None:
    """Fails before the command runs if writing cannot work; None if the report goes to standard error."""
    if settings.json is settings.output is settings.format is None:
        return None
    from prock.cli.run.writer import ReportWriter

    return ReportWriter(settings)


def _open_outlets(settings: Settings, command: Sequence[str]) -> list[Outlet]:
    """Fails before the command runs if an option or a variable is invalid."""
    outlets: list[Outlet] = []
    if settings.otlp is not None:
        from prock.cli.run.telemetry import Telemetry

        outlets.append(Telemetry(settings, command))
    if settings.ci:
        from prock.cli.run.ci import Summary

        outlets.append(Summary(settings, command))
    if settings.push is not None:
        from prock.cli.run.push import Push

        outlets.append(Push(settings))
    return outlets


def open_recorder(settings: Settings, command: Sequence[str] = ()) -> Recorder | None:
    """Fails before the command runs if its recording cannot be created."""
    if settings.record is None:
        return None
    from prock.sampling.recorder import Recorder

    try:
        return Recorder(settings.record, force=settings.force, command=command, labels=dict(settings.labels or ()))
    except ProckError as error:
        raise Failure(str(error), PROCK_FAILED) from None


def _run_all(
    command: list[str],
    settings: Settings,
    signals: SignalSource,
    writer: ReportWriter | None,
    recorder: Recorder | None,
    outlets: Sequence[Outlet],
) -> tuple[int, bool]:
    """Returns the exit code, and whether Ctrl-C ended the command."""
    results: list[RunResult] = []
    wanted, interrupted = settings.repeat or 1, False
    failure: Failure | None = None
    spent_ns = 0
    while len(results) < wanted and not interrupted:
        try:
            session = _launch(command, settings, signals, recorder, outlets)
        except Failure as error:
            if not results:
                raise
            failure = error
            break
        supervisor = _follow(session, settings, signals, outlets)
        from prock.runner.build_result import finish

        whole_tree = settings.wait_all or supervisor.timed_out or session.limit_exceeded is not None
        result = finish(session, timed_out=supervisor.timed_out, whole_tree=whole_tree)
        spent_ns, before_ns = time.process_time_ns(), spent_ns  # includes the start of the interpreter
        for outlet in outlets:
            outlet.add(result)
        if not settings.verbose:
            result = result._replace(processes=())
        results.append(result._replace(cost_ns=spent_ns - before_ns))
        supervisor.drain_signals()
        interrupted = supervisor.interrupted and results[-1].signal == 2
        if supervisor.end_requested:
            break
    if writer is None:
        from prock.cli.run.writer import ReportWriter

        writer = ReportWriter(settings)
    all_written = writer.write(results, wanted)
    if failure is not None:
        raise failure
    code, problems = _exit_code(results, settings)
    code = code or (0 if all_written else PROCK_FAILED)
    for outlet in outlets:
        outlet.close(code, problems)
    return code, interrupted


def _launch(
    command: list[str],
    settings: Settings,
    signals: SignalSource,
    recorder: Recorder | None,
    outlets: Sequence[Outlet],
) -> RunSession:
    if not command[0]:  # joined to a directory of PATH, an empty name is that directory
        raise Failure("'': command not found", 127)
    try:
        from prock import engine

        if engine.active.launcher is None:
            from prock.runner.spawn_portable import start_command

            env = [] if sys.platform == "win32" else _environment(recorder, outlets)
            running = start_command(
                command, session_options(settings, recorder), env, mask=signals.original, defaults=IGNORED_BY_PYTHON
            )
            signals.enable_child_signal()
            return running
        from prock.runner.session import RunSession
        from prock.runner.spawn_linux import SpawnOptions

        spawn = SpawnOptions(
            _environment(recorder, outlets), mask=signals.original, defaults=IGNORED_BY_PYTHON, scripts=True
        )
        return RunSession.launch(
            command, spawn, session_options(settings, recorder), meanwhile=signals.enable_child_signal
        )
    except NotSupported as error:
        raise Failure(f"{error} (see prock doctor)", PROCK_FAILED) from None
    except ProckError as error:
        raise Failure(str(error), PROCK_FAILED) from None
    except FileNotFoundError as error:
        raise Failure(_not_found(command[0], error), 127) from None
    except OSError as error:
        reason = errno.EISDIR if os.path.isdir(command[0]) else error.errno
        raise Failure(f"cannot execute {escape(command[0])}: {os.strerror(reason or 0)}", 126) from None


def session_options(settings: Settings, recorder: Recorder | None) -> Options:
    from prock.runner.session import Options

    return Options(
        accounting=settings.accounting,
        interval=settings.interval,
        pss=settings.pss,
        processes=settings.verbose > 0 or settings.otlp is not None,
        labels=tuple(settings.labels or ()),
        die_with_caller=settings.die_with_prock,
        arguments=settings.arguments,
        limits=_limits(settings),
        recorder=recorder,
    )


def _limits(settings: Settings) -> Limits | None:
    if settings.limit_cpu is settings.limit_memory is settings.limit_processes is None:
        return None
    from prock.runner import send_signal, terminate  # noqa: F401  # now: the imports take time in which a tree grows
    from prock.runner.limits import Limits

    for name, value in (("memory", settings.limit_memory), ("processes", settings.limit_processes)):
        if value == 0:
            raise Failure(f"invalid --limit-{name} 0: use more than 0", 2)
    return Limits(settings.limit_memory, settings.limit_processes, _nanoseconds(settings.limit_cpu))


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1e9))


def _not_found(word: str, error: OSError) -> str:
    name = escape(word)
    if "/" not in word:
        return f"{name}: command not found"
    if os.path.exists(word):
        return f"cannot execute {name}: its interpreter was not found"
    return f"cannot execute {name}: {error.strerror}"


def _environment(recorder: Recorder | None, outlets: Sequence[Outlet]) -> list[bytes]:
    """The entries that prock was started with: `os.environ` lacks those without a name or a value, and has one for each
    name. In the C locale, Python adds LC_CTYPE to it. A recording adds its path, for ``prock mark``, and ``--otlp``
    TRACEPARENT."""
    from prock import engine

    try:
        block = engine.active.environ(None)
    except (OSError, ProckError):
        block = None
    if block is None:
        entries = [b"%b=%b" % (os.fsencode(name), os.fsencode(value)) for name, value in os.environ.items()]
    else:
        entries = block.removesuffix(b"\0").split(b"\0") if block else []
    if recorder is not None:
        entries = recorder.environment(entries)
    for outlet in outlets:
        entries = outlet.environment(entries)
    return entries


def _follow(session: RunSession, settings: Settings, signals: SignalSource, outlets: Sequence[Outlet]) -> Supervisor:
    kill_tree = settings.kill_tree or (settings.die_with_prock and not settings.wait_all)
    plan = Plan(settings.timeout, settings.kill_after, kill_tree, settings.wait_all)
    supervisor = Supervisor(session, signals, plan, line_opener(settings), outlets)
    try:
        supervisor.run()
    except BaseException:
        session.close()  # otherwise its cgroup would stay
        raise
    return supervisor


def line_opener(settings: Settings, *, alone: bool = False) -> Callable[[], StatusLine | None] | None:
    """Returns the function that opens the status line; None if there is to be none."""
    if settings.progress is False or (settings.quiet and not settings.progress):
        return None

    def open_it() -> StatusLine | None:
        from prock.cli.run.status_line import open_line

        return open_line(bool(settings.progress), alone=alone)

    return open_it


def _exit_code(results: Sequence[RunResult], settings: Settings) -> tuple[int, list[str]]:
    """The exit code, and the limits or budgets that were exceeded."""
    for result in results:
        if result.timed_out:
            return 124, ["timed out"]
        if result.limit_exceeded is not None:
            from prock.report.text import limit_line

            problem = f"limit exceeded: {limit_line(result.limit_exceeded)}"
            if settings.quiet or settings.output is not None or settings.format is not None:
                from prock.cli.output import write_error

                write_error(f"prock run: {problem}\n")
            return EXCEEDED, [problem]
        if result.exit_code != 0:
            return result.exit_code if result.exit_code is not None else PROCK_FAILED, []
    if settings.max_cpu is settings.max_memory is settings.max_wall is None:
        return 0, []
    from prock.runner.limits import exceeded_budgets

    cpu_ns, wall_ns = _nanoseconds(settings.max_cpu), _nanoseconds(settings.max_wall)
    exceeded = exceeded_budgets(results, cpu_ns, settings.max_memory, wall_ns)
    if not exceeded:
        return 0, []
    from prock.cli.output import write_error

    problem = f"budget exceeded: {'; '.join(exceeded)}"
    write_error(f"prock run: {problem}\n")
    return EXCEEDED, [problem]
