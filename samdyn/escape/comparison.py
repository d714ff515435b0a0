"""Two results beside each other, and a result beside the exact answer.

Two results: the ratio of the means, with an interval by the delta method on its logarithm, and the log-rank
test (scipy.stats.logrank) that both survival curves are the same, which is strongest where one rate of
escape is a multiple of the other at all times. Both hold under censoring.

The exact answer: in one dimension the mean of the simulated chain itself (`chain`), to which the sample mean
converges whatever the step; in two the mean exit time of the diffusion (`kolmogorov`), from which it differs
by the bias of the time step as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.compute.checks import Array
from samdyn.escape.chain import chain_exit_time
from samdyn.escape.domain import bounds
from samdyn.escape.faces import PlaneFace, SphereFace
from samdyn.escape.field import Field
from samdyn.escape.kolmogorov import mean_exit_time
from samdyn.escape.statistics import ExitTimes
from samdyn.escape.tail import checks_level
from samdyn.systems.map import Map

MOST_STARTS = 10_000


@dataclass(frozen=True)
class LogRank:
    """Log-rank test that two results have the same law of exit times.

    Attributes
    ----------
    statistic : float
        Standard normal under that hypothesis; positive where the first leaves faster.
    p_value : float
        Two-sided.
    """

    statistic: float
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Two results side by side.

    Attributes
    ----------
    mean_a, mean_b, error_a, error_b : float
        Mean exit times and their standard errors.
    ratio, lower, upper : float
        mean_a / mean_b and its interval.
    level : float
        Coverage of the interval.
    statistic, p_value : float
        Of the log-rank test.
    note : str
        What to mind; "" if nothing.
    """

    mean_a: float
    mean_b: float
    error_a: float
    error_b: float
    ratio: float
    lower: float
    upper: float
    level: float
    statistic: float
    p_value: float
    note: str

    def __repr__(self) -> str:
        lines = [
            "Comparison",
            f"  means: {self.mean_a:.6g} ± {self.error_a:.2g} and {self.mean_b:.6g} ± {self.error_b:.2g}",
            f"  ratio: {self.ratio:.6g}, {100 * self.level:g} % interval "
            f"({self.lower:.6g}, {self.upper:.6g})",
            f"  log-rank test of equal laws: z = {self.statistic:.2f}, p = {self.p_value:.2g}",
        ]
        return "\n".join([*lines, *([f"  note: {self.note}"] if self.note else [])])


@dataclass(frozen=True)
class ExactComparison:
    """A sampled mean exit time beside the exact one.

    Attributes
    ----------
    mean, standard_error : float
        Of the sample.
    exact, exact_error : float
        The exact mean and an estimate of its numerical error.
    z : float
        (mean - exact) over both errors combined; beyond about 3 something other than chance is at work.
    source : str
        Where the exact mean comes from.
    note : str
        What separates the two apart from chance; "" if nothing.
    """

    mean: float
    standard_error: float
    exact: float
    exact_error: float
    z: float
    source: str
    note: str

    def __repr__(self) -> str:
        lines = [
            "ExactComparison",
            f"  sampled: {self.mean:.6g} ± {self.standard_error:.2g}",
            f"  exact: {self.exact:.8g} ± {self.exact_error:.1g}, {self.source}",
            f"  difference: {100 * (self.mean / self.exact - 1):+.3g} %, z = {self.z:+.2f}",
        ]
        return "\n".join([*lines, *([f"  note: {self.note}"] if self.note else [])])


