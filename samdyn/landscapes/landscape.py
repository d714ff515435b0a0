"""A loss as a landscape: one torch function of one point, batched and differentiated.

Value, gradient and Hessian come from torch.func (reverse mode) and are mapped over
any leading shape by vmap. They are exact to rounding; there are no finite differences anywhere.
"""

from __future__ import annotations

import copy
import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Never

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.memory import check_fits
from samdyn.landscapes.loss_check import check_scalar_loss, check_values, warn_of_unread
from samdyn.rules.oracle import Oracle
from samdyn.trace import batch
from samdyn.trace.product_operator import ProductOperator
from samdyn.trace.surroundings import own_surroundings

LARGE = 200
"""Dimensions up to which a Hessian costs too little to be worth an estimate."""
ROW = 3.0
"""Gradients that a row of a Hessian costs: one forwards, one backwards through it."""
PRODUCTS = "take products with the Hessian, loss.hvp(x, v)"


class Composed:
    """l(F(w)) as a function of w that keeps its two parts."""

    def __init__(self, objective: Callable[[Tensor], Tensor], outputs: Callable[[Tensor], Tensor]) -> None:
        checks.function("objective", objective)
        checks.function("outputs", outputs)
        self.objective, self.outputs = objective, outputs

    def __call__(self, w: Tensor) -> Tensor:
        return self.objective(self.outputs(w))

    def functional_gradient(self, y: Tensor, x: Tensor) -> Tensor:
        """J_F(y)^T grad l(F(x))."""
        slope = torch.func.grad(self.objective)(self.outputs(x))
        result: Tensor = torch.func.vjp(self.outputs, y)[1](slope)[0]
        return result


