"""Proofs about zeros: that one exists and is alone near a point, that a list of them is complete in a box.

Algorithm (`certificates`)
--------------------------
A is the inverse of the Jacobian at z. On the cube X of radius r around z (maximum norm) the Krawczyk operator
maps into the cube of radius ``abs(A F(z)) + abs(I - A DF(X)) r`` around z. If that is smaller than r, X holds
exactly one zero (Krawczyk; the Newton-Kantorovich theorem in its radii-polynomial form). All r of a
geometric sequence are tested at once: the smallest that passes bounds how far the zero is (existence
radius), the largest how far there is no other (uniqueness radius).

Algorithm (`exhaust`)
---------------------
Breadth-first subdivision, all boxes of a generation at once:

1. A box inside the uniqueness cube of a known zero is settled.
2. A box whose bounds of F (natural, then mean-value form) exclude 0 is dropped; where F jumps, one whose
   limits over every ascent direction exclude 0 (`Field.excludes_zero`).
3. Where F is continuous, Krawczyk's image K of the box X: no zero if they are disjoint; exactly one if K lies
   inside X, which is then either the known one whose existence cube lies in X, or a new one; otherwise X is
   replaced by the intersection.
4. What is left is halved across its longest side, relative to the first box, slightly off its middle (zeros
   like to lie on symmetry lines).

It stops when no box is left: the list is complete. Boxes narrower than `NARROWEST` of the first box, and all
that are left when a generation exceeds `max_boxes`, are undecided.

Rounding is outwards everywhere, with the two provisos of `samdyn.numerics.interval` (margins of library
functions) and `samdyn.trace.interval_forms` (constants as traced).

References
----------
Krawczyk, Computing 4 (1969) 187-201. Neumaier, Interval Methods for Systems of Equations (1990), ch. 5.
Rump, Acta Numerica 19 (2010) 287-449, sec. 13. Hungria, Lessard & Mireles James, Math. Comp. 85 (2016)
1427-1459 (radii polynomials).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.equilibria.proof.interval_fields import Field
from samdyn.equilibria.proof.unit_vectors import matrix_product
from samdyn.equilibria.search_watch import SearchWatch
from samdyn.jobs.cost import Stopwatch
from samdyn.numerics import interval as iv
from samdyn.numerics.interval import Flags, Interval
from samdyn.results import Result, Table
from samdyn.trace.interval_forms import mean_value

RADII_PER_OCTAVE = 3
NARROWEST = 1e-9
MAX_BOXES = 1 << 15
OFF_CENTRE = 0.4901  # where a box is cut: not in the middle, where zeros of symmetric systems lie


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(Result):
    """A proof that exactly one zero lies near a point (Krawczyk; Newton-Kantorovich).

    Attributes
    ----------
    existence_radius : float
        A zero lies within this distance of the point, in the maximum norm.
    uniqueness_radius : float
        There is no other within this distance, in the maximum norm.
    """

    cited = ("krawczyk1969",)

    existence_radius: float
    uniqueness_radius: float

    def table(self) -> Table:
        """Both radii."""
        return Table(
            f"Certificate(a zero within {self.existence_radius:.2g}, the only one within "
            f"{self.uniqueness_radius:.2g})"
        )


@np.errstate(all="ignore")  # bounds of infinite or tiny numbers are bounds
def _inverse(slopes: Array) -> tuple[Array, Flags]:
    """Approximate inverses (n, dim, dim) and which of them exist."""
    usable: Flags = np.asarray(np.isfinite(slopes).all(axis=(1, 2)))
    safe = np.where(usable[:, None, None], slopes, np.eye(slopes.shape[-1]))
    rows = np.linalg.norm(safe, axis=2).prod(axis=1)
    usable &= np.abs(np.linalg.det(safe)) > 1e-13 * rows
    safe = np.where(usable[:, None, None], safe, np.eye(slopes.shape[-1]))
    return np.linalg.inv(safe), usable


def _krawczyk(
    inverse: Array, value: Interval, slopes: Interval, center: Array, lower: Array, upper: Array
) -> Interval:
    """K(X) = c - A F(c) + (I - A DF(X)) (X - c), bounds (n, dim)."""
    with np.errstate(all="ignore"):
        A = iv.point(inverse)
        newton = matrix_product(A, Interval(value.lower[..., None], value.upper[..., None]))
        contraction = iv.sub(iv.point(np.eye(center.shape[1])[None]), matrix_product(A, slopes))
        start = iv.sub(iv.point(center), Interval(newton.lower[..., 0], newton.upper[..., 0]))
        return mean_value(start, contraction, center, lower, upper)


@np.errstate(all="ignore")  # bounds of infinite or tiny numbers are bounds
def certificates(field: Field, x: Array, reach: float) -> list[Certificate | None]:
    """Certificates of approximate zeros x (n, dim), looking at cubes of radius up to `reach`.

    None where no cube passes: the Jacobian is (nearly) singular, the function jumps there, or x is no zero.
    """
    if len(x) == 0:
        return []
    octaves = math.log2(reach) + 52
    radii = reach * 2.0 ** (-np.arange(int(octaves * RADII_PER_OCTAVE) + 1) / RADII_PER_OCTAVE)[::-1]
    n = len(x)
    at = field.slopes(x, x)
    inverse, usable = _inverse(iv.midpoint(at))
    center = np.repeat(x, len(radii), axis=0)
    spread = np.tile(radii, n)[:, None]
    lower, upper = center - spread, center + spread
    continuous = field.value(lower, upper)[1]
    value = field.value(x, x)[0]
    value = Interval(*(np.repeat(bound, len(radii), axis=0) for bound in value))
    image = _krawczyk(
        np.repeat(inverse, len(radii), axis=0), value, field.slopes(lower, upper), center, lower, upper
    )
    with np.errstate(all="ignore"):
        passes = ((image.lower > lower) & (image.upper < upper)).all(axis=1) & continuous
        distance = np.maximum(center - image.lower, image.upper - center).max(axis=1)
    passes = passes.reshape(n, -1) & usable[:, None]
    distance = distance.reshape(n, -1)
    result: list[Certificate | None] = []
    for row, image_radius in zip(passes, distance, strict=True):
        if not row.any():
            result.append(None)
            continue
        first, last = np.flatnonzero(row)[[0, -1]]
        result.append(Certificate(float(image_radius[first]) * (1 + 1e-15), float(radii[last])))
    return result


@dataclass(frozen=True, eq=False, repr=False)
class Proof(Result):
    """What `exhaust` proved.

    Attributes
    ----------
    undecided : ndarray, shape (n, dim, 2)
        Boxes in which there may be further zeros; none if the list is complete.
    missing : ndarray, shape (m, dim)
        Centres of boxes that are proven to hold a zero that was not in the list.
    n_boxes : int
        How many boxes were looked at.
    """

    cited = ("krawczyk1969",)
    row = "box"

    undecided: Array
    missing: Array
    n_boxes: int

    def table(self) -> Table:
        """How much of the box is proven to hold no other zero."""
        n = len(self.undecided)
        what = f"complete outside {n} undecided boxes" if n else "complete"
        more = f"; {len(self.missing)} zeros more" if len(self.missing) else ""
        return Table(f"Proof: {what} ({self.n_boxes} boxes){more}")


@np.errstate(all="ignore")  # bounds of infinite or tiny numbers are bounds
def exhaust(
    field: Field,
    box: Array,
    known: Array,
    proofs: list[Certificate | None],
    max_boxes: int = MAX_BOXES,
    watch: SearchWatch | None = None,
) -> Proof:
    """Search a box for every zero that is not known.

    Parameters
    ----------
    field : Field
        Bounds of the function and its Jacobian.
    box : ndarray, shape (dim, 2)
    known : ndarray, shape (n, dim)
        The zeros known.
    proofs : list of Certificate or None
        Theirs; a zero without a certificate settles nothing.
    max_boxes : int
        A generation with more boxes is given up, and undecided.
    watch : SearchWatch, optional
        Hears of every generation.

    Returns
    -------
    Proof
    """
    dim = len(box)
    width = box[:, 1] - box[:, 0]
    held = np.array([p is not None for p in proofs], dtype=bool)
    centers = known[held].reshape(-1, dim)
    alone = np.array([p.uniqueness_radius for p in proofs if p is not None])[:, None]
    close = np.array([p.existence_radius for p in proofs if p is not None])[:, None]
    alone_box = centers - alone, centers + alone
    close_box = centers - close, centers + close
    lower, upper = box[None, :, 0].copy(), box[None, :, 1].copy()
    undecided: list[Array] = []
    missing: list[Array] = []
    n_boxes = 0

    def within(low: Array, high: Array, outer: tuple[Array, Array]) -> Flags:
        """Whether each box (n) lies in each outer box (m): (n, m)."""
        inside = (low[:, None] >= outer[0]) & (high[:, None] <= outer[1])
        return np.asarray(inside.all(axis=2))

    while len(lower):
        work, n = Stopwatch(), len(lower)
        n_boxes += n
        if len(lower) > max_boxes:
            undecided.append(np.stack([lower, upper], axis=-1))
            break
        keep = ~within(lower, upper, alone_box).any(axis=1)
        lower, upper = lower[keep], upper[keep]
        value, continuous = field.value(lower, upper)
        keep = ((value.lower <= 0) & (value.upper >= 0)).all(axis=1)
        lower, upper, continuous = lower[keep], upper[keep], continuous[keep]
        jumps = np.flatnonzero(~continuous)
        gone = np.zeros(len(lower), dtype=bool)
        gone[jumps] = field.excludes_zero(lower[jumps], upper[jumps])
        smooth = np.flatnonzero(continuous)
        if len(smooth):
            low, high = lower[smooth], upper[smooth]
            center = iv.midpoint(Interval(low, high))
            slopes = field.slopes(low, high)
            there = field.value(center, center)[0]
            better = mean_value(there, slopes, center, low, high)
            dropped = (better.lower > 0).any(axis=1) | (better.upper < 0).any(axis=1)
            inverse, usable = _inverse(iv.midpoint(slopes))
            image = _krawczyk(inverse, there, slopes, center, low, high)
            usable &= np.isfinite(image.lower).all(axis=1) & np.isfinite(image.upper).all(axis=1)
            cut = iv.intersection(image, Interval(low, high))
            dropped |= usable & (cut.lower > cut.upper).any(axis=1)
            proven = usable & ((image.lower > low) & (image.upper < high)).all(axis=1) & ~dropped
            owner = np.zeros(len(low), dtype=bool)
            if len(centers) and proven.any():
                at = np.flatnonzero(proven)
                # the known zero whose existence cube lies in the box is the one that the box holds
                holds = (low[at, None] <= close_box[0]) & (high[at, None] >= close_box[1])
                owner[at] = holds.all(axis=2).any(axis=1)
                apart = (image.lower[at, None] > close_box[1]) | (image.upper[at, None] < close_box[0])
                new = np.zeros(len(low), dtype=bool)
                new[at] = apart.any(axis=2).all(axis=1)
            else:
                new = proven
            if new.any():
                missing += list(iv.midpoint(Interval(image.lower[new], image.upper[new])))
            finished = dropped | owner | new
            gone[smooth] = finished
            shrink = smooth[usable & ~finished]
            chosen = usable & ~finished
            lower[shrink], upper[shrink] = cut.lower[chosen], cut.upper[chosen]
        if not len(smooth) and not len(jumps):
            break
        lower, upper = lower[~gone], upper[~gone]
        narrow = ((upper - lower) <= NARROWEST * width).all(axis=1)
        if narrow.any():
            undecided.append(np.stack([lower[narrow], upper[narrow]], axis=-1))
            lower, upper = lower[~narrow], upper[~narrow]
        lower, upper = _halved(lower, upper, width)
        if watch is not None:
            watch.boxes(work.seconds(), n, len(lower), max_boxes)
    rest = np.concatenate(undecided) if undecided else np.empty((0, dim, 2))
    return Proof(rest, np.array(missing).reshape(-1, dim), n_boxes)


def _halved(lower: Array, upper: Array, width: Array) -> tuple[Array, Array]:
    """Both parts of every box, cut across its longest side relative to `width`."""
    if len(lower) == 0:
        return lower, upper
    index = np.arange(len(lower))
    side = ((upper - lower) / width).argmax(axis=1)
    cut = lower[index, side] + OFF_CENTRE * (upper[index, side] - lower[index, side])
    left, right = upper.copy(), lower.copy()
    left[index, side] = cut
    right[index, side] = cut
    return np.concatenate([lower, right]), np.concatenate([left, upper])
