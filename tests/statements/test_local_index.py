"""Lists of fixed points in the plane whose indices do not add up are searched on, or say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.equilibria.newton import value_and_jacobian, zeros_from
from samdyn.equilibria.proof.degree import windings
from samdyn.equilibria.proof.index_check import check_index

NONE = np.empty((0, 2))


def _near_jumps(c: float, p: tuple[float, float] = (0.0, 0.0)) -> sd.Flow:
    shift = torch.tensor(p, dtype=torch.float64)
    return sd.Flow.from_function(lambda w: shift - w + c * torch.tanh(2 * w / c), 2, box=[(-2, 2)] * 2)


@pytest.mark.parametrize("c", [1e-2, 3e-3, 1e-4])
def test_a_zero_between_steep_layers(c: float) -> None:
    """A zero lost: 8 of the 9 of p - w + c tanh(2 w/c) in two coordinates were listed, and missed: 0.0.

    Right: the nine pairs of 0 and +-.957504 c (u = tanh 2u); with p = (.3, 0) the three with w0 = .3 + c.
    """
    found = sd.fixed_points(_near_jumps(c), n_starts=64)
    assert len(found) == 9
    np.testing.assert_allclose(np.unique(np.round(found.x / c, 6)), [-0.957504, 0, 0.957504], atol=1e-6)
    assert "the indices add up" in repr(found)
    tilted = sd.fixed_points(_near_jumps(c, (0.3, 0.0)), n_starts=64)
    np.testing.assert_allclose(tilted.x[:, 0], 0.3 + c, rtol=1e-9)
    assert len(tilted) == 3


def test_zeros_of_other_steep_planar_fields() -> None:
    """The same kind with oblique layers. Right: nine zeros, by signs in quadrants and along layers."""
    flow = sd.Flow.from_function(
        lambda w: torch.stack(
            [torch.tanh(1e4 * (w[0] - 0.3 * w[1])) - w[0], torch.tanh(1e3 * (w[1] + 0.2 * w[0])) - w[1]]
        ),
        2,
        box=[(-2, 3)] * 2,
    )
    found = sd.fixed_points(flow, n_starts=64)
    assert len(found) == 9
    assert found.coverage["all"].index is not None
    assert found.coverage["all"].index.missing == 0


def test_what_stays_missing_is_said() -> None:
    """A sentence about Newton's starts read as one about the box. Right: where no zero is found, at least one
    more; where the field jumps or has a pole instead, that place.
    """
    flow = _near_jumps(1e-2)
    evaluate = value_and_jacobian(flow.point_function(), 2)
    zeros = sd.fixed_points(flow, n_starts=64).x
    lost = np.delete(zeros, 4, axis=0)
    check, new = check_index(evaluate, flow.box, lost, NONE, NONE, lambda starts: NONE)
    assert (check.missing, len(new)) == (1, 0)
    assert "at least 1 more" in repr(check)
    check, new = check_index(
        evaluate, flow.box, lost, NONE, NONE, lambda s: zeros_from(evaluate, flow.box, s)
    )
    assert check.missing == 0
    np.testing.assert_allclose(new, zeros[[4]], atol=1e-9)
    pole = sd.Flow.from_function(lambda w: torch.stack([w[0], -w[1]]) / (w @ w), 2, box=[(-2, 3)] * 2)
    assert "jumps or is infinite at (" in repr(sd.fixed_points(pole, n_starts=64))


@pytest.mark.parametrize("rule", [sd.GD(), sd.SAM(0.1)], ids=repr)
def test_degenerate_points_have_their_index(rule: sd.Rule) -> None:
    """Right: -2 at the monkey saddle, where det H = 0, so that nothing is missing."""
    found = sd.fixed_points(sd.Flow(sd.landscapes.monkey_saddle(), rule), n_starts=64)
    assert all(c.index is not None and c.index.missing == 0 for c in found.coverage.values())
    ring = sd.fixed_points(sd.Flow(sd.landscapes.product(), rule), n_starts=64)
    assert "cells are not checked" in repr(ring)


@pytest.mark.slow
def test_a_hallucinated_point_that_newton_starts_miss() -> None:
    """A point lost: 2048 starts found three hallucinated points of SAM(.1) on Beale's function. Right: four.

    Each is checked by itself: the gradient at x + rho g/|g| vanishes.
    """
    loss = sd.landscapes.beale()
    found = sd.fixed_points(sd.Flow(loss, sd.SAM(0.1)))
    assert len(found.hallucinated) == 4
    for p in found.hallucinated:
        g = loss.gradient(p.x)
        np.testing.assert_allclose(loss.gradient(p.x + 0.1 * g / np.linalg.norm(g)), 0, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_gaussian_wells_from_few_starts(seed: int) -> None:
    """Right: eight Newton starts and the index sum give the list that 2048 starts give."""
    rng = np.random.default_rng(seed)
    centres = torch.from_numpy(rng.uniform(-2, 2, (12, 2)))
    depths = torch.from_numpy(rng.uniform(0.3, 1, 12))
    loss = sd.Landscape(
        lambda w: -(depths * torch.exp(-((w - centres) ** 2).sum(1) / 0.18)).sum() + 0.01 * w @ w,
        2,
        box=[(-2.5, 2.5)] * 2,
    )
    few, many = (sd.fixed_points(sd.Map(loss, sd.GD(), lr=0.1), n_starts=n) for n in (8, 2048))
    np.testing.assert_allclose(few.x, many.x, atol=1e-8)
    assert few.coverage["genuine"].index is not None
    assert few.coverage["genuine"].index.missing == 0


def test_winding_numbers() -> None:
    """Right: n for z^n about 0, -1 for its conjugate, 0 beside it, none where the curve meets the zero."""

    def power(n: int) -> tuple[np.ndarray, ...]:
        def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            z = x[:, 0] + 1j * x[:, 1]
            f, d = z**n, n * z ** (n - 1)
            return np.stack([f.real, f.imag], 1), np.stack(
                [np.stack([d.real, -d.imag], 1), np.stack([d.imag, d.real], 1)], 1
            )

        boxes = np.array([[[-1, 1.5], [-1, 2]], [[0.5, 1], [-1, 1]], [[0, 1], [-1, 1]]])
        return tuple(windings(evaluate, boxes))

    for n in (1, 2, 5, 11):
        about, beside, through = power(n)
        assert (about, beside) == (n, 0)
        assert np.isnan(through)


@pytest.mark.slow
def test_a_hallucinated_point_close_to_a_critical_one() -> None:
    """A point lost: within 1e-3 of a critical point a hallucinated one was neither found nor missed.

    Right: at rho = |c - y| - d, c the minimum (3, 2) of Himmelblau's function and y the maximum, there is one
    at x = c - nu H^-1 (c - y) to first order, nu = d rho / ((c - y) . H^-1 (c - y)), polished here.
    """
    loss = sd.landscapes.himmelblau()
    critical = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=64)
    c, y = critical.x[np.abs(critical.x - [3, 2]).sum(1).argmin()], critical.select(kind="maximum").x[0]
    away = np.linalg.solve(loss.hessian(c), c - y)
    size = float(np.linalg.norm(c - y))
    for d in (5e-4, 1e-5):
        rho, nu = size - d, d * size / float((c - y) @ away)
        x = c - nu * away
        for _ in range(30):  # grad f(x) + nu (x - y) = 0, |x - y| = rho
            matrix = np.block(
                [[loss.hessian(x) + nu * np.eye(2), (x - y)[:, None]], [(x - y)[None], np.zeros((1, 1))]]
            )
            step = np.linalg.solve(
                matrix, -np.append(loss.gradient(x) + nu * (x - y), ((x - y) @ (x - y) - rho**2) / 2)
            )
            x, nu = x + step[:2], nu + step[2]
        found = sd.fixed_points(sd.Flow(loss, sd.SAM(rho)), n_starts=64)
        assert np.linalg.norm(x - c) < 1e-3
        np.testing.assert_allclose(np.linalg.norm(found.hallucinated.x - x, axis=1).min(), 0, atol=1e-8)
