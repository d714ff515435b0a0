"""The rate at which the survival probability decays at late times, from censored exit times.

Once paths have forgotten their start, they leave at a constant rate, the smallest eigenvalue of minus the
generator, and what remains of their exit times is exponential.

1. Paths still inside at a time t0 are watched from there: w = (exit or censoring time) - t0, d = 1 for an
   exit. The censored maximum-likelihood rate is sum d / sum w, its standard error rate / sqrt(sum d).
2. Where paths are seen at whole steps only, w is a number k of steps with a geometric law: the probability
   of leaving in a step is p = sum d / sum k and the rate -log(1 - p) a step.
3. Is the tail exponential? Score test (Cox and Oakes) of a Weibull law of shape 1 against other shapes:
   U = n + sum d log w - n sum w log w / sum w with n = sum d, and U^2 / I is chi-squared with one degree of
   freedom, I = n + r sum w (log w)^2 - (r sum w log w)^2 / n with r = n / sum w. Whole steps are first spread
   over the step by the law that makes a geometric variable an exponential one.

References
----------
Cox & Oakes, Analysis of Survival Data (1984), sections 3.2 and 3.7. Lawless, Statistical Models and Methods
for Lifetime Data (2003), chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.results import Result, Table

FEWEST_EXITS = 10  # below, the chi-squared law of the test is no approximation


@dataclass(frozen=True, eq=False, repr=False)
class TailRate(Result):
    """The slowest rate of escape as the tail of an ensemble shows it.

    Attributes
    ----------
    rate, standard_error : float
        In exits per unit of time, or per step of a map. ``float(tail)`` is the rate.
    start : float
        Time beyond which the paths were used.
    n_paths, n_exits : int
        Paths inside at `start`, and how many of them left later.
    shape : float
        One-step estimate of the Weibull shape: 1 for an exponential tail, above where the rate of escape
        still rises, below where it falls. nan with fewer than 10 exits.
    p_value : float
        Of the score test that the tail is exponential. nan with fewer than 10 exits.
    unit : str
        "time" or "steps".
    """

    rate: float
    standard_error: float
    start: float
    n_paths: int
    n_exits: int
    shape: float
    p_value: float
    unit: str

    def __float__(self) -> float:
        return self.rate

    @property
    def mean(self) -> float:
        """Mean remaining time, 1 / rate."""
        return 1 / self.rate

    @checked
    def confidence_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the rate, normal in its logarithm.

        Of an exponential tail a 95 % interval holds the rate in 91 % of samples with 2 exits, 92 % with 3 and
        94 % from 5 on. That the tail is exponential from `start` on is taken for granted, see `p_value`.

        Parameters
        ----------
        level : float
            Coverage, in (0, 1).

        Returns
        -------
        (lower, upper) : tuple of float
        """
        z = float(stats.norm.ppf((1 + checks_level(level)) / 2))
        spread = math.exp(z * self.standard_error / self.rate)
        return self.rate / spread, self.rate * spread

    def table(self) -> Table:
        """The rate with its interval, and whether the tail is exponential."""
        low, high = self.confidence_interval(0.95)
        if math.isnan(self.p_value):
            verdict = f"not tested: fewer than {FEWEST_EXITS} exits"
        elif self.p_value >= 0.01:
            verdict = f"compatible with the data (p = {self.p_value:.2g})"
        else:
            change = "rises" if self.shape > 1 else "falls"
            verdict = f"rejected (p = {self.p_value:.2g}): the rate still {change}; start later"
        per = self.unit.removesuffix("s")
        rate = f"{self.rate:.6g} per {per}, standard error {self.standard_error:.2g}"
        rows = [
            ("rate", f"{rate}, 95 % interval ({low:.6g}, {high:.6g})"),
            ("from", f"{self.n_exits} exits of the {self.n_paths} paths inside at {self.start:.6g}"),
            ("exponential tail", verdict),
        ]
        return Table("TailRate", rows)


def checks_level(level: float) -> float:
    """A coverage in (0, 1), or an error that names it."""
    value = checks.number("level", level, above=0)
    if value >= 1:
        raise ValueError(f"level must be in (0, 1), got {level!r}")
    return value


def fit_tail(
    watched: Array,
    exited: npt.NDArray[np.bool_],
    start: float,
    *,
    step: float | None = None,
    unit: str = "time",
    seed: int = 0,
) -> TailRate:
    """Rate of exponential decay of the survival probability beyond a time.

    Parameters
    ----------
    watched : ndarray, shape (n,)
        Exit or censoring times.
    exited : ndarray of bool, shape (n,)
        Which of them are exits.
    start : float
        Time beyond which paths are used.
    step : float, optional
        Where paths were seen at multiples of this time only.
    unit : str
        Of the times, for the printed form.
    seed : int
        Of the random numbers that spread whole steps for the test; the rate needs none.

    Returns
    -------
    TailRate

    Raises
    ------
    ValueError
        Fewer than two paths left beyond `start`, or all in the next step.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.random.default_rng(0).exponential(5.0, 4000)
    >>> tail = fit_tail(np.minimum(t, 8.0), t < 8.0, start=2.0)
    >>> abs(tail.rate - 0.2) < 3 * tail.standard_error, tail.p_value > 0.01
    (True, True)
    """
    watched = np.asarray(watched, dtype=np.float64)
    late = watched > start
    w, d = watched[late] - start, exited[late]
    n = int(d.sum())
    if n < 2:
        raise ValueError(
            f"the tail must hold at least 2 exits, got {n} beyond {start:g}: start earlier, or raise t_max "
            "or n_paths"
        )
    if step is None:
        rate = float(n / w.sum())
        error = rate / math.sqrt(n)
    else:
        k = np.maximum(np.rint(w / step), 1)
        p = float(n / k.sum())
        if p == 1:
            raise ValueError(f"the tail must last longer than a step, but all {n} paths left in the next one")
        rate = -math.log1p(-p) / step
        error = p / math.sqrt(n * (1 - p)) / step
        # the time within a step of an exponential law cut off at the step's end
        inside = -np.log1p(-np.random.default_rng(checks.seed("seed", seed)).random(len(k)) * p) / (
            rate * step
        )
        w = step * np.where(d, k - 1 + inside, k)
    shape, p_value = _exponential_test(w, d) if n >= FEWEST_EXITS else (math.nan, math.nan)
    return TailRate(rate, error, float(start), len(w), n, shape, p_value, unit)


def _exponential_test(w: Array, d: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """One-step Weibull shape and p-value of the score test of shape 1."""
    n = int(d.sum())
    w = np.maximum(w * (n / w.sum()), 1e-300)  # in units of the mean: I does not cancel then
    log = np.log(w)
    first, second = float((w * log).sum()), float((w * log**2).sum())
    score = n + float(log[d].sum()) - first
    information = n + second - first**2 / n
    return 1 + score / information, float(stats.chi2.sf(score**2 / information, 1))
