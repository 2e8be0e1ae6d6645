"""The same call to `subprocess` and to `prock`: what comes of it is the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.elsewhere import in_child
from support.run_engines import PORTABLE, on_both
from support.runs import PYTHON, signal_handler

import prock

MODULES: tuple[Any, Any] = (subprocess, prock)
PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL
pytestmark = on_both

STATE = """
import os, sys

links = {}
for name in os.listdir('/proc/self/fd'):
    try: links[name] = os.readlink('/proc/self/fd/' + name)
    except OSError: pass  # the directory's own
lines = [f"{name} -> {link.split('[')[0]}" for name, link in sorted(links.items())]
lines += open('/proc/self/stat').read().rpartition(')')[2].split()[1:6]
status = open('/proc/self/status').read().splitlines()
lines += [line for line in status if line.startswith(('NoNewPrivs', 'Seccomp:'))]
signals = dict(line.split() for line in status if line.startswith(('SigIgn', 'SigBlk', 'SigCgt')))
lines += [f'{name} {int(mask, 16) & ~0x180000000:x}' for name, mask in signals.items()]
mask = os.umask(0)
lines += [oct(mask), os.getcwd()]
lines += [line for line in open('/proc/self/environ', errors='replace').read().split(chr(0))]
text = os.linesep.join(line for line in lines if not line.startswith(('COLUMNS=', 'LINES=')))
file = sys.argv[1] if len(sys.argv) > 1 else 1
open(file, 'w', errors='surrogateescape').write(text + os.linesep)
"""
"""Parent, process group, session, terminal; signals; descriptors. Not what readline adds behind Python's back, nor the
signals 32 and 33, which posix_spawn leaves ignored: make, or `subprocess` in some cases, may have."""
LIBC_SIGNALS = 0x180000000
BOTH = ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]
CAT = ["/bin/cat"]


def outcome(call: Callable[[], Any]) -> Any:
    """What it answers, or what it raises, as far as a caller can see."""
    try:
        answer = call()
    except Exception as error:
        name, why = getattr(error, "filename", None), getattr(error, "strerror", None)
        # A path stays one in the error up to Python 3.12, and is a string from 3.13 on.
        return type(error), getattr(error, "errno", None), why, str(error) if name is None else os.fspath(name)
    if isinstance(answer, (subprocess.CompletedProcess, prock.RunResult)):
        return answer.returncode, answer.stdout, answer.stderr
    return answer


def same(call: Callable[[Any], Any]) -> Any:
    answers = [outcome(lambda module=module: call(module)) for module in MODULES]  # type: ignore[misc]
    assert answers[0] == answers[1]
    return answers[1]


def state(module: Any, *arguments: object, **options: Any) -> str:
    options = {"stdout": PIPE, "encoding": "utf-8", "errors": "surrogateescape", **options}
    with module.Popen([*PYTHON, STATE, *map(str, arguments)], **options) as process:
        text, _ = process.communicate()
    return re.sub(rf"\b{process.pid}\b", "PID", text or "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"capture_output": True},
        {"capture_output": True, "text": True},
        {"capture_output": True, "encoding": "utf-16", "errors": "replace"},
        {"stdout": PIPE, "stderr": STDOUT},
        {"stdout": DEVNULL, "stderr": PIPE},
        {"stdout": PIPE, "stderr": PIPE, "bufsize": 0},
        {"stdout": PIPE, "stderr": PIPE, "universal_newlines": True, "bufsize": 1},
        {"stdout": PIPE, "stderr": PIPE, "pipesize": 65536},
        {"stdout": PIPE, "stderr": PIPE, "stdin": DEVNULL, "close_fds": False},
        {"capture_output": True, "check": True},
        {"stderr": STDOUT},
        {"capture_output": True, "timeout": 60, "text": True},
    ],
    ids=str,
)
def test_output(options: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    same(lambda module: (outcome(lambda: module.run(BOTH, **options)), capfd.readouterr()))


@pytest.mark.parametrize(
    "options", [{"input": b"a\r\nb"}, {"input": "\u00e9\n", "text": True}, {"stdin": DEVNULL}], ids=str
)
def test_input(options: dict[str, Any]) -> None:
    assert same(lambda module: module.run(CAT, stdout=PIPE, **options))[0] == 0


def test_files(file: Path) -> None:
    def through(module: Any) -> tuple[Any, bytes, bytes]:
        file.write_bytes(b"content")
        with file.open("rb") as given, Path(f"{file}.out").open("wb") as out:
            answer = outcome(
                lambda: module.run(["/bin/sh", "-c", "cat; echo err >&2"], stdin=given, stdout=out, stderr=out.fileno())
            )
        return answer, file.read_bytes(), Path(f"{file}.out").read_bytes()

    assert same(through)[2] == b"contenterr\n"


def test_much_binary_data() -> None:
    data = os.urandom(1_000_000)
    assert same(lambda module: module.run(CAT, input=data, stdout=PIPE))[1] == data


ERRORS: dict[str, Callable[[Any, Path], Any]] = {
    "no such command": lambda module, file: module.run(["there-is-no-such-command"]),
    "no such file": lambda module, file: module.run([file]),
    "below a file": lambda module, file: module.run([f"{file.parent}/plain/x"]),
    "a directory": lambda module, file: module.run([file.parent]),
    "not executable": lambda module, file: module.run([f"{file.parent}/plain"]),
    "no program": lambda module, file: module.run([f"{file.parent}/rubbish"]),
    "no interpreter": lambda module, file: module.run([f"{file.parent}/orphaned"]),
    "too long": lambda module, file: module.run(["true", "x" * 200_000]),
    "too much environment": lambda module, file: module.run(["true"], env={"x": "y" * 200_000}),
    "nothing": lambda module, file: module.run([]),
    "an empty name": lambda module, file: module.run([""]),
    "a number": lambda module, file: module.run([1]),
    "a null": lambda module, file: module.run(["a\0b"]),
    "a null in the environment": lambda module, file: module.run(["true"], env={"a": "\0"}),
    "= in a name": lambda module, file: module.run(["true"], env={"a=b": "c"}),
    "no string in the environment": lambda module, file: module.run(["true"], env={"a": 1}),
    "no such directory": lambda module, file: module.run(["true"], cwd=file),
    "a file as directory": lambda module, file: module.run(["true"], cwd=f"{file.parent}/plain"),
    "an empty directory": lambda module, file: module.run(["true"], cwd=""),
    "no such executable": lambda module, file: module.run(["sh"], executable="there-is-none"),
    "no such shell": lambda module, file: module.run("true", shell=True, executable="/there/is/none"),
    "a closed descriptor": lambda module, file: module.run(["true"], pass_fds=[1000]),
    "a path in a shell": lambda module, file: module.run(Path("true"), shell=True),
    "no stream": lambda module, file: module.run(["true"], stdout="x"),
    "bytes as text": lambda module, file: module.run(CAT, input="text", stdout=PIPE),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, file: Path) -> None:
    for plain, text, mode in (("plain", "", 0o644), ("rubbish", "\x01\x02", 0o755), ("orphaned", "#!/none\n", 0o755)):
        path = file.with_name(plain)
        path.write_text(text)
        path.chmod(mode)
    before = set(os.listdir("/proc/self/fd"))
    answer = same(lambda module: ERRORS[name](module, file))
    assert isinstance(answer[0], type) and issubclass(answer[0], Exception)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cwd": "/etc"},
        {"cwd": Path("/usr/lib")},
        {"cwd": b"/usr"},
        {"env": {}},
        {"env": {"A": "", "B": "=x=", "\u00fc\U0001f600": "\u00e9", b"c": b"\xff\xfe", "PATH": "/bin"}},
        {"umask": 0o27},
        {"umask": 0},
        {"start_new_session": True},
        {"process_group": 0},
        {"start_new_session": True, "process_group": None, "umask": 0o77, "cwd": "/"},
        {"restore_signals": False},
        {"close_fds": False},
        {"stdin": DEVNULL, "stderr": STDOUT},
    ],
    ids=str,
)
def test_what_a_command_inherits(options: dict[str, Any]) -> None:
    """Also who its parent is: this process. Its group, session and terminal are this one's unless asked otherwise."""
    text = same(lambda module: state(module, **options))
    assert f"\n{os.getpid()}\n" in text


