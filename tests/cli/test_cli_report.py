"""``prock report``: text, pictures and pages of real recordings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from support.browser import CHROMIUM, Page

import prock
from prock.recording.rows import RecordedProcess, RecordedSample
from prock.recording.timeline import timeline
from prock.report.page import Bar, Quality, page

if TYPE_CHECKING:
    from pathlib import Path

PROCK = [sys.executable, "-m", "prock"]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
LOOP = "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done"
HOSTILE = "<script>alert(1)</script>\x1b[31m"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "a.prock"
    command = [
        "sh",
        "-c",
        f"{LOOP}; sh -c '{LOOP}; sleep 0.1' & {LOOP}; wait; {sys.executable} -m prock mark end",
        HOSTILE,
    ]
    subprocess.run([*PROCK, "run", "-q", "-v", "--json", "/dev/null", "--record", str(path), *command], check=True)
    return path


def report(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROCK, "report", *map(str, words)], capture_output=True, text=True, timeout=60)


def test_text_has_the_report_and_curves_in_80_columns(recorded: Path) -> None:
    done = report(recorded)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80 and any("exit code 0" in line for line in lines)
    assert {"CPU", "memory", "processes", "mark"} <= {
        line.split()[0] for line in lines[lines.index("  over time") :][1:]
    }


def test_json_has_the_document_of_the_run(recorded: Path) -> None:
    document = json.loads(report("--json", recorded).stdout)
    assert document["schema"] == "prock.report/1" and document["results"][0]["schema"] == "prock.run/1"
    result = prock.load(str(recorded)).results[0]
    assert result.cpu_ns == document["results"][0]["cpu_ns"]
    assert result.as_document() == document["results"][0]


def test_a_picture_is_well_formed_and_draws_every_step_inside(recorded: Path, tmp_path: Path) -> None:
    assert report(recorded, "-o", tmp_path / "a.svg").returncode == 0
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    polygons = root.findall("{*}polygon")
    assert len(polygons) >= 3
    for polygon in polygons:
        for point in polygon.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width and 0 <= y <= height


def test_a_page_refers_to_nothing_outside_and_cannot_be_forged(recorded: Path, tmp_path: Path) -> None:
    assert report(recorded, "-o", tmp_path / "a.html").returncode == 0
    text = (tmp_path / "a.html").read_text()
    text = text.replace("/*! https://github.com/leeoniya/uPlot (v1.6.32) */", "")  # a comment
    assert "<script>alert" not in text and "\x1b" not in text and "&lt;script&gt;alert" in text
    for outside in ("src=", "href=", "@import", "url("):
        assert outside not in text
    assert text.count("http") == text.count("http://www.w3.org/2000/svg") + text.count("http-equiv")


def test_a_long_command_line_is_cut_in_a_table_and_whole_on_hovering(recorded: Path, tmp_path: Path) -> None:
    assert report(recorded, "-o", tmp_path / "a.html").returncode == 0
    text = (tmp_path / "a.html").read_text()
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    assert max(map(len, cells)) < 300 and any("…" in cell for cell in cells)
    assert re.search(r'<td title="sh -c [^"]{160,}">', text)


def test_a_command_of_unknown_peak_is_not_shown_with_0_bytes() -> None:
    quality = Quality(1, 10**8, 0, 0, 0, 0, 0)
    bars = [
        Bar(10, "known", "known", 0, 0, 10**9, 1000, 2**20),
        Bar(11, "known", "known", 1, 0, 10**9, 1000, None),
        Bar(12, "unseen", "unseen", 1, 0, 10**9, 500, None),
    ]
    text = page("a", {}, timeline([], [], [], [], 10**9, 1), bars, None, "", quality)
    section = text.partition("<h2>By command</h2>")[2].partition("<h2>")[0]
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in section.split("<tr>")[2:]]
    assert [row[1:] for row in rows] == [["2", "1.0M", "known"], ["1", "?", "unseen"]]


@needs_chromium
def test_a_browser_draws_the_figures_of_the_recording_and_asks_for_nothing_else(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    assert report(recorded, "-o", out).returncode == 0
    timeline = prock.load(str(recorded)).timeline()
    with Page(out, tmp_path / "profile") as page:
        page.value(
            "new Promise(done => { const look = () => window.prockPage ? done() : setTimeout(look, 10); look() })"
        )
        assert page.requests == [out.as_uri()] and page.errors == []
        assert page.value("document.querySelectorAll('#plots canvas').length") == len(
            page.value("prockPage.data.panels")
        )
        panels = {panel["heading"]: panel["series"] for panel in page.value("prockPage.data.panels")}
        used_s = sum(map(sum, panels["CPU, cores"])) * page.value("prockPage.data.step")
        assert used_s * 1e9 == pytest.approx(sum(map(sum, timeline.cpu_ns.values())), rel=0.01)
        assert panels["processes"] == [list(timeline.process_count)]
        assert panels["threads"] == [list(timeline.thread_count)]
        peak = max(map(sum, zip(*timeline.memory_bytes.values(), strict=True)))
        assert max(map(sum, zip(*panels["memory"], strict=True))) == peak
        assert page.value("prockPage.data.marks")[0][1] == "end"
        end_s = page.value("prockPage.range()[1]")
        page.value(f"prockPage.zoom({end_s / 4}, {end_s / 2})")
        assert page.value("prockPage.range()") == [end_s / 4, end_s / 2]
        page.value("document.getElementById('reset').click()")
        assert page.value("prockPage.range()") == [0, end_s]
        page.value("document.querySelector('#tree .fold').click()")
        assert page.value("document.querySelectorAll('#tree tbody tr:not(.folded)').length") == 1
        page.value("document.querySelector('#tree .fold').click(); document.querySelector('#tree th').click()")
        cpu = page.value("[...document.querySelectorAll('#tree tbody tr')].map(row => +row.cells[0].dataset.value)")
        assert len(cpu) > 1 and cpu == sorted(cpu, reverse=True)
        search = "document.getElementById('search')"
        page.value(f"{search}.value = 'sleep 0.1'; {search}.dispatchEvent(new Event('input'))")
        shown = page.value(
            "[...document.querySelectorAll('#tree tr[data-text]:not(.hidden)')].map(row => row.dataset.text)"
        )
        assert 0 < len(shown) < len(cpu) and all("sleep 0.1" in text for text in shown)
        assert page.errors == []


@needs_chromium
def test_without_scripts_the_page_shows_a_picture_and_tables(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    assert report(recorded, "-o", out).returncode == 0
    text = re.sub(r"<script>.*?</script>", "", out.read_text(), flags=re.DOTALL)
    out.write_text(text)
    with Page(out, tmp_path / "profile") as page:
        assert page.value("document.getElementById('picture').getBoundingClientRect().height") > 300
        assert page.value("document.getElementById('tools').hidden") is True
        assert page.value("document.querySelectorAll('svg.bars rect').length") > 1


def test_short_lived_processes_share_a_row(tmp_path: Path) -> None:
    path, out = tmp_path / "a.prock", tmp_path / "a.html"
    words = [
        *PROCK,
        "run",
        "-q",
        "--record",
        str(path),
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8; do /bin/true; done; sleep 3",
    ]
    subprocess.run(words, check=True)
    ran = sum(process.comm == "true" for process in prock.load(str(path)).processes)
    if ran < 8:
        pytest.skip("no records of forks and exits here: perf is not permitted")
    assert report(path, "-o", out).returncode == 0
    assert "true: 8 short-lived processes" in out.read_text()


def test_options_that_make_no_sense(recorded: Path, tmp_path: Path) -> None:
    for words, message in (
        (("-o", tmp_path / "a.doc"), "unknown suffix"),
        (("--json", "-o", tmp_path / "a.svg"), "contradict"),
        (("--force",), "--force needs a file to replace"),
    ):
        done = report(recorded, *words)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    done = report(recorded, "-o", tmp_path / "no" / "a.svg")
    assert done.returncode == 1 and "cannot write" in done.stderr


@pytest.mark.parametrize("suffix", [".html", ".svg", ".txt"])
def test_a_file_that_exists_is_replaced_only_by_force(recorded: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"a{suffix}"
    out.write_text("kept")
    done = report(recorded, "-o", out)
    assert done.returncode == 1 and "--force" in done.stderr and len(done.stderr.splitlines()) == 1
    assert out.read_text() == "kept" and list(tmp_path.iterdir()) == [out]
    assert report(recorded, "--force", "-o", out).returncode == 0
    assert report(recorded, "-o", tmp_path / f"new{suffix}").returncode == 0
    assert out.read_text() == (tmp_path / f"new{suffix}").read_text()


def test_a_recording_is_never_replaced_by_its_report(recorded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.prock"
    shutil.copy(recorded, copy)
    os.link(copy, tmp_path / "a.svg")
    before = copy.read_bytes()
    for force in ((), ("--force",)):
        done = report(copy, *force, "-o", tmp_path / "a.svg")
        assert done.returncode == 1 and "write to another file" in done.stderr and len(done.stderr.splitlines()) == 1
        assert copy.read_bytes() == before


def test_a_report_is_written_to_a_pipe(recorded: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "a.svg"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        done = report(recorded, "-o", pipe)
        text, _ = reader.communicate(timeout=60)
    assert done.returncode == 0 and text.startswith("<svg")


def sample(number: int, at_ns: int, *, footprint: int | None = None) -> RecordedSample:
    return RecordedSample(number, 1, at_ns, 0.0, 10, 0, 0, 0, 0, 0, 1, 0, 0, None, 1, None, None, footprint)


def test_cpu_time_counts_once_and_in_the_time_in_which_it_was_used() -> None:
    processes = [
        RecordedProcess(1, 1, 7, 1, "a", None, 0, None, 60, 100),  # from before the recording
        RecordedProcess(2, 1, 8, 7, "b", None, 10, 35, 30, 50),
        RecordedProcess(3, 1, 9, 7, "b", None, 21, 24, 5, None),  # in no sample
    ]
    rows = [(1, 1, 40, 100), (2, 1, 50, 100), (2, 2, 10, 50), (3, 2, 20, 50), (4, 1, 60, 100)]
    rows = [(*row, None, 1, None, None) for row in rows]  # type: ignore[misc]
    samples = [sample(1, 0), sample(2, 20), sample(3, 30), sample(4, 40, footprint=400)]
    made = timeline(processes, samples, rows, [(5, "x")], 40, 4)
    assert made.step_ns == 10 and sum(made.cpu_ns["a"]) == 20 and sum(made.cpu_ns["b"]) == 35
    assert made.cpu_ns["b"][0] == 0 and made.marks == ((5, "x"),)
    assert made.memory_bytes["a"] == (100, 100, 100, 400) and made.memory_bytes["b"] == (0, 0, 50, 0)
