"""What a run says of I/O, memory, faults and processes."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.elsewhere import in_child
from support.engines import on_linux_engines
from support.runs import PYTHON, SH, python

import prock
from prock.engine import using

if TYPE_CHECKING:
    from prock.engine.protocol import Engine

MIB = 1 << 20
SOURCE = Path(__file__).resolve().parents[3] / "benchmarks" / "workloads" / "memory.c"
WRITES = """
def writes(count):
    with open(os.devnull, 'wb', buffering=0) as file:
        for _ in range(count): file.write(bytes(1000))
"""
START_BYTES = 200_000
"""What a Python reads, and no more than that writes, before it comes to its program."""


def written(result: prock.RunResult) -> int:
    assert result.disk_io is not None and result.disk_io.write_chars is not None
    return result.disk_io.write_chars


def of_nothing() -> int:
    return written(prock.run(python(""), reap_orphans=True))


@on_linux_engines
def test_io_of_all_that_is_waited_for(engine: Engine) -> None:
    """Children that were waited for count once, however deep; orphans, as they are waited for here."""
    program = WRITES + (
        "def below(): os.waitpid(child(lambda: writes(3)), 0); writes(2)\n"
        "writes(1)\n"
        "os.waitpid(child(below), 0)\n"
        "orphan(lambda: writes(10))"
    )
    result = prock.run(python(program), reap_orphans=True, wait_all=True)
    assert written(result) - of_nothing() == 16_000
    source = result.source("io")
    assert source is not None and source.bias.startswith("exact")
    assert not any("I/O" in sentence for sentence in result.missing)


def test_io_of_survivors() -> None:
    """What they have written so far is in it."""
    program = WRITES + (
        "reader, writer = os.pipe()\n"
        "def survive(): writes(5); os.write(writer, b'x'); os.close(writer); sys.stdin.read()\n"
        "orphan(survive)\n"
        "os.read(reader, 1)"
    )
    with_one, quit = os.pipe()
    try:
        result = prock.run(python(program), stdin=with_one, reap_orphans=True)
        os.close(with_one)
    finally:
        os.close(quit)
    assert [survivor.comm[:6] for survivor in result.survivors] == ["python"]
    # The pipe's byte, too; less what waking up from a pipe adds to Python's own.
    assert 5_000 <= written(result) - of_nothing() <= 5_010


def test_io_without_waiting_for_orphans() -> None:
    """Then it holds no more than what was waited for, and says so."""
    result = prock.run(python(WRITES + "writes(7)"), reap_orphans=False)
    source = result.source("io")
    assert written(result) - of_nothing() == 7000
    assert source is not None and "orphans" in source.bias


def test_a_large_calling_process_is_in_no_figure() -> None:
    """A process keeps the largest resident set that it ever had when it executes another program."""
    if not prock.run(["true"]).source("largest_process"):
        pytest.skip("the command was not waited for")

    def check() -> None:
        with mmap.mmap(-1, 300 * MIB) as block:
            for at in range(0, len(block), 4096):
                block[at] = 1
            result = prock.run(["true"])
        assert result.largest_process_bytes is not None and result.peak_footprint_bytes is not None
        if prock.engine.active.name == "native":
            assert result.largest_process_bytes < 5 * MIB and result.peak_footprint_bytes < 5 * MIB
        else:
            assert result.largest_process_bytes < 60 * MIB

    in_child(check)


def test_a_large_phase_before_another_program() -> None:
    large = "import os\nblock = bytearray(60 << 20)\nos.execv('/bin/true', ['true'])"
    result = prock.run([*PYTHON, large])
    assert result.largest_process_bytes is not None and result.largest_process_bytes > 60 * MIB
    assert result.peak_footprint_bytes is not None and result.peak_footprint_bytes > 60 * MIB


def test_the_largest_of_several() -> None:
    program = "for size in (10, 50, 20): os.waitpid(child(lambda: bytearray(size << 20)), 0)"
    result = prock.run(python(program))
    assert result.largest_process_bytes is not None
    assert 50 * MIB < result.largest_process_bytes < 80 * MIB


@on_linux_engines
def test_the_peak_of_each_process(engine: Engine) -> None:
    """Between two samples a child has 80 MiB, which the kernel remembers; the root's is known when it has ended."""
    program = (
        "def briefly(): time.sleep(0.4); bytearray(80 << 20); time.sleep(1.6)\n"
        "pid = child(briefly); time.sleep(0.5)\n"
        "os.waitpid(child(lambda: time.sleep(0.4)), 0)  # seen, though it lives for less than a second\n"
        "os.waitpid(pid, 0)"
    )
    with using(engine):
        result = prock.run(python(program), processes=True, interval=0.2)
    peaks = [row.peak_rss_bytes for row in result.processes]
    assert len(peaks) == 3 and None not in peaks
    assert 80 * MIB < (peaks[1] or 0) < 110 * MIB and (peaks[2] or 0) < 30 * MIB
    source = result.source("process_memory")
    assert source is not None and source.bias == "lower bound: as last sampled"


