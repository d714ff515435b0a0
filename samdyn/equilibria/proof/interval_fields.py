"""Bounds of a system's field and its Jacobian over boxes, through the jumps of a normalised rule.

A rule of the SAM family moves the point at which the gradient is taken by e(x) = a g + r g/|g|: a = rho
(1 - lam) and r = rho lam (GD 0 and 0, USAM rho and 0, SAM 0 and rho). From an interval of g:

1. The range of g/|g| is known exactly, component by component (`samdyn.equilibria.proof.unit_vectors`). Where
   the interval of g contains 0 it is the range of all limits of g/|g|.
2. The field -grad f(x + e(x)) is bounded by the gradient over the box of x + e, intersected with its mean-
   value form, whose Jacobian is -H(x + e) (I + a H + (r/|g|) (I - u u^T) H), u = g/|g|, wherever the interval
   of g excludes 0.
3. Where it does not, the field jumps. Its values lie in the union over all ascent directions of -grad f(x
   + a g + r u), abs(u) <= 1: the ball of directions is covered by small cubes, each is bounded by itself,
   and the hull of them counts (`PerturbedField.descent`), or a zero is excluded if every cube excludes it
   (`excludes_zero`, which needs the sphere abs(u) = 1 only: u = 0 is the critical point itself).

Any other system, given by a function or by another rule, is bounded through its own traced function; where
that divides by |g| = 0 the bounds are infinite.

References
----------
Moore, Kearfott & Cloud, Introduction to Interval Analysis (SIAM 2009). Own derivation for g/|g|.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.equilibria.proof.unit_vectors import (
    Index,
    direction_cover,
    matrix_product,
    split_directions,
    sum_of,
    tangent_projector,
    unit_range,
)
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics import interval as iv
from samdyn.numerics.interval import Flags, Interval
from samdyn.trace.interval_forms import IntervalForm, mean_value
from samdyn.trace.tracing import coordinate_form

TILE = 1 << 16  # pairs of a box and a set of directions held at a time
DIRECTION_HALVINGS = 12  # of a set of directions before a box stays open; chosen
TURN = 0.5


class Field(Protocol):
    """Bounds of a function R^dim -> R^dim over boxes."""

    dim: int

    def value(self, lower: Array, upper: Array) -> tuple[Interval, Flags]:
        """Bounds (n, dim) and where the function is certainly continuous (n,)."""
        ...

    def slopes(self, lower: Array, upper: Array) -> Interval:
        """Bounds (n, dim, dim) of the Jacobian."""
        ...

    def excludes_zero(self, lower: Array, upper: Array) -> Flags:
        """Where no zero, nor limit of values that tends to zero, lies in boxes on which it may jump."""
        ...


def _square(a: Interval, dim: int) -> Interval:
    return Interval(a.lower.reshape(-1, dim, dim), a.upper.reshape(-1, dim, dim))


def _contains_zero(a: Interval) -> Flags:
    return np.asarray(((a.lower <= 0) & (a.upper >= 0)).all(axis=-1))


class TracedField:
    """Bounds of a function and its Jacobian through one traced graph of both."""

    def __init__(self, function: Callable[[Tensor], Tensor], dim: int) -> None:
        self.dim = dim
        both = torch.func.jacrev(lambda x: (value := function(x), value), has_aux=True)

        def packed(x: Tensor) -> Tensor:
            jacobian, value = both(x)
            return torch.cat([value, jacobian.reshape(-1)])

        module: Any = coordinate_form(packed, dim)
        self._value = IntervalForm(module, slice(None, dim))
        self._slopes = IntervalForm(module, slice(dim, None))

    def value(self, lower: Array, upper: Array) -> tuple[Interval, Flags]:
        """See `Field`."""
        return self._value.with_continuity(lower, upper)

    def slopes(self, lower: Array, upper: Array) -> Interval:
        """See `Field`."""
        return _square(self._slopes(lower, upper), self.dim)

    def excludes_zero(self, lower: Array, upper: Array) -> Flags:
        """False for every box: only `value` can exclude a zero here."""
        return np.zeros(len(lower), dtype=bool)


class PerturbedField:
    """Bounds of grad f(x + a g + r g/|g|).

    Parameters
    ----------
    loss : Landscape
    smooth, normalised : float
        a and r.
    """

    def __init__(self, loss: Landscape, smooth: float, normalised: float) -> None:
        self.dim = loss.dim
        self.smooth, self.normalised = smooth, normalised
        self.gradient = TracedField(torch.func.grad(loss.one_point), loss.dim)

    def value(self, lower: Array, upper: Array) -> tuple[Interval, Flags]:
        """See `Field`."""
        gradient, continuous = self.tight_gradient(lower, upper)
        if self.normalised:
            continuous = continuous & ~_contains_zero(gradient)
        seen = self._perturbed(lower, upper, gradient, unit_range(gradient))
        value, defined = self.gradient.value(*seen)
        return value, continuous & defined

    def slopes(self, lower: Array, upper: Array) -> Interval:
        """See `Field`."""
        gradient, _ = self.tight_gradient(lower, upper)
        unit = unit_range(gradient)
        seen = self._perturbed(lower, upper, gradient, unit)
        with np.errstate(all="ignore"):
            moved = self._perturbation_slopes(gradient, unit, self.gradient.slopes(lower, upper))
            return matrix_product(self.gradient.slopes(*seen), moved)

    def excludes_zero(self, lower: Array, upper: Array) -> Flags:
        """Whether grad f(x + a g + r u) != 0 for all x in the box and all abs(u) = 1 that g/|g| may be.

        Pairs of a box and a cube of directions that leave the question open are halved in the directions,
        as long as the cube is wider than the box (otherwise the box is worth halving first).
        """
        n = len(lower)
        if not self.normalised or n == 0:
            return np.zeros(n, dtype=bool)
        gradient, _ = self.tight_gradient(lower, upper)
        unit = unit_range(gradient)
        size = (upper - lower).max(axis=1)
        cover = direction_cover(self.dim, surface=True)
        open_boxes = np.zeros(n, dtype=bool)
        for start in range(0, n, tile := max(1, TILE // len(cover.lower))):
            owner = np.arange(start, min(start + tile, n))
            pieces = Interval(np.tile(cover.lower, (len(owner), 1)), np.tile(cover.upper, (len(owner), 1)))
            owner = np.repeat(owner, len(cover.lower))
            for _ in range(DIRECTION_HALVINGS):
                owner, pieces = self._still_open(lower, upper, gradient, unit, owner, pieces)
                small = self.normalised * (pieces.upper - pieces.lower).max(axis=1) < size[owner]
                open_boxes[owner[small]] = True
                going = ~open_boxes[owner]
                owner, pieces = owner[going], Interval(pieces.lower[going], pieces.upper[going])
                if len(owner) == 0 or len(owner) << self.dim > 4 * TILE:
                    break
                owner, pieces = split_directions(owner, pieces)
            open_boxes[owner] = True
        return ~open_boxes

    def _still_open(
        self, lower: Array, upper: Array, gradient: Interval, unit: Interval, owner: Index, pieces: Interval
    ) -> tuple[Index, Interval]:
        """The pairs of a box `owner` and a cube of directions in which a zero is possible."""
        cut = iv.intersection(pieces, Interval(unit.lower[owner], unit.upper[owner]))
        keep = np.flatnonzero((cut.lower <= cut.upper).all(axis=1))
        owner = owner[keep]
        g = Interval(gradient.lower[owner], gradient.upper[owner])
        seen = self._perturbed(lower[owner], upper[owner], g, Interval(cut.lower[keep], cut.upper[keep]))
        hit = np.flatnonzero(_contains_zero(refined(self.gradient, *seen)[0]))
        return owner[hit], Interval(pieces.lower[keep[hit]], pieces.upper[keep[hit]])

    def tight_gradient(self, lower: Array, upper: Array) -> tuple[Interval, Flags]:
        """Bounds of grad f at x, natural and mean-value form, and where it is certainly continuous."""
        return refined(self.gradient, lower, upper)

    def descent(self, lower: Array, upper: Array) -> Interval:
        """Bounds of grad f(x + e(x)), of all its limits too where it jumps."""
        value, _ = refined(self, lower, upper)
        turns = self.turns(lower, upper)
        return _narrowed(value, turns, self.over_directions(lower[turns], upper[turns], 0.0, 1.0))

    def turns(self, lower: Array, upper: Array) -> Index:
        """The boxes in which g/|g| may turn far, around and beside critical points."""
        if not self.normalised:
            return np.empty(0, dtype=np.int64)
        unit = unit_range(self.tight_gradient(lower, upper)[0])
        return np.flatnonzero((unit.upper - unit.lower).max(axis=1) > TURN)

    def over_directions(self, lower: Array, upper: Array, identity: float, factor: float) -> Interval:
        """Bounds of identity x + factor F(x) over boxes: the hull over all directions that g/|g| may have.

        For a fixed direction u the field F = grad f(x + a g + r u) is smooth, also at critical points, and
        has the Jacobian H(x + e) (I + a H): its mean-value form holds.
        """
        n, dim = lower.shape
        gradient, _ = self.tight_gradient(lower, upper)
        unit = unit_range(gradient)
        pieces = direction_cover(dim, surface=False)
        result = Interval(np.full((n, dim), np.inf), np.full((n, dim), -np.inf))
        step = max(1, TILE // len(pieces.lower))
        for start in range(0, n, step):
            part = slice(start, start + step)
            cut = iv.intersection(
                Interval(unit.lower[part, None], unit.upper[part, None]),
                Interval(pieces.lower[None], pieces.upper[None]),
            )
            owner, which = np.nonzero((cut.lower <= cut.upper).all(axis=-1))
            u = Interval(cut.lower[owner, which], cut.upper[owner, which])
            owner = owner + start
            x, g = _rows(Interval(lower, upper), owner), _rows(gradient, owner)
            value = self._with_fixed_directions(x, g, u, identity, factor)
            np.minimum.at(result.lower, owner, value.lower)
            np.maximum.at(result.upper, owner, value.upper)
        return result

    def _with_fixed_directions(
        self, x: Interval, gradient: Interval, unit: Interval, identity: float, factor: float
    ) -> Interval:
        """Bounds (n, dim) of identity x + factor grad f(x + a g + r u), each box with its range of u."""
        seen = self._perturbed(*x, gradient, unit)
        value, continuous = refined(self.gradient, *seen)
        continuous &= self.gradient.value(*x)[1]
        center = iv.midpoint(x)
        with np.errstate(all="ignore"):
            natural = iv.add(iv.scale(x, identity), iv.scale(value, factor))
            middle = self._perturbed(center, center, self.gradient.value(center, center)[0], unit)
            there = iv.scale(refined(self.gradient, *middle)[0], factor)
            there = iv.add(iv.scale(iv.point(center), identity), there)
            moved = self._perturbation_slopes(gradient, None, self.gradient.slopes(*x))
            slopes = iv.scale(matrix_product(self.gradient.slopes(*seen), moved), factor)
            slopes = iv.add(iv.point(identity * np.eye(self.dim)[None]), slopes)
            better = mean_value(there, slopes, center, *x)
        return _narrowed(natural, np.flatnonzero(continuous), _rows(better, np.flatnonzero(continuous)))

    def _perturbed(self, lower: Array, upper: Array, gradient: Interval, unit: Interval) -> Interval:
        result = Interval(lower, upper)
        with np.errstate(all="ignore"):
            if self.smooth:
                result = iv.add(result, iv.scale(gradient, self.smooth))
            if self.normalised:
                result = iv.add(result, iv.scale(unit, self.normalised))
        return result

    def _perturbation_slopes(self, gradient: Interval, unit: Interval | None, hessian: Interval) -> Interval:
        """Bounds of I + a H + (r/|g|) (I - u u^T) H; of I + a H alone where u is held fixed (None)."""
        dim, shape = self.dim, hessian.lower.shape
        result = Interval(*(np.broadcast_to(np.eye(dim), shape).copy() for _ in range(2)))
        if self.smooth:
            result = iv.add(result, iv.scale(hessian, self.smooth))
        if self.normalised and dim > 1 and unit is not None:
            projector = tangent_projector(unit)
            size = iv.sqrt(sum_of(iv.square(gradient)))
            factor = iv.scale(iv.reciprocal(size), self.normalised)
            factor = Interval(np.maximum(factor.lower, 0.0)[:, None, None], factor.upper[:, None, None])
            result = iv.add(result, matrix_product(iv.mul(projector, factor), hessian))
        return result


def _rows(a: Interval, index: Index) -> Interval:
    return Interval(a.lower[index], a.upper[index])


def _narrowed(a: Interval, index: Index, other: Interval) -> Interval:
    """The bounds, intersected with other bounds for the boxes `index`."""
    lower, upper = a.lower.copy(), a.upper.copy()
    lower[index] = np.fmax(lower[index], other.lower)
    upper[index] = np.fmin(upper[index], other.upper)
    return Interval(lower, upper)


def refined(field: Field, lower: Array, upper: Array) -> tuple[Interval, Flags]:
    """Natural form, intersected with the mean-value form where the function is continuous."""
    value, continuous = field.value(lower, upper)
    use = np.flatnonzero(continuous & np.isfinite(lower).all(axis=1) & np.isfinite(upper).all(axis=1))
    if len(use):
        low, high = lower[use], upper[use]
        center = iv.midpoint(Interval(low, high))
        better = mean_value(field.value(center, center)[0], field.slopes(low, high), center, low, high)
        for own, other, best in ((value.lower, better.lower, np.fmax), (value.upper, better.upper, np.fmin)):
            own[use] = best(own[use], other)
    return value, continuous
