"""A set that may be an attractor, as the search for attractors passes it on."""

from __future__ import annotations

from dataclasses import dataclass

from samdyn.arguments.checks import Array


@dataclass(frozen=True)
class Candidate:
    """A set that orbits settled on.

    Attributes
    ----------
    states : ndarray, shape (n, state_dim)
        Its sample, in order of time (unscaled).
    radius : float
        Within which it captures.
    closed : bool
        Whether the states are the points of a closed orbit of a flow.
    attracts : bool
        Whether its multipliers or eigenvalues say that it attracts; else that is tested.
    """

    states: Array
    radius: float
    closed: bool = False
    attracts: bool = False
