"""Basins of attraction: which attractor each cell of a box goes to.

Algorithm
---------
1. Attractors: fixed points that attract or trap, and what `n_starts` orbits settle on
   (`samdyn.basin.recurrences`), each with the distance within which it captures (`proximity`).
2. The points of all cells are followed in batches until they are within that distance of an attractor,
   diverge, or run out of steps (`settle`), in rounds of 16, 128, 1024, ... looks.
3. After each round from the second on, up to `n_starts` of the paths still under way are searched for
   attractors that are not known yet; what is found takes part from then on.
4. Attractors get their names (`attractors`). A path that ends at an attractor outside the box, or outside the
   box after the last step, has left the box.

For a view with noise there is no such thing as arriving for good: of `replicas` paths from each cell, the
share that first comes close to each attractor of the noiseless system is the probability of ending there.

Cost: steps times cells; the test of proximity costs little beside the steps while the attractors are points
or cycles, and about a microsecond a test for chaotic ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.basin.attractors import (
    Attractor,
    as_candidates,
    describe,
    find_attractors,
    known_points,
    merge_owners,
)
from samdyn.basin.fractions import Fraction, shares
from samdyn.basin.grid import BYTES_PER_CELL, Grid, make_grid
from samdyn.basin.motion import Motion, build_motion
from samdyn.basin.proximity import Target, thinned
from samdyn.basin.recurrences import Candidate, Rules
from samdyn.basin.settle import (
    LEFT,
    OUT_OF_STEPS,
    REASONS,
    Course,
    Followed,
    Labels,
    Starts,
    advance_round,
    limits,
)
from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.compute.random import split_seed
from samdyn.ensemble.checkpoint import Checkpoint
from samdyn.ensemble.workers import check_picklable
from samdyn.local.fixed_points import FixedPoint
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

SCHEMA = 1
MAX_STEPS = 100_000
MAX_STRIDES = 20_000


@dataclass(frozen=True)
class Basins:
    """Basins of attraction on a grid of cells.

    Attributes
    ----------
    labels : ndarray of int, shape `resolution`
        The attractor (> 0) that each cell goes to, or why none (< 0): see `reasons`. With noise the most
        probable end.
    attractors : dict of int to Attractor
    box : ndarray, shape (dim, 2)
    resolution : tuple of int
    system : Map, Flow or Diffusion, or None
        None in a loaded result, unless it was given to `load`.
    steps : ndarray of int, shape `resolution`
        Steps (strides of a flow) until arrival; -1 where there was none. With noise the mean, rounded.
    unit : float
        Time of a step: 1 for a map.
    probabilities : ndarray, shape ``(*resolution, k)``, or None
        With noise, the share of replicas that first came close to each attractor, in the order of
        `attractors`.
    replicas : int
    """

    labels: npt.NDArray[np.int16]
    attractors: dict[int, Attractor]
    box: Array
    resolution: tuple[int, ...]
    system: System | None
    steps: npt.NDArray[np.int32]
    unit: float = 1.0
    probabilities: Array | None = None
    replicas: int = 1
    course: Course | None = field(default=None, repr=False, compare=False)
    max_steps: int = MAX_STEPS

    reasons = REASONS

    @property
    def grid(self) -> Grid:
        """The cells and their points."""
        return Grid(self.box, self.resolution)

    @property
    def fractions(self) -> dict[int, Fraction]:
        """Share of the box of each attractor, and of each reason that occurs, with Wilson intervals.

        They are those of as many random starts, which for a grid is on the wide side. With noise the shares
        of probability, with the intervals of one replica a cell.
        """
        if self.probabilities is None:
            return shares(self.labels, self.attractors)
        n = self.labels.size
        mean = self.probabilities.reshape(n, -1).mean(axis=0)
        result = {k: Fraction(m * n, n) for k, m in zip(self.attractors, mean, strict=True)}
        rest = max(0.0, 1 - float(mean.sum()))
        return result | ({OUT_OF_STEPS: Fraction(min(rest * n, n), n)} if rest > 1e-9 else {})

    def name_of(self, label: int) -> str:
        """What a label stands for."""
        return self.attractors[label].name if label > 0 else REASONS[label]

    def label_at(self, x: npt.ArrayLike) -> npt.NDArray[np.int16]:
        """Labels of any points (..., dim), by following each to its end; without noise."""
        if self.course is None:
            raise ValueError("system must be known to follow points, got a result that was loaded without it")
        points = checks.points("x", x, len(self.box))
        course = self.course.without_noise()
        flat = np.ascontiguousarray(points.reshape(-1, len(self.box)))
        starts = Starts(flat, 1, len(course.scale))
        followed = follow(course, as_candidates(self.attractors), starts, self.max_steps)
        ids = np.array([0, *sorted(self.attractors)], dtype=np.int16)
        labels = np.where(followed.labels > 0, ids[np.maximum(followed.labels, 0)], followed.labels)
        return labels.reshape(points.shape[:-1]).astype(np.int16)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.resolution))
        lines = [f"Basins of {self.system!r}: {size} cells"]
        table = [("id", "attractor", "share", "95 % interval")]
        table += [
            (str(k), self.name_of(k), f"{float(f):.4f}", f"{f.lower:.4f}-{f.upper:.4f}")
            for k, f in self.fractions.items()
        ]
        widths = [max(len(row[i]) for row in table) for i in range(4)]
        rows = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table)
        return "\n".join(lines + ["  " + row for row in rows])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{n}</th>" for n in ("id", "attractor", "share", "95 % interval"))
        rows = "".join(
            f"<tr><td>{k}</td><td>{self.name_of(k)}</td><td>{float(f):.4f}</td>"
            f"<td>{f.lower:.4f}-{f.upper:.4f}</td></tr>"
            for k, f in self.fractions.items()
        )
        return f"<p>Basins of <code>{self.system!r}</code></p><table><tr>{head}</tr>{rows}</table>"

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Picture of the basins (`samdyn.plot.basins`); returns the matplotlib Axes."""
        from samdyn.plot import basins as draw

        return draw(self, ax=ax, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result to an npz file; of the system only its description is kept."""
        described = {
            str(k): {
                "kind": a.kind,
                "name": a.name,
                "radius": a.radius,
                "period": a.period,
                "exponent": a.exponent,
            }
            for k, a in self.attractors.items()
        }
        header = {
            "schema": SCHEMA,
            "system": repr(self.system),
            "attractors": described,
            "unit": self.unit,
            "replicas": self.replicas,
            "max_steps": self.max_steps,
        }
        arrays: dict[str, Any] = {"labels": self.labels, "steps": self.steps, "box": self.box}
        if self.probabilities is not None:
            arrays["probabilities"] = self.probabilities
        for k, a in self.attractors.items():
            arrays |= {f"points{k}": a.points, f"position{k}": a.position, f"states{k}": a.states}
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        with open(path, "wb") as file:
            np.savez_compressed(file, header=text, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], system: System | None = None) -> Basins:
        """Read a saved result; with the system it was made from, if points are to be followed again."""
        with np.load(path, allow_pickle=False) as data:
            if "header" not in data:
                raise ValueError(f"path must be a file written by Basins.save, got {os.fspath(path)!r}")
            header = json.loads(bytes(data["header"]).decode())
            if header.get("schema") != SCHEMA:
                raise ValueError(
                    f"{os.fspath(path)!r} has schema {header.get('schema')!r}, expected {SCHEMA}"
                )
            if system is not None and repr(system) != header["system"]:
                raise ValueError(f"system must be the one saved, {header['system']}, got {system!r}")
            attractors = {
                int(k): Attractor(
                    data[f"points{k}"], position=data[f"position{k}"], states=data[f"states{k}"], **v
                )
                for k, v in header["attractors"].items()
            }
            labels, box = data["labels"], data["box"]
            course = None if system is None else _course(system, box, None, False, 0, 1e3)
            return cls(
                labels, attractors, box, labels.shape, system, data["steps"], header["unit"],
                data.get("probabilities"), header["replicas"],
                course, header["max_steps"],
            )  # fmt: skip


def basins(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    resolution: int | Sequence[int] = 256,
    *,
    attractors: Mapping[int, Attractor] | None = None,
    n_starts: int = 256,
    max_steps: int | None = None,
    far: float = 1e3,
    recurrence: float = 0.8,
    drift: float = 0.6,
    n_probes: int | None = None,
    probe_steps: int | None = None,
    radius: float | None = None,
    replicas: int | None = None,
    dt: float | None = None,
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Basins:
    """Basins of attraction of a map, a flow or a diffusion on a grid of cells.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        With noise (a Diffusion, or a Map with a noise model) the probability of ending at each attractor of
        the noiseless system is estimated. With momentum paths start from rest.
    box : sequence of (lower, upper), optional
        Where paths start; the system's own box by default.
    resolution : int or sequence of int
        Cells along every side, or along each. 1 along a side is a section through the middle of the box.
    attractors : dict of int to Attractor, optional
        Attractors of an earlier result for the same system, which are then not searched for at first.
    n_starts : int
        Orbits in the search for attractors, at first and in each later search among paths under way.
    max_steps : int, optional
        Steps (strides of a flow) after which a path is given up: 100 000 (20 000 strides) by default. More is
        always safe.
    far : float
        Distance from the middle of the box, in widths of the box, beyond which a path has diverged.
    recurrence, drift : float
        When an orbit of the search has settled: the share of its visits that must be returns, and the
        largest drift between half windows in standard deviations. Closer to 1 and 0 is stricter.
    n_probes, probe_steps : int
        Probes at each distance, and steps that they are followed, in the test within which distance an
        attractor captures: 32 and 2000 by default; 24 and 60 strides for a flow.
    radius : float, optional
        Distance from an attractor's points at which a path has arrived. By default the largest that passed
        the test; with noise a fifth of that.
    replicas : int, optional
        Paths from each cell, for a view with noise: 16 by default.
    dt : float, optional
        Length of a flow's stride between two looks (by default the median speed in the box covers 1/50 of its
        diagonal in it), or of a Diffusion's step (its lr by default).
    seed : int
        Of the noise and of the starts of the search.
    workers : int
        Number of local processes; the result is the same with any number.
    executor : concurrent.futures.Executor, optional
        Where to run instead.
    checkpoint : str or path, optional
        A file that holds the state of the job between rounds. If it exists, the job goes on from it.
    progress : bool
        Show a progress bar over cells.

    Returns
    -------
    Basins

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or there are more cells than fit into memory.

    Notes
    -----
    The algorithm, with all stopping rules, is in the modules `samdyn.basin.basins`, `recurrences`,
    `proximity` and `settle`. Labels below zero: -1 left the box (ended at an attractor outside, or outside
    after the last step), -2 diverged, -3 out of steps, -4 the map returned nan.

    A small attractor may be missed if none of the starts, and no path that stays under way, ends on it; a
    path is never given to an attractor that it does not come close to.

    Examples
    --------
    >>> import samdyn as sd
    >>> well = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.01)
    >>> result = sd.basins(well, [(-2, 2)], resolution=400)
    >>> {a.name: float(result.fractions[k].__round__(3)) for k, a in result.attractors.items()}
    {'minimum (-1)': 0.425, 'trapping maximum (0)': 0.15, 'minimum (1)': 0.425}
    """
    region = check_system(system, box)
    noisy = bool(getattr(system, "n_normals", 0))
    if replicas is not None and not noisy:
        raise ValueError(f"replicas must be left out for a system without noise, got {replicas!r}")
    copies = 1 if not noisy else 16 if replicas is None else checks.integer("replicas", replicas, at_least=1)
    # a path under way takes its state and its number, and twice that while it is moved
    needs = max(BYTES_PER_CELL, 6 + 18 * system.state_dim + 16) * copies
    grid = make_grid(region, resolution, needs)
    options = check_options(
        system, n_starts, max_steps, recurrence, drift, n_probes, probe_steps, radius, far, dt, seed
    )
    check_workers(workers, executor)
    check_attractors(attractors, system.dim)
    course = _course(system, region, dt, noisy, seed, far)
    if (workers > 1 or isinstance(executor, ProcessPoolExecutor)) and grid.n_cells:
        check_picklable(course, spawned=executor is None)
    starts = Starts(grid, copies, system.state_dim)
    job = {
        "system": repr(system), "box": region.tolist(), "resolution": list(grid.shape), "replicas": copies,
        "seed": seed, "options": repr(options), "dt": dt, "far": far,
    }  # fmt: skip
    saved = None if checkpoint is None else Checkpoint(checkpoint, job)
    with _Bar(progress, len(starts)) as bar:
        followed, candidates, points = map_starts(
            course, starts, options, attractors, workers, executor, saved, bar.report
        )
    return _result(course, grid, copies, followed, candidates, points, options)


@dataclass(frozen=True)
class Options:
    """Checked options of a computation."""

    n_starts: int
    rules: Rules
    radius: float | None


def check_system(system: Any, box: Any) -> Array:
    """The box to use, after checks of both."""
    if not isinstance(system, Map | Flow | Diffusion):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if box is None and system.box is None:
        raise ValueError(f"box must be given: {system.name} has none of its own")
    if isinstance(system, Map) and system.landscape is None and system.scheduled:
        raise ValueError(f"system must have constant parameters, got {system!r} with a schedule")
    return checks.box("box", system.box if box is None else box, system.dim)


def check_options(
    system: System,
    n_starts: Any,
    max_steps: Any,
    recurrence: Any,
    drift: Any,
    n_probes: Any,
    probe_steps: Any,
    radius: Any,
    far: Any,
    dt: Any,
    seed: Any,
) -> Options:
    """The options, checked."""
    n_starts = checks.integer("n_starts", n_starts, at_least=1)
    flow = isinstance(system, Flow)
    if max_steps is None:
        max_steps = MAX_STRIDES if flow else MAX_STEPS
    max_steps = checks.integer("max_steps", max_steps, at_least=1, below=2**31)
    if checks.number("recurrence", recurrence, above=0) > 1:
        raise ValueError(f"recurrence must be a share in (0, 1], got {recurrence!r}")
    checks.number("drift", drift, above=0)
    discrete = isinstance(system, Map)
    n_probes = (32 if discrete else 24) if n_probes is None else n_probes
    n_probes = checks.integer("n_probes", n_probes, at_least=1)
    probe_steps = (2000 if discrete else 60) if probe_steps is None else probe_steps
    probe_steps = checks.integer("probe_steps", probe_steps, at_least=1)
    radius = None if radius is None else checks.number("radius", radius, above=0)
    checks.number("far", far, above=0)
    if dt is not None:
        checks.number("dt", dt, above=0)
        if isinstance(system, Map):
            raise ValueError(f"dt must not be given for a Map, whose time is its step, got {dt!r}")
    split_seed(seed)
    return Options(n_starts, Rules(max_steps, recurrence, drift, n_probes, probe_steps), radius)


def check_attractors(attractors: Any, dim: int) -> None:
    """Refuse attractors that are not those of an earlier result for a system of this dimension."""
    if attractors is None:
        return
    known = isinstance(attractors, Mapping) and all(isinstance(a, Attractor) for a in attractors.values())
    if not known:
        raise TypeError(f"attractors must be a dict of Attractor, as Basins.attractors, got {attractors!r}")
    if any(a.points.shape[-1] != dim for a in attractors.values()):
        raise ValueError(f"attractors must be of a system in {dim} dimensions, got others")


def check_workers(workers: Any, executor: Any) -> None:
    """Refuse an unusable number of workers, or something else than an executor."""
    workers = checks.integer("workers", workers, at_least=1)
    if executor is not None:
        if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
            raise TypeError(f"executor must be a concurrent.futures executor, got {executor!r}")
        if workers > 1:
            raise ValueError(f"workers must be 1 when an executor is given, got {workers}")


def _course(system: System, box: Array, dt: float | None, noisy: bool, seed: int, far: float) -> Course:
    lr = 1.0
    if system.state_dim > system.dim:  # a velocity counts by the step that it makes
        lr = float(system.coefficients()["lr"])  # type: ignore[attr-defined]
    scale = np.concatenate([np.ones(system.dim), np.full(system.state_dim - system.dim, lr)])
    return Course(system, box, scale, None if dt is None else float(dt), noisy, int(seed), float(far))


def targets_for(candidates: Sequence[Candidate], course: Course, radius: float | None) -> tuple[Target, ...]:
    """Candidates as targets 1, 2, ..., at the radius wanted."""
    share = 0.2 if course.noisy else 1.0
    return tuple(
        Target(thinned(c.states * course.scale), share * c.radius if radius is None else radius, i + 1)
        for i, c in enumerate(candidates)
    )


def follow(
    course: Course,
    candidates: Sequence[Candidate],
    starts: Starts,
    max_steps: int,
    radius: float | None = None,
) -> Followed:
    """Paths from `starts` to known attractors, in this process; labels count them from 1."""
    from samdyn.basin.settle import motion_of

    followed = Followed.of(len(starts))
    targets = targets_for(candidates, course, radius)
    for limit in limits(motion_of(course).every, max_steps):
        if len(followed.paths) == 0:
            break
        advance_round(followed, course, targets, starts, limit)
    close(followed, course)
    return followed


def quiet_motion(course: Course) -> Motion:
    """The motion without noise; that of a Diffusion's drift in strides of a flow."""
    stride = None if isinstance(course.system, Diffusion) else course.stride
    return build_motion(course.system, stride=stride, noisy=False, seed=course.seed, box=course.box)


