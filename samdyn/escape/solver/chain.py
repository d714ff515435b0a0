r"""The exact mean exit time of the discrete chain x' = x + b(x) dt + s(x) xi, xi ~ N(0, 1), in one dimension.

Euler-Maruyama leaves later than the diffusion that it models, because it looks only at the ends of steps.
This module computes what a simulation of the chain itself converges to, with any number of paths, so that a
sampler can be tested apart from its time-step bias; a `Map` with Gaussian noise is such a chain.

1. The mean exit time T and the second moment T2 solve Fredholm equations over the interval,

   .. math:: T = t_1 + K T, \quad T_2 = t_2 + 2\, dt\, K T + K T_2, \quad (K T)(y) = \int k(y, x)\, T(x)\, dx,

   with k(y, .) the normal density of mean y + b(y) dt and standard deviation s(y), and t1, t2 the moments of
   the time that the path spends in its first step.
2. Without correction an exit is seen at the end of a step: t1 = dt, t2 = dt^2. With the Brownian-bridge
   correction k is multiplied by 1 - exp(-2 (B - x)(B - y) / s^2) for each end B, the probability that the
   bridge does not touch it. Times are then counted in one of two ways. With ``crossing="inside"`` (what a
   simulation does that draws the crossing time inside the step) t1 = E[min(tau, dt)], t2 = E[min(tau, dt)^2],
   with tau the first passage of y + b t + s W(t / dt), whose law is
   P(tau <= t) = Phi((m - d)/r) + exp(2 b d dt / s^2) Phi(-(d + m)/r), d the distance to the end, m = b t,
   r = s sqrt(t/dt). With ``crossing="end"`` a step counts as dt whole: t1 = dt, t2 = dt^2.
3. Nystrom: 16 Gauss-Legendre nodes on panels of at most 1.5 s. Where b or s jumps (normalised SAM) T jumps
   too, and a panel ends there. The kernel is cut at 9.5 standard deviations, so the matrix is banded and
   sparse LU solves it. T at any start is the right-hand side of the equation at that start.
   Up to a censoring time n dt the operator is applied n times instead.
4. An infinite end is moved to 9.5 s beyond where the stationary weight exp(2 int b dt / s^2) is below
   exp(-45) of its maximum. What jumps across it is dropped.

For two ends the bridge treats them as independent, as the sampler does, and the time lost in the last step
is the sum over the ends: an error below 1e-5 of a step when the interval is longer than 4 s.

References
----------
Gobet, Stochastic Processes and their Applications 87, 167 (2000), for the bridge. Kress, Linear Integral
Equations, chapter 12, for Nystrom's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre
from scipy import sparse, special
from scipy.sparse.linalg import splu

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.escape.solver.kolmogorov_1d import WEIGHTS, jumps, panel_nodes
from samdyn.jobs.progress import PartsBar
from samdyn.results import Result, Rows, Table

Function = Callable[[Array], Array]

REACH = 9.5  # standard deviations of the kernel that are kept; the rest is below 1e-20
MAX_ENTRIES = 30_000_000  # of the matrix: 240 MB of doubles
MAX_DEVIATIONS = 1e5  # in the interval's length; a node for each is what memory allows
MAX_STEPS = 1e12  # a mean exit time of n steps has a relative error of about 1e-16 n
MAX_PRODUCTS = 4_000_000_000  # multiplications for a censored mean, about four seconds
RISE = 45.0
PARTS = 3  # of the moments: the matrix, its factors, their solutions
ENTRY_SECONDS = 1e-7  # of an entry of the matrix, and
PRODUCT_SECONDS = 1.6e-9  # of a product of the factorisation, on one core of 2026: right to a factor of two


@dataclass(frozen=True, eq=False, repr=False)
class ChainExitTime(Result):
    """Exit time of the discrete chain from each start.

    Attributes
    ----------
    mean : ndarray, shape (...)
        E[tau], in the unit of dt.
    second_moment : ndarray, shape (...)
        E[tau^2].
    n_nodes : int
        Size of the linear system.
    """

    cited = ("gobet2000",)
    row = "start"

    mean: Array
    second_moment: Array
    n_nodes: int

    @property
    def standard_deviation(self) -> Array:
        """The standard deviation of one exit time, shape (...)."""
        return np.sqrt(np.maximum(self.second_moment - self.mean**2, 0.0))

    def table(self) -> Table:
        """Mean and standard deviation from each start."""
        means, deviations = np.atleast_1d(self.mean).ravel(), np.atleast_1d(self.standard_deviation).ravel()
        rows = Rows(len(means), lambda i: (f"{means[i]:.9g}", f"{deviations[i]:.9g}"))
        title = f"ChainExitTime: {len(means)} start{'s' * (len(means) > 1)}, {self.n_nodes} nodes"
        return Table(title, rows, ("mean", "standard deviation"), right=True)


def chain_mean_exit_time(
    drift: Function,
    standard_deviation_per_step: Function | float,
    interval: tuple[float, float],
    dt: float,
    x0: npt.ArrayLike,
    correction: str | None = None,
    *,
    crossing: str = "inside",
) -> ChainExitTime:
    """Exit-time moments of x' = x + drift(x) dt + standard_deviation_per_step(x) xi from an interval.

    Parameters
    ----------
    drift : callable
        b, vectorised over arrays of numbers.
    standard_deviation_per_step : callable or float
        s > 0, in units of x: sqrt(a dt) for Euler-Maruyama.
    interval : (lower, upper)
        One end may be infinite, if the drift leads back from it.
    dt : float
        Time of a step, > 0. A map counts steps: dt = 1.
    x0 : array_like, shape (...)
        Starts, inside the interval.
    correction : {None, "bridge"}
        None: an exit is seen at the end of a step only. "bridge": inside the step too.
    crossing : {"inside", "end"}
        With the bridge: the step in which the path exits counts up to the crossing, or as a whole dt.

    Returns
    -------
    ChainExitTime
        mean and second_moment of shape (...), in the unit of dt.

    Notes
    -----
    See the module docstring. Relative accuracy near 1e-10 for piecewise smooth coefficients.

    Examples
    --------
    With the bridge, Brownian motion with constant drift has no time-step bias at all:

    >>> import numpy as np
    >>> import samdyn as sd
    >>> s, line = 1.3 * 0.5**0.5, (-np.inf, 1.0)
    >>> result = sd.chain_mean_exit_time(lambda x: 0.7 + 0 * x, s, line, dt=0.5, x0=0.0, correction="bridge")
    >>> result.mean.round(8), round(1 / 0.7, 8)
    (np.float64(1.42857143), 1.42857143)
    """
    dt = checks.number("dt", dt, above=0)
    check_ways(correction, crossing)
    if not callable(drift) or any(base.__name__ == "Landscape" for base in type(drift).__mro__):
        raise TypeError(f"drift must be a function of an array of points, got {drift!r}")
    if not callable(standard_deviation_per_step):
        standard_deviation_per_step = checks.number(
            "standard_deviation_per_step", standard_deviation_per_step, above=0
        )
    else:
        checks.function("standard_deviation_per_step", standard_deviation_per_step)
    checks.array("interval", interval, finite=False, wanted="a pair (lower, upper)")
    try:
        lower, upper = (float(end) for end in interval)
    except (TypeError, ValueError) as error:
        raise TypeError(f"interval must be a pair (lower, upper), got {interval!r}") from error
    if not lower < upper or (math.isinf(lower) and math.isinf(upper)):
        raise ValueError(f"interval must have lower < upper and a finite end, got {interval!r}")
    starts = checks.array("x0", x0, finite=False)
    if not starts.size:
        raise ValueError(f"x0 must hold at least one start, got {x0!r}")
    if not ((starts > lower) & (starts < upper)).all():
        raise ValueError(f"x0 must lie inside the interval {interval!r}, got {x0!r}")
    equation = chain_equation(drift, standard_deviation_per_step, (lower, upper), dt, starts, correction)
    return equation.moments(starts, times_crossing=crossing == "inside")


def check_ways(correction: Any, crossing: Any) -> None:
    """Refuse other corrections and crossings than there are."""
    if not (correction is None or (isinstance(correction, str) and correction == "bridge")):
        raise ValueError(f"correction must be 'bridge' or None, got {correction!r}")
    if not (isinstance(crossing, str) and crossing in ("inside", "end")):
        raise ValueError(f"crossing must be 'inside' or 'end', got {crossing!r}")


@dataclass(frozen=True, eq=False)
class ChainEquation:
    """The integral equation on its nodes: the operator K, and what a first step takes."""

    mean: Function
    deviation: Function
    dt: float
    nodes: Array
    weights: Array
    barriers: list[float]

    def operator(self, y: Array) -> sparse.csr_array:
        """Rows of K at points y (n,)."""
        return _kernel(y, self.mean(y), self.deviation(y), self.nodes, self.weights, self.barriers)

    def first_step(self, y: Array, times_crossing: bool = True) -> tuple[Array, Array]:
        """Moments t1 and t2 of the time spent in the first step, (n,)."""
        dt = self.dt
        # a product is infinite where a power raises
        one, two = np.full(y.shape, dt), np.full(y.shape, dt * dt)
        for barrier in self.barriers if times_crossing else ():
            shift = (self.mean(y) - y) * math.copysign(1, barrier - y[0])
            lost = _time_lost(np.abs(barrier - y), shift, self.deviation(y))
            one, two = one - dt * lost[0], two - dt * dt * lost[1]
        return one, two

    def seconds(self) -> float:
        """Estimate of what `moments` takes, from the entries of the matrix and of its factors; 0 where the
        matrix is refused.
        """
        mean, reach = self.mean(self.nodes), REACH * self.deviation(self.nodes)
        entries = np.searchsorted(self.nodes, mean + reach) - np.searchsorted(self.nodes, mean - reach)
        width = entries.astype(np.float64)
        if width.max() * len(self.nodes) > MAX_ENTRIES:
            return 0.0
        return float(2 * ENTRY_SECONDS * width.sum() + PRODUCT_SECONDS * (width**2).sum())

    @np.errstate(over="ignore")  # a step of 1e300 has a second moment that is infinite
    def moments(
        self, starts: Array, times_crossing: bool = True, bar: PartsBar | None = None
    ) -> ChainExitTime:
        """Moments of the exit time from starts of any shape; `bar` counts `PARTS` parts."""
        bar = PartsBar(False, "", None) if bar is None else bar
        dt, inside = self.dt, self.operator(self.nodes)
        bar.update(note="matrix")
        lu = splu((sparse.eye_array(len(self.nodes), format="csc") - inside).tocsc())
        bar.update(note="factors")
        one, two = self.first_step(self.nodes, times_crossing)
        t1 = lu.solve(one)
        longest = float(np.abs(t1).max()) / dt  # where rounding wins, of either sign
        if not longest < MAX_STEPS:
            raise ValueError(
                f"the exit takes too many steps ({longest:.2g} or more): its time drowns in rounding above "
                f"{MAX_STEPS:g} steps. Give more noise or a smaller region, or use sd.mean_exit_time"
            )
        t2 = lu.solve(two + 2 * dt * (inside @ t1))
        flat = starts.ravel()
        from_start = self.operator(flat)
        one, two = self.first_step(flat, times_crossing)
        follow = from_start @ t1
        mean, square = one + follow, two + 2 * dt * follow + from_start @ t2
        bar.update()
        return ChainExitTime(mean.reshape(starts.shape)[()], square.reshape(starts.shape)[()], len(t1))

    def censored(self, starts: Array, n_steps: int) -> tuple[Array, Array] | None:
        """E[min(tau, n dt)] and P(tau <= n dt) from starts (m,); None where that takes too long.

        With S_k = K^k 1 the probability to be inside after k steps, the first is the sum of K^k t1 below n.
        """
        inside = self.operator(self.nodes)
        if n_steps * inside.nnz > MAX_PRODUCTS:
            return None
        time, alive = self.first_step(self.nodes)[0], np.ones(len(self.nodes))
        total = np.zeros(len(self.nodes))
        for _ in range(n_steps - 1):
            total += time
            time, alive = inside @ time, inside @ alive
        from_start = self.operator(starts)
        return self.first_step(starts)[0] + from_start @ total, 1 - from_start @ alive


def chain_equation(
    drift: Function,
    standard_deviation_per_step: Function | float,
    interval: tuple[float, float],
    dt: float,
    starts: Array,
    correction: str | None = None,
) -> ChainEquation:
    """The nodes of the equation, for arguments as in `chain_mean_exit_time`."""
    mean, deviation = _coefficients(drift, standard_deviation_per_step, dt)
    window = _window(mean, deviation, *interval, starts)

    def both(x: Array) -> Array:
        # the drift itself: mean(x) - x has lost its last digits where the step is short
        return np.stack([np.broadcast_to(np.asarray(drift(x), dtype=np.float64), x.shape), deviation(x)])

    cuts = np.concatenate([[window[0]], jumps(both, *window), [window[1]]])
    s_min = float(deviation(np.linspace(*window, 2001)[1:-1]).min())
    if (window[1] - window[0]) / s_min > MAX_DEVIATIONS:
        raise ValueError(
            f"standard_deviation_per_step must be at least 1/{MAX_DEVIATIONS:g} of the interval's length, "
            f"got {s_min:.3g} on ({window[0]:g}, {window[1]:g}): use sd.mean_exit_time, or a smaller region"
        )
    counts = np.maximum(8, np.ceil(np.diff(cuts) / (1.5 * s_min)).astype(int))
    pieces = [np.linspace(a, b, n + 1)[:-1] for a, b, n in zip(cuts[:-1], cuts[1:], counts, strict=True)]
    edges = np.append(np.concatenate(pieces), window[1])
    x, w = panel_nodes(edges).ravel(), (np.diff(edges)[:, None] / 2 * WEIGHTS).ravel()
    barriers = [end for end in interval if math.isfinite(end)] if correction else []
    return ChainEquation(mean, deviation, dt, x, w, barriers)


def _coefficients(drift: Function, deviation: Function | float, dt: float) -> tuple[Function, Function]:
    """Mean and standard deviation of the next point."""

    def mean(x: Array) -> Array:
        return x + dt * np.asarray(drift(x), dtype=np.float64)

    def spread(x: Array) -> Array:
        value = deviation(x) if callable(deviation) else deviation
        s = np.broadcast_to(np.asarray(value, dtype=np.float64), x.shape)
        if not (np.isfinite(s) & (s > 0)).all():
            raise ValueError(f"standard_deviation_per_step must be finite and > 0, got {s.min():g}")
        return s

    return mean, spread


def _window(
    mean: Function, deviation: Function, lower: float, upper: float, starts: Array
) -> tuple[float, float]:
    """The interval with an infinite end moved to where the chain hardly ever comes."""
    if math.isfinite(lower) and math.isfinite(upper):
        return lower, upper
    sign = -1.0 if math.isinf(lower) else 1.0
    inner = upper if sign < 0 else lower
    length = 2 * float(np.abs(starts - inner).max()) + 10 * float(deviation(np.array([inner]))[0])
    for _ in range(100):
        x = inner + sign * np.linspace(0, length, 2001)
        rise = -2 * sign * (mean(x) - x) / deviation(x) ** 2
        phi = np.concatenate([[0.0], np.cumsum((rise[1:] + rise[:-1]) / 2 * (length / 2000))])
        # where the weight has fallen for good
        beyond = np.flatnonzero(np.maximum.accumulate((phi - np.minimum.accumulate(phi) < RISE)[::-1])[::-1])
        last = int(beyond[-1]) if beyond.size else 0
        if last < 2000 and abs(x[last + 1] - inner) > np.abs(starts - inner).max():
            # one step of the chain reaches further than the diffusion where the drift is stiff
            end = float(x[last + 1]) + sign * REACH * float(deviation(x[last + 1 : last + 2])[0])
            return (end, upper) if sign < 0 else (lower, end)
        length *= 1.3
    raise ValueError("interval must be finite where the drift does not lead back from an infinite end")


def _kernel(y: Array, mean: Array, s: Array, x: Array, w: Array, barriers: list[float]) -> sparse.csr_array:
    """Rows of the transition density from y to the nodes x, times their weights."""
    first = np.searchsorted(x, mean - REACH * s)
    last = np.searchsorted(x, mean + REACH * s)
    width = max(1, int((last - first).max()))
    if width * len(y) > MAX_ENTRIES:
        raise ValueError(
            f"the chain needs a matrix of {len(y)} x {width} entries, more than {MAX_ENTRIES}: "
            "the interval is too long for the noise of a step"
        )
    columns = first[:, None] + np.arange(width)
    keep = columns < last[:, None]
    target = np.minimum(columns, len(x) - 1)
    z = (x[target] - mean[:, None]) / s[:, None]
    with np.errstate(over="ignore"):  # what is too far for a square has the density 0
        z2 = z**2
    density = w[target] * np.exp(-z2 / 2) / (s[:, None] * math.sqrt(2 * math.pi))
    for barrier in barriers:
        density = density * -np.expm1(-2 * (barrier - x[target]) * (barrier - y)[:, None] / s[:, None] ** 2)
    rows = np.broadcast_to(np.arange(len(y))[:, None], columns.shape)
    return sparse.csr_array((density[keep], (rows[keep], columns[keep])), shape=(len(y), len(x)))


def _time_lost(distance: Array, shift: Array, s: Array) -> tuple[Array, Array]:
    """E[1 - min(tau, 1)] and E[1 - min(tau, 1)^2], tau the first passage at `distance` of a Brownian motion.

    Its drift is `shift`, and its standard deviation in unit time `s`.
    """
    nodes, weights = legendre.leggauss(64)
    v = (nodes + 1) / 2  # t = v^2, so that P(tau <= t) is smooth in v
    d, m, r = distance[:, None], shift[:, None] * v**2, s[:, None] * v
    far = -(d + m) / r
    # exp(2 d m / r^2) Phi(far): the two factors are combined before they overflow or vanish
    mirrored = np.exp(np.minimum(2 * d * shift[:, None] / s[:, None] ** 2 + special.log_ndtr(far), 0.0))
    passed = special.ndtr((m - d) / r) + mirrored
    return passed @ (weights * v), passed @ (weights * 2 * v**3)