def test_the_peak_of_a_single_process_is_exact() -> None:
    result = prock.run([*PYTHON, "bytearray(70 << 20)"], processes=True)
    assert [row.peak_rss_bytes for row in result.processes] == [result.largest_process_bytes]
    assert result.commands[0].peak_rss_bytes == result.largest_process_bytes
    source = result.source("process_memory")
    assert source is None or "exact" in source.bias


def test_a_root_that_ends_at_once() -> None:
    """What it started is sampled as long as it lives."""
    daemon = f'"{PYTHON[0]}" -I -S -c "import time; block = bytearray(60 << 20); time.sleep(0.5)"'
    result = prock.run([SH, "-c", f"{daemon} & {daemon} &"], reap_orphans=True, wait_all=True, processes=True)
    assert result.samples >= 3 and result.peak_process_count is not None and result.peak_process_count >= 2
    assert result.peak_rss_bytes is not None and result.peak_rss_bytes > 120 * MIB
    assert result.peak_footprint_bytes is not None and 120 * MIB < result.peak_footprint_bytes < 180 * MIB
    assert result.root_cpu_ns is not None and result.cpu_ns is not None and result.root_cpu_ns < result.cpu_ns


def test_children_that_share_memory_until_they_execute() -> None:
    """subprocess starts them by vfork(2)."""
    program = (
        "import subprocess, time\nblock = bytearray(60 << 20)\nend = time.monotonic() + 1\n"
        "while time.monotonic() < end: subprocess.run(['true'], close_fds=False)"
    )
    result = prock.run([*PYTHON, program], interval=0.001)
    assert result.samples >= 100 and result.peak_rss_bytes is not None and result.peak_footprint_bytes is not None
    assert 60 * MIB < result.peak_rss_bytes < 110 * MIB and 60 * MIB < result.peak_footprint_bytes < 90 * MIB


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
@pytest.mark.parametrize(("kind", "expected_mib"), [("private", 90), ("shared", 30), ("cow", 30)])
def test_the_footprint(tmp_path: Path, kind: str, expected_mib: int) -> None:
    """It is looked at after 10 ms, 30 ms ...: until then they have what they hold for as long as it takes to see it."""
    memory = tmp_path / "memory"
    subprocess.run(["gcc", "-std=c11", "-O1", SOURCE, "-o", memory], check=True)
    with prock.Popen([memory, kind, "3", "30", "60000"], stdout=subprocess.PIPE, interval=0.01) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        thread = process._thread
        assert thread is not None
        with thread._lock:
            thread._session.sample()
            thread._session.sample()
        process.kill()
    result = process.finish()
    assert result.peak_footprint_bytes == pytest.approx(expected_mib * MIB, rel=0.12)
    assert (result.peak_footprint_low_bytes or 0) > 0.85 * expected_mib * MIB
    assert (result.peak_footprint_high_bytes or 0) >= (result.peak_footprint_bytes or 0)
    assert result.peak_rss_bytes is not None and result.peak_rss_bytes >= 0.95 * expected_mib * MIB


def test_faults_and_switches() -> None:
    result = prock.run(python("block = bytearray(20 << 20)\nfor _ in range(30): time.sleep(0.0001)"))
    assert result.minor_faults is not None and result.minor_faults >= 20 * MIB // 4096 // 512
    assert result.voluntary_switches is not None and result.voluntary_switches >= 30
    assert result.major_faults is not None and result.involuntary_switches is not None


def test_what_it_is_called(engine: Engine) -> None:
    labels = {"name": "a\udcffb", "\ud800": "x"}
    with using(engine):
        result = prock.run([*PYTHON, "import sys; sys.exit(3)", b"\xff", "\u00e9"], labels=labels)
    assert result.args == (*PYTHON, "import sys; sys.exit(3)", "\udcff", "\u00e9")
    assert result.labels == tuple(labels.items())
    document = json.loads(json.dumps(result.as_document(), ensure_ascii=False, allow_nan=False).encode())
    assert document["args"][-2:] == ["\\xff", "\u00e9"] and document["labels"] == {"name": "a\\xffb", "\\ud800": "x"}
    assert document["returncode"] == 3 and document["schema"] == "prock.run/1"


def test_hostile_names_of_processes(tmp_path: Path) -> None:
    name = tmp_path / os.fsdecode(b") \xff\n(")
    name.symlink_to(sys.executable)
    result = prock.run([name, "-I", "-S", "-c", "import time; time.sleep(0.2)"], processes=True)
    document = json.dumps(result.as_document(), ensure_ascii=False).encode()
    assert b") \\\\xff\\n(" in document
