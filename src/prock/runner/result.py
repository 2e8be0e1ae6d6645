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

    def exceeded(
        self,
        *,
        max_cpu_ns: int | None = None,
        max_memory_bytes: int | None = None,
        max_wall_ns: int | None = None,
    ) -> tuple[str, ...]:
        """Which of these budgets the run exceeded, a sentence for each. An unknown figure exceeds its budget.

        The memory is `peak_footprint_bytes`. Limits that hold while the tree runs: `Limits`.

        >>> prock.run(["true"]).exceeded(max_wall_ns=60 * 10**9)
        ()
        """
        from prock.runner.limits import exceeded_budgets

        return exceeded_budgets([self], max_cpu_ns, max_memory_bytes, max_wall_ns)

    def check_returncode(self) -> None:
        """Raise `subprocess.CalledProcessError` where the command failed, with this as its ``result``."""
        if self.returncode:
            from subprocess import CalledProcessError

            error = CalledProcessError(self.returncode, list(self.args), self.stdout, self.stderr)
            error.result = self  # type: ignore[attr-defined]  # ours
            raise error
