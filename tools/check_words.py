"""Fails on words that the project's text avoids: ``python tools/check_words.py [PATH ...]``, default: shipped text.

Read are names, comments, docstrings and messages of everything that git tracks below `SHIPPED`. A line that needs such
a word stands in ``tools/words_allowed.txt``, with its reason; an entry that no line needs any more fails, too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = (
    "src", "native", "binding", "benchmarks", "tools", "docs", "Makefile", "meson.build", "meson.options",
    "pyproject.toml", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md",
)  # fmt: skip
TEXT = {".py", ".pyi", ".c", ".h", ".md", ".toml", ".sh", ".1", ".ini", ".rs", ".build", ".options", ".css", ""}
ALLOWED = Path(__file__).with_name("words_allowed.txt")
GENERATED = ("native/fuzz/corpus/", "native/fuzz/kept/", "docs/_measured/", "benchmarks/core/crate/Cargo.lock")

BANNED = {
    r"who|whom|whoever|whose|whomever": "process, child, the process that",
    r"somebody|someone|everybody|everyone|nobody|no one|anybody|anyone": "a process, each process, no process",
    r"tells|told|answers|answered|asks|asked|asking|askers?|is asked": "returns, reads, reports",
    r"dear|dearly|dearer|dearest|pricey?|prices": "slow, cost, overhead",
    r"truth|truthful|truly|trust|trusted|trusts|distrust": "accuracy, exact, lower bound",
    r"given away|gave away|gives away|given back|gives back|give back|gave back|giving back": "reused; closed",
    r"the house|rooms?|the floors of the house": "package, floor",
    r"strangers?|stranger's": "other process, foreign, another user's",
    r"the likes? of": "similar",
    r"look(?:s|ed)? at once more|looked through": "checked again, scanned",
    r"in turns|of its own accord": "alternately",
    r"is no(?= [a-z])(?! longer| more)": "is not a",
}
"""Words, as a regular expression, and what stands for them."""

PATTERN = re.compile("|".join(rf"\b(?:{words})\b" for words in BANNED), re.IGNORECASE)


def files(paths: list[str]) -> list[Path]:
    """What git tracks below those paths and is text that people read."""
    listed = subprocess.run(["git", "ls-files", "--", *(paths or SHIPPED)], cwd=ROOT, capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().splitlines() if not name.startswith(GENERATED)]
    own = {Path(__file__).resolve(), ALLOWED}
    return [path for path in map(ROOT.joinpath, names) if path.suffix in TEXT and path.is_file() and path not in own]


def allowed() -> list[tuple[str, str]]:
    """Of ``path: part of a line  # reason``: path and part."""
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
    entries, used, found = allowed(), set(), 0
    for path in files(paths):
        name = path.relative_to(ROOT).as_posix()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            words = PATTERN.findall(line)
            if not words:
                continue
            excuse = next((entry for entry in entries if entry[0] == name and entry[1] in line), None)
            if excuse is not None:
                used.add(excuse)
                continue
            found += 1
            print(f"{name}:{number}: {', '.join(words)}: {line.strip()[:120]}")
    if found:
        print(f"{found} lines hold words that the project's text avoids: reword, or allow the line in {ALLOWED.name}")
    stale = [] if paths else [entry for entry in entries if entry not in used]
    for path_name, part in stale:
        print(f"{ALLOWED.name}: no line of {path_name} holds {part!r} any more: remove the entry")
    return 1 if found or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
