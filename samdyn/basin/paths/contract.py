"""The contract of what moves the states of a basin computation."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array

Paths = npt.NDArray[np.int64]


class Motion(Protocol):
    """States at one look to states at the next.

    Attributes
    ----------
    every : int
        Steps of a map or diffusion that one call takes; 1 for a flow.
    unit : float
        Time of a step: 1 for a map.
    hover : float
        How far from a trapping point a path may come to hover, as a share of the box's diagonal: steps of a
        finite length cannot stop at a jump.
    repeats : bool
        Whether a state that is the same, bit for bit, after some steps is so for ever: the step is one
        function of the state alone.
    """

    every: int
    unit: float
    hover: float
    repeats: bool

    def __call__(self, state: Array, path: Paths, step: int, n_steps: int) -> Array:
        """States (state_dim, n) of paths with these numbers, `n_steps` after `step`."""
        ...

    def orbit(self, state: Array, path: Paths, step: int, n_records: int, spacing: int) -> Array:
        """The states after every `spacing` steps, `n_records` of them: (n_records, state_dim, n)."""
        kept = np.empty((n_records, *state.shape))
        for record in range(n_records):
            kept[record] = state = self(state, path, step + record * spacing, spacing)
        return kept
