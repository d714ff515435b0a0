"""Run every notebook under demos/ from its first cell to its last, in a fresh kernel and an empty folder."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "demos").rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts
)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_notebook_runs(notebook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the kernel imports this checkout and picks its own inline backend, as in front of a reader
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.delenv("MPLBACKEND")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    contents = nbformat.read(ROOT / notebook, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(contents, timeout=300, kernel_name="python3", resources=resources).execute()
