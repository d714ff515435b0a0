"""Curves as polygons with controlled spacing: where they are too coarse, where they end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

MOST_POINTS = 200_000  # refinement ends here: it bounds memory where the spacing cannot be reached
SHARPEST = 1e-2  # of the largest distance: neighbours as close as this may turn by any angle


@dataclass(frozen=True)
class Limits:
    """How long an arm may grow, where it must stay, and how far its points may lie apart or turn.

    Attributes
    ----------
    length : float
    region : ndarray, shape (dim, 2), or None
    spacing : float
        Largest distance of neighbours, in coordinates times `units`.
    angle : float
        Largest angle, in the same coordinates.
    units : ndarray, shape (state_dim,), or float
        Factors of the coordinates in distances of neighbours.
    """

    length: float
    region: Array | None
    spacing: float
    angle: float
    units: Array | float = 1.0

    def inside(self, x: Array) -> npt.NDArray[np.bool_]:
        """Which points (..., dim) lie in the box."""
        if self.region is None:
            return np.ones(x.shape[:-1], dtype=bool)
        dim = len(self.region)
        position = x[..., :dim]
        return np.asarray(((position >= self.region[:, 0]) & (position <= self.region[:, 1])).all(axis=-1))

    def relevant(self, x: Array, used: float) -> npt.NDArray[np.bool_]:
        """Which gaps between neighbours of a curve continued from the length `used` lie on the arm."""
        still = np.logical_and.accumulate(self.inside(x[:-1]))
        return np.asarray(still & (used + lengths(x)[:-1] < self.length))

    def cut(self, x: Array) -> tuple[Array, str | None]:
        """The points up to where the curve leaves the box or is long enough, and which it was."""
        out = ~self.inside(x)
        first_out = int(np.argmax(out)) if out.any() else len(x)
        long = np.flatnonzero(lengths(x) >= self.length)
        first_long = int(long[0]) if len(long) else len(x)
        if min(first_out, first_long) == len(x):
            return x, None
        if first_out < first_long:
            return x[: max(first_out, 2)], "left the box"
        return x[: first_long + 1], "length"


def wide(x: Array, limits: Limits) -> npt.NDArray[np.bool_]:
    """Which gaps between neighbours are too wide, by distance or by angle: shape (n - 1,)."""
    step = np.diff(x * limits.units, axis=0)
    size = np.linalg.norm(step, axis=1)
    wide = size > limits.spacing
    if len(step) > 1:
        cosine = (step[1:] * step[:-1]).sum(axis=1) / np.maximum(size[1:] * size[:-1], 1e-300)
        turns = cosine < np.cos(limits.angle)
        coarse = size > SHARPEST * limits.spacing
        wide[1:] |= turns & coarse[1:]
        wide[:-1] |= turns & coarse[:-1]
    return np.asarray(wide)


def needed(x: Array, limits: Limits) -> npt.NDArray[np.bool_]:
    """Which points of a curve (n, dim) its spacing needs: both ends, one in each stretch of a quarter of the
    largest distance and in each turn by half the largest angle, and all that are farther apart.
    """
    x = x * limits.units
    step = np.diff(x, axis=0)
    size = np.linalg.norm(step, axis=1)
    cosine = (step[1:] * step[:-1]).sum(axis=1) / np.maximum(size[1:] * size[:-1], 1e-300)
    turn = np.arccos(np.clip(cosine, -1, 1))
    turned = np.concatenate([[0.0], np.cumsum(turn), [np.inf]])
    distance = limits.spacing / 4
    keep = np.diff(np.floor(lengths(x) / distance), prepend=-1.0) > 0
    keep[:-1] |= np.diff(np.floor(turned[:-1] / (limits.angle / 2)), prepend=-1.0) > 0
    keep[:-1] |= size > distance
    keep[1:] |= size > distance
    sharp = np.flatnonzero(turn > limits.angle)  # a hairpin keeps the close neighbours of its tip
    keep[sharp] = keep[sharp + 2] = keep[-1] = True
    return keep


def lengths(x: Array) -> Array:
    """Length of the polygon up to each of its points (n, dim)."""
    steps = np.linalg.norm(np.diff(x, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])
