"""Attractors without prior knowledge: orbits that come back to where they were, many at a time.

Algorithm
---------
1. All orbits are followed together, at first for 64 looks, then through windows of 256, 512, 1024, ... steps,
   of which at most `MOST_STORED` are kept, at an odd spacing. Orbits that arrive at a known attractor, or
   diverge, are dropped.
2. After each window its two halves are compared. An orbit has settled if

   - recurrence: at least `recurrence` of the grid cells visited in the second half (weighted by visits) had
     been visited in the first, on a grid of about 4096 cells;
   - no drift: the difference d of the two halves' means is small against the spread within them in its own
     direction: d . (C + (1e-7 box)^2)^-1 d <= `drift` ^2, with C the mean covariance of the halves. A slow
     drift hidden under a fast oscillation fails this, since along the drift the spread is the drift's own;
   - no decay: the total spread of the second half is at least 0.8 of the spread of the first, or nothing.

   Those that have not go on into a window twice as long, until `max_steps`.
3. Settled orbits are followed for another `TAIL` steps (a third as many strides of a flow), the sample of
   their attractor; of a flow at uneven times. What cycle a sample goes to, and which samples are of one set,
   is found in `samdyn.basin.search.merging`.
   A set that is no point, cycle or closed orbit must last: orbits from all over its sample are followed for
   `LASTING` times as long as it is, and most of them must end on it, since transients may be chaotic.
4. A candidate is accepted if it captures a neighbourhood (`samdyn.basin.paths.arrival`). This turns away slow
   spots beside saddles and orbits that were on their way; they go on.
5. It is no attractor if the states beside it keep their distance, as the states of a conservative flow do
   (`samdyn.basin.search.neutrality`). Its orbits are given up.

Compared with the cell automaton of the literature, which follows one orbit at a time with counters of
consecutive returns, this needs no counters: the windows double until an orbit recurs.

References
----------
Datseris & Wagemakers, Chaos 32 (2022) 023104, for recurrences on a grid.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.basin.paths.arrival import (
    FEW,
    N_LEVELS,
    SAFETY,
    Proximity,
    Target,
    capture_radii,
    followed,
    grain,
    lattice_gap,
    thinned,
)
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course
from samdyn.basin.search.candidate import Candidate
from samdyn.basin.search.limit_cycle import uneven_times
from samdyn.basin.search.merging import distinct_sets, is_known
from samdyn.basin.search.neutrality import are_neutral
from samdyn.jobs.cost import announce
from samdyn.numerics.scales import diagonal_of

FIRST_WINDOW = 256  # steps; the window doubles from there; chosen
N_LOOKS = 64
MOST_STORED = 2048
WINDOW_BYTES = 1 << 28  # 256 MiB for the windows of the orbits that are searched together
TAIL = 2048
MOST_AT_ONCE = 32
LASTING, N_LASTING = 4, 32  # samples' lengths that orbits from a sample must stay on it, and how many do
N_CELLS, MOST_ALONG = 4096, 128  # of the grid on which visits are counted, and along a side
PATIENCE = 3.0  # seconds of a search after which it is told what the rest may take
POINT = 1e-7  # of the box: what is smaller counts as standing still


@dataclass(frozen=True)
class Rules:
    """The stopping rules of a search for attractors.

    Attributes
    ----------
    max_steps : int
        Steps after which an orbit that has not settled is given up.
    recurrence : float
        Share of visits that must be returns.
    drift : float
        Largest drift between half windows, in standard deviations.
    n_probes, probe_steps : int
        Of the test whether a candidate captures its neighbourhood.
    """

    max_steps: int
    recurrence: float = 0.8
    drift: float = 0.6
    n_probes: int = 32
    probe_steps: int = 2000


def most_orbits(state_dim: int) -> int:
    """How many orbits are searched at a time, for their windows to fit into `WINDOW_BYTES`."""
    return max(MOST_AT_ONCE, WINDOW_BYTES // (8 * MOST_STORED * state_dim))


def search(
    motion: Motion,
    course: Course,
    starts: Array,
    known: Sequence[Candidate],
    rules: Rules,
    first_step: int = 0,
) -> list[Candidate]:
    """Attractors that orbits from `starts` (state_dim, n) settle on, beyond those known.

    Returns
    -------
    list of Candidate
        The known ones first, with radii renewed, then the new ones.
    """
    found = list(known)
    state, step, length = (
        _approach(motion, course, starts, found, first_step),
        N_LOOKS * motion.every,
        FIRST_WINDOW,
    )
    begun, first = time.perf_counter(), step
    told = False
    while state.shape[1] and step < rules.max_steps:
        spent = time.perf_counter() - begun
        if spent > PATIENCE and not told and step > first:
            told = True  # orbits that do not settle are followed to the end
            left = spent * (rules.max_steps - first) / (step - first)
            announce("basins", left, "pass fewer n_starts or max_steps")
        near = Proximity(targets_of(found, course), course.scale)
        state = state[:, ~course.lost(state)]
        state = state[:, near(state) == 0]
        if state.shape[1] == 0:
            break
        n_steps = min(length, rules.max_steps - step)
        kept, state = _window(motion, state, first_step + step, n_steps)
        step += n_steps
        alive = ~course.lost(state)
        kept, state = kept[:, :, alive], state[:, alive]
        arrived = near(state) > 0
        kept, state = kept[:, :, ~arrived], state[:, ~arrived]
        if state.shape[1] == 0:
            break
        done = settled(kept, course, rules)
        if done.any():
            # a few at a time: most of the others are on the same attractors, and arrive at once
            done[np.flatnonzero(done)[MOST_AT_ONCE:]] = False
            tails, after = _tail(motion, state[:, done], first_step + step)
            ok = np.isfinite(tails).all(axis=(0, 1)) & ~course.lost(after)
            of_known = np.array(
                [is_known(motion, course, tails[:, :, i], found) for i in range(tails.shape[2])]
            )
            after, tails, ok = after[:, ~of_known], tails[:, :, ~of_known], ok[~of_known]
            groups = distinct_sets(motion, course, [tails[:, :, i] for i in np.flatnonzero(ok)], found)
            groups = [c for c in groups if c.closed or _lasts(motion, course, c.states, first_step + step)]
            accepted, neutral = attracting(motion, course, found, groups, rules, first_step + step)
            length = length if len(accepted) > len(found) else 2 * length
            if motion.repeats:  # what is back where it was, bit for bit, goes nowhere else
                ok &= (tails[-1] != tails[-1 - motion.every]).any(axis=0)
            for c in neutral:
                ok &= ~(tails[-1].T[:, None] == c.states).all(axis=2).any(axis=1)
            # what was turned away goes on from where it stands
            state = np.concatenate([state[:, ~done], after[:, ok]], axis=1)
            found = accepted
        else:
            length *= 2
    return found


def _approach(
    motion: Motion, course: Course, state: Array, known: Sequence[Candidate], first_step: int
) -> Array:
    """The orbits that have not ended after some looks: most of them have, and need no windows."""
    near = Proximity(targets_of(known, course), course.scale)
    for look in range(N_LOOKS):
        state = state[:, ~course.lost(state)]
        state = state[:, near(state) == 0]
        if state.shape[1] == 0:
            break
        state = motion(state, np.arange(state.shape[1]), first_step + look * motion.every, motion.every)
    return state


def targets_of(
    candidates: Sequence[Candidate], course: Course, radius: float | None = None
) -> tuple[Target, ...]:
    """Candidates as targets 1, 2, ..., at the radius wanted; by default at the radius tested of each,
    with noise at a fifth of it.
    """
    share = 0.2 if course.noisy else 1.0
    return tuple(
        Target(
            thinned(c.states * course.scale),
            share * c.radius if radius is None else radius,
            i + 1,
            c.closed,
        )
        for i, c in enumerate(candidates)
    )


def attracting(
    motion: Motion,
    course: Course,
    known: Sequence[Candidate],
    new: Sequence[Candidate],
    rules: Rules,
    first_step: int = 0,
) -> tuple[list[Candidate], list[Candidate]]:
    """The known attractors and the new ones that attract; and the new ones that capture, but are neutral."""
    found = admit(motion, course, known, new, rules, first_step)
    fresh = found[len(known) :]
    sure = [*found[: len(known)], *(c for c in fresh if c.attracts)]
    near = Proximity(targets_of(sure, course), course.scale)
    flags = are_neutral(motion, course, fresh, near, rules.probe_steps, tail_length(motion), first_step)
    neutral = [c for c, flag in zip(fresh, flags, strict=True) if flag]
    if neutral:  # without those turned away the others may reach further
        rest = [c for c in new if not any(c.states is other.states for other in neutral)]
        found = admit(motion, course, known, rest, rules, first_step)
    return found, neutral


def admit(
    motion: Motion,
    course: Course,
    known: Sequence[Candidate],
    new: Sequence[Candidate],
    rules: Rules,
    first_step: int = 0,
) -> list[Candidate]:
    """The known attractors, and the new ones (of any radius) that capture a neighbourhood.

    The radii of the new ones are measured; the radii of the known ones shrink where a new one lies near,
    since none may reach into another.
    """
    if not new:
        return list(known)
    largest = 0.25 * diagonal_of(course.box)

    def radii_of(some: Sequence[Candidate], most: float = largest) -> list[float]:
        sets = [*known, *some]
        return capture_radii(
            motion,
            [thinned(s.states * course.scale) for s in sets],
            course.scale,
            largest=most,
            n_probes=rules.n_probes,
            n_steps=rules.probe_steps,
            n_steps_large=tail_length(motion),
            hover=motion.hover * 4 * largest,
            first_step=first_step,
            closed=[s.closed for s in sets],
            n_known=len(known),
        )

    radii = radii_of(new)
    for i, c in enumerate(new):
        if radii[i] == 0 and c.closed:
            # it attracts, by its multipliers, but the boundary of its basin may come closer than all levels
            radii[i] = radii_of([c], largest / 2 ** (N_LEVELS - 1))[0]
    good = [c for c, r in zip(new, radii, strict=True) if r > 0]
    kept = [r for r in radii if r > 0]
    if good and len(good) < len(new):  # without those turned away the others may reach further
        kept = [max(r, again) for r, again in zip(kept, radii_of(good), strict=True)]
    accepted = [replace(c, radius=r) for c, r in zip(good, kept, strict=True)]
    return [*_shrunk(known, accepted, course), *accepted]


def _shrunk(known: Sequence[Candidate], new: Sequence[Candidate], course: Course) -> list[Candidate]:
    """Known attractors with radii that do not reach farther than an eighth of the way to a new one."""
    result = list(known)
    for c in new:
        tree = cKDTree(thinned(c.states * course.scale))
        for i, k in enumerate(result):
            apart = float(tree.query(thinned(k.states * course.scale))[0].min())
            result[i] = replace(k, radius=min(k.radius, SAFETY * apart / 4))
    return result


def _window(motion: Motion, state: Array, first: int, n_steps: int) -> tuple[Array, Array]:
    """States at regular steps of a window, (n_stored, state_dim, n), and at its end."""
    spacing = -(-n_steps // MOST_STORED)
    spacing += 1 - spacing % 2  # odd, or the phases of a 2-cycle would not alternate
    numbers, whole = np.arange(state.shape[1]), n_steps // spacing
    kept = motion.orbit(state, numbers, first, whole, spacing)
    state = kept[-1] if whole else state
    if rest := n_steps - whole * spacing:
        state = motion(state, numbers, first + whole * spacing, rest)
        kept = np.concatenate([kept, state[None]])
    return kept, state


def tail_length(motion: Motion) -> int:
    """Points of a sample: steps, or strides of a flow."""
    return TAIL if motion.every > 1 else TAIL // 3


def _tail(motion: Motion, state: Array, first: int) -> tuple[Array, Array]:
    numbers = np.arange(state.shape[1])
    n = tail_length(motion)
    if motion.every == 1:  # a flow
        tail = np.empty((n, *state.shape))
        for j, duration in enumerate(uneven_times(n, motion.unit)):
            state = motion.advance(np.ascontiguousarray(state.T), duration).T  # type: ignore[attr-defined]
            tail[j] = state
        return tail, np.ascontiguousarray(state)
    tail = motion.orbit(state, numbers, first, n, 1)
    return tail, tail[-1]


def _lasts(motion: Motion, course: Course, states: Array, first: int) -> bool:
    """Whether orbits from all over a sample (n, state_dim) are on it still after `LASTING` of its lengths.

    A chaotic transient recurs for a while, and its neighbourhood with it, until it finds the way out. Most of
    the orbits must end as close to the sample as its own points are to each other.
    """
    if len(states) <= FEW:
        return True
    y = states * course.scale
    chosen = states[np.linspace(0, len(states) - 1, N_LASTING).astype(int)]
    n_steps = LASTING * tail_length(motion)
    end = followed(motion, np.ascontiguousarray(chosen.T), first, first + n_steps)
    if not np.isfinite(end).all():
        return False
    away = cKDTree(y).query((end * course.scale[:, None]).T)[0]
    diagonal = diagonal_of(course.box)
    near = max(3 * grain(y), lattice_gap(y), motion.hover * diagonal, POINT * diagonal)
    return bool(np.median(away) <= near)


def settled(kept: Array, course: Course, rules: Rules) -> npt.NDArray[np.bool_]:
    """Which orbits have settled, from the states kept of a window (n_stored, state_dim, n)."""
    half = len(kept) // 2
    with np.errstate(all="ignore"):
        return _settled(kept[len(kept) - 2 * half :] * course.scale[:, None], course, rules)


def _settled(x: Array, course: Course, rules: Rules) -> npt.NDArray[np.bool_]:
    half = len(x) // 2
    first, second = x[:half], x[half:]
    diagonal = diagonal_of(course.box)
    still = POINT * diagonal
    mean1, mean2 = first.mean(axis=0), second.mean(axis=0)
    r1, r2 = first - mean1, second - mean2
    covariance = (np.einsum("tin,tjn->nij", r1, r1) + np.einsum("tin,tjn->nij", r2, r2)) / (2 * half)
    d = (mean2 - mean1).T
    # of orbits that have been far away the sums overflow: those have not settled
    finite = np.isfinite(covariance).all(axis=(1, 2)) & np.isfinite(d).all(axis=1)
    values, vectors = np.linalg.eigh(np.where(finite[:, None, None], covariance, 0.0))
    along = np.einsum("nij,ni->nj", vectors, np.where(finite[:, None], d, 0.0))
    steady = finite & ((along**2 / (np.maximum(values, 0.0) + still**2)).sum(axis=1) <= rules.drift**2)
    spread1, spread2 = np.sqrt((r1**2).mean(axis=0).sum(axis=0)), np.sqrt((r2**2).mean(axis=0).sum(axis=0))
    kept_up = (spread2 >= 0.8 * spread1) | (spread1 <= still)
    result = np.asarray(steady & kept_up)
    for i in np.flatnonzero(result):  # few orbits: sets of cells are quick
        result[i] = _recurrence(first[:, :, i], second[:, :, i], course) >= rules.recurrence
    return result


def _recurrence(first: Array, second: Array, course: Course) -> float:
    """Share of the second half's visits, in the scaled coordinates, that go to cells visited in the first."""
    dim = len(course.box)
    side = min(MOST_ALONG, max(8, round(N_CELLS ** (1 / dim))))
    width = (course.box[:, 1] - course.box[:, 0]) * course.scale[:dim] / side
    # cells that lie half a cell off the orbit's own middle
    origin = first[:, :dim].mean(axis=0) - 0.5 * width
    a, b = (np.floor((half[:, :dim] - origin) / width).astype(np.int64) for half in (first, second))
    seen = {tuple(cell) for cell in a}
    return float(np.mean([tuple(cell) in seen for cell in b]))
