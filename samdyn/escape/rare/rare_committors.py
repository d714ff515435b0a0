"""Rare events by adaptive multilevel splitting: committors out of reach of brute force.

The question is the probability p that a path reaches B before A, where nearly every path returns to A.

Algorithm, for one of `n_repeats` independent repeats
-----------------------------------------------------
1. A reaction coordinate, which grows towards B, is cut into levels. The level of a path is the highest one
   that it attains before it stops in A or B; B itself is the top level.
2. `n_clones` paths run from the start until each stops in A or B. A path keeps the state in which it first
   attained each level.
3. Let Z be the `n_kill`-th lowest level among the clones. All K clones of level at most Z are killed (K
   exceeds `n_kill` where levels tie). The weight, 1 at first, is multiplied by 1 - K / n_clones.
4. Each killed clone is replaced by a survivor, drawn at random: it starts from the state in which that
   survivor first exceeded Z, and goes on with random numbers of its own until it stops.
5. Steps 3 and 4 repeat until Z is the top level, or all clones were killed (the estimate is then 0). The
   estimate of p is the weight times the share of the clones that stopped in B.

The estimate is unbiased for the simulated chain, at any number of clones, levels and kills, with any reaction
coordinate: that holds in discrete time because the kill is by "at most Z", the branching by "exceeds Z" and
the weight by K (Brehier et al.). Only the variance depends on the choices; the best coordinate is a function
of the committor, for which the relative variance of one repeat is about log(1/p) / n_clones.

A step is Euler-Maruyama with the Brownian-bridge test (`samdyn.escape.kernel.crossing`) for A and for B, or
one step of a map. A bridge that touches A or B sends the path to a state of its own, which belongs to the
chain whose probability is estimated; so the bridges remove the bias of order sqrt(dt) and cost nothing in
rigour.

The steps are in `samdyn.escape.rare.stopping`, the iterations in `samdyn.escape.rare.multilevel_splitting`.
Mean exit times made of such probabilities: `samdyn.escape.rare.rare_exits`.

References
----------
Cerou & Guyader, Stochastic Analysis and Applications 25, 417 (2007).
Brehier, Gazeau, Goudenege, Lelievre & Rousset, Annals of Applied Probability 26, 3559 (2016): unbiasedness,
ties and discrete time.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import Executor

import numpy.typing as npt
from torch import Tensor

from samdyn.dynamics.path_job import check_device
from samdyn.escape.rare.reaction_coordinate import reaction_coordinate_and_levels
from samdyn.escape.rare.results import RareProbability
from samdyn.escape.rare.splitting_job import Split, SplittingJob, check_counts, run_splitting
from samdyn.escape.rare.stopping import (
    StoppingSet,
    check_correction,
    check_region,
    check_system,
    max_steps_of,
)
from samdyn.escape.region import OpenSet
from samdyn.jobs.cost import outside
from samdyn.jobs.job import check_run
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


def rare_committor(
    system: Diffusion | Map,
    x0: npt.ArrayLike,
    origin: OpenSet,
    target: OpenSet,
    *,
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
) -> RareProbability:
    """Probability of reaching B before A by adaptive multilevel splitting.

    Parameters
    ----------
    system : Diffusion or Map
        With noise, and without schedules. The step of a Diffusion is Euler-Maruyama.
    x0 : array_like, shape (dim,)
        Start, outside A and B.
    origin, target : Ball, Box, HalfSpace, Region or a combination
        Disjoint; paths stop there.
    reaction_coordinate : callable, optional
        Takes one point, a torch tensor of shape (dim,), and returns a scalar tensor that grows towards B. By
        default minus the distance to B.
    levels : int or array_like
        Values of the reaction coordinate at which paths may branch, increasing. A number means that many from
        x0 to B, evenly spaced, which only the default coordinate has.
    n_clones : int
        Paths of a repeat, >= 2.
    n_kill : int, optional
        Least number of clones killed at a time, below `n_clones`; a tenth of them by default.
    n_repeats : int
        Independent repeats, >= 2, from whose scatter the error comes. Many repeats cost little more than a
        few, since they run together.
    dt : float, optional
        Step of a Diffusion, in time; its lr by default. Not for a Map.
    seed : int
        The random numbers are a function of (seed, path number, step).
    correction : {"bridge", None}
        "bridge": a Diffusion touches A and B within steps too. None: the chain is watched at whole steps.
    t_max : float, optional
        Limit on the time of a path from x0 on (steps of a Map), at least one step; steps that would end after
        it are not taken. By default 1e7 steps.
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
    RareProbability

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of range. Before any work.
    RuntimeError
        A path reached neither A nor B within `t_max`.

    Warns
    -----
    UserWarning
        No clone reached B, or paths diverged.
    CostWarning
        The work will take more than ten seconds, by the time of its first repeats (right to a factor of two
        or three).

    Notes
    -----
    Algorithm: see the module `samdyn.escape.rare.rare_committors`. The estimate is unbiased for the simulated
    chain. A repeat costs about log(1/p) n_clones paths. Where B can be reached along several channels, a poor
    coordinate shows as a few repeats that dominate the mean: compare with another coordinate and more clones.

    References
    ----------
    Cerou & Guyader, Stochastic Analysis and Applications 25, 417 (2007); Brehier et al., Annals of Applied
    Probability 26, 3559 (2016).

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.05, noise=sd.GaussianNoise(std=1.0))
    >>> p = sd.rare_committor(sgd, [-0.9], sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], 0.0), n_repeats=20)
    >>> low, high = p.confidence_interval(level=0.999)
    >>> low < 1.98e-05 < high
    True
    """
    check_region("origin", origin)
    check_region("target", target)
    run, where = check_run(workers, executor, checkpoint, progress), check_device(device, system)
    start, dt = check_system(system, x0, dt, seed)
    origin, target = origin.with_dim(system.dim), target.with_dim(system.dim)
    for name, region in (("origin", origin), ("target", target)):
        distance = float(region.signed_distance(start))
        if not distance > 0:
            raise ValueError(f"x0 must lie outside {name}, got {start} at signed distance {distance:.3g}")
    bridge = check_correction(correction) and not system.discrete
    inner, outer = StoppingSet((~origin).faces, bridge), StoppingSet((~target).faces, bridge)
    kill, shape = check_counts(n_clones, n_kill, n_repeats)
    _, values = reaction_coordinate_and_levels(reaction_coordinate, levels, outer.faces, start)
    job = SplittingJob(
        "rare_committor", system, start, inner, outer, None, 0, reaction_coordinate, values, kill, shape[1],
        shape[0], max_steps_of(t_max, dt), dt, int(seed), where,
    )  # fmt: skip
    return probability_of(run_splitting(job, run), job)


def probability_of(split: Split, job: SplittingJob) -> RareProbability:
    """The result of all repeats."""
    batch, tally = split.batch, split.tally
    estimates = batch.probability.numpy()
    if not estimates.any():
        warnings.warn(
            "no clone reached the target in any repeat, so the estimate is 0: raise n_clones or levels",
            stacklevel=outside(),
        )
    if tally.n_diverged:
        warnings.warn(
            f"{tally.n_diverged} paths diverged and count as not having reached the target: lower dt",
            stacklevel=outside(),
        )
    return RareProbability(
        estimates=estimates,
        iterations=batch.iterations.numpy(),
        n_clones=job.n_clones,
        n_kill=job.n_kill,
        levels=job.levels,
        path_steps=tally.path_steps,
        steps_per_path=float(batch.unsplit.mean()),
        n_diverged=tally.n_diverged,
        dt=job.dt,
        seed=job.seed,
    )
