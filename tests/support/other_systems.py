"""Python programs that run as on another system: what only Linux has is gone before prock is imported.

`run_on(system, source)` starts an interpreter of its own that first calls `become`. What is taken away there can't be
called by mistake: a name that is missing raises `AttributeError`, a module `ImportError`, a file below ``/proc`` is not
there. psutil keeps asking Linux, but tells no more than it tells on that system (see ``_psosx.py``, ``_pswindows.py``
and ``_psbsd.py`` of it). This shows that nothing is used that isn't there; whether another kernel's figures are right
only that kernel can show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

SYSTEMS = ("darwin", "win32", "freebsd14")

NOT_ON_MACOS = """
os.pidfd_open os.waitid os.pipe2 os.eventfd os.eventfd_read os.eventfd_write os.memfd_create os.splice os.getrandom
os.copy_file_range os.sched_getaffinity os.sched_setaffinity os.sched_setscheduler os.sched_getscheduler
os.sched_setparam os.sched_getparam os.getresuid os.getresgid os.setresuid os.setresgid os.setns os.unshare
os.posix_fadvise os.posix_fallocate os.listxattr os.getxattr os.setxattr os.removexattr os.O_PATH os.O_TMPFILE
os.O_DIRECT os.O_LARGEFILE os.O_NOATIME os.P_PIDFD os.WNOWAIT os.WEXITED os.fdatasync
signal.pidfd_send_signal signal.SIGRTMIN signal.SIGRTMAX signal.SIGPWR signal.SIGPOLL signal.SIGSTKFLT
signal.sigtimedwait signal.sigwaitinfo
time.CLOCK_BOOTTIME time.CLOCK_TAI time.pthread_getcpuclockid
select.epoll
socket.AF_NETLINK socket.AF_PACKET
"""

NOT_ON_FREEBSD = """
os.pidfd_open os.eventfd os.eventfd_read os.eventfd_write os.memfd_create os.splice os.setns os.unshare
os.sched_getaffinity os.sched_setaffinity os.listxattr os.getxattr os.setxattr os.removexattr os.O_PATH os.O_TMPFILE
os.O_LARGEFILE os.O_NOATIME os.P_PIDFD
signal.pidfd_send_signal signal.SIGPWR signal.SIGPOLL signal.SIGSTKFLT
time.CLOCK_BOOTTIME time.CLOCK_TAI
select.epoll
socket.AF_NETLINK socket.AF_PACKET
"""

NOT_ON_WINDOWS = (
    NOT_ON_MACOS
    + """
os.fork os.forkpty os.register_at_fork os.wait os.wait3 os.wait4 os.WNOHANG os.WUNTRACED os.WIFEXITED os.WEXITSTATUS
os.WIFSIGNALED os.WTERMSIG os.WIFSTOPPED os.WSTOPSIG os.WCOREDUMP os.WIFCONTINUED os.P_PID os.P_ALL os.P_PGID
os.getpgid os.getpgrp os.getsid os.setsid os.setpgid os.setpgrp os.killpg os.getuid os.geteuid os.getgid os.getegid
os.getgroups os.setuid os.setgid os.setgroups os.setreuid os.setregid os.sysconf os.sysconf_names os.confstr
os.pathconf os.fpathconf os.statvfs os.fstatvfs os.mkfifo os.mknod os.openpty os.ttyname os.ctermid os.tcgetpgrp
os.tcsetpgrp os.pread os.preadv os.pwrite os.pwritev os.posix_spawn os.posix_spawnp os.uname os.nice os.getpriority
os.setpriority os.getloadavg os.chown os.lchown os.fchown os.fchmod os.chroot os.sync os.lockf os.sendfile
os.fchdir os.sched_yield os.sched_get_priority_max os.sched_get_priority_min os.O_CLOEXEC os.O_NONBLOCK
os.O_DIRECTORY os.O_NOFOLLOW os.O_NOCTTY os.O_SYNC os.O_DSYNC os.O_NDELAY os.O_ASYNC
signal.SIGCHLD signal.SIGCLD signal.SIGHUP signal.SIGQUIT signal.SIGKILL signal.SIGSTOP signal.SIGTSTP signal.SIGCONT
signal.SIGUSR1 signal.SIGUSR2 signal.SIGALRM signal.SIGPIPE signal.SIGTTIN signal.SIGTTOU signal.SIGWINCH
signal.SIGURG signal.SIGIO signal.SIGTRAP signal.SIGBUS signal.SIGPROF signal.SIGSYS signal.SIGVTALRM signal.SIGXCPU
signal.SIGXFSZ signal.alarm signal.setitimer signal.getitimer signal.pause signal.siginterrupt
signal.pthread_kill signal.pthread_sigmask signal.sigpending signal.sigwait signal.SIG_BLOCK signal.SIG_UNBLOCK
signal.SIG_SETMASK signal.ITIMER_REAL signal.ITIMER_PROF signal.ITIMER_VIRTUAL
time.clock_gettime time.clock_gettime_ns time.clock_settime time.clock_settime_ns time.clock_getres time.tzset
time.CLOCK_REALTIME time.CLOCK_MONOTONIC time.CLOCK_MONOTONIC_RAW time.CLOCK_PROCESS_CPUTIME_ID
time.CLOCK_THREAD_CPUTIME_ID
select.poll
"""
)

MISSING = {"darwin": NOT_ON_MACOS, "win32": NOT_ON_WINDOWS, "freebsd14": NOT_ON_FREEBSD}
MISSING_MODULES = {
    "darwin": ("prock._core",),
    "freebsd14": ("prock._core",),
    "win32": (
        "prock._core",
        "fcntl",
        "resource",
        "pwd",
        "grp",
        "termios",
        "tty",
        "pty",
        "syslog",
        "curses",
        "readline",
    ),
}
LINUX_PLACES = ("/proc", "/sys")
NOBODY = 65534

# Pythons's own modules choose by the system when they are imported, and are not what is tested: they are there before.
_BEFORE = (
    "argparse", "asyncio", "concurrent.futures", "contextlib", "ctypes", "datetime", "json", "logging", "pathlib",
    "pickle", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading", "traceback", "psutil",
    "urllib.request",
)  # fmt: skip


def run_on(system: str, source: str, *arguments: object, as_nobody: bool = False, **options: Any) -> Any:
    """What the program assigns to ``answer``, through JSON. It runs with `arguments` as ``sys.argv[1:]``."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, system, "nobody" if as_nobody else "", source, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PROCK_ENGINE": ""},
        capture_output=True,
        text=True,
        **options,
    )
    assert done.returncode == 0, f"on {system}:\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