def ratio_of_means(a: ExitTimes, b: ExitTimes, level: float = 0.95) -> tuple[float, float, float]:
    """Ratio of two mean exit times with its confidence interval.

    Parameters
    ----------
    a, b : ExitTimes
        Results of independent runs (different seeds, or different systems).
    level : float
        Coverage.

    Returns
    -------
    (ratio, lower, upper) : tuple of float
        mean(a) / mean(b); the interval by the delta method on the logarithm. Where no path of one left its
        mean has no upper limit, and the interval is (0, inf).

    Examples
    --------
    >>> import samdyn as sd
    >>> def exits(rule, seed):
    ...     sde = sd.Diffusion(sd.landscapes.saddle(1, 1), rule, lr=0.01, noise=sd.GaussianNoise(std=1.0))
    ...     return sd.exit_times(sde, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0,
    ...     seed=seed)
    >>> ratio, low, high = sd.ratio_of_means(exits(sd.USAM(0.5), 1), exits(sd.GD(), 2))
    >>> low < ratio < high and ratio > 1
    True
    """
    z = float(stats.norm.ppf((1 + checks_level(level)) / 2))
    _check_pair(a, b)
    if not (a.n_exited and b.n_exited):
        ratio = math.nan if not (a.n_exited or b.n_exited) else (math.inf if b.n_exited else 0.0)
        return ratio, 0.0, math.inf
    ratio = a.mean / b.mean
    spread = z * math.hypot(a.standard_error / a.mean, b.standard_error / b.mean)
    return ratio, ratio * math.exp(-spread), ratio * math.exp(spread)


def _check_pair(a: ExitTimes, b: ExitTimes) -> None:
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, ExitTimes):
            raise TypeError(f"{name} must be ExitTimes, got {type(value).__name__}")
    if a.discrete != b.discrete:
        raise ValueError(f"a and b must be in the same unit, got {a.unit} and {b.unit}")


def logrank(a: ExitTimes, b: ExitTimes) -> LogRank:
    """Log-rank test that two results have the same law of exit times.

    Parameters
    ----------
    a, b : ExitTimes
        Results of independent runs, in the same unit of time.

    Returns
    -------
    LogRank

    Raises
    ------
    TypeError, ValueError
        Not exit times, one in steps and the other in time, or no path left.

    References
    ----------
    Mantel, Cancer Chemotherapy Reports 50 (1966) 163-170.

    Examples
    --------
    >>> import samdyn as sd
    >>> def exits(rule, seed):
    ...     sde = sd.Diffusion(sd.landscapes.saddle(1, 1), rule, lr=0.01, noise=sd.GaussianNoise(std=1.0))
    ...     return sd.exit_times(sde, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0,
    ...     seed=seed)
    >>> logrank(exits(sd.USAM(0.5), 1), exits(sd.GD(), 2)).p_value < 1e-6
    True
    """
    _check_pair(a, b)
    if not (a.n_exited or b.n_exited):
        raise ValueError("a or b must hold a path that left, got none")
    data = [stats.CensoredData(uncensored=r.watched[r.exited], right=r.watched[~r.exited]) for r in (a, b)]
    found = stats.logrank(*data)
    return LogRank(float(found.statistic), float(found.pvalue))


def compare(a: ExitTimes, b: ExitTimes, level: float = 0.95) -> Comparison:
    """Two results: ratio of the means with its interval, and the log-rank test.

    Parameters
    ----------
    a, b : ExitTimes
        Results of independent runs, in the same unit of time.
    level : float
        Coverage of the interval of the ratio.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        As `logrank`.

    Examples
    --------
    >>> import samdyn as sd
    >>> def exits(rule, seed):
    ...     sde = sd.Diffusion(sd.landscapes.saddle(1, 1), rule, lr=0.01, noise=sd.GaussianNoise(std=1.0))
    ...     return sd.exit_times(sde, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0,
    ...     seed=seed)
    >>> both = compare(exits(sd.USAM(0.5), 1), exits(sd.GD(), 2))
    >>> both.lower > 1, both.note
    (True, '')
    """
    level = checks_level(level)
    test = logrank(a, b)
    ratio, lower, upper = ratio_of_means(a, b, level)
    notes = []
    if a.seed == b.seed:
        notes.append("both have the same seed, so their paths are correlated, not independent as assumed")
    if a.n_censored + b.n_censored:
        notes.append(
            f"{_percent(a)} and {_percent(b)} of the paths are censored, and the means are right as far as "
            "rates of escape are constant"
        )
    return Comparison(
        a.mean, b.mean, a.standard_error, b.standard_error, ratio, lower, upper, level,
        test.statistic, test.p_value, "; ".join(notes),
    )  # fmt: skip


