r"""Mean exit times from a metastable set, where exits are rare.

A path that leaves a metastable set A many times before it leaves the region does so in loops, from A to a
surface around it and back (Cerou, Guyader, Lelievre and Pommier). With p the probability to leave before a
return to A, from where loops meet the surface,

.. math:: T = T_{\text{first}} + (1/p - 1) (T_{\text{back}} + T_{\text{out}}) + T_{\text{reactive}},

T_first, T_back, T_out and T_reactive being the mean times from the start to the surface, from there back to
A, out again, and from the surface to the outside for paths that get there. p comes from splitting
(`samdyn.escape.rare.rare_committors`), the times from the paths that it runs. The formula takes loops as
independent of one another; where they are not, its error is the error of taking p from where the first loops
meet the surface.

References
----------
Cerou, Guyader, Lelievre & Pommier, Journal of Chemical Physics 134, 054108 (2011).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.dynamics.path_job import check_device
from samdyn.escape.rare.rare_committors import probability_of
from samdyn.escape.rare.reaction_coordinate import reaction_coordinate_and_levels
from samdyn.escape.rare.results import RareExitTime
from samdyn.escape.rare.splitting_job import SplittingJob, check_counts, run_splitting
from samdyn.escape.rare.stopping import (
    Enlarged,
    StoppingSet,
    check_correction,
    check_region,
    check_system,
    max_steps_of,
)
from samdyn.escape.region import OpenSet
from samdyn.jobs import cost
from samdyn.jobs.job import check_run
from samdyn.numerics.vector import Coordinates
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


def rare_exit_time(
    system: Diffusion | Map,
    x0: npt.ArrayLike,
    region: OpenSet,
    origin: OpenSet,
    *,
    margin: float | None = None,
    n_loops: int = 2,
    reaction_coordinate: Callable[[Tensor], Tensor] | None = None,
    levels: int | npt.ArrayLike = 200,
    n_clones: int = 100,
    n_kill: int | None = None,
    n_repeats: int = 100,
    dt: float | None = None,
    seed: int = 0,
    correction: str | None = "bridge",
    t_max: float | None = None,
    device: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> RareExitTime:
    """Mean exit time from a region around an attractor, where exits are rare.

    Parameters
    ----------
    system : Diffusion or Map
        With noise, and without schedules.
    x0 : array_like, shape (dim,)
        Start, inside `origin`: the attractor, or near it.
    region : Ball, Box, HalfSpace, Region or a combination
        The open set that paths leave, as in `exit_times`.
    origin : Ball, Box, HalfSpace, Region or a combination
        A small set around the attractor, well inside `region`, to which paths return again and again: about
        one standard deviation of the stationary law in size.
    margin : float, optional
        Distance from `origin` of the surface at which loops turn, > 0. By default the distance from x0 to
        the boundary of `origin`, so that twice a ball.
    n_loops : int
        Loops that each clone makes before the one that counts, to forget x0.
    reaction_coordinate, levels
        As in `rare_committor`. The default is the signed distance of `region`, from x0 to the boundary.
    n_clones, n_kill, n_repeats, dt, seed, correction, t_max
        As in `rare_committor`, with t_max for each leg of a loop; the bridge is for the boundary of `region`,
        while `origin` and the surface, which are a choice, are watched at whole steps.
    device : str, optional
        "cuda" takes the steps of a map or a diffusion on a GPU; "cpu" by default, where results do not depend
        on the machine.
    workers : int
        Number of local processes; the result is the same with any number.
    executor : concurrent.futures.Executor, optional
        Where to run instead.
    checkpoint : str or path, optional
        A file that holds the finished repeats: written every 30 s between pieces of the work, after Ctrl-C
        and at the end. If it exists, the job goes on from it, to the same result as in one go.
    progress : bool
        Show a progress bar over repeats.

    Returns
    -------
    RareExitTime
        In the time of the diffusion, or in steps of the map.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range, or `origin` reaches out of `region`. Before any
        work.
    RuntimeError
        A path reached neither the origin nor the outside within `t_max`.

    Warns
    -----
    UserWarning
        The surface where loops turn reaches out of `region`. The mean is right, but paths that leave there
        have to be waited for, as without splitting.
    CostWarning
        The work will take more than ten seconds, by the time of its first repeats (right to a factor of two
        or three).

    Notes
    -----
    T = T_first + (1/p - 1)(T_back + T_out) + T_reactive: see the module `samdyn.escape.rare.rare_exits`. The
    step that exits counts whole.

    1/p is biased upward where p comes from few repeats, by about its relative variance: with 10 clones and
    p = 0.01 by 18 % from 5 repeats, 8 % from 10 and 0.7 % from 100. The first order of it is estimated and
    taken off (`RareExitTime.bias`), which leaves 4 %, 1 % and less than 0.1 %.

    Loops are taken as independent of each other. That error is in no interval; it is below 2 % at p = 0.13
    and falls with p, and n_loops lowers it. An origin of which the region has two (another well inside it)
    gives the mean only if paths come back from there often enough for `t_max`.

    References
    ----------
    Cerou, Guyader, Lelievre & Pommier, Journal of Chemical Physics 134, 054108 (2011).

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.05, noise=sd.GaussianNoise(std=1.0))
    >>> exit = sd.rare_exit_time(sgd, [-1.0], sd.HalfSpace([1.0], 0.0), sd.Ball([-1.0], 0.1), n_repeats=20)
    >>> low, high = exit.confidence_interval(level=0.999)
    >>> low < 53800 < high
    True
    """
    check_region("region", region)
    check_region("origin", origin)
    run, where = check_run(workers, executor, checkpoint, progress), check_device(device, system)
    start, dt = check_system(system, x0, dt, seed)
    region, origin = region.with_dim(system.dim), origin.with_dim(system.dim)
    for name, part in (("region", region), ("origin", origin)):
        distance = float(part.signed_distance(start))
        if not distance < 0:
            raise ValueError(f"x0 must lie inside {name}, got {start} at signed distance {distance:.3g}")
    margin = -distance if margin is None else checks.number("margin", margin, above=0)
    _check_surfaces(region, origin, start, margin)
    n_loops = checks.integer("n_loops", n_loops, at_least=0)
    bridge = check_correction(correction) and not system.discrete
    outside = StoppingSet(region.faces, bridge)
    home = StoppingSet((~origin).faces, False)
    surface = StoppingSet((Enlarged(origin.faces, margin),), False)
    kill, shape = check_counts(n_clones, n_kill, n_repeats)
    _, values = reaction_coordinate_and_levels(reaction_coordinate, levels, region.faces, start)
    job = SplittingJob(
        "rare_exit_time", system, start, home, outside, surface, n_loops, reaction_coordinate, values, kill,
        shape[1], shape[0], max_steps_of(t_max, dt), dt, int(seed), where,
    )  # fmt: skip
    split = run_splitting(job, run)
    return RareExitTime(
        probability=probability_of(split, job),
        time_first=dt * np.asarray(split.first),
        time_out=dt * np.asarray(split.out),
        time_back=dt * split.batch.back.numpy(),
        time_reactive=dt * split.batch.reactive.numpy(),
        path_steps=split.tally.path_steps + split.loops.path_steps,
    )


def _check_surfaces(region: OpenSet, origin: OpenSet, start: Array, margin: float) -> None:
    """Refuse an origin, and warn of a surface of loops, that reach out of the region.

    Both are looked at on rays from the start, along the axes and to and from the region's faces.
    """
    at = Coordinates(torch.from_numpy(start)[:, None].unbind(0))
    normals = [[float(n) for n in face.distance_and_normal(at)[1]] for face in region.faces]
    along = np.concatenate([np.eye(len(start)), np.reshape(normals, (-1, len(start)))])
    along = np.concatenate([along, -along])
    for distance, name in ((0.0, "origin"), (margin, "margin")):
        points = start + along * _first_beyond(origin, start, along, distance)[:, None]
        depth = region.signed_distance(np.nan_to_num(points, posinf=0.0, neginf=0.0))
        out = np.isfinite(points).all(axis=1) & (depth > 0)
        if not out.any():
            continue
        place = points[out][0]
        if name == "origin":
            raise ValueError(f"origin must lie inside region, got {origin}, which reaches to {place}")
        warnings.warn(
            f"the surface at margin = {margin:g} from origin reaches out of region, to {place}: paths that "
            "leave there are waited for, as without splitting, which takes long where exits are rare; pass a "
            "smaller margin or origin",
            UserWarning,
            stacklevel=cost.outside(),
        )


def _first_beyond(origin: OpenSet, start: Array, along: Array, distance: float) -> Array:
    """How far rays from a start inside go to a distance from the origin; inf where they never get there."""
    low, high = np.zeros(len(along)), np.full(len(along), -float(origin.signed_distance(start)))

    def inside(t: Array) -> npt.NDArray[np.bool_]:
        return origin.signed_distance(start + along * t[:, None]) < distance

    for _ in range(60):
        on = inside(high)
        low, high = np.where(on, high, low), np.where(on, 2 * high, high)
    endless = inside(high)
    for _ in range(50):
        middle = (low + high) / 2
        on = inside(middle)
        low, high = np.where(on, middle, low), np.where(on, high, middle)
    return np.where(endless, np.inf, high)
