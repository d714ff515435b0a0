"""Who has arrived where: states within a tested distance of a known attractor.

Algorithm
---------
A state belongs to attractor k when it lies within `radius_k` of one of its points. The radius is not assumed
but measured (`capture_radii`): probes start at the distances eps_j = eps_max / 2^j from points of the
attractor, in random directions, and are followed for `n_steps`; eps_j passes if every one of its probes ends
nearer to this attractor than to any other, and within eps_j of it (or within the attractor's gaps, the
widest distance between neighbouring points of its sample, thrice), and not all stayed exactly where they
were. The radius is the largest eps_j such that it and all smaller ones pass, halved since the probes are few,
and eps_max a quarter of the distance to the nearest other attractor. Sets of more than 24 points get eight
times as many probes, which are followed for at least as long as their sample is.

If not even the smallest distance passes, the probes go on, to 2, 4, 8 and 16 times the steps: where an
attractor's Jacobian is not normal, distances grow before they shrink. A set that never passes repels in some
direction, or is only slow, and is no attractor.

That is a test by sampling, not a proof. Velocities of heavy-ball momentum count with the factor lr, so that
they are lengths of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from samdyn.basin.motion import Motion
from samdyn.compute.checks import Array

N_LEVELS = 12
SAFETY = 0.5
FEW = 24  # points that are compared one by one; a tree is faster above
LAPS = 5
MORE_PROBES = 8  # times as many probes for sets with more points than that: any may have a hole beside it
MAX_POINTS = 4096  # of one attractor

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
    """

    states: Array
    radius: float
    label: int


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
        self.trees = [cKDTree(t.states) if len(t.states) > FEW else None for t in targets]

    def __call__(self, state: Array) -> Labels:
        """Labels of states (state_dim, n); 0 where none is near."""
        found = np.zeros(state.shape[1], dtype=np.int16)
        y = state * self.scale[:, None]
        with np.errstate(all="ignore"):
            for target, tree in zip(self.targets, self.trees, strict=True):
                if tree is None:
                    for point in target.states:
                        square = (y[0] - point[0]) ** 2
                        for coordinate, value in zip(y[1:], point[1:], strict=True):
                            square += (coordinate - value) ** 2
                        found[square <= target.radius**2] = target.label
                    continue
                low = target.states.min(axis=0) - target.radius
                high = target.states.max(axis=0) + target.radius
                near = np.flatnonzero(((y >= low[:, None]) & (y <= high[:, None])).all(axis=0))
                if len(near):
                    distance, _ = tree.query(y[:, near].T, distance_upper_bound=target.radius * (1 + 1e-12))
                    found[near[distance <= target.radius]] = target.label
        return found


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
) -> list[float]:
    """The radius within which each set captures; 0 where it does not.

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
    """
    if not sets:
        return []
    rng = np.random.default_rng(12345)
    trees = [cKDTree(s) for s in sets]
    floors = [max(hover, 3 * widest_gap(s)) for s in sets]
    levels: list[Array] = []
    starts: list[Array] = []
    for k, points in enumerate(sets):
        count = n_probes * (MORE_PROBES if len(points) > FEW else 1)
        others = [float(tree.query(points)[0].min()) for i, tree in enumerate(trees) if i != k]
        level = min([largest, *(d / 4 for d in others)]) / 2.0 ** np.arange(N_LEVELS)
        direction = rng.standard_normal((N_LEVELS, count, len(scale)))
        direction /= np.linalg.norm(direction, axis=2, keepdims=True)
        base = points[rng.integers(0, len(points), (N_LEVELS, count))]
        x = (base + level[:, None, None] * direction).reshape(-1, len(scale))
        starts.append(np.ascontiguousarray((x / scale).T))
        levels.append(np.asarray(level, dtype=np.float64))
    radii = [0.0] * len(sets)
    large = np.array([len(points) > FEW for points in sets])
    for group, duration in ((~large, n_steps), (large, max(n_steps, n_steps_large))):
        waiting, step = np.flatnonzero(group).tolist(), 0
        state = np.concatenate([starts[k] for k in waiting], axis=1) if len(waiting) else np.empty((0, 0))
        for lap in range(LAPS):
            if len(waiting) == 0:
                break
            state = _follow(motion, state, first_step + step, first_step + (duration << lap))
            step = duration << lap
            sizes = [starts[k].shape[1] for k in waiting]
            ends = np.split(state, np.cumsum(sizes)[:-1], axis=1)
            kept = []
            for k, end in zip(waiting, ends, strict=True):
                passed, hopeless = _passed(k, starts[k], end, trees, levels[k], floors[k], scale)
                run = np.cumprod(passed[::-1])[::-1].astype(bool)  # it and all smaller ones
                if run.any():
                    radii[k] = SAFETY * float(levels[k][run][0])
                kept.append(not run.any() and not hopeless)
            waiting = [k for k, keep in zip(waiting, kept, strict=True) if keep]
            state = np.concatenate(
                [e for e, keep in zip(ends, kept, strict=True) if keep] or [state[:, :0]], axis=1
            )
    return radii


def _follow(motion: Motion, state: Array, first: int, last: int) -> Array:
    numbers = np.arange(state.shape[1])
    for step in range(first, last, motion.every):
        state = motion(state, numbers, step, motion.every)
    return state


def _passed(
    k: int, start: Array, end: Array, trees: Sequence[cKDTree], level: Array, floor: float, scale: Array
) -> tuple[npt.NDArray[np.bool_], bool]:
    """At which levels all probes are on the attractor, and whether some at the lowest went elsewhere."""
    finite = np.asarray(np.isfinite(end).all(axis=0))
    x = np.where(finite[:, None], (end * scale[:, None]).T, 1e300)
    distance = np.stack([tree.query(x)[0].reshape(len(level), -1) for tree in trees])
    own = distance[k]
    here = finite.reshape(own.shape) & (own <= distance.min(axis=0))
    close = own <= np.maximum(level[:, None], floor)
    moved = (end != start).any(axis=0).reshape(own.shape)
    return np.asarray((here & close).all(axis=1) & moved.any(axis=1)), not here[-1].all()
