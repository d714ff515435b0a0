"""Attractors along a parameter: once dead, dead; near for what lies around; rows that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.basin.matching import chain


def at(x: float, kind: str = "minimum") -> sd.basin.Attractor:
    place = np.array([x, 0.0])
    return sd.basin.Attractor(place[None], kind, f"{kind} ({x:g}, 0)", place, 0.1, states=place[None])


def test_once_dead_is_dead() -> None:
    """A share of 0 0 and then .079 in one row was another point: an id that is gone is not used again."""
    one, two = {1: at(0.0), 2: at(1.0)}, {1: at(0.0)}
    ids = chain([one, two, two, {1: at(0.0), 2: at(1.0)}], threshold=0.5)
    assert ids == [{1: 1, 2: 2}, {1: 1}, {1: 1}, {1: 1, 2: 3}]


def test_a_partner_is_near_for_what_lies_around_it() -> None:
    """One that appears .57 away while another dies is no partner where attractors lie a distance .8 apart."""
    before, after = {1: at(0.0), 2: at(0.8)}, {1: at(0.0), 2: at(1.37)}
    assert chain([before, after], threshold=0.6)[1] == {1: 1, 2: 3}
    moved = {1: at(0.05), 2: at(0.95)}
    assert chain([before, moved], threshold=0.6)[1] == {1: 1, 2: 2}


def test_a_hallucinated_point_is_no_minimum() -> None:
    """A critical point has gradient 0 and a hallucinated one has not: neither becomes the other."""
    before, after = {1: at(0.0)}, {1: at(0.01, "hallucinated")}
    assert chain([before, after], threshold=1.0)[1] == {1: 2}
    assert chain([after, {1: at(0.02, "hallucinated")}], threshold=1.0)[1] == {1: 1}


@pytest.mark.slow
def test_three_wells_across_rho() -> None:
    """No row is 0 and then positive again, whatever dies and appears; and no two rows have one name."""

    def wells(w: torch.Tensor) -> torch.Tensor:
        depth = torch.tensor([1.0, 0.8, 0.6], dtype=torch.float64)
        x, y = torch.tensor([[-1.2, 0.9, 0.4], [0.1, 0.8, -1.0]], dtype=torch.float64)
        return -(depth * torch.exp(-((w[0] - x) ** 2 + (w[1] - y) ** 2) / 0.5)).sum() + 0.02 * (w @ w)

    loss = sd.Landscape(wells, dim=2, box=[(-2, 2), (-2, 2)], name="three wells")
    system = sd.Map(loss, sd.SAM(0.0), lr=0.05)
    found = sd.basin_continuation(system, parameters={"rho": [0.0, 0.5, 1.0, 1.5]}, n_paths=60, n_starts=24)
    for k in found.ids:
        if k < 0:
            continue
        there = np.flatnonzero([k in a for a in found.attractors])
        assert np.array_equal(there, np.arange(there[0], there[-1] + 1))
    names = [found.name_of(k) for k in found.ids]
    assert len(set(names)) == len(names)
    rows = [line.rsplit("  ", 4)[0].strip() for line in repr(found).splitlines()[2:]]
    assert rows == names
