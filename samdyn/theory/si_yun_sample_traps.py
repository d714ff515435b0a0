"""Traps for SAM with the same sample in both gradients, after Si and Yun: two agreeing components.

The two have equal derivatives at their perturbed points, so that nothing is random any more, and the loss has
a slope there. They stand in for the constructions of Theorems 4.2 and 4.4, which were not recovered; all
figures are [derived] and checked by simulation. See `samdyn.theory.si_yun_traps`.

References
----------
Si and Yun, Practical Sharpness-Aware Minimization Cannot Converge All the Way to Optima, NeurIPS 2023,
arXiv 2306.09850, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array, number
from samdyn.arguments.signature import checked

__all__ = ["Trap", "convex_trap", "strongly_convex_trap"]


@dataclass(frozen=True)
class Trap:
    """Two equally likely components that hold SAM with the same batch at a slope of their mean.

    Attributes
    ----------
    slope : callable
        Derivative of the loss f, at points of any shape.
    split : callable
        K: the components have the derivatives f' + K and f' - K.
    window : (float, float)
        An interval that same-batch SAM does not leave, for any learning rate up to `largest_lr`.
    attractor : float
        Where same-batch SAM ends from the window; independent batches carry on to the minimiser.
    multiplier_slope : float
        The map's multiplier there is 1 - lr times this.
    largest_lr : float
    squared_gradient : float
        f'(attractor)^2.
    noise_std : float
        sup |K|, the standard deviation of the sampled gradient.
    """

    slope: Callable[[npt.ArrayLike], Array]
    split: Callable[[npt.ArrayLike], Array]
    window: tuple[float, float]
    attractor: float
    multiplier_slope: float
    largest_lr: float
    squared_gradient: float
    noise_std: float

    @checked
    def component(self, x: npt.ArrayLike, sign: npt.ArrayLike) -> Array:
        """Derivative of the component f' + sign K at points x, for sign +1 or -1."""
        return self.slope(x) + np.asarray(sign) * self.split(x)


@checked
def strongly_convex_trap(*, smoothness: float, rho: float) -> Trap:
    """A strongly convex loss where same-batch SAM stays at x = rho, with f - f* = beta rho^2 / 10.

    The loss is mu x^2 / 2 with mu = beta / 5. The components have the derivatives mu x +- K(x), K piecewise
    linear through the points (x / rho, K / (beta rho)) = (0.1, 0), (0.9, 0.24), (1.1, 0.24), (1.9, -0.4)
    and constant outside them; their curvatures lie in [-0.6 beta, beta]. On [0.9 rho, 1.1 rho] the one
    slopes up and the other down, and both have the derivative mu (x - rho) at their perturbed points.
    Components that are not convex are needed: a convex one always pushes towards smaller values where it
    slopes up.

    Examples
    --------
    >>> from samdyn.theory.si_yun_traps import strongly_convex_trap
    >>> trap = strongly_convex_trap(smoothness=1.0, rho=1.0)
    >>> trap.attractor, round(trap.squared_gradient, 12)
    (1.0, 0.04)
    """
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, above=0)
    mu = beta / 5
    places, values = rho * np.array([0.1, 0.9, 1.1, 1.9]), beta * rho * np.array([0.0, 0.24, 0.24, -0.4])

    def slope(x: npt.ArrayLike) -> Array:
        return mu * np.asarray(x, dtype=np.float64)

    def split(x: npt.ArrayLike) -> Array:
        return np.asarray(np.interp(np.asarray(x, dtype=np.float64), places, values))

    window = (0.9 * rho, 1.1 * rho)
    return Trap(slope, split, window, rho, mu, 1 / mu, (mu * rho) ** 2, 0.4 * beta * rho)


@checked
def convex_trap(
    *, smoothness: float, rho: float, place: float | None = None, angle: float = math.pi / 3
) -> Trap:
    """A convex loss on which same-batch SAM stays at `place`, as far from the minimiser as one likes.

    The loss is Huber's, f'(x) = s0 clip(x / rho, -1, 1); its components have the derivatives f' +- K,
    K(x) = A sin(w (x - place) + angle) to the right of its zero at place - (angle + 2 pi) / w, else 0,
    with A = 2 beta rho / (3 pi), w = 3 pi / (2 rho) and s0 = A cos(angle). The perturbed points of the two
    lie three quarters of a period to either side, and there both components have the same derivative s0 - A
    cos(w (x - place) + angle), which is zero at `place`. Only the gradient has a floor of order rho^2, not
    the gap.

    Parameters
    ----------
    smoothness, rho : float
        beta and the perturbation radius.
    place : float, optional
        At least (angle + 2 pi) / w + 2 rho, so that the components agree with f around its kink; 5 rho by
        default.
    angle : float
        In (pi / 4, pi / 2).

    Examples
    --------
    >>> from samdyn.theory.si_yun_traps import convex_trap
    >>> trap = convex_trap(smoothness=1.0, rho=1.0)
    >>> trap.attractor, round(trap.squared_gradient, 7)
    (5.0, 0.0112579)
    """
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, above=0)
    angle = number("angle", angle, above=math.pi / 4, below=math.pi / 2)
    amplitude, frequency = 2 * beta * rho / (3 * math.pi), 3 * math.pi / (2 * rho)
    lead = (angle + 2 * math.pi) / frequency
    centre = number("place", 5 * rho if place is None else place, at_least=lead + 2 * rho)
    height = amplitude * math.cos(angle)

    def slope(x: npt.ArrayLike) -> Array:
        return np.asarray(height * np.clip(np.asarray(x, dtype=np.float64) / rho, -1, 1))

    def split(x: npt.ArrayLike) -> Array:
        x = np.asarray(x, dtype=np.float64)
        return np.where(x > centre - lead, amplitude * np.sin(frequency * (x - centre) + angle), 0.0)

    # where K > height: there the components slope in opposite directions
    window = (centre + (math.pi / 2 - 2 * angle) / frequency, centre + math.pi / 2 / frequency)
    return Trap(slope, split, window, centre, beta * math.sin(angle), 1 / beta, height**2, amplitude)
