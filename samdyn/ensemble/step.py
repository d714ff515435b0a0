"""One step of many copies of a system, on separate coordinates.

The step of a system is a torch function of one state, its normals and its coefficients. Here it is traced to pointwise operations on separate coordinates
(`samdyn.compute.tracing`), with the coefficients as inputs: one trace, and one compiled kernel, serves every value of lr and rho, and coefficients may differ from
path to path or from step to step. A loss that cannot be traced goes through torch.vmap, which is slower and gives the same numbers to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
    traced : bool
        Whether every part has a pointwise form; otherwise the step goes through torch.vmap and is not compiled.
    continuous : bool
        Whether the step has a length dt (Diffusion) or is one step of a map.
    """

    dim: int
    state_dim: int
    n_normals: int
    names: tuple[str, ...]
    continuous: bool
    drift: CoordinateForm | None
    noise: CoordinateForm | None
    back: CoordinateForm | None
    step: CoordinateForm | None

    @property
    def traced(self) -> bool:
        """Whether every part has a pointwise form."""
        parts = (self.drift, self.noise, self.back, self.step)
        return all(part.traced for part in parts if part is not None)

    def advance(self, state: Coordinates, normals: Coordinates, coefficients: Sequence[Tensor], dt: float | Tensor) -> Coordinates:
        """The next states.

        Parameters
        ----------
        state : Coordinates of Tensor (n,)
        normals : Coordinates of Tensor (n,)
            `n_normals` independent standard normals.
        coefficients : sequence of Tensor, each () or (n,)
            In the order of `names`.
        dt : float or Tensor
            Length of the step of a Diffusion (Euler-Maruyama); ignored by a Map.
        """
        if self.step is not None:
            return Coordinates(self.step(*state, *normals, *_expand(coefficients, state, self.step)))
        assert self.drift is not None
        drift = self.drift(*state, *_expand(coefficients, state, self.drift))
        increment = self.increment(state, normals, coefficients, dt)
        return Coordinates(x + dt * b + s for x, b, s in zip(state, drift, increment, strict=True))

    def increment(self, state: Coordinates, normals: Coordinates, coefficients: Sequence[Tensor], dt: float | Tensor) -> Coordinates:
        """The noise of one Euler-Maruyama step, B times the normals."""
        assert self.noise is not None
        noise = self.noise(*state, *normals, *_expand(coefficients, state, self.noise))
        return Coordinates(s * dt**0.5 for s in noise)

    def pull_back(
        self, state: Coordinates, direction: Coordinates, coefficients: Sequence[Tensor], dt: float | Tensor
    ) -> Coordinates:
        """B^T n for a direction n: its squared length is the variance of the step along n."""
        assert self.back is not None
        like = state[0]
        entries = [n if isinstance(n, Tensor) else torch.full_like(like, n) for n in direction]
        back = self.back(*state, *entries, *_expand(coefficients, state, self.back))
        return Coordinates(s * dt**0.5 for s in back)


def _expand(coefficients: Sequence[Tensor], state: Coordinates, form: CoordinateForm) -> Sequence[Tensor]:
    # pointwise operations broadcast; vmap needs every input per path
    return coefficients if form.traced else [c.expand_as(state[0]) for c in coefficients]


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
    dim, state_dim, n_normals = system.dim, system.state_dim, system.n_normals
    names = tuple(system.coefficients())
    n = len(names)
    if isinstance(system, Map):

        def step(v: Tensor) -> Tensor:
            values = dict(zip(names, v[state_dim + n_normals :], strict=True))
            normals = v[state_dim : state_dim + n_normals] if n_normals else None
            return system.advance(v[:state_dim], normals, **values)

        traced = traced_or_batched(step, state_dim + n_normals + n)
        return Stepper(dim, state_dim, n_normals, names, False, None, None, None, traced)

    def drift(v: Tensor) -> Tensor:
        return system.point_drift(v[:dim], **dict(zip(names, v[dim:], strict=True)))

    def noise(v: Tensor) -> Tensor:
        values = dict(zip(names, v[dim + n_normals :], strict=True))
        return system.point_noise(v[:dim], v[dim : dim + n_normals], **values)

    def back(v: Tensor) -> Tensor:
        x, direction = v[:dim], v[dim : 2 * dim]
        values = dict(zip(names, v[2 * dim :], strict=True))
        _, transposed = torch.func.vjp(lambda z: system.point_noise(x, z, **values), x.new_zeros(n_normals))
        return transposed(direction)[0]

    return Stepper(
        dim,
        dim,
        n_normals,
        names,
        True,
        traced_or_batched(drift, dim + n),
        traced_or_batched(noise, dim + n_normals + n),
        traced_or_batched(back, 2 * dim + n),
        None,
    )
