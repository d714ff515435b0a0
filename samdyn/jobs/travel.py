"""Whether a job can be sent to the processes that would run it; asked before any work."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any


def check_picklable(value: Any, spawned: bool) -> None:
    """Refuse what cannot be sent to another process.

    Parameters
    ----------
    value : object
        What is to be sent.
    spawned : bool
        Whether the process starts afresh, so that it knows nothing that was typed into a session.

    Raises
    ------
    ValueError
    """
    try:
        data = pickle.dumps(value)
    except Exception as error:
        raise not_picklable(error) from error
    if spawned and b"__main__" in data and not hasattr(sys.modules["__main__"], "__file__"):
        raise not_picklable("it uses a function or class of this interactive session")


def check_travel(value: Any, workers: int, executor: Executor | None, threads: bool = False) -> None:
    """Refuse what cannot be sent to the processes that would run it, where there are any.

    Parameters
    ----------
    value : object
    workers, executor
        As of `samdyn.jobs.workers.run_pieces`.
    threads : bool
        Whether local workers are threads.
    """
    if (workers > 1 and not threads) or isinstance(executor, ProcessPoolExecutor):
        check_picklable(value, spawned=executor is None)


def not_picklable(reason: object) -> ValueError:
    """The refusal of what cannot be sent, for a reason."""
    return ValueError(
        "system and region must be picklable to be sent to worker processes, "
        f"got one that is not ({reason}): define its functions at the top level of a "
        "module (a .py file that workers can import), not as a lambda or inside another function, "
        "or use workers=1"
    )