def test_what_it_inherits_is_this_processes_own() -> None:
    lines = state(prock).splitlines()
    own = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    assert [str(os.getpid()), *own[2:5]] == lines[3:7]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("echo $0 $HOME; exit 4", {"shell": True}),
        (["echo $0 $1", "zero", "one"], {"shell": True}),
        ("echo $0", {"shell": True, "executable": "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"}),
        (["other name", "-c", "echo $0"], {"executable": "sh"}),
        (["sh", "-c", "echo $0"], {"executable": Path("/bin/sh")}),
        ([b"echo", b"\xff\xfe", "\udcff"], {}),
        ("/bin/ls", {"cwd": "/etc/init.d"} if os.path.exists("/etc/init.d") else {"cwd": "/usr"}),
        ([Path("/bin/echo"), Path("x")], {}),
        (["./sh", "-c", "echo $0"], {"cwd": "/bin"}),
        (["sh", "-c", "pwd"], {"env": {"PATH": ":/nowhere"}, "cwd": "/bin"}),
        (["sh", "-c", "echo $0 $PATH"], {"env": {}}),
        (["sh", "-c", "echo"], {"env": {"PATH": "/nowhere"}}),
    ],
    ids=str,
)
def test_commands(command: Any, options: dict[str, Any]) -> None:
    same(lambda module: module.run(command, stdout=PIPE, stderr=PIPE, **options))


