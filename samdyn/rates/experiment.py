"""Convergence experiments: many replicas of an optimiser, what they come down to, and how fast.

`convergence` moves all replicas of all settings of a sweep together and records, along the way, the gap
f(x) - f*, the norm of the gradient and the distance from the minimisers. Settings that differ in numbers of
the rule or in lr share the ensemble, with a value for each replica; others (batch size, momentum, schedules,
parameters of the loss) make groups that run after each other. Replica i sees the random numbers of path i in
every setting: settings are compared on the same batches, and one setting's curves do not depend on others.
How replicas are moved and watched, in pieces that may run on workers, is in `samdyn.rates.replicas`.

What happens in the long run is reported as a limit set and not by the last iterate alone: see
`samdyn.rates.observation`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.job import check_run, joined, run_job
from samdyn.jobs.job_sequence import JobsInTurn
from samdyn.jobs.progress import path_bar
from samdyn.landscapes.finite_sum import FiniteSum, Minimum
from samdyn.numerics.random import split_seed
from samdyn.numerics.scales import ROUNDING, length_scale
from samdyn.rates.curves import KINDS, QUANTITIES, Convergence
from samdyn.rates.replicas import DESCRIBED, ReplicaJob
from samdyn.rates.settling import gap_of_mean, relaxation
from samdyn.rules.schedules import Coefficient
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


@checked
def convergence(
    system: Map | Diffusion,
    x0: npt.ArrayLike,
    n_steps: int,
    n_paths: int = 1,
    *,
    record: Sequence[str] = QUANTITIES,
    parameters: Mapping[str, Sequence[Coefficient]] | None = None,
    minimum: npt.ArrayLike | None = None,
    times: Sequence[int] | None = None,
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Convergence:
    """Move many replicas of an optimiser and record how they converge.

    Parameters
    ----------
    system : Map or Diffusion
        A diffusion moves in Euler-Maruyama steps of length lr.
    x0 : array_like, shape (dim,) or (n_paths, dim)
        Starts.
    n_steps : int
    n_paths : int
        Replicas of each setting.
    record : sequence of str
        Among "gap", "gradient_norm" and "distance".
    parameters : dict of str to sequence, optional
        Parameters of the system and their values; every combination is a setting.
    minimum : array_like, shape (dim,) or (k, dim), optional
        The minimisers that gap and distance refer to. By default those that the loss knows
        (`FiniteSum.minimum`, or its critical points), else a local minimum found from the first start.
    times : sequence of int, optional
        Steps at which to record; by default about 60 in even ratios, and 64 evenly over the second half, or
        up to 512 with few replicas.
    seed : int
    workers : int
        Number of local workers: threads where the steps are compiled, else processes. The result is the same
        with any number.
    executor : concurrent.futures.Executor, optional
        Where to run instead.
    checkpoint : str or path, optional
        A file that holds the finished pieces of the job: written every 30 s, after Ctrl-C and at the end. If
        it exists, the job goes on from it, to the same result as in one go.
    progress : bool
        Show a bar.

    Returns
    -------
    Convergence

    Raises
    ------
    TypeError, ValueError
        Before any work: a system without a loss, starts of the wrong shape, a quantity or parameter that does
        not exist, a value out of range, a checkpoint that is damaged or of another job, a job that cannot be
        sent to workers.

    Notes
    -----
    See `samdyn.rates.experiment`, and `samdyn.rates.settling` for what is called a plateau.
    Gaps of quadratic finite sums are computed from the distance to the minimiser and so have no floor of
    rounding. Memory: three numbers for each record, replica and setting.

    Warns
    -----
    CostWarning
        Before work of more than ten seconds, by the time of the first steps.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [1.0, 1.0])
    >>> sgd = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> result = sd.convergence(sgd, [2.0], n_steps=2000, n_paths=200, parameters={"lr": [0.05, 0.1]})
    >>> exact = [sd.stationary_law(sgd.with_parameters(lr=lr)).gap for lr in (0.05, 0.1)]
    >>> estimates = [result.plateau("gap", i) for i in (0, 1)]
    >>> [abs(e.value - g) < 4 * e.standard_error for e, g in zip(estimates, exact)]
    [True, True]
    """
    run = check_run(workers, executor, checkpoint, progress)
    starts, n_steps, settings, systems = _checked(system, x0, n_steps, n_paths, record, parameters)
    split_seed(seed)
    n_replicas, dim = len(starts), system.dim
    steps = _times(n_steps, n_replicas) if times is None else _given_times(times, n_steps)
    references = [_minimisers(s.landscape, minimum, starts[0]) for s in systems]
    shape = (len(settings), len(steps), n_replicas)
    curves = {q: np.full(shape if q in record else (shape[0], 0, shape[2]), np.nan) for q in QUANTITIES}
    final = np.empty((len(settings), n_replicas, dim))
    centre, extent = np.empty_like(final), np.empty(final.shape[:2])
    kind, period = np.zeros(final.shape[:2], np.int64), np.zeros(final.shape[:2], np.int64)
    noisy = system.noise is not None
    rests = np.full((len(settings), 3), np.nan)
    groups = list(_groups(system, settings).values())
    jobs = [
        ReplicaJob(
            systems[members[0]], starts, n_replicas, n_steps, int(seed),
            settings=tuple(systems[m] for m in members), reference=references[members[0]], steps=steps,
            record=tuple(q for q in QUANTITIES if q in record), noisy=noisy,
        )
        for members in groups
    ]  # fmt: skip
    job = JobsInTurn(tuple(jobs))
    cheaper = "pass fewer n_steps or n_paths, or workers="
    with path_bar(progress, "convergence", job.work(0, job.n), cheaper, "replica-step") as bar:
        parts = run_job(job, run, bar)
    for members, part in zip(groups, job.split(parts), strict=True):
        owner, replica = np.repeat(members, n_replicas), np.tile(np.arange(n_replicas), len(members))
        for q in jobs[0].record:
            curves[q][owner, :, replica] = joined(part, q, axis=1).T
        for name, target in zip(DESCRIBED, (kind, period, centre, extent, final), strict=True):
            target[owner, replica] = joined(part, name)
    for i, (one, reference) in enumerate(zip(systems, references, strict=True)):
        if noisy:
            rests[i] = *relaxation(one, reference[0], final[i]), _bias(one, final[i], reference)
    result = Convergence(
        steps,
        curves["gap"],
        curves["gradient_norm"],
        curves["distance"],
        final,
        kind,
        period,
        centre,
        extent,
        references[0][0],
        references[0][1],
        [{k: v if not callable(v) else repr(v) for k, v in s.items()} for s in settings],
        system.name,
        seed,
        noisy,
        rests,
    )
    if noisy:
        for i in range(len(settings)):
            _decide(result, i)
    return result


def _decide(result: Convergence, setting: int) -> None:
    """Name the bounded sets of a noisy setting by what its curves say of them."""
    states = [result.plateau(q, setting).state for q in QUANTITIES if getattr(result, q).shape[1]]
    worst = "moving" if "moving" in states else "undecided" if "undecided" in states or not states else ""
    bounded = result.kind[setting] == KINDS.index("bounded set")
    if worst:
        result.kind[setting, bounded] = KINDS.index(worst)


def _bias(system: Any, final: Array, reference: tuple[Array, float]) -> float:
    """The gap that the mean of the last points has; 0 where the rule leaves the mean of batches unbiased."""
    unperturbed = system.rule is not None and not system.rule.perturbs
    if unperturbed and getattr(system.noise, "reweight", True):
        return 0.0
    with np.errstate(all="ignore"):
        return gap_of_mean(system.landscape, final, reference[1])


def _checked(
    system: Any, x0: Any, n_steps: Any, n_replicas: Any, record: Any, sweep: Any
) -> tuple[Array, int, list[dict[str, Any]], list[Any]]:
    if not isinstance(system, Map | Diffusion):
        raise TypeError(f"system must be a Map or a Diffusion, got {system!r}")
    if system.landscape is None:
        raise ValueError(f"system must be made from a loss and a rule, got {system!r}")
    n_steps = checks.integer("n_steps", n_steps, at_least=1)
    n_replicas = checks.integer("n_paths", n_replicas, at_least=1)
    starts = checks.points("x0", x0, system.dim)
    if starts.ndim > 2 or (starts.ndim == 2 and len(starts) != n_replicas):
        raise ValueError(
            f"x0 must have shape ({system.dim},) or ({n_replicas}, {system.dim}), got {starts.shape}"
        )
    if isinstance(record, str) or not isinstance(record, Iterable):
        raise TypeError(f"record must be a sequence of names such as ('gap',), got {record!r}")
    sweep = {} if sweep is None else sweep
    if not isinstance(sweep, Mapping):
        raise TypeError(f'parameters must be a dict such as {{"rho": [0.1, 0.2]}}, got {sweep!r}')
    for name in record:
        if name not in QUANTITIES:
            raise ValueError(f"record must hold {', '.join(map(repr, QUANTITIES))} only, got {name!r}")
    names = list(sweep)
    for name in names:
        if name not in system.parameters:
            raise ValueError(
                f"parameters must name some of the system ({', '.join(system.parameters)}), got {name!r}"
            )
        if isinstance(sweep[name], str) or not np.iterable(sweep[name]) or not len(sweep[name]):
            raise ValueError(f"parameters must hold a sequence of values for {name!r}, got {sweep[name]!r}")
    combinations = itertools.product(*(sweep[name] for name in names)) if names else [()]
    settings = [
        {k: float(v) if isinstance(v, np.floating) else v for k, v in zip(names, c, strict=True)}
        for c in combinations
    ]
    systems = [system.with_parameters(**s) if s else system for s in settings]
    return np.broadcast_to(starts, (n_replicas, system.dim)), n_steps, settings, systems


def _groups(system: Any, settings: list[dict[str, Any]]) -> dict[Any, list[int]]:
    """Settings that can share an ensemble: those that differ in numbers of the rule or lr only."""
    shared = {*system.rule.coefficient_names, "lr"}
    groups: dict[Any, list[int]] = {}
    for i, setting in enumerate(settings):
        own = tuple((k, repr(v)) for k, v in setting.items() if k not in shared or callable(v))
        groups.setdefault(own, []).append(i)
    return groups


def _times(n_steps: int, n_replicas: int) -> npt.NDArray[np.int64]:
    ratios = np.unique(np.round(np.geomspace(1, n_steps, 60)).astype(np.int64))
    # one curve has its error from its own course, and so needs more points than many curves
    count = int(np.clip(2048 // n_replicas, 64, 512))
    even = np.round(np.linspace(n_steps / 2, n_steps, count)).astype(np.int64)
    even[:-1] += np.arange(count - 1) % 2  # both sides of a 2-cycle
    return np.unique(np.concatenate([[0], ratios, np.minimum(even, n_steps)]))


def _given_times(times: Sequence[int], n_steps: int) -> npt.NDArray[np.int64]:
    if isinstance(times, str) or not isinstance(times, Iterable) or np.ndim(times) == 0:
        raise TypeError(f"times must be a sequence of steps, got {times!r}")
    steps = np.unique([checks.integer("times", t, at_least=0) for t in times])
    if not len(steps) or steps[-1] > n_steps:
        raise ValueError(f"times must be steps from 0 to n_steps={n_steps}, got {list(times)!r}")
    return np.asarray(steps, dtype=np.int64)


def _minimisers(loss: Any, given: Any, start: Array) -> tuple[Array, float]:
    if given is not None:
        points = np.atleast_2d(checks.points("minimum", given, loss.dim))
        if len(points) == 0:
            raise ValueError("minimum must be at least one point, got none")
        return points, float(loss.value(points).min())
    if isinstance(loss, FiniteSum):
        best: Minimum = loss.minimum(start)
        return best.x[None], best.value
    known = [point.x for point in loss.critical_points if point.kind == "minimum"]
    if known:
        points = np.array(known)
        values = loss.value(points)
        # heights are told apart next to what the curvature makes of the problem's length
        steepness = np.abs(np.nan_to_num(loss.hessian(points))).max()
        unit = steepness * float(length_scale(loss.box, points[0])) ** 2
        lowest = values <= values.min() + 1e-12 * unit + ROUNDING * abs(values.min())
        return points[lowest], float(values.min())
    from scipy.optimize import minimize

    # in units of the problem's length and of its first gradient: the tolerance is an absolute one
    length, origin = float(length_scale(loss.box, start)), np.asarray(start, dtype=np.float64)
    steepness = float(np.abs(loss.gradient(origin)).max()) or 1.0

    def height(y: Array) -> tuple[float, Array]:
        w = origin + length * y
        return float(loss.value(w) - lowest) / (length * steepness), loss.gradient(w) / steepness

    lowest = float(loss.value(origin))
    found = origin + length * minimize(height, np.zeros(len(origin)), jac=True, tol=1e-14).x
    return found[None], float(loss.value(found))
