"""One step of many copies of a system, on separate coordinates.

The step of a system is a torch function of one state and its coefficients. Here it is traced to pointwise
operations on separate coordinates (`samdyn.compute.tracing`), with the coefficients as inputs: one trace,
and one compiled kernel, serves every value of lr and rho, and coefficients may differ from path to path or
from step to step. A loss that cannot be traced goes through torch.vmap, which is slower and gives the same
numbers to rounding.

For a Diffusion what is traced is the drift b and the columns of the noise root B together, since they share
most of their subexpressions; an Euler-Maruyama step is then x + b dt + B z sqrt(dt), and B also gives the
variance of the step along a direction. Entries of B that are zero everywhere are known as such and cost
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from samdyn.compute.printing import printed_form
from samdyn.compute.tracing import CoordinateForm, traced_or_batched
from samdyn.compute.vector import Coordinates
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map


@dataclass(frozen=True)
class Stepper:
    """The step of a Map or a Diffusion on coordinates.

    Attributes
    ----------
    dim, state_dim, n_normals : int
        Coordinates of a point, of a state, and standard normals used per step.
    names : tuple of str
        The coefficients, in the order in which they are passed.
    continuous : bool
        Whether a step has a length dt (Diffusion) or is one step of a map.
    form : CoordinateForm
        Of a map: state, normals, coefficients to the next state. Of a diffusion: state, coefficients to the
        drift and the entries of B, row by row.
    zeros : frozenset of int
        Outputs of `form` that are zero everywhere.
    """

    dim: int
    state_dim: int
    n_normals: int
    names: tuple[str, ...]
    continuous: bool
    form: CoordinateForm
    zeros: frozenset[int]

    @property
    def traced(self) -> bool:
        """Whether the step has a pointwise form."""
        return self.form.traced

    def local(
        self, state: Coordinates, coefficients: Sequence[Tensor]
    ) -> tuple[Coordinates, list[Coordinates]]:
        """Drift and the columns of B of a Diffusion; entries that are zero everywhere are the number 0."""
        outputs = self.form(*state, *self._inputs(coefficients, state))
        entries: list[Any] = [0.0 if i in self.zeros else value for i, value in enumerate(outputs)]
        dim, k = self.dim, self.n_normals
        columns = [Coordinates(entries[dim + i * k + j] for i in range(dim)) for j in range(k)]
        # a drift that is zero everywhere still has to be a tensor
        return Coordinates(outputs[:dim]), columns

    def iterate(
        self, state: Coordinates, normals: Sequence[Tensor], coefficients: Sequence[Tensor]
    ) -> Coordinates:
        """The next states of a Map."""
        return Coordinates(self.form(*state, *normals, *self._inputs(coefficients, state)))

    def _inputs(self, coefficients: Sequence[Tensor], state: Coordinates) -> Sequence[Tensor]:
        # pointwise operations broadcast; vmap needs every input per path
        return coefficients if self.traced else [c.expand_as(state[0]) for c in coefficients]

    def eager(self) -> Stepper:
        """The same stepper for eager use on the CPU: its form runs as printed numpy code, a third of the
        overhead of torch operations.
        """
        if not self.traced:
            return self
        return Stepper(
            self.dim,
            self.state_dim,
            self.n_normals,
            self.names,
            self.continuous,
            _Printed(self.form),
            self.zeros,
        )


class _Printed:
    traced = True

    def __init__(self, form: CoordinateForm) -> None:
        self.arrays: Callable[..., Sequence[Any]] = printed_form(form).arrays

    def __call__(self, *x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.as_tensor(y) for y in self.arrays(*(v.numpy() for v in x)))


def combine(columns: Sequence[Coordinates], weights: Sequence[Any]) -> Coordinates:
    """sum_j weights_j column_j, without arithmetic for entries that are the number 0."""
    total: list[Any] = [0.0] * len(columns[0])
    for column, weight in zip(columns, weights, strict=True):
        for i, entry in enumerate(column):
            if isinstance(entry, float) and entry == 0.0:
                continue
            term = entry * weight
            total[i] = term if isinstance(total[i], float) else total[i] + term
    return Coordinates(total)


def build_stepper(system: Map | Diffusion) -> Stepper:
    """Trace the step of a system.

    Parameters
    ----------
    system : Map or Diffusion

    Examples
    --------
    >>> import samdyn as sd
    >>> build_stepper(sd.Map(sd.landscapes.beale(), sd.SAM(0.5), lr=0.01)).names
    ('rho', 'lr')
    """
    dim, state_dim, k = system.dim, system.state_dim, system.n_normals
    names = tuple(system.coefficients())
    if isinstance(system, Map):

        def step(v: Tensor) -> Tensor:
            values = dict(zip(names, v[state_dim + k :], strict=True))
            normals = v[state_dim : state_dim + k] if k else None
            return system.advance(v[:state_dim], normals, **values)

        form = traced_or_batched(step, state_dim + k + len(names))
        return Stepper(dim, state_dim, k, names, False, form, frozenset())

    def local(v: Tensor) -> Tensor:
        x, values = v[:dim], dict(zip(names, v[dim:], strict=True))
        # the noise is linear in the normals: B's columns are its values at the unit vectors
        basis = torch.eye(k, dtype=v.dtype, device=v.device)
        root = torch.stack([system.point_noise(x, basis[j], **values) for j in range(k)], dim=1)
        return torch.cat([system.point_drift(x, **values), root.reshape(-1)])

    form = traced_or_batched(local, dim + len(names))
    return Stepper(dim, dim, k, names, True, form, _zeros(form))


def _zeros(form: Any) -> frozenset[int]:
    """Outputs of a traced form that are the constant 0."""
    if not form.traced:
        return frozenset()
    outputs = next(node for node in form.graph.nodes if node.op == "output").args[0]
    return frozenset(
        i for i, node in enumerate(outputs) if node.target is torch.full_like and float(node.args[1]) == 0.0
    )
