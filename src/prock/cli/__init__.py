"""The command ``prock``: one module per subcommand, imported when it is called, for start-up is part of the price.

A subcommand's module has ``configure(parser)``, ``run(arguments) -> int`` and ``EPILOG``; its one line of help stands
in `COMMANDS`. Those in `OF_THEIR_OWN` have ``main(words) -> int`` instead: they are put in front of short commands, and
argparse is a third of their price. What went wrong is a `Failure`, and becomes one line.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

COMMANDS = {
    "stat": "everything about one process",
    "tree": "a process and all that it started, with subtree totals",
    "scan": "the trees of this machine that use the most",
    "top": "follow a tree, on the whole screen or as tables",
    "run": "run a command, and tell what it and all that it started has cost",
    "attach": "the same account of a tree that runs already",
    "doctor": "what prock can measure here, and what would enable the rest",
}

OF_THEIR_OWN = ("run", "attach")

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell says of a command that SIGINT or SIGPIPE ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 for what can't be answered, 2 for what can't be asked."""
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
    """End without taking the interpreter apart, which takes 2 to 4 ms: what is put in front of short commands."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # said before, or nobody is left to tell
            pass
    os._exit(code)


def _guarded(called: str, arguments: list[str]) -> int:
    """Every error that is expected, said in one line."""
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

        return run.main(arguments[1:])
    if called == "prock attach":
        from prock.cli.run import attach

        return attach.main(arguments[1:])
    from prock.cli import parser as command

    if called == "prock":
        return command.run_without_subcommand(arguments, COMMANDS)
    return command.run_subcommand(arguments[0], COMMANDS[arguments[0]], arguments[1:])


def _end_by_interrupt() -> None:
    """Die of SIGINT, as a shell expects: one that sees a mere exit code goes on with its loop or script."""
    if sys.platform == "win32":  # where there is no such end
        return
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.kill(os.getpid(), signal.SIGINT)
