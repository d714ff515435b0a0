"""The edge state between two basins: where the dynamics on their common boundary goes.

1. Two points on either side of the boundary, from neighbouring cells, are brought together by repeated
   division of the line between them, to `bisection` of the box.
2. Both are followed until they are `divergence` of the box apart, and brought together again.
3. This ends when the middle of the pair, brought together, has moved by less than `tolerance` of the box
   from one round to the next, `PATIENCE` times: the edge state is a fixed point. Or when it has come back to
   within `tolerance` of the point of an earlier round, `RETURNS` times in a row: the edge state is a cycle,
   or what looks like one. Or after `max_rounds`.

If a third basin appears between the two sides on the way, the side of `b` becomes one of that: the labels of
the result say so. Then the two basins meet along a thin layer of the third one only.

References
----------
Skufca, Yorke & Eckhardt, Phys. Rev. Lett. 96 (2006) 174101.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.mapping import Basins
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import motion_of, quiet_motion
from samdyn.basin.search.attractors import place
from samdyn.jobs.progress import paced
from samdyn.numerics.scales import diagonal_of
from samdyn.results import Absent, Result, Table
from samdyn.systems.diffusion import Diffusion

N_PARTS = 128  # a call for many points costs little more than one for a few
PATIENCE, RETURNS = 3, 8
N_PAIRS, MOST_STEPS = 256, 100


@dataclass(frozen=True, eq=False, repr=False)
class EdgeState(Result):
    """An attractor of the dynamics on a basin boundary.

    Attributes
    ----------
    x : ndarray, shape (dim,)
        The last point between the two sides.
    converged : bool
        Whether it came to rest or back to points of its own; if not, the edge state is neither a fixed point
        nor a cycle, or `max_rounds` was too small.
    labels : (int, int)
        Ends of the two sides.
    points : ndarray, shape (k, dim)
        The edge state: one point, or those that a path visits on a cycle; without convergence the last point.
    track : ndarray, shape (n_rounds, dim)
        Points of the boundary, one a round.
    """

    cited = ("skufca2006",)
    row = "round"
    axes = ("x: coordinate", "points: point coordinate", "track: round coordinate")

    x: Array
    converged: bool
    labels: tuple[int, int]
    points: Array = field(repr=False)
    track: Array = field(repr=False)

    def table(self) -> Table:
        """Where it is, and whether it settled."""
        size = f"{len(self.points)} point{'s' * (len(self.points) > 1)}"
        state = "" if self.converged else ", not converged"
        between = " and ".join(map(str, self.labels))
        return Table(
            f"EdgeState at {place(self.x)} between {between}: {size}{state}, {len(self.track)} rounds"
        )

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        columns = {f"track_{i}": coordinate for i, coordinate in enumerate(self.track.T)}
        return columns, {"converged": self.converged}


def check_known(basins: Basins, **ids: int) -> None:
    """Refuse what is no Basins, or one without its system or these attractors."""
    if not isinstance(basins, Basins):
        raise TypeError(f"basins must be a Basins, got {basins!r}")
    if basins.course is None or isinstance(basins.system, Absent):
        raise ValueError("basins must know its system: load it with system=...")
    for name, i in ids.items():
        if i not in basins.attractors:
            raise ValueError(f"{name} must be one of the attractors {list(basins.attractors)}, got {i!r}")


@checked
def boundary_pairs(basins: Basins, a: int, b: int) -> tuple[Array, Array]:
    """Points of neighbouring cells of which one goes to `a` and the other to `b`.

    Returns
    -------
    two ndarrays, shape (n, dim)
        On the side of `a` and on the side of `b`; n = 0 where the basins do not touch.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(2), sd.GD())
    >>> found = sd.basins(flow, [(-2, 2), (-1, 1)], resolution=8)
    >>> left, right = sd.basin.boundary_pairs(found, *found.attractors)
    >>> left.shape, abs(right - left).max(axis=0).round(3).tolist()
    ((8, 2), [0.5, 0.0])
    """
    for name, label in (("a", a), ("b", b)):
        if checks.integer(name, label) not in (*basins.attractors, *range(-9, 0)):
            raise ValueError(f"{name} must be one of {list(basins.attractors)}, got {label!r}")
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


@checked
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
    progress: bool = False,
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
    progress : bool
        Show a progress bar over rounds.

    Returns
    -------
    EdgeState

    Warns
    -----
    CostWarning
        All `max_rounds` would take more than ten seconds, by the time of the second; a boundary that settles
        earlier takes less.

    Raises
    ------
    ValueError
        The basins do not touch, or the start is not on two sides.

    Examples
    --------
    >>> import samdyn as sd
    >>> result = sd.basins(sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1), [(-2, 2)], 50)
    >>> bool(abs(sd.basin.edge_state(result, 1, 2).x[0]) < 1e-5)
    True
    """
    for name, label in (("a", a), ("b", b)):
        checks.integer(name, label)
    check_known(basins, **{name: k for name, k in (("a", a), ("b", b)) if k > 0})
    assert basins.course is not None
    system, course = basins.system, basins.course
    if course.scale.size != len(basins.box):
        raise ValueError("basins must be of a system without momentum to follow a boundary")
    for name, value in (("bisection", bisection), ("divergence", divergence), ("tolerance", tolerance)):
        checks.number(name, value, above=0)
    max_rounds = checks.integer("max_rounds", max_rounds, at_least=1)
    diagonal = diagonal_of(basins.box)
    if start is None:
        on_a, on_b = boundary_pairs(basins, a, b)
        if len(on_a) == 0:
            raise ValueError(f"a and b must be basins that touch on the grid, got {a!r} and {b!r}")
        one, two = _middle_pair(basins, on_a, on_b, a, b)
    else:
        if not isinstance(start, tuple | list) or len(start) != 2:
            raise ValueError(f"start must be a pair of points, got {start!r}")
        one, two = (checks.points("start", x, len(basins.box)) for x in start)
    if int(basins.label_at(one)) != a or int(basins.label_at(two)) == a:
        raise ValueError("start must be a point that goes to a and one that does not")
    # the motion of a drift takes strides of its own length; other motions are built already
    motion = quiet_motion(course) if isinstance(system, Diffusion) else motion_of(course.without_noise())
    near = tolerance * diagonal
    track: list[Array] = []
    still = returns = 0
    cheaper = "it ends earlier where the boundary settles; pass a smaller max_rounds"
    rounds = paced(
        range(max_rounds), "edge_state", max_rounds, cheaper, show=progress, unit="round", untimed=1
    )
    for _ in rounds:
        one, two = _together(basins, one, two, a, bisection * diagonal)
        distance = np.linalg.norm(np.array(track).reshape(-1, len(one)) - (one + two) / 2, axis=1)
        track.append((one + two) / 2)
        still = still + 1 if len(distance) and distance[-1] <= near else 0
        returns = returns + 1 if (distance <= near).any() else 0
        if still >= PATIENCE or returns >= RETURNS:
            break
        one, two = _apart(motion, one, two, divergence * diagonal)[:, -1]
    converged = still >= PATIENCE or returns >= RETURNS
    points = track[-1][None]
    if converged:
        # what looked still or came back from round to round may have moved in between
        middles = _apart(motion, one, two, divergence * diagonal).mean(axis=0)
        middles = middles[: max(1, len(middles) - 1)]  # the last pair is apart
        apart = np.linalg.norm(middles[:, None] - middles, axis=2) > max(2 * near, 2 * divergence * diagonal)
        points = middles[np.argmin(apart, axis=1) == np.arange(len(middles))]
    labels = basins.label_at(np.stack([one, two]))
    return EdgeState(track[-1], converged, (int(labels[0]), int(labels[1])), points, np.array(track))


