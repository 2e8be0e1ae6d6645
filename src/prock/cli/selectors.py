"""Selectors: the options that say which process trees a command follows, and how their roots are found.

`TABLE` has one row each; options and keys of configuration files are made of it.
"""

from __future__ import annotations

import os
import re
import sys

import prock
from prock import engine
from prock._compat.namedtuple import NamedTuple
from prock.cli import argtypes
from prock.cli.output import Failure, describe
from prock.cli.scan_groups import is_kernel
from prock.report.layout import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from prock.model import ProcessInfo

    Find = Callable[[], list[int]]

COMM_MAX = 15
"""Bytes: a longer name is cut by the kernel."""
PIDFILE_MAX = 64
"""Bytes: the pid is in the first line."""


class Selector(NamedTuple):
    """Trees that are selected together.

    - `title`: what was selected; contains text from outside, not escaped.
    - `find`: returns the pids of the roots that exist now, ancestors of others left out. Raises `Failure`.
    - `missing`: the error message where there are none.
    - `successors`: whether processes that appear later can be roots.
    """

    title: str
    find: Find
    missing: str
    successors: bool = True


class Row(NamedTuple):
    """A row of `TABLE`.

    - `metavar`: name of the value; empty for a switch.
    - `text`: help of the option.
    - `make`: returns the selector. Raises `Failure` for an invalid value.
    """

    metavar: str
    text: str
    make: Callable[[str, bool], Selector]


def add_options(parser: argparse.ArgumentParser, *, without: Collection[str] = ()) -> None:
    """An option for each row, and ``--full``. `without`: names of rows that the command has in another form."""
    for name, row in TABLE.items():
        if name in without:
            continue
        if row.metavar:
            parser.add_argument(f"--{name}", metavar=row.metavar, help=row.text)
        else:
            parser.add_argument(f"--{name}", action="store_true", help=row.text)
        if name == "name":
            parser.add_argument("-f", "--full", action="store_true", help="match the whole command line, not the name")


def chosen(options: Mapping[str, object]) -> Selector | None:
    """The selector of parsed options, or of a table of a configuration file; None where there is none.

    Raises `Failure` for more than one, for an invalid value, and for ``full`` without ``name``.
    """
    names = [name for name in TABLE if options.get(name) not in (None, False)]
    if len(names) > 1:
        raise Failure(f"both --{names[0]} and --{names[1]}: give only one", 2)
    full = bool(options.get("full"))
    if full and names != ["name"]:
        raise Failure("--full without --name: add --name PATTERN", 2)
    return TABLE[names[0]].make(str(options[names[0]]), full) if names else None


def outermost(rows: Iterable[ProcessInfo], matches: Callable[[ProcessInfo], object]) -> list[int]:
    """Pids of the processes that match and have no matching ancestor. The calling process never matches."""
    by_pid = {row.pid: row for row in rows}
    myself = os.getpid()
    matching = {row.pid for row in by_pid.values() if row.pid != myself and matches(row)}
    return [pid for pid in by_pid if pid in matching and not matching.intersection(_above(pid, by_pid))]


def _above(pid: int, by_pid: Mapping[int, ProcessInfo]) -> set[int]:
    """Its ancestors. A scan is not atomic: they can form a cycle."""
    above: set[int] = set()
    parent = by_pid[pid].ppid
    while parent in by_pid and parent not in above and parent != pid:
        above.add(parent)
        parent = by_pid[parent].ppid
    return above


def by_pid(pid: int) -> Selector:
    return Selector(_title(pid), lambda: [pid], f"no process {pid}", successors=False)


def _title(pid: int) -> str:
    try:
        comm = prock.get_process_comm(pid)
    except prock.AccessDenied:
        comm = None
    return f"{pid} {comm or ''}".rstrip()


def by_name(pattern: str, full: bool) -> Selector:
    try:
        wanted = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise Failure(f"invalid regular expression {pattern!r}: {escape(str(error))}", 2) from None

    def matches(row: ProcessInfo) -> bool:
        return any(map(wanted.search, [_command_line(row)] if full else _names(row)))

    what = "command line" if full else "name"
    missing = f"no process has a {what} that matches {pattern!r}"
    return Selector(f"{what} {pattern}", lambda: outermost(prock.scan_all_processes(), matches), missing)


def _command_line(row: ProcessInfo) -> str:
    """The arguments, joined by spaces; the name where there are none."""
    return " ".join(prock.get_process_cmdline(row.pid) or (row.comm,))


