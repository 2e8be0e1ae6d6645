"""What is written when a run is over: the report, in the form and at the place that was asked for, and the document."""

from __future__ import annotations

import os
import sys

from prock.cli import output
from prock.cli.run.files import OutputFile
from prock.cli.run.options import Settings
from prock.report.layout import harmless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from prock.results import RunResult


class ReportWriter:
    """Raises `Failure` for what can be known to go wrong: make it before the command runs."""

    def __init__(self, settings: Settings, title: str | None = None, name: str = "run") -> None:
        self._settings = settings
        self._title = title
        self._name = name
        if settings.format is not None:
            from prock.report.gnu_time import check

            check(settings.format)
        self._report = None if settings.output is None else OutputFile(settings.output, append=settings.append)
        self._document = None if settings.json is None else OutputFile(settings.json, whole=True)

    def write(self, results: Sequence[RunResult], wanted: int = 1) -> bool:
        """Everything that can be; answers whether something couldn't. That much is said, too."""
        trouble = False
        if not self._settings.quiet:
            trouble = not self._write_report(self._text(results, wanted))
        if self._document is not None:
            text = self._in_json(self._as_document(results))
            trouble = not self._write(self._document, f"{text}\n") or trouble
        return trouble

    def _in_json(self, document: dict[str, object]) -> str:
        """Indented for eyes, one line for programs."""
        if self._document is not None and self._document.is_terminal:
            import json

            return json.dumps(document, allow_nan=False, indent=2)
        from prock.cli.run.json_text import dumps

        return dumps(document)

    def _text(self, results: Sequence[RunResult], wanted: int) -> str:
        settings = self._settings
        template = settings.format
        if settings.portability or template is not None:
            from prock.report import gnu_time as time_format

            lines: list[str] = []
            for result in results:
                lines += filter(None, [time_format.ending(result)])
                lines.append(time_format.fill(time_format.POSIX if template is None else template, result))
        else:
            lines = list(map(harmless, self._lines(results, wanted)))
        return "".join(f"{line}\n" for line in lines)

    def _lines(self, results: Sequence[RunResult], wanted: int) -> list[str]:
        from prock.report import text as report

        settings = self._settings
        colour = self._report is None and _has_colours()
        style = report.Style(colour=colour, verbose=settings.verbose, verify=settings.verify)
        if wanted == 1:
            return report.page(results[0], style, self._title)
        from prock.cli.run import repeat

        return repeat.page(results, wanted, style)

    def _as_document(self, results: Sequence[RunResult]) -> dict[str, object]:
        if self._settings.repeat is None:
            return results[0].as_document()
        from prock.cli.run import repeat

        return repeat.as_document(results)

    def _write_report(self, text: str) -> bool:
        if self._report is not None:
            return self._write(self._report, text)
        # The words of --format are the user's own. Where there is no standard error nobody can be told.
        output.write_error(text, as_it_is=True)
        return True

    def _write(self, place: OutputFile, text: str) -> bool:
        try:
            place.write(text)
        except output.Failure as failure:
            output.complain(f"prock {self._name}", str(failure))
            return False
        finally:
            place.close()
        return True


def _has_colours() -> bool:
    try:
        terminal = sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
