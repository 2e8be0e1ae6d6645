"""Rows that no kernel has to make."""

from __future__ import annotations

from typing import Any

from prock.model import ProcessInfo, ProcessStats


def row(pid: int, ppid: int, **changed: Any) -> ProcessInfo:
    return ProcessInfo(
        pid=pid,
        ppid=ppid,
        pgrp=pid,
        session=0,
        tty_nr=0,
        state="S",
        comm=f"p{pid}",
        thread_count=1,
        start_ticks=pid,
        user_ns=0,
        system_ns=0,
        children_user_ns=0,
        children_system_ns=0,
        rss_bytes=4096,
        vsize_bytes=8192,
        minor_faults=0,
        major_faults=0,
        children_minor_faults=0,
        children_major_faults=0,
    )._replace(**changed)


def member(pid: int, ppid: int, **changed: Any) -> ProcessStats:
    info = row(pid, ppid, **changed)
    return ProcessStats(taken_ns=0, pid=pid, ppid=ppid, cpu_time=info.cpu_time, info=info, disk_io=None, refused=())
