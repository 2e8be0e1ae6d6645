"""``prock export``: a recording in the format of another program.

JSON (``prock.export/1``): `path`, `format` and `bytes` of the file that was written.
"""

from __future__ import annotations

import os
import sys

from prock import export
from prock.cli import output
from prock.export import benchmarks
from prock.recording.reader import Recording, read_results
from prock.report.layout import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EPILOG = """\
csv, jsonl, parquet: a row for each process in each sample. perfetto, chrome:
each process as a slice over time. folded, speedscope: CPU time by the path of
commands, for flame graphs. openmetrics: the totals over time. Of a document of
--json, too: gitlab, github-benchmark, bencher.

Without --to the end of FILE says the format: .csv .jsonl .parquet .pftrace
.trace.json .speedscope.json .folded .prom. parquet needs pyarrow: pip install
'prock[parquet]'.

examples:
  prock export build.prock -o build.csv             for a spreadsheet
  prock export build.prock -o build.pftrace         for ui.perfetto.dev
  prock export cost.json --to github-benchmark      for github-action-benchmark
  prock export build.prock --to folded | flamegraph.pl > build.svg
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recording", metavar="RECORDING", help="a recording, or a document of --json")
    formats = (*export.FORMATS, *benchmarks.FORMATS)
    parser.add_argument("--to", choices=formats, metavar="FORMAT", help=", ".join(formats))
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE instead of standard output")


def run(arguments: argparse.Namespace) -> int:
    name = arguments.to or (export.format_of(arguments.output) if arguments.output else None)
    if name is None:
        given = f"no format known by the name {arguments.output}" if arguments.output else "no format"
        raise output.Failure(f"{given}: add --to FORMAT (see prock export --help)", 2)
    if arguments.json and arguments.output is None:
        raise output.Failure("--json needs a file for the recording: add -o FILE", 2)
    files = arguments.output, arguments.recording
    if arguments.output is not None and all(map(os.path.exists, files)) and os.path.samefile(*files):
        raise output.Failure(f"{escape(arguments.output)} is the recording itself: write to another file")
    if name in benchmarks.FORMATS:
        data = benchmarks.FORMATS[name](read_results(arguments.recording)).encode("utf-8", "backslashreplace") + b"\n"
    else:
        data = b"".join(export.chunks(Recording(arguments.recording), name))
    if arguments.output is None:
        if name in ("parquet", "perfetto") and output.is_terminal(sys.stdout):
            raise output.Failure(f"{name} is binary, and standard output a terminal: add -o FILE", 2)
        output.write_bytes(data)
        return 0
    from prock.files import CannotWrite, OutputFile

    try:
        OutputFile(arguments.output, whole=True).write(data)
    except CannotWrite as error:
        raise output.Failure(str(error)) from None
    if arguments.json:
        document = {"schema": "prock.export/1", "path": arguments.output, "format": name, "bytes": len(data)}
        output.write_json(document)
    return 0
