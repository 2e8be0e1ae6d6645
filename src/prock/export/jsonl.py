"""JSON lines: an object for each process in each sample, with the columns of the CSV file as keys."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from prock.recording.reader import Recording


def chunks(recording: Recording) -> Iterator[bytes]:
    for row in recording.process_samples():
        yield json.dumps(row._asdict()).encode() + b"\n"
