"""The manual: each example of it is run, and what it lists is what there is."""

from __future__ import annotations

import doctest
import importlib
import re
from importlib import metadata
from pathlib import Path

import pytest
from manual import commands, consoles, figures, manpage, readme
from manual.pages import DOCS, all_pages
from manual.render import render
from support.command_line import prock

import prock as package
from prock.cli import COMMANDS

PAGES = {str(path.relative_to(DOCS)): path for path in all_pages() if path.stem not in ("changelog", "security")}
"""Those two are documents of the project, word for word."""
PEERS = """
    psutil GNU perf.stat runexec con-duct denet resource-tracker psrecord Procpath gpu-tracker cmdbench memory_profiler
"""
COMPARED = {"measured.md", "run.md"}
"""Where others are named: the comparison, and the fields of GNU time. The engine on psutil has a part of its own."""
NAMED = re.compile(r"^\.\. auto\w+:: prock\.(\w+)$", re.MULTILINE)
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_do_what_it_says(name: str) -> None:
    text = PAGES[name].read_text(encoding="utf-8")
    made = render(name, text)
    assert len(made) > 100 or name == "recipes/index.md"
    assert not re.search(r"^`{3,}\{(?!eval-rst|toctree|raw|code-block)", made, re.MULTILINE), "a fence that nobody made"


@pytest.mark.parametrize("module", ["pages", "consoles", "cells", "commands", "figures", "readme", "house", "manpage"])
def test_examples_of_what_makes_the_manual(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"manual.{module}")).failed == 0


@pytest.mark.parametrize(
    "wrong",
    [
        "```{run}\n$ false\n```\n",
        "```{run}\n:exit: 3\n$ true\n```\n",
        "```{run}\n$ false\n$ true\n```\n",
        "```{run}\n$ python3 -c 'import traceback; traceback.print_stack(); print(\"Traceback\")'\n```\n",
        "```{run}\nls\n```\n",
        "```{cell}\n1 / 0\n```\n",
        "```python\n>>> 1 + 1\n3\n```\n",
        "```{readme} No such section\n```\n",
        "```{options} nonsense\n```\n",
        "```{program} nonsense.py\n```\n",
    ],
)
def test_a_wrong_example_is_noticed(wrong: str) -> None:
    with pytest.raises(consoles.Disagreement):
        render("wrong.md", wrong)


def test_cells_share_their_names_and_examples_theirs() -> None:
    made = render(
        "p.md", "```{cell}\nx = 1\n```\n```{cell}\nx + 1\n```\n```python\n>>> y = 1\n```\n```python\n>>> y\n1\n```\n"
    )
    assert "````text\n2\n````" in made


def test_every_public_name_is_in_the_library_pages_once() -> None:
    pages = [path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")]
    named = sorted(name for page in pages for name in NAMED.findall(page))
    assert named == sorted(package.__all__)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_tables_have_the_options_that_the_command_has(name: str) -> None:
    told = {flag for _, options in commands.sections(name) for option in options for flag in option.flags}
    usage = prock(name, "--help").stdout.partition(f"{commands.epilog(name)[:20]}")[0]
    rows = re.findall(r"^  (-[^ ].*?)(?:  |$)", usage, re.MULTILINE)
    assert told | {"-h", "--help"} == {flag for row in rows for flag in FLAG.findall(row)}
    assert f"```{{options}} {name}\n" in (DOCS / "command.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_options_that_a_page_names_exist(name: str) -> None:
    """Also where it is only named, or stands in a file that can't be run here."""
    text = PAGES[name].read_text(encoding="utf-8").replace("\\\n>", "")
    for command, words in re.findall(rf"\bprock ({'|'.join(COMMANDS)})\b([^`\n]*)", text):
        own = re.split(r" -- |[|;#]| [a-z./]", f"{words} ")[0]  # what follows is another program's
        known = {flag for _, options in commands.sections(command) for option in options for flag in option.flags}
        for flag in FLAG.findall(own):
            assert flag in known | {"-h", "--help"}, f"prock {command} {words}"


@pytest.mark.parametrize("accounting", ["auto", "perf", "waited", "ledger"])
def test_whatever_a_run_says_of_its_figures_is_in_the_table(accounting: str) -> None:
    try:
        result = package.run(["sh", "-c", "ls / >/dev/null; (sleep 0.01 &) ; sleep 0.1"], accounting=accounting)
    except package.NotSupported:
        pytest.skip(f"no {accounting} here")
    told = {(row.figure, row.bias) for row in figures.of_a_run()}
    said = {(source.figure, figures.STOLEN.sub("so many % were stolen", source.bias)) for source in result.sources}
    assert len(said) > 4 and said <= told


def test_the_man_page_is_what_is_made_of_the_parsers_and_comes_with_the_package() -> None:
    kept = manpage.PAGE.read_text(encoding="utf-8")
    assert kept == manpage.page(), "make docs writes it anew"
    (installed,) = (file for file in metadata.files("prock") or () if file.match("share/man/man1/prock.1"))
    assert Path(str(installed.locate())).read_text(encoding="utf-8") == kept


def test_every_function_has_its_cost_in_the_table() -> None:
    assert {name for name, _ in figures.costs()} == {name for name in package.__all__ if name[0].islower()}


def test_every_page_is_found() -> None:
    listed = "\n".join(path.read_text(encoding="utf-8") for path in all_pages())
    listed += (DOCS / "_ext/manual/render.py").read_text(encoding="utf-8")
    lost = [
        name for name in PAGES if name != "index.md" and not re.search(rf"\b{re.escape(Path(name).stem)}\b", listed)
    ]
    assert not lost


@pytest.mark.parametrize("name", sorted(set(PAGES) - COMPARED))
def test_others_are_named_where_they_are_compared(name: str) -> None:
    text = PAGES[name].read_text(encoding="utf-8")
    assert not [peer for peer in PEERS.split() if re.search(rf"\b{peer}\b", text)]


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_what_a_benchmark_kept_becomes_a_section(tmp_path: Path, level: int) -> None:
    assert readme.saved(tmp_path) == ""
    text = f"`python core.py`\n\n{'#' * level} CPU\n\n- #1\n\n#{'#' * level} Below\n"
    (tmp_path / "core.md").write_text(text, encoding="utf-8")
    assert readme.saved(tmp_path) == (
        "## In full: core\n\n`python core.py`\n\n### CPU\n\n- #1\n\n#### Below\n"
    )  # fmt: skip


def test_sections_of_the_readme_are_whole() -> None:
    section = readme.section("How cheap")
    assert section.startswith("Printed by") and "#" not in section
    with pytest.raises(KeyError, match="no section 'How ch'"):
        readme.section("How ch")
