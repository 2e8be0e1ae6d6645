from __future__ import annotations

import subprocess

import prock


def test_sorts(cost: prock.Monitor) -> None:
    done = subprocess.run(
        ["sort"], input="b\na\n", capture_output=True, text=True, check=True
    )
    assert done.stdout == "a\nb\n"


def test_does_not_fork_without_end(at_most_64_processes: None) -> None:
    subprocess.run(["sh", "-c", "for i in 1 2 3; do sort /dev/null; done"], check=True)


def test_a_command_stays_small() -> None:
    result = prock.run(["sort", "/dev/null"])
    assert (
        result.largest_process_bytes is not None
        and result.largest_process_bytes < 50 << 20
    )
