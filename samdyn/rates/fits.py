"""Plateaus, rates and scaling exponents from curves of many replicas, each with its standard error.

- Plateau: mean over the tail of the curves. The error is that of the replicas' own tail means; with one
  replica that of eight consecutive blocks.
- Rates: least squares on the logarithm of the mean curve, against t (exponential) or log t (power law). The
  error is a jackknife over at most 20 groups of replicas, since the points of one curve are not independent;
  with one replica it is that of the regression, and only an orientation.
- Scaling: least squares of log plateau on log parameter, weighted by the plateaus' errors where they have
  any, with the error from the scatter about the line if that is larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student

from samdyn.compute import checks
from samdyn.compute.checks import Array

GROUPS = 20
BLOCKS = 8
LEAST_ERROR = 1e-6  # relative; rounding should not decide how points are weighted


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error.

    Attributes
    ----------
    value : float
    standard_error : float
        1.96 of them are half the interval that covers in 95 % of experiments: where the error itself comes
        from few replicas, groups or blocks, it is widened by Student's t (`widened`). nan where the data say
        nothing about it.
    degrees : float
        Degrees of freedom of the error; inf where it is known.

    Examples
    --------
    >>> low, high = Estimate(1.0, 0.1).interval()
    >>> round(low, 3), round(high, 3)
    (0.804, 1.196)
    """

    value: float
    standard_error: float
    degrees: float = math.inf

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval that covers the true value in a share `level` of experiments; nan where unknown."""
        if not 0 < checks.number("level", level) < 1:
            raise ValueError(f"level must be a number in (0, 1), got {level!r}")
        half = (
            self.standard_error
            / widened(1.0, self.degrees)
            * float(student.ppf((1 + level) / 2, self.degrees))
        )
        return self.value - half, self.value + half

    def __repr__(self) -> str:
        if math.isnan(self.standard_error):
            return f"{self.value:.6g} (error unknown)"
        return f"{self.value:.6g} ± {self.standard_error:.2g}"


def widened(error: float, degrees: float) -> float:
    """A standard error from few observations, so that 1.96 of it are half the 95 % interval.

    Examples
    --------
    >>> round(widened(1.0, 7), 3), round(widened(1.0, 1000), 3)
    (1.206, 1.001)
    """
    if not degrees < math.inf:
        return error
    return error * float(student.ppf(0.975, degrees) / norm.ppf(0.975))


def plateau(curves: npt.ArrayLike) -> Estimate:
    """Mean of the tail of curves.

    Parameters
    ----------
    curves : array_like, shape (n_times, n_replicas)
        The tail, at evenly spaced times.

    Examples
    --------
    >>> plateau([[1.0, 2.0], [1.0, 2.0]])
    1.5 ± 0.5
    """
    values = np.asarray(curves, dtype=np.float64)
    n_times, n = values.shape
    if n > 1:
        means = values.mean(axis=0)
        return Estimate(float(means.mean()), float(means.std(ddof=1) / math.sqrt(n)))
    if n_times < BLOCKS:
        return Estimate(float(values.mean()), math.nan)
    blocks = np.array([block.mean() for block in np.array_split(values[:, 0], BLOCKS)])
    return Estimate(float(values.mean()), float(blocks.std(ddof=1) / math.sqrt(BLOCKS)))


def exponential_rate(steps: npt.ArrayLike, curves: npt.ArrayLike) -> Estimate:
    """The rate r of exp(-r t) in the mean of curves.

    Parameters
    ----------
    steps : array_like, shape (n_times,)
    curves : array_like, shape (n_times, n_replicas)
        Positive.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(50)
    >>> round(exponential_rate(t, np.exp(-0.25 * t)[:, None]).value, 12)
    0.25
    """
    t = np.asarray(steps, dtype=np.float64)
    return _jackknife(np.asarray(curves, dtype=np.float64), lambda mean: _slope(t, np.log(mean)), -1.0)


def power_rate(steps: npt.ArrayLike, curves: npt.ArrayLike) -> Estimate:
    """The exponent p of t^-p in the mean of curves.

    Parameters
    ----------
    steps : array_like, shape (n_times,)
        Above 0.
    curves : array_like, shape (n_times, n_replicas)
        Positive.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(1, 50)
    >>> round(power_rate(t, 3 * t[:, None] ** -2.0).value, 12)
    2.0
    """
    t = np.log(np.asarray(steps, dtype=np.float64))
    return _jackknife(np.asarray(curves, dtype=np.float64), lambda mean: _slope(t, np.log(mean)), -1.0)


def scaling_exponent(parameter: npt.ArrayLike, estimates: Sequence[Estimate]) -> Estimate:
    """The exponent s in estimate ~ parameter^s.

    Parameters
    ----------
    parameter : array_like, shape (n,)
        Above 0, at least two values.
    estimates : sequence of Estimate
        Positive.

    Raises
    ------
    ValueError
        A value that is not finite and > 0, or a parameter with one value only.

    Examples
    --------
    >>> scaling_exponent([1.0, 2.0, 4.0], [Estimate(x**2, 0.01 * x**2) for x in (1.0, 2.0, 4.0)])
    2 ± 0.01
    """
    at = np.asarray(parameter, dtype=np.float64)
    if not (np.isfinite(at) & (at > 0)).all():
        raise ValueError(f"parameter must take finite values > 0 for a power law, got {at}")
    levels = np.array([e.value for e in estimates])
    if not (np.isfinite(levels) & (levels > 0)).all():
        raise ValueError(f"estimates must be finite and > 0 for a power law, got {levels}")
    x, y = np.log(at), np.log(levels)
    relative = np.array([e.standard_error / e.value for e in estimates])
    known = bool(np.isfinite(relative).all())
    relative = np.maximum(relative, LEAST_ERROR)
    weight = 1 / relative**2 if known else np.ones(len(x))
    centre = float((weight * x).sum() / weight.sum())
    spread = float((weight * (x - centre) ** 2).sum())
    if spread == 0:
        raise ValueError("parameter must take at least two values")
    slope = float((weight * (x - centre) * y).sum() / spread)
    level = float((weight * (y - slope * (x - centre))).sum() / weight.sum())
    scatter = float((weight * (y - level - slope * (x - centre)) ** 2).sum() / max(len(x) - 2, 1))
    if len(x) == 2 and not known:
        return Estimate(slope, math.nan)
    return Estimate(slope, math.sqrt((max(scatter, 1.0) if known else scatter) / spread))


def _slope(t: Array, y: Array) -> tuple[float, float]:
    centred = t - t.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y / spread)
    left = y - y.mean() - slope * centred
    return slope, math.sqrt(float(left @ left) / max(len(t) - 2, 1) / spread)


def _jackknife(curves: Array, fit: Callable[[Array], tuple[float, float]], sign: float) -> Estimate:
    if len(curves) < 3:
        return Estimate(math.nan, math.nan)
    n, total = curves.shape[1], curves.sum(axis=1)
    slope, error = fit(total / n)
    groups = min(GROUPS, n)
    if groups < 2:
        return Estimate(sign * slope, error)
    without = []
    for part in np.array_split(np.arange(n), groups):
        mean = (total - curves[:, part].sum(axis=1)) / (n - len(part))
        if not (mean > 0).all():  # one group carries the mean: nothing is known of its error
            return Estimate(sign * slope, math.nan)
        without.append(fit(mean)[0])
    left_out = np.array(without)
    variance = (groups - 1) / groups * float(((left_out - left_out.mean()) ** 2).sum())
    return Estimate(sign * slope, math.sqrt(variance))
