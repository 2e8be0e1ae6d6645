"""What the library itself says of how true its figures are, and what they cost: read from it, so that it can't drift.

How the CPU time is judged is arithmetic, and is asked for every case there is. Where the other figures come from stands
in `prock.runner.build_result` as texts, which are read from its source.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import prock
import prock.runner.build_result
import prock.sampling.footprint
from prock.accounting.estimate import CpuReadings, estimate_cpu
from prock.model import CpuTime

ORDER = "cpu user_system root_cpu memory largest_process cgroup_peak io faults processes".split()
STOLEN = re.compile(r"[\d.]+ % were stolen")
COST = re.compile(r"\bCost(?P<of> a member)?: (?P<price>.*?)\.$", re.DOTALL | re.MULTILINE)
"""Up to a full stop that ends a line, as they are written."""


class Trust(NamedTuple):
    """A line of the table: what `prock.Source` can say."""

    figure: str
    source: str
    bias: str


def of_a_run() -> list[Trust]:
    """All that a `prock.RunResult` can say in `sources`, each once, with all sources that say it."""
    sources: dict[tuple[str, str], list[str]] = {}
    for said in (*_of_cpu(), *_of_account()):
        sources.setdefault((said.figure, said.bias), []).extend(said.source.split(", "))
    rows = [Trust(figure, ", ".join(dict.fromkeys(names)), bias) for (figure, bias), names in sources.items()]
    return sorted(rows, key=lambda row: ORDER.index(row.figure))


def _of_cpu() -> Iterator[Trust]:
    some = CpuTime(6_000_000, 4_000_000)
    asked = ("auto", "cgroup", "perf", "waited", "ledger")
    totals = (None, some.total_ns)
    more = (None, some.total_ns, 10**9)  # what the others saw, and the cgroup did not
    systems = ({}, {"hands_on": False}) if "hands_on" in CpuReadings._fields else ({},)
    for ask, group, perf, stolen, waited, adopts, ledger, system in itertools.product(
        asked, (None, some), totals, (0.0, 0.25), (None, some), (False, True), more, systems
    ):
        if ask in ("cgroup", "perf") and (group if ask == "cgroup" else perf) is None:
            continue  # what was asked for alone and can't be had is an error, no answer
        verdict = estimate_cpu(CpuReadings(ask, group, perf, stolen, waited, adopts, ledger, **system))
        for source in verdict.sources:
            if source.bias != "unknown":
                yield Trust(source.figure, source.source, STOLEN.sub("so many % were stolen", source.bias))


def _of_account() -> Iterator[Trust]:
    tree = ast.parse(inspect.getsource(prock.runner.build_result))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Source":
                    if any(isinstance(argument, ast.Starred) for argument in call.args):
                        continue
                    for texts in itertools.product(*(_texts(argument, function, call) for argument in call.args)):
                        yield Trust(*texts)


def _texts(node: ast.expr, function: ast.FunctionDef, before: ast.expr) -> list[str]:
    """All texts that an expression can come to, as far as `account.py` goes."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return [*_texts(body, function, before), *_texts(other, function, before)]
        case ast.JoinedStr(values=parts):
            return ["".join(each) for each in itertools.product(*(_texts(part, function, before) for part in parts))]
        case ast.FormattedValue(value=value):
            return _texts(value, function, before)
        case ast.Name(id=name):
            return [text for value in _assigned(name, function, before) for text in _texts(value, function, before)]
        case ast.Attribute(attr="bias"):
            return [value for name, value in vars(prock.sampling.footprint).items() if name.startswith("BIAS_OF_")]
        case ast.Attribute(attr="source"):
            return ["rss or pss"]
    raise ValueError(f"line {node.lineno} of account.py: what can {ast.unparse(node)} be?")


def _assigned(name: str, function: ast.FunctionDef, before: ast.expr) -> list[ast.expr]:
    """What that name was given in the function, since the last time that it was used as a bias."""
    uses = [
        call.lineno
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Source"
        and any(isinstance(argument, ast.Name) and argument.id == name for argument in call.args)
    ]
    since = max((line for line in uses if line < before.lineno), default=0)
    return [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        and since < node.lineno <= before.lineno
    ]


def costs() -> list[tuple[str, str]]:
    """Of every function, in the order of their names: what its docstring says it costs."""
    found = []
    for name in prock.__all__:
        value = getattr(prock, name)
        match = COST.search(inspect.getdoc(value) or "") if inspect.isfunction(value) else None
        if match:
            price = " ".join(match["price"].replace("``", "`").split())
            found.append((name, f"{match['of'].strip()}: {price}" if match["of"] else price))
    return found