def compare_exact(
    result: ExitTimes, *, resolution: Any = 256, box: npt.ArrayLike | None = None
) -> ExactComparison:
    """The exact mean exit time of the problem that a result sampled; see `ExitTimes.compare_exact`.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0))
    >>> edge = sd.HalfSpace([1.0], 0.0)
    >>> exits = sd.exit_times(sgd, [-1.0], edge, 500, t_max=10_000)
    >>> check = compare_exact(exits)
    >>> abs(check.z) < 4
    True
    """
    problem = vars(result).get("problem")
    if problem is None:
        raise ValueError(
            "the result must know its problem, got one that was read from a file: run exit_times again, or "
            "give dataclasses.replace(result, problem=(system, region, x0))"
        )
    system, region, x0 = problem
    dim, is_map = system.dim, isinstance(system, Map)
    if dim > 2:
        raise ValueError(f"system must have one or two dimensions for an exact mean, got dim={dim}")
    if system.scheduled:
        raise ValueError(
            "system must have constant coefficients for an exact mean: its rho or lr is a schedule"
        )
    if system.state_dim != dim:
        raise ValueError("system must have no momentum for an exact mean")
    if is_map and dim > 1:
        raise ValueError(
            "system must be a Diffusion for an exact mean in two dimensions, got a Map: sample the "
            "Diffusion of the same lr and noise"
        )
    if not result.n_exited:
        raise ValueError("the result must hold a path that left, got none: raise t_max")
    region = region.with_dim(dim)
    starts, weights = _distinct(np.atleast_2d(np.asarray(x0, dtype=float)))
    notes = []
    # bounds() knows these faces; others may cut the interval
    plain = all(isinstance(face, PlaneFace | SphereFace) for face in region.faces)
    interval = dim == 1 and plain and np.isfinite(bounds(region, 1)).any()
    if interval:
        step = None if is_map else result.dt
        chain = chain_exit_time(system, region, starts, dt=step, correction=result.correction)
        exact = float(weights @ chain.mean)
        ends = int(np.isfinite(bounds(region, 1)).sum())
        # two ends are taken as independent within a step
        error = 1e-10 * exact + (1e-5 * result.dt if ends == 2 and result.correction else 0.0)
        how = "whole steps" if result.correction is None else "Brownian-bridge crossings"
        source = f"from the integral equation of the chain itself ({how}, step {result.dt:g})"
    else:
        if is_map:
            raise ValueError(f"region must be an interval or a half-line for an exact mean, got {region!r}")
        field = mean_exit_time(system, region, resolution=resolution, box=box)
        exact = float(weights @ field(starts))
        error = float(weights @ _error_at(field, starts))
        source = "from the backward Kolmogorov equation of the diffusion"
        late = "of order step, with bridges" if result.correction else "of order sqrt(step), at whole steps"
        notes.append(f"the bias of the time step ({late}) is in the sampled mean alone")
        if not math.isfinite(exact):
            raise ValueError("box must contain every start, or there is no exact mean there")
    if result.n_censored + result.n_diverged:
        notes.append(
            f"{_percent(result)} of the paths are censored, and the sampled mean is right as far as the rate "
            "of escape is constant"
        )
    z = (result.mean - exact) / math.hypot(result.standard_error, error)
    return ExactComparison(
        result.mean, result.standard_error, exact, error, float(z), source, "; ".join(notes)
    )


def _percent(result: ExitTimes) -> str:
    return f"{100 * (1 - result.n_exited / len(result)):.3g} %"


def _distinct(x0: Array) -> tuple[Array, Array]:
    """Distinct starts (m, dim) and their shares (m,)."""
    if (x0 == x0[:1]).all():
        return x0[:1].copy(), np.ones(1)  # x0 may be a read-only view
    starts, counts = np.unique(x0, axis=0, return_counts=True)
    if len(starts) > MOST_STARTS:
        raise ValueError(
            f"x0 must hold at most {MOST_STARTS} distinct starts for an exact mean, got {len(starts)}"
        )
    return starts, counts / len(x0)


def _error_at(field: Field, x: Array) -> Array:
    """The largest error estimate at the nodes around each point."""
    blocks = [np.clip(np.searchsorted(axis, c)[:, None] + np.arange(-2, 2), 0, len(axis) - 1)
              for axis, c in zip(field.grid, x.T, strict=True)]  # fmt: skip
    if field.dim == 1:
        return np.asarray(np.nanmax(field.error[blocks[0]], axis=1))
    return np.asarray(np.nanmax(field.error[blocks[0][:, :, None], blocks[1][:, None, :]], axis=(1, 2)))
