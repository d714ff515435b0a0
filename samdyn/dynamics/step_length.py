"""How long a step may be: the largest rate of a drift, the step of an equation without a learning rate, and
what a step does to a mean exit time.

The Euler-Maruyama chain of a drift with the rate r (the largest modulus of an eigenvalue of its Jacobian,
or of its slopes over the spread of a step where it jumps)
spreads as if its noise were stronger by the factor 1 + r dt/2. Where paths leave against a drift b, across
the boundary, and noise of variance v per unit of time, the barrier that they climb is lower by b^2 dt / 2v
(exact for a linear drift, to first order), and so a mean exit time is shorter by about
1 - exp(-b^2 dt / 2v - r dt/2). That is a measure of size, not a bound:
`samdyn.escape.statistics.extrapolation` extrapolates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.systems.diffusion import Diffusion

SHARE = 0.01  # of the shortest time scale: the default step without a learning rate
MOST_POINTS = 64  # points whose steps are judged, evenly taken from all; chosen
# above, a Jacobian costs more than it tells
MOST_COORDINATES = 64


def largest_rate(system: Diffusion, x: Array) -> float:
    """Largest modulus of the eigenvalues of the drift's Jacobian at points (n, dim), of which at most 64
    are looked at; nan where there is no finite Jacobian at any, or above 64 coordinates.

    Examples
    --------
    >>> import samdyn as sd
    >>> bowl = sd.landscapes.quadratic([[1.0, 0.0], [0.0, 9.0]])
    >>> largest_rate(sd.Diffusion(bowl, sd.GD(), 0.1, sd.GaussianNoise()), np.zeros((1, 2)))
    9.0
    """
    if system.dim > MOST_COORDINATES or not len(x):
        return math.nan
    x = np.atleast_2d(x)
    x = x[np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).astype(int)]
    jacobian = system.jacobian(x)
    usual = np.isfinite(jacobian).all(axis=(1, 2))
    if not usual.any():
        return math.nan
    return float(np.abs(np.linalg.eigvals(jacobian[usual])).max())


def _rate_over_a_step(system: Diffusion, x: Array, dt: float) -> float:
    """The largest rate at points (n, dim), of the drift's slopes over twice the spread of one step.

    A normalised rule's drift turns within any distance of a jump, where its Jacobian says what happens below
    the spread of a step, which no step sees. Elsewhere, and without noise, the slopes are the Jacobian.
    """
    if system.dim > MOST_COORDINATES or not len(x):
        return math.nan
    x = np.atleast_2d(x)
    x = x[np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).astype(int)]
    variance = np.diagonal(system.covariance(x), axis1=-2, axis2=-1)
    spread = np.sqrt(np.maximum(variance, 0.0) * dt)
    if not (spread > 0).all():
        return largest_rate(system, x)
    offsets = spread[:, :, None] * np.eye(system.dim)
    slopes = (system.drift(x[:, None] + offsets) - system.drift(x[:, None] - offsets)) / (
        2 * spread[:, :, None]
    )
    usual = np.isfinite(slopes).all(axis=(1, 2))
    return float(np.abs(np.linalg.eigvals(slopes[usual])).max()) if usual.any() else math.nan


def default_dt(system: Diffusion, x: Array, region: Any = None) -> float:
    """Step of a Diffusion: its lr, or, without one, a hundredth of the shortest time scale of the drift.

    Looked at are the points x (n, dim), and the box as far as it lies in a region.

    Raises
    ------
    ValueError
        The drift has no time scale there: it is constant, or its Jacobian is not finite.
    """
    if system.step_length is not None:
        return float(system.step_length)
    points = [x[:MOST_POINTS]]
    if system.box is not None:
        within = np.random.default_rng(0).uniform(system.box[:, 0], system.box[:, 1], (512, system.dim))
        points.append(within if region is None else within[region.contains(within)])
    rate = max((r for p in points if not math.isnan(r := largest_rate(system, p))), default=0.0)
    if not rate > 0 or not math.isfinite(rate):
        raise ValueError(
            f"dt must be given for {system!r}: it has no learning rate, and its drift has no time scale at x0"
        )
    return SHARE / rate


def step_bias(system: Diffusion, x0: Array, left: Array, dt: float) -> tuple[float, float]:
    """About how much shorter, relatively, a mean exit time comes out with steps dt, and dt times the largest
    rate; nan where the drift has no Jacobian.

    Parameters
    ----------
    system : Diffusion
    x0 : ndarray, shape (n, dim)
        Starts.
    left : ndarray, shape (m, dim)
        Where paths left.
    dt : float

    Examples
    --------
    >>> import samdyn as sd
    >>> sde = sd.Diffusion(sd.landscapes.quadratic([[1.0]]), sd.GD(), 0.1, sd.GaussianNoise(std=2**0.5))
    >>> bias, _ = step_bias(sde, np.zeros((1, 1)), np.ones((1, 1)), 0.01)
    >>> round(bias, 4)
    0.0296
    """
    left = left[np.linspace(0, len(left) - 1, min(len(left), MOST_POINTS)).astype(int)]
    rates = [r for x in (x0, left) if not math.isnan(r := _rate_over_a_step(system, x, dt))]
    if not rates:
        return math.nan, math.nan
    outward = left - x0.mean(axis=0)
    outward = outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-300)
    against = np.maximum(-(system.drift(left) * outward).sum(axis=1), 0.0)
    variance = np.einsum("ni,nij,nj->n", outward, system.covariance(left), outward)
    climbed = np.where(variance > 0, against**2 / np.where(variance > 0, 2 * variance, 1.0), 0.0)
    return 1 - math.exp(-float(climbed.mean()) * dt - max(rates) * dt / 2), max(rates) * dt
