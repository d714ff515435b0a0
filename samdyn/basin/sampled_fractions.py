"""Basin fractions by sampling, for boxes of any dimension.

Algorithm
---------
Starts are drawn uniformly in the box, independently, from the seed. Two methods tell where they end:

- "recurrences": as in `basins`. Attractors are found, and all starts are followed to them.
- "features": no attractor is looked for. Every start is followed for `max_steps`, and a feature vector is
  made of its last `tail` points (by default mean and standard deviation of each coordinate). Starts whose
  features hang together are one group (single linkage of up to `MOST_CLUSTERED` of them, cut at
  `tolerance` box diagonals, for features of the caller in their own units; the others join the group of
  their nearest neighbour). This works in any dimension and for attractors of any shape, as long as the
  features tell them apart and `max_steps` is long enough: it has no test of either.

The error of a fraction is statistical in both, with a Wilson interval.

References
----------
Menck, Heitzig, Marwan & Kurths, Nature Physics 9 (2013) 89-92, for basin stability by sampling. Stender &
Hoffmann, Nonlinear Dynamics 107 (2022) 1451-1469, for features.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.arguments import (
    check_options,
    check_stride,
    check_system,
)
from samdyn.basin.checkpoint import description
from samdyn.basin.grid import available_memory
from samdyn.basin.matching import matched
from samdyn.basin.paths.course import Starts, course_of, looks_of, memory_at_rest, motion_of
from samdyn.basin.paths.pieces import name_of
from samdyn.basin.rounds import map_starts
from samdyn.basin.search.attractors import Attractor
from samdyn.basin.tails import TailJob
from samdyn.basin.wilson import Fraction, shares
from samdyn.dynamics.path_job import check_device
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.job import check_run, joined, run_job
from samdyn.jobs.progress import PartsBar, path_bar
from samdyn.jobs.travel import check_travel
from samdyn.numerics.scales import diagonal_of
from samdyn.results import Result, Table
from samdyn.systems.system import System

METHODS = ("recurrences", "features")
MOST_CLUSTERED = 4000


@dataclass(frozen=True, eq=False, repr=False)
class BasinFractions(Result):
    """Shares of basins, from independent starts.

    Attributes
    ----------
    labels : ndarray of int, shape (n,)
        Where each start ended; below zero why nowhere, as in `Basins`.
    starts : ndarray, shape (n, dim)
    attractors : dict of int to Attractor
    box : ndarray, shape (dim, 2)
    system : Map, Flow or Diffusion
    features : ndarray, shape (n, k), or None
        What the starts were told apart by.
    interrupted : bool
        Whether Ctrl-C came before all paths had ended: those then count as out of steps.
    """

    cited = ("menck2013",)
    row = "start"
    axes = ("starts: start coordinate", "box: coordinate end", "features: start feature")

    labels: npt.NDArray[np.int16]
    starts: Array = field(repr=False)
    attractors: dict[int, Attractor]
    box: Array
    system: System | None
    features: Array | None = field(default=None, repr=False)
    interrupted: bool = False

    @property
    def fractions(self) -> dict[int, Fraction]:
        """Share of each attractor, and of each reason that occurs, with 95 % Wilson intervals."""
        return shares(self.labels, self.attractors)

    @checked
    def name_of(self, label: int) -> str:
        """What a label stands for."""
        return name_of(label, self.attractors)

    def matched_to(self, other: BasinFractions, **options: Any) -> BasinFractions:
        """The result with the ids, and so the colours in pictures, of another result.

        An attractor that has a partner in `other` gets that one's id, the others ids that are not used there
        (`samdyn.basin.match_attractors` with `near`, whose other options are accepted). Without it ids count
        the attractors by their place, coordinate by coordinate: one more attractor moves all after it.
        """
        return cast("BasinFractions", matched(self, other, **options))

    def table(self) -> Table:
        """The share of each attractor with its interval."""
        note = ", interrupted" if self.interrupted else ""
        title = f"BasinFractions of {self.system!r}: {len(self.labels)} starts{note}"
        rows = [
            (str(k), self.name_of(k), f"{float(f):.4f}", f"{f.lower:.4f}-{f.upper:.4f}")
            for k, f in self.fractions.items()
        ]
        return Table(title, rows, ("id", "attractor", "share", "95 % interval"))


class FractionOptions(TypedDict, total=False):
    """Arguments of `basin_fractions` that verbs which call it pass on."""

    method: str
    features: Callable[[Array], Array] | None
    tail: int
    tolerance: float
    n_starts: int
    max_steps: int | None
    far: float
    radius: float | None
    dt: float | None


@checked
def basin_fractions(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    n_paths: int = 10_000,
    *,
    method: str = "recurrences",
    features: Callable[[Array], Array] | None = None,
    tail: int = 256,
    tolerance: float = 0.05,
    n_starts: int = 256,
    max_steps: int | None = None,
    far: float = 1e3,
    radius: float | None = None,
    dt: float | None = None,
    seed: int = 0,
    device: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> BasinFractions:
    """Shares of a box from which each attractor is reached, by sampling.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        With noise, one noisy path from each start.
    box : sequence of (lower, upper), optional
        Where starts are drawn, uniformly; the system's own box by default.
    n_paths : int
        Starts that are drawn, with one path from each.
    method : {"recurrences", "features"}
        How ends are told apart (see `samdyn.basin.sampled_fractions`).
    features : callable, optional
        With method "features": tails (n, tail, dim) to feature vectors (n, k).
    tail, tolerance
        With method "features": points at the end that features are made of, and the distance at which
        groups are separate: in diagonals of the box, for features of the caller in their own units.
    n_starts, max_steps, far, radius, dt, seed, device, workers, executor, checkpoint
        As in `basins`. With "features" every start is followed for `max_steps`, 10 000 by default (1000
        strides of a flow).
    progress : bool
        Show a progress bar over starts.

    Returns
    -------
    BasinFractions

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or the checkpoint is damaged or of another job.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Examples
    --------
    >>> import samdyn as sd
    >>> gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    >>> result = sd.basin_fractions(gd, [(-2, 2)], n_paths=2000)
    >>> [result.fractions[k].lower < 0.5 < result.fractions[k].upper for k in result.attractors]
    [True, True]
    """
    region = check_system(system, box)
    n = checks.integer("n_paths", n_paths, at_least=1)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    if features is not None and (method != "features" or not callable(features)):
        raise ValueError(f"features must be a function, with method='features', got {features!r}")
    tail = checks.integer("tail", tail, at_least=1)
    tolerance = checks.number("tolerance", tolerance, above=0)
    noisy = system.noisy
    given = max_steps
    options = check_options(system, n_starts, max_steps, 0.8, 0.6, None, None, radius, far, dt, seed)
    run = check_run(workers, executor, checkpoint, progress)
    per_start = 8 * (2 * system.dim + 3 * system.state_dim + 2)
    if method == "features":
        per_start += 8 * tail * system.dim
    if n * per_start > available_memory():
        raise ValueError(
            f"n_paths must leave no more starts than fit into memory, got {n}: about "
            f"{available_memory() // per_start} fit" + (f" at tail={tail}" if method == "features" else "")
        )
    x = np.random.default_rng([seed, 1]).uniform(region[:, 0], region[:, 1], (n, system.dim))
    course = course_of(system, region, dt, noisy, seed, far, check_device(device, system), n)
    check_travel(course, run.workers, run.executor, threads=run.workers > 1 and looks_of(course) is not None)
    check_stride(course, options.rules.max_steps)
    if method == "features":
        job = TailJob(course, x, given or 1250 * motion_of(course).every, tail)
        total = job.work(0, n)
        with path_bar(
            progress, "basin_fractions", total, "pass a smaller n_paths or max_steps, or workers="
        ) as bar:
            parts = run_job(job, run, bar)
        return _by_features(job, joined(parts, "labels"), joined(parts, "kept"), features, tolerance)
    saved = None
    if checkpoint is not None:
        saved = Checkpoint(checkpoint, description(course, options, None, verb="basin_fractions", n=n))
    starts = Starts(x, 1, memory_at_rest(system))
    with PartsBar(progress, "basin_fractions", n, "path") as bar:
        ends = map_starts(course, starts, options, None, run, saved, bar.update, verb="basin_fractions")
    found = ends.named(course)
    return BasinFractions(ends.followed.labels, x, found, region, system, interrupted=ends.interrupted)


def mean_and_spread(tails: Array) -> Array:
    """Mean and standard deviation of each coordinate: tails (n, tail, dim) to (n, 2 dim)."""
    return np.concatenate([tails.mean(axis=1), tails.std(axis=1)], axis=1)


def _by_features(
    job: TailJob,
    labels: npt.NDArray[np.int16],
    kept: Array,
    features: Callable[[Array], Array] | None,
    tolerance: float,
) -> BasinFractions:
    """Groups of starts by the features of their last points."""
    course, x, dim = job.course, job.x, len(job.course.box)
    fine = np.isfinite(kept).all(axis=(1, 2))
    of_tail = mean_and_spread if features is None else features
    values = np.full((len(x), 0), np.nan)
    attractors: dict[int, Attractor] = {}
    if fine.any():
        made = np.asarray(of_tail(kept[fine]), dtype=float)
        if made.ndim != 2 or len(made) != fine.sum() or made.shape[1] == 0:
            raise ValueError(f"features must return an array of shape (n, k), got shape {made.shape}")
        if not np.isfinite(made).all():
            raise ValueError("features must return finite numbers for finite tails, got infinity or nan")
        values = np.full((len(x), made.shape[1]), np.nan)
        values[fine] = made
        unit = diagonal_of(course.box) if features is None else 1.0
        labels[fine] = _groups(made, tolerance * unit)
        for k in range(1, int(labels.max()) + 1):
            one = kept[np.flatnonzero(labels == k)[0]]
            place = "(" + ", ".join(f"{v:.4g}" for v in one.mean(axis=0)[:4])
            name = f"group about {place}{', ...' if dim > 4 else ''})"
            attractors[k] = Attractor(one, "group", name, one.mean(axis=0), float("nan"))
    return BasinFractions(labels, x, attractors, course.box, course.system, values)


def _groups(values: Array, reach: float) -> npt.NDArray[Any]:
    """Groups of feature vectors by single linkage, numbered from 1 in the order of their size."""
    if len(values) == 1 or float(np.ptp(values, axis=0).max()) == 0:
        return np.ones(len(values), dtype=np.int16)
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_CLUSTERED)).astype(int))
    groups = fcluster(linkage(values[chosen], "single"), reach, criterion="distance")
    nearest = cKDTree(values[chosen]).query(values)[1]
    labels = groups[nearest]
    order = np.argsort(-np.bincount(labels)[1:], kind="stable")
    rank = np.empty(len(order) + 1, dtype=np.int16)
    rank[order + 1] = np.arange(1, len(order) + 1)
    return rank[labels]
