"""Basins of attraction: which attractor each cell of a box goes to.

Attractors are found first, from fixed points and from orbits that recur; the points of all cells are then
followed to them in batches (`samdyn.basin.rounds`).

For a view with noise there is no such thing as arriving for good: of `n_paths` paths from each cell, the
share that first comes close to each attractor of the noiseless system is the probability of ending there.

Cost: steps times cells; the test of proximity costs little beside the steps while the attractors are points
or cycles, and about a microsecond a test for chaotic ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.basin.arguments import (
    Options,
    check_attractors,
    check_options,
    check_stride,
    check_system,
)
from samdyn.basin.checkpoint import description
from samdyn.basin.grid import BYTES_PER_CELL, Grid, make_grid
from samdyn.basin.paths.course import Course, Starts, course_of, looks_of, memory_at_rest, motion_of
from samdyn.basin.paths.pieces import REASONS
from samdyn.basin.result import Basins
from samdyn.basin.rounds import Ends, map_starts
from samdyn.basin.search.attractors import Attractor
from samdyn.dynamics.path_job import check_device
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.jobs.job import check_run
from samdyn.jobs.progress import PartsBar
from samdyn.jobs.travel import check_travel
from samdyn.systems.system import System

__all__ = ["Basins", "basins"]


@checked
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
    n_paths: int | None = None,
    dt: float | None = None,
    seed: int = 0,
    device: str | None = None,
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
        Distance from the middle of the box, in widths of the box, beyond which a path has diverged; above
        0.5, where the box ends.
    recurrence, drift : float
        When an orbit of the search has settled: the share of its visits that must be returns, and the
        largest drift between half windows in standard deviations. Closer to 1 and 0 is stricter.
    n_probes, probe_steps : int
        Probes at each distance, and steps that they are followed, in the test within which distance an
        attractor captures: 32 and 2000 by default; 24 and 60 strides for a flow.
    radius : float, optional
        Distance from an attractor's points at which a path has arrived. By default half of the largest
        distance that passed the test, with noise a tenth. More than that distance is refused; with noise,
        more than half the distance between two attractors.
    n_paths : int, optional
        Paths from each cell, for a view with noise: 16 by default.
    dt : float, optional
        Length of a flow's stride between two looks (by default the median speed in the box covers 1/50 of its
        diagonal in it), or of a Diffusion's step (its lr by default).
    seed : int
        Of the noise and of the starts of the search.
    device : str, optional
        "cuda" takes the steps of a map or a diffusion on a GPU; "cpu" by default, where results do not depend
        on the machine (see `samdyn.basin.paths.motion_on_device`).
    workers : int
        Number of local workers: threads where steps are compiled (maps and diffusions of many paths), else
        processes. The result is the same with any number.
    executor : concurrent.futures.Executor, optional
        Where to run instead.
    checkpoint : str or path, optional
        A file that holds the state of the job: written every 30 s between pieces of the work, after Ctrl-C
        and at the end. If it exists, the job goes on from it, to the same result as in one go.
    progress : bool
        Show a progress bar over cells.

    Returns
    -------
    Basins
        After Ctrl-C what is done so far: its `interrupted` is true, and cells whose path had not ended are
        out of steps. While attractors are first searched for there is nothing yet, and KeyboardInterrupt is
        raised.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, there are more cells than fit into memory, or the
        checkpoint is damaged or of another job. Once attractors are known: `radius` is too large for one.

    Notes
    -----
    The algorithm, with all stopping rules, is in the modules `samdyn.basin.rounds`,
    `samdyn.basin.search.recurrences`, `samdyn.basin.paths.arrival`, `samdyn.basin.paths.legs_of_paths` and
    `samdyn.basin.paths.pieces`. Labels below zero: -1 left the box (outside it after the last
    step, at no attractor), -2 diverged, -3 out of steps, -4 the map returned nan.

    A small attractor may be missed if none of the starts, and no path that stays under way, ends on it; a
    path is never given to an attractor that it does not come close to. A limit cycle or chaotic set is known
    by a sample: attractors that come as close to it as its points are to each other may be taken for it.

    A job that will take longer than ten seconds by the time of its first looks says so at the start, by
    `samdyn.CostWarning`: the search for attractors, and then, as an upper bound, the next round of paths.

    Examples
    --------
    >>> import samdyn as sd
    >>> well = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.01)
    >>> result = sd.basins(well, [(-2, 2)], resolution=400)
    >>> {a.name: float(result.fractions[k].__round__(3)) for k, a in result.attractors.items()}
    {'minimum (-1)': 0.425, 'trapping maximum (0)': 0.15, 'minimum (1)': 0.425}
    """
    region = check_system(system, box)
    noisy = system.noisy
    if n_paths is not None and not noisy:
        raise ValueError(f"n_paths must be left out for a system without noise, got {n_paths!r}")
    copies = 1 if not noisy else 16 if n_paths is None else checks.integer("n_paths", n_paths, at_least=1)
    # a path under way takes its state and its number, and twice that while it is moved
    needs = max(BYTES_PER_CELL, 6 + 18 * system.state_dim + 16) * copies
    grid = make_grid(region, resolution, needs, copies)
    options = check_options(
        system, n_starts, max_steps, recurrence, drift, n_probes, probe_steps, radius, far, dt, seed
    )
    run = check_run(workers, executor, checkpoint, progress)
    check_attractors(attractors, system)
    course = course_of(
        system, region, dt, noisy, seed, far, check_device(device, system), grid.n_cells * copies
    )
    check_travel(course, run.workers, run.executor, threads=run.workers > 1 and looks_of(course) is not None)
    check_stride(course, options.rules.max_steps)
    starts = Starts(grid, copies, memory_at_rest(system))
    saved = None
    if checkpoint is not None:
        job = description(course, options, attractors, resolution=list(grid.shape), replicas=copies)
        saved = Checkpoint(checkpoint, job)
    with PartsBar(progress, "basins", len(starts), "path") as bar:
        ends = map_starts(course, starts, options, attractors, run, saved, bar.update)
    return _result(course, grid, copies, ends, options)


@np.errstate(under="ignore")
def _result(course: Course, grid: Grid, copies: int, ends: Ends, options: Options) -> Basins:
    found = ends.named(course)
    labels, steps, probabilities = ends.followed.labels, ends.followed.steps, None
    unresolved: dict[int, float] = {}
    if course.noisy:
        kinds = [*found, *REASONS]
        counts = np.stack([(labels.reshape(-1, copies) == k).sum(axis=1) for k in kinds], axis=1)
        probabilities = (counts[:, : len(found)] / copies).reshape(*grid.shape, len(found))
        share = counts.mean(axis=0)[len(found) :] / copies
        unresolved = {k: float(p) for k, p in zip(REASONS, share, strict=True) if p}
        labels = np.array(kinds, dtype=np.int16)[counts.argmax(axis=1)]
        of_cell = steps.reshape(-1, copies)
        total, arrived = np.where(of_cell >= 0, of_cell, 0).sum(axis=1), (of_cell >= 0).sum(axis=1)
        steps = np.where(arrived > 0, np.rint(total / np.maximum(arrived, 1)), -1).astype(np.int32)
    return Basins(
        labels.reshape(grid.shape), found, grid.box, grid.shape, course.system, steps.reshape(grid.shape),
        motion_of(course).unit, probabilities, copies, unresolved, ends.interrupted, course, options.radius,
        options.rules.max_steps,
    )  # fmt: skip
