"""Unit vectors that cover a sphere evenly."""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from samdyn.arguments.checks import Array

N_DIRECTIONS = 256


def directions(dim: int) -> Array:
    """Unit vectors (n, dim): both signs in 1-D, a circle in 2-D, quasi-random above.

    Examples
    --------
    >>> directions(1)
    array([[ 1.],
           [-1.]])
    """
    if dim == 1:
        return np.array([[1.0], [-1.0]])
    if dim == 2:
        angle = 2 * np.pi * (np.arange(N_DIRECTIONS) + 0.5) / N_DIRECTIONS
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    normals = qmc.MultivariateNormalQMC(np.zeros(dim), rng=0).random(8 * N_DIRECTIONS)
    axes = np.concatenate([np.eye(dim), -np.eye(dim)])
    return np.concatenate([axes, normals / np.linalg.norm(normals, axis=1, keepdims=True)])
