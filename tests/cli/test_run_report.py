"""The report of ``prock run``, of runs that are made up: texts as people read them."""

from __future__ import annotations

from typing import Any

import pytest
from support.made_up_runs import MIB, MS, S, result, survivors

from prock.accounting.cgroup import UNLESS_LEFT
from prock.cli.run import repeat
from prock.report.layout import Style, quote
from prock.report.text import accuracy, ending, headline, run_report
from prock.results import LargeProcess, LimitExceeded, ProcessUsage, Source, Survivor
from prock.runner.limits import exceeded_budgets
from prock.runner.result import RunResult

PLAIN = Style()
HOSTILE = "a\n\x1b[31mb\u202e\udcff"
SAFE = r"a\n\x1b[31mb\u202e\xff"


def text(made: RunResult, style: Style = PLAIN) -> str:
    return run_report(made, style)


def test_a_report() -> None:
    assert (
        text(result())
        == """\
prock: make -j2: exit code 0
  time      12.413s elapsed, 21.370s CPU (user 18.900s, system 2.470s), 1.72
            cores busy
  memory    812M peak of the whole tree, 340M largest process
  disk      17.0M read, 256M written, 3 major faults
  tree      412 processes, at most 9 at once, with 12 threads
  accuracy  memory: lower bound: looked at least every 0.1s (samples)"""
    )


def test_the_slowest_and_the_largest_processes() -> None:
    make, cc1 = result().processes
    lines = text(result(slowest=(cc1, make._replace(comm="c" * 90)), largest=(make,))).split("\n")
    assert lines[6:9] == [
        "  slowest    2.000s CPU  cc1",
        "              812ms CPU in 12.400s  " + "c" * 41 + "...",
        "  largest     30.0M  make",
    ]
    assert "  largest     30.0M  make" in text(result(largest=(make,)), Style(width=40)).split("\n")


SECRET = ("/usr/bin/python3", "/srv/jobs/nightly/job.py", "--token", "hunter2")


def test_command_lines_are_shown_without_secrets_and_cut() -> None:
    make, cc1 = result().processes
    job = cc1._replace(comm="python3", cmdline=SECRET)
    large = LargeProcess(7, "python3", MIB, S, SECRET)
    exceeded = LimitExceeded("cpu", S, 2 * S, S, MIB, 1, 2 * S, (large,))
    living = Survivor(9, "python3", S, None, (*SECRET, *["x" * 9] * 9))
    made = result(slowest=(job, make), largest=(job,), limit_exceeded=exceeded, survivors=(living,), processes=(job,))
    lines = text(made, Style(width=90)).split("\n")
    assert "  slowest    2.000s CPU  python3 /srv/jobs/nightly/job.py --token ***" in lines
    assert "            7 python3 /srv/jobs/nightly/job.py --token ***: 1.0M, 1.000s CPU" in lines
    assert "            9 python3 .../job.py --token *** xxxxxxxxx xxxxxxxxx xxxxxxxxx xxxx...: 1.000s" in lines
    assert "  slowest    2.000s CPU  python3 .../job.p..." in text(made, Style(width=45)).split("\n")
    assert "hunter2" not in text(made, Style(verbose=2))
    row = next(line for line in text(made, Style(verbose=2, width=80)).split("\n") if line.startswith("    4712 "))
    assert row == "    4712     -  100ms    -  2.000s         -  python3 .../job.py --token ***"


def test_a_report_of_what_is_not_known() -> None:
    unknown: dict[str, Any] = dict.fromkeys(
        "returncode cpu_ns user_ns system_ns peak_footprint_bytes peak_rss_bytes largest_process_bytes disk_io "
        "major_faults processes_started peak_process_count peak_thread_count".split()
    )
    made = result(**unknown, commands=(), sources=(), missing=("No sample was taken.",))
    assert (
        text(made)
        == """\
prock: make -j2: exit code unknown
  time      12.413s elapsed, CPU unknown
  memory    peak unknown
  disk      unknown
  tree      number of processes unknown
  accuracy  No sample was taken."""
    )


def test_survivors_are_named_but_not_all() -> None:
    lines = text(result(survivors=survivors(7))).split("\n")
    assert lines[6:13] == [
        "  still running: 7 processes, 21.0ms CPU so far",
        "            106 daemon6: 6.00ms, 6.0M",
        "            105 daemon5: 5.00ms, 5.0M",
        "            104 daemon4: 4.00ms, 4.0M",
        "            103 daemon3: 3.00ms, 3.0M",
        "            102 daemon2: 2.00ms, 2.0M",
        "            and 2 more",
    ]
    assert "            100 daemon0: 0.00ms" in text(result(survivors=survivors(7)), Style(verbose=2))


