"""The driver of step lengths: paths of a flow that go side by side, each with a step of its own.

What a path does does not depend on the paths beside it: all arithmetic is by element, and the length of a
path's step follows its own error alone. How a step is taken is the affair of a `StepFormula`: Dormand &
Prince's explicit one for smooth fields (`samdyn.dynamics.dormand_prince`), Rosenbrock's linearly implicit one
for stiff fields and those that jump (`samdyn.dynamics.rosenbrock`, `samdyn.dynamics.filippov`).

Algorithm
---------
Until each path has its time behind it:

1. The step is the length that the last one recommends, not above the formula's `longest`, not below its
   floor, and no longer than the time left.
2. A step whose error is within the tolerance is accepted. At the floor it is accepted whatever its error:
   the formula says how a path crosses there (`cross`), and one whose step is not finite then is lost.
3. The next length is `safety` error^(-1/order) of this one, between a fifth and five times as long. A step
   that was cut short by the end says nothing against the longer one.
4. A path leaves when its time is over, when the formula stops it (`Attempt.stopped`), and when its steps
   fall below a given length.

References
----------
Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I (1993), II.4.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

UNDER_WAY, ARRIVED, LOST = 0, 1, 2  # what has become of a path; a formula has numbers above these
OVER = 1e-12  # of its time: less is left by rounding alone, and no step is taken for it
LEAST_FACTOR, LARGEST_FACTOR = 0.2, 5.0  # of a step to the next, as in scipy's and MATLAB's methods

Flags = npt.NDArray[np.bool_]
Status = npt.NDArray[np.int64]


class Attempt(NamedTuple):
    """A step that was tried.

    Attributes
    ----------
    new : ndarray, shape (dim, n)
    carried : ndarray, shape (k, n)
        What the next step from there takes over, such as the field at the new point.
    error : ndarray, shape (n,)
        Over the tolerance; inf where the step is not finite.
    stopped : ndarray of int, shape (n,), optional
        Why a path goes no further than its new point, and 0 where it does.
    """

    new: Array
    carried: Array
    error: Array
    stopped: Status | None = None


class StepFormula(ABC):
    """How a step is taken.

    Attributes
    ----------
    order : int
        The error of a step goes with this power of its length.
    safety : float
        The next step is so much shorter than its error allows.
    least_error : float
        Errors below are as good as this one.
    longest : float
    """

    order: int
    safety: float
    least_error: float
    longest: float = math.inf

    @abstractmethod
    def begin(self, x: Array) -> Array:
        """What the first step takes over (k, n), from points (dim, n)."""

    @abstractmethod
    def step(self, x: Array, carried: Array, length: Array) -> Attempt:
        """One step of each path, of its own length (n,)."""

    def floor(self, x: Array, carried: Array, tries: int) -> float | Array:
        """Steps are not cut below it: 0 for a field without jumps."""
        return 0.0

    def cross(self, x: Array, carried: Array, length: Array, tried: Attempt) -> Attempt:
        """The step of paths at the floor whose error is too large; what was tried by default."""
        return tried


class Followed(NamedTuple):
    """Where paths are, how long their next steps are, and what has become of them.

    Attributes
    ----------
    x : ndarray, shape (dim, n)
        nan where a path is lost.
    length : ndarray, shape (n,)
    status : ndarray of int, shape (n,)
    """

    x: Array
    length: Array
    status: Status


def follow(
    formula: StepFormula,
    x: Array,
    duration: float | Array,
    length: Array,
    *,
    most_tries: float = math.inf,
    shortest: float | Array = 0.0,
) -> Followed:
    """Paths from points for given times.

    Parameters
    ----------
    formula : StepFormula
    x : ndarray, shape (dim, n)
    duration : float or ndarray, shape (n,)
        May be infinite, where `most_tries` says when to stop.
    length : ndarray, shape (n,)
        Of the first steps.
    most_tries : float
        Steps tried, accepted or not; a path that needs more is under way still.
    shortest : float or ndarray, shape (n,)
        A path whose recommended step is shorter is lost.
    """
    n = x.shape[1]
    ends, lengths, status = (
        np.full(x.shape, np.nan),
        np.array(length, dtype=np.float64),
        np.zeros(n, np.int64),
    )
    if n == 0:
        return Followed(ends, lengths, status)
    at, h = np.arange(n), lengths.copy()
    left = np.broadcast_to(np.asarray(duration, dtype=np.float64), n).copy()
    over = np.where(np.isfinite(left), OVER * left, 0.0)
    least = np.broadcast_to(np.asarray(shortest, dtype=np.float64), n)
    carried, tries = formula.begin(x), 0
    while len(at) and tries < most_tries:
        tries += 1
        floor = formula.floor(x, carried, tries)
        step = np.minimum(np.maximum(h, floor), np.minimum(left, formula.longest))
        attempt = formula.step(x, carried, step)
        new, ahead, error = attempt.new, attempt.carried, attempt.error
        good = error <= 1
        # the lengths of accepted steps are those asked for, but for rounding
        forced = ~good & (step <= floor * (1 + 1e-9))
        crossing = bool(forced.any())
        if crossing:
            tried = Attempt(new[:, forced], ahead[:, forced], error[forced])
            crossed = formula.cross(x[:, forced], carried[:, forced], step[forced], tried)
            new[:, forced], ahead[:, forced] = crossed.new, crossed.carried
            good |= forced
        left = np.where(good, left - step, left)
        x, carried = np.where(good, new, x), np.where(good, ahead, carried)
        factor = formula.safety * np.maximum(error, formula.least_error) ** (-1 / formula.order)
        wanted = step * np.minimum(np.maximum(factor, LEAST_FACTOR), LARGEST_FACTOR)
        h = np.where(good & (step < h), np.maximum(wanted, h), wanted)
        arrived, lost = left <= over, h < least
        if crossing:
            lost = np.where(forced, ~np.isfinite(x).all(axis=0), lost)
            arrived &= ~(forced & lost)
        stopped = np.zeros(len(at), np.int64) if attempt.stopped is None else attempt.stopped
        gone = arrived | lost | (stopped > 0)
        if gone.any():
            status[at] = np.where(stopped > 0, stopped, np.where(arrived, ARRIVED, np.where(lost, LOST, 0)))
            known = gone & (status[at] != LOST)
            ends[:, at[known]], lengths[at[gone]] = x[:, known], h[gone]
            on = ~gone
            at, x, carried = at[on], x[:, on], carried[:, on]
            left, over, h, least = left[on], over[on], h[on], least[on]
    ends[:, at], lengths[at] = x, h
    return Followed(ends, lengths, status)
