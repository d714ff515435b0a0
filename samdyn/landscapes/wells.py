"""Wells: minima with barriers between them, for escape and for basins.

All critical points are closed forms; the critical points of a tilted well are the roots of a cubic by Viete's
formula.
"""

from __future__ import annotations

import math

from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import CriticalPoint, Landscape

#: t^3 - t + c has three real roots where |c| is below this
LARGEST_TILT = 2 / (3 * math.sqrt(3))


def _double_well_1d(w: Tensor) -> Tensor:
    return (w[0] ** 2 - 1) ** 2 / 4


def _double_well(w: Tensor, stiffness: float) -> Tensor:
    return (w[0] ** 2 - 1) ** 2 / 4 + stiffness * (w[1:] ** 2).sum() / 2


def _tilted_double_well(w: Tensor, tilt: float) -> Tensor:
    return (w[0] ** 2 - 1) ** 2 / 4 + tilt * w[0]


def _coupled_double_well(w: Tensor) -> Tensor:
    return (w[0] ** 2 - 1) ** 2 / 4 + (1 + w[0] ** 2) * w[1] ** 2 / 2


def _embedded_saddle(w: Tensor) -> Tensor:
    return (w[0] ** 2 - w[1] ** 2) / 2 + (w[0] ** 4 + w[1] ** 4) / 4


def cubic_roots(c: float) -> tuple[float, float, float]:
    """The three real roots of t^3 - t + c in ascending order, for |c| < `LARGEST_TILT`.

    Viete's trigonometric formula, then two Newton steps to remove its rounding error.

    Examples
    --------
    >>> cubic_roots(0.0)
    (-1.0, 0.0, 1.0)
    """
    angle = math.acos(-c / LARGEST_TILT) / 3
    roots = [2 / math.sqrt(3) * math.cos(angle + turn * 2 * math.pi / 3) for turn in (1, 2, 0)]
    for _ in range(2):
        roots = [t - (t * (t * t - 1) + c) / (3 * t * t - 1) for t in roots]
    return roots[0], roots[1], roots[2]


@checked
def double_well(dim: int = 1, stiffness: float = 1.0) -> Landscape:
    """The double well f(w) = (w_1^2 - 1)^2 / 4 + stiffness (w_2^2 + ... + w_dim^2) / 2.

    Parameters
    ----------
    dim : int
        Number of coordinates.
    stiffness : float
        Curvature of every coordinate but the first, positive; without effect where dim = 1.

    Returns
    -------
    Landscape
        On the box [-2, 2] x [-1.5, 1.5]^(dim - 1), with the parameter `stiffness` where dim > 1. Critical
        points: minima at w_1 = -1 and 1, and the barrier at 0 (a maximum where dim = 1, else a saddle) of
        height 1/4.

    Raises
    ------
    TypeError, ValueError
        dim is not an integer >= 1, or stiffness is not a finite number > 0.

    Notes
    -----
    x^4/4 - x^2/2 is this function less 1/4. Curvature is 2 in the wells and -1 on the barrier, so that the
    Eyring-Kramers time between the wells is 4.44288 exp(0.25 / D) for noise of diffusivity D. Under
    normalised SAM with 1 < rho < 2 the points w_1 = -(rho - 1), rho - 1 are hallucinated minimizers.

    References
    ----------
    Kramers (1940), Physica 7, 284-304, treats escape from such a well; Park et al. (2025), arXiv 2509.21818,
    hallucinated minimizers.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.double_well().value([[0.0], [1.0]])
    array([0.25, 0.  ])
    """
    dim = checks.integer("dim", dim, at_least=1)
    stiffness = checks.number("stiffness", stiffness, above=0)
    rest = (0.0,) * (dim - 1)
    return Landscape(
        _double_well_1d if dim == 1 else _double_well,
        dim,
        box=[(-2.0, 2.0)] + [(-1.5, 1.5)] * (dim - 1),
        name="double well",
        parameters=None if dim == 1 else {"stiffness": stiffness},
        critical_points=[
            CriticalPoint((-1.0, *rest), "minimum"),
            CriticalPoint((0.0, *rest), "maximum" if dim == 1 else "saddle"),
            CriticalPoint((1.0, *rest), "minimum"),
        ],
    )


