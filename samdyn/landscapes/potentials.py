"""Potential energy surfaces of chemistry, the reference problems of transition paths.

Critical points were found by Newton's method from a dense grid of starts, polished by Newton's method in 40
digits and rounded to the nearest double.
"""

from __future__ import annotations

import torch
from torch import Tensor

from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import CriticalPoint, Landscape

# strength, curvatures xx, xy, yy and centre of the four Gaussians of Mueller and Brown
_MUELLER_BROWN = (
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
)


def _three_well(w: Tensor) -> Tensor:
    x, y = w[0], w[1]
    hill = 3 * torch.exp(-(x**2) - (y - 1 / 3) ** 2)
    upper = 3 * torch.exp(-(x**2) - (y - 5 / 3) ** 2)
    right = 5 * torch.exp(-((x - 1) ** 2) - y**2)
    left = 5 * torch.exp(-((x + 1) ** 2) - y**2)
    return hill - upper - right - left + 0.2 * x**4 + 0.2 * (y - 1 / 3) ** 4


def _mueller_brown(w: Tensor) -> Tensor:
    total = torch.zeros_like(w[0])
    for strength, xx, xy, yy, x0, y0 in _MUELLER_BROWN:
        x, y = w[0] - x0, w[1] - y0
        total = total + strength * torch.exp(xx * x**2 + xy * x * y + yy * y**2)
    return total


@checked
def three_well() -> Landscape:
    """The three-hole potential: two deep wells at the bottom, a shallow one above, a hill in the middle.

    f = 3 e^{-x^2 - (y - 1/3)^2} - 3 e^{-x^2 - (y - 5/3)^2} - 5 e^{-(x - 1)^2 - y^2} - 5 e^{-(x + 1)^2 - y^2}
    + x^4 / 5 + (y - 1/3)^4 / 5.

    Returns
    -------
    Landscape
        On the box [-2, 2] x [-1.5, 2.5]. Critical points: minima near (-1.048, -0.042), (1.048, -0.042) and
        (0, 1.537), three saddles between them and the maximum near (0, 0.519).

    Notes
    -----
    Two ways lead from one deep well to the other: directly, over the higher saddle (f = -1.385), or through
    the shallow well, over two lower ones (f = -1.647). Which of them is taken depends on the noise.

    References
    ----------
    Metzner, Schuette and Vanden-Eijnden (2006), J. Chem. Phys. 125, 084110.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.three_well()
    >>> [round(float(loss.value(x)), 3) for x, kind in loss.critical_points if kind == "minimum"]
    [-3.995, -3.995, -2.172]
    """
    return Landscape(
        _three_well,
        2,
        box=[(-2.0, 2.0), (-1.5, 2.5)],
        name="three well",
        critical_points=[
            CriticalPoint((-1.0480549928242195, -0.04209366630667782), "minimum"),
            CriticalPoint((1.0480549928242195, -0.04209366630667782), "minimum"),
            CriticalPoint((0.0, 1.5370820044494622), "minimum"),
            CriticalPoint((0.0, -0.3158265504781386), "saddle"),
            CriticalPoint((-0.6172723078764598, 1.1027345175080963), "saddle"),
            CriticalPoint((0.6172723078764598, 1.1027345175080963), "saddle"),
            CriticalPoint((0.0, 0.5191867418920727), "maximum"),
        ],
    )


@checked
def mueller_brown() -> Landscape:
    """The Mueller-Brown potential, a sum of four exponentials of quadratics.

    Returns
    -------
    Landscape
        On the box [-1.5, 1.2] x [-0.5, 2]. Five critical points: minima of value -146.6995 near (-0.558,
        1.442), -108.1667 near (0.623, 0.028) and -80.7678 near (-0.050, 0.467), and the saddles between
        them of value -40.6648 near (-0.822, 0.624) and -72.2489 near (0.212, 0.293).

    Notes
    -----
    Gradients in the corners of the box reach 10^4 and beyond: maps need a learning rate of 10^-4 or less.

    References
    ----------
    Mueller and Brown (1979), Theoretica Chimica Acta 53, 75-93, doi 10.1007/BF00547608.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.mueller_brown()
    >>> [round(float(loss.value(point.x)), 4) for point in loss.critical_points[:3]]
    [-146.6995, -108.1667, -80.7678]
    """
    return Landscape(
        _mueller_brown,
        2,
        box=[(-1.5, 1.2), (-0.5, 2.0)],
        name="Mueller-Brown",
        critical_points=[
            CriticalPoint((-0.5582236346330243, 1.4417258418046686), "minimum"),
            CriticalPoint((0.6234994049308765, 0.028037758528685664), "minimum"),
            CriticalPoint((-0.050010822998206056, 0.4666941048719721), "minimum"),
            CriticalPoint((-0.8220015587327321, 0.6243128028148713), "saddle"),
            CriticalPoint((0.212486582000662, 0.2929883251073678), "saddle"),
        ],
    )
