"""Fails on words that the project's text avoids: ``python tools/check_words.py [PATH ...]``, by default in all of it.

It reads names, comments, docstrings and messages in the text files that git tracks. A line that needs such a word is
listed in ``tools/words_allowed.txt`` as ``path: part of the line  # reason``; the path may be a pattern (``docs/*``).
An entry that no line needs any more fails, too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = (
    "src", "native", "binding", "benchmarks", "tools", "docs", "Makefile", "meson.build", "meson.options",
    "pyproject.toml", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md",
)  # fmt: skip
TEXT = {".py", ".pyi", ".c", ".h", ".md", ".toml", ".sh", ".1", ".ini", ".rs", ".build", ".options", ".css", ""}
ALLOWED = Path(__file__).with_name("words_allowed.txt")
SKIPPED = (
    "native/fuzz/corpus/", "native/fuzz/regressions/", "benchmarks/core/crate/Cargo.lock",
    "tools/check_words.py", "tools/words_allowed.txt",
)  # fmt: skip

BANNED = {
    r"who|whom|whoever|whomever": "process, child, the process that",
    r"somebody|someone|everybody|everyone|nobody|no one|anybody|anyone": "a process, each process, no process",
    r"tells|told|answers|answered|asks|asked|asking|askers?": "returns, reads, reports",
    r"dear|dearly|dearer|dearest|pricey?|prices": "slow, cost, overhead",
    r"truth|truthful|truly|trust|trusted|trusts|distrust": "accuracy, exact, lower bound",
    r"(?:given|gave|gives|giving|give) (?:away|back)": "allocated, reused; closed",
    r"the house|rooms?": "package",
    r"strangers?|stranger's": "other process, foreign, another user's",
    r"the likes? of": "similar",
    r"look(?:s|ed)? at once more|looked through": "checked again, scanned",
    r"in turns|of its own accord": "alternately",
    r"(?<!there )is no(?= [a-z])(?! longer| more)": "is not a",
}
"""Words, as a regular expression, and what to write instead."""

PATTERN = re.compile(f"(?<![a-z])(?:{'|'.join(BANNED)})(?![a-z])", re.IGNORECASE)
"""Also parts of a name: ``_`` and digits separate words."""


def files(paths: list[str]) -> list[str]:
    """The text files that git tracks below those paths."""
    command = ["git", "ls-files", "-z", "--", *(paths or SHIPPED)]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in names if name and Path(name).suffix in TEXT and not name.startswith(SKIPPED)]


def allowed() -> list[tuple[str, str]]:
    """Path and part of each line of `ALLOWED`."""
    entries = []
    for number, line in enumerate(ALLOWED.read_text().splitlines() if ALLOWED.exists() else (), 1):
        if not line or line.startswith("#"):
            continue
        entry, separator, reason = line.rpartition("  # ")
        path, colon, part = entry.partition(": ")
        if not (separator and reason.strip() and colon and part):
            sys.exit(f"{ALLOWED.name}:{number}: not 'path: part of a line  # reason'")
        entries.append((path, part))
    return entries


def main(paths: list[str]) -> int:
    entries, used, found = allowed(), set[tuple[str, str]](), 0
    for name in files(paths):
        if not (ROOT / name).is_file():  # deleted, not committed yet
            continue
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
            if not PATTERN.search(line):
                continue
            for path, part in entries:
                if part in line and fnmatchcase(name, path):
                    used.add((path, part))
                    line = line.replace(part, "")
            if words := PATTERN.findall(line):
                found += 1
                print(f"{name}:{number}: {', '.join(words)}: {line.strip()[:120]}")
    if found:
        print(f"{found} lines have words that the project's text avoids: reword, or allow the line in {ALLOWED.name}")
    stale = [] if paths else [entry for entry in entries if entry not in used]
    for path, part in stale:
        print(f"{ALLOWED.name}: no line of {path} has {part!r} any more: remove the entry")
    return 1 if found or stale else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # the reader, such as head, has closed the output
        sys.exit(1)
