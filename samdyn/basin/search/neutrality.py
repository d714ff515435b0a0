"""Whether the states beside a set keep their distance from it: then it attracts nothing.

An orbit of x'' = -x - x^3 is closed, recurs, and its neighbours stay beside it for ever; so do the orbits of
a rotation on an invariant torus. They pass every test of recurrence and of capture, and are no attractors:
the neighbours lie on closed orbits of their own. Sets whose attraction follows from multipliers or
eigenvalues need no such test; samples of tori and of chaotic sets, and marginal points, do.

Algorithm
---------
`N_PROBES` states at the distance `FAR` times the resolution of the sample (three times its widest gap), or of
a point at twice the radius within which it captures, in random directions, are followed for `n_steps` and
then for as long again; a lap after it takes twice as many, up to `LAPS`. The set attracts as soon as half of
the probes that stay beside it have arrived within the resolution, or have come nearer, by the median of the
ratio of distances, than `NEARER` times the distance at the middle of the lap. It is neutral if they never do.
The first half of a lap is waited for, since states are first drawn to what the set lies on: beside a closed
orbit on an attracting torus they come nearer until they are on the torus. Where fewer than a quarter of the
probes stay within `BESIDE` times their first distance and outside of the attractors known, nothing is said
against the set.

Points of the sample itself, `N_OWN` of them, go along: where the sample of a chaotic set leaves parts of the
set out, its own orbits come to be further from it than the resolution, and a probe has arrived as soon as it
is as near as `OWN_SHARE` of those. Orbits of a neutral set stay on its sample, so that nothing changes there.

Sets that attract more slowly than by `NEARER` in half of the last lap are taken for neutral.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.basin.paths.arrival import FEW, Proximity, closed_curve, followed, thinned, widest_gap
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course
from samdyn.basin.search.candidate import Candidate
from samdyn.numerics.scales import diagonal_of

N_PROBES, N_OWN, OWN_SHARE, LAPS = 64, 32, 0.9, 3
FAR, NEARER, BESIDE = 8.0, 0.8, 4.0


def are_neutral(
    motion: Motion,
    course: Course,
    candidates: Sequence[Candidate],
    near: Proximity,
    n_steps: int,
    n_steps_large: int,
    first_step: int = 0,
) -> list[bool]:
    """Which sets their neighbours keep their distance from.

    Parameters
    ----------
    motion : Motion
        Without noise.
    course : Course
    candidates : sequence of Candidate
        With the radii within which they capture.
    near : Proximity
        Which states (state_dim, n) are at an attractor that is known for sure: above 0. Probes that have
        ended there were drawn elsewhere, and do not stay beside the set.
    n_steps, n_steps_large : int
        Of the first half lap, for sets of a few points and for larger ones.
    first_step : int
        Step at which the probes start, for coefficients on a schedule.

    Returns
    -------
    list of bool
    """
    result = [False] * len(candidates)
    asked = [k for k, c in enumerate(candidates) if not c.attracts]
    for large in (False, True):
        group = [k for k in asked if (len(candidates[k].states) > FEW) == large]
        sets = [thinned(candidates[k].states * course.scale) for k in group]
        radii = [candidates[k].radius for k in group]
        flags = _keep_distance(
            motion, course, sets, radii, near, n_steps_large if large else n_steps, first_step
        )
        for k, flag in zip(group, flags, strict=True):
            result[k] = flag
    return result


def _keep_distance(
    motion: Motion,
    course: Course,
    sets: Sequence[Array],
    radii: Sequence[float],
    near: Proximity,
    n_steps: int,
    first: int,
) -> list[bool]:
    """Whether sets of points, scaled, keep their distance."""
    rng = np.random.default_rng(54321)
    diagonal = diagonal_of(course.box)
    size = len(course.scale)
    resolution = [max(motion.hover * diagonal, 3 * widest_gap(s)) for s in sets]
    level = [
        min(max(FAR * finest, 2 * r), 0.25 * diagonal) for finest, r in zip(resolution, radii, strict=True)
    ]
    distance = [closed_curve(s, False) for s in sets]
    starts = []
    for points, far in zip(sets, level, strict=True):
        away = rng.standard_normal((N_PROBES, size))
        away *= far / np.linalg.norm(away, axis=1)[:, None]
        starts.append(points[rng.integers(0, len(points), N_PROBES)] + away)
        starts.append(points[np.linspace(0, len(points) - 1, N_OWN).astype(int)])
    waiting, each = list(range(len(sets))), N_PROBES + N_OWN
    state = np.concatenate(starts).T / course.scale[:, None] if sets else np.empty((size, 0))

    def distances(state: Array) -> list[Array]:
        x = np.where(np.isfinite(state).all(axis=0), state * course.scale[:, None], 1e300).T
        return [distance[k](x[i * each : (i + 1) * each]) for i, k in enumerate(waiting)]

    for lap in range(LAPS):
        if not waiting:
            break
        half = n_steps << lap
        with np.errstate(all="ignore"):  # of probes that leave for infinity
            state = followed(motion, np.ascontiguousarray(state), first, first + half)
            before = distances(state)
            state = followed(motion, state, first + half, first + 2 * half)
            after = distances(state)
            elsewhere = near(state) > 0
        first += 2 * half
        still = []
        for i, k in enumerate(waiting):
            first_off, last_off = before[i][:N_PROBES], after[i][:N_PROBES]
            own = float(np.quantile(after[i][N_PROBES:], OWN_SHARE))
            stays = ~elsewhere[i * each :][:N_PROBES]
            beside = stays & (first_off <= BESIDE * level[k]) & (last_off <= BESIDE * level[k])
            arrived = last_off <= max(resolution[k], own)
            ratio = np.where(arrived, 0.0, last_off / np.maximum(first_off, 1e-300))
            still.append(bool(beside.mean() >= 0.25 and np.median(ratio[beside]) > NEARER))
        state = state[:, np.repeat(still, each)]
        waiting = [k for k, keep in zip(waiting, still, strict=True) if keep]
    return [k in waiting for k in range(len(sets))]
