"""Two results beside each other: the ratio of their means, and whether they have one law.

The ratio of the means has an interval by the delta method on its logarithm, with Student's t for the degrees
of freedom of Welch and Satterthwaite. If paths of one result are censored and fewer than 10 left, its number
of exits decides how well the ratio is known, and the interval is the one for two exponential laws: exposure
over mean has a gamma law whose shape is the number of exits (one more at the far end, as in `mean_interval`),
and the quotient of two gamma variables is an F variable.

The log-rank test asks whether both survival curves are the same; it is strongest where one rate of escape is
a multiple of the other at all times. Ratio and test hold under censoring. The statistic comes from
scipy.stats.logrank; its p-value is normal with many exits and conditional with few (`exact_logrank`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from samdyn.arguments.signature import checked
from samdyn.escape.statistics.censored_mean import FEW, student
from samdyn.escape.statistics.exact_logrank import conditional_test
from samdyn.escape.statistics.result import ExitTimes
from samdyn.escape.statistics.tail import checks_level
from samdyn.results import Result, Table


@dataclass(frozen=True, eq=False, repr=False)
class LogRank(Result):
    """Log-rank test that two results have the same law of exit times.

    Attributes
    ----------
    statistic : float
        Of mean 0 and variance 1 under that hypothesis; positive where the first leaves faster. 0 if no exit
        happened while paths of both were still watched, which says nothing.
    p_value : float
        Two-sided. From the normal law with many exits, from the law of the statistic itself with few.
    """

    cited = ("mantel1966",)

    statistic: float
    p_value: float

    def table(self) -> Table:
        """The statistic and what it says."""
        faster = "first" if self.statistic > 0 else "second"
        verdict = f"the {faster} leaves faster" if self.p_value < 0.01 else "compatible with one law"
        rows = [("z", f"{self.statistic:.3f}"), ("p-value, two-sided", f"{self.p_value:.3g}, {verdict}")]
        return Table("LogRank", rows)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
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

    cited = ("mantel1966",)

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

    def table(self) -> Table:
        """Both means, their ratio with its interval, and the test."""
        interval = f"{100 * self.level:g} % interval ({self.lower:.6g}, {self.upper:.6g})"
        rows = [
            ("means", f"{self.mean_a:.6g} ± {self.error_a:.2g} and {self.mean_b:.6g} ± {self.error_b:.2g}"),
            ("ratio", f"{self.ratio:.6g}, {interval}"),
            ("log-rank test of equal laws", f"z = {self.statistic:.2f}, p = {self.p_value:.2g}"),
        ]
        return Table("Comparison", [*rows, *([("note", self.note)] if self.note else [])])


@checked
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
        mean(a) / mean(b); the interval by the delta method on the logarithm, or, with fewer than 10 exits of
        censored paths, the interval for exponential laws (see `samdyn.escape.statistics.comparison`). Where
        no path of one left the interval has one end only, from the exact intervals of both (see
        `ExitTimes.confidence_interval`): they take the rate of escape as constant, also after the times up to
        which paths were watched, and the log-rank test, which does not, may say less.

    Notes
    -----
    The interval takes both results as independent. Results of one seed share their random numbers (as the
    points of a sweep do), and their ratio is usually known better than the interval says.

    Examples
    --------
    >>> import samdyn as sd
    >>> def exits(rule, seed):
    ...     sde = sd.Diffusion(sd.landscapes.saddle(1, 1), rule, lr=0.01, noise=sd.GaussianNoise(std=1.0))
    ...     return sd.exit_times(sde, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0,
    ...     seed=seed)
    >>> ratio, low, high = sd.escape.ratio_of_means(exits(sd.USAM(0.5), 1), exits(sd.GD(), 2))
    >>> low < ratio < high and ratio > 1
    True
    """
    level = checks_level(level)
    _check_pair(a, b)
    if not (a.n_exited and b.n_exited):
        ratio = math.nan if not (a.n_exited or b.n_exited) else (math.inf if b.n_exited else 0.0)
        # each exact interval misses with half the probability, so both hold together with `level`
        (low_a, high_a), (low_b, high_b) = (r.confidence_interval((1 + level) / 2, "exact") for r in (a, b))
        return ratio, low_a / high_b, high_a / low_b
    ratio = a.mean / b.mean
    if any(not exited.all() and exited.sum() < FEW for _, exited in (a.observations, b.observations)):
        lower, upper = _exponential_ratio(a, b, level)
        return ratio, lower, upper
    errors = [r.standard_error / r.mean for r in (a, b)]
    square = sum(e**2 for e in errors)
    if not 0 < square < math.inf:
        return (ratio, 0.0, math.inf) if square else (ratio, ratio, ratio)
    # Welch and Satterthwaite; a result without noise has no error and takes no degree of freedom
    lost = sum(e**4 / (len(r.observations[0]) - 1) for e, r in zip(errors, (a, b), strict=True) if e)
    spread = math.exp(min(student(square**2 / lost, level) * math.sqrt(square), 700.0))
    return ratio, ratio / spread, ratio * spread