@pytest.mark.parametrize("close_fds", [True, False])
def test_descriptors(file: Path, close_fds: bool) -> None:
    with file.open("wb") as kept, file.open("rb") as marked, file.open("rb") as other:
        os.set_inheritable(marked.fileno(), True)
        numbers = [kept.fileno()] if close_fds else []
        text = same(lambda module: state(module, pass_fds=numbers, close_fds=close_fds))
        assert f"\n{kept.fileno()} -> {file}\n" in text or not close_fds
        assert (f"\n{marked.fileno()} -> " in text) is not close_fds
        assert f"\n{other.fileno()} -> " not in text and not os.get_inheritable(kept.fileno())


@pytest.mark.parametrize(
    "options", [{}, {"stdin": PIPE}, {"stdout": PIPE, "stderr": STDOUT}, {"stdin": DEVNULL, "stdout": PIPE}], ids=str
)
@pytest.mark.parametrize("closed", [(0,), (1, 2), (0, 1, 2)])
def test_closed_standard_descriptors(
    file: Path, closed: tuple[int, ...], options: dict[str, Any], command_engine: str
) -> None:
    def without(module: Any) -> Any:
        def check() -> Any:
            for descriptor in closed:
                os.close(descriptor)
            state(module, file, **{"stdout": None, **options})
            if module is prock and not options and command_engine != PORTABLE:
                assert not prock.run(["true"]).missing
            return [line for line in file.read_text().splitlines() if not line.isdecimal()]

        return in_child(check)

    same(without)


def test_signals() -> None:
    """Blocked ones stay blocked, ignored ones ignored; what Python ignores by itself is restored."""

    def masks(module: Any, restore: bool) -> dict[str, int]:
        command = ["grep", "^Sig[BIC]", "/proc/self/status"]
        text = module.run(command, stdout=PIPE, text=True, restore_signals=restore).stdout
        pairs = [line.split(":") for line in text.splitlines()]
        return {name: int(value, 16) & ~LIBC_SIGNALS for name, value in pairs}

    with signal_handler(signal.SIGUSR1, signal.SIG_IGN), signal_handler(signal.SIGUSR2, lambda *_: None):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGRTMIN + 3})
        try:
            restored, kept = same(lambda module: masks(module, True)), same(lambda module: masks(module, False))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    bit = {number: 1 << (number - 1) for number in signal.valid_signals()}
    assert restored["SigBlk"] & bit[signal.SIGHUP] and restored["SigIgn"] & bit[signal.SIGUSR1]
    assert not restored["SigIgn"] & bit[signal.SIGPIPE] and kept["SigIgn"] & bit[signal.SIGPIPE]


def test_streams_that_are_given_twice() -> None:
    for options in ({"capture_output": True, "stdout": PIPE}, {"input": b"", "stdin": PIPE}):
        with pytest.raises(ValueError, match="std"):
            prock.run(BOTH, **options)


def test_who_is_asked_for_the_rest() -> None:
    options: tuple[tuple[str, Any], ...] = (
        ("preexec_fn", print),
        ("user", 1),
        ("group", 1),
        ("extra_groups", [1]),
        ("process_group", 5),
    )
    for name, value in options:
        with pytest.raises(ValueError, match=f"{name}.* not supported"):
            prock.Popen(["true"], **{name: value})


def test_audit() -> None:
    def check() -> None:
        seen: list[str] = []
        sys.addaudithook(lambda event, _: seen.append(event))
        prock.run(["true"])
        assert "subprocess.Popen" in seen

    in_child(check)


