"""The trees that ``prock top`` follows, and their samples."""

from __future__ import annotations

import time

from prock import engine
from prock.cli import output
from prock.cli.top.model import Picture
from prock.sampling.command_lines import CommandLines
from prock.sampling.forest import SEARCH_SHARE, Forest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Unpack

    from prock.cli.selectors import Selector
    from prock.cli.top.model import Totals
    from prock.model import MemberSample
    from prock.sampling.options import SamplingKeywords


class MemberCommandLines:
    """The command lines of the members of the latest sample; zombies have none."""

    def __init__(self, *, arguments: bool) -> None:
        self._lines = CommandLines(engine.active, arguments=arguments)

    def read(self, members: Sequence[MemberSample]) -> None:
        self._lines.keep({member.identity for member in members})
        self._lines.read((member.identity, member.comm) for member in members if member.is_alive)

    def of(self, member: MemberSample) -> tuple[str, ...] | None:
        return self._lines.get(member.identity, member.comm) if member.is_alive else None


class Source:
    """Samples the trees, and keeps the previous sample for rates."""

    def __init__(
        self,
        title: str,
        find: Callable[[], Iterable[int]],
        *,
        newcomers: bool = False,
        arguments: bool = True,
        **options: Unpack[SamplingKeywords],
    ) -> None:
        self.title = title
        """Contains text from outside, not escaped."""
        self._find = find
        self._newcomers = newcomers
        self._forest = Forest(**options)
        self._cmdlines = MemberCommandLines(arguments=arguments)
        self._roots: set[int] = set()
        self._before: Picture | None = None
        self._past: Totals | None = None
        self._search()

    def __bool__(self) -> bool:
        """Whether a tree was found."""
        return bool(self._roots)

    def look(self, due_ns: int | None = None, skipped: int = 0) -> Picture:
        """Sample now. `due_ns` and `skipped` are for the fields `late_ns` and `skipped` of the samples."""
        if self._newcomers and time.monotonic_ns() >= self._search_due_ns:
            self._search()
        picture = self._picture(due_ns, skipped)
        if picture.totals.is_over and self._newcomers and self._search():
            picture = self._picture(due_ns, skipped)
        for sample in picture.samples:
            # A tree that has ended is shown once; then only its CPU time is kept.
            if sample.is_over and self._newcomers:
                self._forest.remove(sample.root_pid)
                self._roots.discard(sample.root_pid)
                self._past = Picture([sample], past=self._past).totals
        return picture

    def close(self) -> None:
        self._forest.close()

    def _picture(self, due_ns: int | None, skipped: int) -> Picture:
        samples = self._forest.sample(due_ns=due_ns, skipped=skipped)
        self._cmdlines.read([member for sample in samples.values() for member in sample.members])
        self._before = Picture(list(samples.values()), self._before, self._past, self._cmdlines.of)
        return self._before

    def _search(self) -> bool:
        """Returns whether a new tree was found."""
        began_ns = time.monotonic_ns()
        before = len(self._roots)
        found = self._find()
        ended_ns = time.monotonic_ns()
        self._search_due_ns = ended_ns + SEARCH_SHARE * (ended_ns - began_ns)
        for root in found:
            if root in self._roots:
                continue
            try:
                self._forest.add(root)
            except (ProcessLookupError, ValueError):  # ended, or already a member of another tree
                continue
            self._roots.add(root)
        return len(self._roots) > before


def of(selector: Selector, *, arguments: bool = True, **options: Unpack[SamplingKeywords]) -> Source:
    """Follow the selected trees. `arguments`: show them, not only the name of the command."""
    source = Source(selector.title, selector.find, newcomers=selector.successors, arguments=arguments, **options)
    if not source:
        raise output.Failure(selector.missing)
    return source
