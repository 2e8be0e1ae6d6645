"""``make demo``: measures a build with `prock run`, shows the tree of a running one, and does the same from Python."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = f"""\
SOURCES := $(shell find {ROOT}/native -name '*.c' | grep -v -e /fuzz/ -e /tests/ -e /threads/ -e /bpf/)
FLAGS := -std=c11 -O2 -I{ROOT}/native $(addprefix -I,$(sort $(dir $(shell find {ROOT}/native -name '*.h'))))
vpath %.c $(sort $(dir $(SOURCES)))
all: $(notdir $(SOURCES:.c=.o))
%.o: %.c; gcc $(FLAGS) -c -o $@ $<
"""
BUILD = ["make", "-s", "-j4"]
BUILD_LOOP = ["sh", "-c", "while make -s -B -j2; do :; done"]
PROGRAM = """\
import prock
result = prock.run(["make", "-s", "-B", "-j4"])
print(f"{result.cpu_ns / 1e9:.3f} s CPU, {result.peak_footprint_bytes >> 20} MiB at the peak")
print([(command.comm, command.process_count) for command in result.commands[:4]])
"""


def show(sentence: str, *command: str) -> None:
    """Prints a sentence and the command, then runs it."""
    print(f"\n{sentence}\n$ {shlex.join(command)}", flush=True)
    subprocess.run(command, check=True)


def main() -> None:
    for name in "MAKEFLAGS", "MFLAGS", "MAKELEVEL":  # of a make that runs this: each would make the build here warn
        os.environ.pop(name, None)
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    with tempfile.TemporaryDirectory(prefix="prock-demo-") as folder:
        os.chdir(folder)
        Path("Makefile").write_text(MAKEFILE)
        show("Compile prock's own C files. The report covers make and every process below it.", "prock", "run", *BUILD)
        build = subprocess.Popen(BUILD_LOOP, start_new_session=True)
        try:
            time.sleep(0.5)  # lets the build use some CPU time first
            tree = ["prock", "tree", str(build.pid), "-i", "1"]
            show("Measure a running build for a second: each process, and with '+' its whole subtree.", *tree)
        finally:
            os.killpg(build.pid, signal.SIGKILL)
            build.wait()
        print(f"\nThe same from Python:\n{PROGRAM}", flush=True)
        subprocess.run([sys.executable, "-c", PROGRAM], check=True)


if __name__ == "__main__":
    main()
