"""How local worker processes start.

On Linux they are forked from a server: a fresh process of Python that has imported `PRELOADED`, the packages
that every worker needs, and nothing of samdyn or of the user. It starts with the first worker, ends with
this process, and has never run a thread of torch, so that forking it is safe where forking this process is
not. A worker then takes one second of a processor until it works, and all of them share the memory of those
packages; a process that imports them itself takes five seconds and 400 MB. Elsewhere each worker is a fresh
process (the system libraries of macOS do not survive a fork, Windows has none).

Both kinds import the user's main module again, so that a script must start workers below
``if __name__ == "__main__":``. Workers of the server see the environment variables that were set when the
first of them started.
"""

from __future__ import annotations

import functools
import multiprocessing
import sys
from multiprocessing.context import BaseContext

__all__ = ["worker_context"]

# torch._dynamo is what torch loads when it traces for the first time; samdyn itself is not among them, since
# the server may find another copy of it on its path than this process has
PRELOADED = ["torch", "torch._dynamo", "networkx", "scipy.optimize", "scipy.spatial", "scipy.stats", "tqdm"]


@functools.cache
def worker_context() -> BaseContext:
    """The context of multiprocessing that worker processes belong to.

    Examples
    --------
    >>> worker_context().get_start_method() in ("forkserver", "spawn")
    True
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
