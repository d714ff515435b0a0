"""Who has arrived where: states within a tested distance of a known attractor.

Algorithm
---------
A state belongs to attractor k when it lies within `radius_k` of one of its points, or of the polygon through
the points of a closed orbit. The radius is not assumed
but measured (`capture_radii`): probes start at the distances eps_j = eps_max / 2^j from points of the
attractor, in random directions, and are followed for `n_steps`; eps_j passes if every one of its probes ends
nearer to this attractor than to any other, and within eps_j of it (or within the attractor's gaps, the
widest distance between neighbouring points of its sample, thrice), and not all stayed exactly where they
were. The radius is the largest eps_j such that it and all smaller ones pass, halved since the probes are few,
and eps_max a quarter of the distance to the nearest other attractor. Sets of more than 24 points get eight
times as many probes, which are followed for at least as long as their sample is.

An attractor that is not known yet may lie within eps_j of this one, where a probe that ends on it would pass.
It is betrayed by the boundary before it: `N_RAYS` of the probes are the ends of rays from the attractor, with
`PER_LEVEL` points to each level. Neighbours on a ray that end `TORN` times as far apart as they were, and not
both on this attractor, lie on two sides of a boundary, and eps_j passes only below it. (Neighbours that both
end on it are torn apart by chaos, or by the boundary between the phases of a cycle.)

If not even the smallest distance passes, the probes go on, to 2, 4, 8 and 16 times the steps: where an
attractor's Jacobian is not normal, distances grow before they shrink. A set that never passes repels in some
direction, or is only slow, and is no attractor.

That is a test by sampling, not a proof. Velocities of heavy-ball momentum count with the factor lr, so that
they are lengths of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.basin.paths.contract import Motion

N_LEVELS = 12
SAFETY = 0.5
FEW = 24  # points that are compared one by one; a tree is faster above
OUTPOSTS = 4  # points of a larger set that are compared one by one before its tree is asked
SURE = 1e-12  # share of a squared distance that rounding may change
LAPS = 5
MORE_PROBES = 8  # times as many probes for sets with more points than that: any may have a hole beside it
MAX_POINTS = 4096  # of one attractor
N_RAYS, PER_LEVEL = 16, 4
TORN = 5.0  # without a boundary neighbours keep their distance, to within the unevenness of the flow

Labels = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Target:
    """What a path can arrive at.

    Attributes
    ----------
    states : ndarray, shape (n, state_dim)
        Points of the attractor, in the scaled coordinates of `Proximity`.
    radius : float
    label : int
        What arrivals are given.
    closed : bool
        Whether the points are the points of a closed orbit in order, and the polygon through them counts.
    """

    states: Array
    radius: float
    label: int
    closed: bool = False


class Proximity:
    """The test of states against targets.

    Parameters
    ----------
    targets : sequence of Target
    scale : ndarray, shape (state_dim,)
        Factors of the coordinates in distances.

    Examples
    --------
    >>> test = Proximity([Target(np.array([[0.0]]), 0.1, 1), Target(np.array([[1.0]]), 0.2, 2)], np.ones(1))
    >>> test(np.array([[0.05, 0.5, 1.1]]))
    array([1, 0, 2], dtype=int16)
    """

    def __init__(self, targets: Sequence[Target], scale: Array) -> None:
        self.scale = scale
        self.targets = tuple(targets)
        self.trees = [cKDTree(t.states) if len(t.states) > FEW or t.closed else None for t in targets]
        # farther than this from all points of a closed orbit a state is not within the radius of its polygon
        self.reach = [t.radius + (_longest_side(t.states) / 2 if t.closed else 0.0) for t in targets]
        self.curves = [closed_curve(t.states, True) if t.closed else None for t in targets]
        self.boxes = [
            (t.states.min(axis=0)[:, None] - t.radius, t.states.max(axis=0)[:, None] + t.radius)
            for t in targets
        ]
        self.outposts = [
            _outposts(t) if tree is not None else None for t, tree in zip(targets, self.trees, strict=True)
        ]

    def __call__(self, state: Array) -> Labels:
        """Labels of states (state_dim, n); 0 where none is near."""
        found = np.zeros(state.shape[1], dtype=np.int16)
        y = state * self.scale[:, None]
        with np.errstate(all="ignore"):
            for target, tree, curve, reach, (low, high), outposts in zip(
                self.targets, self.trees, self.curves, self.reach, self.boxes, self.outposts, strict=True
            ):
                if tree is None:
                    found[_squares(y, target.states) <= target.radius**2] = target.label
                    continue
                near = np.flatnonzero(((y >= low) & (y <= high)).all(axis=0))
                if outposts is not None and len(near):
                    sure = _squares(y[:, near], outposts) <= target.radius**2 * (1 - SURE)
                    found[near[sure]] = target.label
                    near = near[~sure]
                if len(near) == 0:
                    continue
                distance, _ = tree.query(y[:, near].T, distance_upper_bound=reach * (1 + 1e-12))
                near, distance = near[distance <= reach], distance[distance <= reach]
                if curve is not None and len(near):
                    distance = curve(y[:, near].T)
                found[near[distance <= target.radius]] = target.label
        return found


def _squares(y: Array, points: Array) -> Array:
    """Squared distance of states (state_dim, n) from the nearest of a few points."""
    nearest = np.full(y.shape[1], np.inf)
    for point in points:
        square = (y[0] - point[0]) ** 2
        for coordinate, value in zip(y[1:], point[1:], strict=True):
            square += (coordinate - value) ** 2
        np.fmin(nearest, square, out=nearest)
    return nearest


def _outposts(target: Target) -> Array | None:
    """A few points far from each other: most of what is near a compact set is near one of them.

    Each is the farthest from those before it. Where the set is larger than its radius they are of no use.
    """
    states = target.states
    if target.radius * OUTPOSTS < np.linalg.norm(np.ptp(states, axis=0)):
        return None
    chosen = [states[0]]
    distance = np.linalg.norm(states - chosen[0], axis=1)
    while len(chosen) < OUTPOSTS and distance.max() > 0:
        chosen.append(states[int(distance.argmax())])
        distance = np.minimum(distance, np.linalg.norm(states - chosen[-1], axis=1))
    return np.array(chosen)


def thinned(states: Array, most: int = MAX_POINTS) -> Array:
    """States without repetitions (to 1e-9 of their extent), evenly thinned to at most `most`."""
    extent = max(float(np.ptp(states, axis=0).max()), 1e-12 * (1 + float(np.abs(states).max())))
    _, first = np.unique(np.round((states - states[0]) / (1e-6 * extent)), axis=0, return_index=True)
    first.sort()
    if len(first) > most:
        first = first[np.linspace(0, len(first) - 1, most).astype(int)]
    return states[first]


def grain(states: Array) -> float:
    """Distance between neighbouring points of a sample: the 98 % quantile to the nearest other one."""
    if len(states) <= FEW:
        return 0.0
    return float(np.quantile(cKDTree(states).query(states, k=2)[0][:, 1], 0.98))


def widest_gap(states: Array) -> float:
    """Largest distance from a point of a sample to the nearest other one; 0 for a few points."""
    if len(states) <= FEW:
        return 0.0
    return float(cKDTree(states).query(states, k=2)[0][:, 1].max())


def closed_curve(states: Array, closed: bool) -> Callable[[Array], Array]:
    """Distance of points (n, state_dim) from a set: its points, or the polygon through them in order."""
    tree = cKDTree(states)
    if not closed or len(states) < 3:
        return lambda x: np.asarray(tree.query(x)[0])
    way = np.roll(states, -1, axis=0) - states
    square = np.maximum((way**2).sum(axis=1), 1e-300)

    def distance(x: Array) -> Array:
        result, at = tree.query(x)
        at = np.minimum(at, len(states) - 1)  # of points too far away for a distance there is none
        for i in (at, (at - 1) % len(states)):
            share = np.clip(((x - states[i]) * way[i]).sum(axis=1) / square[i], 0, 1)
            result = np.minimum(result, np.linalg.norm(x - states[i] - share[:, None] * way[i], axis=1))
        return np.asarray(result)

    return distance


def _longest_side(states: Array) -> float:
    """The longest side of the closed polygon through points (n, state_dim) in order."""
    return float(np.linalg.norm(np.roll(states, -1, axis=0) - states, axis=1).max())


def capture_radii(
    motion: Motion,
    sets: Sequence[Array],
    scale: Array,
    *,
    largest: float,
    n_probes: int,
    n_steps: int,
    n_steps_large: int = 0,
    hover: float = 0.0,
    first_step: int = 0,
    closed: Sequence[bool] | None = None,
    n_known: int = 0,
) -> list[float]:
    """The radius within which each set after the first `n_known` captures; 0 where it does not.

    Parameters
    ----------
    motion : Motion
        Without noise.
    sets : sequence of ndarray, shape (n_k, state_dim)
        Points of the sets, scaled.
    scale : ndarray, shape (state_dim,)
    largest : float
        Upper bound of the radii.
    n_probes, n_steps : int
        Probes for each distance from a point or a short cycle, and how long they are followed.
    n_steps_large : int
        The least that probes of larger sets are followed.
    hover : float
        Distance at which the end of a probe counts as on the attractor, whatever its start.
    first_step : int
        Step at which they start, for coefficients on a schedule.
    closed : sequence of bool, optional
        Which sets are the points of a closed orbit, in order.
    n_known : int
        The first sets are known attractors, which probes may go to instead.
    """
    if len(sets) == n_known:
        return []
    rng = np.random.default_rng(12345)
    trees = [cKDTree(s) for s in sets]
    curves = [False] * len(sets) if closed is None else list(closed)
    distances = [closed_curve(s, c) for s, c in zip(sets, curves, strict=True)]
    floors = [max(hover, 3 * widest_gap(s)) for s in sets]
    gaps = [lattice_gap(s) if k >= n_known else 0.0 for k, s in enumerate(sets)]
    probes: dict[int, _Probes] = {}
    large = np.array([len(points) > FEW and not c for points, c in zip(sets, curves, strict=True)])
    for k in range(n_known, len(sets)):
        points = sets[k]
        count = n_probes * (MORE_PROBES if large[k] else 1)
        others = [float(tree.query(points)[0].min()) for i, tree in enumerate(trees) if i != k]
        probes[k] = _Probes(points, min([largest, *(d / 4 for d in others)]), count, scale, rng)
    radii = [0.0] * len(sets)
    new = np.arange(len(sets)) >= n_known
    for group, duration in ((~large, n_steps), (large, max(n_steps, n_steps_large))):
        waiting, step = np.flatnonzero(group & new).tolist(), 0
        state = np.concatenate([probes[k].start for k in waiting], axis=1) if waiting else np.empty((0, 0))
        for lap in range(LAPS):
            if len(waiting) == 0:
                break
            state = followed(motion, state, first_step + step, first_step + (duration << lap))
            step = duration << lap
            sizes = [probes[k].start.shape[1] for k in waiting]
            ends = np.split(state, np.cumsum(sizes)[:-1], axis=1)
            kept = []
            for k, end in zip(waiting, ends, strict=True):
                with np.errstate(all="ignore"):  # of probes that have left for infinity
                    passed, hopeless = _passed(
                        k, probes[k], end, trees, distances, (floors[k], hover, gaps[k]), scale
                    )
                run = np.cumprod(passed[::-1])[::-1].astype(bool)  # it and all smaller ones
                if run.any():
                    radii[k] = SAFETY * float(probes[k].level[run][0])
                kept.append(not run.any() and not hopeless)
            waiting = [k for k, keep in zip(waiting, kept, strict=True) if keep]
            state = np.concatenate(
                [e for e, keep in zip(ends, kept, strict=True) if keep] or [state[:, :0]], axis=1
            )
    return radii[n_known:]


def lattice_gap(states: Array) -> float:
    """Distance of neighbouring clumps of a sample: the 98 % quantile of the steps of single linkage.

    An orbit that fills a circle slowly is for long a lattice of short arcs, with close points in each.
    """
    some = states[:: max(1, len(states) // 1024)]
    return float(np.quantile(linkage(some, "single")[:, 2], 0.98)) if len(some) > FEW else 0.0


class _Probes:
    """Starts of the probes of one set: single ones at every level, and rays."""

    def __init__(
        self, points: Array, largest: float, count: int, scale: Array, rng: np.random.Generator
    ) -> None:
        self.level = largest / 2.0 ** np.arange(N_LEVELS)
        size, n_rays = len(scale), min(N_RAYS, count)
        direction = rng.standard_normal((N_LEVELS, count, size))
        direction /= np.linalg.norm(direction, axis=2, keepdims=True)
        base = points[rng.integers(0, len(points), (N_LEVELS, count))]
        single = (base + self.level[:, None, None] * direction).reshape(-1, size)
        # along each ray: the point of the set, then from the lowest level to the highest
        self.along = np.append(
            0.0, largest / 2.0 ** (np.arange((N_LEVELS - 1) * PER_LEVEL, -1, -1) / PER_LEVEL)
        )
        rays = (base[0, :n_rays] + self.along[:, None, None] * direction[0, :n_rays]).reshape(-1, size)
        self.count, self.n_rays = count, n_rays
        self.start = np.ascontiguousarray((np.concatenate([single, rays]) / scale).T)


def followed(motion: Motion, state: Array, first: int, last: int) -> Array:
    """States (state_dim, n) at step `first`, taken on to step `last` and at most a look beyond."""
    numbers = np.arange(state.shape[1])
    if motion.hover:  # strides of their own, since no step is as short as a jump of the field asks for
        for step in range(first, last):
            state = motion(state, numbers, step, 1)
        return state
    return motion(state, numbers, first, -(-(last - first) // motion.every) * motion.every)


def _passed(
    k: int,
    probes: _Probes,
    end: Array,
    trees: Sequence[cKDTree],
    distances: Sequence[Callable[[Array], Array]],
    floors: tuple[float, float, float],
    scale: Array,
) -> tuple[npt.NDArray[np.bool_], bool]:
    """At which levels all probes are on the attractor, and whether some at the lowest went elsewhere."""
    n, level = N_LEVELS * probes.count, probes.level
    finite = np.asarray(np.isfinite(end).all(axis=0))
    x = np.where(finite[:, None], (end * scale[:, None]).T, 1e300)
    own_all = distances[k](x)
    other = np.full(n, np.inf)
    for i, tree in enumerate(trees):
        if i != k:
            # beyond the own distance it does not matter how far the other ones are
            other = np.minimum(other, tree.query(x[:n])[0])
    own = own_all[:n].reshape(N_LEVELS, -1)
    here = finite[:n].reshape(own.shape) & (own <= other.reshape(own.shape))
    # points of the set itself end on it, between the points of the sample: as far away probes may end too
    drift = min(float(own_all[n : n + probes.n_rays].max()), floors[2])
    close = own <= np.maximum(level[:, None], floors[0]) + drift
    moved = (end != probes.start).any(axis=0)[:n].reshape(own.shape)
    whole = _whole(probes, x[n:], own_all[n:], finite[n:], floors)
    passed = (here & close).all(axis=1) & moved.any(axis=1) & (level <= whole * (1 + 1e-12))
    return np.asarray(passed), not here[-1].all()


def _whole(
    probes: _Probes, x: Array, own: Array, finite: npt.NDArray[np.bool_], floors: tuple[float, float, float]
) -> float:
    """Distance up to which no ray crosses a boundary to another attractor."""
    shape = (len(probes.along), probes.n_rays)
    y, own, fine = x.reshape(*shape, -1), own.reshape(shape), finite.reshape(shape)
    gap = np.diff(probes.along)[:, None]
    apart = np.linalg.norm(np.diff(y, axis=0), axis=2)
    torn = apart > TORN * gap
    sensitive = torn[0].mean() > 0.1  # even the nearest points of the set part: a sample has gaps then
    # an end that hovers about a jump of the field is on the attractor
    reach = np.maximum(0.1 * apart, floors[0] if sensitive else floors[1])
    crossed = torn & (np.maximum(own[1:], own[:-1]) > reach) | ~fine[1:] | ~fine[:-1]
    first = crossed.any(axis=1)
    return float(probes.along[int(np.argmax(first))]) if first.any() else float(probes.along[-1])
