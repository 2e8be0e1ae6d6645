"""``prock tree``."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from support import processes
from support.command_line import Watch, environment, prock, prock_json
from support.made_up import member
from support.run_engines import PORTABLE, on_both
from support.subjects import Family

from prock.cli.output import Screen
from prock.cli.top.model import lines, plant
from prock.cli.top.render import SNAPSHOT_COLUMNS, Pen
from prock.cli.tree import members_of
from prock.model import CpuTime, ProcessStats, TreeStats
from prock.report.layout import format_bytes

pytestmark = on_both

MEMBER_KEYS = {
    "pid", "ppid", "depth", "comm", "cmdline", "state", "start_ticks", "thread_count", "cpu_time_ns",
    "cpu_time_with_children_ns",
    "rss_bytes", "vsize_bytes", "disk_io", "refused", "subtree_process_count", "subtree_thread_count",
    "subtree_rss_bytes", "subtree_processes_with_io", "fd_count", "subtree_fd_count",
}  # fmt: skip
SINCE_START = {
    "subtree_cpu_time_ns", "subtree_cpu_time_with_children_ns", "subtree_read_bytes", "subtree_write_bytes"
}  # fmt: skip
OF_INTERVAL = {
    "cpu_percent", "subtree_cpu_percent", "subtree_read_bytes_per_s", "subtree_write_bytes_per_s"
}  # fmt: skip


def rows(text: str) -> list[list[str]]:
    """Words of each line of the table."""
    return [line.split() for line in text.split("\n\n")[0].split("\n")]


def drawn(members: list[ProcessStats]) -> list[str]:
    tree = TreeStats(0, CpuTime(0, 0), None, None, None, None, None, tuple(members), 0, 0)
    pen = Pen(Screen(), with_io=False, columns=SNAPSHOT_COLUMNS)
    return pen.table(lines(plant(members_of(tree), 1), sort="pid"))


def test_shape_of_json(family: Family) -> None:
    answer = prock_json("tree", family.head)
    assert set(answer) == {"schema", "root_pid", "interval_s", "totals", "coverage", "members"}
    assert (answer["schema"], answer["root_pid"], answer["interval_s"]) == ("prock.tree/1", family.head, None)
    assert set(answer["coverage"]) == {"vanished", "denied", "ended_in_interval"}
    assert all(set(row) == MEMBER_KEYS | SINCE_START for row in answer["members"])
    assert [row["depth"] for row in answer["members"]] == [0, 1, 2, 2]
    assert [row["pid"] for row in answer["members"]] == [family.head, family.middle, *sorted(family.grandchildren)]


def test_sums_of_subtrees(family: Family) -> None:
    head, middle, *leaves = prock_json("tree", family.head)["members"]
    assert [row["subtree_process_count"] for row in (head, middle, *leaves)] == [4, 3, 1, 1]
    assert middle["subtree_rss_bytes"] == middle["rss_bytes"] + sum(row["rss_bytes"] for row in leaves)
    assert head["subtree_rss_bytes"] == head["rss_bytes"] + middle["subtree_rss_bytes"]
    assert head["subtree_cpu_time_ns"] == sum(row["cpu_time_ns"] for row in (head, middle, *leaves))
    assert head["subtree_write_bytes"] == sum(row["disk_io"]["write_bytes"] for row in (head, middle, *leaves))


def test_totals_agree_with_the_root(family: Family) -> None:
    answer = prock_json("tree", family.head)
    totals, root = answer["totals"], answer["members"][0]
    assert totals["process_count"] == root["subtree_process_count"]
    assert totals["rss_bytes"] == root["subtree_rss_bytes"]
    assert totals["cpu_time_ns"] == root["subtree_cpu_time_ns"]
    assert totals["cpu_time_with_children_ns"] == root["subtree_cpu_time_with_children_ns"]


def test_drawing(family: Family) -> None:
    header, *lines = rows(prock("tree", family.head).stdout)
    assert header == ["PID", "S", "THR", "CPU", "CPU+", "RSS", "RSS+", "PROCS", "READ+", "WRITE+", "COMMAND"]
    python = os.path.basename(processes.WORKER)
    assert lines[0][10:14] == ["head:", python, "-S", "-c"]
    assert lines[1][10:13] == ["└─", "middle:", python]
    assert [line[-2:] for line in rows(prock("tree", family.head, "--no-args").stdout)[1:3]] == [
        ["head:", python],
        ["middle:", python],
    ]
    assert [line[10] for line in lines[2:]] == ["├─", "└─"]
    assert {int(line[0]) for line in lines} == family.pids


def test_drawing_in_ascii(family: Family) -> None:
    done = prock("tree", family.head, "--depth", "1", env=environment(PYTHONIOENCODING="ascii"))
    assert done.stdout.isascii()
    assert rows(done.stdout)[2][10:13] == ["`-", "[+2]", "middle:"]
    assert len(rows(done.stdout)) == 3


def test_folded_levels_stay_in_the_totals(family: Family) -> None:
    _, head = rows(prock("tree", family.head, "--depth", "0", "--no-io").stdout)
    whole = prock_json("tree", family.head)["members"]
    assert head[0] == str(family.head)
    assert head[6:10] == [format_bytes(whole[0]["subtree_rss_bytes"]), "4", "[+3]", "head:"]


def test_without_io_no_io_is_asked_for(family: Family) -> None:
    done = prock("tree", family.head, "--no-io")
    assert rows(done.stdout)[0] == ["PID", "S", "THR", "CPU", "CPU+", "RSS", "RSS+", "PROCS", "COMMAND"]
    members = prock_json("tree", family.head, "--no-io")["members"]
    assert all(row["disk_io"] is None and row["subtree_read_bytes"] is None for row in members)


def test_sorting(spawn: processes.Spawn) -> None:
    """Three siblings: one of them busy, one large, one with many threads."""
    program = spawn(
        "def child(name, act):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        libc.prctl(1, 9); libc.prctl(15, name); act(); say(); signal.pause()\n"
        "def grow(): global block; block = b'x' * 50_000_000\n"
        "def threads():\n"
        "    for _ in range(5): threading.Thread(target=signal.pause, daemon=True).start()\n"
        "child(b'large', grow); child(b'busy', lambda: burn(0.3)); child(b'many', threads)\n"
        "wait()\n"
    )
    for _ in range(3):
        program.hears()

    def order(key: str) -> list[str]:
        return [row["comm"] for row in prock_json("tree", program.pid, "--sort", key)["members"][1:]]

    assert order("pid") == ["large", "busy", "many"]
    assert order("name") == ["busy", "large", "many"]
    assert order("cpu")[0] == "busy"
    assert order("rss")[0] == "large"
    assert order("threads")[0] == "many"
    assert sorted(order("io")) == ["busy", "large", "many"]


def test_interval_counts_who_was_born_and_who_ended(spawn: processes.Spawn, command_engine: str) -> None:
    """In the interval an old child works on, ends and is waited for; a new one works and stays; one comes and goes."""
    program = spawn(
        "def child():\n"
        "    pid = os.fork()\n"
        "    if pid == 0: libc.prctl(1, 9)\n"
        "    return pid\n"
        "more, less = os.pipe()\n"
        "old = child()\n"
        "if old == 0:\n"
        "    burn(0.2); say('up'); os.read(more, 1)\n"
        "    burn(0.3); os._exit(0)\n"
        "sys.stdin.readline(); os.write(less, b'x'); os.waitpid(old, 0)\n"
        "short = child()\n"
        "if short == 0: burn(0.1); os._exit(0)\n"
        "os.waitpid(short, 0)\n"
        "new = child()\n"
        "if new == 0: burn(0.1); say('done'); signal.pause()\n"
        "wait()\n"
    )
    program.hears()
    watch = Watch("tree", program.pid, "--json")
    program.tell()
    assert program.hears() == ["done"]
    code, out, _ = watch.end()
    answer = json.loads(out)
    assert (code, answer["coverage"]["ended_in_interval"]) == (0, 1)
    root, new = answer["members"]
    assert set(root) == MEMBER_KEYS | OF_INTERVAL
    used = {row["pid"]: row["subtree_cpu_percent"] * answer["interval_s"] / 100 for row in (root, new)}
    assert used[new["pid"]] >= (0.08 if command_engine == PORTABLE else 0.099)  # there two counters lag by a tick each
    # 0.1 + 0.1 + 0.1, less two ticks of 10 ms each for what cannot be known: the time of children that root and old
    # child had waited for before (less than a tick reads as 0), and the end of root's waited time now.
    assert used[root["pid"]] >= 0.24
    assert used[root["pid"]] < 0.45  # what the old child had used before is not of the interval
    assert root["cpu_percent"] < root["subtree_cpu_percent"]


def test_interval_draws_percent_and_says_who_ended(family: Family) -> None:
    watch = Watch("tree", str(family.head))
    os.kill(family.grandchildren[0], signal.SIGKILL)
    os.kill(family.middle, signal.SIGKILL)
    while set(processes.descendants(family.head)) != {family.middle}:  # the grandchildren have gone to another parent
        pass
    code, out, errors = watch.end()
    assert (code, errors) == (0, "")
    assert rows(out)[0] == [
        "PID",
        "S",
        "THR",
        "%CPU",
        "%CPU+",
        "RSS",
        "RSS+",
        "PROCS",
        "READ+/s",
        "WRITE+/s",
        "TIME+",
        "COMMAND",
    ]
    assert "middle (zombie)" in out


def test_a_root_that_ends_in_the_interval(spawn: processes.Spawn) -> None:
    program = spawn("say(); wait()")
    program.hears()
    watch = Watch("tree", program.pid)
    program.popen.kill()
    program.popen.wait()
    assert watch.end() == (1, "", f"prock tree: process {program.pid} ended during the interval\n")


def test_refused_io_is_neither_zero_nor_hidden(family: Family, as_other_user: dict[str, Any]) -> None:
    done = prock("tree", family.head, **as_other_user)
    assert all(line[8:10] == ["-", "-"] for line in rows(done.stdout)[1:])
    assert "io of 4 denied" in done.stdout
    answer = prock_json("tree", family.head, **as_other_user)
    assert answer["coverage"]["denied"] == 4
    assert all(row["disk_io"] is None and "io" in row["refused"] for row in answer["members"])


def test_partly_known_sums_say_so() -> None:
    known = member(1, 0)
    hidden = known._replace(pid=2, ppid=1, info=None, refused=("stat",))
    root, refused = drawn([known, hidden])[1:]
    assert root.split() == ["1", "S", "1", "0.000s", "0.000s", "4.0K", "4.0K", "2", "p1"]
    assert refused.split() == ["2", "?", "-", "-", "-", "-", "-", "1", "└─", "?", "(access", "denied)"]


def test_a_very_deep_tree_is_drawn() -> None:
    lines = drawn([member(pid, pid - 1) for pid in range(1, 5001)])
    assert len(lines) == 5001
    assert lines[-1].endswith("└─ p5000")
    assert max(map(len, lines)) < 400


def test_strangers_and_cycles_are_drawn_once() -> None:
    """A scan is not atomic: here 3 and 4 are each other's parents, and the parent of 5 is nowhere."""
    members = [member(1, 0), member(2, 1), member(3, 4), member(4, 3), member(5, 77)]
    assert sorted(int(line.split()[0]) for line in drawn(members)[1:]) == [1, 2, 3, 4, 5]
