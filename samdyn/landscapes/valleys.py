"""Valleys: losses whose minimisers fill a curve, along which SAM drifts towards flatter ground.

Only isolated critical points are listed, so the floor of a valley is not; each docstring says where it runs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import CriticalPoint, Landscape


def _product(w: Tensor) -> Tensor:
    return (w[0] * w[1] - 1) ** 2


def _uv(w: Tensor, weight_decay: float) -> Tensor:
    return (1 - w[0] * w[1]) ** 2 / 2 + weight_decay * (w[0] ** 2 + w[1] ** 2) / 2


def _widening_valley(w: Tensor, slope: float) -> Tensor:
    return (1 + slope * w[1]) * w[0] ** 2 / 2


def _serpentine(w: Tensor, amplitude: float) -> Tensor:
    return (w[1] - amplitude * torch.sin(w[0])) ** 2 / 2


@checked
def product() -> Landscape:
    """The squared product f(x, y) = (x y - 1)^2, minimal on the hyperbola x y = 1.

    Returns
    -------
    Landscape
        On the box [-4, 4]^2. The only isolated critical point is the saddle at the origin, with eigenvalues
        -2 and 2.

    Notes
    -----
    On the valley floor the sharpness is 2 (x^2 + y^2); its flattest points are (1, 1) and (-1, -1), where
    it is 4.

    References
    ----------
    Si and Yun (2023), arXiv 2306.09850, figure 1.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.product().gradient([2.0, 0.5])
    array([0., 0.])
    """
    return Landscape(
        _product,
        2,
        box=[(-4.0, 4.0)] * 2,
        name="product",
        critical_points=[CriticalPoint((0.0, 0.0), "saddle")],
    )


@checked
def uv(weight_decay: float = 0.0) -> Landscape:
    """The two-layer scalar linear network f(u, v) = (1 - u v)^2 / 2 + weight_decay (u^2 + v^2) / 2.

    Parameters
    ----------
    weight_decay : float
        Coefficient of the squared norm, not negative.

    Returns
    -------
    Landscape
        On the box [-2, 2]^2, with the parameter `weight_decay`. Without decay the minimisers fill the curve
        u v = 1 and only the saddle at the origin is isolated (eigenvalues -1 and 1). With a decay below 1
        there are the minima (-q, -q) and (q, q), q = sqrt(1 - weight_decay), besides; from 1 on the origin
        is the only critical point, degenerate at 1 and the minimum above.

    Raises
    ------
    TypeError, ValueError
        weight_decay is not a finite number >= 0.

    Notes
    -----
    Without decay it is half of `product`. Least squares of a two-layer scalar network on any data in one
    dimension takes this form after scaling.

    References
    ----------
    Kim et al. (2023), arXiv 2301.06308, for saddles that attract (this one does under USAM from rho = 1
    on); Park et al. (2025), arXiv 2509.21818, for hallucinated minimizers. Neither is known to use this
    example.

    Examples
    --------
    >>> import samdyn as sd
    >>> [(x, kind) for x, kind in sd.landscapes.uv(weight_decay=0.75).critical_points]
    [((0.0, 0.0), 'saddle'), ((-0.5, -0.5), 'minimum'), ((0.5, 0.5), 'minimum')]
    """
    decay = checks.number("weight_decay", weight_decay, at_least=0)
    origin = "saddle" if decay < 1 else "degenerate" if decay == 1 else "minimum"
    points = [CriticalPoint((0.0, 0.0), origin)]
    if 0 < decay < 1:
        q = math.sqrt(1 - decay)
        points += [CriticalPoint((-q, -q), "minimum"), CriticalPoint((q, q), "minimum")]
    return Landscape(
        _uv,
        2,
        box=[(-2.0, 2.0)] * 2,
        name="uv",
        parameters={"weight_decay": decay},
        critical_points=points,
    )


@checked
def widening_valley(slope: float = 0.5) -> Landscape:
    """The straight valley f(x, y) = (1 + slope y) x^2 / 2, of sharpness 1 + slope y along its floor.

    Parameters
    ----------
    slope : float
        Change of the sharpness per unit of y, 0 < slope < 1 so that the floor x = 0 is minimal in the whole
        box.

    Returns
    -------
    Landscape
        On the box [-1, 1]^2, with the parameter `slope`. Every critical point in it lies on the floor x = 0
        and none is isolated.

    Raises
    ------
    TypeError, ValueError
        slope is not a number between 0 and 1.

    Notes
    -----
    Normalised SAM oscillates across the floor and moves it down in y by 2 lr rho^2 / (2 - lr (1 + slope y))^2
    times slope a step.

    References
    ----------
    Wen, Ma and Li (2023), arXiv 2211.05729, describe the drift; the loss is the simplest one that shows it.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.widening_valley(0.5).hessian([0.0, 1.0])
    array([[1.5, 0. ],
           [0. , 0. ]])
    """
    slope = checks.number("slope", slope, above=0)
    if slope >= 1:
        raise ValueError(f"slope must be a number > 0 and < 1, got {slope!r}")
    return Landscape(
        _widening_valley, 2, box=[(-1.0, 1.0)] * 2, name="widening valley", parameters={"slope": slope}
    )


@checked
def serpentine(amplitude: float = 3.0) -> Landscape:
    """The serpentine valley f(x, y) = (y - amplitude sin x)^2 / 2, minimal on the curve y = amplitude sin x.

    Parameters
    ----------
    amplitude : float
        Height of the bends, positive.

    Returns
    -------
    Landscape
        On the box [-5, 5] x [-2 amplitude, 2 amplitude], with the parameter `amplitude`. Every critical
        point is a global minimum on the curve and none is isolated.

    Raises
    ------
    TypeError, ValueError
        amplitude is not a finite number > 0.

    Notes
    -----
    It satisfies the Polyak-Lojasiewicz inequality ``|grad f|^2 >= 2 f`` everywhere, and still normalised SAM
    hallucinates minimizers beside the curve: at amplitude 3 for rho between 1.8444 and 6.88.

    References
    ----------
    Park et al. (2025), arXiv 2509.21818, hallucinated minimizers (this example is not known to be theirs).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.serpentine(3.0).gradient([0.0, 1.0])
    array([-3.,  1.])
    """
    amplitude = checks.number("amplitude", amplitude, above=0)
    return Landscape(
        _serpentine,
        2,
        box=[(-5.0, 5.0), (-2 * amplitude, 2 * amplitude)],
        name="serpentine",
        parameters={"amplitude": amplitude},
    )
