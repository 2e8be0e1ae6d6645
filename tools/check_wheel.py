"""Installs wheel and sdist as users do, outside of the source tree, and runs tests on them.

The wheel is installed in a fresh environment of each CPython from 3.11 on that is found; the sdist without a compiler
(which gives the pure engine), without git, and without the limited API. Also checks that two builds are identical and
that cibuildwheel and the workflows are configured correctly.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dist import SOURCE, Failed, build, run, tool

BESIDE_TESTS = ("tests/", "benchmarks/", "docs/", "tools/check_words", "README.md", "pyproject.toml")
"""What the tests read."""
ON_PURE = (
    "--ignore=tests/unit/test_source_rules.py",  # read the source tree
    "--ignore=tests/unit/test_native_layers.py",
    "tests/unit",
    "tests/integration/test_process.py",
    "tests/integration/runner/test_run_terminate.py",
)
ON_NATIVE = (
    *ON_PURE,
    "tests/integration/test_access_denied.py",
    "tests/integration/test_snapshot.py",
    *(f"tests/integration/accounting/test_{name}.py" for name in ("perf_records", "run_accounting")),
    *(f"tests/integration/runner/test_{name}.py" for name in ("run_figures", "run_limits")),
    *(f"tests/integration/sampling/test_{name}.py" for name in ("trackers_with_processes", "watch")),
    *(f"tests/cli/test_{name}.py" for name in ("cli_doctor", "cli_main", "cli_stat", "run_command")),
)
COMPILERS = re.compile(r"([\w-]+-)?(cc|gcc|c89|c99|clang|icc|icx|nvc|pgcc|tcc)(-[\d.]+)?")
IDENTIFIERS = {
    "linux": [f"{libc}_{machine}" for libc in ("manylinux", "musllinux") for machine in ("x86_64", "aarch64")],
    "macos": ["macosx_x86_64", "macosx_arm64"],
    "windows": ["win_amd64", "win_arm64"],
}
INTERPRETERS = ("cp311", "cp312", "cp313", "cp314", "cp314t")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="prock-wheel-") as name:
        place = Path(name)
        try:
            with step("built and audited"):
                sdist, wheel = build(place / "dist")
            with step("built again: the same to the byte"):
                again = build(place / "again")
                different = [
                    file.name for file in again if file.read_bytes() != (place / "dist" / file.name).read_bytes()
                ]
                if different:
                    raise Failed(f"two builds differ: {', '.join(different)}")
            check_wheel(wheel, sdist, place)
            check_sdist(sdist, place)
            with step("configuration of cibuildwheel and workflows"):
                check_ci()
        except Failed as failure:
            print(f"wheel: {failure}", file=sys.stderr)
            return 1
    return 0


@contextmanager
def step(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    print(f"wheel: {what} ({time.monotonic() - start:.0f} s)", flush=True)


def check_wheel(wheel: Path, sdist: Path, place: Path) -> None:
    pythons = find_pythons()
    if not pythons:
        raise Failed("no CPython from 3.11 on was found")
    for (_, minor), python in pythons.items():
        with step(f"installed in CPython 3.{minor}, tested there"):
            environment = fresh(python, place / f"wheel-{minor}")
            pip(environment, wheel)
            check_installed(environment, "native", "cp311-abi3-")
            run_tests(environment, sdist, place, ON_NATIVE)
    print(f"wheel: of CPython from 3.11 on here: {', '.join(f'3.{minor}' for _, minor in pythons)}", flush=True)


def check_sdist(sdist: Path, place: Path) -> None:
    pythons = find_pythons()
    python = pythons[min(pythons)]
    without_compiler = path_without(COMPILERS, place / "no-compiler")
    with step("the sdist without a compiler: the pure engine"):
        environment = fresh(python, place / "pure")
        pip(environment, sdist, path=without_compiler)
        check_installed(environment, "pure", "py3-none-any")
        run_tests(environment, sdist, place, ON_PURE, path=without_compiler)
    with step("the sdist, unpacked, without git: the engine in C"):
        with tarfile.open(sdist) as archive:
            archive.extractall(place / "unpacked", filter="data")
        environment = fresh(python, place / "unpacked-installed")
        unpacked = place / "unpacked" / sdist.name.removesuffix(".tar.gz")
        pip(environment, unpacked, path=path_without(re.compile("git"), place / "no-git"))
        check_installed(environment, "native", "cp311-abi3-")
    newest = max(pythons)
    with step(f"the sdist without the limited API, for 3.{newest[1]} only: as free-threaded Pythons need it"):
        environment = fresh(pythons[newest], place / "full")
        pip(environment, sdist, "-Csetup-args=-Dpython.allow_limited_api=false", "-Csetup-args=-Dwerror=true")
        check_installed(environment, "native", "cp3{1}-cp3{1}-".format(*newest))


def find_pythons() -> dict[tuple[int, int], Path]:
    """By version: on the path, and where pyenv keeps them."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [*sorted(pyenv.glob("*/bin"), reverse=True), *map(Path, os.environ.get("PATH", os.defpath).split(":"))]
    found = {sys.version_info[:2]: Path(os.path.realpath(sys.executable))}
    for minor in range(11, 30):
        for candidate in (place / f"python3.{minor}" for place in places):
            if (3, minor) not in found and is_cpython(candidate, minor):
                found[3, minor] = candidate
    return dict(sorted(found.items()))


