"""An arm of a stable or unstable manifold of a map, generation by generation.

Algorithm
---------
The manifold is the union of the images of a fundamental domain of it: the point with the parameter k + t, t
in [0, 1], is the image under k steps of p + d m^t v, with v the eigenvector, m its multiplier and d small. A
negative multiplier is taken with two steps at a time, one close to 1 with as many as make it `DOUBLING`.

1. Unstable: a generation is the image of the one before, all points at once. Stable: it is the preimage, and
   each point a Newton iteration that continues the branch of the inverse from the point beside it, so that
   maps need not be invertible.
2. Where two neighbours are too far apart, or the curve turns by too much between them, parameters are
   inserted halfway and carried through all generations (the inverse by Newton's method from between their
   neighbours), until the spacing holds. Errors across the manifold contract; those along it only move points
   along it.
3. Points that lie much closer than needed are dropped before the next generation.

An arm ends when it is long enough, leaves the box, arrives at a fixed point (its generations shrink so fast
that all together would add less than `END` of the largest distance), where the inverse's branch ends (the
Jacobian becomes singular), or after `MOST_GENERATIONS`.

References
----------
Hobson, J. Comput. Phys. 104 (1993) 14-22; Krauskopf & Osinga, J. Comput. Phys. 146 (1998) 404-419 (spacing by
distance and angle). England, Krauskopf & Osinga, SIAM J. Appl. Dyn. Syst. 3 (2004) 161-190 (stable manifolds
of non-invertible maps).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.numerics.scales import ROUNDING
from samdyn.orbit.curve_spacing import MOST_POINTS, Limits, lengths, needed, wide
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

DOUBLING = 2.0  # least growth in a generation; smaller growth would make many short generations
NEWTON_STEPS = 12  # of an inverse; quadratic convergence from a neighbour needs fewer, else the branch ends
MOST_GENERATIONS = 3000  # ends an arm that neither leaves nor arrives; chosen
END = 0.01  # of the largest distance between points: a smaller rest would not be seen in the polygon


def map_arm(
    function: Callable[[Tensor], Tensor],
    point: Array,
    seed: Array,
    multiplier: float,
    which: str,
    limits: Limits,
    report: Callable[[float], None],
) -> tuple[Array, str]:
    """Points of an arm from the fixed point outwards, and why it ends.

    Parameters
    ----------
    function : callable
        The map as a torch function of one point.
    point, seed : ndarray, shape (dim,)
        The fixed point, and the first displacement from it, along the eigenvector.
    multiplier : float
        Of that eigenvector.
    which : {"unstable", "stable"}
    limits : Limits
    report : callable
        Called with the arclength that has been reached, after every generation.
    """
    growth = abs(multiplier) if which == "unstable" else 1 / abs(multiplier)
    repeats = max(1, int(np.ceil(np.log(DOUBLING) / np.log(growth) - 1e-9)))
    if multiplier < 0:
        repeats += repeats % 2
    growth **= repeats
    steps = Steps(function, len(point), which == "stable", repeats, limits.length)

    def start(t: Array) -> Array:
        return np.asarray(point + growth ** t[:, None] * seed)

    first = np.linspace(0, 1, 9)
    layers = [(first, start(first))]
    curve = np.concatenate([point[None], layers[0][1]])
    while True:
        t, x = layers[-1][0], steps.all(layers[-1][1])
        failed = len(x) < len(t)
        t = t[: len(x)]
        while len(t) > 1:
            coarse = wide(np.concatenate([curve[-2:-1], x]), limits)[1:]
            coarse &= limits.relevant(x, float(lengths(curve)[-1])) & (np.diff(t) > 1e-13)
            if not coarse.any() or len(t) > MOST_POINTS:
                break
            at = np.flatnonzero(coarse)
            middle = (t[at] + t[at + 1]) / 2
            new = start(middle)
            for old_t, old_x in [*layers[1:], (t, x)]:
                guess = np.stack([np.interp(middle, old_t, column) for column in old_x.T], axis=1)
                new = steps.some(new, guess)
            found = np.isfinite(new).all(axis=1)
            t, x = np.insert(t, at[found] + 1, middle[found]), np.insert(x, at[found] + 1, new[found], axis=0)
            if not found.all():  # the arc ends where the first of them could not be reached
                keep = int(np.searchsorted(t, middle[~found].min()))
                t, x, failed = t[:keep], x[:keep], True
        t, x = _thinned(t, x, limits)
        curve, why = limits.cut(np.concatenate([curve, x[1:]]))
        report(float(lengths(curve)[-1]))
        if why is not None:
            return curve, why
        if failed:
            return curve, "fold" if which == "stable" else "diverged"
        if max(len(curve), len(t)) > MOST_POINTS:
            return curve, "points"
        if len(layers) > MOST_GENERATIONS:
            return curve, "slow"
        before, now = (float(lengths(layer)[-1]) for layer in (layers[-1][1], x))
        # what a geometric series of such generations would still add
        if now < before and now * now / (before - now) < END * limits.spacing:
            return curve, "fixed point"
        layers.append((t, x))


def _thinned(t: Array, x: Array, limits: Limits) -> tuple[Array, Array]:
    """A layer without the points that its spacing does not need; at least nine stay."""
    if len(t) <= 9:
        return t, x
    keep = needed(x, limits)
    keep[np.linspace(0, len(t) - 1, 9).astype(int)] = True
    return t[keep], x[keep]


class Steps:
    """One step of a map or of its inverse along a curve of points."""

    def __init__(
        self, function: Callable[[Tensor], Tensor], dim: int, inverse: bool, repeats: int, length: float
    ) -> None:
        self.dim, self.inverse, self.repeats, self.length = dim, inverse, repeats, length
        self._form = numpy_form(traced_or_batched(function, dim))
        if inverse:  # tracing is the larger part of the cost of a short arm
            self._jacobian = numpy_form(traced_or_batched(torch.func.jacrev(function), dim))

    def _image(self, x: Array) -> Array:
        columns: Any = list(np.ascontiguousarray(x.T))
        with np.errstate(all="ignore"):
            for _ in range(self.repeats):
                columns = [np.broadcast_to(v, len(x)) for v in self._form(*columns)]
        return np.stack(columns, axis=1)

    def _derivative(self, x: Array) -> Array:
        """Jacobians of `_image`, shape (m, dim, dim)."""
        columns: Any = list(np.ascontiguousarray(x.T))
        product = np.broadcast_to(np.eye(self.dim), (len(x), self.dim, self.dim))
        with np.errstate(all="ignore"):
            for k in range(self.repeats):
                rows = [np.broadcast_to(v, len(x)) for v in self._jacobian(*columns)]
                product = np.stack(rows, axis=-1).reshape(product.shape) @ product
                if k + 1 < self.repeats:
                    columns = [np.broadcast_to(v, len(x)) for v in self._form(*columns)]
        return product

    def all(self, x: Array) -> Array:
        """The next generation of the points of a layer, as far as it can be followed."""
        if not self.inverse:
            y = self._image(x)
            finite = np.isfinite(y).all(axis=1)
            return y if finite.all() else y[: int(np.argmin(finite))]
        # the preimage of its first point is, nearly, its last point
        preimages = [self._newton(x[:1], x[-1:])[0]]
        while np.isfinite(preimages[-1]).all() and len(preimages) < len(x):
            i = len(preimages)
            preimages.append(self._continue(x[i - 1], preimages[-1], x[i]))
        found = np.array(preimages)
        return found if np.isfinite(found[-1]).all() else found[:-1]

    def some(self, x: Array, guess: Array) -> Array:
        """The next generation of points, the inverse one near `guess`; nan where it is not found."""
        return self._newton(x, guess) if self.inverse else self._image(x)

    def _newton(self, target: Array, guess: Array) -> Array:
        """Preimages of targets (m, dim) near guesses; nan where Newton's method does not arrive."""
        y = guess.copy()
        with np.errstate(all="ignore"):
            for _ in range(NEWTON_STEPS):
                wrong = target - self._image(y)
                matrix = self._derivative(y)
                usable = np.isfinite(matrix).all(axis=(1, 2)) & (np.linalg.det(matrix) != 0)
                matrix[~usable] = np.eye(self.dim)
                correction = np.linalg.solve(matrix, wrong[..., None])[..., 0]
                correction[~usable] = np.nan
                y = y + correction
                size = np.linalg.norm(correction, axis=1)
                if (size <= ROUNDING * (self.length + np.linalg.norm(y, axis=1))).all():
                    break
            left = np.linalg.norm(target - self._image(y), axis=1)
        rounding = ROUNDING * (np.linalg.norm(y, axis=1) + np.linalg.norm(target, axis=1))
        y[~(left <= 1e-11 * self.length + rounding)] = np.nan
        return np.asarray(y)

    def _continue(self, x_from: Array, y_from: Array, x_to: Array) -> Array:
        """The preimage of `x_to` on the branch on which `y_from` is one of `x_from`, by continuation."""
        done, stride, y = 0.0, 1.0, y_from
        while done < 1:
            stride = min(stride, 1 - done)
            target = x_from + (done + stride) * (x_to - x_from)
            matrix = self._derivative(y[None])[0]
            with np.errstate(all="ignore"):
                try:
                    ahead = np.linalg.solve(matrix, stride * (x_to - x_from))
                except np.linalg.LinAlgError:
                    return np.full(self.dim, np.nan)
            new = self._newton(target[None], (y + ahead)[None])[0]
            # a correction as long as the prediction may have landed on another branch
            if not np.linalg.norm(new - y - ahead) <= 0.3 * np.linalg.norm(ahead) + 1e-13 * self.length:
                stride /= 4
                if stride < 1e-4:
                    return np.full(self.dim, np.nan)
                continue
            done, y, stride = done + stride, new, 2 * stride
        return y