def _names(row: ProcessInfo) -> list[str]:
    """The kernel's name; where that may have been cut, also the whole name of the program or script."""
    if len(os.fsencode(row.comm)) < COMM_MAX:
        return [row.comm]
    words = map(os.path.basename, (prock.get_process_cmdline(row.pid) or ())[:2])
    return [row.comm, *(word for word in words if word.startswith(row.comm))]


def _by_pidfile(path: str, _: bool) -> Selector:
    def find() -> list[int]:
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would block
            try:
                text = os.read(descriptor, PIDFILE_MAX)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Failure(f"cannot read the pidfile: {describe(error)}") from None
        first = text.partition(b"\n")[0].strip().decode(errors="replace")
        try:
            return [argtypes.pid_argument(first)] if first else []  # empty while the server writes it
        except Failure:
            raise Failure(f"no pid in the first line of {path}: give the pidfile of a server") from None

    return Selector(f"pidfile {path}", find, f"no process by the pidfile {path}: is the server running?")


def _by_cgroup(name: str, _: bool) -> Selector:
    if sys.platform != "linux":
        raise Failure("--cgroup needs Linux: use --name", 2)
    if not name.strip("/"):
        raise Failure("--cgroup without a name: give the path of a group or a unit; --all selects all processes", 2)

    def find() -> list[int]:
        members = {pid for directory in _groups(name) for pid in _pids_of(directory)}
        return outermost(prock.scan_all_processes(), lambda row: row.pid in members)

    missing = f"no process in a cgroup {name!r}: give a path below /sys/fs/cgroup or the name of a unit"
    return Selector(f"cgroup {name}", find, missing)


def _groups(name: str) -> Iterator[str]:
    """The directories of a path (with or without the mount point), or of all units with that name."""
    from prock.engine.linux.mountinfo import mounts

    proc = engine.active.root
    for mount in mounts(proc, "cgroup2") + mounts(proc, "cgroup"):
        if "/" in name:
            below = name.removeprefix(mount.point).strip("/")
            if ".." not in below.split("/") and os.path.isdir(directory := f"{mount.point}/{below}"):
                yield directory
        else:
            unit = name if "." in name else f"{name}.service"
            for parent, names, _ in os.walk(mount.point):
                yield from (f"{parent}/{found}" for found in (name, unit) if found in names)


def _pids_of(group: str) -> Iterator[int]:
    """All processes of a group and the groups below it."""
    for directory, _, _ in os.walk(group):
        try:
            with open(f"{directory}/cgroup.procs", encoding="ascii") as file:
                yield from map(int, file)
        except OSError:  # the group was removed, or is threaded: then its processes are listed above it
            continue


def _by_user(user: str, _: bool) -> Selector:
    if sys.platform != "linux":
        raise Failure("--user needs Linux: use --name", 2)
    import pwd

    try:
        uid = int(user) if user.isascii() and user.isdigit() else pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise Failure(f"no user {user!r}: give a name or a number", 2) from None

    def find() -> list[int]:
        return outermost(prock.scan_all_processes(), lambda row: _effective_uid(row.pid) == uid)

    return Selector(f"user {user}", find, f"no process of user {user}")


def _effective_uid(pid: int) -> int | None:
    """By ``status``: the directory of a process that may not be dumped belongs to root. None: ended, or denied."""
    from prock.engine.linux.mountinfo import lines

    words = (line.split() for line in lines(f"{engine.active.root}/{pid}/status") if line.startswith("Uid:"))
    return next((int(found[2]) for found in words), None)


def _all(_: str, __: bool) -> Selector:
    def find() -> list[int]:
        rows = prock.scan_all_processes()
        pids = {row.pid for row in rows}
        return [row.pid for row in rows if row.ppid not in pids and not is_kernel(row)]

    return Selector("all processes", find, "no process can be read: run prock as root")


# fmt: off
TABLE = {
    "pid": Row("PID", "the tree of this process", lambda value, _: by_pid(argtypes.pid_argument(value))),
    "name": Row(
        "PATTERN",
        "the outermost processes with a name, cut by the kernel or not, that matches a regular expression", by_name,
    ),
    "pidfile": Row("FILE", "the process with the pid in this file", _by_pidfile),
    "cgroup": Row("GROUP", "the processes of a cgroup: its path, or the name of a systemd unit", _by_cgroup),
    "user": Row("USER", "the outermost processes of a user, by name or number", _by_user),
    "all": Row("", "all processes of this machine, without kernel threads", _all),
}
# fmt: on
"""All selectors by the name of their option."""
