"""Losses on which SAM with constant radius stops short, after Si and Yun: where, how far, and for whom.

1. `sine_attractors`: full gradient, f = (beta / w^2) sin(w x). The shift by rho moves the phase by w rho,
   and SAM comes to rest where the gradient is not zero, or at the maxima too.
2. `two_centre_floor` and `centre_equilibrium`: sampled convex quadratics (beta / 2) (x - xi)^2. The mean
   step of SAM vanishes away from the minimiser whenever xi is skewed, whichever batch makes the
   perturbation.
3. `strongly_convex_trap` and `convex_trap` (in `si_yun_sample_traps`): two components whose gradients
   agree at the perturbed points, so that SAM with the same batch for both gradients is deterministic, and
   held, where the loss has a slope.

Status: the traps of 3 stand in for the constructions of Theorems 4.2 and 4.4, which were not recovered;
these ones and all figures are [derived] and checked by simulation. The sine trap is the paper's, as
remembered [memory].

References
----------
Si and Yun, Practical Sharpness-Aware Minimization Cannot Converge All the Way to Optima, NeurIPS 2023,
arXiv 2306.09850, sections 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize

from samdyn.arguments.checks import number
from samdyn.arguments.signature import checked
from samdyn.theory.si_yun_sample_traps import Trap, convex_trap, strongly_convex_trap

__all__ = [
    "SineAttractors",
    "Trap",
    "TwoCentreFloor",
    "centre_equilibrium",
    "convex_trap",
    "sine_attractors",
    "strongly_convex_trap",
    "two_centre_floor",
]


class SineAttractors(NamedTuple):
    """Where SAM rests on f(x) = (beta / w^2) sin(w x), by the phase w x in [0, 2 pi)."""

    phases: tuple[float, float]
    squared_gradient: float
    multiplier: float
    share_of_maxima: float


@checked
def sine_attractors(phase_shift: float, *, smoothness: float, rho: float, lr: float) -> SineAttractors:
    """Attractors of full-gradient SAM on f(x) = (beta / w^2) sin(w x), with w = phase_shift / rho.

    Parameters
    ----------
    phase_shift : float
        w rho > 0, not a multiple of pi. The sine trap of the paper has 5 pi / 3.
    smoothness : float
        beta, the largest curvature.
    rho : float
        Perturbation radius.
    lr : float
        Learning rate.

    Returns
    -------
    SineAttractors
        Where phase_shift lies in (pi, 2 pi), modulo 2 pi: the smooth attractors at the phases 3 pi / 2 -
        phase_shift and its mirror image, the squared gradient (beta / w)^2 sin(phase_shift)^2 there, the
        multiplier 1 - lr beta of the map, and share 0. Where it lies in (0, pi): both the minima and the
        maxima of f attract, the squared gradient is 0, no multiplier exists (nan: the field jumps there),
        and the maxima draw the share (phase_shift mod 2 pi) / pi of all starts as lr goes to zero.

    Examples
    --------
    >>> import math
    >>> from samdyn.theory.si_yun_traps import sine_attractors
    >>> rest = sine_attractors(5 * math.pi / 3, smoothness=1.0, rho=1.0, lr=0.5)
    >>> round(rest.squared_gradient, 12), rest.multiplier
    (0.027356719583, 0.5)
    """
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, above=0)
    lr, shift = number("lr", lr, above=0), number("phase_shift", phase_shift, above=0)
    turn = shift % (2 * math.pi)
    if min(turn, abs(turn - math.pi), 2 * math.pi - turn) < 1e-12 * shift:
        raise ValueError(f"phase_shift must not be a multiple of pi, got {phase_shift!r}")
    if turn < math.pi:
        return SineAttractors((1.5 * math.pi, 0.5 * math.pi), 0.0, math.nan, turn / math.pi)
    one = (1.5 * math.pi - turn) % (2 * math.pi)
    other = (math.pi - one) % (2 * math.pi)
    squared = (beta * rho / shift * math.sin(shift)) ** 2
    return SineAttractors((one, other), squared, 1 - lr * beta, 0.0)


@checked
def centre_equilibrium(
    distribution: Callable[[float], float], mean: float, rho: float, *, bracket: tuple[float, float]
) -> float:
    """Where the mean step of sampled SAM vanishes on components (beta / 2) (x - xi)^2 with random centre xi.

    Parameters
    ----------
    distribution : callable
        F(x) = P(xi <= x), continuous.
    mean : float
        E xi, the minimiser of the loss.
    rho : float
        Perturbation radius.
    bracket : (float, float)
        An interval that holds the equilibrium, such as one with the mean and the median inside.

    Returns
    -------
    float
        The solution of x - mean = rho (1 - 2 F(x)), unique since the right-hand side falls. It moves from
        the mean to the median as rho grows, for the same and for an independent batch alike; the loss there
        exceeds its minimum by (beta / 2) (x - mean)^2, however small lr.

    Examples
    --------
    >>> import math
    >>> from samdyn.theory.si_yun_traps import centre_equilibrium
    >>> def exponential(x):
    ...     return 1 - math.exp(-max(x, 0))
    >>> [round(centre_equilibrium(exponential, 1.0, rho, bracket=(0.0, 2.0)), 4) for rho in (0.1, 1.0, 3.0)]
    [0.9754, 0.8526, 0.7721]
    """
    mean, rho = number("mean", mean), number("rho", rho, at_least=0)
    if not callable(distribution):
        raise TypeError(f"distribution must be a function of a number, got {distribution!r}")
    if np.shape(bracket) != (2,):
        raise ValueError(f"bracket must be a pair (lower, upper), got {bracket!r}")

    def excess(x: float) -> float:
        try:
            share = number("distribution", distribution(x), at_least=0, at_most=1)
        except TypeError as error:
            raise TypeError(f"distribution must return the probability up to a number: {error}") from error
        return x - mean - rho * (1 - 2 * share)

    low, high = (number("bracket", end) for end in bracket)
    if not excess(low) <= 0 <= excess(high):
        raise ValueError(
            f"bracket must hold the equilibrium, got {bracket!r}: the mean step keeps its sign there"
        )
    return float(optimize.brentq(excess, low, high, xtol=1e-14, rtol=1e-14))


class TwoCentreFloor(NamedTuple):
    """Sampled SAM on components (beta / 2) (x - xi)^2, xi = +a or -a: limit and variance."""

    equilibrium: float
    minimiser: float
    gap: float
    variance: float


@checked
def two_centre_floor(
    p: float, a: float, *, smoothness: float, rho: float, lr: float, probe: str
) -> TwoCentreFloor:
    """Limit of sampled SAM on (beta / 2) (x - xi)^2 with xi = a with probability p and -a otherwise.

    Parameters
    ----------
    p : float
        In (0, 1).
    a : float
        Half the distance of the centres.
    smoothness, rho, lr : float
        beta, the perturbation radius and the learning rate, with lr < 2 / beta.
    probe : {"same", "independent"}
        The batch that makes the perturbation. The limit is the same; the variance is not.

    Returns
    -------
    TwoCentreFloor
        For |2 p - 1| (a + rho) < a: equilibrium (2 p - 1) (a + rho), minimiser (2 p - 1) a, and
        gap (beta / 2) (2 p - 1)^2 rho^2, which no learning rate lowers. The variance is exact as long as no
        iterate leaves (-a, a): lr beta A 4 p (1 - p) / (2 - lr beta), with A = (a + rho)^2 for the same
        batch and a^2 + rho^2 for an independent one. Otherwise the limit is the centre with the greater
        weight, and the variance is nan.

    Examples
    --------
    >>> from samdyn.theory.si_yun_traps import two_centre_floor
    >>> floor = two_centre_floor(0.7, 1.0, smoothness=1.0, rho=0.5, lr=0.05, probe="same")
    >>> round(floor.equilibrium, 12), round(floor.gap, 12), round(floor.variance, 4)
    (0.6, 0.02, 0.0485)
    """
    p, a = number("p", p, above=0, below=1), number("a", a, above=0)
    beta, rho = number("smoothness", smoothness, above=0), number("rho", rho, at_least=0)
    s = number("lr", lr, above=0, below=2 / beta, because="2 / smoothness") * beta
    if probe not in ("same", "independent"):
        raise ValueError(f"probe must be 'same' or 'independent', got {probe!r}")
    minimiser = (2 * p - 1) * a
    equilibrium = (2 * p - 1) * (a + rho)
    amplitude = (a + rho) ** 2 if probe == "same" else a**2 + rho**2
    variance = s * amplitude * 4 * p * (1 - p) / (2 - s)
    if abs(equilibrium) >= a:
        equilibrium, variance = math.copysign(a, equilibrium), math.nan
    return TwoCentreFloor(equilibrium, minimiser, beta / 2 * (equilibrium - minimiser) ** 2, variance)
