"""Shares and edge states of systems that the literature of basins uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd


def within(found: float, sample: float, n: int, n_sample: int) -> bool:
    """Whether a share agrees with another one's, each from so many starts, to three standard errors."""
    return abs(found - sample) <= 3 * np.sqrt(sample * (1 - sample) * (1 / n + 1 / n_sample))


def pendulum(w: torch.Tensor) -> torch.Tensor:
    """A driven pendulum: cosine and sine of its angle, drawn to the unit circle, and speed."""
    c, s, v = w[0], w[1], w[2]
    pull = 1 - c * c - s * s
    return torch.stack([-s * v + pull * c, c * v + pull * s, -0.1 * v + 0.5 - s])


@pytest.mark.slow
def test_driven_pendulum() -> None:
    """Basin stability of the rest state, .1528 on 240 x 360 midpoints (Menck et al. 2013: .152)."""
    flow = sd.Flow.from_function(pendulum, 3)
    found = sd.basins(flow, [(-1.1, 1.1), (-1.1, 1.1), (-10, 10)], (4, 4, 6), n_starts=16)
    assert sorted(a.kind for a in found.attractors.values()) == ["fixed point", "limit cycle"]
    rest = next(k for k, a in found.attractors.items() if a.kind == "fixed point")
    np.testing.assert_allclose(found.attractors[rest].position, [np.sqrt(0.75), 0.5, 0], atol=1e-6)
    angle = -np.pi + 2 * np.pi * (np.arange(96) + 0.5) / 96
    speed = -10 + 20 * (np.arange(144) + 0.5) / 144
    t, v = np.meshgrid(angle, speed, indexing="ij")
    labels = found.label_at(np.stack([np.cos(t), np.sin(t), v], axis=-1))
    assert set(np.unique(labels)) == {1, 2}
    # at most a cell along the boundary, which is some two grid widths long
    assert (labels == rest).mean() == pytest.approx(0.1528, abs=2 / 144 / 4)


def lorenz84(w: torch.Tensor) -> torch.Tensor:
    x, y, z = w[0], w[1], w[2]
    dx = -y * y - z * z - 0.255 * x + 0.255 * 6.886
    return torch.stack([dx, x * y - y - 4 * x * z + 1.347, 4 * x * y + x * z - z])


@pytest.mark.slow
def test_lorenz_84() -> None:
    """A fixed point beside a limit cycle and a chaotic set: it has .645 of 1000 starts in the literature."""
    found = sd.basins(sd.Flow.from_function(lorenz84, 3), [(-3, 3)] * 3, 4, n_starts=24)
    assert {a.kind for a in found.attractors.values()} == {"fixed point", "limit cycle", "chaotic"}
    rest = next(k for k, a in found.attractors.items() if a.kind == "fixed point")
    assert within(float(found.fractions[rest]), 0.645, 64, 1000)
    assert (found.labels > 0).all()


def duffing(w: torch.Tensor, n: int = 16) -> torch.Tensor:
    """x'' + 0.08 x' + x^3 = 0.2 cos t over a period of the drive, by the classical Runge-Kutta method."""
    h = 2 * np.pi / n

    def field(t: float, u: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return u[1], -0.08 * u[1] - u[0] ** 3 + 0.2 * np.cos(t)

    u = (w[0], w[1])
    for i in range(n):
        k1 = field(i * h, u)
        k2 = field((i + 0.5) * h, (u[0] + h / 2 * k1[0], u[1] + h / 2 * k1[1]))
        k3 = field((i + 0.5) * h, (u[0] + h / 2 * k2[0], u[1] + h / 2 * k2[1]))
        k4 = field((i + 1) * h, (u[0] + h * k3[0], u[1] + h * k3[1]))
        u = (
            u[0] + h / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0]),
            u[1] + h / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1]),
        )
    return torch.stack(u)


@pytest.mark.slow
def test_five_cycles_of_duffing() -> None:
    """Shares of bSTAB (Stender & Hoffmann 2022), 10 000 starts; the largest cycle lies outside the box."""
    periods = {0.2027: 1, 0.4950: 1, 0.0288: 2, 0.0257: 2, 0.2478: 3}
    found = sd.basin_fractions(
        sd.Map.from_function(duffing, 2), [(-1, 1), (-0.5, 1)], n_paths=2000, n_starts=64
    )
    assert sorted(a.period for a in found.attractors.values()) == [1, 1, 2, 2, 3]
    assert [a.period for a in found.attractors.values() if not a.inside] == [1]
    left = [(a.period, float(found.fractions[k])) for k, a in found.attractors.items()]
    for share, period in periods.items():
        nearest = min((f for p, f in left if p == period), key=lambda f: abs(f - share))
        assert within(nearest, share, 2000, 10_000), (share, nearest)
        left.remove((period, nearest))
    assert not left


def thomas(w: torch.Tensor, b: float) -> torch.Tensor:
    return torch.stack([torch.sin(w[(i + 1) % 3]) - b * w[i] for i in range(3)])


@pytest.mark.slow
def test_three_cycles_of_thomas() -> None:
    """Shares of the plane z = 0 that 1000 starts of the literature give."""
    flow = sd.Flow.from_function(thomas, 3, parameters={"b": 0.1665})
    found = sd.basins(flow, [(-6, 6), (-6, 6), (-1, 1)], (12, 12, 1), n_starts=48)
    shares = sorted((float(f) for f in found.fractions.values()), reverse=True)
    assert all(within(f, p, 144, 1000) for f, p in zip(shares, [0.454, 0.28, 0.266], strict=True))


@pytest.mark.slow
def test_edge_state_of_thomas() -> None:
    """Between two of three limit cycles lies an equilibrium at the distance 4.06585 from the origin."""
    flow = sd.Flow.from_function(thomas, 3, parameters={"b": 0.16})
    found = sd.basins(flow, [(-5, 5)] * 3, (3, 4, 5), n_starts=8, max_steps=2000)
    assert [a.kind for a in found.attractors.values()] == ["limit cycle"] * 3
    edge = sd.basin.edge_state(found, 1, 2)
    assert edge.converged
    assert np.linalg.norm(edge.x) == pytest.approx(4.06585, abs=1e-5)


def test_linear_node() -> None:
    """x' = -x/2: return time 2, reactivity -1/2, no amplification."""
    node = sd.Flow.from_function(lambda w: -0.5 * w, 2)
    linear = sd.linearize(node, [0.0, 0.0])
    growth = sd.transient_growth(linear.jacobian, discrete=False)
    assert growth.numerical_abscissa == pytest.approx(-0.5)
    assert growth.largest == pytest.approx(1.0)
    assert -1 / linear.eigenvalues.real.max() == pytest.approx(2.0)
