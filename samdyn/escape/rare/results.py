r"""Results of splitting: a small probability, and a mean exit time made of loops and such a probability.

Both carry independent repeats, from whose scatter their errors come. The intervals are mean times
exp(+- t s.e. / mean), which suits the skew of splitting estimates, with Student's t for the number of
repeats.

Bias of the mean exit time. The estimate of p is unbiased, but the mean exit time holds 1/p, which is convex:
with m the means over R repeats and g the formula, E[g(m)] - g(E m) is 1/2 sum g_ij C_ij / R to first order in
1/R, C being the covariance of the repeats. With T = T_first + ((1 - p) L + r) / p, where L = T_back + T_out
and r = p T_reactive,

.. math:: \text{bias} = \frac1R \left(\frac{L + r}{p^3} C_{pp} - \frac{C_{pL} + C_{pr}}{p^2}\right),

about the relative variance of p over R times T. It is estimated from the repeats and taken off. What is left
is of second order, a fifth of it or so where the correction is below 10 %; a correction of more than half of
the mean is damped, so that the mean stays positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.escape.statistics.tail import checks_level
from samdyn.results import Result, Table

METHODS = ("lognormal", "normal")


@dataclass(frozen=True, eq=False, repr=False)
class RareProbability(Result):
    """Estimate of a small probability by splitting.

    Attributes
    ----------
    estimates : ndarray, shape (n_repeats,)
        Independent unbiased estimates.
    iterations : ndarray of int, shape (n_repeats,)
        How often clones were killed and replaced.
    n_clones, n_kill : int
        Clones of a repeat, and the least number killed at a time.
    levels : ndarray, shape (n_levels,)
        Values of the reaction coordinate at which paths may branch.
    path_steps : int
        Steps of all paths together.
    steps_per_path : float
        Mean steps of a path from the start to A or B without splitting.
    n_diverged : int
        Paths whose state stopped being finite; they count as not having reached B.
    dt : float
    seed : int
    """

    cited = ("cerou2007", "brehier2016")
    row = "repeat"
    axes = ("levels: level",)

    estimates: Array
    iterations: npt.NDArray[np.int64]
    n_clones: int
    n_kill: int
    levels: Array
    path_steps: int
    steps_per_path: float
    n_diverged: int
    dt: float
    seed: int

    @property
    def mean(self) -> float:
        """The estimate: the mean over the repeats."""
        return float(self.estimates.mean())

    @property
    def standard_error(self) -> float:
        """The standard error of `mean`, from the scatter of the repeats."""
        return float(self.estimates.std(ddof=1) / math.sqrt(len(self.estimates)))

    @property
    def relative_error(self) -> float:
        """Standard error over mean; inf where no repeat reached B."""
        return self.standard_error / self.mean if self.mean else math.inf

    @checked
    def confidence_interval(self, level: float = 0.95, method: str = "lognormal") -> tuple[float, float]:
        """Confidence interval of the probability.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        method : {"lognormal", "normal"}
            "lognormal": mean times exp(+- t s.e. / mean), which suits the skew of splitting estimates and
            stays positive. "normal": mean +- t s.e. Both with Student's t for the number of repeats.

        Returns
        -------
        tuple of float
            (0, 1) where no repeat reached B, which bounds nothing.
        """
        if not self.mean:
            _check_interval(level, method)
            return 0.0, 1.0
        low, high = _interval(self.mean, self.standard_error, len(self.estimates), level, method)
        return max(low, 0.0), min(high, 1.0)

    @property
    def brute_force_steps(self) -> float:
        """Path-steps that independent paths would take to the same standard error."""
        if not self.standard_error:
            return math.inf
        return self.mean * (1 - self.mean) / self.standard_error**2 * self.steps_per_path

    def table(self) -> Table:
        """The probability with its interval, and what it cost."""
        low, high = self.confidence_interval()
        repeats = f"{len(self.estimates)} repeats of {self.n_clones} clones"
        rows = [
            ("probability", f"{self.mean:.4g}, 95 % interval ({low:.4g}, {high:.4g})"),
            ("splitting", f"{repeats}, {self.iterations.mean():.1f} iterations each"),
            ("cost", f"{self.path_steps:.3g} path-steps (brute force {self.brute_force_steps:.3g})"),
            ("scheme", f"step {self.dt:g}, seed {self.seed}"),
        ]
        return Table("RareProbability", rows)


@dataclass(frozen=True, eq=False, repr=False)
class RareExitTime(Result):
    """Mean exit time from a metastable set, from loops and a splitting probability.

    Attributes
    ----------
    probability : RareProbability
        Of reaching the outside of the region before returning to the origin, from the surface.
    time_first : ndarray, shape (n_repeats,)
        Mean time from the start to the surface.
    time_out, time_back : ndarray, shape (n_repeats,)
        Mean time of a loop from the origin to the surface, and from there back.
    time_reactive : ndarray, shape (n_repeats,)
        Mean time from the surface to the outside, of paths that do not return; nan where a repeat had none.
    path_steps : int
        Steps of all paths together, loops included.
    """

    cited = ("cerou2007", "cerou2011", "brehier2016")
    row = "repeat"

    probability: RareProbability
    time_first: Array
    time_out: Array
    time_back: Array
    time_reactive: Array
    path_steps: int

    def _means(self) -> tuple[Array, Array]:
        """Per-repeat values of p, T_first, T_back + T_out and p T_reactive, and their means."""
        p = self.probability.estimates
        # without a single return 1/p - 1 is as good as 0
        back = np.where(np.isnan(self.time_back), np.nanmean([*self.time_back, 0.0]), self.time_back)
        values = np.stack([p, self.time_first, back + self.time_out, p * np.nan_to_num(self.time_reactive)])
        return values, values.mean(axis=1)

    @property
    def uncorrected(self) -> float:
        """Mean exit time from the means over the repeats, biased upward by 1/p; inf if no path left."""
        p, first, loop, reactive = self._means()[1]
        return float(first + ((1 - p) * loop + reactive) / p) if p else math.inf

    @property
    def bias(self) -> float:
        """Estimated bias of `uncorrected`, to first order in 1 / n_repeats; nan if no path left."""
        values, (p, _, loop, reactive) = self._means()
        if not p:
            return math.nan
        covariance = np.cov(values) / values.shape[1]
        square, cross = covariance[0, 0], covariance[0, 2] + covariance[0, 3]
        return float((loop + reactive) / p**3 * square - cross / p**2)

    @property
    def mean(self) -> float:
        """Mean exit time, with the bias taken off; inf if no path left."""
        raw = self.uncorrected
        if not math.isfinite(raw):
            return raw
        share = self.bias / raw
        # 1 - share up to a half, and from there on 1 / (4 share), which continues it with the same slope
        return raw * (1 - share) if share <= 0.5 else raw / (4 * share)

    @property
    def standard_error(self) -> float:
        """Standard error of `mean`, by linearisation in the means over the repeats; inf if no path left."""
        values, (p, _, loop, reactive) = self._means()
        if not p:
            return math.inf
        slope = np.array([-(loop + reactive) / p**2, 1.0, (1 - p) / p, 1 / p])
        return float((slope @ values).std(ddof=1) / math.sqrt(values.shape[1]))

    @property
    def relative_error(self) -> float:
        """Standard error over mean."""
        return self.standard_error / self.mean if math.isfinite(self.mean) else math.inf

    @checked
    def confidence_interval(self, level: float = 0.95, method: str = "lognormal") -> tuple[float, float]:
        """Confidence interval of the mean exit time.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        method : {"lognormal", "normal"}
            As for `RareProbability.confidence_interval`.

        Returns
        -------
        tuple of float
            About `mean`, which has the first-order bias taken off. (0, inf) where no path left.
        """
        if not math.isfinite(self.mean):
            _check_interval(level, method)
            return 0.0, math.inf
        low, high = _interval(self.mean, self.standard_error, len(self.time_out), level, method)
        return max(low, 0.0), high

    @property
    def brute_force_steps(self) -> float:
        """Path-steps that independent exits, of exponential law, would take to the same standard error."""
        return self.mean / self.probability.dt / self.relative_error**2 if self.relative_error else math.inf

    def table(self) -> Table:
        """The mean with its interval, what it is made of, and what it cost."""
        low, high = self.confidence_interval()
        p = self.probability
        back = np.nanmean([*self.time_back]) if np.isfinite(self.time_back).any() else math.nan
        rows = [
            ("mean", f"{self.mean:.6g}, 95 % interval ({low:.6g}, {high:.6g})"),
            *self._bias_row(),
            ("loops", f"out {self.time_out.mean():.4g}, back {back:.4g}; probability a loop {p.mean:.4g}"),
            ("splitting", f"{len(p.estimates)} repeats of {p.n_clones} clones"),
            ("cost", f"{self.path_steps:.3g} path-steps (brute force {self.brute_force_steps:.3g})"),
            ("scheme", f"step {p.dt:g}, seed {p.seed}"),
        ]
        return Table("RareExitTime", rows)

    def _bias_row(self) -> list[tuple[str, str]]:
        """What was taken off for the bias of few repeats; nothing to say below a tenth of a percent."""
        if not math.isfinite(self.mean):
            return []
        share = 1 - self.mean / self.uncorrected
        if abs(share) < 1e-3:
            return []
        more = "; more is left: raise n_repeats or n_clones" if abs(share) > 0.1 else ""
        name = f"bias of 1/p from {len(self.time_out)} repeats"
        return [(name, f"{100 * share:+.2g} %, taken off{more}")]


def _check_interval(level: float, method: str) -> None:
    checks_level(level)
    if method not in METHODS:
        raise ValueError(f"method must be 'lognormal' or 'normal', got {method!r}")


def _interval(mean: float, error: float, n: int, level: float, method: str) -> tuple[float, float]:
    _check_interval(level, method)
    t = float(stats.t.ppf((1 + level) / 2, n - 1))
    if method == "normal":
        return mean - t * error, mean + t * error
    factor = math.exp(min(t * error / mean, 700.0))
    return mean / factor, mean * factor