def test_the_long_form() -> None:
    lines = text(result(), Style(verbose=1)).split("\n")
    assert (
        "\n".join(lines[9:])
        == """\
  by command
        CPU  PROCESSES  PEAK RSS  COMMAND
    18.000s        200      340M  cc1
     3.00ms         12         -  sh
  by process
     PID  PPID   START      END     CPU  PEAK RSS  COMMAND
    4711  4000  0.00ms  12.400s   812ms     30.0M  make
    4712     -   100ms        -  2.000s         -  cc1
  figures
    123,456  minor faults
          3  major faults
      1,234  voluntary switches
         56  involuntary switches
        430  threads started
       800M  peak of the tree at least, at one instant
       900M  peak of the tree at most, in a sample
       1.1G  peak sum of RSS
       1.3G  peak of the cgroup, page cache included
      812ms  CPU of the root process alone
       900M  read by calls
       300M  written by calls
        124  samples of the tree
      103ms  longest time between two samples
  CPU by source
        CPU  RATIO  BY
    21.370s  1.000  cgroup (taken)
    21.301s  0.997  perf
  source and bias of each figure
    cpu     cgroup   exact
    memory  samples  lower bound: looked at least every 0.1s"""
    )


def test_rows_are_limited_unless_everything_is_asked_for() -> None:
    rows = tuple(ProcessUsage(pid, 1, f"p{pid}", pid * MS, None, 0, None) for pid in range(1, 31))
    short = text(result(processes=rows), Style(verbose=1))
    assert "and 20 more (-vv: all)" in short
    assert " p30" in short and " p1\n" not in short
    assert " p1\n" in text(result(processes=rows), Style(verbose=2))


def test_verify_compares_the_sources_alone() -> None:
    lines = text(result(), Style(verify=True)).split("\n")
    assert lines[9:] == [
        "  CPU by source",
        "        CPU  RATIO  BY",
        "    21.370s  1.000  cgroup (taken)",
        "    21.301s  0.997  perf",
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"returncode": 3}, "exit code 3"),
        ({"returncode": -11}, "killed by SIGSEGV"),
        ({"returncode": -15, "timed_out": True}, "timed out, killed by SIGTERM"),
        ({"returncode": None}, "exit code unknown"),
        ({"returncode": None, "args": ()}, "ended"),
        ({"returncode": None, "survivors": survivors(1), "pid": 100}, "still running"),
    ],
)
def test_how_it_ended(changed: dict[str, Any], words: str) -> None:
    assert ending(result(**changed)) == words


def test_labels_are_in_the_headline() -> None:
    made = result(labels=(("branch", "main"), ("job", "7")))
    assert headline(made, PLAIN) == ["prock: make -j2: exit code 0 [branch=main] [job=7]"]
    made = result(labels=(("branch", "b" * 60),))
    assert headline(made, PLAIN) == ["prock: make -j2: exit code 0", f"  [branch={'b' * 60}]"]


def test_long_commands_are_cut() -> None:
    (first,) = headline(result(args=("echo", "x" * 500)), PLAIN)
    assert first.endswith("x...: exit code 0") and len(first) == 80
    (first,) = headline(result(args=("echo", "x" * 500)), Style(width=50))
    assert first.endswith("x...: exit code 0") and len(first) == 50
    assert "x" * 110 in "".join(line.strip() for line in headline(result(args=("x" * 500,)), Style(verbose=1)))


def test_a_report_is_as_wide_as_it_may_be() -> None:
    made = result(missing=("word " * 40 + "x" * 200,), survivors=survivors(7))
    for columns in (40, 80, 120):
        lines = text(made, Style(width=columns)).split("\n")
        assert max(map(len, lines)) == columns
        assert "".join(lines).replace(" ", "").count("word") == 40


def test_only_colours_differ_on_a_terminal() -> None:
    from support.command_line import COLOUR

    made = result(returncode=1, survivors=survivors(2))
    coloured = text(made, Style(colour=True, verbose=1))
    assert "\x1b[31m" in coloured
    assert COLOUR.sub("", coloured) == text(made, Style(verbose=1))


@pytest.mark.parametrize("style", [PLAIN, Style(verbose=2, verify=True)])
def test_nothing_that_strangers_chose_breaks_a_line(style: Style) -> None:
    made = result(
        args=(HOSTILE,),
        labels=((HOSTILE, HOSTILE),),
        commands=tuple(usage._replace(comm=HOSTILE) for usage in result().commands),
        processes=tuple(usage._replace(comm=HOSTILE) for usage in result().processes),
        survivors=tuple(survivor._replace(comm=HOSTILE) for survivor in survivors(3)),
        missing=(HOSTILE,),
        sources=(Source("cpu", HOSTILE, HOSTILE), Source("memory", "samples", "exact")),
    )
    lines = text(made, style).split("\n")
    assert all(line.isprintable() for line in lines)
    assert sum(SAFE in line for line in lines) >= 6
    assert all(line.isprintable() for line in repeat.repeat_report([made, made], 2, style).split("\n"))


