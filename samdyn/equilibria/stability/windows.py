r"""For which learning rates and momenta a fixed point attracts, and what ends it.

Let l be the eigenvalues of A = -(Jacobian of the flow) at a smooth fixed point: of the Hessian for GD, of
H (I + rho H) for USAM at a critical point, of H(y) (I + (rho/|g|)(I - n n^T) H(x)) for SAM at a hallucinated
one. With heavy-ball momentum m a mode obeys z^2 - (1 + m - lr l) z + m = 0, whose roots lie inside the unit
circle iff lr l lies inside an ellipse, with h = lr l:

.. math:: \left(\frac{\operatorname{Re} h - (1 + m)}{1 + m}\right)^2
          + \left(\frac{\operatorname{Im} h}{1 - m}\right)^2 < 1.

So lr may go up to the smallest of 2 Re l / ((1 + m) ((Re l/(1 + m))^2 + (Im l/(1 - m))^2)): for m = 0 that is
2 Re l / |l|^2, and for real l it is 2 (1 + m) / l. At given lr the ellipse is a cubic inequality in m: there
may be several windows.

References
----------
Own derivation, checked against spectral radii in the tests; for real l it is classical (Polyak, 1964).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.equilibria.stability.linearization import MARGIN
from samdyn.numerics.scales import ACCURACY, displacement_tolerance
from samdyn.results import Result, Table
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System


@dataclass(frozen=True, eq=False, repr=False)
class StabilityWindow(Result):
    """An open interval of one parameter in which a fixed point attracts.

    Attributes
    ----------
    parameter : str
        "lr", "momentum" or "curvature".
    lower, upper : float
        Its ends; equal where there is none.
    border : str
        What happens at the upper end: "flip" (a multiplier reaches -1), "Neimark-Sacker" (a complex pair
        reaches the unit circle), or "" (the end of the parameter's range, or nothing attracts).
    """

    parameter: str
    lower: float
    upper: float
    border: str = ""

    @property
    def empty(self) -> bool:
        """Whether no value attracts."""
        return not self.lower < self.upper

    def __contains__(self, value: float) -> bool:
        return self.lower < value < self.upper

    def table(self) -> Table:
        """The interval, and what ends it."""
        if self.empty:
            return Table(f"StabilityWindow: no {self.parameter}")
        ends = f", {self.border} at the upper end" if self.border else ""
        return Table(f"StabilityWindow: {self.lower:.9g} < {self.parameter} < {self.upper:.9g}{ends}")


@checked
def lr_window(system: System, x: checks.PointLike) -> StabilityWindow:
    """The learning rates at which a fixed point attracts the map.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss and a rule; a Map brings its momentum, other systems have momentum 0.
    x : array_like, shape (dim,), or FixedPoint
        A fixed point at which there is a Jacobian.

    Returns
    -------
    StabilityWindow
        From 0; empty where the flow itself is not attracted.

    Raises
    ------
    TypeError, ValueError
        Not a system with a loss, not a fixed point (how far off is said), or the field jumps there.

    References
    ----------
    Own derivation (see `samdyn.equilibria.stability.windows`); lr l < 2 (1 + momentum) for real l is
    classical.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.lr_window(sd.Flow(sd.landscapes.double_well(), sd.SAM(1.5)), [-0.5])
    StabilityWindow: 0 < lr < 1, flip at the upper end
    """
    rates, momentum, _ = _rates(system, x)
    if (rates.real <= MARGIN * np.abs(rates).max()).any():
        return StabilityWindow("lr", 0.0, 0.0)
    real, imaginary = rates.real / (1 + momentum), rates.imag / (1 - momentum)
    largest = 2 * real / (real**2 + imaginary**2)
    first = int(np.argmin(largest))
    border = "flip" if imaginary[first] == 0 else "Neimark-Sacker"
    return StabilityWindow("lr", 0.0, float(largest[first]), border)


@checked
def momentum_windows(system: Map, x: checks.PointLike) -> tuple[StabilityWindow, ...]:
    """The heavy-ball coefficients in [0, 1) at which a fixed point attracts, at the map's learning rate.

    Parameters
    ----------
    system : Map
        Made from a loss and a rule; its own momentum does not matter.
    x : array_like, shape (dim,), or FixedPoint
        A fixed point at which there is a Jacobian.

    Returns
    -------
    tuple of StabilityWindow
        In order; empty where none attracts. A window that begins at 0 includes 0.

    Raises
    ------
    TypeError, ValueError
        As for `lr_window`.

    Notes
    -----
    For real rates momentum only widens: lr l < 2 (1 + momentum). Where eigenvalues are complex, as at many
    hallucinated points, it also narrows, and destabilises them as it approaches 1.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.momentum_windows(sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=3.0), [0.0])
    (StabilityWindow: 0.5 < momentum < 1,)
    """
    if not isinstance(system, Map):
        raise TypeError(f"system must be a Map, got {system!r}")
    rates, _, lr = _rates(system, x)
    assert lr is not None
    roots = [0.0, 1.0]
    polynomials = []
    # equal rates give one polynomial: what rounding tells apart is told next to the largest
    unit = float(np.abs(rates).max()) or 1.0
    for rate in unit * np.unique(np.round(rates / unit, 14)):
        real, imaginary = lr * rate.real, lr * rate.imag
        if abs(imaginary) <= 1e-12 * abs(rate) * lr:
            polynomial = np.array([2 * real, 2 * real - real**2])  # 2 Re (1 + m) - Re^2 > 0
        else:  # 2 Re (1 + m)(1 - m)^2 - Re^2 (1 - m)^2 - Im^2 (1 + m)^2 > 0
            minus, plus = np.array([1.0, -2.0, 1.0]), np.array([1.0, 2.0, 1.0])
            polynomial = 2 * real * np.polymul([1.0, 1.0], minus)
            polynomial = np.polysub(np.polysub(polynomial, real**2 * minus), imaginary**2 * plus)
        polynomials.append(polynomial)
        found = np.roots(polynomial)
        roots += found[np.abs(found.imag) < 1e-12].real.tolist()
    edges = np.unique([r for r in roots if 0 <= r <= 1])
    middle = (edges[:-1] + edges[1:]) / 2
    holds = np.all([np.polyval(p, middle) > 0 for p in polynomials], axis=0)
    windows: list[StabilityWindow] = []
    for i in np.flatnonzero(holds):
        upper = float(edges[i + 1])
        border = "" if upper == 1 else "Neimark-Sacker"
        if windows and windows[-1].upper == edges[i]:
            windows[-1] = StabilityWindow("momentum", windows[-1].lower, upper, border)
        else:
            windows.append(StabilityWindow("momentum", float(edges[i]), upper, border))
    return tuple(windows)


def _rates(system: System, x: checks.PointLike) -> tuple[npt.NDArray[np.complex128], float, float | None]:
    """Eigenvalues of minus the flow's Jacobian at a fixed point; momentum; lr."""
    if not isinstance(system, Map | Flow | Diffusion):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if system.landscape is None or system.rule is None:
        raise ValueError(f"system must be made from a loss and a rule, got {system!r}")
    point = checks.points("x", x, system.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    flow = Flow(system.landscape, system.rule)
    if flow.on_jump(point):
        raise ValueError(
            f"x must be a point with a Jacobian: the field of {system.rule!r} jumps at {point}; "
            "see samdyn.capture_set and samdyn.two_cycle"
        )
    jacobian = flow.jacobian(point)
    residual = float(np.linalg.norm(flow(point)))
    tolerance = displacement_tolerance(system.landscape.box, point, ACCURACY)
    if not residual <= (np.abs(jacobian).max() + 1e-300) * tolerance:
        raise ValueError(
            f"x must be a fixed point of {system!r}, got {point} where |velocity| = {residual:.3g}"
        )
    lr = system.coefficients()["lr"] if isinstance(system, Map) else None
    momentum = system.momentum if isinstance(system, Map) else 0.0
    return np.linalg.eigvals(-jacobian).astype(complex), momentum, lr
