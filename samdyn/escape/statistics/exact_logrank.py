"""The log-rank test with few exits, from the law of its statistic instead of the normal one.

With few exits, or with exits of one result that has a hundred times as many paths as the other, the log-rank
statistic is far from normal: one exit of 10 paths beside none of 1000 gives z = 10, where the probability is
1 %. What is known under the hypothesis of one law is who is at risk at each exit.

1. Exits are taken in order. If y_a of the y paths watched at that time belong to the first result, the exit
   does with probability y_a / y. Paths that are given up leave the count of their own result.
2. Each sequence of such draws has its own counts at risk from then on, so its own expected number of exits
   E = sum d y_a / y and variance V = sum d (y_a / y)(1 - y_a / y)(y - d)/(y - 1), over exit times with d
   exits each, and its own statistic Z = (O - E) / sqrt(V), with O the exits of the first.
3. The p-value is the probability that abs(Z) is at least as large as observed: over all sequences, which are
   2^k, for k <= 14 exits; over 20000 drawn ones (of a fixed seed) for more, as long as V < 10 and at most
   2000 different times are in play. Beyond, the normal law is as good.

Exits at which one result alone is watched decide nothing and are left out.

References
----------
Mantel, Cancer Chemotherapy Reports 50 (1966) 163-170. Heimann & Neuhaus, Biometrics 54 (1998) 168-184, for
permutation tests under unequal censoring.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

ALL_SEQUENCES = 14  # exits up to which all sequences are gone through
N_DRAWN = 20_000  # random permutations: a p-value of 0.01 is then known to 0.0007
SMALL_VARIANCE = 10.0  # above, the normal law is right to a few percent of a p-value of 0.05
MOST_TIMES = 2000

Sample = tuple[Array, npt.NDArray[np.bool_]]


class Exits(NamedTuple):
    """Exits in order, by time: how many there are, how many of the first, and who is at risk."""

    number: npt.NDArray[np.int64]
    of_first: npt.NDArray[np.int64]
    at_risk: npt.NDArray[np.int64]
    given_up: npt.NDArray[np.int64]  # paths of the first that were given up before
    n_first: int


def exits_in_play(a: Sample, b: Sample) -> Exits:
    """The exits at which paths of both results are watched."""
    times = np.unique(np.concatenate([watched[exited] for watched, exited in (a, b)]))

    def at_or_after(values: Array) -> npt.NDArray[np.int64]:
        return len(values) - np.searchsorted(np.sort(values), times, side="left")

    risk = [at_or_after(watched) for watched, _ in (a, b)]
    exits = []
    for watched, exited in (a, b):
        left = np.sort(watched[exited])
        exits.append(np.searchsorted(left, times, side="right") - np.searchsorted(left, times, side="left"))
    given_up = int((~a[1]).sum()) - at_or_after(a[0][~a[1]])
    play = (risk[0] > 0) & (risk[1] > 0)
    return Exits(
        (exits[0] + exits[1])[play], exits[0][play], (risk[0] + risk[1])[play], given_up[play], len(a[0])
    )


def conditional_test(a: Sample, b: Sample) -> tuple[float, float] | None:
    """Statistic and two-sided p-value of the log-rank test with few exits; None where the normal law will do.

    Parameters
    ----------
    a, b : (watched, exited)
        Exit or censoring times and exit flags, (n,) each.

    Returns
    -------
    (statistic, p_value) : tuple of float, or None

    Examples
    --------
    >>> def sample(n, exits):
    ...     exited = np.arange(n) < exits
    ...     return np.where(exited, 1.0, 2.0), exited
    >>> z, p = conditional_test(sample(10, 1), sample(1000, 0))
    >>> round(z, 2), round(p, 4)
    (10.0, 0.0099)
    """
    exits = exits_in_play(a, b)
    if not len(exits.number):
        return 0.0, 1.0
    own = exits.n_first - exits.given_up - (np.cumsum(exits.of_first) - exits.of_first)
    share = own / exits.at_risk
    excess = float((exits.of_first - exits.number * share).sum())
    variance = float(_variance(exits.number, share, exits.at_risk).sum())
    statistic = excess / variance**0.5 if variance else 0.0
    total = int(exits.number.sum())
    if total <= ALL_SEQUENCES:
        z, weight = _sequences(exits)
    elif variance < SMALL_VARIANCE and len(exits.number) <= MOST_TIMES:
        z, weight = _drawn(exits)
    else:
        return None
    extreme = np.abs(z) >= abs(statistic) * (1 - 1e-9)
    return statistic, min(float(weight[extreme].sum()), 1.0)


def _variance(count: Any, share: Array, at_risk: Any) -> Array:
    """Hypergeometric variance of the exits of the first."""
    return np.asarray(count * share * (1 - share) * (at_risk - count) / np.maximum(at_risk - 1, 1))


def _sequences(exits: Exits) -> tuple[Array, Array]:
    """Statistics and probabilities of all sequences."""
    own, excess, variance, weight = (np.full(1, v) for v in (0.0, 0.0, 0.0, 1.0))
    for count, at_risk, given_up in zip(exits.number, exits.at_risk, exits.given_up, strict=True):
        left = np.clip(exits.n_first - given_up - own, 0, at_risk)
        share = left / at_risk
        excess = excess - count * share
        variance = variance + _variance(count, share, at_risk)
        for i in range(count):  # exits of one time are drawn one after the other
            p = np.clip(left / (at_risk - i), 0, 1)
            weight = np.concatenate([weight * p, weight * (1 - p)])
            left, own = np.concatenate([left - 1, left]), np.concatenate([own + 1, own])
            excess, variance = np.concatenate([excess + 1, excess]), np.tile(variance, 2)
            keep = weight > 0
            own, excess, variance = own[keep], excess[keep], variance[keep]
            left, weight = left[keep], weight[keep]
    return _standardised(excess, variance), weight


def _drawn(exits: Exits) -> tuple[Array, Array]:
    """Statistics and weights of drawn sequences; the observed one counts as one of them."""
    rng = np.random.default_rng(0)
    own, excess, variance = np.zeros(N_DRAWN), np.zeros(N_DRAWN), np.zeros(N_DRAWN)
    for count, at_risk, given_up in zip(exits.number, exits.at_risk, exits.given_up, strict=True):
        left = np.clip(exits.n_first - given_up - own, 0, at_risk)
        share = left / at_risk
        drawn = rng.hypergeometric(left.astype(np.int64), (at_risk - left).astype(np.int64), count)
        excess += drawn - count * share
        variance += _variance(count, share, at_risk)
        own += drawn
    z = np.append(_standardised(excess, variance), np.inf)
    return z, np.full(N_DRAWN + 1, 1 / (N_DRAWN + 1))


def _standardised(excess: Array, variance: Array) -> Array:
    return np.asarray(np.where(variance > 0, excess / np.sqrt(np.maximum(variance, 1e-300)), 0.0))