_PROGRAM = """
import sys
system, user, source = sys.argv[1:4]
sys.argv[1:] = sys.argv[4:]
from support import other_systems
other_systems.become(system, as_nobody=bool(user))
names = {"__name__": "__main__", "answer": None}
exec(compile(source, "<program>", "exec"), names)
import json
print(json.dumps(names["answer"]))
"""


def become(system: str, *, as_nobody: bool = False) -> None:
    """Make this interpreter one of that system, as far as Python and psutil show it. There is no way back.

    `as_nobody`: and an ordinary user's, who may be unable to read where Python and prock are installed; so all of
    prock is imported before.
    """
    if any(name.partition(".")[0] == "prock" for name in sys.modules):
        raise RuntimeError("prock has been imported already")
    for name in _BEFORE:
        __import__(name)
    setresuid, setresgid, setgroups = os.setresuid, os.setresgid, os.setgroups
    for name in MISSING[system].split():
        module, _, attribute = name.rpartition(".")
        for place in (module, f"_{module}"):  # `signal` has its names from `_signal`, and prock takes them from there
            if hasattr(sys.modules.get(place), attribute):
                delattr(sys.modules[place], attribute)
    for name in MISSING_MODULES[system]:
        sys.modules[name] = None  # type: ignore[assignment]  # as import does it itself for what is not to be found
    _hide_linux()
    _limit_psutil(system)
    sys.platform = system
    if system == "win32":
        os.name = "nt"
    if as_nobody:
        _import_all()
        setgroups([])
        setresgid(NOBODY, NOBODY, NOBODY)
        setresuid(NOBODY, NOBODY, NOBODY)


def _import_all() -> None:
    import pkgutil

    import prock

    for module in pkgutil.walk_packages(prock.__path__, "prock.", onerror=lambda name: None):
        try:
            __import__(module.name)
        except (ImportError, AttributeError, AssertionError):  # modules for Linux only
            continue


def _asks(caller: str) -> bool:
    """Whether a frame above is of that package."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        if f"{os.sep}{caller}{os.sep}" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _hide_linux() -> None:
    """``/proc`` and ``/sys`` are there for psutil alone. (Files are opened with their name as first argument.)"""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and _is_linux_place(arguments[0]) and not _asks("psutil"):
            raise FileNotFoundError(2, "no such file on this system", arguments[0])

    sys.addaudithook(look)
    readlink = os.readlink

    def hidden(path: Any, **options: Any) -> Any:
        if _is_linux_place(path) and not _asks("psutil"):
            raise FileNotFoundError(2, "no such file on this system", path)
        return readlink(path, **options)

    os.readlink = hidden


def _is_linux_place(path: object) -> bool:
    return isinstance(path, str) and any(path == place or path.startswith(f"{place}/") for place in LINUX_PLACES)


def _limit_psutil(system: str) -> None:
    """Have it tell no more than its layer for that system does."""
    import psutil

    layer: Any = psutil._psplatform  # type: ignore[attr-defined]
    process = layer.Process
    boot_s, since_boot = psutil.boot_time(), process.create_time
    process.create_time = lambda self, monotonic=False, fast_only=False: since_boot(self, monotonic=True) + boot_s
    if system != "freebsd14":
        _without_waited(process)
    if system == "darwin":
        _refusing_strangers(process, psutil)
        del process.io_counters
    if system == "win32":
        counters, pio = process.io_counters, layer.ntp.pio
        process.io_counters = lambda self: pio(*counters(self)[:2], *counters(self)[4:6], 0, 0)
        process.status = lambda self: psutil.STATUS_RUNNING
        process.num_handles = process.num_fds
        del psutil.Process.num_fds
        for name in ("num_fds", "terminal", "uids", "gids"):
            delattr(process, name)
        vars(psutil)["POSIX"] = False
        process.username = lambda self: "HOST\\me"


def _without_waited(process: Any) -> None:
    ask = process.cpu_times
    process.cpu_times = lambda self: ask(self)._replace(children_user=0.0, children_system=0.0)


def _refusing_strangers(process: Any, psutil: ModuleType) -> None:
    """macOS tells its task info of one's own processes only, and none of a zombie's."""

    def of_own(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def asked(self: Any) -> Any:
            own = os.getuid()
            if own and self.uids().real != own:
                raise psutil.AccessDenied(self.pid)
            if self.status() == psutil.STATUS_ZOMBIE:
                raise psutil.ZombieProcess(self.pid)
            return ask(self)

        return asked

    for name in ("cpu_times", "memory_info", "num_threads", "exe", "environ"):
        setattr(process, name, of_own(getattr(process, name)))
