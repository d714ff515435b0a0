"""The kind of a critical point: minimum, maximum, saddle or degenerate, by the signs of its curvatures."""

from __future__ import annotations

import numpy as np

from samdyn.arguments.checks import Array

FLAT = 1e-6  # of the largest Hessian eigenvalue: one below it makes a point degenerate


def kind_of(hessian: Array) -> str:
    """The kind of a critical point from its Hessian."""
    eigenvalues = np.linalg.eigvalsh(hessian)
    if (np.abs(eigenvalues) <= FLAT * max(np.abs(eigenvalues).max(), 1e-300)).any():
        return "degenerate"
    if (eigenvalues > 0).all():
        return "minimum"
    return "maximum" if (eigenvalues < 0).all() else "saddle"
