"""Choosing an engine, and that the one in C is there where it can be."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.engines import ENGINES, on_linux_engines

import prock
from prock.engine import open_engine, using


def chosen(**environment: str) -> subprocess.CompletedProcess[str]:
    program = "import prock.engine; print(prock.engine.active.name)"
    env = {name: value for name, value in os.environ.items() if name != "PROCK_ENGINE"} | environment
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)


def test_the_native_engine_is_there_where_it_can_be_compiled() -> None:
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if shutil.which("gcc") is None or not header.exists():
        pytest.skip("there is no compiler, or no Python.h")
    assert ENGINES == ["native", "pure", "portable"]


def test_the_best_engine_is_chosen_unless_one_is_asked_for() -> None:
    assert chosen().stdout.strip() == ENGINES[0]
    assert chosen(PROCK_ENGINE="").stdout.strip() == ENGINES[0]
    for name in ENGINES:
        assert chosen(PROCK_ENGINE=name).stdout.strip() == name


def test_an_engine_that_does_not_exist_is_said_when_it_is_needed() -> None:
    done = chosen(PROCK_ENGINE="typo")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith("an engine called 'typo'; there are native, pure and portable (set by PROCK_ENGINE)")
    with pytest.raises(prock.NotSupported, match="'typo'"):
        open_engine("typo")


@pytest.mark.parametrize(
    ("psutil", "advice"),
    [
        ("None", "pip install psutil"),
        ("types.SimpleNamespace(__version__='6.1', version_info=(6, 1, 0))", "psutil>=7.1"),
    ],
)
def test_without_psutil_the_portable_engine_says_what_to_install(psutil: str, advice: str) -> None:
    program = f"import sys, types; sys.modules['psutil'] = {psutil}; import prock; prock.get_cpu_time()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PROCK_ENGINE": "portable"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("prock.errors.NotSupported: not available here: the portable engine") and advice in last


def test_using_restores_the_engine_that_was_active(tmp_path: Path) -> None:
    before = prock.engine.active
    with using(open_engine("pure", str(tmp_path))) as inner:
        assert prock.engine.active is inner and not inner.clocks_usable and inner.root == str(tmp_path)
        with pytest.raises(KeyError), using(before):
            raise KeyError
        assert prock.engine.active is inner
    assert prock.engine.active is before


def test_the_version_is_the_packages() -> None:
    assert prock.__version__ == importlib.metadata.version("prock")


@on_linux_engines
def test_the_root_may_end_in_slashes(engine_name: str) -> None:
    assert open_engine(engine_name, "/proc//").clocks_usable


def test_importing_prock_loads_nothing_that_is_dear() -> None:
    program = "import sys, prock; prock.get_cpu_time(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=False)
    if done.returncode:  # without site there may be no way to the package
        path = str(Path(prock.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path.append({path!r}); {program}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    loaded = set(done.stdout.split())
    assert "prock" in loaded
    assert not loaded & {"typing", "dataclasses", "enum", "re", "asyncio", "rich", "subprocess", "weakref", "psutil"}
