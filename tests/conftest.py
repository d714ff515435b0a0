"""Settings that every test runs under: one thread, no windows, the same random examples each time."""

from __future__ import annotations

import os

# Before numpy and torch are imported, since both read it then. Sums come out in one order, and several test
# processes (and the workers that they start) do not fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import settings

# torch compiles and allocates in the first example, which no deadline per example should count
settings.register_profile("samdyn", deadline=None, derandomize=True)
settings.load_profile("samdyn")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked gpu on a machine without one."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Close the figures that a test left open."""
    yield
    plt.close("all")
