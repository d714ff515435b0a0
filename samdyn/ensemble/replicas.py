"""Many replicas of one system, step after step, with something looked at on the way.

Unlike the compiled ensemble of exit times, this loop draws batches of a finite sum as well as normal numbers,
takes coefficients that differ from replica to replica, and stays in numpy. Replicas go in tiles that fit the
cache; the random numbers of several steps are made at once. What a step is, `build_replica_step` chooses:

- `SquaresStep` (`samdyn.ensemble.squares_step`): least squares and ridge regression in closed form;
- `BatchStep` (`samdyn.ensemble.batch_step`): batches of any components;
- `PointStep` (`samdyn.ensemble.point_step`): networks, noiseless or with Gaussian noise;
- `NormalStep` (`samdyn.ensemble.normal_step`): noiseless maps, Gaussian noise, diffusions.

Words belong to (seed, path, step): a replica's path does not depend on the tile or on the other replicas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from samdyn.compute.checks import Array
from samdyn.compute.random import standard_normal
from samdyn.compute.random_arrays import minibatch_words
from samdyn.ensemble.batch_step import MAX_TRACED_INPUTS, BatchStep
from samdyn.ensemble.normal_step import NormalStep
from samdyn.ensemble.point_step import PointStep
from samdyn.ensemble.replica_step import Coefficients, ReplicaStep
from samdyn.ensemble.squares_step import SquaresStep
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.sampling import Sampler

System: TypeAlias = Map | Diffusion
Observer: TypeAlias = Callable[[int, slice, Array], None]

TILE_VALUES = 1 << 17
MAX_TILE = 1 << 14
CHUNK_VALUES = 1 << 15
REPORT_WORK = 1 << 13
"""Replica-steps between reports of progress."""


def build_replica_step(system: System) -> ReplicaStep:
    """The fastest step of a system: see the module's docstring.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [1.0, 1.0])
    >>> batches = sd.Map(loss, sd.SAM(0.1), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> type(build_replica_step(batches)).__name__
    'BatchStep'
    """
    if not isinstance(system, Map) or not isinstance(system.noise, Minibatch):
        if isinstance(system, Map) and system.landscape is not None and not system.landscape.traceable:
            return PointStep(system)
        return NormalStep(system)
    loss, noise = system.landscape, system.noise
    assert isinstance(loss, FiniteSum)
    plain = noise.micro_batch in (None, noise.batch_size)
    inputs = noise.batch_size * (system.dim + 1) * (2 if noise.probe == "independent" else 1)
    if plain and (system.dim > 8 or inputs > MAX_TRACED_INPUTS // 2) and loss.squares is not None:
        return SquaresStep(system)
    return BatchStep(system)


def run_replicas(
    system: System,
    state: Array,
    n_steps: int,
    at: npt.NDArray[np.int64],
    observe: Observer,
    *,
    seed: int = 0,
    paths: npt.NDArray[np.int64] | None = None,
    coefficients: Callable[[int], Coefficients] | None = None,
    report: Callable[[int], None] | None = None,
) -> Array:
    """Move replicas and show them to an observer.

    Parameters
    ----------
    system : Map or Diffusion
    state : ndarray, shape (n, state_dim)
        Where they start.
    n_steps : int
    at : ndarray of int
        Steps, in increasing order from 0 to n_steps, after which the observer is called.
    observe : callable
        ``observe(record, replicas, points)`` gets the record's number, the slice of replicas of the tile, and
        their points (n_tile, dim), to be copied if kept.
    seed : int
    paths : ndarray of int, shape (n,), optional
        Path numbers of the replicas; 0, 1, 2, ... by default.
    coefficients : callable, optional
        Step to the coefficients, numbers or arrays (n,); the system's by default. It is called for every step
        only if the system is scheduled.
    report : callable, optional
        ``report(work)`` gets the replica-steps that were done since it was called before.

    Returns
    -------
    ndarray, shape (n, dim)
        The last points.
    """
    stepper = build_replica_step(system)
    values = coefficients or system.coefficients
    paths = np.arange(len(state)) if paths is None else paths
    tile = int(np.clip(TILE_VALUES // state.shape[1], 256, MAX_TILE))
    final = np.empty((len(state), system.dim))
    for start in range(0, len(state), tile):
        part = slice(start, min(start + tile, len(state)))
        with np.errstate(all="ignore"):
            final[part] = _run_tile(
                stepper,
                state[part],
                n_steps,
                at,
                observe,
                seed,
                paths[part],
                part,
                values,
                system.scheduled,
                report,
            )
    return final


def _run_tile(
    stepper: ReplicaStep,
    state: Array,
    n_steps: int,
    at: npt.NDArray[np.int64],
    observe: Observer,
    seed: int,
    paths: npt.NDArray[np.int64],
    part: slice,
    values: Callable[[int], Coefficients],
    scheduled: bool,
    report: Callable[[int], None] | None,
) -> Array:
    n = len(state)
    loaded = stepper.load(state)
    samplers = [s for s in (stepper.sampler, stepper.ascent_sampler) if s is not None]
    n_draws = sum(s.n_draws for s in samplers)
    per_step = n * max(1, n_draws, stepper.n_normals)
    chunk = 4 * max(1, CHUNK_VALUES // per_step)
    every = max(1, REPORT_WORK // n)
    of_tile = _slice(values(0), part)
    record = 0
    random: Any = np.empty((n, 0))
    drawn: Any = None
    if len(at) and at[0] == 0:
        observe(0, part, stepper.points(loaded))
        record = 1
    upcoming = int(at[record]) if record < len(at) else -1
    for step in range(n_steps):
        if step % chunk == 0 and (samplers or stepper.n_normals):
            drawn = _draw(stepper, samplers, seed, paths, step, min(chunk, n_steps - step))
        if drawn is not None:
            random = drawn[step % chunk]
        if report is not None and step % every == 0 and step:
            report(n * every)
        if scheduled:
            of_tile = _slice(values(step), part)
        loaded = stepper.advance(loaded, random, of_tile)
        if step + 1 == upcoming:
            observe(record, part, stepper.points(loaded))
            record += 1
            upcoming = int(at[record]) if record < len(at) else -1
    if report is not None:
        report(n * ((n_steps - 1) % every + 1))
    return stepper.points(loaded)


def _slice(coefficients: Coefficients, part: slice) -> Coefficients:
    return {name: value[part] if np.ndim(value) else value for name, value in coefficients.items()}


def _draw(
    stepper: ReplicaStep,
    samplers: list[Sampler],
    seed: int,
    paths: npt.NDArray[np.int64],
    step: int,
    n_steps: int,
) -> Any:
    """The random numbers of some steps from one that is a multiple of 4."""
    n = len(paths)
    if not samplers:
        return standard_normal(seed, paths, np.arange(step, step + n_steps)[:, None], stepper.n_normals)
    blocks = np.arange(step // 4, -(-(step + n_steps) // 4))
    n_draws = sum(s.n_draws for s in samplers)
    words = minibatch_words(seed, paths[None, :], blocks[:, None], n_draws)  # (draws, 4, blocks, n)
    size = 4 * len(blocks) * n
    flat = np.ascontiguousarray(words.swapaxes(1, 2)).reshape(n_draws, size)
    index, used = [], 0
    for sampler in samplers:
        index.append(sampler.draw(flat[used : used + sampler.n_draws], size))
        used += sampler.n_draws
    together = np.concatenate(index).reshape(-1, 4 * len(blocks), n)
    return np.ascontiguousarray(together.swapaxes(0, 1))