@pytest.fixture
def sleeping() -> Iterator[list[Any]]:
    """One of each, that ends when the test does."""
    reader, writer = os.pipe()
    processes = [module.Popen(CAT, stdin=reader, stdout=DEVNULL) for module in MODULES]
    os.close(reader)
    yield processes
    os.close(writer)
    for process in processes:
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_signals_to_the_command(sleeping: list[Any], number: signal.Signals) -> None:
    for process in sleeping:
        assert process.poll() is None and process.returncode is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0)
        process.send_signal(0)
        process.send_signal(number)
        assert process.wait() == process.poll() == process.returncode == -number
        process.send_signal(number)
        process.kill()
        process.terminate()
        assert process.communicate() == (None, None)
        assert repr(process).endswith(f"{process.args!r}>")
    assert sleeping[0].args == sleeping[1].args


def test_no_signal(sleeping: list[Any]) -> None:
    for process in sleeping:
        with pytest.raises(OSError, match="Invalid argument"):
            process.send_signal(1000)


def test_a_process_that_is_just_over(sleeping: list[Any]) -> None:
    """Who knows that it has ended gets its exit code from `poll`."""
    for process in sleeping:
        os.kill(process.pid, signal.SIGKILL)
    process = sleeping[1]
    process.wait()
    assert process.poll() == -signal.SIGKILL


def test_timeouts_with_output() -> None:
    command = ["/bin/sh", "-c", "echo before; exec sleep 60"]

    def wait(module: Any) -> Any:
        with module.Popen(command, stdout=PIPE) as process:
            line = process.stdout.readline()
            try:
                process.communicate(timeout=0.01)
            except subprocess.TimeoutExpired as expired:
                process.kill()
                return line, expired.cmd, expired.timeout, process.communicate(), process.returncode

    assert same(wait)[4] == -signal.SIGKILL


def test_a_failed_command_as_exception() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        prock.run(BOTH, check=True, capture_output=True)
    error: Any = caught.value
    assert (error.returncode, error.cmd, error.stdout, error.stderr) == (3, BOTH, b"out\n", b"err\n")
    assert error.result.returncode == 3 and error.result.cpu_ns > 0


def test_lines_while_it_runs() -> None:
    program = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"
    with prock.Popen([*PYTHON, program], stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None and process.stdout is not None
        for word in ("one\n", "two\n"):
            process.stdin.write(word)
            assert process.stdout.readline() == word.upper()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("option", "call"),
    [
        ("timeout", lambda: prock.run(["true"], timeout="x")),  # type: ignore[arg-type]
        ("kill_after", lambda: prock.run(["true"], kill_after=None)),  # type: ignore[arg-type]
        ("interval", lambda: prock.run(["true"], interval="x")),  # type: ignore[arg-type]
        ("interval", lambda: prock.Monitor(interval="x")),  # type: ignore[arg-type]
    ],
)
def test_a_time_that_is_not_a_number(option: str, call: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=f"invalid {option} .*: use seconds"):
        call()


def test_an_expired_timeout_is_the_given_one() -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        prock.run(["sleep", "60"], timeout=0.05)
    assert caught.value.timeout == 0.05


@pytest.mark.parametrize("call", ["wait", "finish", "communicate", "kill_tree"])
def test_a_time_that_is_no_number_is_said(call: str) -> None:
    with prock.Popen(["true"]) as process:
        arguments = (None, "x") if call == "communicate" else ("x",)
        with pytest.raises(TypeError, match=r"invalid (timeout|kill_after) 'x': use seconds"):
            getattr(process, call)(*arguments)


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (["true"], {"labels": 3}),
        (["true"], {"labels": {"a": 1}}),
        (["true"], {"limits": 3}),
        (["true"], {"timeout": float("nan")}),
        (["true"], {"interval": "x"}),
    ],
)
def test_arguments_of_a_wrong_type_are_named(args: list[str], options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"invalid .*: use "):
        prock.run(args, **options)


@pytest.mark.parametrize(("number", "error"), [("x", TypeError), (None, TypeError), (999, ValueError)])
def test_a_signal_that_does_not_exist_is_an_error(number: Any, error: type[Exception]) -> None:
    with prock.Popen(["true"]) as process, pytest.raises(error, match="invalid signal"):
        process.send_tree_signal(number)
