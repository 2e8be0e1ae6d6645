"""``prock diff``: what has changed between two runs, or two series of runs.

JSON (``prock.diff/1``): `before` and `after` (each `path` and number of `runs`), `figures` and `commands`, lists of
`name`, `before` and `after` (medians), `before_range`, `after_range`, `change` (0.2: 20 % more; null where unknown) and
`is_noise` (null with fewer than three runs), and `exceeded`, the limits of ``--fail-on`` that were exceeded.
"""

from __future__ import annotations

from prock.cli import output
from prock.cli.run.options import EXCEEDED
from prock.recording.reader import read_results
from prock.report.comparison import FIGURES, command_differences, comparison_table, differences, exceeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from prock.report.comparison import Difference

EPILOG = f"""\
A and B are recordings, or JSON documents of prock run --json, also with
--repeat. With three runs or more in each, a difference is noise where a run of
one lies within the range of the other.

--fail-on NAME=PERCENT,...: exit code 123 where the median of B is above that of A
by more. NAME: {", ".join(FIGURES)}.

examples:
  prock diff main.json branch.json                        what has changed
  prock diff a.prock b.prock --fail-on cpu=20%,peak=10%   fail a CI job
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", help="a recording or a document")
    parser.add_argument("after", metavar="B", help="the one that is compared with it")
    parser.add_argument("--fail-on", metavar="LIMITS", type=_limits, default=(), help="limits of growth: cpu=20%%")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")


def run(arguments: argparse.Namespace) -> int:
    if arguments.json and arguments.markdown:
        raise output.Failure("--json and --markdown contradict each other: leave one out", 2)
    before, after = read_results(arguments.before), read_results(arguments.after)
    rows = differences(before, after)
    sentences = exceeded(rows, arguments.fail_on)
    if arguments.json:
        output.write_json(
            {
                "schema": "prock.diff/1",
                "before": {"path": arguments.before, "runs": len(before)},
                "after": {"path": arguments.after, "runs": len(after)},
                "figures": list(map(_as_document, rows)),
                "commands": list(map(_as_document, command_differences(before, after))),
                "exceeded": sentences,
            }
        )
    else:
        output.write(comparison_table(before, after, (arguments.before, arguments.after), markdown=arguments.markdown))
    if sentences:
        output.write_error(f"prock diff: limit exceeded: {'; '.join(sentences)}\n")
        return EXCEEDED
    return 0


def _as_document(row: Difference) -> dict[str, object]:
    return {**row._asdict(), "change": row.change}


def _limits(text: str) -> tuple[tuple[str, float], ...]:
    limits = []
    for part in text.split(","):
        name, _, percent = part.partition("=")
        number = percent.removesuffix("%")
        if name not in FIGURES or not number.replace(".", "", 1).isdecimal() or not number.isascii():
            raise output.Failure(f"invalid limit {part!r}: use NAME=PERCENT, with a name of {', '.join(FIGURES)}", 2)
        limits.append((name, float(number) / 100))
    return tuple(limits)
