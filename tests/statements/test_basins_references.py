"""Basins beside independent iterations in numpy: every cell, and in any units."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import samdyn as sd


def positions(found: sd.basin.Basins) -> np.ndarray:
    """Where the attractor of each cell lies; nan where it has none."""
    none = np.full(len(found.box), np.nan)
    return np.array([found.attractors[k].position if k > 0 else none for k in found.labels.ravel().tolist()])


def cells(found: sd.basin.Basins) -> np.ndarray:
    """The starts, one for each cell."""
    return found.grid.points(np.arange(found.grid.n_cells))


@pytest.mark.parametrize("resolution", [20, 160])
def test_newtons_map_of_four_roots(resolution: int) -> None:
    """z^4 = 1: steps from beside 0 lead 1e5 away, which stopped the search by a LinAlgError at 160.

    Kind: a raw error of a library. Right: the root that numpy's iteration reaches, cell by cell.
    """

    def newton(w: torch.Tensor) -> torch.Tensor:
        a, b = w[0] ** 2 - w[1] ** 2, 2 * w[0] * w[1]
        c, d = a * w[0] - b * w[1], a * w[1] + b * w[0]
        size = c * c + d * d
        return torch.stack([(3 * w[0] + c / size) / 4, (3 * w[1] - d / size) / 4])

    # off the symmetric lines, from which no orbit leaves in exact arithmetic
    box = [(-2.0, 2.1), (-1.9, 2.05)]
    found = sd.basins(sd.Map.from_function(newton, 2), box, resolution, n_starts=12, far=1e9)
    assert len(found.attractors) == 4
    assert (found.labels > 0).all()
    z = cells(found) @ np.array([1, 1j])
    for _ in range(200):
        z = (3 * z + z**-3) / 4
    reached = positions(found) @ np.array([1, 1j])
    assert (np.abs(reached - z) > 1e-3).mean() < 0.01  # on a fractal boundary rounding decides


@pytest.mark.slow
def test_trigonometric_minima_under_momentum() -> None:
    """25 minima, 16 of them on the edge of the box, under USAM with momentum .9: all are found, once."""
    loss = sd.Landscape(lambda w: -torch.cos(w[0]) - torch.cos(w[1]), 2, box=[(-4 * np.pi, 4 * np.pi)] * 2)
    found = sd.basins(sd.Map(loss, sd.USAM(0.3), lr=0.1, momentum=0.9), resolution=15)
    x = cells(found)
    v = np.zeros_like(x)
    for _ in range(1000):
        v = 0.9 * v - np.sin(x + 0.3 * np.sin(x))
        x = x + 0.1 * v
    ends = {tuple(p) for p in np.round(x / np.pi).astype(int)}
    assert len(ends) == len(found.attractors) == 25
    assert all(a.inside and a.kind == "minimum" for a in found.attractors.values())
    assert positions(found) == pytest.approx(x, abs=1e-6)


@pytest.mark.slow
def test_wells_of_unequal_depth_under_momentum() -> None:
    """16 minima, four of them outside the box."""

    def well(w: torch.Tensor) -> torch.Tensor:
        return torch.sin(w[0]) + torch.cos(1.3 * w[1]) + 0.3 * torch.sin(w[0] + 0.7 * w[1])

    def gradient(x: np.ndarray) -> np.ndarray:
        common = 0.3 * np.cos(x[:, 0] + 0.7 * x[:, 1])
        return np.stack([np.cos(x[:, 0]) + common, -1.3 * np.sin(1.3 * x[:, 1]) + 0.7 * common], axis=1)

    loss = sd.Landscape(well, 2, box=[(-10, 10), (-8, 8)])
    found = sd.basins(sd.Map(loss, sd.USAM(0.3), lr=0.1, momentum=0.9), resolution=24)
    x = cells(found)
    v = np.zeros_like(x)
    for _ in range(4000):
        v = 0.9 * v - gradient(x + 0.3 * gradient(x))
        x = x + 0.1 * v
    inside = ((np.abs(x) <= [10, 8]).all(axis=1)).tolist()
    ends = {tuple(p): there for p, there in zip(np.round(x, 4), inside, strict=True)}
    assert len(found.attractors) == len(ends)
    assert sum(a.inside for a in found.attractors.values()) == sum(ends.values())
    assert (np.abs(positions(found) - x).max(axis=1) > 1e-4).sum() <= 2


def double_well(unit: float, shift: float, **options: float) -> sd.Map:
    def loss(w: torch.Tensor) -> torch.Tensor:
        u = (w - shift) / unit
        return ((u[0] ** 2 - 1) ** 2 / 4 + u[1] ** 2 / 2 + 0.1 * u[0] * u[1]) * unit**2

    box = [(shift - 2 * unit, shift + 2 * unit), (shift - 1.5 * unit, shift + 1.5 * unit)]
    return sd.Map(sd.Landscape(loss, 2, box=box), sd.GD(), lr=0.1, **options)


def henon(unit: float, shift: float) -> sd.Map:
    def step(w: torch.Tensor) -> torch.Tensor:
        u = (w - shift) / unit
        return unit * torch.stack([1 - 1.4 * u[0] ** 2 + u[1], 0.3 * u[0]]) + shift

    box = [(shift - 1.2 * unit, shift + 1.2 * unit), (shift - 0.4 * unit, shift + 0.4 * unit)]
    return sd.Map.from_function(step, 2, box=box)


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [double_well, lambda unit, shift: double_well(unit, shift, momentum=0.9), henon],
    ids=["gradient descent", "momentum", "Henon"],
)
def test_other_units_and_another_place_change_nothing(build: Callable[[float, float], sd.Map]) -> None:
    """Labels and kinds of a problem are those of its copies 1e6 times as large or small, or 1e6 away."""
    here = sd.basins(build(1.0, 0.0), resolution=12, n_starts=16)
    for unit, shift in ((1e-6, 0.0), (1e6, 0.0), (1.0, 1e6)):
        found = sd.basins(build(unit, shift), resolution=12, n_starts=16)
        assert [a.kind for a in found.attractors.values()] == [a.kind for a in here.attractors.values()]
        assert np.array_equal(found.labels, here.labels)
