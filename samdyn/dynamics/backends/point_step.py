"""Steps of many copies of a map whose loss is too large to be written out as scalar operations: a network.

States stay whole vectors and go through the map together, as many as fit into memory at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.batch_step import draws_by_index, sample_table, sampled_step
from samdyn.dynamics.contract import Coefficients, Step
from samdyn.dynamics.draws import Draws, NormalDraws, Stream
from samdyn.systems.batch_samplers import Index
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch
from samdyn.trace.surroundings import own_surroundings


class PointStep(Step):
    """Steps of one vector for each copy."""

    def __init__(self, system: Map) -> None:
        assert system.landscape is not None
        self.system, self.dim, self.state_dim = system, system.dim, system.state_dim
        self.together = system.landscape.points_together
        self.names = tuple(system.coefficients())
        self.draws: Draws = NormalDraws(system.n_normals)
        self.one: Callable[..., Tensor] = self._normal_step
        if isinstance(system.noise, Minibatch):
            table = sample_table(system)
            self.draws = draws_by_index(system)
            sampled = sampled_step(system, self.names, torch.from_numpy(table))
            self.one = lambda state, random, values: sampled(torch.cat([state, random, values]))

    def _normal_step(self, state: Tensor, normals: Tensor, values: Tensor) -> Tensor:
        given: dict[str, Any] = dict(zip(self.names, values, strict=True))
        return self.system.advance(state, normals if self.draws.n_inputs else None, **given)

    def stream(self, seed: int, paths: Index, end: int) -> Stream:
        """See `Step.stream`."""
        return Stream(self.draws.steps, self.draws.n_inputs, seed, paths, end)

    def load(self, state: Array) -> Tensor:
        """The states as a tensor."""
        return torch.from_numpy(np.array(state))

    def points(self, loaded: Tensor) -> Array:
        """The points."""
        return np.asarray(loaded[:, : self.dim].numpy())

    def states(self, loaded: Tensor) -> Array:
        """The states."""
        return np.asarray(loaded.numpy())

    def advance(
        self,
        loaded: Tensor,
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None = None,
    ) -> Tensor:
        """See `Step.advance`."""
        n = len(loaded)
        with own_surroundings(), torch.no_grad():
            for j in range(step, step + n_steps):
                own = values(j)
                columns = np.stack([np.broadcast_to(own[name], n) for name in self.names], axis=1)
                random = torch.from_numpy(np.ascontiguousarray(stream(j).T))
                parts = (torch.split(a, self.together) for a in (loaded, random, torch.from_numpy(columns)))
                loaded = torch.cat([self._together(*part) for part in zip(*parts, strict=True)]).detach()
        return loaded

    def _together(self, state: Tensor, random: Tensor, values: Tensor) -> Tensor:
        if len(state) == 1:
            return self.one(state[0], random[0], values[0])[None]
        return torch.func.vmap(self.one)(state, random, values)
