"""``timed_calls NAME PID``: follow a tree in a process of its own, apart from the benchmark's caches and descriptors.

Prints the number of processes that it sees, or "missing" if it can't follow here. Then replies to each line, a number
of samples, with the nanoseconds of CPU time of one sample.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

from benchmarks.sampler.followers import OURS, allow_descriptors, count_seen, follow


def main() -> None:
    name, pid = sys.argv[1:]
    allow_descriptors(OURS[name].descriptors if name in OURS else None)
    with ExitStack() as stack:
        call = follow(name, int(pid), stack)
        if call is None:
            print("missing", flush=True)
            return
        print(count_seen(call), flush=True)
        for line in sys.stdin:
            calls = int(line)
            before = time.thread_time_ns()
            for _ in range(calls):
                call()
            print((time.thread_time_ns() - before) / calls, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
