"""Exit times, committors and exit rates of a diffusion without sampling: the backward Kolmogorov equation.

For dX = b dt + sigma dW with a = sigma sigma^T the generator is L = b . grad + (1/2) a : hess.

- `mean_exit_time`: L T = -1 in the region and T = 0 where paths leave; moments from L T_k = -k T_(k-1).
- `committor`: L q = 0, q = 0 in A and 1 in B.
- `exit_rate`: the smallest eigenvalue of -L with absorbing boundary, the rate at which the survival
  probability decays.

In one dimension they are integrals (`kolmogorov_1d`: relative accuracy near 1e-10, any size of the result).
In two dimensions they are solved by exponentially fitted differences and by central ones on three grids, with
Richardson extrapolation (`kolmogorov_2d`). Which box is solved where the region is unbounded: see `domain`.

References
----------
Gardiner, Handbook of Stochastic Methods, chapter 5. Risken, The Fokker-Planck Equation, chapter 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.escape.region import OpenSet
from samdyn.escape.solver import kolmogorov_1d as line
from samdyn.escape.solver import kolmogorov_2d
from samdyn.escape.solver.domain import (
    Absorbed,
    Exit,
    ItoDiffusion,
    TooLongError,
    check_region,
    check_targets,
    coefficients,
    solve_box,
)
from samdyn.escape.solver.field import Field, PanelInterpolant
from samdyn.escape.solver.kolmogorov_2d import Problem
from samdyn.results import Result, Table

MOST_MOMENTS = 100  # a larger number is a mistake

Resolution = int | tuple[int, int]


@dataclass(frozen=True, eq=False, repr=False)
class ExitRate(Result):
    """The slowest rate of escape, in units of 1/time, with an estimate of its error.

    Attributes
    ----------
    value, error : float
        ``float(rate)`` is the value.
    """

    cited = ("kushner2001",)

    value: float
    error: float

    def __float__(self) -> float:
        return self.value

    def table(self) -> Table:
        """The rate and its error."""
        return Table(f"ExitRate: {self.value:.9g} ± {self.error:.1g}")


@checked
def mean_exit_time(
    system: ItoDiffusion,
    region: OpenSet,
    *,
    resolution: Resolution = 256,
    box: npt.ArrayLike | None = None,
    moment: int = 1,
    progress: bool = False,
) -> Field:
    """Mean exit time from a region, as a function of the start.

    Parameters
    ----------
    system : Diffusion
        In one or two dimensions, with constant coefficients and noise in every direction.
    region : region
        The open set in which a path lives.
    resolution : int or pair of int
        Two dimensions: cells along the longer side of the box, or along each side, on the finest of three
        grids. One dimension adapts itself and ignores it.
    box : array_like, shape (dim, 2), optional
        Where the region is unbounded, the box to solve in; its walls reflect. By default one that paths
        hardly ever leave.
    moment : int
        1 for the mean, k for E[tau^k].
    progress : bool
        Show a bar over the grids (two dimensions).

    Returns
    -------
    Field
        Time (to the power `moment`); 0 where paths have left.

    Raises
    ------
    TypeError, ValueError
        An argument is unusable, or the region is unbounded where the drift does not lead back.

    Notes
    -----
    Two dimensions: noise of any direction is carried by jumps along lattice vectors. Where the drift is much
    stronger than the noise over a cell, two discretisations are compared, and `Field.error` holds their
    difference; where it is as large as the values, a `NotConvergedWarning` says which resolution would do.
    Times beyond 1e10 of the fastest time scale on the grid drown in rounding there (not in one dimension).
    Cost: some seconds at resolution 256, six times as many at twice that; noise a hundred times as strong
    in one oblique direction as across it takes three times as long. A `CostWarning` precedes longer work.

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.escape.solver.kolmogorov import mean_exit_time
    >>> noise = sd.GaussianNoise(std=2.0**0.5)
    >>> sde = sd.Diffusion(sd.landscapes.saddle(1.0, 1.0), sd.GD(), lr=0.1, noise=noise)
    >>> time = mean_exit_time(sde, sd.Box([-1, -1], [1, 1]), resolution=64)
    >>> time([0.0, 0.0]).round(3)
    np.float64(1.71)
    """
    return mean_exit_field(system, region, resolution, box, progress, moment=moment)


def mean_exit_field(
    system: ItoDiffusion,
    region: OpenSet,
    resolution: Resolution,
    box: npt.ArrayLike | None,
    progress: bool,
    *,
    moment: int = 1,
    verb: str = "mean_exit_time",
) -> Field:
    """The field of `mean_exit_time`; `verb` is the public name under which its cost is said."""
    moment = checks.integer("moment", moment, at_least=1, below=MOST_MOMENTS + 1)
    unit = "units of time" if moment == 1 else f"units of time^{moment}"
    name = "mean exit time" if moment == 1 else f"moment {moment} of the exit time"
    coefficients(system)
    check_region("region", region, system.dim)
    exits = (Exit(region, 1.0, 0.0),)
    if system.dim == 2:
        problem = Problem(system, exits, box, resolution, verb, progress)
        return kolmogorov_2d.solve(problem, moment, name, unit)

    def solve(inverse: line.Inverse, values: tuple[float, float]) -> Array:
        return line.moments(inverse, moment)

    return _on_intervals(system, exits, box, solve, name, unit)


@checked
def committor(
    system: ItoDiffusion,
    origin: OpenSet,
    target: OpenSet,
    *,
    resolution: Resolution = 256,
    box: npt.ArrayLike | None = None,
    progress: bool = False,
) -> Field:
    """Probability of reaching B before A, as a function of the start.

    Parameters
    ----------
    system : Diffusion
        In one or two dimensions.
    origin, target : region
        Disjoint, and each large enough to hold a node of the grid.
    resolution, box, progress
        As in `mean_exit_time`; the box is one for the outside of A and B.

    Returns
    -------
    Field
        A probability: 0 in A and 1 in B.

    Raises
    ------
    TypeError, ValueError
        An argument is unusable, A and B overlap, or one of them lies between the nodes or outside the box.

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.escape.solver.kolmogorov import committor
    >>> noise = sd.GaussianNoise(std=2.0**0.5)
    >>> sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.02, noise=noise)
    >>> q = committor(sde, sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], 0.0))
    >>> float(f"{q([-0.9]):.6g}")
    2.43632e-06
    """
    coefficients(system)
    check_region("origin", origin, system.dim)
    check_region("target", target, system.dim)
    exits = (Exit(origin, -1.0, 0.0), Exit(target, -1.0, 1.0))
    if system.dim == 2:
        problem = Problem(system, exits, box, resolution, "committor", progress)
        return kolmogorov_2d.solve(problem, 0, "committor", "")

    def solve(inverse: line.Inverse, values: tuple[float, float]) -> Array:
        if not all(inverse.absorbs) or values[0] == values[1]:
            value = values[0] if inverse.absorbs[0] else values[1]
            return np.full_like(inverse.panels.x, value)
        return np.exp(inverse.probability_right() if values[1] == 1.0 else inverse.probability_left())

    return _on_intervals(system, exits, box, solve, "committor", "")


@checked
def exit_rate(
    system: ItoDiffusion,
    region: OpenSet,
    *,
    resolution: Resolution = 256,
    box: npt.ArrayLike | None = None,
    progress: bool = False,
) -> ExitRate:
    """Rate at which the probability of still being in the region decays at late times.

    Parameters
    ----------
    system, region, resolution, box, progress
        As in `mean_exit_time`. Where the region falls into parts, the slowest of them.

    Returns
    -------
    ExitRate
        In units of 1/time.

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.escape.solver.kolmogorov import exit_rate
    >>> sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0**0.5))
    >>> round(float(exit_rate(sde, sd.HalfSpace([1.0], 0.0))), 9)
    0.033545287
    """
    coefficients(system)
    check_region("region", region, system.dim)
    exits = (Exit(region, 1.0, 0.0),)
    if system.dim == 2:
        problem = Problem(system, exits, box, resolution, "exit_rate", progress)
        return ExitRate(*kolmogorov_2d.slowest_rate(problem))
    rate, log_variance = _one_dimensional(system)
    found = []
    for lower, upper, absorbs, _ in _intervals(exits, solve_box(system, exits, box)[0]):
        coarse = line.panels(rate, log_variance, lower, upper)
        fine = line.from_edges(rate, log_variance, line.halved(coarse.edges))
        values = [line.slowest_rate(line.Inverse(p, absorbs)) for p in (coarse, fine)]
        found.append(ExitRate(values[1], abs(values[1] - values[0]) + 1e-12 * values[1]))
    return min(found, key=float)


# One dimension


def _one_dimensional(diffusion: ItoDiffusion) -> tuple[line.Function, line.Function]:
    """2 b/a and log a as functions of arrays of numbers."""

    def variance(x: Array) -> Array:
        a: Array = np.asarray(diffusion.covariance(x[..., None]), dtype=np.float64)[..., 0, 0]
        if not (a > 0).all():
            raise ValueError(
                f"covariance must be > 0 everywhere in the region, got {a.min():g} "
                f"near {x.flat[int(a.argmin())]:g}"
            )
        return a

    def rate(x: Array) -> Array:
        drift: Array = np.asarray(diffusion.drift(x[..., None]), dtype=np.float64)[..., 0]
        return 2 * drift / variance(x)

    return rate, lambda x: np.log(variance(x))


def _intervals(
    exits: tuple[Exit, ...], window: Array
) -> list[tuple[float, float, tuple[bool, bool], tuple[float, float]]]:
    """Free intervals in a window, whether their ends absorb, and the boundary values there."""
    absorbed = Absorbed(exits)
    x = np.linspace(window[0], window[1], 4001)
    scale = max(abs(window[0]), abs(window[1]))
    if len(exits) > 1:
        check_targets(exits, x[:, None])

    def distance(point: float) -> float:
        return float(absorbed.distance_and_value(np.array([[point]]))[0][0])

    s, _ = absorbed.distance_and_value(x[:, None])
    free = s < -1e-14 * scale
    change = np.flatnonzero(free[1:] != free[:-1])
    roots = [
        brentq(distance, x[i], x[i + 1], xtol=1e-15 * scale, rtol=1e-15)
        if s[i] * s[i + 1] < 0
        else x[i if free[i + 1] else i + 1]
        for i in change
    ]
    ends = [*([window[0]] if free[0] else []), *roots, *([window[1]] if free[-1] else [])]
    inner = (window[1] - window[0]) * 1e-9
    result = []
    for i, (lower, upper) in enumerate(zip(ends[::2], ends[1::2], strict=True)):
        absorbs = (not (i == 0 and free[0]), not (upper == ends[-1] and free[-1]))
        # the exit that a path meets just outside each end
        outside = np.array([[lower - inner], [upper + inner]])
        result.append(
            (float(lower), float(upper), absorbs, tuple(absorbed.distance_and_value(outside)[1].tolist()))
        )
    if not result:
        raise ValueError(f"region must have an inside in {window.tolist()}")
    if not any(any(r[2]) for r in result):
        raise ValueError(
            f"region must have a boundary in {window.tolist()}, or no path exits; give a larger box"
        )
    return [r for r in result if any(r[2])]


def _on_intervals(
    diffusion: ItoDiffusion,
    exits: tuple[Exit, ...],
    box: npt.ArrayLike | None,
    solve: Callable[[line.Inverse, tuple[float, float]], Array],
    name: str,
    unit: str,
) -> Field:
    rate, log_variance = _one_dimensional(diffusion)
    parts = []
    for lower, upper, absorbs, values in _intervals(exits, solve_box(diffusion, exits, box)[0]):
        coarse = line.panels(rate, log_variance, lower, upper)
        fine = line.from_edges(rate, log_variance, line.halved(coarse.edges))
        with np.errstate(over="ignore", invalid="ignore"):  # too long a time is refused below
            rough, exact = (solve(line.Inverse(p, absorbs), values) for p in (coarse, fine))
        if not np.isfinite(exact).all():
            raise TooLongError(
                f"{name} must be below 1e308 for double precision, got more on ({lower:g}, {upper:g}): "
                "give more noise or a smaller region"
            )
        estimate = PanelInterpolant(coarse.edges[:-1], coarse.edges[1:], rough)(fine.x.reshape(-1, 1))
        error = np.abs(estimate.reshape(exact.shape) - exact) + 1e-13 * np.abs(exact)
        parts.append((fine.edges[:-1], fine.edges[1:], fine.x, exact, error))
    low, high, x, exact, error = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Field(
        name,
        unit,
        (x.ravel(),),
        exact.ravel(),
        error.ravel(),
        PanelInterpolant(low, high, exact),
        Absorbed(exits),
    )
