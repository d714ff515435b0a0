"""Steps of replicas of a map whose loss is too large to be written out as scalar operations: a network.

States stay whole vectors and go through the map together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.compute.checks import Array
from samdyn.compute.surroundings import own_surroundings
from samdyn.ensemble.replica_step import Coefficients, ReplicaStep
from samdyn.systems.map import Map


class PointStep(ReplicaStep):
    """Noiseless steps and steps with Gaussian noise of one vector for each replica."""

    def __init__(self, system: Map) -> None:
        assert system.landscape is not None
        self.system, self.dim, self.n_normals = system, system.dim, system.n_normals
        self.together = system.landscape.points_together

    def load(self, state: Array) -> Tensor:
        """The states as a tensor."""
        return torch.from_numpy(np.array(state))

    def points(self, loaded: Tensor) -> Array:
        """The points."""
        return np.asarray(loaded[:, : self.dim].numpy())

    def advance(self, loaded: Tensor, random: Array, coefficients: Coefficients) -> Tensor:
        """One step, of as many replicas together as fit into memory."""
        n = len(loaded)
        names = tuple(coefficients)
        columns = [torch.from_numpy(np.array(np.broadcast_to(coefficients[k], n))) for k in names]
        normals = torch.from_numpy(np.ascontiguousarray(random)) if self.n_normals else loaded[:, :0]

        def step(state: Tensor, z: Tensor, *values: Tensor) -> Tensor:
            given: dict[str, Any] = dict(zip(names, values, strict=True))
            return self.system.advance(state, z if self.n_normals else None, **given)

        with own_surroundings(), torch.no_grad():
            pieces = []
            for part in zip(
                *(torch.split(a, self.together) for a in (loaded, normals, *columns)), strict=True
            ):
                if len(part[0]) == 1:
                    pieces.append(step(*(a[0] for a in part))[None])
                else:
                    pieces.append(torch.func.vmap(step)(*part))
            return torch.cat(pieces).detach()
