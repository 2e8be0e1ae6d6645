"""Run one benchmark: ``python -m benchmarks NAME [OPTION...]``; ``--list`` prints the names."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

BENCHMARKS = {
    "core": (
        "benchmarks.core.main",
        "one-shot functions and start-up, beside bare system calls and psutil",
    ),
    "sampler": ("benchmarks.sampler.main", "following process trees: cost, accuracy, overhead, beside other monitors"),
    "run": ("benchmarks.run.main", "running a command: accuracy, overhead, behaviour, beside other tools"),
    "real": ("benchmarks.real", "make, cargo, go, git ... under prock run: CPU, bounds and counts beside the kernel's"),
    "footprint": ("benchmarks.footprint", "peak memory of a tree: cost and accuracy"),
    "peak": ("benchmarks.peak", "the peak of a build, beside the largest sum of PSS of its frozen tree"),
    "recording": ("benchmarks.recording", "recordings: cost and size, SIGKILL, reports on an hour"),
    "top": ("benchmarks.top", "one refresh of prock top"),
}


def main() -> None:
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "--list"):
        if name != "--list":
            print("usage: python -m benchmarks NAME [--quick] [--save] [--help] [OPTION...]\n")
        print("\n".join(f"{name:10} {about}" for name, (_, about) in BENCHMARKS.items()))
        return
    if name not in BENCHMARKS:
        sys.exit(f"benchmarks: unknown benchmark {name!r}: use one of {', '.join(BENCHMARKS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # removes temporary files, processes and cgroups
    try:
        import_module(BENCHMARKS[name][0]).main(arguments)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
