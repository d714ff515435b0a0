"""Boundaries: exponents of exact fractals, entropy of smooth ones, kicks and edge states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd


def test_smooth_boundary_entropy() -> None:
    reference = [0.499999, 0.4395, 0.3961, 0.3632, 0.3372]
    assert [sd.basin.smooth_boundary_entropy(d) for d in range(1, 6)] == pytest.approx(reference, abs=6e-5)


def test_a_distance_beyond_the_grid() -> None:
    assert sd.basin.boundary_cells(np.array([[1, 2], [1, 1]]), 10**9).all()


def test_straight_boundary() -> None:
    x, y = np.meshgrid(np.arange(512), np.arange(512), indexing="ij")
    labels = np.where(x + 0.37 * y > 400, 2, 1)
    assert float(sd.basin.uncertainty_exponent(labels)) == pytest.approx(1, abs=0.03)
    assert float(sd.basin.box_dimension(labels)) == pytest.approx(1, abs=0.05)
    discs = sd.basin.basin_entropy(labels, 8).boundary_entropy
    assert 0.3 < discs < 0.5


def test_cantor_boundary() -> None:
    """The middle-third Cantor set: box dimension log 2/log 3, exactly on boxes of sides 3^k."""
    levels = 6
    cantor = np.ones(1, dtype=int)
    for _ in range(levels):
        cantor = np.concatenate([cantor, np.zeros(len(cantor), dtype=int), cantor])
    cantor = np.pad(cantor, (81, 82))
    # label the gaps alternately, so that every interval of the set is a boundary
    labels = np.cumsum(np.abs(np.diff(cantor, prepend=cantor[0])) > 0) % 2 + 1
    found = sd.basin.box_dimension(labels, sizes=[3, 9, 27, 81])
    assert float(found) == pytest.approx(np.log(2) / np.log(3), abs=1e-9)


def test_entropy_of_exact_patterns() -> None:
    stripes = np.tile([1, 2], (4, 2))
    result = sd.basin.basin_entropy(stripes, 2)
    assert result.entropy == pytest.approx(np.log(2))
    assert result.boundary_entropy == pytest.approx(np.log(2))
    assert (result.n_boxes, result.n_boundary) == (4, 4)
    assert np.isnan(sd.basin.basin_entropy(np.ones((4, 4), dtype=int), 2).boundary_entropy)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: sd.basin.basin_entropy(np.ones((4, 4), dtype=int), 5), "size must be at most"),
        (lambda: sd.basin.uncertainty_exponent(np.ones((64, 64), dtype=int)), "boundary"),
        (lambda: sd.basin.uncertainty_exponent(np.ones((8, 8), dtype=int)), "distances"),
        (lambda: sd.basin.box_dimension(np.ones((8, 8))), "integer labels"),
        (lambda: sd.basin.boundary_cells(np.ones(3, dtype=int), 0), "distance"),
        (lambda: sd.basin.uncertainty_exponent(np.repeat([[1, 2]], 64, axis=1), [2, 2]), "two sizes"),
    ],
    ids=["size", "no boundary", "small", "floats", "distance", "one size twice"],
)
def test_bad_input(call: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()  # type: ignore[operator]


# ---- Wada


def test_wada_merge_on_stripes() -> None:
    """Two straight boundaries are not one; a comb of three labels has its boundaries everywhere."""
    stripes = np.repeat([[1, 2, 3]], 4, axis=1) * np.ones((12, 1), dtype=int)
    assert float(sd.basin.wada_merge(stripes, 1)) == float(sd.basin.wada_merge(stripes, 2)) == 12 * 2 / 144
    assert float(sd.basin.wada_merge(stripes, 3)) == 12 / 144
    assert float(sd.basin.wada_merge(stripes, 4)) == 0
    assert sd.basin.wada_merge(stripes).distances.max() == 4
    comb = np.tile([1, 2, 3], (12, 4))
    assert float(sd.basin.wada_merge(comb)) == 0
    assert sd.basin.wada_merge(comb).is_wada


def newton(w: torch.Tensor) -> torch.Tensor:
    """Newton's method for z^3 = 1, whose three basins have the Julia set as their common boundary."""
    x, y = w[0], w[1]
    r = 3 * (x * x + y * y) ** 2
    return torch.stack([2 * x / 3 + (x * x - y * y) / r, 2 * y / 3 - 2 * x * y / r])


