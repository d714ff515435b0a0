r"""One step of many copies of a system, on separate coordinates.

The step of a system is a torch function of one state, its random inputs and its coefficients, traced to
pointwise operations on separate coordinates (`samdyn.dynamics.steppers`). A `Stepper` holds the trace, or
its printed form, and applies it: to torch tensors, to numpy arrays, and, while C++ is printed, to the symbols
of a trace.

A step of a Map is one call of its form. A step of a Diffusion is the step of Euler and Maruyama, written here
and nowhere else: with drift b, noise root B, standard normal numbers z and a step of length dt,

.. math:: x' = x + b(x)\, dt + B(x)\, z \sqrt{dt}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.draws import Draws
from samdyn.dynamics.wide_root import PointNoise, WideRoot
from samdyn.numerics.vector import Coordinates
from samdyn.trace.batch import tensor_of
from samdyn.trace.printed.printing import numpy_form, printed_form
from samdyn.trace.tracing import CoordinateForm


@dataclass(frozen=True)
class Stepper:
    """The step of a Map or a Diffusion on coordinates.

    Attributes
    ----------
    dim, state_dim : int
        Coordinates of a point and of a state.
    draws : Draws
        The random inputs of a step.
    names : tuple of str
        The coefficients, in the order in which they are passed.
    continuous : bool
        Whether a step has a length dt (Diffusion) or is one step of a map.
    form : CoordinateForm
        Of a map: state, random inputs, coefficients to the next state. Of a diffusion: state, coefficients to
        the drift and the entries of B, row by row; to the drift alone where `noise` is there.
    zeros : frozenset of int
        Outputs of `form` that are zero everywhere.
    noise : callable, optional
        B z at one point, from the point, z and the coefficients, where B has too many entries to list.
    traced : bool
        Whether the step has a pointwise form.
    """

    dim: int
    state_dim: int
    draws: Draws
    names: tuple[str, ...]
    continuous: bool
    form: CoordinateForm
    zeros: frozenset[int]
    noise: PointNoise | None = None

    @property
    def n_normals(self) -> int:
        """Standard normal numbers that a step uses."""
        return self.draws.n_normals

    @property
    def traced(self) -> bool:
        """Whether the step has a pointwise form."""
        return self.form.traced

    def step(
        self, state: Coordinates, inputs: Sequence[Any], coefficients: Sequence[Any], dt: Any
    ) -> Coordinates:
        """The next states: by the map, or by the step of Euler and Maruyama.

        Parameters
        ----------
        state : Coordinates
            Tensors or arrays of one shape.
        inputs : sequence
            The step's random inputs (`Draws`).
        coefficients : sequence
            In the order of `names`.
        dt : number or tensor
            Length of a Diffusion's step; of no use to a Map.
        """
        if not self.continuous:
            return self.iterate(state, inputs, coefficients)
        drift, columns = self.local(state, coefficients)
        return euler_maruyama(state, drift, combine(columns, inputs), dt)

    def local(
        self, state: Coordinates, coefficients: Sequence[Any]
    ) -> tuple[Coordinates, Sequence[Coordinates]]:
        """Drift and the columns of B of a Diffusion; entries that are zero everywhere are the number 0."""
        inputs = self._inputs(coefficients, state)
        outputs = self.form(*state, *inputs)
        if self.noise is not None:
            x, values = torch.stack(tuple(state[: self.dim]), dim=1), torch.stack(tuple(inputs), dim=1)
            return Coordinates(outputs), WideRoot(self.noise, x, values, self.n_normals)
        entries: list[Any] = [0.0 if i in self.zeros else value for i, value in enumerate(outputs)]
        dim, k = self.dim, self.n_normals
        columns = [Coordinates(entries[dim + i * k + j] for i in range(dim)) for j in range(k)]
        # a drift that is zero everywhere still has to be a tensor
        return Coordinates(outputs[:dim]), columns

    def iterate(self, state: Coordinates, inputs: Sequence[Any], coefficients: Sequence[Any]) -> Coordinates:
        """The next states of a Map."""
        return Coordinates(self.form(*state, *inputs, *self._inputs(coefficients, state)))

    def _inputs(self, coefficients: Sequence[Any], state: Coordinates) -> Sequence[Any]:
        # pointwise operations broadcast; vmap needs every input per path
        return coefficients if self.traced else [c.expand_as(state[0]) for c in coefficients]

    def eager(self) -> Stepper:
        """The same stepper for eager use on the CPU: its form runs as printed numpy code, which takes a third
        of the time of torch operations.
        """
        return replace(self, form=_Printed(self.form)) if self.traced else self


class _Printed:
    """A traced form on tensors, by printed numpy code."""

    traced = True

    def __init__(self, form: CoordinateForm) -> None:
        self.arrays: Callable[..., Sequence[Any]] = printed_form(form).arrays

    def __call__(self, *x: Tensor) -> tuple[Tensor, ...]:
        outputs = self.arrays(*(v.numpy() for v in x))
        # equal entries of the noise root stay one tensor: that is how it is seen to be isotropic
        tensors = {id(y): torch.as_tensor(y, device="cpu") for y in outputs}
        return tuple(tensors[id(y)] for y in outputs)


def array_step(stepper: Stepper) -> Callable[..., Sequence[Array]]:
    """`Stepper.step` on numpy arrays: printed where the step is traced, through torch where it is not.

    Returns
    -------
    callable
        State, random inputs, coefficients (arrays over the paths, or numbers) and dt to the next state.
    """
    if stepper.traced and stepper.noise is None:
        return replace(stepper, form=_OnArrays(stepper.form)).step

    def through_torch(
        state: Sequence[Array], inputs: Sequence[Array], coefficients: Sequence[Any], dt: Any
    ) -> Sequence[Array]:
        x, z, values = (tuple(map(tensor_of, part)) for part in (state, inputs, coefficients))
        length = tensor_of(dt) if np.ndim(dt) else dt
        with torch.no_grad():
            return [v.detach().numpy() for v in stepper.step(Coordinates(x), z, values, length)]

    return through_torch


class _OnArrays:
    """A traced form on numpy arrays."""

    traced = True

    def __init__(self, form: CoordinateForm) -> None:
        self.arrays: Any = numpy_form(form)

    def __call__(self, *x: Any) -> Any:
        return self.arrays(*x)


def euler_maruyama(x: Sequence[Any], drift: Sequence[Any], noise: Sequence[Any], dt: Any) -> Coordinates:
    """x + b dt + s sqrt(dt), with the noise s = B z."""
    root = torch.sqrt(dt) if isinstance(dt, Tensor) else np.sqrt(dt)
    return Coordinates(a + dt * b + root * s for a, b, s in zip(x, drift, noise, strict=True))


def combine(columns: Sequence[Coordinates], weights: Sequence[Any]) -> Coordinates:
    """sum_j weights_j column_j, without arithmetic for entries that are the number 0."""
    if isinstance(columns, WideRoot):
        return columns.times(weights)
    total: list[Any] = [0.0] * len(columns[0])
    for column, weight in zip(columns, weights, strict=True):
        for i, entry in enumerate(column):
            if isinstance(entry, float) and entry == 0.0:
                continue
            term = entry * weight
            total[i] = term if isinstance(total[i], float) else total[i] + term
    return Coordinates(total)
