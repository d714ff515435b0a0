"""Almost-sure stability under sampled batches: the top Lyapunov exponent of the product of random Jacobians.

It is a weaker requirement than stability in mean square, which rare large products can spoil. Random
vectors are multiplied by drawn Jacobians (see `samdyn.rates.random_steps`) and brought back to length one
at every step; the mean of the logarithms is the exponent, its error that of independent replicas.

References
----------
Furstenberg & Kesten (1960) for the exponent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.compute import checks
from samdyn.compute.random_arrays import minibatch_words
from samdyn.rates.random_steps import forces_near, random_steps
from samdyn.systems.map import Map


@dataclass(frozen=True)
class LyapunovEstimate:
    """Top Lyapunov exponent of the product of random Jacobians.

    Attributes
    ----------
    value : float
        Mean growth of the logarithm of a perturbation per step; below 0 the minimum is stable almost surely.
    standard_error : float
        From independent replicas. A product of Jacobians that vanishes has the exponent -inf, and no error.
    """

    value: float
    standard_error: float


def sampling_lyapunov_exponent(
    system: Map, x: npt.ArrayLike | None = None, *, n_steps: int = 2000, n_replicas: int = 200, seed: int = 0
) -> LyapunovEstimate:
    """Top Lyapunov exponent at an interpolating minimum under sampled batches.

    Parameters
    ----------
    system : Map
        A map with `Minibatch` noise.
    x : array_like, shape (dim,), optional
    n_steps, n_replicas, seed : int
        The first tenth of the steps is left out.

    Returns
    -------
    LyapunovEstimate

    Notes
    -----
    Random vectors are multiplied by drawn Jacobians and brought back to length one at every step.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: s[0] * w[0] ** 2 / 2, [[4.0], [2.0]], dim=1)
    >>> sgd = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> estimate = sd.sampling_lyapunov_exponent(sgd, n_steps=500, n_replicas=50)  # exact: log(0.48)/2
    >>> abs(estimate.value + 0.36698) < 4 * estimate.standard_error
    True
    """
    n_steps = checks.integer("n_steps", n_steps, at_least=10)
    n_replicas = checks.integer("n_replicas", n_replicas, at_least=2)
    steps = random_steps(system, x).within(forces_near(system, x).moving())
    bounds = np.round(np.cumsum(steps.probability) / steps.probability.sum() * 2.0**32)
    size = steps.jacobians.shape[1]
    vectors = np.random.default_rng(seed).standard_normal((n_replicas, size))
    if not size:
        return LyapunovEstimate(-np.inf, 0.0)
    growth = np.zeros(n_replicas)
    start = n_steps // 10
    for block in range(-(-n_steps // 4)):
        words = minibatch_words(seed, np.arange(n_replicas), block, 1)[0]
        for j in range(min(4, n_steps - 4 * block)):
            index = np.minimum(np.searchsorted(bounds, words[j].astype(float), side="right"), len(bounds) - 1)
            vectors = np.matmul(steps.jacobians[index], vectors[:, :, None])[:, :, 0]
            length = np.linalg.norm(vectors, axis=1)
            with np.errstate(
                divide="ignore"
            ):  # a step that takes a vector to zero takes its logarithm to -inf
                growth += np.where((4 * block + j >= start) | (length == 0), np.log(length), 0.0)
            vectors /= np.where(length > 0, length, 1.0)[:, None]
    if not np.isfinite(growth).all():
        return LyapunovEstimate(-np.inf, 0.0)
    per_step = growth / (n_steps - start)
    return LyapunovEstimate(float(per_step.mean()), float(per_step.std(ddof=1) / n_replicas**0.5))
