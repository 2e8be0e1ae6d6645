"""What `make demo` shows: a tree of real processes at work, what it costs, and who told us."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

PROCK = Path(sys.executable).with_name("prock")
WORK = "while :; do sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; sleep 0.05; done"


def show(*arguments: str) -> None:
    print(f"\n$ prock {shlex.join(arguments)}", flush=True)
    subprocess.run([PROCK, *arguments], check=True)


JOB = "for i in 1 2 3; do ls / >/dev/null; done; (sort /etc/passwd | uniq -c >/dev/null &) ; sleep 0.2"


def main() -> None:
    show("run", "-v", "--", "sh", "-c", JOB)
    script = f"({WORK}) & (({WORK}) & sleep 60 & wait) & head -c 64000000 /dev/zero >/dev/null; sleep 60"
    tree = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    try:
        time.sleep(1)  # let it use some time, so that there is something to see
        show("tree", str(tree.pid), "--interval", "1")
        show("stat", str(tree.pid))
        show("scan", "-n", "5")
        show("doctor")
    finally:
        subprocess.run(["kill", "--", f"-{tree.pid}"], check=False)
        tree.wait()


if __name__ == "__main__":
    main()
