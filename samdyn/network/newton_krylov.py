"""Zeros of a field in many dimensions, by Gauss-Newton steps in a trust region, from products with A and A^T.

From x the step s minimises |F + A s| over |s| <= R. Where A is singular it is the one of least norm: along a
valley of zeros it goes straight to the valley and not along it.

1. R starts at `FIRST` times `reach`. A step is taken if |F|^2 falls by more than `TAKEN` of what A predicts.
   R doubles where it falls by more than three quarters of that, and becomes a quarter of the step where it
   falls by less than a quarter, or where the step would leave the ball of the radius `reach` about the start.
2. In up to `DENSE` dimensions A is made, and the step comes from its singular values; those below `NULL` of
   the largest count as 0. Above, conjugate gradients on the normal equations (CGLS) are followed until they
   leave the trust region (Steihaug), or until the residual of the normal equations is small next to |F|.
3. It ends well when |F| is at most `tolerance` times |A| L, with L the diagonal of the loss's box, or
   1 + |x| without one, and a step no longer lowers it, or |F| is rounding. It ends badly after `n_steps`,
   where |F| has not fallen by a tenth in `STALLED` tries, or where R is rounding: at a local minimum of |F|,
   or at the border of the ball.

Deflation: with s0 the size of the gradient g at the start, the zeros of m F, m = 1 + (s0/|g|)^2, are the
zeros of F where g is not 0. The critical points of the loss, where F vanishes with g, are none: m F is not
small.

References
----------
Steihaug (SIAM J. Numer. Anal. 1983). Conn, Gould, Toint, Trust-Region Methods (SIAM 2000). Farrell,
Birkisson, Funke (SIAM J. Sci. Comput. 2015) for deflation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.numerics.scales import length_scale
from samdyn.systems.tangent import Tangent
from samdyn.trace.batch import derivatives_by_name
from samdyn.trace.product_operator import ProductOperator, largest_singular_value
from samdyn.trace.surroundings import own_surroundings

FIRST = 1 / 256
"""First radius of the trust region, relative to the reach: it doubles quickly where the field is tame."""
TAKEN = 1e-3
"""Share of the predicted decrease that a step has to bring."""
NULL = 1e-9
"""Singular values below this share of the largest are taken to be 0."""
DENSE = 200
"""Dimensions up to which the matrix is made: of its columns many are multiplied together, which takes less
time than the products of conjugate gradients, one after the other.
"""
STALLED, FALLING = 20, 0.9
"""Tries, refused ones included, in which |F| has to fall below this share of what it was."""
ITERATIONS = 300
"""Of conjugate gradients for one step, of two products each."""
ROUNDING = 1e-15
"""Of |A| times the size of a position: what rounding leaves of F at a zero."""

TangentAt = Callable[[Tensor], tuple[Tensor, Callable[[], Tangent]]]
"""A field: x to its value there and to what makes its tangent, which is not always wanted."""


class Search(NamedTuple):
    """Where a search ended.

    Attributes
    ----------
    x : ndarray, shape (dim,)
    residual : float
        |F| there.
    reached : bool
        Whether it is a zero, to the tolerance.
    size, first_size : float
        The largest singular value of A there and at the start, or an estimate of it.
    n_steps, n_products : int
    distance : float
        From the start.
    """

    x: Array
    residual: float
    reached: bool
    size: float
    first_size: float
    n_steps: int
    n_products: int
    distance: float


class Deflation(NamedTuple):
    """The gradient, its products with the Hessian, and its size at the start: what is deflated by."""

    gradient: Callable[[Tensor], Tensor]
    product: Callable[[Tensor, Tensor], Tensor]
    size: float


class _Field:
    """Values of the field, deflated or not, and steps from a point."""

    def __init__(
        self, tangent_at: TangentAt, deflation: Deflation | None, together: int, box: Array | None
    ) -> None:
        self.tangent_at, self.deflation, self.together, self.box = tangent_at, deflation, together, box
        self.n_products, self.size = 0, 0.0
        self.jacobian: Any = None

    def length(self, x: Array) -> float:
        """The length scale of the problem."""
        return float(length_scale(self.box, x))

    def is_zero(self, norm: float, x: Array, tolerance: float) -> bool:
        """Whether F at x counts as 0: its norm is within the tolerance, or what rounding of x makes it."""
        near = tolerance * self.length(x) + 10 * ROUNDING * float(np.linalg.norm(x))
        return bool(norm <= near * self.size)

    def value(self, x: Array) -> Array:
        """F at a point, or m F."""
        with own_surroundings(), torch.no_grad():
            w = torch.from_numpy(np.array(x))
            result = self.tangent_at(w)[0]
            if self.deflation is not None:
                g = self.deflation.gradient(w)
                result = result * (1 + self.deflation.size**2 / (g @ g))
        return np.asarray(result.detach().numpy())

    def operator(self, x: Array) -> ProductOperator:
        """The Jacobian of what `value` gives."""
        with own_surroundings(), torch.no_grad(), derivatives_by_name():
            w = torch.from_numpy(np.array(x))
            value, make_tangent = self.tangent_at(w)
            value, tangent = value.detach(), make_tangent()
            if self.deflation is None:
                return ProductOperator(len(x), tangent.forward, tangent.transposed, self.together)
            g = self.deflation.gradient(w).detach()
            square = g @ g
            m = 1 + self.deflation.size**2 / square
            slope = -2 * self.deflation.size**2 / square**2 * self.deflation.product(w, g).detach()
        return ProductOperator(
            len(x),
            lambda v: m * tangent.forward(v) + value * (slope @ v),
            lambda u: m * tangent.transposed(u) + slope * (value @ u),
            self.together,
        )

    def steps(self, x: Array, f: Array) -> Callable[[float], Array]:
        """The step from x for each radius of the trust region."""
        operator = self.operator(x)
        if len(x) <= DENSE:
            u, s, vt = np.linalg.svd(operator @ np.eye(len(x)))
            self.n_products += operator.n_products
            self.size, self.jacobian = float(s[0]), (u * s) @ vt
            return lambda radius: vt.T @ _least(s, -(u.T @ f), radius)
        if not self.size:
            self.size = largest_singular_value(operator)
        self.jacobian = operator
        forcing = float(np.clip(np.linalg.norm(f) / (self.size * self.length(x)), 1e-8, 1e-2))

        def krylov(radius: float) -> Array:
            before = operator.n_products
            step = conjugate_gradients(operator, -f, radius, forcing)
            self.n_products += operator.n_products - before
            return step

        return krylov


def _least(s: Array, b: Array, radius: float) -> Array:
    """The w of least norm that minimises |s w - b| over |w| <= radius, for singular values s."""
    kept = s > NULL * s[0]
    w = np.where(kept, b / np.where(kept, s, 1.0), 0.0)
    if np.linalg.norm(w) <= radius:
        return w

    def damped(square: float) -> Array:
        return np.where(kept, s * b / (s**2 + square), 0.0)

    # |w| falls with the damping, from above the radius to below it
    root = brentq(
        lambda q: float(np.linalg.norm(damped(q))) - radius, 0.0, float(np.linalg.norm(s * b)) / radius
    )
    return damped(root)


def conjugate_gradients(operator: LinearOperator, b: Array, radius: float, forcing: float) -> Array:
    """The s of least norm with A s close to b, or where the iterates leave |s| <= radius (CGLS, Steihaug).

    Parameters
    ----------
    operator : LinearOperator
    b : ndarray, shape (n,)
    radius : float
    forcing : float
        It stops where |A^T (b - A s)| is this share of |A^T b|, or after `ITERATIONS` or 2 n iterations.
    """
    s, r = np.zeros_like(b), b.copy()
    z = operator.rmatvec(r)
    p, square = z.copy(), float(z @ z)
    target = forcing**2 * square
    for _ in range(min(2 * len(b), ITERATIONS)):
        if square <= target or square == 0:
            break
        q = operator.matvec(p)
        curvature = float(q @ q)
        if curvature == 0:
            break
        alpha = square / curvature
        if np.linalg.norm(s + alpha * p) >= radius:  # the iterates' norms grow: the rest lies outside
            along, size = float(s @ p), float(p @ p)
            rest = radius**2 - float(s @ s)
            return np.asarray(s + (np.sqrt(along**2 + size * rest) - along) / size * p)
        s, r = s + alpha * p, r - alpha * q
        z = operator.rmatvec(r)
        square, before = float(z @ z), square
        p = z + square / before * p
    return s


def find_zero(
    tangent_at: TangentAt,
    x: Array,
    *,
    reach: float,
    tolerance: float,
    n_steps: int,
    deflation: Deflation | None = None,
    together: int = 1,
    most_products: int | None = None,
    box: Array | None = None,
    report: Callable[[], object] | None = None,
) -> Search:
    """The zero of a field near a point; see the module's docstring.

    Parameters
    ----------
    tangent_at : callable
        A point as a tensor to F there and its `Tangent`.
    x : ndarray, shape (dim,)
        The start.
    reach : float
        How far from the start it looks.
    tolerance : float
        Of |F|, relative to |A| times the problem's length: the diagonal of its box, or 1 + |x|.
    n_steps : int
        Steps at most, refused ones included.
    deflation : Deflation, optional
        Leave critical points of the loss aside.
    together : int
        Columns of a matrix that are multiplied at once.
    most_products : int, optional
        It gives up after so many.
    box : ndarray, shape (dim, 2), optional
        Of the problem.
    report : callable, optional
        Called before each step, for a progress bar.
    """
    field = _Field(tangent_at, deflation, together, box)
    start, f = x, field.value(x)
    step_of = field.steps(x, f) if np.isfinite(f).all() else None
    radius, taken, first_size = FIRST * reach, 0, field.size
    before = float("inf")
    for k in range(n_steps if step_of is not None else 0):
        assert step_of is not None
        if report is not None:
            report()
        norm = float(np.linalg.norm(f))
        if k % STALLED == 0:
            if norm > FALLING * before:
                break
            before = norm
        if most_products is not None and field.n_products > most_products:
            break
        rounding = ROUNDING * max(field.length(x), float(np.linalg.norm(x)))
        if norm <= field.size * rounding or radius <= rounding:
            break
        step = step_of(radius)
        predicted = norm**2 - float(np.linalg.norm(f + field.jacobian @ step)) ** 2
        trial = x + step
        value = field.value(trial)
        gained = norm**2 - float(np.linalg.norm(value)) ** 2
        inside = bool(np.linalg.norm(trial - start) <= reach)
        if not inside or not gained > TAKEN * predicted:
            if field.is_zero(norm, x, tolerance):
                break
            radius = float(np.linalg.norm(step)) / 4
            continue
        if gained < predicted / 4:
            radius = float(np.linalg.norm(step)) / 4
        elif gained > 0.75 * predicted:
            radius = max(radius, 2 * float(np.linalg.norm(step)))
        x, f, taken = trial, value, taken + 1
        step_of = field.steps(x, f)
    norm = float(np.linalg.norm(f))
    distance = float(np.linalg.norm(x - start))
    reached = field.is_zero(norm, x, tolerance)
    return Search(
        x, norm, reached and field.size > 0, field.size, first_size, taken, field.n_products, distance
    )
