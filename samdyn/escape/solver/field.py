"""A function on a region, known on a grid: the result of the deterministic solvers.

In one dimension the grid is made of panels of Gauss-Legendre nodes and the field is the polynomial through
them, panel by panel. In two dimensions it is the cubic through the 4 x 4 nearest nodes of a rectangular grid;
nodes just outside a curved boundary hold an extension of the solution, so that the cubic is smooth up to
it. Where paths are absorbed the field has its boundary value, and outside the box that was solved it is nan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre

from samdyn.arguments.checks import Array, points
from samdyn.results import Result, Table, storable


@dataclass(frozen=True, eq=False, repr=False)
class Field(Result):
    """A function of position, such as a mean exit time.

    Attributes
    ----------
    name : str
        What it is.
    unit : str
        In which unit the values are; "" for a probability.
    grid : tuple of ndarray
        Coordinates of the nodes along each axis: one array (n,) in one dimension, (nx,) and (ny,) in two.
    values : ndarray, shape (n,) or (nx, ny)
        Values at the nodes; boundary values where paths are absorbed.
    error : ndarray, same shape
        Estimate of the absolute error of each value.

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.escape.solver.kolmogorov import mean_exit_time
    >>> sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=2.0**0.5))
    >>> time = mean_exit_time(sde, sd.HalfSpace([1.0], 0.0))
    >>> time([-1.0]).round(5), time([[0.0], [0.5]])
    (np.float64(30.8213), array([0., 0.]))
    """

    cited = ("kushner2001",)
    row = "node"

    name: str
    unit: str
    grid: tuple[Array, ...]
    values: Array
    error: Array
    interpolant: Callable[[Array], Array] = field(repr=False)
    absorbed: Callable[[Array], Array] = field(repr=False)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.grid)

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Values at points.

        Parameters
        ----------
        x : array_like, shape (..., dim)
            Points.

        Returns
        -------
        ndarray, shape (...)
            In `unit`; the boundary value where paths are absorbed, nan outside the box that was solved.
        """
        x = points("x", x, self.dim)
        flat = x.reshape(-1, self.dim)
        boundary = self.absorbed(flat)
        values: Array = np.where(np.isnan(boundary), self.interpolant(flat), boundary)
        return values.reshape(x.shape[:-1])[()]

    def error_at(self, x: npt.ArrayLike) -> Array:
        """The largest error estimate at the nodes around points: four along each axis.

        Parameters
        ----------
        x : array_like, shape (..., dim)
            Points.

        Returns
        -------
        ndarray, shape (...)
            In `unit`; 0 where paths are absorbed, nan outside the box that was solved.
        """
        x = points("x", x, self.dim)
        flat = x.reshape(-1, self.dim)
        inside = np.ones(len(flat), dtype=bool)
        blocks = []
        for k, (axis, coordinate) in enumerate(zip(self.grid, flat.T, strict=True)):
            inside &= (coordinate >= axis[0]) & (coordinate <= axis[-1]) if self.dim == 2 else True
            around = np.searchsorted(axis, coordinate)[:, None] + np.arange(-2, 2)
            around = np.clip(around, 0, len(axis) - 1)
            blocks.append(around.reshape(len(flat), *(4 if j == k else 1 for j in range(self.dim))))
        error = self.error[tuple(blocks)].reshape(len(flat), -1).max(axis=1)
        boundary = self.absorbed(flat)
        error = np.where(np.isnan(boundary), np.where(inside, error, np.nan), 0.0)
        return error.reshape(x.shape[:-1])[()]

    def table(self) -> Table:
        """What the field is of, where, and how exact."""
        size = " x ".join(str(len(axis)) for axis in self.grid)
        where = " x ".join(f"({axis[0]:g}, {axis[-1]:g})" for axis in self.grid)
        worst = np.nanmax(self.error)
        return Table(
            f"Field({self.name}{f' in {self.unit}' if self.unit else ''}: {size} nodes on {where}, "
            f"values {np.nanmin(self.values):.6g} to {np.nanmax(self.values):.6g}, error < {worst:.1g})"
        )

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        nodes = np.meshgrid(*self.grid, indexing="ij")
        columns = {f"x_{i}": axis.ravel() for i, axis in enumerate(nodes)}
        columns |= {"value": self.values.ravel(), "error": self.error.ravel()}
        return columns, {"name": self.name, "unit": self.unit}


@storable
@dataclass(frozen=True, eq=False)
class PanelInterpolant:
    """Piecewise polynomials: panel j, from lower[j] to upper[j], has values[j] at Gauss-Legendre nodes."""

    lower: Array
    upper: Array
    values: Array

    def __call__(self, x: Array) -> Array:
        x = x[:, 0]
        n = self.values.shape[1]
        nodes, weights = legendre.leggauss(n)
        to_coefficients = (np.arange(n)[:, None] + 0.5) * weights * legendre.legvander(nodes, n - 1).T
        panel = np.clip(np.searchsorted(self.lower, x, side="right") - 1, 0, len(self.lower) - 1)
        a, b = self.lower[panel], self.upper[panel]
        t = (2 * x - a - b) / (b - a)
        inside = np.abs(t) <= 1 + 1e-9
        basis = legendre.legvander(np.clip(t, -1, 1), n - 1)
        values: Array = (basis * (self.values[panel] @ to_coefficients.T)).sum(axis=1)
        return np.where(inside, values, np.nan)


@storable
@dataclass(frozen=True, eq=False)
class CubicInterpolant:
    """Products of cubic Lagrange polynomials through 4 x 4 nodes of an equidistant grid."""

    axes: tuple[Array, Array]
    values: Array

    def __call__(self, x: Array) -> Array:
        inside = np.ones(len(x), dtype=bool)
        start, weights = [], []
        for axis, coordinate in zip(self.axes, x.T, strict=True):
            t = (coordinate - axis[0]) / (axis[-1] - axis[0]) * (len(axis) - 1)
            inside &= (t >= -1e-9) & (t <= len(axis) - 1 + 1e-9)
            first = np.clip(np.floor(t).astype(int) - 1, 0, len(axis) - 4)
            u = t - first  # nodes at 0, 1, 2, 3
            start.append(first)
            weights.append(
                np.stack(
                    [
                        -(u - 1) * (u - 2) * (u - 3) / 6,
                        u * (u - 2) * (u - 3) / 2,
                        -u * (u - 1) * (u - 3) / 2,
                        u * (u - 1) * (u - 2) / 6,
                    ]
                )
            )
        offset = np.arange(4)
        block = self.values[start[0] + offset[:, None, None], start[1] + offset[None, :, None]]
        values = np.einsum("in,jn,ijn->n", weights[0], weights[1], block)
        return np.where(inside, values, np.nan)
