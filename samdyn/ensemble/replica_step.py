"""What a step of many replicas is: states loaded into a form, points read off it, and one step of all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from samdyn.compute.checks import Array
from samdyn.systems.sampling import Sampler

Coefficients: TypeAlias = Mapping[str, Any]


class ReplicaStep(ABC):
    """One step of a tile of replicas.

    Attributes
    ----------
    sampler, ascent_sampler : Sampler or None
        What draws the batches of the descent, and independent ones for the perturbation.
    n_normals : int
        Standard normals that a step uses.
    """

    sampler: Sampler | None = None
    ascent_sampler: Sampler | None = None
    n_normals: int = 0

    @abstractmethod
    def load(self, state: Array) -> Any:
        """States (n, state_dim) in the form that `advance` works on."""

    @abstractmethod
    def points(self, loaded: Any) -> Array:
        """The points (n, dim) of loaded states."""

    @abstractmethod
    def advance(self, loaded: Any, random: Any, coefficients: Coefficients) -> Any:
        """The next states.

        Parameters
        ----------
        random : ndarray
            Batches (batch_size, n), descent first and then ascent ones if they are drawn; or normals
            (n, n_normals).
        coefficients : dict
            Numbers or arrays (n,).
        """


def column(value: Any) -> Any:
    """A number as it is; one for each replica as a column (n, 1)."""
    return value[:, None] if np.ndim(value) else value
