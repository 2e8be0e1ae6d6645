"""The rows: arithmetic, immutability, identity, pickling."""

from __future__ import annotations

import ast
import copy
import inspect
import operator
import pickle
import typing

import pytest
from support.made_up_runs import result

import prock
from prock import CpuTime, DiskIo, Scan
from prock._compat import namedtuple as _records


def info(**changed: object) -> prock.ProcessInfo:
    values = dict.fromkeys(prock.ProcessInfo._fields, 0) | {"state": "S", "comm": "x", "thread_count": 1}
    return prock.ProcessInfo(**(values | changed))  # type: ignore[arg-type]  # the fields are of two types


ROWS = [
    CpuTime(1, 2),
    DiskIo(1, 2, 3, 4, 5, 6, 7),
    info(pid=3),
    prock.ProcessStats(1, 2, 3, CpuTime(4, 5), info(), None, ("io",)),
    prock.TreeStats(1, CpuTime(1, 2), None, None, None, None, None, (), 0, 0),
    prock.AllStats(CpuTime(1, 2), 3, 4, None),
    prock.TreeUsage(None, 1, 2),
    prock.LivenessInfo(1, 0, 1, 1, None, "S", "x", 1, 5, 1.5),
    Scan([info(pid=1)], taken_ns=5, vanished=6, denied=7),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_rows_are_immutable_hashable_picklable_and_show_themselves(row: tuple[object, ...]) -> None:
    again = pickle.loads(pickle.dumps(row))
    assert again == row and type(again) is type(row) and hash(again) == hash(row)
    assert type(row).__name__ in repr(row)
    for name in (*getattr(row, "_fields", ()), "vanished"):
        with pytest.raises(AttributeError):
            setattr(row, name, 1)


def test_a_scan_keeps_its_coverage_through_pickle() -> None:
    copy = pickle.loads(pickle.dumps(ROWS[-1]))
    assert isinstance(copy, Scan)
    assert (copy.taken_ns, copy.vanished, copy.denied) == (5, 6, 7)


@pytest.mark.parametrize(
    ("later", "earlier", "difference"),
    [
        (CpuTime(7, 5), CpuTime(3, 4), CpuTime(4, 1)),
        (CpuTime(7, 5), CpuTime(7, 5), CpuTime(0, 0)),
        (CpuTime(1, 1), CpuTime(7, 5), CpuTime(0, 0)),
        (CpuTime(4, 9), CpuTime(5, 5), CpuTime(0, 3)),  # the split moved back: the total is what counts
        (CpuTime(9, 4), CpuTime(5, 5), CpuTime(3, 0)),
    ],
)
def test_differences_of_cpu_time_saturate_and_keep_the_total(
    later: CpuTime, earlier: CpuTime, difference: CpuTime
) -> None:
    assert later - earlier == difference
    assert (later - earlier).total_ns == max(0, later.total_ns - earlier.total_ns)


def test_sums() -> None:
    assert CpuTime(1, 2) + CpuTime(3, 4) == CpuTime(4, 6)
    assert DiskIo(1, 2, 3, 4, 5, 6, 7) + DiskIo(*[1] * 7) == DiskIo(2, 3, 4, 5, 6, 7, 8)
    assert DiskIo(1, 2, 3, 4, 5, 6, 7) - DiskIo(*[3] * 7) == DiskIo(0, 0, 0, 1, 2, 3, 4)


def test_a_time_and_a_tuple_are_not_added() -> None:
    with pytest.raises(TypeError):
        operator.add(CpuTime(1, 2), (3, 4))
    with pytest.raises(TypeError):
        operator.sub(CpuTime(1, 2), 3)


@pytest.mark.parametrize(
    ("state", "thread_count", "alive"),
    [("R", 1, True), ("Z", 1, False), ("Z", 2, True), ("X", 1, False), ("T", 1, True)],
)
def test_alive(state: str, thread_count: int, alive: bool) -> None:
    assert prock.LivenessInfo(1, 0, 1, 1, None, state, "x", thread_count, 5, 1.5).is_alive is alive


def test_errors_are_the_builtins_that_callers_expect_and_travel() -> None:
    for error, builtin in [
        (prock.AccessDenied(5, "io"), PermissionError),
        (prock.NotSupported("x"), OSError),
        (prock.MalformedProcFile(5, "stat"), ValueError),
    ]:
        copy = pickle.loads(pickle.dumps(error))
        assert isinstance(copy, builtin) and isinstance(copy, prock.ProckError)
        assert str(copy) == str(error) and vars(copy) == vars(error)


class _Ours(_records.NamedTuple):
    """A point."""

    x: int
    y: int = 2

    @property
    def sum(self) -> int:
        return self.x + self.y


class _Theirs(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 2

    @property
    def sum(self) -> int:
        return self.x + self.y


def test_records_are_the_like_of_named_tuples() -> None:
    ours, theirs = _Ours(1), _Theirs(1)
    assert tuple(ours) == ours == (1, 2) and ours.sum == 3
    assert repr(ours).replace("_Ours", "") == repr(theirs).replace("_Theirs", "")
    assert ours._asdict() == theirs._asdict() and ours._replace(y=5) == (1, 5) and _Ours._make([3, 4]) == (3, 4)
    assert copy.copy(ours) == ours and type(copy.deepcopy(ours)) is _Ours
    for name in ("_fields", "_field_defaults", "__match_args__", "__doc__", "__module__"):
        assert getattr(_Ours, name) == getattr(_Theirs, name)
    assert str(inspect.signature(_Ours)) == "(x, y=2)"
    with pytest.raises(AttributeError):
        ours.z = 1  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="'z'"):
        ours._replace(z=1)  # type: ignore[call-arg]
    for wrong in ([], [1, 2, 3]):
        with pytest.raises(TypeError):
            _Ours(*wrong)
        with pytest.raises(TypeError):
            _Ours._make(wrong)


def test_long_results_have_a_short_repr() -> None:
    rows = tuple(prock.ProcessUsage(pid, 1, "x" * 15, 10**12, 10**10, 10**12, None) for pid in range(1000))
    run = result(processes=rows, args=("x" * 5000,), stdout="y" * 5000)
    assert len(repr(run)) <= 300 and repr(run).startswith("RunResult(args=") and "cpu_ns=" in repr(run)
    assert repr(result().disk_io).endswith("write_count=20000)")
    stats = prock.ProcessStats(10**15, 4_000_000, 4_000_000, CpuTime(10**15, 10**15), info(), DiskIo(*[2**60] * 7), ())
    tree = prock.TreeStats(1, CpuTime(1, 2), None, None, None, None, None, (stats,) * 1000, 0, 0)
    for row in (stats, tree, info(rss_bytes=2**60)):
        assert len(repr(row)) <= 300
    assert "members=<1000 rows>" in repr(tree) and "info=ProcessInfo(...)" in repr(stats)


def test_a_result_prints_as_its_report() -> None:
    assert str(result()).startswith("prock: make -j2: exit code 0\n")
    with prock.Monitor(0.01) as monitor:
        pass
    assert monitor.result is not None and str(monitor.result).lstrip().startswith("time ")


def test_type_checkers_see_the_names_that_there_are() -> None:
    (block,) = (node for node in ast.parse(inspect.getsource(prock)).body if isinstance(node, ast.If))
    imports = {
        node.module: " ".join(name.name for name in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert imports == {f"prock.{module}": names for module, names in prock._NAMES.items()}  # type: ignore[attr-defined]