def test_wada_basins_of_newtons_method() -> None:
    fractal = sd.Map.from_function(newton, 2)
    found = [sd.basins(fractal, [(-1.5, 1.5)] * 2, n, n_starts=32, far=1e6) for n in (200, 400, 800)]
    assert all(set(np.unique(f.labels)) == {1, 2, 3} for f in found)
    shares = [float(sd.basin.wada_merge(f, 2)) for f in found]
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 5e-4
    assert max(sd.basin.wada_merge(f).distances.max() for f in found) < 6
    # four minima of gradient descent have boundaries in pairs: most of each lies far from the others
    plain = sd.Map(sd.landscapes.himmelblau(), sd.GD(), lr=0.01)
    apart = [sd.basin.wada_merge(sd.basins(plain, resolution=n, n_starts=16), 2) for n in (60, 120)]
    assert all(float(a) * n > 2 for a, n in zip(apart, (60, 120), strict=True))
    assert all(a.distances.max() > n / 3 for a, n in zip(apart, (60, 120), strict=True))


def test_wada_merge_refuses() -> None:
    with pytest.raises(ValueError, match="at least three"):
        sd.basin.wada_merge(np.array([[1, 2]]))
    with pytest.raises(ValueError, match="radius"):
        sd.basin.wada_merge(np.array([[1, 2, 3]]), -1)
    with pytest.raises(ValueError, match="ids must be labels that occur"):
        sd.basin.wada_merge(np.array([[1, 2, 3]]), ids=[1, 2, 4])
    assert sd.basin.wada_merge(np.array([[1, 2, 3, -2]]), ids=[3, 2, 1]).ids == (3, 2, 1)


def well() -> sd.Landscape:
    return sd.Landscape(
        lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2, dim=2, box=[(-2, 2), (-1, 1)], name="well"
    )


def test_smallest_kick() -> None:
    found = sd.basins(sd.Map(well(), sd.GD(), lr=0.1), resolution=20, n_starts=8)
    kick = sd.basin.smallest_kick(found, 1)
    assert kick.distance == pytest.approx(1, abs=1e-4)
    assert kick.distance >= 1 - 1e-9
    assert kick.label == 2
    assert repr(kick).startswith("Kick of length 1 (at most 1e-06 shorter in its direction): from (-1, 0) of")
    assert repr(found.attractors[1]) == "Attractor: minimum (-1, 0), 1 point, captures within 0.25"
    assert found.label_at(kick.end) == 2
    trapped = sd.basins(sd.Map(well(), sd.SAM(0.4), lr=0.05), resolution=20, n_starts=8)
    k = next(k for k, a in trapped.attractors.items() if a.name == "minimum (1, 0)")
    saddle = next(k for k, a in trapped.attractors.items() if "saddle" in a.name)
    assert sd.basin.smallest_kick(trapped, k, target=saddle).distance < 0.65
    with pytest.raises(ValueError, match="target"):
        sd.basin.smallest_kick(found, 1, target=1)
    with pytest.raises(ValueError, match="attractor must be"):
        sd.basin.smallest_kick(found, 9)


def test_edge_state_is_the_saddle() -> None:
    tilted = sd.Landscape(
        lambda w: w[0] ** 4 / 4 - w[0] ** 2 / 2 + 0.1 * w[0] + w[0] * w[1] * 0.3 + w[1] ** 2 / 2, dim=2,
        box=[(-2, 2), (-2, 2)], name="tilted",
    )  # fmt: skip
    found = sd.basins(sd.Map(tilted, sd.GD(), lr=0.1), resolution=8, n_starts=8)
    edge = sd.basin.edge_state(found, 1, 2)
    saddle = sd.fixed_points(sd.Flow(tilted, sd.GD())).select(kind="saddle")[0].x
    assert edge.converged
    assert edge.x == pytest.approx(saddle, abs=1e-5)
    assert edge.labels[0] == 1


@pytest.mark.slow
def test_edge_state_of_fitzhugh_nagumo() -> None:
    """The origin, between two stable equilibria."""
    fhn = sd.Flow.from_function(lambda w: torch.stack([10 * (w[0] - w[0] ** 3 - w[1]), -w[1] * 3 + w[0]]), 2)
    found = sd.basins(fhn, [(-1.5, 1.5), (-1, 1)], 8, n_starts=8)
    assert len(found.attractors) == 2
    assert np.abs(sd.basin.edge_state(found, 1, 2).x).max() < 1e-4


def test_edge_state_needs_a_boundary() -> None:
    found = sd.basins(sd.Map(well(), sd.GD(), lr=0.1), resolution=10)
    with pytest.raises(ValueError, match="touch"):
        sd.basin.edge_state(found, 1, -2)
    with pytest.raises(ValueError, match="start must be"):
        sd.basin.edge_state(found, 1, 2, start=([-1.0, 0.0], [-1.5, 0.0]))
    with pytest.raises(TypeError, match="basins must be"):
        sd.basin.edge_state(3, 1, 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a must be"):
        sd.basin.edge_state(found, "left", 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="start must be a pair"):
        sd.basin.edge_state(found, 1, 2, start=[-1.0, 0.0, 1.0])  # type: ignore[arg-type]