def hessian_of(loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The Hessian of a one-point loss as a one-point function.

    Reverse over reverse mode: torch.func.hessian (forward over reverse) is wrong for some losses under vmap
    in torch 2.13.
    """
    return torch.func.jacrev(torch.func.grad(loss))


class CriticalPoint(NamedTuple):
    """A point where the gradient vanishes, with its kind.

    Attributes
    ----------
    x : tuple of float
        Position.
    kind : str
        "minimum", "saddle", "maximum" or "degenerate" (a Hessian eigenvalue is zero).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.landscapes.beale().critical_points[0]
    CriticalPoint(x=(3.0, 0.5), kind='minimum')
    """

    x: tuple[float, ...]
    kind: str


class Landscape:
    """A differentiable loss on R^dim.

    Parameters
    ----------
    function : callable
        Takes ONE point `w`, a torch tensor of shape (dim,), and returns a scalar tensor. Written with torch
        operations; samdyn batches and differentiates it.
    dim : int
        Number of coordinates.
    box : sequence of (lower, upper), optional
        The part of space that is looked at when an analysis is given no box of its own.
    name : str, optional
        For titles and `repr`; the function's name by default.
    parameters : dict of str to number, optional
        Keyword arguments of `function`, kept apart so that they can be varied (`with_parameters`).
    critical_points : sequence of CriticalPoint, optional
        The isolated critical points that are known in the box.

    Raises
    ------
    TypeError, ValueError
        `function` does not return a differentiable scalar, or an argument has the wrong shape. Both before
        any work.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.Landscape(lambda w: (w[0]**2 - 1)**2/4 + w[1]**2/2, dim=2, box=[(-2, 2), (-1, 1)])
    >>> loss.value([[1.0, 0.0], [0.0, 0.0]])
    array([0.  , 0.25])
    >>> loss.gradient([2.0, 1.0])
    array([6., 1.])
    >>> loss.hessian([0.0, 0.0])
    array([[-1.,  0.],
           [ 0.,  1.]])
    """

    @checked
    def __init__(
        self,
        function: Callable[..., Tensor],
        dim: int,
        box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
        name: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        critical_points: Sequence[CriticalPoint] = (),
        **others: Never,
    ) -> None:
        for other in others:
            raise TypeError(f"Landscape takes no argument {other!r}{_here(other, ARGUMENTS)}")
        if not callable(function):
            raise TypeError(f"function must be callable, got {type(function).__name__}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string, got {type(name).__name__}")
        self.function = function
        self.dim = checks.integer("dim", dim, at_least=1)
        self.box: Array | None = None if box is None else checks.box("box", box, self.dim)
        self.name = name if name is not None else _name_of(function)
        self.parameters = {} if parameters is None else dict(checks.mapping("parameters", parameters))
        if not isinstance(critical_points, Sequence):
            raise TypeError(f"critical_points must be a sequence of CriticalPoint, got {critical_points!r}")
        self.critical_points = tuple(critical_points)
        self._check()
        warn_of_unread(self.one_point, self.dim, self._trial_point())

    def _check(self) -> None:
        """Refuse what is no loss, or has no value in its box."""
        check_scalar_loss(self.one_point, self.dim, self._trial_point(), self.function)
        if self.box is not None:
            check_values(self.one_point, self.box, self.name)

    def __call__(self, *_: Any) -> Never:
        raise TypeError("a Landscape is not called: write loss.value(x), loss.gradient(x) or loss.hessian(x)")

    def __getattr__(self, name: str) -> Never:
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{_here(name, ATTRIBUTES)}")

    @property
    def one_point(self) -> Callable[[Tensor], Tensor]:
        """The loss as a function of `w` alone, with its parameters filled in."""
        return functools.partial(self.function, **self.parameters) if self.parameters else self.function

    @property
    def traceable(self) -> bool:
        """Whether a step may be written out as scalar operations, if its operations allow it."""
        return True

    @property
    def points_together(self) -> int:
        """Points that are evaluated together, so that memory stays bounded."""
        return max(1, batch.CHUNK_VALUES // self.dim**2)

    @property
    def gradient_function(self) -> Callable[[Tensor], Tensor]:
        """The gradient as a torch function of one point."""
        return torch.func.grad(self.one_point)

    @property
    def product_function(self) -> Callable[[Tensor, Tensor], Tensor]:
        """H(x) v as a torch function of one point x and one vector v."""
        gradient = self.gradient_function
        # reverse over reverse: see `hessian_of`; the Hessian is symmetric
        return lambda x, v: torch.func.vjp(gradient, x)[1](v)[0]

    def product_at(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """v to H(x) v for many vectors at one point, from what need not be computed for each of them."""
        product = self.product_function
        return lambda v: product(x, v)

    @property
    def oracle(self) -> Oracle:
        """The loss as a rule is handed it: the gradient of one point, values, products, and outputs."""
        outputs = self.function.functional_gradient if isinstance(self.function, Composed) else None
        return Oracle(self.gradient_function, self.one_point, self.product_function, outputs=outputs)

    @classmethod
    def composed(
        cls,
        objective: Callable[[Tensor], Tensor],
        outputs: Callable[[Tensor], Tensor],
        dim: int,
        box: Sequence[Sequence[float]] | None = None,
        name: str | None = None,
    ) -> Landscape:
        """A loss l(F(w)) that keeps objective and outputs apart, for rules that treat them differently.

        Parameters
        ----------
        objective : callable
            l: from outputs to a scalar, written with torch.
        outputs : callable
            F: from one point `w` to a tensor of any shape.
        dim, box, name
            As of `Landscape`.

        Examples
        --------
        >>> import samdyn as sd
        >>> loss = sd.Landscape.composed(lambda y: (y - 1) ** 2, lambda w: w[0] * w[1], dim=2)
        >>> loss.gradient([2.0, 1.0])
        array([2., 4.])
        """
        return Landscape(Composed(objective, outputs), dim, box, name or "composed loss")

    def _trial_point(self) -> Array:
        # irrational fractions of the box: not on an axis or a symmetry line, where a kink could hide
        fractions = np.modf((1 + np.arange(self.dim)) * 0.6180339887498949)[0]
        low, high = (np.zeros(self.dim), np.ones(self.dim)) if self.box is None else self.box.T
        return np.asarray(low + (high - low) * fractions)

    def value(self, x: checks.PointLike) -> Array:
        """The loss at points (..., dim): an array of shape (...)."""
        return batch.evaluate(self.one_point, checks.points("x", x, self.dim, finite=False))

    def gradient(self, x: checks.PointLike) -> Array:
        """The gradient at points (..., dim): an array of shape (..., dim)."""
        return batch.evaluate(torch.func.grad(self.one_point), checks.points("x", x, self.dim, finite=False))

    def hessian(self, x: checks.PointLike) -> Array:
        """The Hessian at points (..., dim): an array of shape (..., dim, dim).

        In more than `LARGE` dimensions the time is estimated from the time of a gradient (to a factor of
        about three) and said if it is long (`samdyn.CostWarning`); Hessians that would not fit into memory
        are refused.
        """
        points = checks.points("x", x, self.dim, finite=False)
        if self.dim > LARGE:
            self._announce_hessians(points.reshape(-1, self.dim))
        return batch.evaluate(hessian_of(self.one_point), points)

    def hvp(self, x: checks.PointLike, v: npt.ArrayLike) -> Array:
        """Products H(x) v of the Hessian with vectors; nothing of the size of a Hessian is made.

        Parameters
        ----------
        x : array_like, shape (..., dim)
            Points.
        v : array_like, shape (..., dim)
            Vectors; leading axes broadcast against the leading axes of `x`.

        Returns
        -------
        ndarray, shape (..., dim)

        Examples
        --------
        >>> import samdyn as sd
        >>> sd.landscapes.saddle(2.0, 1.0).hvp([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
        array([[ 2.,  0.],
               [ 0., -1.]])
        """
        points = checks.points("x", x, self.dim, finite=False)
        vectors = checks.points("v", v, self.dim, finite=False)
        return batch.evaluate_pairs(self.product_function, points, vectors)

    def jvp(self, x: checks.PointLike, v: npt.ArrayLike) -> Array:
        """Products with the Hessian, the Jacobian of the gradient: `hvp`."""
        return self.hvp(x, v)

    def vjp(self, x: checks.PointLike, v: npt.ArrayLike) -> Array:
        """Products with the transposed Hessian, which is the Hessian: `hvp`."""
        return self.hvp(x, v)

    def operator(self, x: checks.PointLike) -> ProductOperator:
        """The Hessian at one point as a `scipy.sparse.linalg.LinearOperator` that never makes the matrix.

        Parameters
        ----------
        x : array_like, shape (dim,)
            The point, or a FixedPoint.

        Returns
        -------
        ProductOperator
            Symmetric; it counts its products (`n_products`) and times them (`seconds`).

        Examples
        --------
        >>> import samdyn as sd
        >>> from scipy.sparse.linalg import eigsh
        >>> eigsh(sd.landscapes.beale().operator([3.0, 0.5]), k=1)[0].round(4)
        array([48.9798])
        """
        point = checks.points("x", x, self.dim)
        if point.ndim != 1:
            raise ValueError(f"x must be one point of shape ({self.dim},), got shape {point.shape}")
        with own_surroundings(), torch.no_grad(), batch.derivatives_by_name():
            times = self.product_at(torch.from_numpy(np.array(point)))
        return ProductOperator(self.dim, times, times, self.points_together)

    def _announce_hessians(self, x: Array) -> None:
        """Say what Hessians at points (n, dim) will cost: each of their rows is a gradient of a gradient."""
        check_fits("x", 8.0 * x.size * self.dim, f"pass fewer than {len(x)} points at a time, or {PRODUCTS}")
        if len(x):
            one = seconds_of(lambda: batch.evaluate(torch.func.grad(self.one_point), x[:1]))
            announce("Landscape.hessian", ROW * self.dim * len(x) * one, PRODUCTS)

    def with_parameters(self, **parameters: Any) -> Landscape:
        """A copy with some parameters changed (its known critical points are dropped: they may have moved).

        Examples
        --------
        >>> import samdyn as sd
        >>> loss = sd.Landscape(lambda w, a: a * w @ w, dim=2, parameters={"a": 1.0})
        >>> float(loss.with_parameters(a=3.0).value([1.0, 0.0]))
        3.0
        """
        unknown = sorted(set(parameters) - set(self.parameters))
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise ValueError(f"unknown parameter {unknown[0]!r} of {self.name}; it has: {known}")
        merged = {**self.parameters, **parameters}
        result = copy.copy(self)
        result.parameters, result.critical_points = merged, ()
        result._check()
        return result

    def __repr__(self) -> str:
        parts = [f"Landscape({self.name!r}, dim={self.dim}"]
        if self.box is not None:
            parts.append("box=[" + ", ".join(f"({a:g}, {b:g})" for a, b in self.box) + "]")
        if self.parameters:
            parts.append("parameters={" + ", ".join(map(str, self.parameters)) + "}")
        return ", ".join(parts) + ")"


ATTRIBUTES = {
    "value": ("evaluate", "f", "fun", "func", "loss", "forward", "val", "values", "energy", "potential"),
    "gradient": ("grad", "jac", "jacobian", "df", "derivative", "nabla", "gradients"),
    "hessian": ("hess", "hessians", "d2f"),
    "hvp": ("hessp", "hessian_vector_product", "hv"),
    "box": ("bounds", "domain", "xlim", "ylim", "limits", "region"),
    "dim": ("ndim", "n", "d", "n_dim", "dimension", "dims"),
    "parameters": ("params", "args", "kwargs"),
    "critical_points": ("minima", "minimum", "minimizers", "saddles"),
}
"""Names of a Landscape's attributes, and what else they are called."""
ARGUMENTS = {
    "function": ("f", "fun", "func", "loss", "objective"),
    "dim": ("ndim", "n", "d", "n_dim", "dimension", "dims", "n_coordinates"),
    "box": ("xlim", "ylim", "bounds", "domain", "limits", "region", "extent", "range"),
    "parameters": ("params", "args", "kwargs"),
    "name": ("title", "label"),
}


def _here(name: str, known: Mapping[str, Sequence[str]]) -> str:
    """What a name that others use is called here."""
    found = [own for own, names in known.items() if name in names]
    near = found or difflib.get_close_matches(name, known, n=1)
    wanted = " of (lower, upper) pairs, one for each coordinate" if near == ["box"] else ""
    return f": here it is {near[0]!r}{wanted}" if near else f"; it has {', '.join(known)}"


def _name_of(function: Callable[..., Tensor]) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "loss" if name == "<lambda>" else name
