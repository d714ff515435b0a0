r"""The virtual gradient of a rule, and its virtual loss where it has one.

A rule descends along the virtual gradient G(x) = grad f(x + e(x)), evaluated where the perturbation has
carried the weights. If G is the gradient of a function J, the virtual loss, then the rule is plain gradient
descent on J: attractors of its flow are minima of J, and barriers are heights of J. Three facts decide when:

- in one dimension J always exists: the integral of G. For SAM it is f shifted by rho towards the side on
  which f rises, glued continuously; its slope jumps at every critical point of f;
- on a quadratic J = f + rho (1 - lam) |Hx|^2 / 2 + rho lam |Hx| (lam = 1 is SAM, lam = 0 USAM);
- elsewhere G is a gradient field iff its derivative is symmetric. For SAM

  .. math:: DG(x) = H(y) \bigl(I + \tfrac{\rho}{|g|} (I - n n^T) H(x)\bigr),
            \qquad y = x + \rho n, \quad n = g/|g|,

  whose antisymmetric part is of the order rho^2: `virtual_asymmetry` measures it.

J is not the loss at the perturbed point, f(x + e(x)) (`perturbed_loss`), whose gradient is (I + De)^T G.

Algorithm (one dimension)
-------------------------
The line is cut at the critical points of f, where G may jump, and into `PANELS` panels; each is integrated by
a 16-point Gauss-Legendre rule, and J(x) is the sum up to the nearest cut on the left and one more such rule.
The error is rounding, about 1e-14 of the height, for losses that are smooth on the scale of a panel.

References
----------
Si & Yun (2023), arXiv 2306.09850, section 2 (virtual gradient map and virtual loss) [quoted from memory; all
facts are derived and checked in the tests].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.roots_1d import critical_points_1d
from samdyn.landscapes.landscape import Landscape
from samdyn.results import Absent, Result, Table
from samdyn.rules.rule import Rule
from samdyn.systems.flow import Flow
from samdyn.systems.system import System
from samdyn.trace import batch

PANELS = 256  # of the line's integral; jumps of G are cuts of their own
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True, eq=False, repr=False)
class VirtualLoss(Result):
    """The function whose gradient flow is the flow of a rule.

    Attributes
    ----------
    loss : Landscape
    rule : Rule
    reference : ndarray, shape (dim,)
        Where J = f (in one dimension), or the critical point at which J = f (on a quadratic).
    why : str
        Why it exists: "one dimension" or "quadratic".
    """

    cited = ("siyun2023",)
    row = "coordinate"

    loss: Landscape
    rule: Rule
    reference: Array
    why: str
    _evaluate: Callable[[Array], Array]

    def value(self, x: npt.ArrayLike) -> Array:
        """J at points (..., dim): an array of shape (...)."""
        return self._evaluate(checks.points("x", x, self.loss.dim))

    def gradient(self, x: npt.ArrayLike) -> Array:
        """G = grad J at points (..., dim): an array of shape (..., dim)."""
        return virtual_gradient(Flow(self.loss, self.rule), x)

    def table(self) -> Table:
        """The loss, the rule, and why the virtual loss exists."""
        return Table(f"VirtualLoss({self.loss.name}, {self.rule}): it exists: {self.why}")

    @classmethod
    def _rebuilt(cls, values: dict[str, Any]) -> dict[str, Any]:
        loss, rule = values["loss"], values["rule"]
        if isinstance(loss, Absent) or isinstance(rule, Absent):
            return values
        line = values["why"] == "one dimension"
        evaluate = _by_quadrature(loss, rule, values["reference"]) if line else _on_quadratic(loss, rule)
        return {**values, "_evaluate": evaluate}


@checked
def virtual_gradient(system: System, x: checks.PointLike) -> Array:
    """The virtual gradient map G(x) = grad f(x + e(x)), along which the rule descends.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss and a rule.
    x : array_like, shape (..., dim)

    Returns
    -------
    ndarray, shape (..., dim)

    References
    ----------
    Si & Yun (2023), arXiv 2306.09850, section 2 [from memory].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.virtual_gradient(sd.Flow(sd.landscapes.double_well(), sd.SAM(0.5)), [-0.25])
    array([-0.234375])
    """
    loss, rule = ingredients(system)
    return 0.0 - Flow(loss, rule)(x)


@checked
def perturbed_loss(system: System, x: checks.PointLike) -> Array:
    """The loss at the perturbed point, f^SAM(x) = f(x + e(x)), which SAM does not descend.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss and a rule.
    x : array_like, shape (..., dim)

    Returns
    -------
    ndarray, shape (...)

    References
    ----------
    Park et al. (2025), arXiv 2509.21818, who write f^SAM.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.perturbed_loss(sd.Flow(sd.landscapes.double_well(), sd.SAM(1.5)), [[-0.5], [0.9]]).round(6)
    array([0.    , 0.1024])
    """
    loss, rule = ingredients(system)
    coefficients, gradient = rule.coefficients(), torch.func.grad(loss.one_point)
    return batch.evaluate(
        lambda w: loss.one_point(w + rule.perturbation(w, gradient(w), **coefficients)),
        checks.points("x", x, loss.dim, finite=False),
    )


@checked
def virtual_asymmetry(system: System, x: npt.ArrayLike) -> Array:
    """The antisymmetric part of the derivative of the virtual gradient, DG - DG^T.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss and a rule.
    x : array_like, shape (..., dim)

    Returns
    -------
    ndarray, shape (..., dim, dim)
        Zero where a virtual loss exists around x; nan where G jumps.

    Notes
    -----
    It vanishes in one dimension and on quadratics, and is of the order rho^2 elsewhere. In two dimensions
    its one entry is the circulation of G around a small loop, per area.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.product(), sd.SAM(0.1))
    >>> sd.equilibria.virtual_asymmetry(flow, [2.0, 1.0])[0, 1].round(7)
    np.float64(0.0101367)
    """
    loss, rule = ingredients(system)
    jacobian = -Flow(loss, rule).jacobian(checks.points("x", x, loss.dim))
    return np.asarray(jacobian - np.swapaxes(jacobian, -1, -2))


@checked
def virtual_loss(system: System, reference: npt.ArrayLike | None = None) -> VirtualLoss:
    """The virtual loss J with grad J(x) = grad f(x + e(x)), where one exists.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Made from a loss and a rule with constant coefficients.
    reference : array_like, shape (1,), optional
        In one dimension, the point at which J = f; by default the middle of the loss's box, or 0.

    Returns
    -------
    VirtualLoss
        A function on the whole space: `value(x)`, `gradient(x)`.

    Raises
    ------
    TypeError, ValueError
        No loss or rule; or more than one dimension and no quadratic (the message says how far G is from
        being a gradient field).

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.equilibria.virtual_gradients`).

    References
    ----------
    Si & Yun (2023), arXiv 2306.09850, section 2 [from memory].

    Examples
    --------
    The two wells of f become one with two kinks, and its maximum a third minimum of J:

    >>> import samdyn as sd
    >>> J = sd.virtual_loss(sd.Flow(sd.landscapes.double_well(), sd.SAM(0.5)))
    >>> (J.value([[0.0], [0.5], [1.0]]) - J.value([0.0])).round(6)
    array([0.      , 0.109375, 0.      ])
    """
    loss, rule = ingredients(system)
    if rule.scheduled:
        raise ValueError(f"system must have constant coefficients to have a virtual loss, got {rule!r}")
    if loss.dim == 1:
        if reference is None:
            point = np.zeros(1) if loss.box is None else loss.box.mean(axis=1)
        else:
            point = checks.points("reference", reference, 1).reshape(1)
        return VirtualLoss(loss, rule, point, "one dimension", _by_quadrature(loss, rule, point))
    if reference is not None:
        raise ValueError("reference must be left out on a quadratic, where J = f at the critical point")
    centre = centre_of_quadratic(loss)
    if centre is not None and rule.parts() is not None:
        return VirtualLoss(loss, rule, centre, "quadratic", _on_quadratic(loss, rule))
    sample = np.linspace(0.37, 1.21, loss.dim) if loss.box is None else loss.box @ np.array([0.382, 0.618])
    size = float(np.abs(virtual_asymmetry(system, sample)).max())
    raise ValueError(
        f"system must be one-dimensional or on a quadratic to have a virtual loss, got {system!r}: the "
        f"antisymmetric part of DG at {sample} is {size:.3g} (see samdyn.equilibria.virtual_asymmetry)"
    )


def ingredients(system: System) -> tuple[Landscape, Rule]:
    """The loss and the rule of a system, or an error if it has none."""
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if system.landscape is None or system.rule is None:
        raise ValueError(f"system must be made from a loss and a rule, got {system!r}")
    return system.landscape, system.rule


def centre_of_quadratic(loss: Landscape) -> Array | None:
    """The critical point (nearest to 0 if there are many) of a loss with a constant Hessian, else None."""
    scale = 1.0 if loss.box is None else float(np.abs(loss.box).max())
    probe = scale * np.random.default_rng(0).uniform(-1, 1, (8, loss.dim))
    hessians = loss.hessian(probe)
    largest = float(np.abs(hessians).max())
    if not np.isfinite(hessians).all() or np.abs(hessians - hessians[0]).max() > 1e-9 * largest:
        return None
    centre = probe[0] - np.linalg.pinv(hessians[0], rcond=1e-12, hermitian=True) @ loss.gradient(probe[0])
    left = np.linalg.norm(loss.gradient(centre))
    return centre if left <= 1e-9 * largest * (scale + np.linalg.norm(centre)) else None


def _on_quadratic(loss: Landscape, rule: Rule) -> Callable[[Array], Array]:
    parts = rule.parts()
    assert parts is not None
    linear, normalised = parts

    def value(x: Array) -> Array:
        size = np.linalg.norm(loss.gradient(x), axis=-1)
        return np.asarray(loss.value(x) + linear / 2 * size**2 + normalised * size)

    return value


def _by_quadrature(loss: Landscape, rule: Rule, reference: Array) -> Callable[[Array], Array]:
    flow = Flow(loss, rule)
    start = float(reference[0])
    at_start = float(loss.value(reference))

    def integral(a: Array, b: Array) -> Array:
        middle, half = (a + b) / 2, (b - a) / 2
        points = middle[:, None] + half[:, None] * NODES
        return half * (-flow(points[..., None])[..., 0] @ WEIGHTS)

    def value(x: Array) -> Array:
        flat = x.reshape(-1)
        if len(flat) == 0:
            return np.zeros(x.shape[:-1])
        low, high = min(start, flat.min()), max(start, flat.max())
        if low == high:
            return np.full(x.shape[:-1], at_start)
        jumps = critical_points_1d(loss, low, high, 16 * PANELS) if rule.jumps else np.empty(0)
        knots = np.unique(np.concatenate([np.linspace(low, high, PANELS + 1), jumps, [start]]))
        upto = np.concatenate([[0.0], np.cumsum(integral(knots[:-1], knots[1:]))])
        at = np.clip(np.searchsorted(knots, flat, side="right") - 1, 0, len(knots) - 2)
        total = upto[at] + integral(knots[at], flat)
        zero = upto[int(np.searchsorted(knots, start))]
        result: Any = at_start + total - zero
        return np.asarray(result).reshape(x.shape[:-1])

    return value
