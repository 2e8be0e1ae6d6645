"""``prock doctor``: what prock can measure on this machine, and what would enable the rest.

JSON (``prock.doctor/1``): `version`, `works` (whether the engine works) and `checks`, each with a stable `name`, a
`status` (``ok``, ``limited`` or ``no``), and `finding` and `remedy` (null if nothing is missing), texts for people.
"""

from __future__ import annotations

import textwrap

import prock
from prock import engine
from prock.cli import output
from prock.cli.doctor.checks import LIMITED, NO, OK, Check
from prock.errors import NotSupported
from prock.report.layout import count, decode_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

EPILOG = """\
Changes nothing and writes nothing. "limited" is measured, but slower, coarser
or not for every process; "no" is not available. The exit code is 0, or 1 if the engine does not work.

example:
  prock doctor --json | python3 -m json.tool
"""

TITLES = {
    "python": "Python",
    "cpu_clocks": "CPU clocks",
    "task_io": "I/O counters",
    "perf_task_clock": "perf task-clock",
    "ebpf": "eBPF records",
    "cpu_times": "CPU times",
    "waited_children": "ended children",
    "shares": "PSS",
    "run_accounting": "prock run",
}
"""Of the checks whose title is not their name."""
COLOURS = {OK: "green", LIMITED: "yellow", NO: "red"}
TITLE_WIDTH = max(map(len, TITLES.values()))


def configure(parser: argparse.ArgumentParser) -> None:
    """Only ``--json``."""


def run(arguments: argparse.Namespace) -> int:
    try:
        checks = [check() for check in doctor_checks()]
    except NotSupported:  # the engine is another PID namespace's
        with engine.using(engine.open_chosen()):
            checks = [check() for check in doctor_checks()]
    works = all(check.status != NO for check in checks if check.name == "engine")
    if arguments.json:
        output.write_json(
            {
                "schema": "prock.doctor/1",
                "version": prock.__version__,
                "works": works,
                "checks": [{**check._asdict(), "finding": decode_bytes(check.finding)} for check in checks],
            }
        )
    else:
        screen = output.Screen()
        lines = [line for check in checks for line in _lines(check, screen)]
        output.write([screen.paint(f"prock {prock.__version__}", "bold"), *lines, "", _summary(checks)])
    return 0 if works else 1


def doctor_checks() -> Sequence[Callable[[], Check]]:
    if not engine.active.reads_proc:
        from prock.cli.doctor import portable

        return portable.CHECKS
    from prock.cli.doctor import linux

    return linux.CHECKS


def _lines(check: Check, screen: output.Screen) -> list[str]:
    status = screen.paint(f"{check.status:7}", COLOURS[check.status])
    indent = " " * (7 + 2 + TITLE_WIDTH + 2)
    finding = _wrapped(screen.clean(check.finding), len(indent), screen)
    remedy = [] if check.remedy is None else _wrapped(f"to enable: {check.remedy}", len(indent), screen)
    title = TITLES.get(check.name, check.name.replace("_", " "))
    lines = [f"{status}  {title:{TITLE_WIDTH}}  {finding[0]}", *(indent + line for line in finding[1:])]
    return lines + [indent + screen.paint(line, "dim") for line in remedy]


def _wrapped(text: str, indent: int, screen: output.Screen) -> list[str]:
    if screen.width is None:
        return [text]
    return textwrap.wrap(text, max(20, screen.width - indent), break_on_hyphens=False) or [""]


def _summary(checks: list[Check]) -> str:
    words = {OK: OK, LIMITED: LIMITED, NO: "not available"}
    numbers = [f"{sum(check.status == status for check in checks)} {word}" for status, word in words.items()]
    return f"{count(len(checks), 'check')}: {', '.join(numbers)}"
