"""The house: imports point down only, files have names of their own, closed forms need no torch."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import samdyn as sd

ROOT = Path(sd.__file__).parent
# From the bottom to the top: a folder imports from those before it.
FLOORS = [
    *(
        "arguments",
        "numerics",
        "theory",
        "jobs",
        "trace",
        "rules",
        "optim",
        "landscapes",
        "systems",
        "results",
        "dynamics",
    ),
    *(
        "equilibria",
        "orbit",
        "bifurcation",
        "hallucination",
        "escape",
        "rates",
        "basin",
        "morse",
        "network",
        "plot",
    ),
]
ALLOWED_UP = {
    ("results/result.py", "plot")
}  # `Result.plot`: the one place where a result asks for its picture
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))


@functools.cache
def parsed(name: str) -> ast.Module:
    """A file by its path in the package, read when it is asked for: collecting the tests needs names only."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Folders of samdyn that a file imports, at its head or later, but for the sake of annotations alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "samdyn":
            yield from [node.module.split(".")[1]] if "." in node.module else [a.name for a in node.names]
        yield from imported(node)


def test_imports_point_down() -> None:
    up = {
        (name, folder)
        for name in FILES
        if "/" in name
        for folder in imported(parsed(name))
        if FLOORS.index(folder) > FLOORS.index(name.split("/")[0])
    }
    assert up == ALLOWED_UP


@pytest.mark.parametrize("name", FILES)
def test_no_module_has_the_name_of_a_function_that_it_exports(name: str) -> None:
    """Such a module cannot be reached: the function stands in its place in the folder."""
    folder, stem = ROOT / name, Path(name).stem
    functions = {node.name for node in parsed(name).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert stem not in functions
    if stem == "__init__":
        exported = {
            a.name for node in parsed(name).body if isinstance(node, ast.ImportFrom) for a in node.names
        }
        modules = {path.stem for path in folder.parent.iterdir()}
        # what is both is the module itself: `from samdyn.rules import schedules`
        doubles = exported & modules - {
            a.name
            for node in parsed(name).body
            if isinstance(node, ast.ImportFrom) and node.module == f"samdyn.{folder.parent.name}"
            for a in node.names
        }
        assert not doubles


@pytest.mark.parametrize("folder", [name for name in FILES if name.endswith("/__init__.py")])
def test_the_text_of_a_folder_names_its_files(folder: str) -> None:
    """Which equation is in which file: nobody has to open them all."""
    text = ast.get_docstring(parsed(folder)) or ""
    files = {path.stem for path in (ROOT / folder).parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    missing = {name for name in files - {"__init__", "__pycache__"} if f"`{name}`" not in text}
    assert not missing


def test_closed_forms_need_no_torch() -> None:
    code = "import sys, samdyn.theory as t; t.kim.usam_multipliers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
