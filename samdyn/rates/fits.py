"""Plateaus, rates and scaling exponents from curves of many replicas, each with its standard error.

- Plateau: mean over the tail of the curves. The error is the standard error of the replicas' own tail means.
  With one replica it is the standard error of the means of blocks of `BLOCK_TIMES` autocorrelation times, and
  unknown if fewer than `BLOCKS` blocks fit. Whether the tail is a plateau is for `samdyn.rates.settling` to
  say.
- Rates: least squares on the logarithm of the mean curve, against t (exponential) or log t (power law). The
  error is a jackknife over at most 20 groups of replicas, since the points of one curve are not independent;
  with one replica it is unknown. A curve that is no exponential, or no power, has no rate: where the slopes
  of the two halves differ by more than `BEND` errors, their difference is a part of the error.
- Scaling: least squares of log plateau on log parameter, weighted by the plateaus' errors where they have
  any, with the error from the scatter about the line if that is larger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.results import Result, Table

GROUPS = 20  # of the jackknife: 19 degrees of freedom for its error
BEND = 4.0
"""Standard errors above which the slopes of two halves of a curve differ by more than chance."""
BLOCKS = 8
"""Least number of blocks of a single curve from whose scatter an error is taken."""
MOST_BLOCKS = 24
BLOCK_TIMES = 10.0
"""Length of a block of a single curve, in integrated autocorrelation times."""
LEAST_ERROR = 1e-6  # relative; rounding should not decide how points are weighted


@dataclass(frozen=True, eq=False, repr=False)
class Estimate(Result):
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
    >>> import samdyn as sd
    >>> low, high = sd.rates.Estimate(1.0, 0.1).interval()
    >>> round(low, 3), round(high, 3)
    (0.804, 1.196)
    """

    value: float
    standard_error: float
    degrees: float = math.inf

    @checked
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

    def table(self) -> Table:
        """The value and its error."""
        if math.isnan(self.standard_error):
            return Table(f"{self.value:.6g} (error unknown)")
        return Table(f"{self.value:.6g} ± {self.standard_error:.2g}")


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
    1.5 ± 3.2
    """
    values = np.asarray(curves, dtype=np.float64)
    n = values.shape[1]
    if n > 1:
        means = values.mean(axis=0)
        error = float(means.std(ddof=1) / math.sqrt(n))
        return Estimate(float(means.mean()), widened(error, n - 1.0), n - 1.0)
    return Estimate(float(values.mean()), *series_error(values[:, 0]))


def series_error(values: Array, least: float = 0.0) -> tuple[float, float]:
    """Standard error of the mean of one correlated series, widened, and its degrees of freedom.

    Parameters
    ----------
    values : ndarray, shape (n_times,)
        At even distances.
    least : float
        Least length of a block, where something is known of the correlations.

    Notes
    -----
    The scatter of blocks of `BLOCK_TIMES` integrated autocorrelation times; nan where fewer than `BLOCKS` of
    them fit, since the series cannot tell then: its own estimate of a long correlation time is too short.
    The length of the blocks comes from the same series as their scatter, and a short one goes with a small
    scatter: half of the degrees of freedom are taken off for that, which made the intervals cover in trials.
    """
    n = len(values)
    if n < BLOCKS:
        return math.nan, math.inf
    if np.ptp(values) == 0:
        return 0.0, math.inf
    length = max(BLOCK_TIMES * integrated_time(values[:, None]), least)
    count = min(int(n / length), MOST_BLOCKS)
    if count < BLOCKS:
        return math.nan, math.inf
    means = np.array([block.mean() for block in np.array_split(values, count)])
    degrees = (count - 1) / 2
    return widened(float(means.std(ddof=1) / math.sqrt(count)), degrees), degrees


def integrated_time(curves: Array) -> float:
    """Integrated autocorrelation time, 1 + 2 sum of the correlations, of curves (n_times, n) about one mean.

    Notes
    -----
    Summed up to the first lag above five times the sum (Sokal's window), with the correlations corrected for
    the mean that they are taken about; at least 1.
    """
    off = curves - curves.mean()
    n = len(off)
    spectrum = np.abs(np.fft.rfft(off, 2 * n, axis=0)) ** 2
    sums = np.fft.irfft(spectrum, axis=0)[:n].sum(axis=1)
    if sums[0] <= 0:
        return 1.0
    correlation = sums / sums[0] / (1 - np.arange(n) / n)
    time = 1.0
    for _ in range(2):  # the mean of n values takes (time / n) of the variance away, from every lag
        shift = min(time / (n * off.shape[1]), 0.5)
        total = 1 + 2 * np.cumsum((correlation[1:] * (1 - shift)) + shift)
        window = np.arange(1, n) >= 5 * total
        time = max(float(total[np.argmax(window)] if window.any() else total[: max(n // 2, 1)].max()), 1.0)
    return time


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
    return _rate(t, np.asarray(curves, dtype=np.float64))


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
    return _rate(t, np.asarray(curves, dtype=np.float64))


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
        raise ValueError(
            f"parameter must take finite values > 0 for a power law, got {at}: sweep it without 0"
        )
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
    if known:
        return Estimate(slope, math.sqrt(max(scatter, 1.0) / spread))
    return Estimate(slope, widened(math.sqrt(scatter / spread), len(x) - 2.0), len(x) - 2.0)


def _slope(t: Array, y: Array) -> tuple[float, float]:
    centred = t - t.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y / spread)
    left = y - y.mean() - slope * centred
    return slope, math.sqrt(float(left @ left) / max(len(t) - 2, 1) / spread)


def _rate(t: Array, curves: Array) -> Estimate:
    """The rate at which the logarithm of the mean curve falls with t."""
    if len(curves) < 3:
        return Estimate(math.nan, math.nan)
    n, total = curves.shape[1], curves.sum(axis=1)
    slope, bend = _slope_and_bend(t, total / n)
    groups = min(GROUPS, n)
    if groups < 2:  # the points of one curve are not independent: their scatter says nothing
        return Estimate(-slope, math.nan)
    without = []
    for part in np.array_split(np.arange(n), groups):
        mean = (total - curves[:, part].sum(axis=1)) / (n - len(part))
        if not (mean > 0).all():  # one group carries the mean: nothing is known of its error
            return Estimate(-slope, math.nan)
        without.append(_slope_and_bend(t, mean))
    left_out = np.array(without)
    spread = np.sqrt((groups - 1) / groups * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    error, chance = (widened(float(one), groups - 1.0) for one in spread)
    if abs(bend) > BEND * chance:
        error = math.hypot(error, bend)
    return Estimate(-slope, error, groups - 1.0)


def _slope_and_bend(t: Array, mean: Array) -> tuple[float, float]:
    """The slope of log mean against t, and that of the second half less that of the first."""
    y, half = np.log(mean), len(t) // 2
    if half < 3:
        return _slope(t, y)[0], 0.0
    return _slope(t, y)[0], _slope(t[half:], y[half:])[0] - _slope(t[:half], y[:half])[0]
