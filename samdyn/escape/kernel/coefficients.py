"""The coefficients of an ensemble: of one system, or of several systems that run side by side.

Row r of an ensemble of m systems with n paths each is path r % n of system r // n. Paths of the same number
get the same random numbers in every system, so that a system's exits are the same in a run by itself, and
differences between systems come out with little noise.

A coefficient that is the same for all systems is a 0-d tensor; one that differs is a tensor over the systems,
from which each tile of rows takes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.numerics.random import STEPS_PER_BLOCK

Values = tuple[Tensor, ...]


@dataclass(frozen=True)
class Coefficients:
    """Coefficients, step lengths and step limits of the systems of an ensemble.

    Attributes
    ----------
    at : tuple of callable
        For each system: its coefficients' values at a step, in the order of `Stepper.names`.
    dt : tuple of float
        For each system: the length of a step.
    n_steps : tuple of int
        For each system: the step limit.
    n_paths : int
        Paths of each system.
    scheduled : bool
        Whether any value depends on the step.
    """

    at: tuple[Callable[[int], Sequence[float]], ...]
    dt: tuple[float, ...]
    n_steps: tuple[int, ...]
    n_paths: int
    scheduled: bool

    @property
    def several(self) -> bool:
        """Whether there is more than one system."""
        return len(self.at) > 1

    def paths(self, rows: Tensor) -> Tensor:
        """The path numbers that the random numbers belong to."""
        return rows % self.n_paths if self.several else rows

    def limits(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The step limits of rows."""
        return np.asarray(self.n_steps)[rows // self.n_paths] if self.several else np.full(1, self.n_steps[0])

    def step_lengths(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """dt, 0-d or over the systems."""
        return _shared(self.dt, dtype, device)

    def step(self, step: int, dtype: torch.dtype, device: torch.device) -> Values:
        """The values at a step, each 0-d or over the systems."""
        columns = zip(*(at(step) for at in self.at), strict=True)
        return tuple(_shared(column, dtype, device) for column in columns)

    def block(self, block: int, dtype: torch.dtype, device: torch.device) -> tuple[Values, ...]:
        """The values at the four steps of a block."""
        return tuple(self.step(STEPS_PER_BLOCK * block + j, dtype, device) for j in range(STEPS_PER_BLOCK))

    def of_rows(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """A function that takes a 0-d tensor as it is and a tensor over the systems to one over the rows."""
        systems = rows // self.n_paths if self.several else rows
        known: dict[int, tuple[Tensor, Tensor]] = {}  # constant coefficients come as the same tensors again

        def take(value: Tensor) -> Tensor:
            if value.ndim == 0:
                return value
            if id(value) not in known:
                known[id(value)] = value, value[systems]
            return known[id(value)][1]

        return take

    def of_notes(self, blocks: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """The values at the four steps of each row's own block, shape (n, 4, names)."""
        known, where = torch.unique(blocks, return_inverse=True)
        if not self.scheduled:
            known, where = known[:1], torch.zeros_like(where)
        steps = [[STEPS_PER_BLOCK * b + j for j in range(STEPS_PER_BLOCK)] for b in known.tolist()]
        table = [[[list(at(step)) for step in four] for at in self.at] for four in steps]
        values = torch.tensor(table, dtype=dtype, device=rows.device)
        return values[where, rows // self.n_paths if self.several else torch.zeros_like(rows)]


def _shared(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """0-d if all values are the same."""
    same = all(value == values[0] for value in values)
    return torch.tensor(values[0] if same else values, dtype=dtype, device=device)
