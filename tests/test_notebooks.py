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


def test_costs_are_left_out_and_other_warnings_are_not() -> None:
    """An output that held the announcement of a cost lost every other warning with it."""
    cost = "/tmp/a.py:3: CostWarning: basins will take about 20 s\n  found = sd.basins(flow)\n"
    other = "/tmp/b.py:7: RuntimeWarning: the mean has not converged\n  mean = sd.mean_exit_time(x)\n"
    output = {"output_type": "stream", "name": "stderr", "text": ""}
    kept = notebook_pages.without_costs({**output, "text": cost + other + cost})
    assert kept is not None
    assert kept["text"] == other
    assert notebook_pages.without_costs({**output, "text": cost}) is None
    assert notebook_pages.without_costs({**output, "text": other}) == {**output, "text": other}
