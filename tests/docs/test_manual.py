"""README and manual: their examples run, and what they list exists."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import manpage
import manual
import pytest

import prock
from prock.cli import COMMANDS

DOCS, ROOT = manual.DOCS, manual.ROOT
PAGES = {str(path.relative_to(ROOT)): path for path in manual.pages()}


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_run(name: str) -> None:
    manual.refreshed(PAGES[name])


def test_small_programs_have_at_most_eight_lines() -> None:
    blocks = [
        body for kind, body, _ in manual.FENCE.findall((DOCS / "recipes/small.md").read_text()) if kind == "python"
    ]
    sizes = [len([line for line in body.split("\n") if line]) for body in blocks]
    assert len(sizes) >= 8 and max(sizes) <= 8


@pytest.mark.parametrize(
    "page",
    [
        "```console\n$ false\n```\n",
        "```console\n$ false\n$ true\n```\n",
        "```console\n$ python3 -c 'print(\"Traceback\")'\n```\n",
        "```python\n1 / 0\n```\n",
        "```python\n>>> 1 + 1\n3\n```\n",
    ],
)
def test_an_example_that_fails_is_reported(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manual, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(page)
    with pytest.raises(manual.ExampleError, match=r"^page\.md, line 1: "):
        manual.refreshed(tmp_path / "page.md")


def test_output_is_written_below_its_example(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo a\nold\n$ false; echo $?\n```\n```python\nprint(1)\n```\n\n```text\nold\n```\n")
    assert manual.refreshed(page) == (
        "```console\n$ echo a\na\n$ false; echo $?\n1\n```\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
    )


def test_the_keys_of_the_documents_are_those_of_the_docstrings() -> None:
    text = (DOCS / "command.md").read_text(encoding="utf-8")
    assert manual.with_keys(text) == text and text.count("JSON (`prock.") == 11, "run tools/manual.py docs/command.md"


@pytest.mark.parametrize("module", [manual, manpage])
def test_examples_of_the_tools(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_every_public_name_is_in_the_library_pages_once() -> None:
    pages = [path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")]
    named = [name for page in pages for name in re.findall(r"^\.\. auto\w+:: prock\.(\w+)$", page, re.MULTILINE)]
    assert sorted(named) == sorted(prock.__all__)


def test_the_overview_says_what_each_function_and_class_to_call_is_for() -> None:
    overview = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    assert [name for name in prock.__all__ if name[0].islower() and f"`{name}`" not in overview] == []


@pytest.mark.parametrize("name", PAGES)
def test_the_options_that_a_page_names_exist(name: str) -> None:
    text = PAGES[name].read_text(encoding="utf-8").replace("\\\n>", "")
    for command, words in re.findall(rf"\bprock ({'|'.join(COMMANDS)})\b([^`\n]*)", text):
        own = re.split(r" -- |[|;#]| [a-z./]", f"{words} ")[0]  # the rest belongs to another program
        known = {flag for action in manpage.parser_of(command)._actions for flag in action.option_strings}
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", own)) <= known, f"prock {command} {words}"


@pytest.mark.parametrize("accounting", ["auto", "perf", "waited", "ledger"])
def test_the_sources_of_a_run_are_in_the_table(accounting: str) -> None:
    try:
        result = prock.run(["sh", "-c", "ls / >/dev/null; (sleep 0.01 &) ; sleep 0.1"], accounting=accounting)
    except prock.NotSupported:
        pytest.skip(f"no {accounting} here")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", (DOCS / "accuracy.md").read_text(), re.MULTILINE)
    assert len(result.sources) > 4
    for source in result.sources:
        kind = re.match(r"exact|lower bound|upper bound|estimate", source.bias)
        assert kind, source
        assert any(
            row[0] == source.figure and kind[0] in row[2] and set(source.source.split(", ")) & set(row[1].split(", "))
            for row in rows
        ), source


def test_the_man_page_is_made_of_the_parsers_and_installed() -> None:
    kept = manpage.PAGE.read_text(encoding="utf-8")
    assert kept == manpage.page(), "run tools/manpage.py"
    (installed,) = (file for file in metadata.files("prock") or () if file.match("share/man/man1/prock.1"))
    assert Path(str(installed.locate())).read_text(encoding="utf-8") == kept


def test_contributing_lists_the_packages_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("<!-- packages -->")[2].partition("<!-- /packages -->")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert [row.replace("`", "").split(", ") for row in rows] == [
        layer.replace("prock.", "").split(" | ") for layer in layers
    ]


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    pages = [path.relative_to(DOCS).with_suffix("") for path in manual.pages() if path.is_relative_to(DOCS)]
    entries = set(re.findall(r"^[a-z/-]+$", listed, re.MULTILINE))
    assert [str(page) for page in pages if str(page) != "index" and not {str(page), page.name} & entries] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_the_demo_fits_on_a_screen() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "demo.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len((done.stdout + done.stderr).splitlines()) <= 40