def _apart(motion: Motion, one: Array, two: Array, width: float) -> Array:
    """The paths (2, n, dim) of two points until they are further than `width` apart, or for MOST_STEPS."""
    paths = [np.stack([one, two], axis=1)]
    for _ in range(MOST_STEPS):
        following = motion(paths[-1], np.arange(2), 0, 1)
        if not np.isfinite(following).all():
            break
        paths.append(following)
        if np.linalg.norm(following[:, 0] - following[:, 1]) > width:
            break
    return np.array(paths).transpose(2, 0, 1)


def _middle_pair(basins: Basins, on_a: Array, on_b: Array, a: int, b: int) -> tuple[Array, Array]:
    """The pair nearest to the middle of the boundary of which both sides go where the grid says."""
    order = np.argsort(np.linalg.norm(on_a - np.median(on_a, axis=0), axis=1))[:N_PAIRS]
    fits = (basins.label_at(on_a[order]) == a) & (basins.label_at(on_b[order]) == b)
    chosen = order[int(np.argmax(fits))]
    return on_a[chosen], on_b[chosen]


def _together(basins: Basins, one: Array, two: Array, label: int, width: float) -> tuple[Array, Array]:
    """Two points on either side, no more than `width` apart, or neighbouring numbers of float64."""
    while np.linalg.norm(two - one) > width:
        x = one + np.linspace(0, 1, N_PARTS + 1)[:, None] * (two - one)
        inside = basins.label_at(x[1:-1]) == label
        # the first change: `one` is inside by construction, `two` is not
        k = int(np.argmin(np.append(inside, False)))
        before = np.linalg.norm(two - one)
        if np.array_equal(x[k], x[k + 1]) or np.linalg.norm(x[k + 1] - x[k]) >= before:
            break
        one, two = x[k], x[k + 1]
    return one, two
