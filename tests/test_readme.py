"""Run the Python of README.md and of the manual as a reader would paste it: in order, in one session."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
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


def readme_as_a_script(folder: Path) -> Path:
    """The blocks of the README as a file of a user's project."""
    blocks = [block[1] for block in BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))]
    script = folder / "user.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    return script


@pytest.mark.slow
def test_mypy_accepts_the_readme(tmp_path: Path) -> None:
    """In a user's project: lists for points, a figure saved by pyplot."""
    # the settings and the cache of `make lint`, so that samdyn itself is read from there
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    output, errors, _ = mypy_api.run([*options, str(readme_as_a_script(tmp_path))])
    complaints = [line for line in output.splitlines() if "user.py" in line]
    assert not errors
    assert not complaints, output


@pytest.mark.slow
def test_pyright_accepts_the_readme_and_the_gallery(tmp_path: Path) -> None:
    """In a user's project, with samdyn as an installed package; what it has to refuse, it refuses."""
    pytest.importorskip("pyright", reason="pyright is not installed")
    docs = ROOT / "docs"
    scripts = [*docs.glob("gallery/*/*.py"), *docs.glob("getting_started/*.py")]
    for script in scripts:
        shutil.copy(script, tmp_path)
    readme_as_a_script(tmp_path)
    (tmp_path / "wrong.py").write_text("import samdyn as sd\n\nrule: int = sd.SAM(0.1)\n", encoding="utf-8")
    settings = {"extraPaths": [str(ROOT)], "reportUnusedExpression": False}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    # the version that is installed, without a look for a newer one
    surroundings = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    options = ["--outputjson", "--pythonpath", sys.executable, "--project", str(tmp_path)]
    command = [sys.executable, "-m", "pyright", *options]
    ran = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    report = json.loads(ran.stdout)
    assert report["summary"]["filesAnalyzed"] == len(scripts) + 2
    complaints = [f"{Path(each['file']).name}: {each['message']}" for each in report["generalDiagnostics"]]
    assert len(complaints) == 1, complaints
    assert complaints[0].startswith('wrong.py: Type "SAM" is not assignable to declared type "int"')
