"""Every single object that the core in C makes is one for which there is no memory, once: it says so, nothing is left
behind, and the next call is as ever."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator

import pytest
from support import leaking
from support.engines import ENGINES
from support.leaking import Case

if "native" not in ENGINES:
    pytest.skip("there is no core", allow_module_level=True)

from support import leaking_core

_testcapi = pytest.importorskip("_testcapi", reason="not every Python has its own tests' module")

MOST, PER_PROCESS = 1000, 20
"""More objects than any call makes: a scan makes some for each process of the machine."""
WITHOUT = 20
"""Calls in a row that want for nothing: then there are no more objects to make."""
ROUNDS = 30
"""At most: caches of Python itself fill for some rounds, a leak grows in each."""
OF_PYTHON = {"track: its life", "sample: one ends", "adopt", "drain"}
"""They do several things one after the other: one that is left out by a failure is not the core's to clear up."""


@pytest.fixture
def roots() -> Iterator[leaking_core.Roots]:
    roots = leaking_core.Roots()
    yield roots
    roots.close()


def starve(case: Case) -> int:
    """How often there was no memory."""
    call, known = case.call, case.raises or ()
    starved = fed = 0
    most = MOST + PER_PROCESS * sum(name.isdigit() for name in os.listdir("/proc"))
    for n in range(most):
        lacked = False
        _testcapi.set_nomemory(n, n + 1)
        try:
            call()
        except MemoryError:
            lacked = True
        except SystemError as error:
            # Of 3.11 itself: without memory for the frame of a function of Python it forgets to say so.
            if not str(error).startswith("<function "):
                raise
            lacked = True
        except known:
            pass
        finally:
            _testcapi.remove_mem_hooks()
        starved += lacked
        fed = 0 if lacked else fed + 1
        if fed == WITHOUT:
            return starved
    raise AssertionError(f"{case.name}: more than {most} objects")


def hold(cases: list[Case]) -> None:
    leaks = []
    total = 0
    blocks, descriptors = [0] * ROUNDS, [0] * ROUNDS
    gc.freeze()
    for case in (case for case in cases if case.name not in OF_PYTHON):
        starve(case)
        before = leaking.what_is_held()
        for i in range(ROUNDS):
            total += starve(case)
            after = leaking.what_is_held()
            blocks[i], descriptors[i] = after.blocks - before.blocks, after.descriptors - before.descriptors
            before = after
            if min(blocks[: i + 1]) <= 0 and min(descriptors[: i + 1]) <= 0:
                break
        else:
            leaks.append(f"{case.name}: {blocks} objects, {descriptors} descriptors")
        leaking.repeat(case, 1)
    gc.unfreeze()
    assert not leaks, "\n".join(leaks)
    assert total > len(cases)


Cases = Callable[[int, int, leaking_core.Roots], list[Case]]


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(leaking_core.proc_cases, id="proc"),
        pytest.param(lambda pid, gone, _: leaking_core.keep_cases(pid, gone), id="keep"),
        pytest.param(lambda *_: leaking_core.record_cases(), id="records"),
    ],
)
def test_the_core(cases: Cases, sleeping_pid: int, dead_pid: int, roots: leaking_core.Roots) -> None:
    hold(cases(sleeping_pid, dead_pid, roots))
