"""A sampled mean exit time beside the exact one.

In one dimension the exact answer is the mean of the simulated chain itself (`chain`), to which the sample
mean converges whatever the step; in two it is the mean exit time of the diffusion (`kolmogorov`), from which
the sample differs by the bias of the time step as well.

Where paths are censored, exposure over exits converges to E[min(T, c)] / P(T <= c), which is the mean only
if the rate of escape is constant. For a chain that limit is computed too, and the sample is judged by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.escape.solver.chain import PARTS
from samdyn.escape.solver.chain_of_system import SMALLER, system_equation
from samdyn.escape.solver.domain import interval
from samdyn.escape.solver.field import Field
from samdyn.escape.solver.kolmogorov import mean_exit_field
from samdyn.escape.statistics.censored_mean import mean_deviation
from samdyn.escape.statistics.comparison import censored_share
from samdyn.escape.statistics.result import ExitTimes
from samdyn.jobs.cost import announce
from samdyn.jobs.progress import PartsBar
from samdyn.results import Result, Table
from samdyn.results.absent import whole
from samdyn.systems.map import Map

MOST_STARTS = 10_000  # each distinct start is evaluated by itself; chosen
VAGUE = 0.1  # error of the exact mean, over the mean, from which a difference is no evidence


@dataclass(frozen=True, eq=False, repr=False)
class ExactComparison(Result):
    """A sampled mean exit time beside the exact one.

    Attributes
    ----------
    mean, standard_error : float
        Of the sample.
    exact, exact_error : float
        The exact mean and an estimate of its numerical error.
    z : float
        (mean - expected) over both errors combined; beyond about 3 something other than chance is at work.
        With few exits the normal deviate of the probability that they have by chance
        (`samdyn.escape.statistics.censored_mean.mean_deviation`); nan of a single path.
    source : str
        Where the exact mean comes from.
    note : str
        What separates the two apart from chance; "" if nothing.
    expected : float
        What the sampled mean converges to: `exact`, or, of a one-dimensional result whose paths are censored
        at t_max, the exact E[min(T, t_max)] / P(T <= t_max).
    """

    mean: float
    standard_error: float
    exact: float
    exact_error: float
    z: float
    source: str
    note: str
    expected: float

    def table(self) -> Table:
        """The sampled mean, the exact one and their difference."""
        rows = [
            ("sampled", f"{self.mean:.6g} ± {self.standard_error:.2g}"),
            ("exact", f"{self.exact:.8g} ± {self.exact_error:.1g}, {self.source}"),
            ("difference", f"{100 * (self.mean / self.exact - 1):+.3g} %, z = {self.z:+.2f}"),
        ]
        return Table("ExactComparison", [*rows, *([("note", self.note)] if self.note else [])])


def compare_exact(
    result: ExitTimes,
    *,
    resolution: Any = 256,
    box: npt.ArrayLike | None = None,
    progress: bool = False,
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
    problem = whole(vars(result).get("problem"))
    if problem is None:
        raise ValueError(
            "the result must know its problem, got a copy that does not hold the system: give it to "
            "ExitTimes.load(path, system=...), or dataclasses.replace(result, problem=(system, region, x0))"
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
    if dim == 1 and interval(region) is not None:
        found = _chain(result, system, region, starts, weights, progress)
    elif is_map:
        raise ValueError(f"region must be an interval or a half-line for an exact mean, got {region!r}")
    else:
        found = _diffusion(result, system, region, starts, weights, (resolution, box, progress))
    exact, error, expected, source, notes = found
    if result.n_censored + result.n_diverged and expected is None:
        notes.append(
            f"{censored_share(result)} of the paths are censored, and the sampled mean is right as far as "
            "the rate of escape is constant"
        )
    elif expected is not None:
        notes.append(
            f"{censored_share(result)} of the paths are censored, and exposure over exits then converges to "
            f"{expected:.8g}, against which z is taken"
        )
    aim = exact if expected is None else expected
    if error > result.standard_error:
        notes.append(
            f"the exact mean is known to {100 * error / exact:.2g} % only, less well than the sampled one"
        )
    z = mean_deviation(*result.observations, aim, error)
    return ExactComparison(
        result.mean, result.standard_error, exact, error, float(z), source, "; ".join(notes), aim
    )


Found = tuple[float, float, float | None, str, list[str]]
"""Exact mean, its error, what a censored mean converges to (None: the same, or not known), source, notes."""


def _chain(
    result: ExitTimes, system: Any, region: Any, starts: Array, weights: Array, progress: bool
) -> Found:
    """The exact mean from the integral equation of the simulated chain."""
    step = None if isinstance(system, Map) else result.dt
    equation, points, unit = system_equation(system, starts, region, step, result.correction)
    announce("compare_exact", equation.seconds(), SMALLER)
    with PartsBar(progress, "compare_exact", PARTS) as bar:
        exact = float(weights @ equation.moments(points, bar=bar).mean) / unit
    two_ends = len(equation.barriers) == 2  # taken as independent within a step
    error = 1e-10 * exact + (1e-5 * result.dt if two_ends else 0.0)
    how = "whole steps" if result.correction is None else "Brownian-bridge crossings"
    source = f"from the integral equation of the chain itself ({how}, step {result.dt:g})"
    expected = None
    given_up = result.watched[~result.exited]
    # by Ctrl-C paths may have been given up at different times
    if len(given_up) and not result.n_diverged and (given_up == result.t_max).all():
        until = equation.censored(points, round(result.t_max / result.dt))
        if until is not None:
            expected = float(weights @ until[0]) / float(weights @ until[1]) / unit
    return exact, error, expected, source, []


def _diffusion(
    result: ExitTimes,
    system: Any,
    region: Any,
    starts: Array,
    weights: Array,
    options: tuple[Any, Any, bool],
) -> Found:
    """The exact mean from the backward Kolmogorov equation, with the options (resolution, box, progress)."""
    field = mean_exit_field(system, region, *options, verb="compare_exact")
    exact = float(weights @ field(starts))
    if not math.isfinite(exact):
        raise ValueError("box must contain every start, or there is no exact mean there")
    late = "of order step, with bridges" if result.correction else "of order sqrt(step), at whole steps"
    notes = [f"the bias of the time step ({late}) is in the sampled mean alone"]
    source = "from the backward Kolmogorov equation of the diffusion"
    error = float(weights @ _error_at(field, starts))
    if error > VAGUE * exact:
        notes.append(
            f"the exact mean is only known to {error:.2g} on this grid, so the difference says little: raise "
            "resolution, or give a smaller box"
        )
    return exact, error, None, source, notes


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