def close(followed: Followed, course: Course) -> None:
    """Label what is still under way by where it is."""
    if len(followed.paths) and followed.states is not None:
        inside = course.inside(followed.states)
        followed.labels[followed.paths] = np.where(inside, OUT_OF_STEPS, LEFT)
    followed.paths = np.empty(0, dtype=np.int64)


def map_starts(
    course: Course,
    starts: Starts,
    options: Options,
    attractors: Mapping[int, Attractor] | None,
    n_workers: int,
    executor: Executor | None,
    saved: Checkpoint | None,
    report: Callable[[int], None],
) -> tuple[Followed, list[Candidate], list[FixedPoint]]:
    """Find attractors and follow all starts to them; labels count the candidates from 1."""
    rules = options.rules
    quiet = quiet_motion(course)
    calm = course.without_noise()
    points = known_points(course)
    # a schedule is at its end where attractors are concerned
    late = rules.max_steps if getattr(course.system, "scheduled", False) else 0
    followed = Followed.of(len(starts))
    if saved is not None and saved.meta is not None:
        followed, candidates = _restore(saved, len(starts))
        report(int((followed.labels != 0).sum()))
    else:
        rng = np.random.default_rng(course.seed)
        x = rng.uniform(course.box[:, 0], course.box[:, 1], (options.n_starts, len(course.box)))
        trial = Starts(x, 1, len(course.scale))
        known = [] if attractors is None else as_candidates(attractors)
        state = trial.states(np.arange(len(x)))
        candidates = known or find_attractors(quiet, calm, state, points, rules, first_step=late)
    every = 8 if not isinstance(course.system, Flow) else 1
    for i, limit in enumerate(limits(every, rules.max_steps)):
        if limit <= followed.step:
            continue
        if len(followed.paths) == 0:
            break
        targets = targets_for(candidates, course, options.radius)
        whole = advance_round(
            followed, course, targets, starts, limit, n_workers=n_workers, executor=executor, report=report
        )
        if not whole:
            raise KeyboardInterrupt
        if not course.noisy and i >= 1 and len(followed.paths) and followed.states is not None and not late:
            chosen = np.linspace(0, len(followed.paths) - 1, min(options.n_starts, len(followed.paths)))
            orbits = followed.states[:, np.unique(chosen.astype(int))]
            more = find_attractors(
                quiet, calm, orbits, [], replace(rules, max_steps=max(limit, 4096)), candidates
            )
            if len(more) > len(candidates):
                candidates = more
        if saved is not None and saved.due():
            _save(saved, followed, candidates)
    close(followed, course)
    if saved is not None:
        _save(saved, followed, candidates)
    return followed, candidates, points


