"""The coefficients of a step: what lr, rho and other schedules are at each step of a simulation.

A schedule counts steps of the algorithm. A step of a `Map` is one; a step of length dt of a `Diffusion`
covers dt / lr(0) of them, so that step k reads its schedules at int(k dt / lr(0)). A tiny share is added
before the part behind the point is dropped, since k dt / lr(0) may round to just below a whole number.
"""

from __future__ import annotations

from collections.abc import Callable

from samdyn.dynamics.contract import Coefficients
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

ROUNDING = 1e-9  # share of a step by which k dt / lr(0) may fall short of a whole number


def algorithm_step(time: float, system: Map | Diffusion) -> int:
    """The step of the algorithm at a time of the system.

    Examples
    --------
    >>> import samdyn as sd
    >>> sgd = sd.Diffusion(sd.landscapes.beale(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    >>> [algorithm_step(time, sgd) for time in (0.0, 0.25, 3 * 0.1)]
    [0, 2, 3]
    """
    return int(time / (system.step_length or 1.0) + ROUNDING)


def coefficients_at(system: Map | Diffusion, dt: float | None = None) -> Callable[[int], Coefficients]:
    """The system's coefficients as a function of the step of a simulation.

    Parameters
    ----------
    system : Map or Diffusion
    dt : float, optional
        Length of the steps of a Diffusion, its lr(0) by default.

    Returns
    -------
    callable
        Step to the values by name.
    """
    if not system.scheduled:
        constant = system.coefficients()
        return lambda step: constant
    length = (system.step_length or 1.0) if dt is None or system.discrete else dt
    return lambda step: system.coefficients(algorithm_step(step * length, system))
