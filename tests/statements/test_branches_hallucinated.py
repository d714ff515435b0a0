"""Branches of hallucinated points: none is lost where it begins. Kind of fault: an early end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.hallucination.proximal_curves import Family, at_radius, derivatives_of, follow


@pytest.mark.slow
def test_branches_from_a_maximum_with_nearly_equal_curvatures() -> None:
    """Early ends: at a maximum with curvatures -3.366 and -3.321 four half-branches begin, two of which had
    no first step. Right: a hallucinated point at (-1.65707, -1.74281) for rho = .758092, whose perturbed
    point is that maximum.
    """
    rng = np.random.default_rng(0)
    centres = torch.from_numpy(rng.uniform(-1.2, 1.2, (4, 2)))
    heights = torch.from_numpy(rng.uniform(-1, 1, 4))

    def f(w: torch.Tensor) -> torch.Tensor:
        return (heights * torch.exp(-((w - centres) ** 2).sum(1) / 0.5)).sum() + 0.05 * w @ w

    loss = sd.Landscape(f, 2, box=[(-2, 2)] * 2)
    rho = 0.758092144
    found = sd.hallucinated_branches(loss).at(rho).x
    x = found[np.linalg.norm(found - [-1.65707, -1.74281], axis=1).argmin()]
    np.testing.assert_allclose(x, [-1.65707, -1.74281], atol=1e-5)
    gradient = loss.gradient(x)
    y = x + rho * gradient / np.linalg.norm(gradient)
    np.testing.assert_allclose(loss.gradient(y), 0, atol=1e-9)
    assert (np.linalg.eigvalsh(loss.hessian(y)) < 0).all()


@pytest.mark.parametrize("thin", [0.3, 0.01])
def test_a_curve_is_a_loop_only_where_it_closes(thin: float) -> None:
    """A label by distance alone: a curve whose other side passed near its start was called a loop there.

    Right: with y = 0 the field -(2 + x0) x + c(x) x_perp is stopped on c = 0, here an ellipse with half-axes
    .5 and `thin` about (1, .8): the whole of it is the loop.
    """
    centre, axes = np.array([1.0, 0.8]), np.array([0.5, thin])

    def derivatives(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = (x - centre) / axes
        c, slope = (scaled**2).sum(axis=1) - 1, 2 * scaled / axes
        across = np.stack([-x[:, 1], x[:, 0]], axis=1)
        value = -(2 + x[:, :1]) * x + c[:, None] * across
        rows = -(2 + x[:, 0])[:, None, None] * np.eye(2) + across[:, :, None] * slope[:, None]
        rows[:, :, 0] -= x
        return value, rows + c[:, None, None] * np.array([[0.0, -1.0], [1.0, 0.0]])

    family = Family(derivatives, np.zeros((1, 2)), 1.0, np.array([1.0]))
    start = centre + np.array([0.0, thin])
    along = np.array([[1.0, 0.0, 1.0]])
    (curve,) = follow(family, start[None], np.array([3.0]), along, np.array([[0.0, 3.0]] * 2), n_steps=3000)
    assert curve.end == "loop"
    np.testing.assert_allclose((((curve.x - centre) / axes) ** 2).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.ptp(curve.x, axis=0), 2 * axes, rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["polynomial", "tanh net"])
def test_no_branch_is_lost_beside_a_border(kind: str) -> None:
    """Points beside a border of existence might be those of another branch, or missing.

    Right: beside every critical point c and for every other one, y, the point at x = c - nu H^-1 (c - y) to
    first order, by Newton's method at its radius.
    """
    rng = np.random.default_rng(3)
    numbers = torch.from_numpy(rng.normal(size=(5, 5)))
    x, y = (torch.from_numpy(rng.normal(size=6)) for _ in range(2))

    def f(w: torch.Tensor) -> torch.Tensor:
        if kind == "polynomial":
            powers = torch.stack([torch.ones_like(w), w, w**2, w**3])
            return powers[:, 0] @ numbers[:4, :4] @ powers[:, 1] / 3 + 0.3 * (w**4).sum()
        return ((w[1] * torch.tanh(3 * w[0] * x) - y) ** 2).mean() + 0.01 * w @ w

    loss = sd.Landscape(f, 2, box=[(-2, 2)] * 2)
    branches = sd.hallucinated_branches(loss)
    derivatives, checked = derivatives_of(loss), 0
    for c in branches.critical_points:
        for other in branches.critical_points:
            d = c.x - other.x
            if c is other or np.abs(np.linalg.eigvalsh(loss.hessian(c.x))).min() < 1e-6:
                continue
            pull = np.linalg.solve(loss.hessian(c.x), d)
            size, slope = float(np.linalg.norm(d)), float(d @ pull)
            for beside in (1e-6, 5e-4):
                rho, nu = size - np.sign(slope) * beside, beside * size / abs(slope)
                near, nu_near, good = at_radius(
                    derivatives, (c.x - nu * pull)[None], np.array([nu]), other.x[None], rho
                )
                if good[0] and nu_near[0] > 0 and (np.abs(near) <= 2).all():
                    checked += 1
                    found = branches.at(rho).x
                    assert np.linalg.norm(found - near[0], axis=1).min() < 1e-6
    assert checked >= 4
