"""Networks as losses: a torch module, an objective and data as a finite sum over the flattened weights.

Values, gradients and products with the Hessian are means over chunks of the data, one chunk in memory at a
time. Products come in forward over reverse mode, H v = d/dt grad f(x + t v), or in reverse over reverse mode
where an operation of the module has no forward rule. Several weight vectors go through `torch.vmap` together.
Nothing of the size of a Hessian is made unless `hessian` is asked for.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.landscapes.finite_sum import FiniteSum, Minimum
from samdyn.landscapes.landscape import LARGE
from samdyn.landscapes.module_data import ModuleData
from samdyn.landscapes.module_function import ModuleFunction
from samdyn.landscapes.module_probe import probe
from samdyn.landscapes.module_state import checked_state
from samdyn.rules.oracle import Oracle
from samdyn.trace.batch import derivatives_by_name
from samdyn.trace.surroundings import own_surroundings
from samdyn.trace.tracing import MAX_NODES

CHUNK_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}
"""Memory that the intermediate numbers of one chunk may take."""
SMALL_BYTES = 1 << 20
"""Intermediate numbers of a chunk that need not be fewer."""
PRODUCT = 4
"""Numbers that a product with the Hessian keeps for each that a gradient keeps."""
KEPT_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}
"""Memory that a gradient may take which is kept for many products at one point."""
TRACED_STEPS = 10
"""Scalar operations of a traced gradient for each weight and sample, about."""


class ModuleLoss(FiniteSum):
    """The loss of a torch module over its trainable parameters; `samdyn.from_module` makes it.

    Attributes
    ----------
    model : torch.nn.Module
    x0 : ndarray, shape (dim,)
        The module's own parameters when the loss was made.
    blocks : dict of str to slice
        Where each trainable parameter lies in a point.
    chunk : int
        Samples that are evaluated together.
    dtype : torch.dtype
        In which the loss computes. Points and results are float64 arrays whatever it is.
    parameters : dict
        "weight_decay", the number lam in the term ``(lam / 2) |x|^2`` of the loss.

    Notes
    -----
    All that `FiniteSum` offers works: gradients of samples and their covariance, and `Minibatch` noise.
    """

    def __init__(
        self,
        function: ModuleFunction,
        data: ModuleData,
        chunk: int | None,
        weight_decay: float,
        name: str,
    ) -> None:
        self.module_function, self.module_data = function, data
        self.model, self.dtype, self.dim, self.name = function.model, function.dtype, function.dim, name
        self.box, self.critical_points, self.single = None, (), False
        self.parameters: dict[str, Any] = {"weight_decay": weight_decay}
        self.x0 = function.flat(dict(self.model.named_parameters()))
        if not np.isfinite(self.x0).all():
            raise ValueError("model must have finite parameters, got nan or inf in them")
        self.probed = probe(function, torch.from_numpy(self.x0.copy()), data)
        per_sample = PRODUCT * self.probed.numbers * self.dtype.itemsize
        room = CHUNK_BYTES[function.device.type]
        self.chunk = min(self.n_samples, chunk or max(1, int(room / per_sample)))
        # a product keeps more for each sample than a gradient: of half as many it takes about as much
        self._product_chunk = -(-self.chunk // 2) if per_sample * self.chunk > SMALL_BYTES else self.chunk
        # a chunk that the user set smaller than the data bounds the memory
        whole = per_sample * self.n_samples <= KEPT_BYTES[function.device.type] if chunk is None else False
        self._keeps = self.probed.reverse and (whole or self.chunk == self.n_samples)
        self._together = max(1, int(room / (per_sample * self.chunk + 8.0 * PRODUCT * self.dim)))
        self.function = self._mean
        self.component = self._component
        value = float(self.value(self.x0))
        if not math.isfinite(value):
            raise ValueError(
                f"model must have a finite loss at its own parameters, got {value}: start from other "
                "weights, or look for a logarithm or a quotient that overflows"
            )

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.module_data.targets)

    @property
    def blocks(self) -> dict[str, slice]:
        """Where each trainable parameter lies in a point, by its name."""
        function = self.module_function
        ends = np.cumsum(function.sizes)
        starts = ends - function.sizes
        return {n: slice(int(a), int(b)) for n, a, b in zip(function.names, starts, ends, strict=True)}

    @property
    def data(self) -> tuple[Array, ...]:
        """Inputs and targets in float64, whole numbers included."""
        return tuple(part.to("cpu", torch.float64).numpy() for part in self._parts)

    @property
    def _sample_shapes(self) -> list[tuple[int, ...]]:
        return [tuple(part.shape[1:]) for part in self._parts]

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        return (*self.module_data.inputs, self.module_data.targets)

    @property
    def traceable(self) -> bool:
        """Whether the loss is small enough for a step of it to be written out as scalar operations."""
        return TRACED_STEPS * self.n_samples * self.dim <= MAX_NODES

    @property
    def points_together(self) -> int:
        """Points that are evaluated together: as many as their chunks of data fit into memory."""
        return self._together if self.probed.batchable else 1

    def _mean(self, w: Tensor, weight_decay: Any = 0.0) -> Tensor:
        """The loss of one point in torch."""
        if not self.traceable and get_proxy_mode() is not None:
            raise RuntimeError(f"a network of {self.dim} weights is too large to be written out")
        shares = [
            share * self.module_function(w, *part) for share, part in self.module_data.chunks(self.chunk)
        ]
        return torch.stack(shares).sum() + weight_decay * (w @ w) / 2

    def _component(self, w: Tensor, sample: tuple[Tensor, ...], weight_decay: Any = 0.0) -> Tensor:
        """The loss of one sample, given as float64 tensors, in torch."""
        parts = [s.to(p)[None] for s, p in zip(sample, self._parts, strict=True)]
        return self.module_function(w, tuple(parts[:-1]), parts[-1]) + weight_decay * (w @ w) / 2

    @property
    def gradient_function(self) -> Callable[[Tensor], Tensor]:
        """The gradient as a torch function of one point: chunk after chunk, one in memory at a time."""
        if self.traceable:
            return torch.func.grad(self.one_point)
        decay = self.parameters["weight_decay"]

        def gradient(w: Tensor) -> Tensor:
            total = decay * w
            for share, part in self.module_data.chunks(self.chunk):
                total = total + share * torch.func.grad(self.module_function)(w, *part)
            return total

        return gradient

    @property
    def product_function(self) -> Callable[[Tensor, Tensor], Tensor]:
        """H(x) v as a torch function of x and v: chunk after chunk, one in memory at a time."""
        decay = self.parameters["weight_decay"]

        def product(w: Tensor, v: Tensor) -> Tensor:
            total = decay * v
            for share, part in self.module_data.chunks(self._product_chunk):

                def gradient(u: Tensor, part: ModuleData = part) -> Tensor:
                    return torch.func.grad(self.module_function)(u, *part)

                if self.probed.forward:
                    one = torch.func.jvp(gradient, (w,), (v,))[1]
                else:
                    one = torch.func.vjp(gradient, w)[1](v)[0]
                total = total + share * one
            return total

        return product

    def product_at(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """v to H(x) v for many vectors at one point.

        The gradient is computed once and its graph is kept, where that fits memory (`KEPT_BYTES`): a product
        is then one pass back through it, a half to a sixth of the time of `product_function`.
        """
        if not self._keeps:
            return super().product_at(x)
        decay = self.parameters["weight_decay"]

        def gradient(w: Tensor, part: ModuleData) -> Tensor:
            return torch.func.grad(self.module_function)(w, *part)

        kept = [
            (share, torch.func.vjp(functools.partial(gradient, part=part), x)[1])
            for share, part in self.module_data.chunks(self._product_chunk)
        ]

        def product(v: Tensor) -> Tensor:
            total = decay * v
            for share, back in kept:
                total = total + share * back(v)[0]
            return total

        return product

    def value(self, x: checks.PointLike) -> Array:
        """The loss at points (..., dim): an array of shape (...)."""
        return self._at(self.one_point, checks.points("x", x, self.dim, finite=False))

    def gradient(self, x: checks.PointLike) -> Array:
        """The gradient at points (..., dim): an array of shape (..., dim)."""
        return self._at(self.gradient_function, checks.points("x", x, self.dim, finite=False))

    def hvp(self, x: checks.PointLike, v: npt.ArrayLike) -> Array:
        """Products H(x) v of the Hessian at points (..., dim) with vectors (..., dim)."""
        points = checks.points("x", x, self.dim, finite=False)
        vectors = checks.points("v", v, self.dim, finite=False)
        return self._at(self.product_function, *np.broadcast_arrays(points, vectors))

    def hessian(self, x: checks.PointLike) -> Array:
        """The Hessian at points (..., dim): an array of shape (..., dim, dim), of products with unit vectors.

        What it costs is said and refused as by `Landscape.hessian`.
        """
        points = checks.points("x", x, self.dim, finite=False)
        if self.dim > LARGE:
            self._announce_hessians(points.reshape(-1, self.dim))
        full = self.hvp(points[..., None, :], np.eye(self.dim))
        return np.asarray((full + np.swapaxes(full, -1, -2)) / 2)

    def _at(self, function: Callable[..., Tensor], *arrays: Array) -> Array:
        """A torch function of points (..., dim), and of a vector with each, at many of them."""
        leading = arrays[0].shape[:-1]
        flat = [torch.from_numpy(np.array(a.reshape(-1, self.dim))) for a in arrays]
        size = self.points_together
        with own_surroundings(), torch.no_grad(), derivatives_by_name():
            if len(flat[0]) == 0:
                shape = function(*(torch.from_numpy(self.x0.copy()) for _ in flat)).shape
                return np.zeros(leading + tuple(shape))
            pieces = []
            for part in zip(*(torch.split(a, size) for a in flat), strict=True):
                if len(part[0]) == 1:  # a single point needs no transform
                    pieces.append(function(*(a[0] for a in part))[None].detach())
                else:
                    pieces.append(torch.func.vmap(function)(*part).detach())
        result: Array = torch.cat(pieces).numpy() + 0.0
        return result.reshape(leading + result.shape[1:])

    def batch_gradient(self, samples: Any, weights: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The gradient of a batch's mean as a torch function of one point; no gradient of a single sample is
        made.
        """
        parts = [s.to(p) for s, p in zip(samples, self._parts, strict=True)]
        decay = self.parameters["weight_decay"]

        def mean(w: Tensor) -> Tensor:
            if weights is None:
                return self.module_function(w, tuple(parts[:-1]), parts[-1]) + decay * (w @ w) / 2
            each = torch.func.vmap(self.at_sample, in_dims=(None, 0))
            return (weights * each(w, tuple(parts))).mean()

        return torch.func.grad(mean)

    def batch_oracle(self, samples: Any, weights: Tensor | None) -> Oracle:
        """A batch as a rule is handed it, with its outputs where samples are not weighted."""
        oracle = super().batch_oracle(samples, weights)
        if weights is None and self.probed.through_outputs:
            parts = [s.to(p) for s, p in zip(samples, self._parts, strict=True)]
            part = ModuleData(tuple(parts[:-1]), parts[-1])
            oracle.of["outputs"] = lambda y, x: self._functional_gradient(y, x, [(1.0, part)])
        return oracle

    @property
    def oracle(self) -> Oracle:
        """The whole loss as a rule is handed it: of its outputs, chunk after chunk."""
        whole = super().oracle
        if self.probed.through_outputs:
            whole.of["outputs"] = lambda y, x: self._functional_gradient(
                y, x, self.module_data.chunks(self.chunk)
            )
        return whole

    def _samples_like(self, x: Tensor) -> Any:
        """Inputs and targets in their own dtypes."""
        return self._parts

    def _functional_gradient(self, y: Tensor, x: Tensor, parts: list[tuple[float, ModuleData]]) -> Tensor:
        """The gradient at y with the derivative of the objective kept at x; weight decay is that at y."""
        total = self.parameters["weight_decay"] * y
        for share, part in parts:
            pulled = self.module_function.functional_gradient(y, x, part.inputs, part.targets)
            total = total + share * pulled
        return total

    def parameters_of(self, x: npt.ArrayLike) -> dict[str, Tensor]:
        """A point as a state dict, for ``model.load_state_dict``.

        Parameters
        ----------
        x : array_like, shape (dim,)

        Returns
        -------
        dict of str to Tensor
            Trainable parameters in float64; frozen ones and buffers as they were when the loss was made.
        """
        return self.module_function.unflat(self._point("x", x))

    def point_of(self, state: torch.nn.Module | Mapping[str, Tensor]) -> Array:
        """A module, or a state dict such as a checkpoint holds, as a point.

        Parameters
        ----------
        state : torch.nn.Module or dict of str to Tensor
            Prefixes that wrappers put before every name ("module.", "_orig_mod.") are taken off.

        Returns
        -------
        ndarray, shape (dim,)

        Raises
        ------
        TypeError, ValueError
            Names or shapes that do not fit, frozen parameters or buffers other than the loss's own.
        """
        return self.module_function.flat(checked_state(state, self.module_function, self.name))

    def minimum(self, start: npt.ArrayLike | None = None) -> Minimum:
        """A local minimum from `start`, by default from `x0`; see `FiniteSum.minimum`."""
        return super().minimum(self.x0 if start is None else start)

    def with_parameters(self, **parameters: Any) -> Self:
        """A copy with another weight decay."""
        unknown = sorted(set(parameters) - set(self.parameters))
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r} of {self.name}; it has: weight_decay")
        result = copy.copy(self)
        result.parameters = {**self.parameters, **parameters}
        result.function, result.component = result._mean, result._component
        return result

    @property
    def quadratics(self) -> None:
        """None: whether a module's components are quadratic is not looked for."""

    @property
    def squares(self) -> None:
        """None, as `quadratics`."""

    @property
    def quadratic_as_known(self) -> bool:
        """False, as `quadratics`."""
        return False

    @property
    def _sure_squares(self) -> None:
        return None

    def _trial_point(self) -> Array:
        return self.x0

    def __repr__(self) -> str:
        decay = self.parameters["weight_decay"]
        more = f", weight_decay={decay:g}" if decay else ""
        return f"ModuleLoss({self.name!r}, dim={self.dim}, n={self.n_samples}{more})"
