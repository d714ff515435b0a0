"""Run the examples in the docstrings of every module; those of public names need nothing but `sd`."""

from __future__ import annotations

import ast
import builtins
import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import samdyn

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "samdyn").rglob("*.py")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)
    failures: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder().find(module):
        runner.run(example, out=failures.append)
    assert runner.failures == 0, "\n" + "".join(failures)


def public_objects(holder: ModuleType, path: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """The public classes and functions with the names under which a user reaches them."""
    for name in getattr(holder, "__all__", ()):
        value = getattr(holder, name)
        if inspect.ismodule(value) and value.__name__.startswith("samdyn.") and value not in seen:
            seen.add(value)
            yield from public_objects(value, f"{path}.{name}", seen)
        elif inspect.isclass(value) or inspect.isroutine(value):
            yield f"{path}.{name}", value


PUBLIC = dict(public_objects(samdyn, "sd", set()))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_an_example_can_be_copied_after_import_samdyn_as_sd(name: str) -> None:
    """Every name that an example uses is `sd`, a builtin, or made or imported in the example itself."""
    for example in doctest.DocTestFinder().find(PUBLIC[name], name, globs={}):
        trees = [ast.parse(part.source) for part in example.examples]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        known = {"sd", *dir(builtins)}
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                known |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.arg):
                known.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        assert used <= known, f"{example.name} uses {sorted(used - known)}"
