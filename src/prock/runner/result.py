"""`RunResult`: the figures of a run, which can be printed and checked."""

from __future__ import annotations

from prock.results import RunFigures


class RunResult(RunFigures):
    """What a command and its whole process tree used; `print` writes the report of the command ``prock run``.

    Every total has an entry in `sources` with its source and bias; what the figures may lack is in `missing`, in
    sentences. Unknown is None. Times are nanoseconds, sizes bytes.
    """

    __slots__ = ()

    def __str__(self) -> str:
        from prock.report.text import run_report

        return run_report(self)

    def check_returncode(self) -> None:
        """Raise `subprocess.CalledProcessError` where the command failed, with this as its ``result``."""
        if self.returncode:
            from subprocess import CalledProcessError

            error = CalledProcessError(self.returncode, list(self.args), self.stdout, self.stderr)
            error.result = self  # type: ignore[attr-defined]  # ours
            raise error
