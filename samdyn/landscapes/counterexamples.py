"""Losses on which sharpness-aware minimisation ends at points that are no minima.

`sine_trap` and `two_gaussian_well` stop it where the gradient does not vanish, or at a maximum. The `ring`
and the `tilted_hat` have a maximum inside a circle of low loss, so that from a point near the maximum the
perturbation reaches across it: the perturbed gradient vanishes where the gradient does not. Critical points
are closed forms, except in `two_gaussian_well`, where they are polished by Newton's method in 40 digits and
rounded to the nearest double.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import CriticalPoint, Landscape
from samdyn.landscapes.wells import LARGEST_TILT, cubic_roots


def _sine_trap(w: Tensor, beta: float, made_for: float) -> Tensor:
    frequency = 5 * math.pi / (3 * made_for)
    return beta / frequency**2 * torch.sin(frequency * w[0])


def _ring(w: Tensor) -> Tensor:
    return ((w * w).sum() - 1) ** 2 / 4


def _tilted_hat(w: Tensor, tilt: float) -> Tensor:
    return ((w * w).sum() - 1) ** 2 / 4 - tilt * w[0]


def _two_gaussian_well(w: Tensor) -> Tensor:
    narrow, wide = torch.exp(-8 * (w[0] + 2) ** 2), torch.exp(-((w[0] - 2) ** 2) / 2)
    return 0.02 * w[0] ** 2 - narrow - wide


@checked
def sine_trap(beta: float = 1.0, rho: float = 1.0) -> Landscape:
    """The sine f(x) = 9 beta rho^2 / (25 pi^2) sin(5 pi x / (3 rho)) in one dimension, of period 6 rho / 5.

    Parameters
    ----------
    beta : float
        Smoothness: the largest |f''|, positive.
    rho : float
        The perturbation radius that the trap is made for, positive.

    Returns
    -------
    Landscape
        On the box [-1.2 rho, 1.2 rho] of two periods, with the parameters `beta` and `made_for` (this rho:
        the name `rho` is left to the rule). Critical points: maxima at -0.9 rho and 0.3 rho,
        minima at -0.3 rho and 0.9 rho.

    Raises
    ------
    TypeError, ValueError
        beta or rho is not a finite number > 0.

    Notes
    -----
    A step of rho uphill is a step of rho/5 downhill modulo the period. Normalised SAM with that radius and
    a learning rate below 2 / beta therefore ends, from almost every start, at -rho / 10 or 7 rho / 10
    (modulo the period), where f'^2 = 27 beta^2 rho^2 / (100 pi^2).

    References
    ----------
    Si and Yun (2023), arXiv 2306.09850, theorem 3.5 (the function is quoted from memory; its properties are
    derived).

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.sine_trap(beta=1, rho=1)
    >>> float(loss.gradient([-0.1])[0] ** 2)
    0.0273567...
    """
    beta = checks.number("beta", beta, above=0)
    rho = checks.number("rho", rho, above=0)
    kinds = ("maximum", "minimum", "maximum", "minimum")
    return Landscape(
        _sine_trap,
        1,
        box=[(-1.2 * rho, 1.2 * rho)],
        name="sine trap",
        parameters={"beta": beta, "made_for": rho},
        critical_points=[
            CriticalPoint((0.3 * k * rho,), kind) for k, kind in zip((-3, -1, 1, 3), kinds, strict=True)
        ],
    )


@checked
def two_gaussian_well() -> Landscape:
    """A narrow and a wide well: f(x) = 0.02 x^2 - exp(-8 (x + 2)^2) - exp(-(x - 2)^2 / 2) in one dimension.

    Returns
    -------
    Landscape
        On the box [-5, 5]. Critical points: the sharp minimum (curvature 16.025), the maximum between the
        wells (-0.807) and the flat minimum (1.031).

    Notes
    -----
    The two minima are about equally deep, and GD starts from this box find the sharp one from 38 % of it.
    Under normalised SAM the maximum attracts from within rho, and at rho = 1 the sharp minimum gives way to
    an attractor at its right, rho away, where the gradient does not vanish.

    References
    ----------
    Of the kind that Si and Yun (2023), arXiv 2306.09850, section 2, show; the numbers are this library's own.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.two_gaussian_well()
    >>> [round(float(loss.hessian(point.x)[0, 0]), 3) for point in loss.critical_points]
    [16.025, -0.807, 1.031]
    """
    return Landscape(
        _two_gaussian_well,
        1,
        box=[(-5.0, 5.0)],
        name="two-Gaussian well",
        critical_points=[
            CriticalPoint((-1.9949261642706595,), "minimum"),
            CriticalPoint((-1.189004861641303,), "maximum"),
            CriticalPoint((1.9228565349889732,), "minimum"),
        ],
    )


@checked
def ring(dim: int = 2) -> Landscape:
    """The hat ``f(w) = (|w|^2 - 1)^2 / 4``, minimal on the unit sphere.

    Parameters
    ----------
    dim : int
        Number of coordinates, at least 2 (in one dimension it is `double_well`).

    Returns
    -------
    Landscape
        On the box [-1.5, 1.5]^dim. The only isolated critical point is the maximum at the origin, of height
        1/4 and with all eigenvalues -1.

    Raises
    ------
    TypeError, ValueError
        dim is not an integer >= 2.

    Notes
    -----
    In the flow of normalised SAM the maximum attracts the ball of radius rho where rho < 1; where 1 < rho <
    2 the sphere of radius rho - 1 consists of hallucinated minimizers.

    References
    ----------
    Of the type of figure 1 of Park et al. (2025), arXiv 2509.21818 (a set of minimisers and an isolated
    maximum; their formula is uncertain).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.ring().value([[0.0, 0.0], [0.6, 0.8]])
    array([0.25, 0.  ])
    """
    dim = checks.integer("dim", dim, at_least=2)
    return Landscape(
        _ring,
        dim,
        box=[(-1.5, 1.5)] * dim,
        name="ring",
        critical_points=[CriticalPoint((0.0,) * dim, "maximum")],
    )


@checked
def tilted_hat(dim: int = 2, tilt: float = 0.1) -> Landscape:
    """The tilted hat ``f(w) = (|w|^2 - 1)^2 / 4 - tilt w_1``: a ring with one minimum and one saddle.

    Parameters
    ----------
    dim : int
        Number of coordinates, at least 2 (in one dimension it is `tilted_double_well(-tilt)`).
    tilt : float
        Slope taken off along the first coordinate, 0 < tilt < 2 / (3 sqrt 3) = 0.3849: without it the
        minima are not isolated (`ring`), beyond it there is neither saddle nor maximum.

    Returns
    -------
    Landscape
        On the box [-1.5, 1.5]^dim, with the parameter `tilt`. Critical points, all on the first axis at the
        roots of t^3 - t - tilt: saddle, maximum, minimum in ascending order.

    Raises
    ------
    TypeError, ValueError
        dim is not an integer >= 2, or tilt is not a number of that range.

    Notes
    -----
    The saddle has dim - 1 falling directions. Under normalised SAM with tilt 0.1 and rho = 1.5 the point
    (0.5544, 0) attracts, and its perturbed point is the saddle.

    References
    ----------
    Park et al. (2025), arXiv 2509.21818, hallucinated minimizers (this example is not known to be theirs).

    Examples
    --------
    >>> import samdyn as sd
    >>> [(round(x[0], 6), kind) for x, kind in sd.landscapes.tilted_hat(tilt=0.1).critical_points]
    [(-0.945649, 'saddle'), (-0.101031, 'maximum'), (1.046681, 'minimum')]
    """
    dim = checks.integer("dim", dim, at_least=2)
    tilt = checks.number("tilt", tilt, above=0)
    if tilt >= LARGEST_TILT:
        raise ValueError(f"tilt must be a number > 0 and < {LARGEST_TILT:.6f}, got {tilt!r}")
    rest = (0.0,) * (dim - 1)
    kinds = ("saddle", "maximum", "minimum")
    return Landscape(
        _tilted_hat,
        dim,
        box=[(-1.5, 1.5)] * dim,
        name="tilted hat",
        parameters={"tilt": tilt},
        critical_points=[
            CriticalPoint((t, *rest), kind) for t, kind in zip(cubic_roots(-tilt), kinds, strict=True)
        ],
    )
