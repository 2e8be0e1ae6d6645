"""C files: none uses a file of a package above its own, and there are no cycles, by the symbols of their objects."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USES = {
    "native/procfs": set(),
    "native/perf": set(),
    "native/tracker": {"native/procfs"},
    "native/launcher": {"native/perf", "native/procfs"},
    "binding": {"native/procfs", "native/perf", "native/tracker"},
}
"""Packages whose symbols each package may use, beside its own."""

Symbols = tuple[set[str], set[str]]


def symbols(source: Path, directory: Path) -> Symbols:
    """Defined and undefined symbols of the object of a C file."""
    result = directory / source.relative_to(ROOT).as_posix().replace("/", "-")
    python = sysconfig.get_config_var("INCLUDEPY")
    flags = ["-std=c11", "-O0", "-w", f"-I{ROOT}/native", f"-I{python}", "-DPy_LIMITED_API=0x030b0000"]
    subprocess.run(["gcc", *flags, "-c", source, "-o", result], check=True)
    lines = subprocess.run(["nm", "-gP", result], check=True, capture_output=True, text=True).stdout.splitlines()
    pairs = [line.split()[:2] for line in lines]
    return {name for name, kind in pairs if kind != "U"}, {name for name, kind in pairs if kind == "U"}


@pytest.fixture(scope="module")
def uses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Files that each C file uses."""
    if shutil.which("gcc") is None or not (Path(sysconfig.get_config_var("INCLUDEPY")) / "Python.h").exists():
        pytest.skip("no compiler or no Python.h")
    directory = tmp_path_factory.mktemp("objects")
    sources = [source for package in USES for source in sorted((ROOT / package).glob("*.c"))]
    with ThreadPoolExecutor() as pool:
        found = dict(zip(sources, pool.map(lambda source: symbols(source, directory), sources), strict=True))
    names = {source: source.relative_to(ROOT).as_posix() for source in sources}
    files = {symbol: names[source] for source, (defined, _) in found.items() for symbol in defined}
    return {
        names[source]: {files[symbol] for symbol in undefined if symbol in files}
        for source, (_, undefined) in found.items()
    }


def test_no_cycles_among_c_files(uses: dict[str, set[str]]) -> None:
    order = list(TopologicalSorter(uses).static_order())
    assert len(order) > 25 and sum(map(len, uses.values())) > 25


def test_c_files_use_lower_packages_only(uses: dict[str, set[str]]) -> None:
    def package(name: str) -> str:
        return name.rpartition("/")[0]

    wrong = [
        (user, used)
        for user, files in uses.items()
        for used in files
        if package(used) not in {package(user), *USES[package(user)]}
    ]
    assert wrong == []
