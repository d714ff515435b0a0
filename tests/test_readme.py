"""Run the Python of README.md and of the manual as a reader would paste it: in order, in one session."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from mypy import api as mypy_api

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONAL = re.compile(r"^import (heavyball|jax|optax)\b", re.MULTILINE)
"""Libraries that are only compared with: blocks on one that is not installed are left out."""
PAGES = [
    "README.md",
    *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("**/*.md"))),
]


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks or page != "README.md", "README.md shows no Python"
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        if any(importlib.util.find_spec(name) is None for name in OPTIONAL.findall(block[1])):
            continue
        # this file's own setting of annotations is not the page's; empty lines in front make a traceback give
        # the line of the page
        source = "\n" * text.count("\n", 0, block.start(1)) + block[1]
        exec(compile(source, str(path), "exec", dont_inherit=True), session)


@pytest.mark.slow
def test_the_types_of_the_readme_are_right(tmp_path: Path) -> None:
    """mypy accepts the blocks in a user's project: lists for points, a figure saved by pyplot."""
    blocks = [block[1] for block in BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))]
    (tmp_path / "user.py").write_text("\n".join(blocks), encoding="utf-8")
    # the settings and the cache of `make lint`, so that samdyn itself is read from there
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    output, errors, _ = mypy_api.run([*options, str(tmp_path / "user.py")])
    complaints = [line for line in output.splitlines() if "user.py" in line]
    assert not errors
    assert not complaints, output