@checked
def tilted_double_well(tilt: float = 0.2) -> Landscape:
    """The tilted double well f(x) = (x^2 - 1)^2 / 4 + tilt x in one dimension.

    Parameters
    ----------
    tilt : float
        Slope added, |tilt| < 2 / (3 sqrt 3) = 0.3849: beyond that only one well is left. Positive makes the
        left well the deeper one.

    Returns
    -------
    Landscape
        On the box [-2, 2], with the parameter `tilt`. Critical points: two minima and the maximum between
        them, the roots of x^3 - x + tilt.

    Raises
    ------
    TypeError, ValueError
        tilt is not a finite number of that range.

    Notes
    -----
    The fold of continuation in `tilt`: the shallow minimum and the maximum meet at |x| = 1 / sqrt 3.

    References
    ----------
    Normal form of the imperfect pitchfork: Strogatz, Nonlinear Dynamics and Chaos, section 3.6.

    Examples
    --------
    >>> import samdyn as sd
    >>> [(round(x, 6), kind) for (x,), kind in sd.landscapes.tilted_double_well(0.2).critical_points]
    [(-1.088034, 'minimum'), (0.209149, 'maximum'), (0.878885, 'minimum')]
    """
    tilt = checks.number("tilt", tilt)
    if abs(tilt) >= LARGEST_TILT:
        raise ValueError(f"tilt must lie between -{LARGEST_TILT:.6f} and {LARGEST_TILT:.6f}, got {tilt!r}")
    kinds = ("minimum", "maximum", "minimum")
    return Landscape(
        _tilted_double_well,
        1,
        box=[(-2.0, 2.0)],
        name="tilted double well",
        parameters={"tilt": tilt},
        critical_points=[CriticalPoint((t,), kind) for t, kind in zip(cubic_roots(tilt), kinds, strict=True)],
    )


@checked
def coupled_double_well() -> Landscape:
    """The double well with a coupled second coordinate: f(x, y) = (x^2 - 1)^2 / 4 + (1 + x^2) y^2 / 2.

    Returns
    -------
    Landscape
        On the box [-2, 2] x [-1.5, 1.5]. Critical points: minima at (-1, 0) and (1, 0) with eigenvalues 2
        and 2, a saddle at the origin with eigenvalues -1 and 1.

    Notes
    -----
    Not separable, so that the mean exit time needs two dimensions; the flow of USAM is not a gradient field
    on it.

    References
    ----------
    No source known: a standard reference loss of this library.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.coupled_double_well().hessian([1.0, 0.0])
    array([[2., 0.],
           [0., 2.]])
    """
    return Landscape(
        _coupled_double_well,
        2,
        box=[(-2.0, 2.0), (-1.5, 1.5)],
        name="coupled double well",
        critical_points=[
            CriticalPoint((-1.0, 0.0), "minimum"),
            CriticalPoint((0.0, 0.0), "saddle"),
            CriticalPoint((1.0, 0.0), "minimum"),
        ],
    )


@checked
def embedded_saddle() -> Landscape:
    """A saddle confined by quartic walls: f(x, y) = (x^2 - y^2) / 2 + (x^4 + y^4) / 4.

    Returns
    -------
    Landscape
        On the box [-1.5, 1.5]^2. Critical points: a saddle at the origin with eigenvalues 1 and -1, and
        minima at (0, -1) and (0, 1).

    References
    ----------
    A stand-in for the embedded saddle of Monzio Compagnoni et al. (2023), arXiv 2301.08203, whose formula is
    uncertain.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.embedded_saddle().value([0.0, 1.0])
    array(-0.25)
    """
    return Landscape(
        _embedded_saddle,
        2,
        box=[(-1.5, 1.5)] * 2,
        name="embedded saddle",
        critical_points=[
            CriticalPoint((0.0, -1.0), "minimum"),
            CriticalPoint((0.0, 0.0), "saddle"),
            CriticalPoint((0.0, 1.0), "minimum"),
        ],
    )
