"""Writes the report, in the chosen form and place, and the JSON document when a run has ended."""

from __future__ import annotations

import sys

from prock.cli import output
from prock.cli.run.options import PROCK_FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.cli.run.options import Settings
    from prock.files import OutputFile
    from prock.runner.result import RunResult


NARROWEST = 40
"""Columns; a narrower terminal wraps the lines."""


class ReportWriter:
    """Construct it before the command runs: raises `Failure` for a bad template or path."""

    def __init__(self, settings: Settings, title: str | None = None, name: str = "run") -> None:
        self._settings = settings
        self._title = title
        self._name = name
        self._template: str | None = None
        self._is_prometheus = settings.format == "prometheus"
        if settings.append and self._is_prometheus:
            raise output.Failure("-a and -f prometheus contradict each other: a series may occur once in a file", 2)
        if settings.portability or (settings.format is not None and not self._is_prometheus):
            from prock.report.gnu_time import template_of

            try:
                self._template = template_of(settings.format or ("posix" if settings.portability else ""))
            except ValueError as error:
                raise output.Failure(str(error), 2) from None
        for option, path in (("--output", settings.output), ("--json", settings.json)):
            if path == "":
                raise output.Failure(f"invalid {option} '': give the name of a file", 2)
        self._report = self._document = None
        if settings.output is not None or settings.json is not None:
            from prock.files import CannotWrite, OutputFile

            try:
                if settings.output is not None:
                    self._report = OutputFile(settings.output, append=settings.append, whole=self._is_prometheus)
                if settings.json is not None:
                    self._document = OutputFile(settings.json, whole=True)
            except CannotWrite as error:
                raise output.Failure(str(error), PROCK_FAILED) from None

    def write(self, results: Sequence[RunResult], wanted: int = 1) -> bool:
        """Write all that can be written. Returns False if some could not; the reason is then on standard error."""
        complete = True
        if not self._settings.quiet:
            text = self._text(results, wanted)
            if self._report is None:
                # The text of --format is the user's own. A closed standard error counts as --quiet.
                complete = output.write_error(text, as_it_is=True)
            else:
                complete = self._write(self._report, text)
        if self._document is not None:
            import json

            # Indented on a terminal, one line for programs.
            indent = 2 if self._document.is_terminal else None
            from prock.measurement import measurement

            document = {**self._as_document(results), "measurement": measurement()}
            text = json.dumps(document, allow_nan=False, indent=indent)
            complete = self._write(self._document, f"{text}\n") and complete
        return complete

    def _text(self, results: Sequence[RunResult], wanted: int) -> str:
        settings = self._settings
        if self._is_prometheus:
            from prock.export.run_metrics import prometheus_text

            return prometheus_text(results[-1])
        if self._template is not None:
            from prock.report import gnu_time

            lines: list[str] = []
            for result in results:
                lines += filter(None, [gnu_time.ending(result)])
                lines.append(gnu_time.fill(self._template, result))
            return "".join(f"{line}\n" for line in lines)
        from prock.report.layout import DEFAULT_WIDTH, Style

        colour = self._report is None and output.has_colours(sys.stderr)
        width = output.columns_of(sys.stderr) if self._report is None else None
        style = Style(
            colour=colour,
            verbose=settings.verbose,
            verify=settings.verify,
            width=max(NARROWEST, width or DEFAULT_WIDTH),
        )
        if wanted == 1:
            from prock.report.text import run_report

            return run_report(results[0], style, self._title) + "\n"
        from prock.cli.run.repeat import repeat_report

        return repeat_report(results, wanted, style) + "\n"

    def _as_document(self, results: Sequence[RunResult]) -> dict[str, object]:
        if self._settings.repeat is None:
            return results[0].as_document()
        from prock.cli.run import repeat

        return repeat.as_document(results)

    def _write(self, file: OutputFile, text: str) -> bool:
        from prock.files import CannotWrite

        try:
            file.write(text)
        except CannotWrite as error:
            output.complain(f"prock {self._name}", str(error))
            return False
        finally:
            file.close()
        return True
