"""The texts of samdyn's modules as pages of the manual: a page for each folder, a section for each module.

Every module begins with a text that states its algorithm, where it stops and where it comes from. The pages
are written from these texts alone, without importing anything, so that none can be missed or grow stale.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "samdyn"


def name_of(path: Path) -> str:
    """The dotted name of a module or a folder."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def folders() -> list[Path]:
    """The folders of the package that hold modules, outer ones before inner ones."""
    return sorted({path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE})


def with_plain_bars(text: str) -> str:
    """The text with every |g| that stands in prose kept from being read as the name of a substitution."""
    lines, block = [], None  # the indentation of the line before a block that is taken as it stands
    for line in text.splitlines():
        indentation = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indentation <= block:
            block = None
        if block is None:
            pieces = re.split(r"(``.*?``|:math:`.*?`)", line)
            line = "".join(p if i % 2 else p.replace("|", r"\|") for i, p in enumerate(pieces))
            if line.rstrip().endswith("::") or line.lstrip().startswith(".. math::"):
                block = indentation
        lines.append(line)
    return "\n".join(lines)


def section(path: Path, title: str, character: str) -> Iterator[str]:
    """The text of a module under a title, with a target that other texts can link to."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, f"{path} has no text at its head"
    yield from (title, character * len(title), "")
    yield from (f".. py:module:: {name_of(path)}", "", f"``{name_of(path)}``", "")
    yield from (with_plain_bars(text), "")


def page(folder: Path) -> str:
    """The page of a folder: its own text, then its modules."""
    first = folder / "__init__.py"
    title = name_of(folder).partition(".")[2].replace(".", ": ").capitalize()
    lines = list(section(first, title, "#"))
    for path in sorted(folder.glob("*.py")):
        if path != first:
            lines += section(path, path.stem.replace("_", " ").capitalize(), "=")
    return "\n".join(lines)


def write(target: Path) -> None:
    """Write a page for each folder into `target`; a page that is already as it should be keeps its date."""
    target.mkdir(parents=True, exist_ok=True)
    pages = {f"{name_of(folder).partition('.')[2]}.rst": page(folder) for folder in folders()}
    for old in target.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = target / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
