"""Bans on the sources of prock: shells, code from outside, signals by pid, the environment, links, files, rights."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = sorted((ROOT / "src").rglob("*.py"))
PACKAGES = ("native/procfs", "native/tracker", "native/perf", "native/launcher", "native/bpf", "binding", "binding/bpf")
C = [path for package in PACKAGES for path in sorted((ROOT / package).glob("*.c"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "prock").as_posix()


@cache
def nodes() -> list[tuple[str, ast.AST]]:
    return [(name_of(path), node) for path in PYTHON for node in ast.walk(ast.parse(path.read_text()))]


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """File, called function, and the call."""
    return [(file, ast.unparse(node.func), node) for file, node in nodes() if isinstance(node, ast.Call)]


def calls_outside(banned: str, *packages: str) -> list[tuple[str, str]]:
    """File and text of all calls of what matches, except in these packages and modules."""
    pattern = re.compile(banned)
    return [
        (file, ast.unparse(call))
        for file, what, call in calls()
        if pattern.search(what) and not file.startswith(packages)
    ]


def test_no_shell() -> None:
    """Except the one that a caller of `Popen` requests, and that of execvp(3) for a script without an interpreter."""
    assert calls_outside(r"^(os\.(system|popen|startfile)|subprocess\.(getoutput|getstatusoutput)|pty\.spawn)$") == []
    assert [file for file, _, call in calls() if any(word.arg == "shell" for word in call.keywords)] == []
    assert [
        file
        for file, node in nodes()
        if isinstance(node, ast.Constant) and node.value in ("/bin/sh", b"/bin/sh") and not file.startswith("runner/")
    ] == []
    starts = r"(^|\.)(posix_spawnp?|exec[lv]p?e?|fork|forkpty|Popen|check_call|check_output)$"
    assert calls_outside(starts, "runner/") == []


def test_no_code_from_outside() -> None:
    """`eval` and `__import__` serve prock's own classes and modules; `None` is the C library that Python has loaded."""
    assert calls_outside(r"^(exec|compile|(_?pickle|marshal|shelve|importlib\.util)\..*)$") == []
    assert calls_outside(r"^eval$", "_compat/") == []
    assert all(text.startswith("__import__(f'prock.") for _, text in calls_outside(r"^__import__$"))
    assert all("CDLL(None" in text for _, text in calls_outside(r"CDLL$"))


def test_signals_by_pid_go_to_prock_itself_and_to_unreaped_children() -> None:
    assert calls_outside(r"killpg$") == []
    for _, text in calls_outside(r"^os\.kill$", "runner/", "accounting/"):
        assert re.match(r"os\.kill\((os\.getpid\(\)|self\._session\.pid), ", text), text
    assert calls_outside(r"pidfd_send_signal$", "runner/", "accounting/") == []


def test_the_environment_is_read_for_the_variables_of_prock_only() -> None:
    """And as a whole for the command that is run, and for prock's own helper."""
    known = {f"os.environ.get('{name}'" for name in ("PROCK_ENGINE", "PROCK_RECORDING", "NO_COLOR", "TERM")}
    reads = {id(call.func.value) for _, _, call in calls() if isinstance(call.func, ast.Attribute) and
             ast.unparse(call).startswith(tuple(known))}  # fmt: skip
    others = [
        file
        for file, node in nodes()
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("os.environ", "os.environb", "os.getenv")
        and id(node) not in reads
    ]
    assert [
        file for file in others if not file.startswith(("runner/args.py", "runner/caller_watch.py", "cli/run/"))
    ] == []
    # The function that returns it, psutil's, and prock's own, for the command.
    own = ("process.py", "engine/portable/", "cli/run/")
    assert calls_outside(r"get_process_environ$|\.environ$", *own) == []


def test_links_of_processes_are_read_and_never_followed() -> None:
    """``cwd``, ``exe`` and ``root`` lead to places of other users: a file system that hangs, or a trap."""
    leads_away = re.compile(r"/(cwd|exe|root|map_files|mem)(/|'$)")
    read = {id(part) for _, what, call in calls() if what == "os.readlink" for part in ast.walk(call)}
    made = [(file, node) for file, node in nodes() if isinstance(node, ast.JoinedStr) and id(node) not in read]
    assert [(file, ast.unparse(node)) for file, node in made if leads_away.search(ast.unparse(node))] == []
    for source in C:
        assert not re.search(r'"[^"]*\b(cwd|exe|root|map_files|mem)"', source.read_text()), source


def test_capabilities_of_engines_are_read_and_not_their_names() -> None:
    """Outside of `prock.engine`. Nor is a path below /proc opened there: the engine may read another root."""
    compared = [
        (file, ast.unparse(node))
        for file, node in nodes()
        if isinstance(node, ast.Compare) and re.search(r"\b(engine|active)\.name\b", ast.unparse(node))
    ]
    assert [(file, text) for file, text in compared if not file.startswith("engine/")] == []
    opened = [
        (file, ast.unparse(call))
        for file, what, call in calls()
        if what.rpartition(".")[2] in ("open", "scandir", "listdir", "readlink", "stat", "exists", "_first_line")
        and any(re.match(r"f?['\"]/proc\b", ast.unparse(argument)) for argument in call.args)
    ]
    assert [found for found in opened if not found[0].startswith("engine/")] == [
        ("cli/doctor/linux.py", "_first_line('/proc/sys/kernel/perf_event_paranoid')"),  # a setting, not a process
    ]


def test_files_are_created_in_one_module() -> None:
    """Except the directory of a control group."""
    creates = r"^(tempfile\..*|shutil\.(?!which).*|os\.(makedirs|symlink|link|mkfifo|mknod|f?chmod))$"
    assert calls_outside(creates, "files.py") == []
    assert calls_outside(r"^os\.mkdir$", "files.py", "accounting/cgroup.py") == []
    flags = [file for file, node in nodes() if isinstance(node, ast.Attribute) and node.attr == "O_CREAT"]
    assert set(flags) <= {"files.py"}
    writes = [
        (file, text)
        for file, text in calls_outside(r"^open$", "files.py", "accounting/cgroup.py")
        if re.search(r"""open\(.*, (mode=)?['"][^'"]*[wax+]""", text)
    ]
    assert writes == []


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


def test_every_promise_of_security_md_names_existing_tests() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    promises = text.partition("## Promised")[2].partition("## Not promised")[0].strip().split("\n\n")
    assert len(promises) >= 8
    for promise in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)`", promise)
        assert named and all((ROOT / path).is_file() for path in named), promise
