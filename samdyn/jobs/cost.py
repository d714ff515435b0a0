"""What a verb will cost, said before it starts.

A verb that can take long estimates its time from its own work (one timed step, the number of cells, the order
of a matrix) and calls `announce`. Nothing is printed for short work. A user who knows the cost silences the
warning with ``warnings.simplefilter("ignore", sd.CostWarning)``.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

LONG_SECONDS = 10.0
"""Above this estimate a verb says what it will cost: shorter waits need no decision."""


INSIDE = ("samdyn.", "numpy.", "contextlib", "functools")
"""Modules whose frames a warning passes over on its way to the user's line."""


class CostWarning(UserWarning):
    """A verb is about to take longer than ten seconds by its own estimate.

    Examples
    --------
    >>> import warnings
    >>> import samdyn as sd
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", sd.CostWarning)  # what stands in this block may take long
    """


_called: ContextVar[tuple[str, str] | None] = ContextVar("_called", default=None)


@contextmanager
def part_of(verb: str, cheaper: str) -> Iterator[None]:
    """Work of other verbs within this block is announced under the name of the verb that was called.

    A user cannot change the arguments of a verb that another one calls. Of blocks within each other the
    outermost counts.

    Parameters
    ----------
    verb, cheaper
        As of `announce`, with arguments that `verb` has.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught, part_of("basins", "pass a smaller box"):
    ...     warnings.simplefilter("always")
    ...     announce("fixed_points", 30.0, "pass a smaller n_starts")
    >>> print(caught[0].message)
    basins will take about 30 s for a part of its work; pass a smaller box
    """
    token = _called.set(_called.get() or (verb, cheaper))
    try:
        yield
    finally:
        _called.reset(token)


def announce(verb: str, seconds: float, cheaper: str) -> None:
    """Warn that `verb` will take about `seconds`, if that is longer than ten seconds.

    Inside `part_of` the warning names the verb that the user called instead.

    Parameters
    ----------
    verb : str
        The public name of the verb, as the user wrote it.
    seconds : float
        The estimate; where its error is more than a factor of two or so, the caller says so in its docstring.
    cheaper : str
        What the user can change to make it cheaper, as a clause: "pass resolution=64 for a first look".

    Examples
    --------
    >>> announce("basins", 2.0, "pass a smaller resolution")
    """
    if is_long(seconds):
        called = _called.get()
        text = f"{verb} will take about {duration(seconds)}; {cheaper}"
        if called is not None:
            text = f"{called[0]} will take about {duration(seconds)} for a part of its work; {called[1]}"
        warnings.warn(text, CostWarning, stacklevel=outside())


def is_long(seconds: float) -> bool:
    """Whether a verb that takes so long says so.

    Examples
    --------
    >>> is_long(2.0), is_long(60.0)
    (False, True)
    """
    return seconds > LONG_SECONDS


def outside() -> int:
    """The `stacklevel` with which a warning points at the line of the user that led to it.

    Counted from the function that calls this one, past every frame of samdyn and of numpy's decorators.

    Examples
    --------
    >>> outside() >= 1
    True
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(INSIDE):
        frame, level = frame.f_back, level + 1
    return level


def duration(seconds: float) -> str:
    """A length of time in the unit that fits it.

    Examples
    --------
    >>> duration(42.3), duration(1000.0), duration(1e5), duration(1e9)
    ('42 s', '17 min', '28 h', '31.7 years')
    """
    for unit, size, until in (
        ("s", 1.0, 120.0),
        ("min", 60.0, 7200.0),
        ("h", 3600.0, 172800.0),
        ("days", 86400.0, 6.3e7),
    ):
        if seconds < until:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3.15576e7:.3g} years"


class Stopwatch:
    """Seconds of work of this thread since the watch was made.

    The clock's, less the time for which the thread was ready and other programs had the processor, where the
    system counts it (Linux). What the thread waited for counts, as for a loss that is evaluated elsewhere.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> watch.seconds() < 1.0
    True
    """

    def __init__(self) -> None:
        self._began = time.perf_counter() - seconds_in_queue()

    def seconds(self) -> float:
        """How long the work took until now."""
        return time.perf_counter() - seconds_in_queue() - self._began


def seconds_in_queue() -> float:
    """How long this thread has been ready without a processor so far; 0 where the system does not say.

    Examples
    --------
    >>> seconds_in_queue() >= 0
    True
    """
    try:
        counts = Path("/proc/thread-self/schedstat").read_text(encoding="ascii")
        return int(counts.split()[1]) * 1e-9
    except (OSError, ValueError, IndexError):
        return 0.0


def seconds_of(function: Callable[[], object], *, repeats: int = 1) -> float:
    """Wall-clock seconds of one call of `function`: the least of `repeats` calls, for an estimate.

    Examples
    --------
    >>> seconds_of(lambda: None) < 1.0
    True
    """
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best
