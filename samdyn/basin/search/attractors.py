"""What an attractor is, and what it is called.

Attractors are found in two ways: from the system's fixed points that attract or trap (`samdyn.fixed_points`),
whose surroundings say what the dynamics does there, and without prior knowledge from orbits that recur
(`recurrences`). Either way a candidate counts only if it captures a neighbourhood, and if what lies beside it
comes nearer.

Names
-----
1. An attractor that sits at a fixed point has its name: "minimum (3, 0.5)", "hallucinated minimum (...)",
   "fixed point (...)" where there is no loss.
2. Under a normalised rule a map cannot stop at a critical point: it hovers on a small cycle or in small chaos
   about it. All that hovers about one critical point is one attractor with its name; if it is no minimum,
   "trapping saddle (0, 1)". Hovering about z means: of an extent of at most ten times lr r |H| (r the length
   of the perturbation), with z between its ends; for a minimum, within 3 r, since along a
   flat valley the cycle settles beside it. About a point on a kink of the loss: within three times the
   radius that the map was seen to hover in.
3. Else a map's attracting cycle of p points, found by Newton's method on the p-fold map
   (`samdyn.basin.search.refinement`), is a "p-cycle", and a flow's attracting closed orbit a "limit cycle".
4. Else the largest Lyapunov exponent decides, from pairs of orbits held 1e-7 apart: above 4 standard errors
   and 1e-3 per step (or per the time in which a flow's orbit covers its extent) "chaotic"; else
   "quasiperiodic".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.basin.paths.contract import Motion
from samdyn.basin.paths.course import Course
from samdyn.basin.paths.motion import time_scale
from samdyn.basin.search.candidate import Candidate
from samdyn.basin.search.recurrences import Rules, attracting, search
from samdyn.basin.search.refinement import is_cycle
from samdyn.equilibria.search import FixedPoint, points_to_name
from samdyn.numerics.scales import diagonal_of
from samdyn.results import Result, Table
from samdyn.systems.jump import jump_length
from samdyn.systems.map import Map

LARGEST_PERIOD = 512
ATTRACTS = ("attracting", "trapping")
AROUND = 1.05  # z is between the ends of what hovers about it: this far from the middle, in half extents
CHAOTIC = 1e-3  # per step, or per `time_scale` of a flow: the least exponent of chaos
N_PAIRS = 64  # a step of 16 costs hardly less, and four times as many would be needed
BESIDE = 1e-7  # of the box's diagonal: far above rounding, far below the size of an attractor
STRETCH = 1e3  # times that distance a pair may grow, or shrink on average, before it is set back
N_TRIED, MOST_TOGETHER = 16, 8  # single steps that tell how fast pairs grow, and the most steps between looks
N_NAMING = (
    1024  # Newton starts of the points that attractors are named after: half of what `fixed_points` takes
)
MOST_DIM = 12  # above, fixed points are not searched for
HOVER_ORBITS, HOVER_STEPS, HOVER_KEPT = 8, 3000, 192
MANY_ORBITS = 64  # where every orbit keeps a small cycle of its own, so that many are needed to cover them
DIFFERENT = (
    1e-6  # of the extent: orbits that are farther apart are on cycles of their own, or come near one slowly
)
CLOSE, LONGEST_TURN = (
    1e-3,
    8,
)  # shares of the extent within which an orbit is back after so many steps: no chaos
KINDS = (
    "minimum",
    "saddle",
    "maximum",
    "degenerate",
    "hallucinated",
    "fixed point",
    "cycle",
    "limit cycle",
    "quasiperiodic",
    "chaotic",
)


@dataclass(frozen=True, eq=False, repr=False)
class Attractor(Result):
    """A set that a neighbourhood is drawn onto.

    Attributes
    ----------
    points : ndarray, shape (n, dim)
        The point, the cycle, or a sample of the set, without repetitions.
    kind : str
        "minimum", "saddle", "maximum", "degenerate", "hallucinated", "fixed point", "cycle", "limit cycle",
        "quasiperiodic" or "chaotic".
    name : str
        What it is and where.
    position : ndarray, shape (dim,)
        The fixed or critical point, or the middle of the points.
    radius : float
        Distance from its points within which every probe was captured. Where one side of the box is more than
        20 times as long as another, coordinates count in it by their share of their side, times the longest.
    period : int
        Of a cycle of a map; 1 otherwise.
    exponent : float
        Largest Lyapunov exponent where it was needed for the name, per unit of time; nan elsewhere.
    states : ndarray, shape (m, state_dim)
        States in order of time: the points, with velocities where there is momentum.
    inside : bool
        Whether it has a point in the box, its boundary included.
    closed : bool
        Whether the states are the points of a closed orbit of a flow, in order.
    """

    row = "point"

    points: Array = field(repr=False)
    kind: str
    name: str
    position: Array
    radius: float
    period: int = 1
    exponent: float = float("nan")
    states: Array = field(default_factory=lambda: np.empty((0, 0)), repr=False)
    inside: bool = True
    closed: bool = False

    @property
    def candidate(self) -> Candidate:
        """What the search works with."""
        return Candidate(self.states, self.radius, self.closed)

    @property
    def extent(self) -> float:
        """Largest distance of its points from their middle."""
        return float(np.linalg.norm(self.points - self.points.mean(axis=0), axis=1).max())

    def table(self) -> Table:
        """What it is, its size and how near a path must come."""
        size = f"{len(self.points)} point{'s' * (len(self.points) > 1)}"
        exponent = "" if math.isnan(self.exponent) else f", exponent {self.exponent:.3g}"
        return Table(f"Attractor: {self.name}, {size}, captures within {self.radius:.3g}{exponent}")


def known_points(course: Course) -> list[FixedPoint]:
    """The fixed points in the box that can be attractors or give one its name; none on a schedule."""
    system = course.system
    if system.scheduled or system.dim > MOST_DIM:
        return []
    return list(points_to_name(system, course.box, N_NAMING))


def points_outside(course: Course, candidates: Sequence[Candidate]) -> list[FixedPoint]:
    """Fixed points outside the box at which candidates lie, each searched for in a small box of its own."""
    system = course.system
    if system.landscape is None or system.scheduled or system.dim > MOST_DIM:
        return []
    diagonal = diagonal_of(course.box)
    found: list[FixedPoint] = []
    for c in candidates:
        x = c.states[:, : system.dim]
        middle = x.mean(axis=0)
        if np.ptp(x, axis=0).max() <= 1e-5 * diagonal and not course.inside(middle[:, None]).any():
            size = 1e-3 * diagonal
            beside = np.stack([middle - size, middle + size], axis=1)
            found += list(points_to_name(system, beside, 16))
    return found


def find_attractors(
    motion: Motion,
    course: Course,
    starts: Array,
    points: Sequence[FixedPoint],
    rules: Rules,
    known: Sequence[Candidate] = (),
    first_step: int = 0,
) -> list[Candidate]:
    """Attractors at the given fixed points, and those that orbits from `starts` (state_dim, n) settle on."""
    may = [] if known else [p for p in points if _may_attract(p)]
    seeds = [Candidate(_around(motion, course, p), 0.0, attracts=p.stability in ATTRACTS) for p in may]
    new = [c for c in seeds if len(c.states) and np.isfinite(c.states).all()]
    found, _ = attracting(motion, course, known, new, rules, first_step)
    return search(motion, course, starts, found, rules, first_step)


def _may_attract(point: FixedPoint) -> bool:
    return point.stability in (*ATTRACTS, "marginal", "jump")


def _around(motion: Motion, course: Course, point: FixedPoint) -> Array:
    """States of an attractor at a fixed point: the point, or what a few orbits close to it hover on."""
    size = course.scale.shape[0]
    cloud = point.points if point.dimension else point.x[None]
    states = np.zeros((len(cloud), size))
    states[:, : len(point.x)] = cloud
    rule = course.system.rule
    if point.dimension or motion.every == 1:
        return states
    if not point.on_kink and (rule is None or not rule.jumps or point.kind == "hallucinated"):
        return states
    rng = np.random.default_rng(1)
    # inside the capture set, and not on any symmetric line
    assert rule is not None
    radius = point.chatter_radius / 2 if point.on_kink else 1e-3 * jump_length(rule, point.x)

    def hovering(count: int) -> Array:
        start = np.zeros((size, count))
        offset = rng.standard_normal((len(point.x), count))
        start[: len(point.x)] = point.x[:, None] + radius * offset / np.linalg.norm(offset, axis=0)
        numbers = np.arange(count)
        state = motion(start, numbers, 0, HOVER_STEPS)
        orbits = motion.orbit(state, numbers, HOVER_STEPS, HOVER_KEPT, 1).transpose(2, 0, 1)
        # only those that hover about the point, instead of having gone elsewhere
        x = orbits[:, :, : len(point.x)]
        middle = (x.min(axis=1) + x.max(axis=1)) / 2
        extent = np.linalg.norm(x - middle[:, None], axis=2).max(axis=1)
        diagonal = diagonal_of(course.box)
        about = np.linalg.norm(middle - point.x, axis=1) <= np.maximum(AROUND * extent, 1e-4 * diagonal)
        return np.asarray(orbits[about])

    orbits = hovering(MANY_ORBITS if point.on_kink else HOVER_ORBITS)
    if not point.on_kink and _have_cycles_of_their_own(orbits[..., : len(point.x)]):
        orbits = hovering(MANY_ORBITS)
    # orbit by orbit, so that cycles can be read off
    return orbits.reshape(-1, size)


def _have_cycles_of_their_own(orbits: Array) -> bool:
    """Whether orbits (n, m, dim) about one point are nearly closed, and most of them alone on their cycle.

    Where all curvatures at a minimum are equal, to first order a normalised rule has a
    cycle in every direction.
    """
    if len(orbits) < 2:
        return False
    extent = float(np.ptp(orbits[0], axis=0).max())
    turns = [np.abs(orbits[:, k:] - orbits[:, :-k]).max(axis=(1, 2)) for k in range(1, LONGEST_TURN + 1)]
    if (np.min(turns, axis=0) > CLOSE * extent).any():
        return False
    apart = np.array([cKDTree(one).query(orbits)[0].max(axis=1) for one in orbits]) > DIFFERENT * extent
    return bool((apart.sum(axis=1) == len(orbits) - 1).mean() > 0.5)


def describe(
    motion: Motion, course: Course, candidates: Sequence[Candidate], points: Sequence[FixedPoint]
) -> list[Attractor]:
    """Candidates with kind and name; those about one critical point are one attractor."""
    owners = [_owner(course, c, points) for c in candidates]
    result: list[Attractor] = []
    for i, (candidate, owner) in enumerate(zip(candidates, owners, strict=True)):
        if owner is None:
            result.append(_name_orbit(motion, course, candidate))
            continue
        same = [j for j, other in enumerate(owners) if other is owner]
        if same[0] != i:
            continue
        states = np.concatenate([candidates[j].states for j in same])
        # one that lies beyond the radius of the others has been given to the whole by its own
        radius = min(candidates[j].radius for j in same)
        result.append(_name_point(course, Candidate(states, radius), owner))
    return result


def merge_owners(
    course: Course, candidates: Sequence[Candidate], points: Sequence[FixedPoint]
) -> list[list[int]]:
    """Candidates (by number) that `describe` makes one attractor of, in its order."""
    owners = [_owner(course, c, points) for c in candidates]
    groups: list[list[int]] = []
    for i, owner in enumerate(owners):
        same = [i] if owner is None else [j for j, other in enumerate(owners) if other is owner]
        if same[0] == i:
            groups.append(same)
    return groups


def _owner(course: Course, candidate: Candidate, points: Sequence[FixedPoint]) -> FixedPoint | None:
    """The fixed point that an attractor is named after."""
    if not points:
        return None
    system = course.system
    x = candidate.states[:, : system.dim]
    middle = (x.min(axis=0) + x.max(axis=0)) / 2
    extent = float(np.linalg.norm(x - middle, axis=1).max())
    diagonal = diagonal_of(course.box)
    families = [p for p in points if p.dimension]
    for p in families:
        # a set of fixed points is known by samples
        spacing = np.sort(np.linalg.norm(p.points - p.x, axis=1))[min(3, len(p.points) - 1)]
        if np.linalg.norm(x[:, None] - p.points[None, :512], axis=2).min(axis=1).max() <= 3 * spacing:
            return p
    nearest = min(points, key=lambda p: float(np.linalg.norm(p.x - middle)))
    distance = float(np.linalg.norm(nearest.x - middle))
    if extent <= 1e-5 * diagonal and distance <= 1e-3 * diagonal:
        return nearest
    if nearest.on_kink and nearest.stability == "trapping":
        near = max(3 * nearest.chatter_radius, 1e-3 * diagonal)
        return nearest if extent <= near and distance <= near else None
    rule = system.rule
    if rule is None or not rule.jumps or nearest.kind == "hallucinated":
        return None
    assert system.landscape is not None
    stiffness = float(np.linalg.norm(system.landscape.hessian(nearest.x), 2))
    lr = system.coefficients()["lr"] if isinstance(system, Map) else 0.0
    length = jump_length(rule, nearest.x)
    if extent > max(10 * lr * length * stiffness, 1e-3 * diagonal):
        return None
    if distance <= max(AROUND * extent, 1e-4 * diagonal):
        return nearest
    # in a flat valley the cycle across it settles beside the minimum, by a distance of the order of rho
    hovers = extent > 1e-9 * diagonal and nearest.kind == "minimum"
    return nearest if hovers and distance <= 3 * length else None


def place(x: Array) -> str:
    """Coordinates as text.

    Examples
    --------
    >>> place(np.array([1.0, -1e-166]))
    '(1, 0)'
    """
    # -0 reads badly, and what is below rounding of the others is 0
    tidy = np.where(np.abs(x) < 5e-7 * max(1.0, float(np.abs(x).max())), 0.0, x)
    return "(" + ", ".join(f"{v:.4g}" for v in tidy) + ")"


def _name_point(course: Course, candidate: Candidate, point: FixedPoint) -> Attractor:
    kind, where = point.kind, place(point.x)
    if kind == "hallucinated":
        name = f"hallucinated minimum {where}"
    elif point.dimension:
        name = f"set of {'hallucinated points' if kind == 'hallucinated' else 'critical points'} at {where}"
    elif kind in ("saddle", "maximum", "degenerate"):
        rule = course.system.rule
        held = "trapping " if point.on_kink or (rule is not None and rule.jumps) else ""
        name = f"{held}{kind}{' point' if kind == 'degenerate' else ''} {where}"
    else:
        name = f"{kind} {where}"
    x = candidate.states[:, : course.system.dim]
    return Attractor(_distinct(x), kind, name, point.x, candidate.radius, states=candidate.states)


def _name_orbit(motion: Motion, course: Course, candidate: Candidate) -> Attractor:
    dim = course.system.dim
    x = candidate.states[:, :dim]
    middle = x.mean(axis=0)
    extent = float(np.ptp(x, axis=0).max())
    diagonal = diagonal_of(course.box)
    common: dict[str, Any] = {
        "radius": candidate.radius,
        "states": candidate.states,
        "closed": candidate.closed,
    }
    if extent <= 1e-6 * diagonal:
        return Attractor(x[-1:], "fixed point", f"fixed point {place(x[-1])}", x[-1], **common)
    if candidate.closed:
        return Attractor(x, "limit cycle", f"limit cycle about {place(middle)}", middle, **common)
    if motion.every > 1:
        exact = is_cycle(motion, course, candidate.states)
        period = len(x) if exact else _period(x[: min(len(x), 2048)], 1e-6 * extent)
        if period:
            middle = x[:period].mean(axis=0)
            name = f"{period}-cycle about {place(middle)}"
            return Attractor(x[:period], "cycle", name, middle, period=period, **common)
    if motion.every == 1 and dim == 2:
        # by the theorem of Poincare and Bendixson: one with a multiplier of 1, or one of a normalised rule
        name = f"limit cycle about {place(middle)}"
        return Attractor(_distinct(x), "limit cycle", name, middle, **common)
    exponent, error = largest_exponent(motion, course, candidate.states)
    common["exponent"] = exponent
    if exponent > max(4 * error, CHAOTIC / time_scale(motion, candidate.states)):
        kind = "chaotic"
    else:
        # of a flow whose closed orbit was not found: one of a normalised rule, which cannot be refined
        kind = "limit cycle" if motion.hover else "quasiperiodic"
    return Attractor(_distinct(x), kind, f"{kind} about {place(middle)}", middle, **common)


def _period(x: Array, tolerance: float) -> int:
    """Smallest p after which the orbit is where it was, all along; 0 if there is none."""
    last = x[len(x) // 2 :]
    for p in np.flatnonzero(np.linalg.norm(last[1 : LARGEST_PERIOD + 1] - last[0], axis=1) <= tolerance) + 1:
        if np.linalg.norm(last[p:] - last[:-p], axis=1).max() <= tolerance:
            return int(p)
    return 0


def _distinct(x: Array) -> Array:
    from samdyn.basin.paths.arrival import thinned

    return thinned(x)


def largest_exponent(
    motion: Motion, course: Course, states: Array, n_steps: int = 4000
) -> tuple[float, float]:
    """Largest Lyapunov exponent per unit of time on a sample (n, state_dim), and its standard error.

    `N_PAIRS` pairs of orbits, held `BESIDE` of the box's diagonal apart, start from states all over the
    sample. They are followed for `n_steps` steps (of a flow an eighth as many times half its time scale), and
    for up to eight times as many where that does not tell the exponent from 0 nor from the least one of
    chaos. Orbits of a map go on for as many steps together as leave them within `STRETCH` times that distance
    (`_steps_together`), a flow's for half its time scale; then they are set back. The error is the larger of
    those that the pairs, and that nine stretches of time, say.
    """
    scale_of_time = time_scale(motion, states)
    apart, scale = BESIDE * diagonal_of(course.box), course.scale[:, None]
    own = states[np.linspace(0, len(states) - 1, N_PAIRS).astype(int)].T
    away = np.random.default_rng(2).standard_normal(own.shape)
    away *= apart / np.linalg.norm(away, axis=0)
    beside, numbers = own + away / scale, np.arange(2 * N_PAIRS)

    def growth(n_looks: int, together: int, step: int) -> Array:
        """Logs of the growth of the distances (n_looks, N_PAIRS), over `together` steps each."""
        nonlocal own, beside
        logs = np.empty((n_looks, N_PAIRS))
        for j in range(n_looks):
            pairs = motion(np.concatenate([own, beside], axis=1), numbers, step + j * together, together)
            own, gap = pairs[:, :N_PAIRS], (pairs[:, N_PAIRS:] - pairs[:, :N_PAIRS]) * scale
            size = np.linalg.norm(gap, axis=0)
            odd = ~np.isfinite(size) | (size == 0)
            gap[:, odd], size[odd] = away[:, odd], apart * 1e-3
            logs[j] = np.log(size / apart)
            beside = own + gap / size * apart / scale
        return logs

    if motion.every > 1:
        together, step = _steps_together(growth(N_TRIED, 1, 0)), N_TRIED
        n_looks = n_steps // together
    else:
        together, step = max(1, int(scale_of_time / motion.unit / 2)), 0
        n_looks = n_steps // 8
    unit = together * motion.unit
    least = CHAOTIC / scale_of_time * unit
    logs = np.empty((0, N_PAIRS))
    while True:
        logs = np.concatenate([logs, growth(n_looks, together, step + len(logs) * together)])
        late = logs[n_looks // 10 :]
        late = late[: len(late) // 9 * 9]
        of_pairs, of_times = late.mean(axis=0), late.reshape(9, -1).mean(axis=1)
        exponent = float(late.mean())
        error = max(float(of_pairs.std(ddof=1)) / N_PAIRS**0.5, float(of_times.std(ddof=1)) / 3)
        undecided = exponent <= 4 * error and exponent + 2 * error > least
        if not undecided or len(logs) >= 8 * n_looks:
            return exponent / unit, error / unit


def _steps_together(logs: Array) -> int:
    """Steps after which pairs of a map's orbits are set back, from the growth of their distance in single
    steps (n, pairs): at most `MOST_TOGETHER`.
    """
    fastest = max(float(logs.max()), float(-logs.mean()), 0.0)
    return int(np.clip(math.log(STRETCH) / max(fastest, 1e-9), 1, MOST_TOGETHER))


def as_candidates(attractors: Mapping[int, Attractor]) -> list[Candidate]:
    """Named attractors as candidates, in the order of their ids."""
    return [attractors[k].candidate for k in sorted(attractors)]
