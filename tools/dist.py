"""Build the sdist and the wheel of what is committed, hold them to what they have to be, and put them into a directory.

    python tools/dist.py [DIRECTORY]     (dist)

The wheel is built from the sdist, with the engine in C, for all CPython from 3.11 on and every glibc from 2.17 on. Two
builds of one commit are the same to the byte: all times in them are the commit's, or ``SOURCE_DATE_EPOCH``.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
# Without eBPF: libbpf and libelf of this system need a newer glibc than wheels may.
ENABLED = ("-Csetup-args=-Dnative=enabled", "-Csetup-args=-Dbpf=disabled", "-Csetup-args=-Dwerror=true")
OLDEST_GLIBC = {"x86_64": (2, 17), "aarch64": (2, 17)}

LEFT_OUT = (".ci/", ".git")
"""What an sdist lacks of what is committed: the beginnings of paths, as in .gitattributes."""
MODES_OF_GIT = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "tar.umask", "GIT_CONFIG_VALUE_0": "0022"}
"""An sdist is made by git archive, which has an umask of its own; and not every Python that unpacks it has another."""


class Failed(Exception):
    """What is wrong, for people."""


def main(arguments: list[str]) -> int:
    directory = Path(arguments[0] if arguments else SOURCE / "dist").resolve()
    try:
        sdist, wheel = build(directory)
    except Failed as failure:
        print(f"dist: {failure}", file=sys.stderr)
        return 1
    for file in (sdist, wheel):
        print(f"dist: {file.name}, {file.stat().st_size // 1000} kB")
    return 0


def build(directory: Path) -> tuple[Path, Path]:
    """The sdist and the wheel, which nothing was found to be wrong with. Raises `Failed`."""
    changed = run("git", "status", "--porcelain", cwd=SOURCE).splitlines()
    if changed:
        print(f"dist: what is committed is built; {len(changed)} changed files are not", file=sys.stderr)
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct", cwd=SOURCE).strip()
    times = {"SOURCE_DATE_EPOCH": epoch}
    with tempfile.TemporaryDirectory(prefix="prock-dist-") as name:
        place = Path(name)
        run(sys.executable, "-m", "build", "--outdir", place / "built", *ENABLED, SOURCE, variables=times)
        sdist, built = only(place / "built", "*.tar.gz"), only(place / "built", "*.whl")
        run(tool("auditwheel"), "repair", "--wheel-dir", place / "repaired", built, variables=times)
        wheel = only(place / "repaired", "*.whl")
        check_sdist(sdist)
        check_wheel(wheel, sdist)
        run(tool("abi3audit"), "--strict", wheel)
        run(tool("twine"), "check", "--strict", sdist, wheel)
        run(tool("check-wheel-contents"), wheel)
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.glob("prock-*"):
            old.unlink()
        return Path(shutil.copy(sdist, directory)), Path(shutil.copy(wheel, directory))


def run(*command: str | Path, cwd: Path | None = None, variables: Mapping[str, str | None] | None = None) -> str:
    """What it wrote, errors and all, where it succeeded. `variables` of its environment: None for not set."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": None, **MODES_OF_GIT, **(variables or {})}
    try:
        result = subprocess.run(
            command,
            cwd=cwd,
            env={name: value for name, value in environment.items() if value is not None},
            umask=0o022,  # modes in the archives come from those of the files that are made
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise Failed(f"{error.filename} is missing") from None
    if result.returncode != 0:
        raise Failed(f"{Path(command[0]).name} failed ({' '.join(map(str, command))}):\n{result.stdout}")
    return result.stdout


def tool(name: str) -> Path:
    """Of the environment of this Python."""
    return Path(sys.executable).parent / name


def only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    if len(found) != 1:
        raise Failed(f"one {pattern} was expected, not {[file.name for file in found]}")
    return found[0]


def files_of(sdist: Path) -> dict[str, tarfile.TarInfo]:
    """By their paths below the top directory."""
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
    return {member.name.partition("/")[2]: member for member in members}


def check_sdist(sdist: Path) -> None:
    """Every committed file that is needed to build, test or document prock, and nothing else."""
    found = files_of(sdist)
    committed = run("git", "ls-tree", "-r", "-z", "--name-only", "HEAD", cwd=SOURCE).strip("\0").split("\0")
    expected = {"PKG-INFO", *(name for name in committed if not name.startswith(LEFT_OUT))}
    if set(found) != expected:
        raise Failed(f"{sdist.name} differs in {', '.join(sorted(set(found) ^ expected))}")
    special = [name for name, member in found.items() if not member.isfile()]
    if special:
        raise Failed(f"{sdist.name} has links or devices: {', '.join(special)}")


def check_wheel(wheel: Path, sdist: Path) -> None:
    tags = re.fullmatch(r"prock-[^-]+-cp311-abi3-(.+)\.whl", wheel.name)
    if tags is None:
        raise Failed(f"{wheel.name} is not a wheel of the stable ABI of CPython 3.11")
    check_glibc(wheel, tags[1].split("."))
    with zipfile.ZipFile(wheel) as archive:
        if archive.testzip() is not None:
            raise Failed(f"{wheel.name} is damaged")
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    modes = {entry.filename: stat.S_IMODE(entry.external_attr >> 16) for entry in entries}
    named = "-".join(wheel.name.split("-")[:2])
    info = f"{named}.dist-info/"
    expected = {name.removeprefix("src/") for name in files_of(sdist) if name.startswith("src/")}
    expected |= {"prock/_core.abi3.so", "prock/_launcher", f"{named}.data/data/share/man/man1/prock.1"}
    expected.add(f"{named}.data/scripts/prock-sh")
    expected |= {info + name for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    if set(modes) != expected:
        raise Failed(f"{wheel.name} differs in {', '.join(sorted(set(modes) ^ expected))}")
    for name, mode in modes.items():
        wanted = 0o755 if name.endswith(("/_core.abi3.so", "/_launcher", "/prock-sh")) else 0o644
        if mode != wanted and not name.startswith(info):
            raise Failed(f"{name} has mode {mode:o} in {wheel.name}, not {wanted:o}")


def check_glibc(wheel: Path, platforms: list[str]) -> None:
    """The wheel works with the oldest supported glibc. Wheels for musl have no such version."""
    for platform in platforms:
        found = re.fullmatch(r"manylinux_(\d+)_(\d+)_(\w+)", platform)
        oldest = found and OLDEST_GLIBC.get(found[3])
        if found and oldest and (int(found[1]), int(found[2])) > oldest:
            raise Failed(f"{wheel.name} needs a glibc newer than {oldest[0]}.{oldest[1]}: see auditwheel show")
    if not any(platform.startswith(("manylinux", "musllinux")) for platform in platforms):
        raise Failed(f"{wheel.name} is for this machine only")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