def _save(saved: Checkpoint, followed: Followed, candidates: Sequence[Candidate]) -> None:
    arrays: dict[str, Any] = {"labels": followed.labels, "steps": followed.steps, "paths": followed.paths}
    if followed.states is not None:
        arrays["states"] = followed.states
    for i, c in enumerate(candidates):
        arrays[f"candidate{i}"] = c.states
    saved.write({"step": followed.step, "radii": [c.radius for c in candidates]}, arrays)


def _restore(saved: Checkpoint, n_paths: int) -> tuple[Followed, list[Candidate]]:
    assert saved.meta is not None
    try:
        a = saved.arrays
        followed = Followed(a["labels"], a["steps"], a["paths"], a.get("states"), int(saved.meta["step"]))
        candidates = [Candidate(a[f"candidate{i}"], r) for i, r in enumerate(saved.meta["radii"])]
    except (KeyError, TypeError, ValueError) as error:
        raise saved.damaged(f"{error} is missing") from error
    if followed.labels.shape != (n_paths,):
        raise saved.damaged("the labels do not fit")
    return followed, candidates


def final_attractors(
    course: Course, candidates: Sequence[Candidate], points: Sequence[FixedPoint]
) -> tuple[dict[int, Attractor], Labels]:
    """Named attractors in the box by id, and the id of each candidate (at its number + 1) or LEFT."""
    quiet = quiet_motion(course)
    named = describe(quiet, course, candidates, points)
    groups = merge_owners(course, candidates, points)
    ids = np.zeros(len(candidates) + 1, dtype=np.int16)
    result: dict[int, Attractor] = {}
    order = sorted(range(len(named)), key=lambda i: tuple(np.round(named[i].position, 9)))
    for i in order:
        inside = course.inside(named[i].points.T).any() or course.inside(named[i].position[:, None]).any()
        label = len(result) + 1 if inside else LEFT
        if inside:
            result[label] = named[i]
        for member in groups[i]:
            ids[member + 1] = label
    return result, ids


