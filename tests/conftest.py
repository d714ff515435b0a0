"""Settings that every test runs under: one thread, no windows, the same random examples each time."""

from __future__ import annotations

import gc
import os

# Before numpy and torch are imported, since both read it then. Sums come out in one order, and several test
# processes (and the workers that they start) do not fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"

from collections.abc import Iterator
from multiprocessing import forkserver
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import settings

from samdyn.jobs.processes import worker_context

if TYPE_CHECKING:
    import distributed

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


def pytest_collection_finish() -> None:
    """Garbage collections do not look through modules and tests again and again: none of those is garbage."""
    gc.freeze()


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Close the figures that a test left open."""
    yield
    plt.close("all")


@pytest.fixture
def cluster() -> Iterator[distributed.Client]:
    """A Dask cluster of two worker processes, for one test: Dask now and then does not restart one that was
    killed, and none is left over.
    """
    # imported here: few tests have a use for it, and their processes pay for it
    import dask
    import distributed

    worker_context()  # its server has imported what a worker needs
    forkserver.ensure_running()
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
