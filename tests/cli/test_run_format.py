"""``--format`` and ``-p``, beside GNU time."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.command_line import TIMEOUT_S, prock
from support.made_up_runs import MS, S, result
from support.run_engines import on_both

from prock.report.gnu_time import FORMS, GNU, ending, fill, template_of

pytestmark = on_both

GNU_TIME = Path("/usr/bin/time")
needs_gnu_time = pytest.mark.skipif(not GNU_TIME.exists(), reason="GNU time is not installed")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("%e %E %U %S %P", "12.41 0:12.41 18.90 2.47 172%"),
        ("%M %F %R %I %O", "348160 3 123456 34816 524288"),
        ("%x %C %c %w", "0 make -j2 56 1234"),
        ("%D%K%W%X%k%p%r%s%t", "000000000"),
        (r"a\tb\nc\\d%%", "a\tb\nc\\d%"),
        ("%{cpu} %{user} %{system} %{wall}", "21.370 18.900 2.470 12.413"),
        ("%{cores} %{peak} %{processes} %{command}", "1.72 812M 412 make -j2"),
        ("%{peak_footprint_bytes} %{disk_io.read_bytes} %{signal}", "851443712 17825792 ?"),
        ("%{accounting} %{cpu_by_source.perf} %{timed_out}", "cgroup 21301000000 false"),
        ("%{labels.job}", "?"),
        ("%a %", "?a ?"),
        ("\\q \\", "?\\q ?\\"),
        ("%{cpu", "?{cpu"),
        ("", ""),
    ],
)
def test_fields(template: str, text: str) -> None:
    assert fill(template, result()) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0:00.00"),
        (59_999 * MS, "0:59.99"),
        (61_500 * MS, "1:01.50"),
        (3600 * S, "1:00:00"),
        (90_061 * S, "25:01:01"),
    ],
)
def test_elapsed(ns: int, text: str) -> None:
    assert fill("%E", result(wall_ns=ns)) == text


def test_unknown_is_not_zero() -> None:
    unknown: dict[str, Any] = dict.fromkeys(
        "cpu_ns user_ns system_ns largest_process_bytes disk_io major_faults minor_faults voluntary_switches "
        "involuntary_switches returncode peak_footprint_bytes processes_started".split()
    )
    made = result(**unknown)
    assert fill("%U%S%M%I%O%F%R%c%w%x%{cpu}%{peak}%{processes}%{cores}", made) == 14 * "?"
    assert fill("%P", made) == "?%"


def test_labels_have_names_of_their_own() -> None:
    assert fill("%{labels.job}", result(labels=(("job", "a\x1b[31m"),))) == r"a\x1b[31m"


def test_a_name_that_no_figure_has_is_refused_before_the_run() -> None:
    for template in ("%e %{cpu} %{peak_rss_bytes} %%{nothing}", "\\t"):
        assert template_of(template) == template
    with pytest.raises(ValueError, match="'cpus'"):
        template_of("%e %{cpus}")
    done = prock("run", "-f", "%{cpus}", "true")
    assert (done.returncode, done.stderr[:46]) == (2, "prock run: unknown figure 'cpus': use a key of")


@needs_gnu_time
@pytest.mark.parametrize(
    "template",
    ["%x|%C|%Z|%k%D%K%W%X%p%r%s%t", r"a\tb\\c\qd", "%%|%a|%j", "%I|%O|%F", "one\n%x"],
)
@pytest.mark.parametrize("words", [["true"], ["sh", "-c", "exit 3", "a", "b  c"]])
def test_it_is_what_gnu_time_prints(template: str, words: list[str]) -> None:
    theirs = subprocess.run(
        [str(GNU_TIME), "-f", template, *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    ours = prock("run", "-f", template, *words)
    assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)


@pytest.mark.parametrize("text", ["", "json", "GNU", "cpu"])
def test_an_unknown_form_is_refused_before_the_run(text: str, tmp_path: Path) -> None:
    done = prock("run", "-f", text, "touch", tmp_path / "ran")
    assert (done.returncode, done.stderr) == (
        2,
        f"prock run: unknown format {text!r}: use gnu, posix, or a template with % or \\\n",
    )
    assert not (tmp_path / "ran").exists()


@needs_gnu_time
@pytest.mark.parametrize("words", [["true"], ["sh", "-c", "exit 3"]])
def test_the_gnu_form_has_the_lines_of_gnu_time(words: list[str]) -> None:
    theirs = subprocess.run(
        [str(GNU_TIME), "-v", *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    ours = prock("run", "-f", "gnu", *words)
    assert ours.returncode == theirs.returncode
    assert [line.rsplit(": ", 1)[0] for line in ours.stderr.splitlines()] == [
        line.rsplit(": ", 1)[0] for line in theirs.stderr.splitlines()
    ]
    same = ("Command being timed", "Page size", "Exit status", "Swaps", "Signals delivered")
    for line in theirs.stderr.splitlines():
        assert not line.strip().startswith(same) or line in ours.stderr.splitlines()


@needs_gnu_time
def test_a_signal_is_said_as_gnu_time_says_it() -> None:
    words = ["sh", "-c", "kill -9 $$"]
    theirs = subprocess.run(
        [str(GNU_TIME), "-f", "%C", *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    ours = prock("run", "-f", "%C", *words)
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr) == (137, ours.stderr)


def test_portable_format() -> None:
    done = prock("run", "-p", "true")
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["real", "user", "sys"]
    assert fill(FORMS["posix"], result()) == "real 12.41\nuser 18.90\nsys 2.47"


def test_a_file_for_it_that_is_added_to(tmp_path: Path) -> None:
    file = tmp_path / "times"
    for code in (0, 3):
        done = prock("run", "-f", "%x", "-o", file, "-a", "sh", "-c", f"exit {code}")
        assert (done.returncode, done.stderr) == (code, "")
    assert file.read_text() == "0\nCommand exited with non-zero status 3\n3\n"


def test_every_field_has_an_example_above() -> None:
    assert set(GNU) == set("CEFIMOPRSUZcewx")
    assert ending(result()) is None
