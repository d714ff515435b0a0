"""Which samples of orbits are samples of one attractor: no set is counted twice, and no two as one.

Algorithm
---------
1. A sample that stands still is a point. One that goes to a cycle is replaced by the cycle
   (`samdyn.basin.search.refinement`), one that goes to a closed orbit of a flow by that orbit
   (`closed_orbit`), one that goes to an equilibrium by that zero of the field. Equal points, cycles and
   closed orbits are one.
2. What is left are samples of tori and of chaotic sets. Two of them are one set if

   - the arc between them is not torn: `N_ARCS` segments from points of one to the nearest of the other, each
     of `N_ON_ARC` points, are followed for `ARC_STEPS` steps, and neighbours on one of them stay within
     `TORN` times their distance. Between two attractors lies a boundary, at which neighbours part; along an
     invariant circle there is none, however slowly an orbit fills it: after 710 steps of a rotation by one
     radian it is back to 6e-5, and two orbits look like two cycles of 710 points;
   - or neighbours part within each of them, as on a chaotic set, and the samples lie as close to each other
     as each does to itself: the median distance from one to the other is at most twice the distance from the
     second half of a sample to its first.

   Samples whose nearest points are farther apart than half of the larger extent are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.basin.paths.arrival import FEW, TORN, closed_curve, followed, thinned
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course
from samdyn.basin.search.candidate import Candidate
from samdyn.basin.search.limit_cycle import closed_orbit
from samdyn.basin.search.refinement import cycle_of, is_cycle
from samdyn.numerics.scales import diagonal_of

STILL = 1e-7  # of the box: what is smaller stands still
EQUAL = 1e-6  # of the box: points of one attractor
N_ARCS, N_ON_ARC = 6, 33
ARC_STEPS, ARC_STRIDES = 4096, 300
AT_ONCE = 16  # samples that are compared with another one together
MOST_SAMPLES = 4  # of one set that are kept: a few cover it better than one


def distinct_sets(
    motion: Motion, course: Course, tails: Sequence[Array], known: Sequence[Candidate]
) -> list[Candidate]:
    """The sets that tails (n, state_dim) are samples of, each once, without radii; none that is known."""
    exact: list[Candidate] = []
    groups: list[list[int]] = []  # numbers of tails
    alike: dict[tuple[int, int], bool] = {}  # whether the first tail of a group and a later tail are one set

    def settled(k: int) -> bool:
        return any(_settles_on(course, tails[k], c) for c in [*known, *exact])

    def belongs(first: int, k: int) -> bool:
        if (first, k) not in alike:
            some = [k, *(j for j in range(k + 1, min(k + AT_ONCE, len(tails))) if not settled(j))]
            same = same_sets(motion, course, tails[first], [tails[j] for j in some])
            alike.update({(first, j): answer for j, answer in zip(some, same, strict=True)})
        return alike[first, k]

    for k, tail in enumerate(tails):
        if settled(k):
            continue
        # the arcs cost less than the search for a closed orbit
        near = [group for group in groups if belongs(group[0], k)]
        found = None if near else _exact(motion, course, tail)
        if found is not None:
            if not any(_equal(course, found, c) for c in [*known, *exact]):
                exact.append(found)
            continue
        groups = [group for group in groups if not any(group is other for other in near)]
        groups.append([*(member for group in near for member in group), k])
    samples = [[tails[k] for k in group] for group in groups]
    rest = []
    for group in samples:
        # a closed orbit that winds often before it closes; looked for once for all samples of a set
        orbit = closed_orbit(motion, group[0], long=True) if motion.every == 1 and not motion.hover else None
        if orbit is None:
            rest.append(group)
            continue
        found = Candidate(orbit, 0.0, closed=True, attracts=True)
        if not any(_equal(course, found, c) for c in [*known, *exact]):
            exact.append(found)
    return exact + [Candidate(np.concatenate(group[:MOST_SAMPLES]), 0.0) for group in rest]


def is_known(motion: Motion, course: Course, tail: Array, known: Sequence[Candidate]) -> bool:
    """Whether a tail is a sample of a known attractor, though none of its points came within its radius."""
    if not np.isfinite(tail).all():
        return False
    for candidate in known:
        if _settles_on(course, tail, candidate):
            return True
        if len(candidate.states) <= FEW or candidate.closed or is_cycle(motion, course, candidate.states):
            continue  # no set that a sample could be another part of
        if same_set(motion, course, candidate.states, tail):
            return True
    return False


def _diagonal(course: Course) -> float:
    return diagonal_of(course.box)


def _exact(motion: Motion, course: Course, tail: Array) -> Candidate | None:
    """The point, cycle or closed orbit that a tail goes to."""
    y = tail * course.scale
    extent = float(np.linalg.norm(y - y[-1], axis=1).max())
    if extent <= STILL * _diagonal(course):
        return Candidate(tail[-1:], 0.0, attracts=True)
    if motion.every > 1:
        cycle = cycle_of(motion, course, tail)
        return None if cycle is None else Candidate(cycle.states, 0.0, attracts=True)
    if motion.hover:
        return None  # of a normalised rule, whose field jumps
    point = _equilibrium(motion, tail, extent)
    if point is not None:
        return Candidate(point, 0.0, attracts=True)
    orbit = closed_orbit(motion, tail)
    return None if orbit is None else Candidate(orbit, 0.0, closed=True, attracts=True)


def _equilibrium(motion: Motion, tail: Array, extent: float) -> Array | None:
    """The attracting zero of the field (1, dim) that a tail goes to."""
    field: Any = motion.field  # type: ignore[attr-defined]
    size = tail.shape[1]
    h, one = 1e-5 * extent, np.eye(size)
    for start in (tail[-len(tail) // 4 :].mean(axis=0), tail[-1]):
        x = start.copy()
        with np.errstate(all="ignore"):
            for _ in range(12):
                cloud = field(np.concatenate([x[None], x + h * one, x - h * one]))
                jacobian = ((cloud[1 : size + 1] - cloud[size + 1 :]) / (2 * h)).T
                if not np.isfinite(cloud).all():
                    break
                step = -np.linalg.lstsq(jacobian, cloud[0], rcond=None)[0]
                length = float(np.linalg.norm(step))
                x = x + step * min(1.0, extent / max(length, 1e-300))
                if length > 1e-10 * extent:
                    continue
                slowest = float(np.linalg.eigvals(jacobian).real.max())
                distance = np.linalg.norm(tail - x, axis=1)
                quarter = len(tail) // 4
                first, last = distance[:quarter].max(), distance[-quarter:].max()
                expected = np.exp(slowest * motion.unit * 2 * quarter)
                if slowest < 0 and last <= first * (1 - 0.5 * (1 - expected)):
                    return x[None]
                break
    return None


def _settles_on(course: Course, tail: Array, candidate: Candidate) -> bool:
    """Whether the end of a tail lies on a point, a cycle or a closed orbit."""
    if len(candidate.states) > FEW and not candidate.closed:
        return False
    last = (tail[-max(8, len(tail) // 8) :]) * course.scale
    points = candidate.states * course.scale
    reach = EQUAL * _diagonal(course)
    if candidate.closed:
        reach = max(reach, 1e-3 * float(np.ptp(points, axis=0).max()))
    low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    if not ((last >= low) & (last <= high)).all():
        return False
    return bool(closed_curve(points, candidate.closed)(last).max() <= reach)


def _equal(course: Course, a: Candidate, b: Candidate) -> bool:
    """Whether two points, cycles or closed orbits are one."""
    if a.closed != b.closed or (not a.closed and len(a.states) != len(b.states)):
        return False
    x, y = a.states * course.scale, b.states * course.scale
    reach = EQUAL * _diagonal(course)
    if a.closed:
        reach = max(reach, 1e-3 * float(np.ptp(x, axis=0).max()))
    elif len(x) > 1:
        # far below the distance of neighbouring points, since cycles can lie beside each other
        reach = min(reach, 1e-3 * float(cKDTree(x).query(x, k=2)[0][:, 1].min()))
    return bool(closed_curve(y, b.closed)(x).max() <= reach)


def same_set(motion: Motion, course: Course, one: Array, other: Array) -> bool:
    """Whether two samples (n, state_dim) are of one torus or one chaotic set."""
    return same_sets(motion, course, one, [other])[0]


def same_sets(motion: Motion, course: Course, one: Array, others: Sequence[Array]) -> list[bool]:
    """Whether each of the other samples is of the torus or chaotic set of the first.

    The arcs of all of them are followed together: a step of a few thousand points costs little more than a
    step of some hundred.
    """
    a = thinned(one * course.scale)
    tree_a, extent_a, own_a = cKDTree(a), _extent(a), _self_distance(a)
    same = [False] * len(others)
    asked: list[tuple[int, bool, tuple[Array, Array, float]]] = []
    for k, other in enumerate(others):
        b = thinned(other * course.scale)
        extent = max(extent_a, _extent(b))
        if not np.isfinite(extent):
            continue
        apart, at = tree_a.query(b)
        if apart.min() > 0.5 * extent:
            continue
        back = cKDTree(b).query(a)[0]
        own = max(own_a, _self_distance(b))
        close = bool(np.median(apart) <= 2 * own and np.median(back) <= 2 * own)
        # from points all over one sample, the nearest of each stretch of time
        pieces = np.array_split(np.argsort(apart, kind="stable")[: max(N_ARCS, len(b) // 2)], N_ARCS)
        ends = np.array([piece[0] for piece in pieces if len(piece)])
        asked.append((k, close, (a[at[ends]], b[ends], extent)))
    answers = _arcs(motion, course, [ends for _, _, ends in asked])
    for (k, close, _), (torn, sensitive) in zip(asked, answers, strict=True):
        same[k] = bool((close and sensitive) or not torn)
    return same


def _extent(sample: Array) -> float:
    return float(np.linalg.norm(sample - sample.mean(axis=0), axis=1).max())


def _self_distance(sample: Array) -> float:
    half = len(sample) // 2
    return float(np.median(cKDTree(sample[:half]).query(sample[half:])[0])) if half else 0.0


def _arcs(
    motion: Motion, course: Course, pairs: Sequence[tuple[Array, Array, float]]
) -> list[tuple[bool, bool]]:
    """Whether all arcs from a to b (n, state_dim) are torn, and whether neighbours part within the sets.

    A pair is a, b and the extent of the larger sample.
    """
    if not pairs:
        return []
    share = np.linspace(0, 1, N_ON_ARC)[:, None, None]
    clouds = []
    for a, b, extent in pairs:
        size = a.shape[1]
        rng = np.random.default_rng(4)
        beside = a + 1e-8 * extent * rng.standard_normal(a.shape) / np.sqrt(size)
        clouds.append(np.concatenate([(a + share * (b - a)).reshape(-1, size), a, beside]) / course.scale)
    state = np.ascontiguousarray(np.concatenate(clouds).T)
    n_steps = ARC_STEPS if motion.every > 1 else ARC_STRIDES
    state = followed(motion, state, 0, n_steps)
    parts = np.split(state.T * course.scale, np.cumsum([len(cloud) for cloud in clouds])[:-1])
    return [_torn(*pair, part) for pair, part in zip(pairs, parts, strict=True)]


def _torn(a: Array, b: Array, extent: float, y: Array) -> tuple[bool, bool]:
    """The answers for one pair, whose arcs, points a and points beside these ended at y."""
    n = N_ON_ARC * len(a)
    tiny = 1e-8 * extent
    gap = np.linalg.norm(b - a, axis=1) / (N_ON_ARC - 1)
    with np.errstate(all="ignore"):  # of points that have left for infinity
        parted = np.linalg.norm(np.diff(y[:n].reshape(N_ON_ARC, *a.shape), axis=0), axis=2)
        torn = ~(parted <= TORN * np.maximum(gap, 1e-9 * extent)).all(axis=0)
        growth = np.linalg.norm(y[n : n + len(a)] - y[n + len(a) :], axis=1) / tiny
    return bool(torn.all()), bool(np.median(growth) > 100)
