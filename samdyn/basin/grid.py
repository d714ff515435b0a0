"""Regular grids of cells in a box, of any dimension, each cell stood for by one point.

The point is the cell's midpoint. With an even number of cells the midpoints lie half a cell off the middle
of the box, where symmetric systems have unstable fixed points and basin boundaries that would look like
attractors of their own. With an odd number one midpoint lies in the middle: that one is moved by a quarter
of a cell. (A side of one cell is a section through the middle and stays there.)

Cells are numbered in C order and their points made when they are needed: a grid takes no memory itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array

BYTES_PER_CELL = 64  # what a basin computation needs at most, in two dimensions

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """Cells of equal size in a box.

    Attributes
    ----------
    box : ndarray, shape (dim, 2)
    shape : tuple of int
        Cells along each side.

    Examples
    --------
    >>> grid = Grid(np.array([[0.0, 1.0], [0.0, 4.0]]), (2, 4))
    >>> grid.points(np.array([0, 5])), grid.n_cells
    (array([[0.25, 0.5 ],
           [0.75, 1.5 ]]), 8)
    """

    box: Array
    shape: tuple[int, ...]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def cell(self) -> Array:
        """Sides of a cell, shape (dim,)."""
        return (self.box[:, 1] - self.box[:, 0]) / self.shape

    def axis(self, i: int) -> Array:
        """Coordinate i of the cells' points, shape (shape[i],)."""
        n = self.shape[i]
        place = np.arange(n) + 0.5
        if n % 2 and n > 1:
            place[n // 2] += 0.25
        return np.asarray(self.box[i, 0] + place * self.cell[i])

    def points(self, cells: Index) -> Array:
        """Points of the cells with these numbers, shape (n, dim)."""
        index = np.unravel_index(cells, self.shape)
        return np.stack([self.axis(i)[at] for i, at in enumerate(index)], axis=1)

    def cells_of(self, x: Array) -> Index:
        """Numbers of the cells that hold points (n, dim); -1 outside the box."""
        index = np.floor((x - self.box[:, 0]) / self.cell)
        inside = np.asarray(((index >= 0) & (index < np.array(self.shape))).all(axis=1))  # false for nan
        clipped = np.where(inside[:, None], index, 0).astype(np.int64)
        return np.where(inside, np.ravel_multi_index(tuple(clipped.T), self.shape), -1)


def make_grid(box: Array, resolution: Any, bytes_per_cell: int = BYTES_PER_CELL, replicas: int = 1) -> Grid:
    """A grid from a resolution as a user gives it.

    Parameters
    ----------
    box : ndarray, shape (dim, 2)
    resolution : int or sequence of int
        Cells along every side, or along each.
    bytes_per_cell : int
        What the job needs, for the check against the memory that is there.
    replicas : int
        Paths from each cell, which have a share in that.

    Raises
    ------
    TypeError, ValueError
        Not positive integers, not one for each side, or more cells than fit into memory.

    Examples
    --------
    >>> make_grid(np.array([[0.0, 1.0], [0.0, 1.0]]), 8).shape
    (8, 8)
    """
    dim = len(box)
    if isinstance(resolution, np.ndarray) and resolution.ndim == 0:
        resolution = resolution.item()
    if isinstance(resolution, Sequence | np.ndarray) and not isinstance(resolution, str):
        if len(resolution) != dim:
            raise ValueError(
                f"resolution must be one integer or {dim}, one for each coordinate, got {resolution!r}"
            )
        shape = tuple(checks.integer(f"resolution[{i}]", n, at_least=1) for i, n in enumerate(resolution))
    else:
        shape = (checks.integer("resolution", resolution, at_least=1),) * dim
    grid = Grid(box, shape)
    room = available_memory() // bytes_per_cell
    if grid.n_cells > room:
        side = int(room ** (1 / dim))
        times = f" with {replicas} replicas each" if replicas > 1 else ""
        raise ValueError(
            f"resolution must leave no more cells than fit into memory, got {shape}, which is "
            f"{grid.n_cells} cells{times}: about {room} fit, that is {side} along each of {dim} sides"
            + ("; use sd.basin_fractions, or a section (resolution 1 along some sides)" if dim > 2 else "")
        )
    return grid


def available_memory() -> int:
    """Bytes of memory that are free, or 8 GiB where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 8 << 30
