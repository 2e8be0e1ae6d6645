"""How many source files a reader has to open to follow ``prock run true`` from the command line to its report."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from prock import engine

LIMIT = 14
TRACE = """
import json, sys
import prock.cli
root = prock.__file__.removesuffix("__init__.py")
files = {}

def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(root):
        files.setdefault(code.co_filename.removeprefix(root), set()).add(code.co_qualname)

sys.setprofile(note)
code = prock.cli.main(["run", "true"])
sys.setprofile(None)
print(json.dumps({name: sorted(functions) for name, functions in files.items()}))
sys.exit(code)
"""


@pytest.mark.skipif(engine.active.name != "native", reason="the files of the native engine are counted")
def test_a_run_passes_few_files() -> None:
    """Of `prock.cli`, `prock.runner` and `prock.report`. An ``__init__`` that only has a docstring does not count."""
    ran = subprocess.run([sys.executable, "-c", TRACE], capture_output=True, text=True, check=True)
    called = json.loads(ran.stdout)
    files = {name for name in called if name.startswith(("cli/", "runner/", "report/"))}
    files -= {name for name in files if name.endswith("__init__.py") and called.get(name) == ["<module>"]}
    print(*(f"{name}: {len(called.get(name, ()))} functions" for name in sorted(files)), sep="\n")
    assert len(files) <= LIMIT, sorted(files)
