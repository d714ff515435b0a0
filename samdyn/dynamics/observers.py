"""Observers: what is looked at while paths are driven.

An observer names the steps after which it looks (`at`), is shown the points of the copies that are driven
together, and may say which of them are done: those are moved no further. What it has gathered of a piece of
a job is its `state`, arrays that the verb merges.

===========  ================================================  ===============================================
observer     what it keeps                                     whose it is
===========  ================================================  ===============================================
`Record`     the points at its steps                           `trajectory`, `orbit_diagram`,
                                                               `hallucinated_share`
`Moments`    means and squares of the displacement             `mean_squared_displacement`
`Watcher`    curves and limit sets, many points at a time      `convergence` (`samdyn.rates.observation`)
===========  ================================================  ===============================================

What is asked within a step, or after each of very many steps, is printed together with the step into one
compiled loop instead: first exits with their bridge (`samdyn.escape.kernel.exit_test`, `sweep.hpp`), arrivals
at attractors (`samdyn.basin.paths.native_arrival`, `arrive.hpp`), and the two sets of splitting
(`samdyn.escape.rare.native_stopping`, `stop.hpp`). Tangent directions are no observer: they are a part of the
state of a map of their own, which is driven like any other (`samdyn.orbit.lyapunov_frames`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

Copies: TypeAlias = slice | npt.NDArray[np.int64]
"""Places of the copies that are shown: a slice, or an array where some of a tile are done."""
Flags: TypeAlias = npt.NDArray[np.bool_]


class Observer(ABC):
    """What is looked at on the way.

    Attributes
    ----------
    at : ndarray of int
        The steps after which it looks, in increasing order; 0 is the start.
    """

    at: npt.NDArray[np.int64]

    @abstractmethod
    def __call__(self, record: int, copies: Copies, points: Array) -> Flags | None:
        """Look at copies.

        Parameters
        ----------
        record : int
            The number of the look: it is after step ``at[record]``.
        copies : slice or ndarray of int
            Which copies these are.
        points : ndarray, shape (n, dim)
            Their points, to be copied if they are kept.

        Returns
        -------
        ndarray of bool, shape (n,), or None
            Which are done; None for none of them.
        """

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What it has gathered, as arrays by name."""
        return {}


class Nothing(Observer):
    """Looks at nothing: of paths whose last points alone are wanted."""

    at = np.empty(0, dtype=np.int64)

    def __call__(self, record: int, copies: Copies, points: Array) -> None:
        """It is never shown anything."""


class Record(Observer):
    """The points at some steps.

    Parameters
    ----------
    at : ndarray of int, shape (n_at,)
    n, dim : int
        Copies, and coordinates of a point.
    keep : ndarray of int, optional
        The steps whose points are kept, all of `at` by default.

    Examples
    --------
    >>> record = Record(np.array([0, 5]), 3, 1)
    >>> record(1, slice(0, 3), np.ones((3, 1)))
    >>> record.state()["x"].shape
    (2, 3, 1)
    """

    def __init__(
        self, at: npt.NDArray[np.int64], n: int, dim: int, keep: npt.NDArray[np.int64] | None = None
    ) -> None:
        self.at = at
        kept = at if keep is None else keep
        self.row_of = {int(step): row for row, step in enumerate(kept)}
        self.x = np.empty((len(kept), n, dim))

    def __call__(self, record: int, copies: Copies, points: Array) -> None:
        """Keep the points."""
        row = self.row_of.get(int(self.at[record]))
        if row is not None:
            self.x[row, copies] = points

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The points, `x` of shape (n_kept, n, dim)."""
        return {"x": self.x}


class Moments(Observer):
    """Moments of the displacement of paths from their start at each look, tile after tile.

    Tiles, and the pieces of a job (`merge_moments`), are merged by the pairwise update of Chan, Golub and
    LeVeque.

    Parameters
    ----------
    at : ndarray of int, shape (n_at,)
    start : ndarray, shape (dim,)
    along : ndarray, shape (dim,), optional
        A direction: the square is of the displacement along it.

    Attributes
    ----------
    counts : ndarray of int, shape (n_at,)
        Paths that were looked at.
    mean, square : ndarray, shape (n_at, dim + 1)
        Means, and sums of squared deviations, of the displacement by coordinate and of its square.
    lost : ndarray of int, shape (n_at,)
        Paths that are not finite.

    References
    ----------
    Chan, Golub & LeVeque, The American Statistician 37 (1983) 242-247.
    """

    def __init__(self, at: npt.NDArray[np.int64], start: Array, along: Array | None = None) -> None:
        self.at, self.start, self.along = at, start, along
        self.mean, self.square = np.zeros((len(at), len(start) + 1)), np.zeros((len(at), len(start) + 1))
        self.counts, self.lost = np.zeros(len(at), dtype=np.int64), np.zeros(len(at), dtype=np.int64)

    def __call__(self, record: int, copies: Copies, points: Array) -> None:
        """Merge the moments of these copies."""
        moved = points.T - self.start[:, None]
        squared = (moved**2).sum(axis=0) if self.along is None else (self.along @ moved) ** 2
        looked_at = np.vstack([moved, squared])
        self.lost[record] += (~np.isfinite(moved).all(axis=0)).sum()
        mean = looked_at.mean(axis=1)
        square = ((looked_at - mean[:, None]) ** 2).sum(axis=1)
        before = int(self.counts[record]), self.mean[record], self.square[record]
        self.counts[record], self.mean[record], self.square[record] = merge_moments(
            before, (points.shape[0], mean, square)
        )

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """`mean`, `square` and `lost`."""
        return {"mean": self.mean, "square": self.square, "lost": self.lost}


def merge_moments(one: tuple[int, Array, Array], other: tuple[int, Array, Array]) -> tuple[int, Array, Array]:
    """Counts, means and sums of squared deviations of two samples together.

    Examples
    --------
    >>> merge_moments((1, np.array([1.0]), np.array([0.0])), (1, np.array([3.0]), np.array([0.0])))
    (2, array([2.]), array([2.]))
    """
    if not one[0]:
        return other
    n, share = one[0] + other[0], other[0] / (one[0] + other[0])
    gap = other[1] - one[1]
    return n, one[1] + share * gap, one[2] + other[2] + one[0] * share * gap**2
