"""What a process builds once for a job, and lets go of when others come.

The pieces of a job share a traced step, or an observer's tables; these are no data that travel, and each
process builds them when its first piece arrives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The last few things that were built, by key; safe for several threads.

    Parameters
    ----------
    most : int
        How many are kept.

    Examples
    --------
    >>> kept = Kept(most=2)
    >>> kept("job", lambda: [1]) is kept("job", lambda: [2])
    True
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._built: dict[str, T] = {}
        self._lock = threading.Lock()

    def __call__(self, key: str, build: Callable[[], T]) -> T:
        """What was built under this key, or what `build` makes now."""
        with self._lock:  # an executor may run several pieces in threads of one process
            if key not in self._built:
                made = build()
                while len(self._built) >= self.most:
                    del self._built[next(iter(self._built))]
                self._built[key] = made
            return self._built[key]

    def forget(self, key: str) -> None:
        """Let go of what was built under this key."""
        with self._lock:
            self._built.pop(key, None)
