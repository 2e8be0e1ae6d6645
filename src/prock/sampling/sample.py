"""A sample of a followed tree: its totals, and its members, with rows that are built on first use."""

from __future__ import annotations

from prock.model import Identity, MemberSample, TreeTotals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class TreeSample(TreeTotals):
    """One sample of a tree: the fields of `TreeTotals`, and the members.

    >>> with prock.TreeSampler() as sampler:
    ...     sample = sampler.sample()
    >>> sample.process_count == len(sample.members) and sample.root.pid == sample.root_pid
    True
    """

    @property
    def members(self) -> tuple[MemberSample, ...]:
        """Root first, then breadth first; orphans that another process adopted follow the root. Built on first use."""
        make = self.__dict__.get("_make_members")
        if make is not None:  # several threads may build them; all get the tuple that was stored first
            self.__dict__.setdefault("members", tuple(make()))
            self.__dict__.pop("_make_members", None)
        members: tuple[MemberSample, ...] = self.__dict__["members"]
        return members

    @property
    def root(self) -> MemberSample | None:
        """The root process; None once it has ended, reaped or not. Its descendants remain the tree."""
        first = next(iter(self.members), None)
        is_root = first is not None and first.identity == self.__dict__["_root"]
        return first if first is not None and is_root and first.is_alive else None

    @property
    def root_identity(self) -> Identity:
        """``(pid, start_ticks)`` of the root, whether or not it lives."""
        root: Identity = self.__dict__["_root"]
        return root

    @property
    def sharing(self) -> tuple[int, ...]:
        """Pids of members whose address space is also another member's: their memory is not in the totals again."""
        sharing: tuple[int, ...] = self.__dict__["_sharing"]
        return sharing

    @property
    def totals(self) -> TreeTotals:
        """The sample without its members: smaller, for storing many samples."""
        return TreeTotals(*self)

    def _replace(self, **changes: Any) -> TreeSample:
        return _sample_of(super()._replace(**changes), self.__dict__["_root"], self.members, self.sharing)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name}: a TreeSample is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return _sample_of, (tuple(self), self.__dict__["_root"], self.members, self.sharing)


def _sample_of(
    totals: Iterable[Any], root: Identity, members: tuple[MemberSample, ...], sharing: tuple[int, ...]
) -> TreeSample:
    sample = TreeSample(*totals)
    sample.__dict__.update(_root=root, _sharing=sharing, members=members)
    return sample
