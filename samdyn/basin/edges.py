"""From one basin into another: the smallest kick out of an attractor, and the edge state on a boundary.

Smallest kick
-------------
1. The nearest cells of other basins to points of the attractor give directions.
2. Along each, the first point that goes elsewhere is found by repeated division into `N_PARTS` parts.
3. From the best, directions are varied at random with shrinking spread, `N_ROUNDS` times.
The result is an upper bound: the kick does lead out, but a shorter one in a direction not tried may.

Edge state
----------
1. Two points on either side of the boundary, from neighbouring cells, are brought together by repeated
   division of the line between them, to `bisection` of the box.
2. Both are followed until they are `divergence` of the box apart, and brought together again.
3. This ends when the middle of the pair, brought together, has moved by less than `tolerance` of the box from
   one round to the next, `PATIENCE` times; or, on a boundary whose edge state is no fixed point, after
   `max_rounds`.

References
----------
Skufca, Yorke & Eckhardt, Phys. Rev. Lett. 96 (2006) 174101, for edge tracking. Halekotte & Feudel,
Scientific Reports 10 (2020) 11783, for the smallest kick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from samdyn.basin.basins import Basins
from samdyn.basin.motion import build_motion
from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.systems.diffusion import Diffusion

N_PARTS = 16
N_ROUNDS, N_DIRECTIONS = 8, 64
PATIENCE = 3


@dataclass(frozen=True)
class Kick:
    """A displacement that takes an attractor's point into another basin.

    Attributes
    ----------
    start, end : ndarray, shape (dim,)
        A point of the attractor, and where the kick leads: just inside the other basin.
    distance : float
        Length of the kick.
    error : float
        How much shorter it could be along the same direction.
    origin, label : int
        The attractor, and where the kicked point goes.
    """

    start: Array
    end: Array
    distance: float
    error: float
    origin: int
    label: int


@dataclass(frozen=True)
class EdgeState:
    """An attractor of the dynamics on a basin boundary.

    Attributes
    ----------
    x : ndarray, shape (dim,)
        The last point between the two sides.
    converged : bool
        Whether it came to rest; if not, the edge state is no fixed point, or `max_rounds` was too small.
    labels : (int, int)
        Ends of the two sides.
    track : ndarray, shape (n_rounds, dim)
        Points of the boundary, one a round.
    """

    x: Array
    converged: bool
    labels: tuple[int, int]
    track: Array = field(repr=False)


def _check(basins: Basins, *ids: int) -> None:
    if not isinstance(basins, Basins):
        raise TypeError(f"basins must be a Basins, got {basins!r}")
    if basins.course is None or basins.system is None:
        raise ValueError("basins must know its system: load it with system=...")
    for i in ids:
        if i not in basins.attractors:
            raise ValueError(f"attractor must be one of {list(basins.attractors)}, got {i!r}")


def smallest_kick(basins: Basins, attractor: int, target: int | None = None, *, seed: int = 0) -> Kick:
    """The shortest displacement found from an attractor into another basin.

    Parameters
    ----------
    basins : Basins
    attractor : int
        Where the kick starts; any of its points.
    target : int, optional
        The basin that it must reach (a reason below zero counts); any other by default.
    seed : int
        Of the random directions.

    Returns
    -------
    Kick

    Raises
    ------
    ValueError
        No such attractor, or no cell of another basin.

    Examples
    --------
    >>> import samdyn as sd
    >>> result = sd.basins(sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1), [(-2, 2)], 100)
    >>> round(sd.smallest_kick(result, 1).distance, 4)
    1.0
    """
    _check(basins, attractor)
    own = basins.attractors[attractor].points
    other = basins.labels != attractor if target is None else basins.labels == target
    cells = np.flatnonzero(other.ravel())
    if target == attractor or len(cells) == 0:
        raise ValueError(f"target must be another basin with cells in the box, got {target!r}")
    # the nearest cells of all, without a tree over the whole grid in memory at once
    tree = cKDTree(own)
    nearest: list[tuple[Array, Array]] = []
    for piece in np.array_split(cells, max(1, len(cells) // (1 << 18))):
        distance, at = tree.query(basins.grid.points(piece))
        few = np.argsort(distance)[:N_DIRECTIONS]
        nearest.append((np.column_stack([distance[few], at[few]]), basins.grid.points(piece[few])))
    table, ends = (np.concatenate(part) for part in zip(*nearest, strict=True))
    order = np.argsort(table[:, 0])[:N_DIRECTIONS]
    starts, ends = own[table[order, 1].astype(int)], ends[order]

    def leads(x: Array) -> npt.NDArray[np.bool_]:
        labels = basins.label_at(x)
        return np.asarray(labels != attractor if target is None else labels == target)

    rng = np.random.default_rng(seed)
    length, width = _first_exits(starts, ends, leads)
    best = int(np.argmin(length))
    spread = 0.5
    for _ in range(N_ROUNDS):
        start, way = starts[best], ends[best] - starts[best]
        unit = way / np.linalg.norm(way)
        directions = unit + spread * rng.standard_normal((N_DIRECTIONS, len(unit)))
        directions[0] = unit
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        reach = length[best] + width[best]
        new_starts = np.repeat(start[None], N_DIRECTIONS, axis=0)
        new_ends = new_starts + reach * directions
        new_length, new_width = _first_exits(new_starts, new_ends, leads)
        starts, ends, length, width = new_starts, new_ends, new_length, new_width
        best = int(np.argmin(length))
        spread *= 0.5
    unit = (ends[best] - starts[best]) / np.linalg.norm(ends[best] - starts[best])
    end = starts[best] + length[best] * unit
    label = int(basins.label_at(end))
    return Kick(starts[best], end, float(length[best]), float(width[best]), attractor, label)


def _first_exits(
    starts: Array, ends: Array, leads: Callable[[Array], npt.NDArray[np.bool_]]
) -> tuple[Array, Array]:
    """Distance from each start towards its end of the first point found that leads elsewhere (inf if none),
    and the width that it is known to.
    """
    way = ends - starts
    size = np.linalg.norm(way, axis=1)
    low, high = np.zeros(len(starts)), np.full(len(starts), np.nan)
    top = np.ones(len(starts))
    for _ in range(5):
        share = low[:, None] + (top - low)[:, None] * (np.arange(1, N_PARTS + 1) / N_PARTS)
        x = starts[:, None] + share[:, :, None] * way[:, None]
        out = leads(x)
        found = out.any(axis=1)
        first = out.argmax(axis=1)
        rows = np.arange(len(starts))
        high = np.where(found, share[rows, first], np.nan)
        low = np.where(found, np.where(first > 0, share[rows, np.maximum(first - 1, 0)], low), low)
        top = np.where(found, high, top)
    return np.where(np.isnan(high), np.inf, high * size), (top - low) * size


def boundary_pairs(basins: Basins, a: int, b: int) -> tuple[Array, Array]:
    """Points of neighbouring cells of which one goes to `a` and the other to `b`.

    Returns
    -------
    two ndarrays, shape (n, dim)
        On the side of `a` and on the side of `b`; n = 0 where the basins do not touch.
    """
    labels, cells = basins.labels, np.arange(basins.labels.size).reshape(basins.labels.shape)
    sides: list[list[Array]] = [[], []]
    for axis in range(labels.ndim):
        low, high = (np.moveaxis(labels, axis, 0)[cut] for cut in (slice(0, -1), slice(1, None)))
        first, second = (np.moveaxis(cells, axis, 0)[cut] for cut in (slice(0, -1), slice(1, None)))
        for one, two, u, v in ((low, high, first, second), (high, low, second, first)):
            at = (one == a) & (two == b)
            sides[0].append(u[at])
            sides[1].append(v[at])
    return basins.grid.points(np.concatenate(sides[0])), basins.grid.points(np.concatenate(sides[1]))


def edge_state(
    basins: Basins,
    a: int,
    b: int,
    *,
    start: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    bisection: float = 1e-9,
    divergence: float = 1e-5,
    tolerance: float = 1e-6,
    max_rounds: int = 300,
) -> EdgeState:
    """The state that the dynamics on the boundary between two basins settles on.

    Parameters
    ----------
    basins : Basins
        Of a system without noise (of a Diffusion the drift is used), without momentum.
    a, b : int
        Two labels; one may be a reason below zero.
    start : pair of array_like, shape (dim,), optional
        A point on each side; by default the middle pair of `boundary_pairs`.
    bisection, divergence, tolerance : float
        In units of the box's diagonal: how close the two sides are brought, how far apart they are let
        run, and the motion of the boundary point at which it counts as at rest.
    max_rounds : int

    Returns
    -------
    EdgeState

    Raises
    ------
    ValueError
        The basins do not touch, or the start is not on two sides.

    Examples
    --------
    >>> import samdyn as sd
    >>> result = sd.basins(sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1), [(-2, 2)], 50)
    >>> bool(abs(sd.edge_state(result, 1, 2).x[0]) < 1e-5)
    True
    """
    _check(basins, *(k for k in (a, b) if k > 0))
    assert basins.course is not None
    system, course = basins.system, basins.course
    if course.scale.size != len(basins.box):
        raise ValueError("basins must be of a system without momentum to follow a boundary")
    for name, value in (("bisection", bisection), ("divergence", divergence), ("tolerance", tolerance)):
        checks.number(name, value, above=0)
    max_rounds = checks.integer("max_rounds", max_rounds, at_least=1)
    diagonal = float(np.linalg.norm(basins.box[:, 1] - basins.box[:, 0]))
    if start is None:
        on_a, on_b = boundary_pairs(basins, a, b)
        if len(on_a) == 0:
            raise ValueError(f"a and b must be basins that touch on the grid, got {a!r} and {b!r}")
        middle = np.argmin(np.linalg.norm(on_a - np.median(on_a, axis=0), axis=1))
        one, two = on_a[middle], on_b[middle]
    else:
        one, two = (checks.points("start", x, len(basins.box)) for x in start)
    if int(basins.label_at(one)) != a or int(basins.label_at(two)) == a:
        raise ValueError("start must be a point that goes to a and one that does not")
    stride = None if isinstance(system, Diffusion) else course.stride
    assert system is not None
    motion = build_motion(system, stride=stride, noisy=False, seed=0, box=basins.box)
    numbers, track, still = np.arange(2), [], 0
    for _ in range(max_rounds):
        one, two = _together(basins, one, two, a, bisection * diagonal)
        track.append((one + two) / 2)
        moved = np.linalg.norm(track[-1] - track[-2]) if len(track) > 1 else np.inf
        still = still + 1 if moved <= tolerance * diagonal else 0
        if still >= PATIENCE:
            break
        pair = np.stack([one, two], axis=1)
        for _ in range(100):
            following = motion(pair, numbers, 0, 1)
            if not np.isfinite(following).all():
                break
            pair = following
            if np.linalg.norm(pair[:, 0] - pair[:, 1]) > divergence * diagonal:
                break
        one, two = pair[:, 0], pair[:, 1]
    labels = basins.label_at(np.stack([one, two]))
    return EdgeState(track[-1], still >= PATIENCE, (int(labels[0]), int(labels[1])), np.array(track))


def _together(basins: Basins, one: Array, two: Array, label: int, width: float) -> tuple[Array, Array]:
    """Two points on either side, no more than `width` apart."""
    while np.linalg.norm(two - one) > width:
        x = one + np.linspace(0, 1, N_PARTS + 1)[:, None] * (two - one)
        inside = basins.label_at(x[1:-1]) == label
        # the first change: `one` is inside by construction, `two` is not
        k = int(np.argmin(np.append(inside, False)))
        if np.array_equal(x[k], x[k + 1]):
            break
        one, two = x[k], x[k + 1]
    return one, two
