"""What is recorded on the way of a convergence experiment, and the search for limit sets at its end.

The last `WINDOW` steps of every replica are searched for periods up to `MAX_PERIOD`:

- "fixed point": they stay within 1e-9 of their mean, relative to the diagonal of the loss's box (to one plus
  the size of the mean without a box), and so does the point that they are on their way to;
- "cycle": x(t + p) - x(t) is below 1e-3 of the extent, for the smallest such p, and so is the way to go;
- "bounded set": no period; chaos, or noise;
- "moving": (without noise) the means of about `BLOCKS` parts of the window go on and on in one direction, by
  more than 1e-3 of the extent in all, or the means of its halves differ by more than half the extent, or the
  way to go is longer than a fixed point or cycle allows: what looks like rest, or like a cycle, or like
  chaos, is on its way somewhere else;
- "undecided": (with noise) no motion is seen, but the run is too short to exclude one; see
  `samdyn.rates.settling`, which decides for noisy runs between "bounded set", "moving" and this;
- "diverged": not finite, or so large that distances overflow.

The way to go is read off the means of the halves of the window: if they are apart by d2 now and were by d1
half a window before, d2 is the first term of a geometric series of ratio d2/d1. A small step alone does not
make a fixed point: a small learning rate makes small steps anywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.dynamics.observers import Copies, Observer
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.numerics.scales import displacement_tolerance
from samdyn.rates.curves import KINDS

WINDOW = 64  # last steps that are looked at: four times the longest period
MAX_PERIOD = 16  # longer periods count as a bounded set
BLOCKS = 8  # parts of the window whose means show whether it moves
BUFFER_VALUES = 1 << 20  # numbers held before they are judged together: 8 MiB


class Watcher(Observer):
    """Keeps the last steps of every replica, and evaluates what is recorded, many points at a time."""

    def __init__(
        self,
        loss: Any,
        reference: tuple[Array, float],
        steps: npt.NDArray[np.int64],
        window: npt.NDArray[np.int64],
        owner: npt.NDArray[np.int64],
        replica: npt.NDArray[np.int64],
        curves: dict[str, Array],
    ) -> None:
        self.loss, self.curves = loss, curves
        self.minimisers, self.infimum = reference
        self.owner, self.replica = owner, replica
        self.at = np.union1d(steps, window)
        self.time = {int(r): i for i, r in enumerate(np.searchsorted(self.at, steps))}
        self.place = {int(r): i for i, r in enumerate(np.searchsorted(self.at, window))}
        n = len(owner)
        self.recent = np.empty((len(window), 0, loss.dim))
        self.kind, self.period = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.centre, self.extent = np.empty((n, loss.dim)), np.empty(n)
        self.drifts = np.zeros(n, dtype=bool)
        self.waiting: list[tuple[int, Copies, Array]] = []
        self.held = 0
        self.hessian: Array | None = None
        structured = isinstance(loss, FiniteSum) and (loss.squares is not None or loss.quadratics is not None)
        if structured and len(self.minimisers) == 1:
            hessian = loss.hessian(self.minimisers[0])
            # a point that was given need not be the minimiser
            if np.abs(loss.gradient(self.minimisers[0])).max() <= 1e-9 * np.abs(hessian).max():
                self.hessian = hessian

    def __call__(self, record: int, part: Copies, points: Array) -> None:
        """Keep the points: they are judged many at a time."""
        if record in self.place:
            if self.place[record] == 0:
                self.recent = np.empty((len(self.place), *points.shape))
            self.recent[self.place[record]] = points
            if self.place[record] == len(self.place) - 1:
                self._describe(part)
        if record in self.time:
            self.waiting.append((self.time[record], part, points.copy()))
            self.held += points.size
            if self.held >= BUFFER_VALUES:
                self.flush()

    def flush(self) -> None:
        """Evaluate the points that wait."""
        if not self.waiting:
            return
        x = np.concatenate([points for _, _, points in self.waiting])
        off = x[:, None, :] - self.minimisers
        results: dict[str, Array] = {}
        with np.errstate(all="ignore"):
            if self.curves["gap"].shape[1]:
                if self.hessian is not None:
                    results["gap"] = np.einsum("ni,ni->n", off[:, 0] @ self.hessian, off[:, 0]) / 2
                else:
                    results["gap"] = self.loss.value(x) - self.infimum
            if self.curves["gradient_norm"].shape[1]:
                results["gradient_norm"] = np.linalg.norm(self.loss.gradient(x), axis=1)
            if self.curves["distance"].shape[1]:
                results["distance"] = np.linalg.norm(off, axis=2).min(axis=1)
        start = 0
        for time, part, points in self.waiting:
            for quantity, value in results.items():
                self.curves[quantity][self.owner[part], time, self.replica[part]] = value[
                    start : start + len(points)
                ]
            start += len(points)
        self.waiting, self.held = [], 0

    def _describe(self, part: Copies) -> None:
        """Centre, extent and period of the last steps of a tile."""
        x = self.recent
        with np.errstate(all="ignore"):
            centre = x.mean(axis=0)
            extent = np.linalg.norm(x - centre, axis=2).max(axis=0)
            period = np.zeros(x.shape[1], np.int64)
            for p in range(min(MAX_PERIOD, len(x) // 2), 0, -1):
                drift = np.linalg.norm(x[p:] - x[:-p], axis=2).max(axis=0)
                period[drift <= 1e-3 * extent] = p
            for p in np.unique(period[period > 0]):
                # over whole periods, so that the mean is the centre of the cycle
                on, whole = period == p, x[-(len(x) // p * p) :]
                centre[on] = whole[:, on].mean(axis=0)
                extent[on] = np.linalg.norm(whole[:, on] - centre[on], axis=2).max(axis=0)
            room_of_rest = displacement_tolerance(self.loss.box, centre, 1e-9)
            still = extent <= room_of_rest
            drifts = np.zeros(len(period), dtype=bool)
            for p in np.unique(period):
                drifts[period == p] = _drifts(x[:, period == p], extent[period == p], int(p))
            for p in np.unique(period[(period > 0) | still]):
                on = (period == p) & ((period > 0) | still)
                room = np.where(still, room_of_rest, 1e-3 * extent)[on]
                drifts[on] = np.where(still[on], False, drifts[on]) | (_way_to_go(x[:, on], int(p)) > room)
        period[still] = 1
        kind = np.where(still, 0, np.where(period > 0, 1, 2))
        # an extent that overflows would pass for a small part of a centre whose size overflows as well
        bounded = np.isfinite(centre).all(axis=1) & np.isfinite(extent)
        kind[~bounded] = KINDS.index("diverged")
        period[kind >= 2] = 0
        self.kind[part], self.period[part], self.centre[part], self.extent[part] = (
            kind,
            period,
            centre,
            extent,
        )
        self.drifts[part] = drifts

    def limit_sets(self, noisy: bool) -> tuple[Any, Any, Array, Array]:
        """Kind, period, centre and extent of every replica."""
        if not noisy:
            moving = self.drifts & (self.kind != KINDS.index("diverged"))
            self.kind[moving], self.period[moving] = KINDS.index("moving"), 0
        return self.kind, self.period, self.centre, self.extent


def _way_to_go(x: Array, period: int) -> Array:
    """How far paths (n_steps, n, dim) of one period still go if their steps shrink as they do: shape (n,)."""
    length = len(x) // 3 // max(period, 1) * max(period, 1)
    if not length:
        return np.zeros(x.shape[1])
    means = x[-3 * length :].reshape(3, length, *x.shape[1:]).mean(axis=1)
    before, now = np.linalg.norm(np.diff(means, axis=0), axis=2)
    rounding = 8 * np.finfo(float).eps * np.abs(x).max(axis=(0, 2))
    ratio = now / np.where(before > 0, before, 1.0)
    way = np.where(ratio < 1, now * ratio / np.where(ratio < 1, 1 - ratio, 1.0), np.inf)
    return np.where(now <= rounding, 0.0, way)


def _drifts(x: Array, extent: Array, period: int) -> Array:
    """Whether paths (n_steps, n, dim) of one period go on in one direction while they turn around."""
    half, length = len(x) // 2, max(len(x) // BLOCKS, 1)
    if period:
        length = period * -(-length // period)  # whole periods, so that all blocks of a cycle have one mean
    blocks = len(x) // length
    means = x[-blocks * length :].reshape(blocks, length, *x.shape[1:]).mean(axis=1)
    way = means[-1] - means[0]
    along = np.einsum("bni,ni->bn", means, way)
    steady = (np.diff(along, axis=0) > 0).all(axis=0) & (blocks > 2)
    far = np.linalg.norm(x[:half].mean(axis=0) - x[half:].mean(axis=0), axis=1) > 0.5 * extent
    return np.asarray(far | (steady & (np.linalg.norm(way, axis=1) > 1e-3 * extent)))
