"""Run every notebook under demos/ from its first cell to its last, in an empty folder.

They run in their small setting, one after the other in one kernel that forgets their names: to start a kernel
for each and to import torch took a fifth of the time. `make docs` runs each in its full setting and in a
kernel of its own. Those that it has just run, with the same text, samdyn and versions, are not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import notebook_pages
import pytest
from jupyter_client import AsyncKernelManager
from nbclient.util import run_sync


@pytest.fixture(scope="module")
def kernel() -> Iterator[AsyncKernelManager]:
    manager = AsyncKernelManager(kernel_name="python3")
    yield manager
    if manager.has_kernel:
        run_sync(manager.shutdown_kernel)(now=True)


@pytest.mark.slow
@pytest.mark.parametrize("source", notebook_pages.sources(), ids=lambda path: path.stem)
def test_notebook_runs(source: Path, kernel: AsyncKernelManager) -> None:
    if notebook_pages.key_of_copy(source) == notebook_pages.key(source):
        pytest.skip("make docs ran this notebook with this samdyn")
    notebook = notebook_pages.executed(source, kernel)
    assert notebook_pages.pictures(notebook), "a notebook ends with a picture"
