"""pytest fixtures for ``conftest.py``: the cost of a test and its processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import prock


@pytest.fixture
def cost(record_property: object) -> Iterator[prock.Monitor]:
    """Measures the test; the figures are also in the report (``--junit-xml``)."""
    with prock.Monitor(interval=0.02) as monitor:
        yield monitor
    assert monitor.result is not None and callable(record_property)
    record_property("cpu_ns", monitor.result.cpu_ns)
    record_property("peak_rss_bytes", monitor.result.peak_rss_bytes)


@pytest.fixture
def at_most_64_processes() -> Iterator[None]:
    """Fails the test otherwise. A peak between two samples is missed."""
    with prock.Monitor(interval=0.02) as monitor:
        yield
    assert monitor.result is not None
    assert monitor.result.peak_process_count <= 64
