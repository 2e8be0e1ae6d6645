"""Commands are run, and the command line called, on two kinds of engines: this system's best, and the portable one.

A module of tests with ``pytestmark = on_both`` is run on both. What the portable engine can't do, though all else
holds, is said here and nowhere else: these tests are not run on it.
"""

from __future__ import annotations

import pytest

on_both = pytest.mark.usefixtures("command_engine")
BEST, PORTABLE = "best", "portable"

ORPHAN = "it is orphaned before the first look, and nobody but Linux hands orphans to who started the command"
LINUX_FILES = "files and mounts of Linux are what it is about"
STARTS = "what psutil needs is imported there, and the standard library starts the command"
LAUNCHER = "the launcher is what it is about"
NEVER_SEEN = "it ends before the first look, and there is nothing to ask about its I/O then"
SENDER = "handlers of Python's are not told who sent a signal, nor that there were two"

PORTABLE_CANNOT = {
    "test_what_is_left_is_named_and_lives": ORPHAN,
    "test_start_imports_nothing_dear": STARTS,
    "test_the_report_names_the_sender": SENDER,
    "test_it_is_what_gnu_time_prints[words0-%I|%O|%F]": NEVER_SEEN,
    "test_it_is_what_gnu_time_prints[words1-%I|%O|%F]": NEVER_SEEN,
}
"""Names of tests, or of one with its parameters, and why."""


def reason_against(name: str, original: str) -> str | None:
    return PORTABLE_CANNOT.get(name) or PORTABLE_CANNOT.get(original)
