"""The noise root of a stochastic differential equation of one's own: a matrix, or a function of the point."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.trace.advice import advice_on, told, torch_names

Function = Callable[..., Any]


class Selected:
    """A function of one point that is called with all parameters and gets those that it names.

    Parameters
    ----------
    function : callable
        ``function(w, **parameters)``.

    Examples
    --------
    >>> Selected(lambda w, a: a * w)(2.0, a=3.0, b=5.0)
    6.0
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        try:
            named = list(inspect.signature(function).parameters.values())[1:]
        except (TypeError, ValueError):  # a builtin tells nothing
            named = [inspect.Parameter("all", inspect.Parameter.VAR_KEYWORD)]
        # None: it takes every name
        takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in named)
        self.names = None if takes_all else frozenset(p.name for p in named)

    def takes(self, name: str) -> bool:
        """Whether the function has a parameter of this name."""
        return self.names is None or name in self.names

    def __call__(self, x: Any, **parameters: Any) -> Any:
        return self.function(x, **{name: value for name, value in parameters.items() if self.takes(name)})


class NoiseRoot:
    """B of dX = b dt + B dW.

    Parameters
    ----------
    root : callable or array_like
        A matrix (dim, m), or a function ``root(w, **parameters)`` of one point that returns one.
    dim : int
    parameters : dict, optional

    Attributes
    ----------
    n_normals : int
        m, the number of independent noises.

    Raises
    ------
    TypeError, ValueError
        No matrix with dim rows, or not a finite one; a function that fails, or that torch cannot batch.

    Examples
    --------
    >>> NoiseRoot(lambda w, s: s * torch.diag(w), 2, {"s": 2.0})(torch.tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """

    def __init__(self, root: Any, dim: int, parameters: Mapping[str, Any] | None) -> None:
        self.dim = dim
        self.parameters = dict(parameters or {})
        self.function: Selected | None = None
        self.matrix: tuple[tuple[float, ...], ...] = ()
        if callable(root):
            self.function = Selected(root)
            self.n_normals = self._width_of_function(root)
            return
        matrix = checks.array("noise_root", root, wanted="a matrix of numbers or a function")
        if matrix.ndim != 2 or matrix.shape[0] != dim or not matrix.size:
            raise ValueError(f"noise_root must have shape ({dim}, m), got shape {matrix.shape}")
        self.matrix = tuple(map(tuple, matrix.tolist()))
        self.n_normals = matrix.shape[1]

    def _width_of_function(self, root: Function) -> int:
        wanted = (
            f"noise_root must take one point, a torch tensor of shape ({self.dim},), and return a "
            f"floating-point tensor of shape ({self.dim}, m)"
        )
        trial = torch.linspace(0.1, 0.7, self.dim, dtype=torch.float64, device="cpu")
        try:
            value = self(trial)
            if isinstance(value, Tensor):
                torch.func.vmap(self)(trial[None])
        except Exception as error:
            raise TypeError(
                f"{wanted}; on {trial.tolist()} it raised {told(error)}{advice_on(error, root)}"
            ) from error
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise TypeError(f"{wanted}, got {checks.shown(value)}{torch_names(root)}")
        if value.ndim != 2 or value.shape[0] != self.dim or not value.shape[1]:
            raise ValueError(f"{wanted}, got shape {tuple(value.shape)}")
        return int(value.shape[1])

    @property
    def silent(self) -> bool:
        """Whether B is the constant 0."""
        return self.function is None and not any(map(any, self.matrix))

    def takes(self, name: str) -> bool:
        """Whether B depends on the parameter of this name."""
        return self.function is not None and self.function.takes(name)

    def __call__(self, x: Tensor) -> Tensor:
        """B at one point, in the precision and on the device of the point."""
        if self.function is None:
            return torch.tensor(self.matrix, dtype=x.dtype, device=x.device)
        value: Tensor = self.function(x, **self.parameters)
        return value.to(dtype=x.dtype, device=x.device) if isinstance(value, Tensor) else value

    def with_parameters(self, **parameters: Any) -> NoiseRoot:
        """A copy with some parameters changed."""
        result = copy.copy(self)
        result.parameters = {**self.parameters, **parameters}
        return result


def check_taken(names: Sequence[str], drift: Selected, root: NoiseRoot) -> None:
    """Refuse parameters that neither the drift nor the noise root takes."""
    for name in names:
        if not drift.takes(name) and not root.takes(name):
            raise ValueError(
                "parameters must be keyword arguments of drift or noise_root, "
                f"got {name!r}, which neither takes"
            )
