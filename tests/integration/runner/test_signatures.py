"""What `help` and `inspect.signature` list of `run`, `arun` and `Popen`, and a misspelt option."""

from __future__ import annotations

import inspect
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

import prock

OWN = {"accounting", "interval", "pss", "processes", "labels", "limits", "reap_orphans", "die_with_caller", "record"}


@pytest.mark.parametrize("function", [prock.run, prock.arun, prock.Popen])
def test_all_options_are_listed(function: Callable[..., Any]) -> None:
    known = inspect.signature(function).parameters
    of_subprocess = inspect.signature(subprocess.Popen).parameters
    assert OWN | of_subprocess.keys() <= known.keys()
    assert all(known[name].default == of_subprocess[name].default for name in of_subprocess)
    assert not [name for name, one in known.items() if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]


@pytest.mark.parametrize("function", [prock.run, prock.arun, prock.Popen])
def test_a_misspelt_option_is_an_error_of_the_function_that_was_called(function: Callable[..., Any]) -> None:
    name = "Popen.__init__" if function is prock.Popen else function.__name__
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'tiemout'"):
        function(["true"], tiemout=1)


def test_options_reach_the_command() -> None:
    result = prock.run("echo $A; pwd", shell=True, env={"A": "x"}, cwd="/", stdout=subprocess.PIPE, text=True)
    assert result.stdout == "x\n/\n"
    with prock.Popen(["cat"], -1, None, subprocess.PIPE, subprocess.PIPE) as process:
        assert process.communicate(b"hello") == (b"hello", None)
    with pytest.raises(ValueError, match="preexec_fn is not supported"):
        prock.run(["true"], preexec_fn=print)


def test_a_sample_of_a_running_command() -> None:
    with prock.Popen(["sh", "-c", "sleep 100 & read line; kill $!; :"], stdin=subprocess.PIPE) as process:
        while (sample := process.sample()) is None or sample.process_count < 2:
            pass
        assert sample.root_pid == process.pid and {row.pid for row in sample.members} >= {process.pid}
        assert sample.time is not None and abs(sample.time - time.time()) < 60
        process.communicate(b"\n")
        result = process.finish()
        assert process.sample() is None and result.samples >= 1
    assert result.cpu_seconds == (result.cpu_ns or 0) / 1e9 and result.wall_seconds == result.wall_ns / 1e9
    assert result.peak_mib is not None and result.peak_mib == (result.peak_footprint_bytes or 0) / 2**20
