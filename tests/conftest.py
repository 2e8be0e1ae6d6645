"""Every test that asks for `engine` runs once on each engine; the others run on whichever is active."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from support import leftovers, processes, run_engines
from support.engines import ENGINES, KNOWS, Knows

import prock
from prock.engine import open_engine, using

if TYPE_CHECKING:
    from prock.engine.protocol import Engine


def pytest_configure() -> None:
    """In the background, or under nohup, this starts with signals ignored, and so would all that the tests start.
    A signal that is caught is as ever for these; the tests themselves go on as if they ignored it."""
    for name in ("SIGHUP", "SIGINT", "SIGQUIT"):
        number = getattr(signal, name, None)  # not all systems have them
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)


def pytest_report_header() -> str:
    return f"prock {prock.__version__} from {prock.__path__[0]}, engines: {', '.join(ENGINES)}"


@pytest.fixture(autouse=True)
def kill_leftovers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kill and reap what a test leaves running, also when it fails, so that no later test sees it."""
    if sys.platform != "linux":
        yield
        return
    mark = f"{os.getpid()}-{request.node.nodeid}"
    monkeypatch.setenv(leftovers.MARK, mark)
    before, failed = leftovers.children(), request.session.testsfailed
    yield
    left = leftovers.children() - before
    if left or request.session.testsfailed > failed:
        leftovers.kill_all(left, mark)


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(engine_name: str) -> Iterator[Engine]:
    """The active engine, for the time of the test."""
    with using(open_engine(engine_name)) as active:
        yield active


@pytest.fixture
def knows(engine_name: str) -> Knows:
    """What that engine can know."""
    return KNOWS[engine_name]


@pytest.fixture
def spawn() -> Iterator[processes.Spawn]:
    """Start Python programs that end, with all they started, when the test does."""
    spawned = processes.Spawn()
    yield spawned
    spawned.end()


@pytest.fixture
def puppet(spawn: processes.Spawn) -> processes.Program:
    return spawn(processes.PUPPET).is_ready()


@pytest.fixture
def sampler(puppet: processes.Program, engine: Engine) -> Iterator[prock.TreeSampler]:
    """Of the puppet, on each engine."""
    with prock.TreeSampler(puppet.pid, io=True, accounting="ledger") as sampler:
        yield sampler


@pytest.fixture
def sleeping_pid() -> Iterator[int]:
    """A child's, which does nothing."""
    with subprocess.Popen(["sleep", "1000000"]) as process:
        yield process.pid
        process.kill()


@pytest.fixture
def dead_pid() -> int:
    """A pid that was a process a moment ago, and is none now."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@pytest.fixture(params=[run_engines.BEST, run_engines.PORTABLE])
def command_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The engine of commands that are run and of ``prock`` as it is called, in this process and in others."""
    name = str(request.param)
    if name == run_engines.BEST:
        yield name
        return
    reason = run_engines.reason_against(request.node.name.replace(f"{name}-", "", 1), request.node.originalname)
    if reason is not None:
        pytest.skip(reason)
    monkeypatch.setenv("PROCK_ENGINE", name)
    with using(open_engine(name)):
        yield name
