"""The checks of ``prock doctor`` on Linux. None writes; whatever is opened is closed at once."""

from __future__ import annotations

import os

from prock import engine
from prock.cli.doctor.checks import LIMITED, NO, OK, Check, descriptors, engine_that_fails, the_kernel, the_python
from prock.engine.linux.mountinfo import cgroup2_home, lines, mounts
from prock.errors import AccessDenied, NotSupported, ProckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PARANOID_LIMIT = 2
"""The highest kernel.perf_event_paranoid with which an ordinary user may open perf events."""
MOUNT_PROC = "mount the proc of this PID namespace: mount -t proc proc /proc"


def the_engine() -> Check:
    name, setting = engine.active.name, os.environ.get("PROCK_ENGINE")
    reason = engine_that_fails()
    if reason is not None:
        return Check("engine", NO, f"{name} does not work on {engine.active.root}: {reason}", MOUNT_PROC)
    chosen = f" (PROCK_ENGINE={setting})" if setting else ""
    if engine.active.core is not None:
        return Check("engine", OK, f"native{chosen}: the compiled core")
    finding = f"{name}{chosen}: the same figures in plain Python"
    try:
        from prock.engine.linux import native  # noqa: F401  # installed?
    except ImportError as error:
        # pip would reuse its cached wheel, which was built without a compiler
        again = "pip install --no-cache-dir --force-reinstall prock"
        remedy = f"a C compiler and the headers of Python and Linux, then: {again}"
        return Check("engine", LIMITED, f"{finding}, as the compiled core is not installed ({error})", remedy)
    return Check("engine", LIMITED, finding, "unset PROCK_ENGINE")


def launcher() -> Check:
    if engine.active.launcher is not None:
        return Check("launcher", OK, "compiled: prock run counts a command from its first instruction")
    finding = (
        "not installed: prock run opens no perf events, counts no processes, joins the cgroup after the start, "
        "and largest_process includes the Python that starts the command"
    )
    return Check("launcher", LIMITED, finding, "install a wheel, or a C compiler and prock again")


def proc_mount() -> Check:
    root = engine.active.root
    mounted = [mount for mount in mounts(root, "proc") if mount.point == root]
    if not mounted:
        return Check("proc", NO, f"no proc is mounted at {root}", MOUNT_PROC)
    hiding = [option for option in mounted[-1].options if option.startswith(("hidepid=", "subset="))]
    if not hiding or hiding == ["hidepid=0"] or hiding == ["hidepid=off"]:
        return Check("proc", OK, f"mounted at {root}, no process is hidden")
    found = f"mounted at {root} with {','.join(hiding)}"
    try:
        seen = engine.active.info(1) is not None
    except AccessDenied:
        seen = False
    if seen:
        return Check("proc", OK, f"{found}, but this user may read the processes of others")
    remedy = "run as root or as a member of the gid= group of the mount"
    return Check("proc", LIMITED, f"{found}: processes of other users are hidden", remedy)


def cpu_clocks() -> Check:
    if engine.active.clocks_usable:
        return Check("cpu_clocks", OK, "readable in nanoseconds, for the processes of every user")
    return Check(
        "cpu_clocks",
        LIMITED,
        "not readable, or /proc belongs to another PID namespace: CPU time has a resolution of 10 ms",
        "allow clock_gettime in the seccomp profile of the sandbox; mount the proc of this PID namespace",
    )


def children_files() -> Check:
    root, pid = engine.active.root, os.getpid()
    if os.path.exists(f"{root}/self/task/{pid}/children") or os.path.exists(f"{root}/thread-self/children"):
        return Check("children_files", OK, "available: a sample of a tree does not scan the machine")
    finding = "missing: every sample of a tree scans the machine"
    return Check("children_files", LIMITED, finding, "a kernel with CONFIG_PROC_CHILDREN")


def task_io() -> Check:
    try:
        if engine.active.disk_io(None) is None:
            return Check("task_io", NO, "the own counters cannot be read", MOUNT_PROC)
    except (ProckError, OSError) as error:
        return Check("task_io", NO, f"no I/O counters ({error})", "a kernel with CONFIG_TASK_IO_ACCOUNTING")
    for pid in _others():
        try:
            if engine.active.disk_io(pid) is not None:
                return Check("task_io", OK, "readable, also for the processes of other users")
        except (AccessDenied, NotSupported):
            finding = "readable for the processes of this user; access denied for others"
            return Check("task_io", LIMITED, finding, "run as root (CAP_SYS_PTRACE)")
    return Check("task_io", OK, "readable; no other user has a process here on which to try it")


def perf_task_clock() -> Check:
    paranoid = _first_line("/proc/sys/kernel/perf_event_paranoid")
    setting = f"kernel.perf_event_paranoid = {paranoid or 'unknown'}"
    core = engine.active.core
    if core is None:
        return Check(
            "perf_task_clock", NO, f"only the compiled core opens them, {setting}", "install the compiled core"
        )
    try:
        event = core.open_task_clock(None)
        if event is not None:  # None only for a thread that has ended
            os.close(event)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
    else:
        return Check("perf_task_clock", OK, f"can be opened, {setting}")
    if paranoid is None or not paranoid.lstrip("-").isdigit() or int(paranoid) <= PARANOID_LIMIT:
        remedy = "a kernel with CONFIG_PERF_EVENTS; in a container a seccomp profile that allows perf_event_open"
    else:
        remedy = f"sudo sysctl kernel.perf_event_paranoid={PARANOID_LIMIT}"
    return Check("perf_task_clock", NO, f"{reason}, {setting}", remedy)


def ebpf() -> Check:
    from prock.engine.bpf import Unavailable, open_recorder

    try:
        open_recorder(everything=False).close()
    except Unavailable as error:
        return Check("ebpf", NO, error.reason, error.remedy)
    return Check("ebpf", OK, "programs can be loaded: prock trace records each process, however short")


def cgroup_v2() -> Check:
    home = cgroup2_home(engine.active.root)
    if home is None:
        return Check("cgroup_v2", NO, "not mounted", "mount -t cgroup2 none DIRECTORY, or boot with cgroup v2")
    mount, group = home
    if os.access(group, os.W_OK | os.X_OK) and os.access(f"{group}/cgroup.procs", os.W_OK):
        return Check("cgroup_v2", OK, f"mounted at {mount.point}, this user may create groups in {group}")
    finding = f"mounted at {mount.point}, but this user may not create groups in {group}"
    remedy = "systemd-run --user --scope -p Delegate=yes COMMAND, or run as root"
    return Check("cgroup_v2", LIMITED, finding, remedy if os.geteuid() else "a mount that is not read-only")


def _others() -> Iterator[int]:
    """Pids of other users' processes."""
    for pid in engine.active.pids():
        try:
            if os.stat(f"{engine.active.root}/{pid}").st_uid != os.geteuid():
                yield pid
        except OSError:  # gone
            continue


def _first_line(path: str) -> str | None:
    return next(iter(lines(path)), None)


CHECKS = (
    the_engine, launcher, the_python, the_kernel, proc_mount, cpu_clocks, children_files, task_io, perf_task_clock,
    ebpf, cgroup_v2, descriptors,
)  # fmt: skip
