"""A loss that is the mean of one component for each sample, and the derivatives of every component.

Values, gradients and Hessians of the components come from torch.func and are mapped over the data and over
any leading shape of points, in pieces of bounded memory. Least squares and ridge regression take matrix
products instead, whether they were written as such or recognised: see `samdyn.landscapes.quadratic_sums`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import Landscape
from samdyn.landscapes.loss_check import check_scalar_loss
from samdyn.landscapes.polynomials import polynomial_degree
from samdyn.landscapes.quadratic_sums import Quadratics, Squares, squares_of
from samdyn.rules.oracle import Oracle
from samdyn.trace import batch
from samdyn.trace.function_identity import fingerprint

DETECT_LIMIT = 20_000_000
"""Largest n dim^2 for which quadratic components are looked for."""


class SampledLandscape(Landscape):
    """The mean of n components: see `samdyn.FiniteSum`, which adds their constants.

    Parameters
    ----------
    component, data, dim, box, name, parameters, critical_points
        As of `samdyn.FiniteSum`.
    """

    @checked
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
        self._data: tuple[Array, ...] = _arrays(data)
        self.single = not isinstance(data, tuple)
        dim = checks.integer("dim", dim, at_least=1)
        _check_component(self, dict(parameters or {}), dim)
        mean = _Mean(component, tuple(map(batch.tensor_of, self.data)), self.single)
        if name is None:
            name = getattr(component, "__name__", "finite sum")
            name = "finite sum" if name == "<lambda>" else name
        super().__init__(mean, dim, box, name, parameters=parameters, critical_points=critical_points)

    @property
    def data(self) -> tuple[Array, ...]:
        """The samples, each array along its first axis, in float64."""
        return self._data

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
        tensors = tuple(map(batch.tensor_of, self.data))
        return tensors[0] if self.single else tensors

    @property
    def flat_samples(self) -> Array:
        """The data with each sample's numbers in one row: shape (n, numbers)."""
        return np.concatenate([a.reshape(self.n_samples, -1) for a in self.data], axis=1)

    @property
    def _sample_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the parts of a sample."""
        return [a.shape[1:] for a in self.data]

    def unflatten(self, flat: Tensor) -> Any:
        """A sample, in the form that `component` gets, from its row of `flat_samples`."""
        pieces, start = [], 0
        for shape in self._sample_shapes:
            size = int(np.prod(shape))
            pieces.append(flat[start : start + size].reshape(shape))
            start += size
        return pieces[0] if self.single else tuple(pieces)

    def batch_gradient(self, samples: Any, weights: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The mean gradient of a batch as a torch function of one point.

        Parameters
        ----------
        samples : Tensor or tuple of Tensor
            In the form that `component` gets, with a leading axis for the batch.
        weights : Tensor, shape (batch_size,), or None
            What each sample's gradient is multiplied by.
        """
        each = torch.func.vmap(torch.func.grad(self.at_sample), in_dims=(None, 0))

        def at(x: Tensor) -> Tensor:
            gradients = each(x, samples)
            return (gradients if weights is None else weights[:, None] * gradients).mean(dim=0)

        return at

    def batch_oracle(self, samples: Any, weights: Tensor | None) -> Oracle:
        """A batch as a rule gets it: its mean gradient, its value, and both for each of its samples."""
        return Oracle(
            self.batch_gradient(samples, weights),
            lambda x: self._sample_terms(x, samples, weights)[0].mean(dim=0),
            samples=lambda x: self._sample_terms(x, samples, weights),
        )

    def _sample_terms(self, x: Tensor, samples: Any, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Values (B,) and gradients (B, dim) of samples at one point, times their weights."""
        both = torch.func.vmap(torch.func.grad_and_value(self.at_sample), in_dims=(None, 0))
        gradients, values = both(x, samples)
        if weights is None:
            return values, gradients
        return weights * values, weights[:, None] * gradients

    def _samples_like(self, x: Tensor) -> Any:
        """All samples in torch, on the device and in the dtype of a point."""
        parts = tuple(batch.tensor_of(a).to(x) for a in self.data)
        return parts[0] if self.single else parts

    @property
    def oracle(self) -> Oracle:
        """The whole sum as a rule is handed it."""
        whole = super().oracle
        whole.of["samples"] = lambda x: self._sample_terms(x, self._samples_like(x), None)
        return whole

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
        squares = self._sure_squares
        if squares is not None:
            points = checks.points("x", x, self.dim, finite=False)
            rows, targets, ridge = squares
            residual = points @ rows.T - targets
            return np.asarray(residual[..., None] * rows + ridge[:, None] * points[..., None, :])
        return self._gradients(x)

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

    def value(self, x: checks.PointLike) -> Array:
        """The loss at points (..., dim): an array of shape (...)."""
        if self.component is square:  # recognised ones may miss a constant
            points, squares = checks.points("x", x, self.dim, finite=False), self.squares
            assert squares is not None
            rows, targets, ridge = squares
            residual = points @ rows.T - targets
            size = np.einsum("...i,...i->...", points, points)
            return np.asarray(((residual**2).mean(axis=-1) + ridge.mean() * size) / 2)
        return super().value(x)

    def gradient(self, x: checks.PointLike) -> Array:
        """The gradient at points (..., dim): an array of shape (..., dim)."""
        squares = self._sure_squares
        if squares is not None:
            points = checks.points("x", x, self.dim, finite=False)
            rows, targets, ridge = squares
            return np.asarray((points @ rows.T - targets) @ rows / self.n_samples + ridge.mean() * points)
        return super().gradient(x)

    def hessian(self, x: checks.PointLike) -> Array:
        """The Hessian at points (..., dim): an array of shape (..., dim, dim)."""
        squares = self._sure_squares
        if squares is None:
            return super().hessian(x)
        points = checks.points("x", x, self.dim, finite=False)
        rows, _, ridge = squares
        one = rows.T @ rows / self.n_samples + ridge.mean() * np.eye(self.dim)
        return np.array(np.broadcast_to(one, (*points.shape, self.dim)))

    @property
    def quadratics(self) -> Quadratics | None:
        """The components as quadratics, or None where they are not known to be (or hold too many numbers).

        Quadratic components have the graph of a polynomial of degree two at most; they are looked for only
        while ``n_samples * dim**2`` is at most `DETECT_LIMIT`. What was found is kept while all that the
        components read is known and reads the same, and looked for anew otherwise.
        """
        return self._kept("quadratics", self._find_quadratics)

    def _find_quadratics(self) -> Quadratics | None:
        if self.n_samples * self.dim**2 > DETECT_LIMIT:
            return None
        origin = np.zeros(self.dim)
        first = tuple(batch.tensor_of(np.asarray(a[0])).reshape(a.shape[1:]) for a in self.data)

        def one(w: Tensor, *sample: Tensor) -> Tensor:
            return self.at_sample(w, sample[0] if self.single else sample)

        if polynomial_degree(one, torch.from_numpy(origin), *first) > 2:
            return None
        linear, constants = -self._gradients(origin), self.sample_values(origin)
        found = Quadratics(self.sample_hessians(origin), linear, constants)
        return found if all(np.isfinite(part).all() for part in found) else None

    def _gradients(self, x: npt.ArrayLike) -> Array:
        """`sample_gradients` by automatic differentiation, whatever the structure."""
        return self._each(x, torch.func.grad, self.dim)

    @property
    def squares(self) -> Squares | None:
        """The components as squares of linear forms with a ridge, or None where they are not."""
        if self.component is square:
            rows, targets = self.data
            return Squares(rows, targets, np.full(len(rows), float(self.parameters["ridge"])))
        return self._kept("squares", self._find_squares)

    def _find_squares(self) -> Squares | None:
        quadratics = self.quadratics
        return None if quadratics is None else squares_of(quadratics)

    @property
    def quadratic_as_known(self) -> bool:
        """Whether `quadratics` has been looked for, with success, and is certain to be the same still. It is
        not looked for here, which cannot be done while a step is traced.
        """
        state, found = self._state(), self.__dict__.get("_found", {}).get("quadratics")
        return state is not None and found is not None and found[0] == state and found[1] is not None

    @property
    def _sure_squares(self) -> Squares | None:
        """`squares` where they are known without looking at the components anew, for single evaluations."""
        return self.squares if self.component is square or self._state() is not None else None

    def _state(self) -> str | None:
        """A hash of all that the components depend on; None where something may change unseen."""
        return fingerprint(self.component, self.parameters, self.data)

    def _kept(self, name: str, find: Callable[[], Any]) -> Any:
        """What `find` finds, from an earlier call where it is certain to be the same."""
        state, kept = self._state(), self.__dict__.setdefault("_found", {})
        if state is None:
            return find()
        if kept.get(name, (None,))[0] != state:
            kept[name] = state, find()
        return kept[name][1]

    def with_parameters(self, **parameters: Any) -> Self:
        """A copy with some parameters changed."""
        unknown = sorted(set(parameters) - set(self.parameters))
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise ValueError(f"unknown parameter {unknown[0]!r} of {self.name}; it has: {known}")
        data = self.data[0] if self.single else self.data
        merged = {**self.parameters, **parameters}
        return type(self)(self.component, data, self.dim, self.box, self.name, parameters=merged)

    def __repr__(self) -> str:
        name = type(self).__name__
        return super().__repr__().replace("Landscape(", f"{name}(", 1)[:-1] + f", n={self.n_samples})"


class _Mean:
    """The mean of the components as a function of w, in torch."""

    def __init__(self, component: Callable[..., Tensor], data: tuple[Tensor, ...], single: bool) -> None:
        self.component, self.data, self.single = component, data, single

    def __call__(self, w: Tensor, **parameters: Any) -> Tensor:
        data = tuple(a.to(device=w.device, dtype=w.dtype) for a in self.data)
        function = functools.partial(self.component, **parameters)
        return torch.func.vmap(function, in_dims=(None, 0))(w, data[0] if self.single else data).mean()


def square(w: Tensor, sample: tuple[Tensor, Tensor], ridge: Any) -> Tensor:
    """One component of least squares with a ridge."""
    row, target = sample
    return ((row @ w - target) ** 2 + ridge * (w @ w)) / 2


def _arrays(data: Any) -> tuple[Array, ...]:
    parts = data if isinstance(data, tuple) else (data,)
    wanted = "an array (n, ...) or a tuple of such"
    arrays = tuple(checks.array("data", part, finite=False, wanted=wanted) for part in parts)
    if not arrays or any(a.ndim == 0 or len(a) == 0 for a in arrays):
        scalar = any(a.ndim == 0 for a in arrays)
        got = f"{checks.shown(data)}, which has no axis" if scalar else "none"
        raise ValueError(f"data must hold at least one sample along the first axis, got {got}")
    lengths = {len(a) for a in arrays}
    if len(lengths) > 1:
        raise ValueError(f"data must have one length along the first axis, got {sorted(lengths)}")
    if not all(np.isfinite(a).all() for a in arrays):
        raise ValueError("data must be finite, got nan or inf")
    return arrays


def _check_component(loss: SampledLandscape, parameters: dict[str, Any], dim: int) -> None:
    first = tuple(
        batch.tensor_of(a[0]) if a.ndim > 1 else torch.tensor(a[0], device="cpu") for a in loss.data
    )
    sample = first[0] if loss.single else first
    at = np.modf((1 + np.arange(dim)) * 0.6180339887498949)[0]
    try:
        check_scalar_loss(lambda w: loss.component(w, sample, **parameters), dim, at, loss.component)
    except (TypeError, ValueError) as error:
        message = str(error).replace("function must take one point", "component must take one point", 1)
        message = message.replace("function ", "component ", 1) if message.startswith("function") else message
        raise type(error)(f"component(w, sample): {message}") from error