def _result(
    course: Course,
    grid: Grid,
    copies: int,
    followed: Followed,
    candidates: Sequence[Candidate],
    points: Sequence[FixedPoint],
    options: Options,
) -> Basins:
    found, ids = final_attractors(course, candidates, points)
    positive = followed.labels > 0
    followed.labels[positive] = ids[followed.labels[positive]]
    labels, steps, probabilities = followed.labels, followed.steps, None
    if course.noisy:
        ends = [*found, *REASONS]
        counts = np.stack([(labels.reshape(-1, copies) == k).sum(axis=1) for k in ends], axis=1)
        probabilities = (counts[:, : len(found)] / copies).reshape(*grid.shape, len(found))
        labels = np.array(ends, dtype=np.int16)[counts.argmax(axis=1)]
        of_cell = steps.reshape(-1, copies)
        total, arrived = np.where(of_cell >= 0, of_cell, 0).sum(axis=1), (of_cell >= 0).sum(axis=1)
        steps = np.where(arrived > 0, np.rint(total / np.maximum(arrived, 1)), -1).astype(np.int32)
    from samdyn.basin.settle import motion_of

    return Basins(
        labels.reshape(grid.shape), found, grid.box, grid.shape, course.system, steps.reshape(grid.shape),
        motion_of(course).unit, probabilities, copies, course, options.rules.max_steps,
    )  # fmt: skip


class _Bar:
    """A tqdm bar over paths; silent unless `show`."""

    def __init__(self, show: bool, total: int) -> None:
        self.bar: Any = None
        if show:
            from tqdm.auto import tqdm  # warns in a notebook without ipywidgets: only if a bar is wanted

            self.bar = tqdm(desc="basins", unit="path", unit_scale=True, total=total, leave=False)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def report(self, done: int) -> None:
        """So many more paths have ended."""
        if self.bar is not None:
            self.bar.update(done)
