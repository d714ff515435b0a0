"""Test functions of optimisation, with every critical point in their boxes.

The critical points were found by Newton's method from a dense grid of starts, polished by Newton's method
in 40 digits and rounded to the nearest double.
"""

from __future__ import annotations

from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import CriticalPoint, Landscape


def _beale(w: Tensor) -> Tensor:
    x, y = w[0], w[1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _himmelblau(w: Tensor) -> Tensor:
    return (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2


def _rosenbrock(w: Tensor, b: float) -> Tensor:
    return (1 - w[0]) ** 2 + b * (w[1] - w[0] ** 2) ** 2


def _six_hump_camel(w: Tensor) -> Tensor:
    x, y = w[0], w[1]
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2


@checked
def beale() -> Landscape:
    """The Beale function (3/2 - x + x y)^2 + (9/4 - x + x y^2)^2 + (21/8 - x + x y^3)^2.

    Returns
    -------
    Landscape
        On the box [-4.5, 4.5]^2. Critical points: the minimum (3, 1/2) of value 0 and eigenvalues 0.301464
        and 48.979786; the saddle (0, 1) of value 14.203125 and eigenvalues -27.75 and 27.75; the saddle
        near (0.1005, -2.6445) of value 9.8645 and eigenvalues -0.78103 and 867.752.

    Notes
    -----
    There are no others in the plane: x can be eliminated, and of the polynomial in y that remains the real
    roots are 1, 1/2 and -2.6445. Under USAM the saddle (0, 1) attracts from rho = 1 / 27.75 on.

    References
    ----------
    Beale (1958), On an iterative method for finding a local minimum of a function of more than one variable,
    Princeton technical report 25. Kim et al. (2023), arXiv 2301.06308, use it for SAM.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.beale().hessian([0.0, 1.0])
    array([[ 0.  , 27.75],
           [27.75,  0.  ]])
    """
    return Landscape(
        _beale,
        2,
        box=[(-4.5, 4.5)] * 2,
        name="Beale",
        critical_points=[
            CriticalPoint((3.0, 0.5), "minimum"),
            CriticalPoint((0.0, 1.0), "saddle"),
            CriticalPoint((0.10053793732415836, -2.644513585023125), "saddle"),
        ],
    )


@checked
def himmelblau() -> Landscape:
    """Himmelblau's function (x^2 + y - 11)^2 + (x + y^2 - 7)^2.

    Returns
    -------
    Landscape
        On the box [-5, 5]^2. Nine critical points: four minima of value 0, four saddles and a maximum.

    References
    ----------
    Himmelblau (1972), Applied Nonlinear Programming, McGraw-Hill.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.himmelblau().value([3.0, 2.0])
    array(0.)
    """
    return Landscape(
        _himmelblau,
        2,
        box=[(-5.0, 5.0)] * 2,
        name="Himmelblau",
        critical_points=[
            CriticalPoint((3.0, 2.0), "minimum"),
            CriticalPoint((-2.805118086952745, 3.131312518250573), "minimum"),
            CriticalPoint((-3.779310253377747, -3.2831859912861696), "minimum"),
            CriticalPoint((3.5844283403304917, -1.8481265269644036), "minimum"),
            CriticalPoint((-0.12796134673068008, -1.9537149802445763), "saddle"),
            CriticalPoint((-3.0730257507643897, -0.08135304428796751), "saddle"),
            CriticalPoint((3.385154183607021, 0.07385187983774928), "saddle"),
            CriticalPoint((0.08667750455539636, 2.884254701174776), "saddle"),
            CriticalPoint((-0.2708445906673476, -0.9230385564799815), "maximum"),
        ],
    )


@checked
def rosenbrock(b: float = 100.0) -> Landscape:
    """The Rosenbrock function (1 - x)^2 + b (y - x^2)^2.

    Parameters
    ----------
    b : float
        Steepness of the curved valley's walls, positive.

    Returns
    -------
    Landscape
        On the box [-2, 2] x [-1, 3], with the parameter `b`; the minimum (1, 1) is its only critical point.

    Raises
    ------
    TypeError, ValueError
        b is not a finite number > 0.

    References
    ----------
    Rosenbrock (1960), The Computer Journal 3, 175-184.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.rosenbrock().hessian([1.0, 1.0])
    array([[ 802., -400.],
           [-400.,  200.]])
    """
    return Landscape(
        _rosenbrock,
        2,
        box=[(-2.0, 2.0), (-1.0, 3.0)],
        name="Rosenbrock",
        parameters={"b": checks.number("b", b, above=0)},
        critical_points=[CriticalPoint((1.0, 1.0), "minimum")],
    )


@checked
def six_hump_camel() -> Landscape:
    """The six-hump camel-back function (4 - 2.1 x^2 + x^4 / 3) x^2 + x y + (4 y^2 - 4) y^2.

    Returns
    -------
    Landscape
        On the box [-3, 3] x [-2, 2]. Fifteen critical points: six minima, the two lowest of value -1.0316285;
        seven saddles; two maxima.

    References
    ----------
    Dixon and Szegoe (1978), The global optimization problem: an introduction, in Towards Global
    Optimisation 2, North-Holland.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.six_hump_camel()
    >>> round(min(float(loss.value(point.x)) for point in loss.critical_points), 9)
    -1.031628453
    """
    # one of each pair that the symmetry f(-x, -y) = f(x, y) makes
    half = [
        ((0.08984201310031806, -0.7126564030207396), "minimum"),
        ((1.703606714969981, -0.7960835686726251), "minimum"),
        ((1.6071047529201972, 0.5686514548841314), "minimum"),
        ((1.1092053368047865, -0.7682680925095399), "saddle"),
        ((1.2960702671671092, 0.6050843880386585), "saddle"),
        ((1.6380679841897785, 0.22867406904439408), "saddle"),
        ((1.2302298765166526, 0.16233458445899496), "maximum"),
    ]
    points = [CriticalPoint((sign * x, sign * y), kind) for (x, y), kind in half for sign in (1.0, -1.0)]
    return Landscape(
        _six_hump_camel,
        2,
        box=[(-3.0, 3.0), (-2.0, 2.0)],
        name="six-hump camel",
        critical_points=[*points, CriticalPoint((0.0, 0.0), "saddle")],
    )
