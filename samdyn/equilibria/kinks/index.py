"""In the plane, the index sum of a field that jumps on kinks of the loss, and the points at rest it leads to.

Filippov's convex set of values turns the degree of a continuous field into one of fields that jump on curves:
across a jump the field is taken to turn through the angle between its sides. Splitting the cells in which the
sum does not match the points listed (`samdyn.equilibria.proof.index_check`) ends at points of any kind:
smooth zeros, points on a kink of the loss, points whose perturbed point is on a kink.

1. The gradient of the loss: points at rest that are new are critical; their kind is read from the values of
   the loss on a small circle.
2. The field of the flow, if that is another: what is new there is "hallucinated".
3. The same field again on a grid of its own around every critical point on a kink, of `REACH` perturbations
   to each side: a ridge that the rule looks across attracts, between two points at which it looks along the
   ridge, and those three are as close as the perturbation is long.

A point at which the field jumps counts if 0 is in the convex hull of its values around.

Points of opposite index in one cell of a grid cancel and are not seen.

References
----------
Filippov, Differential Equations with Discontinuous Righthand Sides (1988), sections 4 and 14.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.equilibria.kinks.following_orbits import field_jumps
from samdyn.equilibria.kinks.points import BESIDE, in_hull
from samdyn.equilibria.newton import Evaluation, zeros_from
from samdyn.equilibria.proof.index_check import IndexCheck, check_index
from samdyn.equilibria.search_watch import SearchWatch
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.scales import diagonal_of
from samdyn.numerics.sphere import directions
from samdyn.systems.system import System

__all__ = ["boxes_about", "kind_around", "rest_points"]

CIRCLE = 1e-3
"""Of the diagonal: the radius of the circle whose values decide the kind of a new critical point."""
N_ANGLES = 2048  # samples of the circle; chosen
LOCATED = 2e-11  # of the box: how well a point at which the field jumps is located
FLAT = 1e-6  # of the largest difference on the circle, as of eigenvalues elsewhere
REACH = 2.0  # perturbations to each side of a critical point on a kink
UNEVEN = np.array([[-1.0, 1.0417], [-1.0731, 1.0]])
"""Sides of such a box; of no symmetry, so that no corner of its grid lies on a kink of a symmetric loss."""
MOST_BOXES = 16


def boxes_about(system: System, critical: Array, box: Array) -> Array:
    """Boxes (k, 2, 2) around the critical points (n, 2) at which the gradient of a loss jumps, as wide as the
    rule's perturbations beside them; the first `MOST_BOXES`.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.Landscape(lambda w: w[0].abs() + w[1] ** 2, 2), sd.SAM(0.1))
    >>> boxes_about(flow, np.zeros((1, 2)), np.array([[-1.0, 1.0]] * 2)).round(3).tolist()
    [[[-0.2, 0.208], [-0.215, 0.2]]]
    """
    assert system.landscape is not None
    u, diagonal = directions(2), diagonal_of(box)
    critical = critical[field_jumps(system.landscape.gradient, critical, diagonal)][:MOST_BOXES]
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(system.perturbation(critical[:, None] + BESIDE * diagonal * u), axis=-1)
    half = REACH * np.nan_to_num(lengths).max(axis=1, initial=0.0)
    critical, half = critical[half > BESIDE * diagonal], half[half > BESIDE * diagonal]
    around = half[:, None, None] * UNEVEN
    return np.clip(critical[:, :, None] + around, box[:, :1], box[:, 1:])


def rest_points(
    evaluate: Evaluation,
    box: Array,
    listed: Array,
    curves: Array,
    closely: Sequence[Array] = (),
    watch: SearchWatch | None = None,
) -> tuple[IndexCheck, Array, Array]:
    """The index sum of a planar field that may jump, and the points that it adds to a list.

    Parameters
    ----------
    evaluate : callable
        Values (n, 2) and Jacobians (n, 2, 2) at points (n, 2).
    box : ndarray, shape (2, 2)
    listed : ndarray, shape (n, 2)
        Isolated points known; those at which the field does not rest are left out.
    curves : ndarray, shape (k, 2)
        Samples of curves of zeros.
    closely : sequence of ndarray, shape (2, 2)
        Boxes with a grid of their own (`boxes_about`).
    watch : SearchWatch, optional
        Hears of every level of cells.

    Returns
    -------
    IndexCheck
        Of all grids, which may overlap: the largest number of points that must be missing in one of them.
    zeros : ndarray, shape (i, 2)
        New zeros at which the field is smooth.
    jumps : ndarray, shape (j, 2)
        New points at rest where it jumps.

    Examples
    --------
    >>> import numpy as np
    >>> def field(x):
    ...     return -np.sign(x) - x, np.tile(-np.eye(2), (len(x), 1, 1))
    >>> none = np.empty((0, 2))
    >>> check, zeros, jumps = rest_points(field, np.array([[-1.0, 2.0]] * 2), none, none)
    >>> len(zeros), jumps.round(9).tolist()
    (0, [[0.0, 0.0]])
    """
    diagonal = diagonal_of(box)

    def field(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return evaluate(x)[0]

    def at_rest(points: Array) -> npt.NDArray[np.bool_]:
        return np.array([in_hull(field, x, BESIDE * diagonal) for x in points], dtype=bool)

    # a critical point at which this field does not rest may have a point at rest beside it
    listed = listed[at_rest(listed)]
    none, unit = np.empty((0, 2)), 10.0 ** np.floor(np.log10(LOCATED * np.ptp(box, axis=1)))
    zeros, jumps, checks = none, none, []
    for part in (box, *closely):

        def within(x: Array, part: Array = part) -> Array:
            return np.asarray(x[((x >= part[:, 0]) & (x <= part[:, 1])).all(axis=1)])

        def newton(starts: Array, within: Callable[[Array], Array] = within) -> Array:
            zeros = within(zeros_from(evaluate, box, starts))
            return zeros[~field_jumps(field, zeros, diagonal)] if len(zeros) else zeros

        others = within(np.concatenate([listed, zeros, jumps]))
        check, new = check_index(
            evaluate, part, none, others, within(curves), newton, convex=True, watch=watch
        )
        rests = at_rest(check.jumps)
        # an index without a point at rest comes from an edge with a sample exactly on a kink, on one side
        unclear = min(int((~rests).sum()), check.n_checked)
        checks.append((check.n_cells, check.n_checked - unclear, check.missing))
        # the last cells are smaller than this unit, and a coordinate that is 0 is one
        zeros = np.concatenate([zeros, new])
        jumps = np.concatenate([jumps, np.round(check.jumps[rests] / unit) * unit + 0.0])
    n_cells, n_checked, missing = np.array(checks).T
    return IndexCheck(int(n_cells.sum()), int(n_checked.sum()), int(missing.max()), none), zeros, jumps


def kind_around(loss: Landscape, x: Array, diagonal: float) -> str:
    """The kind of a critical point x (2,) on a kink from the values of the loss on a small circle.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> kind_around(sd.Landscape(lambda w: w[0].abs() - w[1].abs(), 2), np.zeros(2), 1.0)
    'saddle'
    """
    radius = CIRCLE * diagonal

    def rise(angle: Array) -> Array:
        return loss.value(x + radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)) - loss.value(x)

    angle = np.linspace(0, 2 * np.pi, N_ANGLES, endpoint=False)
    values = rise(angle)
    size = float(np.abs(values).max())
    width, extremes = 2 * np.pi / N_ANGLES, []
    for sign in (1, -1):
        best = angle[np.argmin(sign * values)]
        for shrink in (1.0, 0.02, 4e-4):  # along a kink the loss may fall in a narrow sector only
            near = best + shrink * width * np.linspace(-1, 1, 101)
            around = rise(near)
            best = near[np.argmin(sign * around)]
        extremes.append(float((sign * around).min()) * sign)
    low, high = extremes
    if min(abs(low), abs(high)) <= FLAT * size:
        return "degenerate"
    if low > 0:
        return "minimum"
    return "maximum" if high < 0 else "saddle"
