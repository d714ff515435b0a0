"""From starts to attractors: rounds that find attractors and follow all starts to them.

Algorithm
---------
1. Attractors: fixed points that attract or trap, and what `n_starts` orbits settle on
   (`samdyn.basin.search.recurrences`), each with the distance within which it captures
   (`samdyn.basin.paths.arrival`).
2. The starts are followed in rounds (`samdyn.basin.paths.legs_of_paths`) until they are within that distance
   of an attractor, diverge, or run out of steps.
3. After each round from the second on, up to `n_starts` of the paths still under way are searched for
   attractors that are not known yet; what is found takes part from then on.
4. Attractors get their names (`samdyn.basin.search.attractors`); those outside the box have ids and names of
   their own, after those in it. A path that is outside the box after the last step, at no attractor, has left
   the box.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.basin.arguments import Options
from samdyn.basin.checkpoint import restore, save
from samdyn.basin.paths.arrival import SAFETY, Target
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course, Starts, looks_of, memory_at_rest, motion_of, quiet_motion
from samdyn.basin.paths.legs_of_paths import Followed, advance_leg, close, legs, limits
from samdyn.basin.paths.pieces import Labels, LegJob
from samdyn.basin.search.attractors import (
    Attractor,
    as_candidates,
    describe,
    find_attractors,
    known_points,
    merge_owners,
    points_outside,
)
from samdyn.basin.search.candidate import Candidate
from samdyn.basin.search.recurrences import (
    FIRST_WINDOW,
    N_LOOKS,
    admit,
    most_orbits,
    search,
    tail_length,
    targets_of,
)
from samdyn.equilibria.search import FixedPoint
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.cost import LONG_SECONDS, announce, part_of
from samdyn.jobs.job import ALONE, Run
from samdyn.jobs.lasting_pool import LastingPool


@dataclass
class Ends:
    """Where starts end.

    Attributes
    ----------
    followed : Followed
        Labels count the candidates from 1.
    candidates : list of Candidate
    points : list of FixedPoint
        What attractors may be named after.
    interrupted : bool
        Whether Ctrl-C came before all paths had ended.
    """

    followed: Followed
    candidates: list[Candidate]
    points: list[FixedPoint]
    interrupted: bool = False

    def named(self, course: Course) -> dict[int, Attractor]:
        """The attractors by id; labels become ids."""
        found, ids = final_attractors(course, self.candidates, self.points)
        positive = self.followed.labels > 0
        self.followed.labels[positive] = ids[self.followed.labels[positive]]
        return found


@np.errstate(under="ignore")  # the distance of two points beside each other may underflow
def map_starts(
    course: Course,
    starts: Starts,
    options: Options,
    attractors: Mapping[int, Attractor] | None,
    run: Run = ALONE,
    saved: Checkpoint | None = None,
    report: Callable[[int], None] | None = None,
    verb: str = "basins",
) -> Ends:
    """Find attractors and follow all starts to them.

    Parameters
    ----------
    course, starts, options
    attractors : dict of int to Attractor, optional
        Known ones.
    run : Run
        Where pieces run: its workers and its executor count.
    saved : Checkpoint, optional
        Written when it is due, after Ctrl-C and at the end; gone on from where it holds a state.
    report : callable, optional
        Called with numbers of paths that ended.
    verb : str
        Who announces the cost.
    """
    rules, quiet, calm = options.rules, quiet_motion(course), course.without_noise()
    with part_of(verb, "pass a smaller box: its fixed points are searched for, which name attractors"):
        points = known_points(course)
    # a schedule is at its end where attractors are concerned
    late = rules.max_steps if getattr(course.system, "scheduled", False) else 0
    if saved is not None and saved.meta is not None:
        followed, candidates = restore(saved, len(starts), len(course.scale))
        if report is not None:
            report(len(starts) - followed.n_under_way)
    else:
        followed = Followed.of(len(starts))
        candidates = _given(quiet, calm, options, attractors or {}, late)
        if not candidates:
            candidates = _first_search(quiet, calm, options, points, late, verb)
    ends = Ends(followed, candidates, points)

    def keep(ended: int, standing: Callable[[], Followed]) -> None:
        if saved is not None and saved.due():
            save(saved, standing(), ends.candidates)
        if report is not None:
            report(ended)

    announced, rate = False, 0.0
    with LastingPool(run.workers) as pool:
        if run.workers > 1 and looks_of(course) is None:  # processes, which start once for all rounds
            run = Run(executor=pool)
        try:
            for limit in limits(motion_of(course).every, rules.max_steps)[followed.rounds :]:
                if followed.n_under_way == 0:
                    break
                check_radius(options.radius, course, ends.candidates, points)
                targets = targets_of(ends.candidates, course, options.radius)
                if not announced and followed.rounds and rate:
                    # at most: paths that arrive in this round leave it earlier
                    seconds = rate * followed.n_under_way * (limit - followed.step)
                    announced = seconds > LONG_SECONDS
                    announce(verb, seconds, "pass fewer starts, max_steps or workers=")
                began, ahead = time.perf_counter(), followed.n_under_way * (limit - followed.step)
                if not _round(followed, course, targets, starts, limit, run, keep):
                    raise KeyboardInterrupt
                rate = (time.perf_counter() - began) / max(ahead, 1)
                if not course.noisy and followed.rounds >= 1 and followed.n_under_way and not late:
                    ends.candidates = _search_on(quiet, calm, options, followed, ends.candidates, limit)
                followed.rounds += 1
        except KeyboardInterrupt:
            ends.interrupted = True
    if saved is not None:
        save(saved, followed, ends.candidates)
    close(followed, course, ends.interrupted)
    return ends


def _round(
    followed: Followed,
    course: Course,
    targets: tuple[Target, ...],
    starts: Starts,
    limit: int,
    run: Run,
    report: Callable[[int, Callable[[], Followed]], None] | None = None,
) -> bool:
    """All paths under way to step `limit`. False after Ctrl-C."""
    nobody = np.empty(0, dtype=np.int64)
    job = LegJob(course, targets, starts, nobody, None, followed.step, limit)
    for until in legs(followed.step, limit, motion_of(course).every):
        if followed.n_under_way == 0:
            break
        end = followed.until or until
        if not advance_leg(followed, job, end, run, report):
            return False
    return True


def _given(
    motion: Motion, course: Course, options: Options, attractors: Mapping[int, Attractor], late: int
) -> list[Candidate]:
    """The attractors given, if they are attractors of this system."""
    candidates = as_candidates(attractors)
    captured = admit(motion, course, [], candidates, options.rules, late)
    if len(captured) < len(candidates):
        kept = [c.states for c in captured]
        odd = [a.name for a in attractors.values() if not any(a.states is s for s in kept)]
        raise ValueError(f"attractors must capture their neighbourhoods under this system, got {odd}")
    return candidates


def _first_search(
    motion: Motion, course: Course, options: Options, points: Sequence[FixedPoint], late: int, verb: str
) -> list[Candidate]:
    """Attractors at fixed points, and attractors that random starts in the box settle on."""
    rng, n, most = np.random.default_rng(course.seed), options.n_starts, most_orbits(len(course.scale))
    found: list[Candidate] = []
    for first in range(0, n, most):  # the numbers are the same as in one draw
        x = rng.uniform(course.box[:, 0], course.box[:, 1], (min(most, n - first), len(course.box)))
        state = Starts(x, 1, memory_at_rest(course.system)).states(np.arange(len(x)))
        if first == 0:
            announce(verb, _search_seconds(motion, state, n, late), "pass a smaller n_starts")
            found = find_attractors(motion, course, state, points, options.rules, first_step=late)
        else:
            found = search(motion, course, state, found, options.rules, late)
    return found


def _search_seconds(motion: Motion, state: Array, n_starts: int, step: int) -> float:
    """Time of the looks, a window, a sample and the probes of one attractor, from one look at all starts."""
    numbers = np.arange(state.shape[1])
    motion(state, numbers, step, 1)  # the first call may trace and compile
    began = time.perf_counter()
    motion(state, numbers, step, 1)
    one = (time.perf_counter() - began) * n_starts / state.shape[1]
    return one * (N_LOOKS * motion.every + FIRST_WINDOW + 3 * tail_length(motion))


def _search_on(
    motion: Motion,
    course: Course,
    options: Options,
    followed: Followed,
    candidates: list[Candidate],
    limit: int,
) -> list[Candidate]:
    """Attractors that paths under way settle on, beyond those known."""
    assert followed.states is not None
    n = len(followed.paths)
    chosen = np.unique(np.linspace(0, n - 1, min(options.n_starts, n)).astype(int))
    rules = replace(options.rules, max_steps=max(limit, 4096))
    more, most = candidates, most_orbits(len(course.scale))
    for first in range(0, len(chosen), most):
        some = followed.states[:, chosen[first : first + most]]
        more = find_attractors(motion, course, some, [], rules, more)
    return more if len(more) > len(candidates) else candidates


def check_radius(
    radius: float | None, course: Course, candidates: Sequence[Candidate], points: Sequence[FixedPoint]
) -> None:
    """Refuse a radius within which paths may still go elsewhere.

    Without noise that is one at which a probe did; with noise one at which a path can have come to two
    attractors at once.
    """
    if radius is None:
        return
    for c in candidates if not course.noisy else ():
        most = c.radius / SAFETY
        if radius > most * (1 + 1e-12):
            raise ValueError(
                f"radius must be at most {most:.4g}, the distance from which all probes were captured by "
                f"the attractor about {np.round(c.states.mean(axis=0), 4)}, got {radius!r}"
            )
    groups = merge_owners(course, candidates, points)
    sets = [np.concatenate([candidates[i].states for i in g]) * course.scale for g in groups]
    for i, one in enumerate(sets if course.noisy else ()):
        tree = cKDTree(one)
        for other in sets[:i]:
            apart = float(tree.query(other)[0].min())
            if 2 * radius > apart:
                raise ValueError(
                    f"radius must be at most {apart / 2:.4g}, half the distance between the attractors about "
                    f"{np.round(one.mean(axis=0), 4)} and {np.round(other.mean(axis=0), 4)}, got {radius!r}"
                )


def follow(
    course: Course,
    candidates: Sequence[Candidate],
    starts: Starts,
    max_steps: int,
    radius: float | None = None,
) -> Followed:
    """Paths from `starts` to known attractors, in this process; labels count them from 1."""
    followed = Followed.of(len(starts))
    targets = targets_of(candidates, course, radius)
    for limit in limits(motion_of(course).every, max_steps):
        if not _round(followed, course, targets, starts, limit, ALONE):
            raise KeyboardInterrupt
    close(followed, course)
    return followed


def final_attractors(
    course: Course, candidates: Sequence[Candidate], points: Sequence[FixedPoint]
) -> tuple[dict[int, Attractor], Labels]:
    """Named attractors by id, those in the box first, and the id of each candidate (at its number + 1)."""
    quiet = quiet_motion(course)
    points = [*points, *points_outside(course, candidates)]
    named = describe(quiet, course, candidates, points)
    groups = merge_owners(course, candidates, points)
    ids = np.zeros(len(candidates) + 1, dtype=np.int16)
    result: dict[int, Attractor] = {}
    inside = [
        bool(course.inside(a.points.T).any() or course.inside(a.position[:, None]).any()) for a in named
    ]
    # by place, so that ids do not depend on the order in which attractors were found
    order = sorted(range(len(named)), key=lambda i: (not inside[i], tuple(np.round(named[i].position, 9))))
    for i in order:
        label = len(result) + 1
        a = named[i]
        result[label] = a if inside[i] else replace(a, inside=False, name=f"{a.name}, outside the box")
        for member in groups[i]:
            ids[member + 1] = label
    return result, ids
