"""Cells and their points."""

from __future__ import annotations

import numpy as np
import pytest

from samdyn.basin.grid import Grid, make_grid

UNIT = np.array([[-1.0, 1.0], [-1.0, 1.0]])


@pytest.mark.parametrize("n", [2, 3, 10, 11])
def test_no_point_in_the_middle(n: int) -> None:
    axis = Grid(UNIT, (n, n)).axis(0)
    assert np.abs(axis).min() > 0.2 * 2 / n
    assert len(np.unique(axis)) == n
    assert np.array_equal(Grid(UNIT, (1, 1)).axis(0), [0.0])


def test_points_lie_in_their_cells() -> None:
    grid = Grid(np.array([[0.0, 3.0], [-1.0, 2.0], [5.0, 6.0]]), (3, 5, 4))
    cells = np.arange(grid.n_cells)
    assert np.array_equal(grid.cells_of(grid.points(cells)), cells)
    assert grid.cells_of(np.array([[9.0, 0.0, 5.5], [np.nan, 0.0, 5.5]])).tolist() == [-1, -1]


def test_says_how_many_cells_fit() -> None:
    with pytest.raises(ValueError, match=r"about \d+ fit, that is \d+ along each of 2 sides"):
        make_grid(UNIT, 10**8)
