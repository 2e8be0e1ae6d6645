"""Keeps workers running, and restarts a worker that uses too much memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import prock


class Workers:
    """A number of processes of one command, each in its own process group."""

    def __init__(self, command: list[str], count: int, most_bytes: int) -> None:
        self.command, self.count, self.most_bytes = command, count, most_bytes
        self.forest = prock.Forest()
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start_missing(self) -> None:
        while len(self.running) < self.count:
            worker = subprocess.Popen(self.command, process_group=0)
            self.running[worker.pid] = worker
            self.forest.add(worker.pid)  # exists: not reaped yet

    def check(self) -> None:
        """One sample of all trees."""
        for pid, tree in self.forest.sample().items():
            code = self.running[pid].poll()
            if code is not None:
                print(
                    f"ended with {code}, after {tree.cpu_ns / 1e9:.2f} s of CPU",
                    flush=True,
                )
                self.forest.remove(pid)
                del self.running[pid]
            elif tree.rss_bytes is not None and tree.rss_bytes > self.most_bytes:
                print(f"too much: {tree.rss_bytes >> 20} MiB", flush=True)
                os.killpg(pid, signal.SIGTERM)  # not reaped yet: no reused pid

    def stop(self) -> None:
        for pid, worker in self.running.items():
            os.killpg(pid, signal.SIGKILL)
            worker.wait()
        self.forest.close()


def main() -> None:
    count, mebibytes, rounds, *command = sys.argv[1:]
    workers = Workers(command, int(count), int(mebibytes) << 20)
    try:
        for _ in range(int(rounds)):
            workers.start_missing()
            time.sleep(0.25)
            workers.check()
    finally:
        workers.stop()


if __name__ == "__main__":
    main()
