r"""Whether a hallucinated point attracts, and up to which learning rate.

At a hallucinated point x, with endpoint y = x + e(x), grad f(y) = 0, the step of a rule is linearised by

.. math::

    A = H(y) B(x), \qquad B(x) = \frac{d(x + e(x))}{dx}, \qquad
    B = I + \tfrac{\rho}{|g|} (I - n n^T) H(x) \text{ for SAM, } n = g/|g|

The flow is dx/dt = -A dx, the map dx' = (I - lr A) dx. With l the eigenvalues of A:

- the flow attracts iff Re l > 0 for all of them; the map iff also lr < lr_max = min 2 Re l / |l|^2;
- with heavy-ball momentum m the multipliers solve z^2 - (1 + m - lr l) z + m = 0, and the bound becomes
  ``2 a / (a^2 + b^2)`` with a = Re l / (1 + m), b = Im l / (1 - m): 2 (1 + m)/l for real l;
- if y lies on a k-dimensional set of critical points (`tangent_dimension`), k eigenvalues are zero, and x is
  one of a k-dimensional set of hallucinated points: the others decide whether that set attracts.

Sufficient, and stronger: with H(y) > 0 and S = H(y)^(1/2) B H(y)^(1/2), if S + S^T > 0 one step contracts the
norm of H(y)^-1 near x for every lr < min eig(S + S^T)/|S|^2 (`contraction_lr`).

B grows like rho/|g| where the gradient vanishes, so lr_max goes to zero at those ends of a branch.

References
----------
Park, Jang, Ryu & Yang (2025), arXiv 2509.21818, for sufficient conditions of this kind (their exact statement
was not read). The conditions here: own derivation, checked in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.stability.critical_kinds import FLAT, kind_of
from samdyn.equilibria.stability.wording import listed
from samdyn.numerics.scales import displacement_tolerance
from samdyn.results import Result, Table
from samdyn.systems.map import Map
from samdyn.systems.system import System, check_plain
from samdyn.trace import batch

RESIDUAL = 1e-7  # of |H| and the loss's box: a larger gradient at the perturbed point is not a zero


@dataclass(frozen=True, eq=False, repr=False)
class LocalAttraction(Result):
    """The linear test of a hallucinated point.

    Attributes
    ----------
    x : ndarray, shape (dim,)
        The point.
    endpoint : ndarray, shape (dim,)
        x + e(x), where the gradient vanishes.
    endpoint_kind : str
        "minimum", "saddle", "maximum" or "degenerate".
    gradient_norm : float
        At x.
    residual : float
        Gradient norm at the endpoint.
    eigenvalues : ndarray, shape (dim,)
        Of A, in order of their real parts; in units of curvature.
    lr_max : float
        The map attracts below it; 0 if not even the flow attracts.
    contraction_lr : float
        Below it a norm contracts at each step; nan where the sufficient condition fails.
    tangent_dimension : int
        Dimension of the set of hallucinated points that x belongs to, 0 if isolated.
    unstable_dimension : int
        Number of eigenvalues with a negative real part.
    surrogate_eigenvalues : ndarray, shape (dim,)
        Of the Hessian of f(x + e(x)), B^T H(y) B. All positive at a minimum of that function, which need not
        attract; nor need an attractor be one.
    lr : float
        The map's learning rate; nan for a flow.
    momentum : float
        The map's; 0 for a flow.
    """

    cited = ("park2025",)
    row = "eigenvalue"
    axes = ("x: coordinate", "endpoint: coordinate")

    x: Array
    endpoint: Array
    endpoint_kind: str
    gradient_norm: float
    residual: float
    eigenvalues: npt.NDArray[Any]
    lr_max: float
    contraction_lr: float
    tangent_dimension: int
    unstable_dimension: int
    surrogate_eigenvalues: Array
    lr: float
    momentum: float

    @property
    def attracting(self) -> bool:
        """Whether the point, or the set it belongs to, attracts the map at its lr, or the flow."""
        return self.lr_max > 0 and not self.lr >= self.lr_max

    @property
    def multiplier(self) -> float:
        """Largest modulus of the map's multipliers across the set of hallucinated points; nan for a flow."""
        across = self.eigenvalues[np.argsort(np.abs(self.eigenvalues))[self.tangent_dimension :]]
        trace = 1 + self.momentum - self.lr * across
        root = np.sqrt(trace.astype(complex) ** 2 - 4 * self.momentum)
        return float(np.abs(np.stack([trace + root, trace - root]) / 2).max())

    def table(self) -> Table:
        """Whether it attracts, at which learning rates, and why."""
        verdict = "attracts" if self.attracting else "does not attract"
        what = f"a set of dimension {self.tangent_dimension}, " if self.tangent_dimension else ""
        values = ", ".join(f"{v:.6g}" for v in self.eigenvalues[:6])
        values += ", ..." if len(self.eigenvalues) > 6 else ""
        rows: list[tuple[str, ...]] = [
            ("endpoint", f"{listed(self.endpoint)}, {self.endpoint_kind}"),
            ("|gradient|", f"{self.gradient_norm:.6g}, at the endpoint {self.residual:.2g}"),
            ("eigenvalues of H(y) B(x)", values),
            (f"attracts for lr < {self.lr_max:.6g}" if self.lr_max else "attracts at no learning rate",),
        ]
        if not np.isnan(self.lr):
            rows.append((f"at lr = {self.lr:g}", f"largest multiplier {self.multiplier:.6g}"))
        return Table(f"LocalAttraction of {listed(self.x)}: {what}{verdict}", rows)


