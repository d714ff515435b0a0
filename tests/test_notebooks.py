"""Run every notebook under demos/ from its first cell to its last, in a fresh kernel and an empty folder.

They run in their small setting (`notebook_pages.in_small`); `make docs` runs them in the full one. Those that
it has just run, with the same text, samdyn and versions, are not run a second time.
"""

from __future__ import annotations

from pathlib import Path

import notebook_pages
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("source", notebook_pages.sources(), ids=lambda path: path.stem)
def test_notebook_runs(source: Path) -> None:
    if notebook_pages.key_of_copy(source) == notebook_pages.key(source):
        pytest.skip("make docs ran this notebook with this samdyn")
    notebook = notebook_pages.executed(source, small=True)
    assert notebook_pages.pictures(notebook), "a notebook ends with a picture"