def is_cpython(candidate: Path, minor: int) -> bool:
    """One with a global lock and modules to make an environment: a shim of pyenv's may be none."""
    if not os.access(candidate, os.X_OK):
        return False
    script = (
        "import sys, sysconfig, venv, ensurepip; gil = not sysconfig.get_config_var('Py_GIL_DISABLED');"
        f"sys.exit(not (gil and sys.implementation.name == 'cpython' and sys.version_info[:2] == (3, {minor})))"
    )
    return subprocess.run([candidate, "-Ic", script], capture_output=True).returncode == 0


def fresh(python: Path, directory: Path) -> Path:
    """The Python of a new environment."""
    run(python, "-m", "venv", directory)
    environment = directory / "bin" / "python"
    run(environment, "-m", "pip", "--disable-pip-version-check", "install", "--upgrade", "pip")
    return environment


def pip(environment: Path, *arguments: str | Path, path: str | None = None) -> None:
    """Nothing that another build left in the cache is taken."""
    variables = {"PATH": path, "CC": None} if path else {}
    run(environment, "-m", "pip", "install", "--no-cache-dir", *arguments, variables=variables)


def check_installed(environment: Path, engine: str, tag: str) -> None:
    directory = environment.parents[1]
    (wheel,) = directory.glob("lib/python*/site-packages/prock-*.dist-info/WHEEL")
    if f"\nTag: {tag}" not in wheel.read_text():
        raise Failed(f"the wheel's tag is not {tag}: {wheel.read_text()}")
    binaries = [
        file for file in wheel.parents[1].glob("prock/**/*") if file.is_file() and file.read_bytes()[:4] == b"\x7fELF"
    ]
    if (engine == "native") != bool(binaries):
        raise Failed(f"compiled for the {engine} engine: {binaries}")
    smoke = shutil.copy(SOURCE / "tools" / "smoke.py", directory)
    run(environment, smoke, engine, directory, cwd=directory)


def run_tests(environment: Path, sdist: Path, place: Path, tests: tuple[str, ...], path: str | None = None) -> None:
    """Those of the sdist, which see no source."""
    beside = place / "tests"
    if not beside.exists():
        with tarfile.open(sdist) as archive:
            for member in archive.getmembers():
                member.name = member.name.partition("/")[2]
                if member.name.startswith(BESIDE_TESTS):
                    archive.extract(member, beside, filter="data")
    run(environment, "-m", "pip", "install", "--group", f"{beside / 'pyproject.toml'}:test")
    variables = {"PATH": path} if path else {}
    report = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=beside, variables=variables)
    print(f"wheel: {report.splitlines()[-1]}", flush=True)


def path_without(hidden: re.Pattern[str], directory: Path) -> str:
    """A search path with all programs but these."""
    directory.mkdir()
    for place in map(Path, os.environ.get("PATH", os.defpath).split(":")):
        for program in place.iterdir() if place.is_dir() else ():
            if not hidden.fullmatch(program.name) and not (directory / program.name).is_symlink():
                (directory / program.name).symlink_to(program)
    return str(directory)


def check_ci() -> None:
    for platform, machines in IDENTIFIERS.items():
        expected = {f"{interpreter}-{machine}" for interpreter in INTERPRETERS for machine in machines}
        found = set(run(tool("cibuildwheel"), "--print-build-identifiers", "--platform", platform, SOURCE).split())
        if found != expected:
            raise Failed(f"cibuildwheel would build for {platform}: {', '.join(sorted(found ^ expected))}")
    workflows = sorted((SOURCE / ".github" / "workflows").glob("*.yml"))
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *workflows)


if __name__ == "__main__":
    sys.exit(main())
