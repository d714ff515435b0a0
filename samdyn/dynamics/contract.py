"""The contract of a step of many copies: states loaded into a form, points read off it, and some steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.dynamics.draws import Stream
from samdyn.systems.batch_samplers import Index

Coefficients: TypeAlias = Mapping[str, Any]
"""Values of the coefficients by name: numbers, or arrays (n,) with one for each copy."""


class Step(ABC):
    """Some steps of a tile of copies of a system.

    Attributes
    ----------
    dim, state_dim : int
        Coordinates of a point and of a state.
    tile : int or None
        Copies that are best moved at a time; None for as many as fit a processor's cache.
    report_work : int
        Path-steps between reports of progress: some milliseconds of work.
    pointwise : bool
        Whether a copy's numbers are the same bits whichever copies are moved along with it: the numbers of
        pointwise operations are, the numbers of batched linear algebra need not be.
    compiled : bool
        Whether steps are a compiled loop, which does not hold Python's interpreter lock.
    """

    dim: int
    state_dim: int
    tile: int | None = None
    pointwise: bool = False
    compiled: bool = False
    report_work: int = 1 << 13

    @abstractmethod
    def stream(self, seed: int, paths: Index, end: int) -> Stream:
        """The random inputs of copies with these path numbers, (n,), for the steps before `end`."""

    @abstractmethod
    def load(self, state: Array) -> Any:
        """States (n, state_dim) in the form that `advance` works on."""

    @abstractmethod
    def points(self, loaded: Any) -> Array:
        """The points (n, dim) of loaded states."""

    @abstractmethod
    def states(self, loaded: Any) -> Array:
        """The states (n, state_dim) that `load` was given, or that steps have led to."""

    @abstractmethod
    def advance(
        self,
        loaded: Any,
        stream: Stream,
        step: int,
        n_steps: int,
        values: Callable[[int], Coefficients],
        dt: float | None = None,
    ) -> Any:
        """The states after some steps.

        Parameters
        ----------
        loaded
            What `load` or an earlier `advance` gave; it may be changed in place.
        stream : Stream
            What `stream` gives for these copies.
        step, n_steps : int
            The number of the first step, and how many are taken.
        values : callable
            Step to the coefficients.
        dt : float, optional
            Length of these steps, where a Diffusion's are not all the same.
        """

    def orbit(
        self,
        loaded: Any,
        stream: Stream,
        step: int,
        n_records: int,
        spacing: int,
        values: Callable[[int], Coefficients],
    ) -> Any:
        """The loaded states after every `spacing` steps, `n_records` of them in a row.

        The other parameters are the same as for `advance`.
        """
        kept = np.empty((n_records, *loaded.shape))
        for record in range(n_records):
            kept[record] = loaded = self.advance(loaded, stream, step + record * spacing, spacing, values)
        return kept


def column(value: Any) -> Any:
    """A number as it is; one for each copy as a column (n, 1)."""
    return value[:, None] if np.ndim(value) else value
