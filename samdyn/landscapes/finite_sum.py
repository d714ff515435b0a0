"""Finite sums f(w) = mean_i f_i(w): the losses that stochastic optimisers see one batch at a time.

A finite sum is a `Landscape`, so that everything that takes a landscape takes it. Besides it gives what
sampling needs: values, gradients and Hessians of every component (vmap over the data), the covariance of the
gradients, the components' smoothness constants, their infima and a minimiser.

Losses made of quadratic components are recognised by their Hessians, which are the same at three points to
rounding; constants of those are exact. Components that are squares of one linear form plus a multiple of
|w|^2 (least squares and ridge regression) are recognised too, and the ensemble moves on them by matrix
products instead of automatic differentiation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

from samdyn.compute import batch, checks
from samdyn.compute.checks import Array
from samdyn.landscapes.landscape import Landscape

DETECT_LIMIT = 20_000_000
"""Largest n dim^2 for which quadratic components are looked for."""


class Quadratics(NamedTuple):
    """Components f_i(w) = w.H_i w / 2 - l_i.w + c_i.

    Attributes
    ----------
    hessians : ndarray, shape (n, dim, dim)
    linear : ndarray, shape (n, dim)
    constants : ndarray, shape (n,)
    """

    hessians: Array
    linear: Array
    constants: Array


class Squares(NamedTuple):
    """Components f_i(w) = (a_i.w - b_i)^2 / 2 + r_i |w|^2 / 2 + a constant.

    Attributes
    ----------
    rows : ndarray, shape (n, dim)
        The a_i.
    targets : ndarray, shape (n,)
        The b_i.
    ridge : ndarray, shape (n,)
        The r_i.
    """

    rows: Array
    targets: Array
    ridge: Array


class Smoothness(NamedTuple):
    """Smoothness constants of the components.

    Attributes
    ----------
    values : ndarray, shape (n,)
        L_i, the largest absolute eigenvalue of the i-th component's Hessian.
    exact : bool
        True for quadratic components. Otherwise the values are maxima over sampled points, that is, lower
        bounds.
    """

    values: Array
    exact: bool


class FiniteSum(Landscape):
    """A loss that is the mean of n components, one for each sample of the data.

    Parameters
    ----------
    component : callable
        ``component(w, sample)``: the loss of ONE sample at ONE point `w`, a torch tensor of shape (dim,).
        `sample` is one row of the data as a torch tensor, or a tuple of such where `data` is a tuple.
        Written with torch operations; samdyn batches and differentiates it.
    data : array_like (n, ...), or tuple of such
        The samples along the first axis, in float64.
    dim : int
        Number of coordinates of w.
    box, name, parameters, critical_points
        As of `Landscape`; parameters are keyword arguments of `component`.

    Raises
    ------
    TypeError, ValueError
        A component that is not differentiable or not a scalar; data that are empty, not finite, or of unequal
        lengths.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum(lambda w, s: (w - s) @ (w - s) / 2, data=[[0.0], [2.0]], dim=1)
    >>> loss.value([1.0]), loss.sample_gradients([0.0])[:, 0], loss.gradient_covariance([0.0])
    (array(0.5), array([ 0., -2.]), array([[1.]]))
    """

    def __init__(
        self,
        component: Callable[..., Tensor],
        data: Any,
        dim: int,
        box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
        name: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        critical_points: Sequence[Any] = (),
    ) -> None:
        if not callable(component):
            raise TypeError(f"component must be callable, got {type(component).__name__}")
        self.component = component
        self.data: tuple[Array, ...] = _arrays(data)
        self.single = not isinstance(data, tuple)
        dim = checks.integer("dim", dim, at_least=1)
        _check_component(self, dict(parameters or {}), dim)
        mean = _Mean(component, tuple(torch.from_numpy(a) for a in self.data), self.single)
        if name is None:
            name = getattr(component, "__name__", "finite sum")
            name = "finite sum" if name == "<lambda>" else name
        super().__init__(mean, dim, box, name, parameters=parameters, critical_points=critical_points)

    @classmethod
    def least_squares(
        cls,
        A: npt.ArrayLike,
        b: npt.ArrayLike,
        ridge: float = 0.0,
        box: Sequence[Sequence[float]] | None = None,
        name: str = "least squares",
    ) -> FiniteSum:
        """Least squares and ridge regression: ``f_i(w) = (a_i.w - b_i)^2 / 2 + ridge |w|^2 / 2``.

        Parameters
        ----------
        A : array_like, shape (n, dim)
        b : array_like, shape (n,)
        ridge : float
            >= 0; a parameter of the loss.

        Examples
        --------
        >>> import samdyn as sd
        >>> loss = sd.FiniteSum.least_squares([[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0])
        >>> loss.minimum().x, loss.smoothness().values, loss.interpolates([1.0, 1.0])
        (array([1., 1.]), array([1., 4.]), True)
        """
        rows = np.array(A, dtype=np.float64)
        targets = np.array(b, dtype=np.float64)
        if rows.ndim != 2 or targets.shape != rows.shape[:1]:
            raise ValueError(
                f"A must have shape (n, dim) and b shape (n,), got {rows.shape} and {targets.shape}"
            )
        ridge = checks.number("ridge", ridge, at_least=0)
        parameters = {"ridge": ridge}
        return cls(_square, (rows, targets), rows.shape[1], box, name, parameters=parameters)

    @property
    def n_samples(self) -> int:
        """Number of components."""
        return len(self.data[0])

    def at_sample(self, w: Tensor, sample: Any) -> Tensor:
        """One component in torch: `sample` as `component` wants it."""
        return self.component(w, sample, **self.parameters)

    @property
    def samples(self) -> Any:
        """The data as torch tensors, in the form that `component` gets, with a leading axis for samples."""
        tensors = tuple(torch.from_numpy(a) for a in self.data)
        return tensors[0] if self.single else tensors

    @property
    def flat_samples(self) -> Array:
        """The data with each sample's numbers in one row: shape (n, numbers)."""
        return np.concatenate([a.reshape(self.n_samples, -1) for a in self.data], axis=1)

    def unflatten(self, flat: Tensor) -> Any:
        """A sample, in the form that `component` gets, from its row of `flat_samples`."""
        pieces, start = [], 0
        for a in self.data:
            size = int(np.prod(a.shape[1:]))
            pieces.append(flat[start : start + size].reshape(a.shape[1:]))
            start += size
        return pieces[0] if self.single else tuple(pieces)

    def _each(
        self, x: npt.ArrayLike, function: Callable[[Callable[..., Tensor]], Callable[..., Tensor]], size: int
    ) -> Array:
        """A functional of every component at points (..., dim), in pieces of bounded memory."""
        points = checks.points("x", x, self.dim, finite=False)
        per_sample = torch.func.vmap(function(self.at_sample), in_dims=(None, 0))
        flat = points.reshape(-1, self.dim)
        piece = max(1, batch.CHUNK_VALUES * 16 // (self.n_samples * size))
        values = [
            batch.evaluate(lambda w: per_sample(w, self.samples), flat[i : i + piece])
            for i in range(0, max(len(flat), 1), piece)
        ]
        result = np.concatenate(values)
        return result.reshape(points.shape[:-1] + result.shape[1:])

    def sample_values(self, x: npt.ArrayLike) -> Array:
        """The components' values at points (..., dim): shape (..., n)."""
        return self._each(x, lambda f: f, self.dim)

    def sample_gradients(self, x: npt.ArrayLike) -> Array:
        """The components' gradients at points (..., dim): shape (..., n, dim)."""
        if self.squares is not None:
            points = checks.points("x", x, self.dim, finite=False)
            rows, targets, ridge = self.squares
            residual = points @ rows.T - targets
            return np.asarray(residual[..., None] * rows + ridge[:, None] * points[..., None, :])
        return self._each(x, torch.func.grad, self.dim)

    def sample_hessians(self, x: npt.ArrayLike) -> Array:
        """The components' Hessians at points (..., dim): shape (..., n, dim, dim)."""
        # reverse over reverse: see `hessian_of`
        return self._each(x, lambda f: torch.func.jacrev(torch.func.grad(f)), self.dim**2)

    def gradient_covariance(self, x: npt.ArrayLike) -> Array:
        """Covariance of the gradient of one uniformly drawn sample at points (..., dim).

        Returns
        -------
        ndarray, shape (..., dim, dim)
        """
        g = self.sample_gradients(x)
        g = g - g.mean(axis=-2, keepdims=True)
        return np.asarray(np.swapaxes(g, -1, -2) @ g / self.n_samples)

    def value(self, x: npt.ArrayLike) -> Array:
        """The loss at points (..., dim): an array of shape (...)."""
        if self._squares_are_whole:
            points = checks.points("x", x, self.dim, finite=False)
            rows, targets, ridge = self.squares  # type: ignore[misc]
            residual = points @ rows.T - targets
            size = np.einsum("...i,...i->...", points, points)
            return np.asarray(((residual**2).mean(axis=-1) + ridge.mean() * size) / 2)
        return super().value(x)

    def gradient(self, x: npt.ArrayLike) -> Array:
        """The gradient at points (..., dim): an array of shape (..., dim)."""
        if self.squares is not None:
            points = checks.points("x", x, self.dim, finite=False)
            rows, targets, ridge = self.squares
            return np.asarray((points @ rows.T - targets) @ rows / self.n_samples + ridge.mean() * points)
        return super().gradient(x)

    @functools.cached_property
    def quadratics(self) -> Quadratics | None:
        """The components as quadratics, or None where one of them is not (or there are too many numbers).

        They are looked for once, and only while ``n_samples * dim**2`` is at most `DETECT_LIMIT`.
        """
        if self.n_samples * self.dim**2 > DETECT_LIMIT:
            return None
        low, high = (-np.ones(self.dim), np.ones(self.dim)) if self.box is None else self.box.T
        fractions = np.modf(np.arange(1, 3 * self.dim + 1) * 0.6180339887498949)[0].reshape(3, self.dim)
        try:
            h = [self.sample_hessians(low + (high - low) * f) for f in fractions]
            origin = np.zeros(self.dim)
            linear, constants = -FiniteSum._gradients(self, origin), self.sample_values(origin)
        except RuntimeError:  # a torch operation without a second derivative
            return None
        scale = max(float(np.abs(h[0]).max()), 1e-300)
        same = all(np.abs(other - h[0]).max() <= 1e-10 * scale for other in h[1:])
        finite = np.isfinite(h[0]).all() and np.isfinite(linear).all() and np.isfinite(constants).all()
        return Quadratics(h[0], linear, constants) if same and finite else None

    def _gradients(self, x: Array) -> Array:
        return self._each(x, torch.func.grad, self.dim)

    @functools.cached_property
    def squares(self) -> Squares | None:
        """The components as squares of linear forms with a ridge, or None where they are not."""
        if self.component is _square:
            rows, targets = self.data
            return Squares(rows, targets, np.full(len(rows), float(self.parameters["ridge"])))
        if self.quadratics is None or self.dim > 200:
            return None
        hessians, linear, _ = self.quadratics
        values, vectors = np.linalg.eigh(hessians)
        scale = np.abs(values).max(axis=1) + 1e-300
        ridge = values[:, 0] if self.dim > 1 else np.zeros(len(values))
        if self.dim > 1 and (values[:, -2] - ridge > 1e-10 * scale).any():
            return None
        strength = values[:, -1] - ridge
        if (strength < -1e-10 * scale).any():
            return None
        rows = np.sqrt(np.maximum(strength, 0))[:, None] * vectors[:, :, -1]
        square = (rows**2).sum(axis=1)
        full = square > 1e-10 * scale
        targets = np.where(full, (linear * rows).sum(axis=1) / np.where(full, square, 1.0), 0.0)
        off = np.abs(targets[:, None] * rows - linear).max()
        return Squares(rows, targets, ridge) if off <= 1e-10 * (np.abs(linear).max() + 1e-300) else None

    @property
    def _squares_are_whole(self) -> bool:
        return self.component is _square  # recognised squares may miss a constant

    def smoothness(
        self, box: npt.ArrayLike | None = None, *, n_points: int = 256, seed: int = 0
    ) -> Smoothness:
        """Smoothness constants L_i of the components.

        Parameters
        ----------
        box : array_like, shape (dim, 2), optional
            Where to look if the components are not quadratic; the loss's box by default.
        n_points : int
            Points at which the Hessians are sampled then.
        seed : int

        Returns
        -------
        Smoothness
            Exact for quadratic components; a lower bound otherwise, and labelled so.

        Examples
        --------
        >>> import samdyn as sd, torch
        >>> loss = sd.FiniteSum(lambda w, s: torch.cos(s[0] * w[0]), [[1.0], [2.0]], dim=1, box=[(-4, 4)])
        >>> loss.smoothness().values.round(2), loss.smoothness().exact
        (array([1., 4.]), False)
        """
        if self.quadratics is not None:
            hessians = self.quadratics.hessians
            return Smoothness(np.abs(np.linalg.eigvalsh(hessians)).max(axis=1), True)
        area = self.box if box is None else checks.box("box", box, self.dim)
        if area is None:
            raise ValueError("box must be given: the components are not quadratic and the loss has no box")
        n_points = checks.integer("n_points", n_points, at_least=1)
        u = np.random.default_rng(seed).random((n_points, self.dim))
        values = np.zeros(self.n_samples)
        for start in range(0, n_points, 16):
            h = self.sample_hessians(area[:, 0] + (area[:, 1] - area[:, 0]) * u[start : start + 16])
            values = np.maximum(values, np.abs(np.linalg.eigvalsh(h)).max(axis=(0, -1)))
        return Smoothness(values, False)

    def sample_infima(self) -> Array:
        """The infimum of every component, for quadratic components: shape (n,).

        Returns
        -------
        ndarray
            -inf where a component is unbounded below.

        Raises
        ------
        ValueError
            The components are not quadratic.
        """
        if self.quadratics is None:
            raise ValueError("the infima of components are known for quadratic components only")
        hessians, linear, constants = self.quadratics
        values, vectors = np.linalg.eigh(hessians)
        rotated = np.einsum("nij,ni->nj", vectors, linear)
        scale = np.abs(values).max(axis=1, keepdims=True) + 1e-300
        flat = values <= 1e-12 * scale
        bounded = (values >= -1e-12 * scale).all(axis=1)
        size = np.abs(rotated).max(axis=1, keepdims=True) + 1e-300
        bounded &= ~(flat & (np.abs(rotated) > 1e-9 * size) & (np.abs(rotated) > 1e-12)).any(axis=1)
        gain = np.where(flat, 0.0, rotated**2 / np.where(flat, 1.0, values)).sum(axis=1) / 2
        return np.asarray(np.where(bounded, constants - gain, -np.inf))

    def minimum(self, start: npt.ArrayLike | None = None) -> Minimum:
        """A minimiser of the sum.

        Parameters
        ----------
        start : array_like, shape (dim,), optional
            Where the search starts for components that are not quadratic; the middle of the box by default.

        Returns
        -------
        Minimum

        Notes
        -----
        Quadratic components: a linear system (the solution of least norm). Otherwise BFGS from `start` and
        Newton steps to rounding: a local minimum.

        Raises
        ------
        ValueError
            A sum of quadratics that is unbounded below.
        """
        if self.quadratics is not None:
            hessian, linear = (part.mean(axis=0) for part in self.quadratics[:2])
            if np.linalg.eigvalsh(hessian)[0] < -1e-10 * np.abs(hessian).max():
                raise ValueError(f"{self.name} has no minimum: its Hessian has a negative eigenvalue")
            x = np.linalg.lstsq(hessian, linear, rcond=1e-13)[0]
            return Minimum(x, float(self.value(x)))
        if start is None:
            start = np.zeros(self.dim) if self.box is None else self.box.mean(axis=1)
        x = checks.points("start", start, self.dim)
        x = minimize(lambda w: float(self.value(w)), x, jac=lambda w: self.gradient(w)).x
        for _ in range(3):
            step = np.linalg.lstsq(self.hessian(x), self.gradient(x), rcond=1e-10)[0]
            if np.linalg.norm(self.gradient(x - step)) < np.linalg.norm(self.gradient(x)):
                x = x - step
        return Minimum(x, float(self.value(x)))

    def interpolates(self, x: npt.ArrayLike, tolerance: float = 1e-8) -> bool:
        """Whether every component is stationary at a point.

        Parameters
        ----------
        x : array_like, shape (dim,)
        tolerance : float
            On the largest gradient of a component, relative to the largest at a distance of 1.
        """
        point = checks.points("x", x, self.dim)
        here = np.linalg.norm(self.sample_gradients(point), axis=-1).max()
        shifted = point + np.ones(self.dim) / self.dim**0.5
        there = np.linalg.norm(self.sample_gradients(shifted), axis=-1).max()
        return bool(here <= tolerance * max(there, 1e-300))

    def importance_probabilities(self, box: npt.ArrayLike | None = None) -> Array:
        """Sampling probabilities proportional to the smoothness constants: L_i / sum_j L_j."""
        values = self.smoothness(box).values
        if not (values > 0).all():
            i = int(np.argmin(values))
            raise ValueError(f"importance sampling needs every L_i > 0, got L_{i} = {values[i]:g}")
        return np.asarray(values / values.sum())

    def gradient_norm_probabilities(self, x: npt.ArrayLike, mixture: float = 0.0) -> Array:
        """Sampling probabilities that make the variance of one reweighted gradient at `x` smallest.

        Parameters
        ----------
        x : array_like, shape (dim,)
        mixture : float
            Share in [0, 1] of the uniform law that is mixed in, which keeps every probability positive.

        Returns
        -------
        ndarray, shape (n,)
            (1 - mixture) |g_i(x)| / sum_j |g_j(x)| + mixture / n.

        Examples
        --------
        >>> import samdyn as sd
        >>> loss = sd.FiniteSum.least_squares([[1.0], [3.0]], [1.0, 1.0])
        >>> loss.gradient_norm_probabilities([0.0])
        array([0.25, 0.75])
        """
        size = np.linalg.norm(self.sample_gradients(checks.points("x", x, self.dim)), axis=-1)
        mixture = checks.number("mixture", mixture, at_least=0)
        if mixture > 1:
            raise ValueError(f"mixture must be a number in [0, 1], got {mixture!r}")
        uniform = np.full(len(size), 1 / len(size))
        return np.asarray((1 - mixture) * (size / size.sum() if size.any() else uniform) + mixture * uniform)

    def with_parameters(self, **parameters: Any) -> FiniteSum:
        """A copy with some parameters changed."""
        unknown = sorted(set(parameters) - set(self.parameters))
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise ValueError(f"unknown parameter {unknown[0]!r} of {self.name}; it has: {known}")
        data = self.data[0] if self.single else self.data
        merged = {**self.parameters, **parameters}
        return FiniteSum(self.component, data, self.dim, self.box, self.name, parameters=merged)

    def __repr__(self) -> str:
        return super().__repr__().replace("Landscape(", "FiniteSum(", 1)[:-1] + f", n={self.n_samples})"


class Minimum(NamedTuple):
    """A minimiser and the loss there.

    Attributes
    ----------
    x : ndarray, shape (dim,)
    value : float
    """

    x: Array
    value: float


class _Mean:
    """The mean of the components as a function of w, in torch."""

    def __init__(self, component: Callable[..., Tensor], data: tuple[Tensor, ...], single: bool) -> None:
        self.component, self.data, self.single = component, data, single

    def __call__(self, w: Tensor, **parameters: Any) -> Tensor:
        data = tuple(a.to(device=w.device, dtype=w.dtype) for a in self.data)
        function = functools.partial(self.component, **parameters)
        return torch.func.vmap(function, in_dims=(None, 0))(w, data[0] if self.single else data).mean()


def _square(w: Tensor, sample: tuple[Tensor, Tensor], ridge: Any) -> Tensor:
    row, target = sample
    return ((row @ w - target) ** 2 + ridge * (w @ w)) / 2


def _arrays(data: Any) -> tuple[Array, ...]:
    try:
        parts = data if isinstance(data, tuple) else (data,)
        arrays = tuple(
            np.array(a.detach().cpu() if hasattr(a, "detach") else a, dtype=np.float64) for a in parts
        )
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"data must be an array (n, ...) or a tuple of such, got {type(data).__name__}"
        ) from error
    if not arrays or any(a.ndim == 0 or len(a) == 0 for a in arrays):
        raise ValueError("data must hold at least one sample along the first axis, got none")
    lengths = {len(a) for a in arrays}
    if len(lengths) > 1:
        raise ValueError(f"data must have one length along the first axis, got {sorted(lengths)}")
    if not all(np.isfinite(a).all() for a in arrays):
        raise ValueError("data must be finite, got nan or inf")
    return arrays


def _check_component(loss: FiniteSum, parameters: dict[str, Any], dim: int) -> None:
    first = tuple(torch.from_numpy(a[0]) if a.ndim > 1 else torch.tensor(a[0]) for a in loss.data)
    sample = first[0] if loss.single else first
    at = np.modf((1 + np.arange(dim)) * 0.6180339887498949)[0]
    try:
        batch.check_scalar_loss(lambda w: loss.component(w, sample, **parameters), dim, at)
    except (TypeError, ValueError) as error:
        message = str(error).replace("function must take one point", "component must take one point", 1)
        message = message.replace("function ", "component ", 1) if message.startswith("function") else message
        raise type(error)(f"component(w, sample): {message}") from error