def test_arguments_are_quoted_as_one_would_type_them() -> None:
    assert quote(["sh", "-c", "it's 1 < 2", "", "a=b"]) == "sh -c 'it'\\''s 1 < 2' '' a=b"


def test_accuracy_is_reported_where_it_matters() -> None:
    exact = Source("cpu", "cgroup", UNLESS_LEFT)
    sampled = Source("memory", "samples, pss", "estimate: as sampled; without what is swapped out")
    assert accuracy(result(sources=(exact, sampled)), PLAIN) == []
    bound = Source("memory", "ru_maxrss", "lower bound: the largest process alone")
    assert accuracy(result(sources=(exact, bound), processes_started=1), PLAIN) == []
    perf = exact._replace(source="perf", bias="lower bound: at most 1 % less")
    assert accuracy(result(sources=(perf, bound)), PLAIN) == [
        "CPU: lower bound: at most 1 % less (perf)",
        "memory: lower bound: the largest process alone (ru_maxrss)",
    ]
    assert accuracy(result(sources=(exact, sampled)), Style(verbose=1)) == [
        f"CPU: {UNLESS_LEFT} (cgroup)",
        "memory: estimate: as sampled; without what is swapped out (samples, pss)",
        "prock itself used 93.0ms CPU",
    ]


def test_several_runs() -> None:
    runs = [result(wall_ns=wall * S, returncode=code) for wall, code in ((1, 0), (2, 3), (3, 4))]
    lines = repeat.repeat_report(runs, 5, PLAIN).split("\n")
    assert lines[:3] == [
        "prock: make -j2: 3 of 5 runs, 2 failed (the first, number 2, with exit code 3)",
        "     MEAN   STDEV             MIN      MAX  FIGURE",
        "   2.000s  1.000s  50.0%   1.000s   3.000s  elapsed",
    ]
    assert "     812M      0B   0.0%     812M     812M  peak of the tree" in lines


def test_runs_of_which_some_know_more() -> None:
    spreads = repeat.summarise([result(cpu_ns=None), result(cpu_ns=4), result(cpu_ns=8)])
    assert spreads["cpu_ns"] == repeat.Spread(2, 6.0, 8**0.5, 4, 8)
    assert "cpu_ns" not in repeat.summarise([result(cpu_ns=None)])
    assert repeat.summarise([result()])["cpu_ns"].stdev is None


def _budgets(cpu: int | None = None, memory: int | None = None, wall: int | None = None) -> tuple[str, ...]:
    return exceeded_budgets([result(), result(peak_footprint_bytes=900 * MIB)], cpu, memory, wall)


def test_budgets() -> None:
    assert _budgets() == ()
    assert _budgets(cpu=22 * S, memory=900 * MIB, wall=12_413 * MS) == ()
    assert _budgets(cpu=21 * S, memory=850 * MIB, wall=12_400 * MS) == (
        "CPU time 21.370s, the limit is 21.000s",
        "peak memory 900M, the limit is 850M",
        "elapsed time 12.413s, the limit is 12.400s",
    )
    made = RunResult(*result(peak_footprint_bytes=900 * MIB))
    assert made.exceeded(max_memory_bytes=850 * MIB) == ("peak memory 900M, the limit is 850M",)
    assert made.exceeded(max_memory_bytes=900 * MIB, max_cpu_ns=22 * S, max_wall_ns=13 * S) == ()


def test_what_is_unknown_is_above_its_budget() -> None:
    said = exceeded_budgets([result(peak_footprint_bytes=None)], None, 2**40, None)
    assert said == ("peak memory is unknown, the limit is 1.0T",)


def test_long_commands_of_one_program_are_shown_by_the_words_in_which_they_differ() -> None:
    words = ("cc1", *(f"-I/include/{number}" for number in range(9)))
    rows = tuple(
        ProcessUsage(pid, 1, "cc1", 9 * MS - pid, None, 0, 9 * MS, (*words, f"src/{pid}.c")) for pid in (1, 2, 3)
    )
    lines = text(result(slowest=rows)).splitlines()
    assert [line.split()[-1] for line in lines if "cc1 ..." in line] == ["src/1.c", "src/2.c", "src/3.c"]
