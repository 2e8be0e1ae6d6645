"""The floors of the house: as the checks hold them (``pyproject.toml``), with what each module says of itself."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import prock.engine
from manual.pages import DOCS


def floors() -> list[tuple[list[str], str]]:
    """From the top: the modules of a floor, without ``prock.``, and the first sentence of each."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    found = []
    for layer in contract["layers"]:
        names = [name.strip() for name in layer.split("|")]
        found.append(([name.removeprefix("prock.") for name in names], " ".join(map(_says, names))))
    return found


def engines() -> list[tuple[str, str]]:
    """Name and first sentence of each."""
    return [(name, _says(f"prock.engine.{name}")) for name in prock.engine.NAMES]


def _says(name: str) -> str:
    """Read, not imported: to import the command's entry would call it."""
    path = Path(prock.__path__[0], *name.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    sentence = re.match(r"(.*?\.)(?:\s|\Z)", text, re.DOTALL)
    said = " ".join((sentence[1] if sentence else text).split()).replace("``", "`")
    return said if said.endswith(".") else f"{said}."
