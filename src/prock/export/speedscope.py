"""speedscope's JSON: CPU time by the path of commands."""

from __future__ import annotations

import json

from prock.export.folded import cpu_by_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from prock.recording.reader import Recording


def chunks(recording: Recording) -> Iterator[bytes]:
    paths = {path: cpu_ns for path, cpu_ns in cpu_by_path(recording).items() if cpu_ns}
    frames = {name: place for place, name in enumerate(dict.fromkeys(name for path in paths for name in path))}
    yield json.dumps(
        {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": "prock",
            "name": recording.title,
            "shared": {"frames": [{"name": name} for name in frames]},
            "profiles": [
                {
                    "type": "sampled",
                    "name": "CPU time by commands",
                    "unit": "nanoseconds",
                    "startValue": 0,
                    "endValue": sum(paths.values()),
                    "samples": [[frames[name] for name in path] for path in paths],
                    "weights": list(paths.values()),
                }
            ],
        }
    ).encode()
