"""Every public name is documented, and every example in a docstring is true, on each engine."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import pydoc
import re
from pathlib import Path

import pytest
from support.engines import on_linux_engines

import prock

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(prock.__path__, "prock.")
    if name not in ("prock._core", "prock._bpf", "prock.__main__", "prock.engine.linux.native")
]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"prock": prock})
    assert result.failed == 0


@on_linux_engines
@pytest.mark.usefixtures("engine")
def test_examples_of_the_readme() -> None:
    """For Linux, where a run reports more than on other systems."""
    readme = Path(__file__).parents[2] / "README.md"
    result = doctest.testfile(str(readme), module_relative=False)
    assert result.attempted >= 5 and result.failed == 0


@pytest.mark.parametrize("name", [name for name in prock.__all__ if callable(getattr(prock, name))])
def test_public_names_are_documented(name: str) -> None:
    documented = getattr(prock, name)
    assert documented.__doc__ and len(documented.__doc__.split()) > 2 and not documented.__doc__.startswith(f"{name}(")


FUNCTIONS = [name for name in prock.__all__ if name[0].islower()]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_tell_their_cost_and_show_an_example(name: str) -> None:
    text = getattr(prock, name).__doc__
    assert "Cost" in text and ">>> " in text


SEED = """
    AllStats CpuTime CumulativeTracker DeltaTracker DiskIo LivenessInfo ProcessInfo ProcessStats TreeStats CpuPercent
    build_children_map build_parent_map collect_descendants_from_map collect_tree_pids get_all_stats get_children
    get_cpu_time get_cpu_time_with_children get_disk_io get_liveness_info get_memory get_memory_virtual get_ppid
    get_process_comm get_process_environ get_process_path get_start_time get_tty is_descendant_of list_all_pids
    scan_all_processes snapshot_process snapshot_tree snapshot_tree_from_scan
""".split()


def test_every_name_of_the_description_exists() -> None:
    assert set(SEED) <= set(prock.__all__)
    assert all(hasattr(prock, name) for name in prock.__all__)


RESULTS = [name for name in prock.__all__ if name[0].isupper() and issubclass(getattr(prock, name, int), tuple)]
UNIT_WORDS = re.compile(
    r"[Nn]anoseconds|[Ss]econds|[Bb]ytes|percent|[Nn]umber|ticks|[Pp]id|id\b|faults|Process id|[Cc]ode"
)


@pytest.mark.parametrize("name", RESULTS)
def test_every_field_of_a_result_has_help(name: str) -> None:
    kind = getattr(prock, name)
    annotations = {key: text for base in kind.__mro__ for key, text in getattr(base, "__annotations__", {}).items()}
    shown = pydoc.render_doc(kind, renderer=pydoc.plaintext).replace("\n |      ", " ")  # type: ignore[attr-defined]
    for field in getattr(kind, "_fields", ()):
        text = getattr(kind, field).__doc__
        assert text and not text.startswith("Field ") and len(text.split()) > 1, field
        assert text in shown, field
        if annotations[field].split(" |")[0] in ("int", "float", "CpuPercent"):
            assert UNIT_WORDS.search(text), f"{field}: {text}"
    properties = [key for key, value in inspect.getmembers(kind) if isinstance(value, property)]
    assert [key for key in properties if not getattr(kind, key).__doc__] == []
