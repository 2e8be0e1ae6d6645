"""What no source of prock may do, whoever writes it next: shells, signals by pid, the environment, other rights."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = sorted((ROOT / "src").rglob("*.py"))
PACKAGES = ("native/procfs", "native/tracker", "native/perf", "native/launcher", "binding")
C = [path for package in PACKAGES for path in sorted((ROOT / package).glob("*.c"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "prock").as_posix()


@cache
def nodes() -> list[tuple[str, ast.AST]]:
    return [(name_of(path), node) for path in PYTHON for node in ast.walk(ast.parse(path.read_text()))]


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """File, what is called, and the call."""
    return [(file, ast.unparse(node.func), node) for file, node in nodes() if isinstance(node, ast.Call)]


def literals() -> Iterator[tuple[str, str]]:
    for file, node in nodes():
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            yield file, node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def test_there_are_sources() -> None:
    assert len(PYTHON) > 60 and len(C) > 15


def test_no_shell() -> None:
    """But where the caller asks `Popen` for one, and where execvp(3) has one for a script without an interpreter."""
    banned = re.compile(r"(os\.(system|popen|startfile)|subprocess\.(getoutput|getstatusoutput)|pty\.spawn)$")
    assert [(file, what) for file, what, _ in calls() if banned.search(what)] == []
    assert [file for file, _, call in calls() if any(word.arg == "shell" for word in call.keywords)] == []
    assert {file for file, text in literals() if text == "/bin/sh"} == {
        "runner/args.py",
        "runner/spawn_portable.py",
    }
    starts = re.compile(r"(^|\.)(posix_spawnp?|exec[lv]p?e?|fork|forkpty|Popen|check_call|check_output)$")
    assert Counter(file for file, what, _ in calls() if starts.search(what)) == {
        "runner/spawn_linux.py": 1,  # the launcher
        "runner/spawn_portable.py": 3,  # the command, on Windows too, and the shell of a script
    }


def test_no_code_from_outside() -> None:
    banned = re.compile(r"^(eval|exec|compile|__import__|(_?pickle|marshal|shelve|importlib\.util)\..*|ctypes\.CDLL)$")
    assert Counter((file, what) for file, what, _ in calls() if banned.match(what)) == {
        ("_compat/namedtuple.py", "eval"): 1,  # of names in our own classes
        ("__init__.py", "__import__"): 1,  # of our own modules, when they are needed
        ("engine/pure/subreaper.py", "ctypes.CDLL"): 1,  # the C library that is there already
    }


def test_signals_by_pid_go_to_ourselves_and_to_children_that_are_not_waited_for() -> None:
    sends = re.compile(
        r"(os\.kill|os\.killpg|send_signal|\.kill|\.terminate|raise_signal|pthread_kill|pidfd_send_signal)$"
    )
    found = Counter((file, what) for file, what, _ in calls() if sends.search(what) and not what.startswith("self."))
    assert {key: number for key, number in found.items() if key[1] in ("os.kill", "os.killpg")} == {
        ("accounting/wait_posix.py", "os.kill"): 1,  # a child that is not waited for, under the lock of who waits
        ("cli/__init__.py", "os.kill"): 1,  # prock itself, of SIGINT
        ("cli/top/app.py", "os.kill"): 1,  # prock itself
        ("cli/run/job_control.py", "os.kill"): 1,  # prock itself, to stop
        ("cli/run/supervisor.py", "os.kill"): 1,  # the command, which is not reaped yet
        ("runner/spawn_linux.py", "os.kill"): 1,  # without pidfds: a child that is not waited for
        ("runner/thread.py", "os.kill"): 1,  # the same, under the lock of who waits
        ("runner/session.py", "os.kill"): 1,  # the same: a child that is the process which was seen
        ("runner/send_signal.py", "os.kill"): 1,  # on other systems than Linux, just after a look at who has the pid
    }
    assert {file for file, what in found if what.endswith("pidfd_send_signal")} == {
        "runner/send_signal.py",
        "runner/thread.py",
        "runner/spawn_linux.py",
    }


def test_the_environment_is_read_for_what_it_says_to_prock_alone() -> None:
    read: Counter[str] = Counter()
    for file, node in nodes():
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.environb", "os.getenv"):
            read[file] += 1
    named = {
        (file, call.args[0].value)
        for file, what, call in calls()
        if what == "os.environ.get" and isinstance(call.args[0], ast.Constant)
    }
    assert {name for _, name in named} == {"PROCK_ENGINE", "NO_COLOR", "TERM"}
    whole = {file for file, number in read.items() if number > sum(name_file == file for name_file, _ in named)}
    assert whole <= {
        "cli/run/command.py",
        "runner/args.py",
        "cli/top/__init__.py",
        "cli/top/app.py",
    }
    asks = {file for file, what, _ in calls() if what.endswith(("get_process_environ", ".environ"))}
    # The function for it, and what psutil has for it; the own one, for the command.
    assert asks == {"process.py", "engine/portable/engine.py", "cli/run/command.py"}


def test_where_processes_have_links_they_are_read_and_never_followed() -> None:
    """``cwd``, ``exe`` and ``root`` lead into what belongs to another: a file system that hangs, or a trap."""
    leads_away = re.compile(r"/(cwd|exe|root|map_files|mem)(/|'$)")
    read = {id(part) for _, what, call in calls() if what == "os.readlink" for part in ast.walk(call)}
    made = [(file, node) for file, node in nodes() if isinstance(node, ast.JoinedStr) and id(node) not in read]
    assert [(file, ast.unparse(node)) for file, node in made if leads_away.search(ast.unparse(node))] == []
    for source in C:
        assert not re.search(r'"[^"]*\b(cwd|exe|root|map_files|mem)"', source.read_text()), source


def test_files_are_made_in_few_places() -> None:
    def makes(what: str, call: ast.Call) -> bool:
        text = ast.unparse(call)
        opened = what == "open" and len(call.args) > 1 and re.search(r"['\"][^'\"]*[wax+]", ast.unparse(call.args[1]))
        return (
            bool(opened)
            or "O_CREAT" in text
            or what in ("os.mkdir", "os.makedirs", "os.symlink", "os.link", "os.mkfifo")
        )

    assert Counter(file for file, what, call in calls() if makes(what, call)) == {
        "accounting/cgroup.py": 2,  # the group's directory; a pid into cgroup.procs
    }
    creating = {file for file, node in nodes() if isinstance(node, ast.Attribute) and node.attr == "O_CREAT"}
    assert creating == {"files.py"}
    others = [file for file, what, _ in calls() if what.startswith(("tempfile.", "shutil.")) or what == "os.chmod"]
    assert others == ["files.py"]


def test_no_other_rights_are_taken() -> None:
    banned = re.compile(
        r"^os\.(set(e|re|res)?[ug]id|setgroups|initgroups|seteuid|setns|unshare|chroot|nice|setpriority)$"
    )
    assert [(file, what) for file, what, _ in calls() if banned.match(what)] == []
    limits = [(file, what) for file, what, _ in calls() if what.endswith("setrlimit")]
    assert limits == []


WITHOUT_COMMENTS = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


@pytest.mark.parametrize("path", C, ids=lambda path: path.name)
def test_c_sources(path: Path) -> None:
    text = WITHOUT_COMMENTS.sub("", path.read_text())
    banned = "system popen strcpy strcat sprintf vsprintf gets mktemp tmpnam alloca setuid seteuid setresuid capset"
    assert re.findall(rf"\b({banned.replace(' ', '|')})\s*\(", text) == []
    for call in re.findall(r"\bopen(?:at)?\([^;]*;", text):
        assert "O_CLOEXEC" in call, call
    assert all('"re"' in call for call in re.findall(r"\bfopen\([^;]*;", text))
    for call in re.findall(r"SYS_perf_event_open[^;]*;", text):
        assert "PERF_FLAG_FD_CLOEXEC" in call, call
    assert set(re.findall(r"\bPR_[A-Z_]+", text)) <= {"PR_SET_CHILD_SUBREAPER", "PR_GET_CHILD_SUBREAPER"}
    if path.parent.name != "launcher":
        assert not re.search(r"\b(exec[lv]\w*|kill|fork|clone3?)\s*\(", text)


def test_every_promise_names_tests_that_are_there() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    promises = text.partition("## Promised")[2].partition("## Not promised")[0].strip().split("\n\n")
    assert len(promises) >= 8
    for promise in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)`", promise)
        assert named and all((ROOT / path).is_file() for path in named), promise