def _exponential_ratio(a: ExitTimes, b: ExitTimes, level: float) -> tuple[float, float]:
    """Interval of the ratio of the means of two exponential laws."""
    (watched_a, exited_a), (watched_b, exited_b) = a.observations, b.observations
    shapes = [(int(e.sum()), int(e.sum()) + (not e.all())) for e in (exited_a, exited_b)]
    (few_a, more_a), (few_b, more_b) = shapes
    quotient, tail = float(watched_a.sum() / watched_b.sum()), (1 - level) / 2
    # gamma_b / gamma_a of shapes q and p is q/p times an F variable of 2 q and 2 p degrees of freedom
    lower = few_b / more_a * float(stats.f.ppf(tail, 2 * few_b, 2 * more_a))
    upper = more_b / few_a * float(stats.f.isf(tail, 2 * more_b, 2 * few_a))
    return quotient * lower, quotient * upper


def _check_pair(a: ExitTimes, b: ExitTimes) -> None:
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, ExitTimes):
            raise TypeError(f"{name} must be ExitTimes, got {type(value).__name__}")
    if a.discrete != b.discrete:
        raise ValueError(f"a and b must be in the same unit, got {a.unit} and {b.unit}")


@checked
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
    Mantel, Cancer Chemotherapy Reports 50 (1966) 163-170. Few exits:
    `samdyn.escape.statistics.exact_logrank`.

    Examples
    --------
    >>> import samdyn as sd
    >>> def exits(rule, seed):
    ...     sde = sd.Diffusion(sd.landscapes.saddle(1, 1), rule, lr=0.01, noise=sd.GaussianNoise(std=1.0))
    ...     return sd.exit_times(sde, [0.0, 0.0], sd.Ball([0.0, 0.0], 0.5), n_paths=1000, t_max=100.0,
    ...     seed=seed)
    >>> sd.escape.logrank(exits(sd.USAM(0.5), 1), exits(sd.GD(), 2)).p_value < 1e-6
    True
    """
    _check_pair(a, b)
    if not (a.n_exited or b.n_exited):
        raise ValueError("a or b must hold a path that left, got none")
    samples = [r.observations for r in (a, b)]
    conditional = conditional_test(*samples)
    if conditional is not None:
        return LogRank(*conditional)
    data = [stats.CensoredData(uncensored=w[exited], right=w[~exited]) for w, exited in samples]
    found = stats.logrank(*data)
    return LogRank(float(found.statistic), float(found.pvalue))


@checked
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
    >>> both = sd.escape.compare(exits(sd.USAM(0.5), 1), exits(sd.GD(), 2))
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
            f"{censored_share(a)} and {censored_share(b)} of the paths are censored, and the means are right "
            "as far as rates of escape are constant"
        )
    if not (a.n_exited and b.n_exited):
        none, other, which = (b, a, "second") if a.n_exited else (a, b, "first")
        (watched, _), (times, exited) = none.observations, other.observations
        late = int((times[exited] > watched.max()).sum())
        notes.append(
            f"no path of the {which} left: the end of the interval takes its rate of escape to be constant, "
            f"from the start and for all times; {late} of the {int(exited.sum())} exits of the other came "
            f"later than t = {watched.max():.6g}, up to which the {which} was watched: the log-rank test "
            "leaves them out"
        )
    return Comparison(
        a.mean, b.mean, a.standard_error, b.standard_error, ratio, lower, upper, level,
        test.statistic, test.p_value, "; ".join(notes),
    )  # fmt: skip


def censored_share(result: ExitTimes) -> str:
    """The share of paths that had not left, as text."""
    return f"{100 * (1 - result.n_exited / len(result)):.3g} %"
