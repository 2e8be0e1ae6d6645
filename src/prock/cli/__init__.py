"""The command ``prock``: one module or package per subcommand, imported when it is called, for a short start-up.

The module of a subcommand has ``configure(parser)``, ``run(arguments) -> int`` and ``EPILOG``; its one-line help is in
`COMMANDS`. ``run`` and ``attach`` have ``main(words, summary) -> int`` instead, and import argparse, a third of the
start-up time, only for help and errors. Expected errors are raised as `Failure` and become one line.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

COMMANDS = {
    "run": "run a command and report the CPU time, memory and I/O of its whole process tree",
    "attach": "measure a process tree that is already running, and report it as prock run does",
    "top": "follow process trees, full-screen or as tables",
    "tree": "show a process tree with the totals of each subtree",
    "stat": "show one process in detail",
    "scan": "show the process trees of this machine that use the most CPU or memory",
    "trace": "show each process as it ends, with its CPU time, memory and I/O (root)",
    "report": "show a recording as text, as a page, or as a picture",
    "diff": "show what has changed between two runs, and fail where that is too much",
    "export": "write a recording in the format of another program",
    "mark": "mark the beginning of a phase in the recording of the calling command",
    "serve": "serve the figures of process trees to Prometheus",
    "doctor": "show what prock can measure on this machine, and what would enable the rest",
}

INTERRUPTED = 130
BROKEN_PIPE = 141
"""Exit codes that a shell reports for a command that SIGINT or SIGPIPE killed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 if it failed, 2 for wrong arguments; see `prock run --help`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    called = f"prock {arguments[0]}" if arguments and arguments[0] in COMMANDS else "prock"
    try:
        code = _guarded(called, arguments)
    except KeyboardInterrupt:
        if argv is None:
            _end_by_interrupt()
        return INTERRUPTED
    if argv is None and called == "prock run":
        _leave(code)
    return code


def _leave(code: int) -> NoReturn:
    """Exit without finalizing the interpreter, which takes 2 to 4 ms."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # already reported, or no place is left to report it
            pass
    os._exit(code)


def _guarded(called: str, arguments: list[str]) -> int:
    """Turn every expected error into one line on standard error."""
    from prock.cli import output
    from prock.errors import ProckError

    try:
        return _dispatch(called, arguments)
    except SystemExit as stop:  # argparse has printed its help
        return stop.code if isinstance(stop.code, int) else 0
    except output.Failure as failure:
        return output.complain(called, str(failure), failure.exit_code)
    except BrokenPipeError:
        return BROKEN_PIPE
    except ProckError as error:
        return output.complain(called, str(error))
    except OSError as error:
        return output.complain(called, output.describe(error))
    except MemoryError:
        return output.complain(called, "out of memory")


def _dispatch(called: str, arguments: list[str]) -> int:
    if called == "prock run":
        from prock.cli.run import command as run

        return run.main(arguments[1:], COMMANDS["run"])
    if called == "prock attach":
        from prock.cli.run import attach

        return attach.main(arguments[1:], COMMANDS["attach"])
    from prock.cli import parser as command

    if called == "prock":
        return command.run_without_subcommand(arguments, COMMANDS)
    return command.run_subcommand(arguments[0], COMMANDS[arguments[0]], arguments[1:])


def _end_by_interrupt() -> None:
    """Be killed by SIGINT: after a mere exit code, a shell would go on with its loop or script."""
    if sys.platform == "win32":  # no process is killed by a signal there
        return
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.kill(os.getpid(), signal.SIGINT)
