"""Checks that the prock of this Python is installed in DIRECTORY, uses ENGINE and works.

python tools/smoke.py ENGINE DIRECTORY
"""

from __future__ import annotations

import json
import os
import subprocess
import sys


def main(wanted: str, directory: str) -> int:
    import prock
    from prock.engine import active

    assert prock.__path__[0].startswith(os.path.join(os.path.realpath(directory), "")), prock.__path__
    assert active.name == wanted, f"the engine is {active.name}"
    assert (active.launcher is not None) == (wanted == "native"), active.launcher
    assert os.path.exists(os.path.join(prock.__path__[0], "py.typed"))

    tree = prock.snapshot_tree(io=True)
    assert tree is not None and tree.process_count >= 1 and tree.rss_bytes
    with prock.TreeSampler(os.getpid()) as sampler:
        assert sampler.sample().process_count >= 1
    result = prock.run(["true"])
    assert result.returncode == 0 and result.cpu_ns, result

    def command(*arguments: str) -> str:
        words = [sys.executable, "-m", "prock", *arguments]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    checks = {check["name"]: check for check in json.loads(command("doctor", "--json"))["checks"]}
    found = {name: (checks[name]["status"], checks[name]["finding"].split(":")[0]) for name in ("engine", "launcher")}
    native = wanted == "native"
    words = {"engine": "native" if native else "pure", "launcher": "compiled" if native else "not installed"}
    assert found == {name: ("ok" if native else "limited", word) for name, word in words.items()}, found
    assert json.loads(command("stat", "--json", str(os.getpid())))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
