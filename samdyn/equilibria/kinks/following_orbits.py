"""What a flow does at a point where its field jumps, from orbits that start around the point.

There is no Jacobian to ask. Orbits start on a sphere of radius r (`RADIUS` of the box's diagonal) and take
Euler steps of r/`PARTS` at the largest speed seen on the sphere, which go to and fro across a jump and whose
mean is Filippov's solution.

1. An orbit has left at 3 r, and has arrived when it stays within `ARRIVED` r for `CHECK` steps. Of one that
   has done neither after `MOST_STEPS` steps the distances after 1/2, 3/4 and all of them decide, if they grow
   by ever more (it leaves) or shrink in proportion (it arrives).
2. All have arrived: "trapping". All have left without coming nearer first: "repelling". All decided
   otherwise: "saddle". Any undecided: "jump", which claims nothing.

A field jumps at a point if its difference across the point is as large at r/1000 as at r.

The statement is about r: a sample of directions at one distance, not a proof.

References
----------
Filippov, Differential Equations with Discontinuous Righthand Sides (1988), section 7.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from samdyn.arguments.checks import Array
from samdyn.equilibria.stability.hovering import hover_radii
from samdyn.numerics.sphere import directions
from samdyn.systems.map import Map
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched

RADIUS = 1e-3
PARTS = 20
ARRIVED = 0.3
NEARER = 0.8
CHECK = 500
MOST_STEPS = 20_000
MOST_ORBITS = 32
JUMP = 0.3  # of the difference at r that is left at r/1000, where a smooth field has 0.001
ROUNDING = 1e-9  # of the field: a smaller difference is none
N_HOVERING = 32
SLOPE = 0.05  # of the field around: opposite differences of a smooth one cancel but for the second order

Field = Callable[[Array], Array]


def field_of(function: Callable[[torch.Tensor], torch.Tensor], dim: int) -> Field:
    """A torch function of one point on numpy points (n, dim)."""
    form = numpy_form(traced_or_batched(function, dim))

    def at(x: Array) -> Array:
        columns = form(*np.ascontiguousarray(x.T))
        return np.stack([np.broadcast_to(column, len(x)) for column in columns], axis=-1)

    return at


def field_jumps(field: Field, x: Array, diagonal: float) -> npt.NDArray[np.bool_]:
    """At which of the points (n, dim) the field is discontinuous.

    Examples
    --------
    >>> import numpy as np
    >>> field_jumps(lambda w: -np.sign(w) - w, np.array([[0.0], [0.5]]), 1.0)
    array([ True, False])
    """
    u = directions(x.shape[1])
    u = u[:: max(1, len(u) // MOST_ORBITS)]
    with np.errstate(all="ignore"):
        (far, size), (near, _) = (
            _across(field, x, distance * u)
            for distance in (1e-2 * RADIUS * diagonal, 1e-5 * RADIUS * diagonal)
        )
    return np.asarray((far > ROUNDING * size) & (near > JUMP * far))


def slope_jumps(field: Field, x: Array, diagonal: float) -> npt.NDArray[np.bool_]:
    """At which of the zeros (n, dim) of a continuous field its derivative is discontinuous.

    There the differences over opposite steps do not cancel, at whatever length.

    Examples
    --------
    >>> import numpy as np
    >>> slope_jumps(lambda w: np.where(w > 0, -w, -2 * w) + w**2, np.array([[0.0]]), 1.0).tolist()
    [True]
    """
    u = directions(x.shape[1])
    u = u[:: max(1, len(u) // MOST_ORBITS)]
    result = np.ones(len(x), dtype=bool)
    with np.errstate(all="ignore"):
        for radius in (RADIUS, 1e-3 * RADIUS):
            step = radius * diagonal * u
            sides = (x[:, None] + np.stack([step, -step])[:, None]).reshape(-1, x.shape[1])
            plus, minus = field(sides).reshape(2, len(x), *u.shape)
            size = np.maximum(np.linalg.norm(plus, axis=-1), np.linalg.norm(minus, axis=-1)).max(axis=1)
            result &= np.linalg.norm(plus + minus, axis=-1).max(axis=1) > SLOPE * size
    return result


def _across(field: Field, x: Array, offset: Array) -> tuple[Array, Array]:
    """Largest difference of the field from its mean around each point, and its largest size."""
    sides = x[:, None] + np.stack([offset, -offset])[:, None]
    values = field(sides.reshape(-1, x.shape[1])).reshape(sides.shape)
    middle = values.mean(axis=(0, 2), keepdims=True)
    difference = np.linalg.norm(values - middle, axis=-1).max(axis=(0, 2))
    return difference, np.linalg.norm(values, axis=-1).max(axis=(0, 2))


def followed_stability(field: Field, x: Array, diagonal: float) -> str:
    """The stability of the flow of a field at a point x (dim,) where it jumps.

    Examples
    --------
    >>> import numpy as np
    >>> followed_stability(lambda w: -np.sign(w), np.array([0.0]), 1.0)
    'trapping'
    >>> followed_stability(lambda w: np.sign(w), np.array([0.0]), 1.0)
    'repelling'
    """
    radius = RADIUS * diagonal
    u = directions(len(x))
    u = u[:: max(1, len(u) // MOST_ORBITS)]
    # no start on an axis, where a symmetric loss has its stable sets
    offset = radius * (u + 0.05 * np.roll(u, 1, axis=1) if len(x) > 1 else u)
    with np.errstate(all="ignore"):
        speed = np.linalg.norm(field(x + offset), axis=1)
    if not np.isfinite(speed).all() or speed.max() == 0:
        return "jump"
    step = radius / PARTS / float(speed.max())
    left, arrived = np.zeros(len(u), dtype=bool), np.zeros(len(u), dtype=bool)
    least, farthest = np.full(len(u), np.inf), np.zeros(len(u))
    seen = []
    with np.errstate(all="ignore"):
        for k in range(1, MOST_STEPS + 1):
            going = ~(left | arrived)
            offset[going] += step * field(x + offset[going])
            distance = np.linalg.norm(offset, axis=1)
            left |= ~(distance <= 3 * radius)
            least, farthest = np.fmin(least, distance), np.fmax(farthest, distance)
            if k in (MOST_STEPS // 2, 3 * MOST_STEPS // 4, MOST_STEPS):
                seen.append(farthest)
            if k % CHECK == 0:
                arrived |= (farthest <= ARRIVED * radius) & ~left
                farthest = np.zeros(len(u))
            if (left | arrived).all():
                break
    if not (left | arrived).all():
        first, second, third = seen
        open_ = ~(left | arrived)
        left |= open_ & (second > 1.02 * first) & (third - second >= second - first)
        arrived |= open_ & (second < 0.98 * first) & (third * first <= 1.05 * second**2)
        if not (left | arrived).all():
            return "jump"
    if arrived.all():
        return "trapping"
    return "repelling" if left.all() and (least >= NEARER * radius).all() else "saddle"


def hover_radius(system: Map, field: Field, x: Array, diagonal: float) -> float:
    """How far from a point x (dim,) where its displacement jumps a map hovers; inf where its orbits leave."""
    beside = x + 1e-7 * diagonal * directions(len(x))
    with np.errstate(all="ignore"):
        speed = float(np.linalg.norm(field(beside), axis=1).max())
    scale = system.coefficients()["lr"] * speed / (1 - system.momentum)
    u = directions(len(x))
    u = u[:: max(1, len(u) // N_HOVERING)]
    start = x + scale * np.linspace(0.999, 0.1, len(u))[:, None] * u
    if system.momentum:
        start = np.concatenate([start, np.zeros_like(start)], axis=1)
    step = numpy_form(traced_or_batched(system.point_function(), system.state_dim))
    modes = np.zeros((1, 1, len(x)))
    state = list(np.ascontiguousarray(start.T))
    with np.errstate(all="ignore"):
        return float(hover_radii(lambda s: step(*s), state, x[None], np.array([scale]), modes)[0])
