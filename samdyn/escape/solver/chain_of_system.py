"""The chain that a system is: exact exit times of a `Map`, or of Euler-Maruyama steps, in one dimension.

A map with Gaussian noise, and a diffusion stepped by Euler-Maruyama, are chains x' = x + b(x) dt + s(x) xi;
the integral equation for their exit times is solved in `samdyn.escape.solver.chain`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.dynamics.backends.traced_step import TracedStep
from samdyn.dynamics.clock import coefficients_at
from samdyn.escape.region import OpenSet
from samdyn.escape.solver.chain import PARTS, ChainEquation, ChainExitTime, chain_equation, check_ways
from samdyn.escape.solver.domain import ItoDiffusion, interval
from samdyn.jobs.cost import announce
from samdyn.jobs.progress import PartsBar
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch

LOOKED_AT = 8  # steps that are compared; chosen
SMALLER = "a smaller region, a larger dt or more noise makes the equation smaller"
"""What makes the equation cheaper, as a clause."""


def chain_exit_time(
    system: Map | ItoDiffusion,
    x0: npt.ArrayLike,
    region: OpenSet,
    *,
    dt: float | None = None,
    correction: str | None = None,
    crossing: str = "inside",
    progress: bool = False,
) -> ChainExitTime:
    """Exit-time moments of a stochastic `Map`, or of Euler-Maruyama steps of a `Diffusion`, in one dimension.

    Parameters
    ----------
    system : Map or Diffusion
        One-dimensional, with constant coefficients; a map with Gaussian noise of ``probe="full"``, whose rule
        has no memory and makes a Gaussian step of it. Steps on batches are not Gaussian.
    x0 : array_like, shape (..., 1)
        Starts.
    region : region
        With the interval's ends: `HalfSpace`, `Box`, `Ball`, or an intersection of them.
    dt : float
        Time step of a diffusion; a map has none and counts steps.
    correction, crossing
        As in `chain_mean_exit_time`; a map has no time inside a step and takes None.
    progress : bool
        Show a progress bar over the parts of the work: the matrix, its factors, the solutions.

    Returns
    -------
    ChainExitTime
        In steps for a map, in time for a diffusion.

    Warns
    -----
    CostWarning
        The equation will take more than ten seconds, by the number of its entries.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    >>> sd.chain_exit_time(sgd, [-1.0], sd.HalfSpace([1.0], 0.0)).mean.round(4)
    np.float64(4168.9393)
    """
    check_ways(correction, crossing)
    equation, starts, unit = system_equation(system, x0, region, dt, correction)
    progress = checks.flag("progress", progress)
    announce("chain_exit_time", equation.seconds(), SMALLER)
    with PartsBar(progress, "chain_exit_time", PARTS) as bar:
        result = equation.moments(starts, times_crossing=crossing == "inside", bar=bar)
    return ChainExitTime(result.mean / unit, result.second_moment / unit**2, result.n_nodes)


def system_equation(
    system: Map | ItoDiffusion, x0: npt.ArrayLike, region: OpenSet, dt: float | None, correction: str | None
) -> tuple[ChainEquation, Array, float]:
    """The integral equation of a system, its starts (...,), and the time of a step in the unit of results.

    Arguments as in `chain_exit_time`.
    """
    if not (isinstance(system, Map) or hasattr(system, "drift")) or getattr(system, "dim", None) != 1:
        raise ValueError(f"system must be a Map or a Diffusion of one dimension, got {system!r}")
    if getattr(system, "scheduled", False):
        raise ValueError("system must have constant coefficients: its rho or lr is a schedule")
    starts = checks.points("x0", x0, 1)[..., 0]
    ends = interval(region) if isinstance(region, OpenSet) else None
    if ends is None or np.isinf(ends).all():
        raise ValueError(
            f"region must be an interval or a half-line of HalfSpace, Box and Ball, got {region!r}"
        )
    unit = 1.0
    if isinstance(system, Map):
        if dt is not None or correction is not None:
            raise ValueError(
                "dt and correction must be None for a map, which has no time inside a step, "
                f"got dt={dt!r} and correction={correction!r}"
            )
        dt = unit = checks.number("system.lr", system.lr)
        diffusion: ItoDiffusion = _diffusion_of(system, starts)
    elif dt is None:
        raise ValueError("dt must be given for a diffusion, as a finite number > 0, got None")
    else:
        diffusion = system
    step = checks.number("dt", dt, above=0)

    def drift(x: Array) -> Array:
        return np.asarray(diffusion.drift(x[..., None]), dtype=np.float64)[..., 0]

    def deviation(x: Array) -> Array:
        covariance = np.asarray(diffusion.covariance(x[..., None]), dtype=np.float64)
        return np.sqrt(covariance[..., 0, 0] * step)

    if not ((starts > ends[0]) & (starts < ends[1])).all():
        raise ValueError(f"x0 must lie inside the interval {ends!r}, got {x0!r}")
    try:
        equation = chain_equation(drift, deviation, ends, step, starts, correction)
    except ValueError as error:
        raise ValueError(f"dt must give steps that the region resolves: {error}") from error
    return equation, starts, unit


def _diffusion_of(system: Map, starts: Array) -> Diffusion:
    """The diffusion whose Euler-Maruyama steps of length lr are the steps of a map.

    That they are is looked at: about the first start, where both take steps with the same random numbers.
    """
    loss, rule, noise = system.landscape, system.rule, system.noise
    if loss is None or rule is None or noise is None or system.momentum != 0:
        raise ValueError(f"system must be a map with noise and without momentum, got {system!r}")
    if getattr(noise, "probe", "full") != "full":
        raise ValueError(
            f"system.noise.probe must be 'full': with another probe a step is not Gaussian, got {noise!r}"
        )
    if isinstance(noise, Minibatch) or rule.memory:
        raise ValueError(f"system must have Gaussian noise and a rule without memory, got {system!r}")
    diffusion = Diffusion(loss, rule, lr=system.lr, noise=noise)
    first = float(starts.flat[0]) if starts.size else 0.0
    x = first + 0.1 * (1 + abs(first)) * np.linspace(-1, 1, LOOKED_AT)
    z = np.linspace(-2, 1.5, LOOKED_AT)
    # a map subtracts its noise, whose law is the same
    moved, expected = _stepped(system, x, z), _stepped(diffusion, x, -z)
    if moved is None or expected is None or not np.allclose(moved, expected, rtol=1e-9, atol=1e-9):
        raise ValueError(
            "system must be a map whose step is a function of the point plus the noise, got "
            f"{system!r}, whose rule makes another step of it"
        )
    return diffusion


def _stepped(system: Map | Diffusion, x: Array, z: Array) -> Array | None:
    """Steps from points x (n,) with normal numbers z (n,); None where a step takes more than one."""
    step, numbers = TracedStep(system), coefficients_at(system)(0)
    if step.stepper.draws.n_inputs != 1:
        return None
    values = [np.float64(numbers[name]) for name in step.stepper.names]
    return np.asarray(step.step([x], [z], values, numbers["lr"])[0])
