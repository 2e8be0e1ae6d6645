"""Every single question to the kernel goes wrong once: it fails, or somebody dies or is replaced right before it."""

from __future__ import annotations

import pytest
from support.chaos.calls_with_faults import ERRORS
from support.chaos.fault_driver import KILLS, REPLACES, Director
from support.chaos.pid_namespace import in_cell

pytestmark = pytest.mark.usefixtures("programs")

PORTABLE_LACKS = {"all": "the shim is in between the engines of Linux and the kernel; psutil asks in ways of its own"}


def ask(engine_name: str, scenario: str, *, reaps: bool = True) -> None:
    in_cell(lambda: Director(reaps=reaps).direct(engine_name, scenario))


@pytest.mark.parametrize("error", ERRORS)
def test_it_fails(engine_name: str, error: str) -> None:
    """An answer, or an exception that says why there is none; and whoever goes on asking is told the truth."""
    ask(engine_name, f"error-{error}")


def test_there_is_no_memory_for_it(engine_name: str) -> None:
    """Of the core, once at every place where it wants some; Python's own are another matter."""
    if engine_name != "native":
        pytest.skip("there is no core")
    ask(engine_name, "error-memory")


@pytest.mark.parametrize("who", KILLS)
def test_somebody_dies_right_before_it(engine_name: str, who: str) -> None:
    """Never an exception: None, or what is left."""
    ask(engine_name, f"kill-{who}")


@pytest.mark.parametrize("who", KILLS)
def test_somebody_is_a_zombie_right_before_it(engine_name: str, who: str) -> None:
    ask(engine_name, f"zombie-{who}", reaps=False)


@pytest.mark.parametrize("who", REPLACES)
def test_somebody_else_has_the_pid_right_before_it(engine_name: str, who: str) -> None:
    """Whoever takes over a pid is nobody's member, and nothing of what he used counts."""
    ask(engine_name, f"replace-{who}")
