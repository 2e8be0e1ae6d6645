"""``prock export``: each format read by a program that did not write it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import prock
from prock.export import FORMATS

if TYPE_CHECKING:
    from pathlib import Path

PROCK = [sys.executable, "-m", "prock"]
LOOP = "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "a.prock"
    command = ["sh", "-c", f"sh -c '{LOOP}; sleep 0.1; :' & {LOOP}; wait; {sys.executable} -m prock mark end"]
    subprocess.run([*PROCK, "run", "-q", "--record", str(path), *command], check=True)
    return path


def export(*words: object) -> bytes:
    return subprocess.run([*PROCK, "export", *map(str, words)], capture_output=True, timeout=60, check=True).stdout


def used_ns(path: Path) -> int:
    return sum(process.cpu_ns or 0 for process in prock.load(str(path)).processes)


def test_csv_and_json_lines_have_a_row_for_each_process_in_each_sample(recorded: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(export(recorded, "--to", "csv").decode())))
    lines = [json.loads(line) for line in export(recorded, "--to", "jsonl").splitlines()]
    assert len(rows) == len(lines) > 0 and rows[0].keys() == lines[0].keys()
    recording = prock.load(str(recorded))
    for sample in recording.samples[1:-1]:
        assert sum(line["sample"] == sample.id for line in lines) == sample.process_count
    assert {row["comm"] for row in rows} >= {"sh"} and rows[-1]["cpu_ns"] == str(lines[-1]["cpu_ns"])


def test_parquet_is_read_by_pyarrow(recorded: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(recorded, "-o", tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.num_rows == len(export(recorded, "--to", "jsonl").splitlines())
    assert max(table.column("cpu_ns").to_pylist()) > 0 and None in table.column("pss_bytes").to_pylist()


def test_folded_stacks_have_all_cpu_time_below_the_root(recorded: Path) -> None:
    lines = export(recorded, "--to", "folded").decode().splitlines()
    assert {line.split(";")[0].split(" ")[0] for line in lines} == {"sh"} and any(
        line.startswith("sh;") for line in lines
    )
    microseconds = sum(int(line.rpartition(" ")[2]) for line in lines)
    assert 0.95 * used_ns(recorded) <= microseconds * 1000 <= used_ns(recorded)


def test_speedscope_has_a_weight_for_each_stack(recorded: Path) -> None:
    document = json.loads(export(recorded, "--to", "speedscope"))
    (profile,) = document["profiles"]
    assert len(profile["samples"]) == len(profile["weights"]) and profile["endValue"] == sum(profile["weights"])
    assert profile["endValue"] == used_ns(recorded)
    names = [frame["name"] for frame in document["shared"]["frames"]]
    assert all(names[stack[0]] == "sh" for stack in profile["samples"])


def test_chrome_has_a_slice_for_each_process(recorded: Path) -> None:
    events = json.loads(export(recorded, "--to", "chrome"))["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == len(prock.load(str(recorded)).processes) and all(event["dur"] >= 0 for event in slices)
    assert [event["name"] for event in events if event["ph"] == "i"] == ["end"]


def test_perfetto_nests_the_track_of_a_process_below_its_parents(recorded: Path, tmp_path: Path) -> None:
    protos = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    export(recorded, "-o", tmp_path / "a.pftrace")
    trace = protos.Trace()
    trace.ParseFromString((tmp_path / "a.pftrace").read_bytes())
    tracks = {packet.track_descriptor.uuid: packet.track_descriptor for packet in trace.packet
              if packet.HasField("track_descriptor")}  # fmt: skip
    recording = prock.load(str(recorded))
    for process, parent in recording.family():
        track = tracks[4 * process.id]
        assert track.name == f"{process.comm} {process.pid}"
        assert track.parent_uuid == (0 if parent is None else 4 * parent.id)
    events = [packet for packet in trace.packet if packet.HasField("track_event")]
    kinds = [packet.track_event.type for packet in events]
    assert kinds.count(1) == kinds.count(2) == len(recording.processes) and kinds.count(3) == 1
    counters = [packet.track_event for packet in events if packet.track_event.type == 4]
    times = [event.counter_value for event in counters if tracks[event.track_uuid].counter.unit == 1]
    assert max(times) == max(row["cpu_ns"] for row in recording.rows())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")
def test_promtool_accepts_openmetrics(recorded: Path, tmp_path: Path) -> None:
    export(recorded, "-o", tmp_path / "a.prom")
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "a.prom"), str(tmp_path / "data")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any((tmp_path / "data").iterdir())


def test_a_tree_without_samples_can_be_exported(tmp_path: Path) -> None:
    prock.Recorder(str(tmp_path / "a.prock")).close()
    for name in FORMATS:
        export(tmp_path / "a.prock", "--to", name, "-o", tmp_path / name)
        assert (tmp_path / name).exists()


def test_bad_requests(recorded: Path, tmp_path: Path) -> None:
    for words, message in (
        ((recorded,), "no format"),
        ((recorded, "-o", tmp_path / "a.doc"), "no format known"),
        ((recorded, "--to", "csv", "--json"), "--json needs"),
    ):
        done = subprocess.run([*PROCK, "export", *map(str, words)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_not_replaced_by_its_export(recorded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.prock"
    shutil.copy(recorded, copy)
    os.link(copy, tmp_path / "a.csv")
    before = copy.read_bytes()
    for name in ("a.prock", "a.csv"):
        arguments = ["export", str(copy), "--to", "csv", "-o", str(tmp_path / name)]
        refused = subprocess.run([*PROCK, *arguments], stderr=subprocess.PIPE, text=True, timeout=60)
        assert refused.returncode == 1 and "write to another file" in refused.stderr
        assert refused.stderr.count("\n") == 1 and copy.read_bytes() == before


def test_a_command_that_is_not_utf8_can_be_exported(tmp_path: Path) -> None:
    path = tmp_path / "a.prock"
    subprocess.run([*PROCK, "run", "-q", "--record", str(path), "sh", "-c", "sleep 0.05", b"\xff"], check=True)
    assert rb"\\xff" in export(path, "--to", "openmetrics")
