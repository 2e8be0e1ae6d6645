"""``prock mark``: add a mark to the recording of the command that this is called from.

JSON (``prock.mark/1``): `recorded`, whether there is a recording, and `text`.
"""

from __future__ import annotations

import os
import sqlite3

from prock.cli import output
from prock.recording.writer import BUSY_S, add_event, is_recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

EPILOG = """\
For commands below prock run --record, which sets the variable PROCK_RECORDING
to the file. Without it, nothing happens and the exit code is 0: a script can
hold marks whether or not it is recorded.

example:
  prock mark "link"                the phase "link" begins here
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="name of what begins here")


def run(arguments: argparse.Namespace) -> int:
    path = os.environ.get("PROCK_RECORDING", "")
    recorded = bool(path) and is_recording(path)
    if recorded:
        try:
            db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            try:
                add_event(db, "mark", arguments.text)
            finally:
                db.close()
        except sqlite3.Error as error:
            raise output.Failure(f"cannot write to the recording {path}: {error}") from None
    if arguments.json:
        output.write_json({"schema": "prock.mark/1", "recorded": recorded, "text": arguments.text})
    return 0