def shift_jacobian(gradient: Array, hessian: Array, rho: npt.ArrayLike) -> Array:
    """B = I + (rho/|g|) (I - n n^T) H of normalised SAM, from g (..., dim) and H (..., dim, dim).

    Examples
    --------
    >>> import numpy as np
    >>> shift_jacobian(np.array([2.0, 0.0]), np.diag([3.0, 5.0]), 1.0)
    array([[1. , 0. ],
           [0. , 3.5]])
    """
    size = np.linalg.norm(gradient, axis=-1)[..., None]
    n = gradient / size
    across = hessian - n[..., :, None] * np.einsum("...i,...ij->...j", n, hessian)[..., None, :]
    return np.asarray(
        np.eye(gradient.shape[-1]) + (np.asarray(rho)[..., None] / size)[..., None] * across, dtype=np.float64
    )


def lr_bound(eigenvalues: npt.ArrayLike, momentum: float = 0.0) -> Array:
    """Largest learning rate at which a map with the eigenvalues l (..., dim) of A is stable; 0 for none.

    Examples
    --------
    >>> lr_bound([[2.0, 5.0], [2.0, -1.0], [1 + 1j, 1 - 1j]])
    array([0.4, 0. , 1. ])
    """
    values = np.asarray(eigenvalues)
    a, b = values.real / (1 + momentum), values.imag / (1 - momentum)
    with np.errstate(all="ignore"):
        each = np.where(a > 0, 2 * a / (a**2 + b**2), 0.0)
    return np.asarray(np.where(np.isnan(a).any(axis=-1), 0.0, each.min(axis=-1, initial=np.inf)))


@checked
def local_attraction(system: System, x: checks.PointLike) -> LocalAttraction:
    """The linear test of a hallucinated point: does it attract, and up to which learning rate?

    Parameters
    ----------
    system : Map or Flow
        Made from a loss and a rule with constant coefficients.
    x : array_like, shape (dim,), or FixedPoint
        A point where the gradient does not vanish but the gradient at x + e(x) does.

    Returns
    -------
    LocalAttraction

    Raises
    ------
    TypeError, ValueError
        A system without a loss, a scheduled coefficient, or a point that is not hallucinated (the size of
        the gradient there is reported).

    Notes
    -----
    The conditions are in the module's documentation (`samdyn.hallucination.attraction`). B is differentiated
    automatically, so that they hold for every rule that descends along the gradient at x + e(x).

    References
    ----------
    Park, Jang, Ryu & Yang (2025), arXiv 2509.21818.

    Examples
    --------
    >>> import samdyn as sd
    >>> system = sd.Map(sd.landscapes.double_well(), sd.SAM(1.5), lr=0.1)
    >>> test = sd.local_attraction(system, [-0.5])
    >>> test.attracting, test.lr_max, round(test.multiplier, 12)
    (True, 1.0, 0.8)
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map or a Flow, got {system!r}")
    loss, rule = system.landscape, system.rule
    if loss is None or rule is None:
        raise ValueError(f"system must be made from a loss and a rule, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    check_plain("local_attraction", rule)
    point = checks.points("x", x, system.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    gradient = torch.func.grad(loss.one_point)
    coefficients = rule.coefficients()

    def shift(w: Tensor) -> Tensor:
        return w + rule.perturbation(w, gradient(w), **coefficients)

    y = batch.evaluate(shift, point)
    g, hessian_x, hessian_y = loss.gradient(point), loss.hessian(point), loss.hessian(y)
    size, residual = float(np.linalg.norm(g)), float(np.linalg.norm(loss.gradient(y)))
    if not size > np.abs(hessian_x).max() * displacement_tolerance(loss.box, point, RESIDUAL):
        raise ValueError(
            f"x must be no critical point of {loss.name}, got |gradient| = {size:.3g} at {point}"
        )
    if not residual <= np.abs(hessian_y).max() * displacement_tolerance(loss.box, y, RESIDUAL):
        raise ValueError(
            f"x must be a hallucinated point of {system!r}, got |gradient| = {residual:.3g} at its perturbed "
            f"point {y}"
        )
    shape = batch.evaluate(torch.func.jacrev(shift), point)
    eigenvalues = np.linalg.eigvals(hessian_y @ shape)
    eigenvalues = eigenvalues[np.argsort(eigenvalues.real, kind="stable")]
    curvatures, vectors = np.linalg.eigh(hessian_y)
    flat = np.abs(curvatures) <= FLAT * np.abs(curvatures).max()
    tangent = int(flat.sum())
    by_size = np.argsort(np.abs(eigenvalues))
    across = np.delete(eigenvalues, by_size[:tangent])
    momentum = system.momentum if isinstance(system, Map) else 0.0
    return LocalAttraction(
        point,
        y,
        kind_of(hessian_y),
        size,
        residual,
        eigenvalues,
        float(lr_bound(across, momentum)),
        _contraction_lr(curvatures[~flat], vectors[:, ~flat], shape),
        tangent,
        int((across.real < 0).sum()),
        np.asarray(np.linalg.eigvalsh(shape.T @ hessian_y @ shape), dtype=np.float64),
        system.coefficients()["lr"] if isinstance(system, Map) else float("nan"),
        momentum,
    )


def _contraction_lr(curvatures: Array, vectors: Array, shape: Array) -> float:
    """min eig(S + S^T)/|S|^2, on the range of H(y); nan where S + S^T is not positive."""
    if len(curvatures) == 0 or curvatures.min() <= 0:
        return float("nan")
    root = vectors * np.sqrt(curvatures)
    s = root.T @ shape @ root
    lowest = float(np.linalg.eigvalsh(s + s.T).min())
    return lowest / float(np.linalg.norm(s, 2)) ** 2 if lowest > 0 else float("nan")
