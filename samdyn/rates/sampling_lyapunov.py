"""Almost-sure stability under sampled batches: the top Lyapunov exponent of the product of random Jacobians.

It is a weaker requirement than stability in mean square, which rare large products can spoil. The batches are
drawn as the algorithm draws them, whatever their number, and two random vectors are carried along by the
Jacobians of every replica, the second kept orthogonal to the first: both are brought back to length one at
every step, and the means of the logarithms are the first two exponents.

The error has two parts: the scatter of independent replicas, and the bias from a first vector that has not
turned into the leading direction. With D the difference of the two logarithmic growths of a replica, of mean
m and standard deviation s over the replicas, the bias of the sum is about s E(Z - m/s)^+ with Z standard
normal, and at most about m/2 where m/s is small and the two exponents are not seen to differ. It is added in
quadrature.

References
----------
Furstenberg & Kesten (1960) for the exponent; Benettin et al., Meccanica 15 (1980) 9, for the vectors. The
bias: derived, checked numerically.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.draws import BatchDraws
from samdyn.dynamics.system_description import describe_system
from samdyn.jobs.job import Arrays, Job, Report, check_run, joined, run_job
from samdyn.jobs.progress import path_bar
from samdyn.rates.affine_steps import components_near, forces_near, ingredients, moment_radius, whole_near
from samdyn.rates.fits import Estimate, widened
from samdyn.systems.batch_samplers import Index, Sampler
from samdyn.systems.map import Map

SEPARATED = 2.5
"""Standard deviations by which the growths of two vectors differ where their exponents are seen to differ."""


@dataclass(frozen=True, eq=False, repr=False)
class LyapunovEstimate(Estimate):
    """Top Lyapunov exponent of the product of random Jacobians.

    Attributes
    ----------
    value : float
        Mean growth of the logarithm of a perturbation per step; below 0 the minimum is stable almost surely.
    standard_error : float
        From independent replicas, with `bias` in quadrature. A product of Jacobians that vanishes has the
        exponent -inf, and no error.
    degrees : float
        Of freedom: see `Estimate`.
    bias : float
        What a direction that has not settled in the leading one may have added, about: see
        `samdyn.rates.sampling_lyapunov`.
    """

    bias: float = 0.0


@checked
def sampling_lyapunov_exponent(
    system: Map,
    x: checks.PointLike | None = None,
    *,
    n_steps: int = 2000,
    n_paths: int = 200,
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> LyapunovEstimate:
    """Top Lyapunov exponent at an interpolating minimum under sampled batches.

    Parameters
    ----------
    system : Map
        A map with `Minibatch` noise.
    x : array_like, shape (dim,), optional
        The point; the minimiser by default.
    n_steps, n_paths, seed : int
        The first tenth of the steps is left out.
    workers : int
        Number of local processes; the result is the same with any number.
    executor : concurrent.futures.Executor, optional
        Where to run instead.
    checkpoint : str or path, optional
        A file that holds the finished pieces of the job: written every 30 s, after Ctrl-C and at the end. If
        it exists, the job goes on from it, to the same result as in one go.
    progress : bool
        Show a bar over steps of replicas.

    Returns
    -------
    LyapunovEstimate

    Warns
    -----
    CostWarning
        Before work of more than ten seconds, by the time of the first steps.

    Notes
    -----
    Random vectors are multiplied by drawn Jacobians and brought back to length one at every step: see
    `samdyn.rates.sampling_lyapunov`, for the error too.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: s[0] * w[0] ** 2 / 2, [[4.0], [2.0]], dim=1)
    >>> sgd = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> estimate = sd.sampling_lyapunov_exponent(sgd, n_steps=500, n_paths=50)  # exact: log(0.48)/2
    >>> abs(estimate.value + 0.36698) < 4 * estimate.standard_error
    True
    """
    n_steps = checks.integer("n_steps", n_steps, at_least=10)
    n_replicas = checks.integer("n_paths", n_paths, at_least=2)
    run = check_run(workers, executor, checkpoint, progress)
    seed = checks.seed("seed", seed)
    basis = forces_near(system, x).moving()
    if not basis.shape[1]:
        return LyapunovEstimate(-np.inf, 0.0)
    start = n_steps // 10
    job = _TangentJob(
        system, None if x is None else np.asarray(x, dtype=np.float64), n_steps, n_replicas, seed
    )
    cheaper = "pass fewer n_steps or n_paths, or workers="
    with path_bar(progress, "sampling_lyapunov_exponent", n_replicas * float(n_steps), cheaper) as bar:
        growth = joined(run_job(job, run, bar), "growth")
    n_vectors = growth.shape[1]
    if not np.isfinite(growth[:, 0]).all():
        return LyapunovEstimate(-np.inf, 0.0)
    steps = n_steps - start
    error = float(growth[:, 0].std(ddof=1)) / n_replicas**0.5
    error = max(error, float(np.finfo(float).eps * np.abs(growth[:, 0]).mean()))  # rounding of the sums
    bias = _bias(growth[:, 0] - growth[:, 1]) if n_vectors == 2 else 0.0
    degrees = n_replicas - 1.0
    return LyapunovEstimate(
        float(growth[:, 0].mean()) / steps,
        math.hypot(widened(error, degrees), bias) / steps,
        degrees,
        bias / steps,
    )


@dataclass(frozen=True)
class _TangentJob(Job):
    """Tangent vectors of independent replicas.

    Attributes
    ----------
    system : Map
    x : ndarray, shape (dim,), or None
    n_steps, n_replicas, seed : int
    """

    system: Map
    x: Array | None
    n_steps: int
    n_replicas: int
    seed: int

    @property
    def n(self) -> int:
        """The replicas."""
        return self.n_replicas

    def work(self, first: int, last: int) -> float:
        """Steps of replicas."""
        return (last - first) * float(self.n_steps)

    def describe(self) -> dict[str, Any]:
        """The system, the point and the number of replicas."""
        x = np.zeros((1, self.system.dim)) if self.x is None else self.x[None]
        own = {
            "verb": "sampling_lyapunov_exponent",
            "n_replicas": self.n_replicas,
            "given": self.x is not None,
        }
        return {**own, **describe_system(self.system, x, self.n_steps, self.seed)}

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """Logarithmic growth (n, n_vectors) of the vectors of some replicas after the first tenth."""
        force, samplers = _forces(self.system, self.x)
        basis = forces_near(self.system, self.x).moving()
        lr, momentum = self.system.coefficients()["lr"], self.system.momentum
        size, start = basis.shape[1], self.n_steps // 10
        rng = np.random.default_rng(self.seed)
        every = rng.standard_normal((self.n_replicas, size, min(2, size)))
        positions = every[first:last]
        velocities = rng.standard_normal(every.shape)[first:last] if momentum else np.zeros_like(positions)
        growth = np.zeros((last - first, min(2, size)))
        draws = BatchDraws(samplers, np.empty((0, samplers[0].n)), by_index=True)
        ends = np.cumsum([sampler.batch_size for sampler in samplers])[:-1]
        for block in range(-(-self.n_steps // 4)):
            drawn = draws.indices(self.seed, np.arange(first, last), np.array(block))
            for j in range(min(4, self.n_steps - 4 * block)):
                index = np.split(drawn[:, j], ends)
                velocities = momentum * velocities + basis.T @ force(basis @ positions, index)
                positions = positions - lr * velocities
                lengths = _orthonormal(positions, velocities if momentum else None)
                # a step that takes a vector to zero: the logarithm is -inf
                with np.errstate(divide="ignore"):
                    counts = (4 * block + j >= start) | (lengths == 0)
                    growth += np.where(counts, np.log(lengths), 0.0)
            report((last - first) * min(4, self.n_steps - 4 * block))
        return {"growth": growth}


def _forces(
    system: Map, x: npt.ArrayLike | None
) -> tuple[Callable[[Array, list[Index]], Array], list[Sampler]]:
    """F v of drawn batches for vectors (n, dim, k), and what draws the batches."""
    loss, noise, rule = ingredients(system)
    radius, sampler = moment_radius(rule), noise.sampler(loss)
    probe = "full" if radius == 0 else noise.probe
    squares, (whole, _) = loss.squares, whole_near(loss, x)
    hessians = components_near(loss, x)[0] if squares is None else np.empty(0)

    def mean(index: Index, v: Array) -> Array:
        total = np.zeros_like(v)
        for place in index:  # over the places in a batch
            weight = sampler.weights[place, None, None] / len(index)
            if squares is None:
                total += weight * (hessians[place] @ v)
                continue
            rows = squares.rows[place]
            along = np.einsum("nd,ndk->nk", rows, v)
            total += weight * (rows[:, :, None] * along[:, None, :] + squares.ridge[place, None, None] * v)
        return total

    def force(v: Array, index: list[Index]) -> Array:
        if probe == "full":
            return mean(index[0], v + radius * (whole @ v) if radius else v)
        if probe == "independent":
            return mean(index[0], v + radius * mean(index[1], v))
        micro = noise.micro_batch or noise.batch_size
        parts = [index[0][i : i + micro] for i in range(0, noise.batch_size, micro)]
        return np.asarray(sum(mean(part, v + radius * mean(part, v)) for part in parts) / len(parts))

    return force, [sampler, sampler] if probe == "independent" else [sampler]


def _orthonormal(positions: Array, velocities: Array | None) -> Array:
    """Bring the vectors of the state to length one, the second orthogonal to the first, in place: lengths."""
    parts = [positions] if velocities is None else [positions, velocities]
    lengths = np.empty((len(positions), positions.shape[2]))
    for k in range(positions.shape[2]):
        if k:
            along = sum(np.vecdot(part[:, :, 0], part[:, :, 1]) for part in parts)
            for part in parts:
                part[:, :, 1] -= along[:, None] * part[:, :, 0]
        lengths[:, k] = np.sqrt(sum(np.vecdot(part[:, :, k], part[:, :, k]) for part in parts))
        for part in parts:
            part[:, :, k] /= np.where(lengths[:, k] > 0, lengths[:, k], 1.0)[:, None]
    return lengths


def _bias(difference: Array) -> float:
    """What the growth of a vector outside the leading direction may have added to a replica, about."""
    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        return 0.0
    middle, spread = float(difference.mean()), float(difference.std(ddof=1))
    apart = middle / spread if spread > 0 else math.inf
    if not apart > SEPARATED:
        return abs(middle) / 2
    return spread * float(norm.pdf(apart) - apart * norm.sf(apart)) if spread > 0 else 0.0
