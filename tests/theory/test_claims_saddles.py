"""Closed forms around saddles and diffusions that no other test pins."""

from __future__ import annotations

import math

import numpy as np
import pytest

import samdyn as sd
from samdyn.theory import bartlett, compagnoni, kim, luo


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
def test_momentum_does_not_move_the_critical_radius(momentum: float) -> None:
    for rho, attracting in ((0.499, False), (0.501, True)):
        radius = np.abs(kim.usam_multipliers([-2.0], rho, 0.01, momentum)).max()
        assert (radius < 1) == attracting


def test_momentum_only_rescales_the_rate() -> None:
    """lr 0.01 and effective curvature -0.1: the growth per step, about 0.001 / (1 - momentum)."""
    rho = 0.1  # lam (1 + rho lam) = -0.1 for the lam below
    lam = (-1 + math.sqrt(1 - 4 * rho * 0.1)) / (2 * rho)
    for momentum, radius in ((0.0, 1.001), (0.5, 1.0020), (0.9, 1.00924), (0.99, 1.0274)):
        found = np.abs(kim.usam_multipliers([lam], rho, 0.01, momentum)).max()
        assert found == pytest.approx(radius, abs=6e-5)


def test_sam_on_the_quadratic_saddle() -> None:
    """x^2 - y^2, normalised: the cycle along x, and y shrinking by 0.96 a step in turn of signs."""
    path = sd.trajectory(
        sd.Map(sd.landscapes.saddle(2.0, 2.0), sd.SAM(0.5), lr=0.01), [-3.0, -0.01], n_steps=500
    )
    assert abs(path[-1, 0]) == pytest.approx(0.00505051, abs=2e-7)
    assert abs(path[-1, 0]) == pytest.approx(bartlett.cycle_amplitude(2.0, 0.5, 0.01), rel=1e-4)
    assert path[-1, 1] / path[-2, 1] == pytest.approx(-0.96, abs=1e-4)
    assert bartlett.transverse_multipliers(2.0, [-2.0], 0.5, 0.01)[0] == pytest.approx(-0.96)
    assert abs(path[-1, 1]) == pytest.approx(6.7e-11, rel=0.02)
    assert np.abs(path[:, 1]).max() == pytest.approx(0.02035, abs=6e-6)
    gd = sd.trajectory(sd.Map(sd.landscapes.saddle(2.0, 2.0), sd.GD(), lr=0.01), [-3.0, -0.01], n_steps=309)
    assert np.argmax(np.abs(gd[:, 1]) > 4.5) == 309
    for rho, trapped in ((0.1, True), (0.05, False)):
        end = sd.trajectory(
            sd.Map(sd.landscapes.saddle(2.0, 2.0), sd.SAM(rho), lr=0.01), [-3.0, -0.01], n_steps=500
        )[-1]
        assert bool(abs(end[1]) < rho) is trapped


def test_first_backward_left_in_place_widens_the_cycle() -> None:
    """A step along g(w) + g(w^p), as where the first gradient is not cleared: lr rho h / (2 - 2 lr h)."""
    loss, lr, rho, w = sd.landscapes.saddle(2.0, 2.0), 0.01, 0.5, np.array([-3.0, -0.01])
    for _ in range(500):
        g = loss.gradient(w)
        w = w - lr * (g + loss.gradient(w + rho * g / np.linalg.norm(g)))
    assert abs(w[0]) == pytest.approx(0.00510204, abs=1e-8)
    assert abs(w[1]) < 1e-17


@pytest.mark.parametrize("probe", ["full", "same", "independent"])
def test_stationary_loss_of_usam(probe: str) -> None:
    """E f = (lr/4) tr(S (I + rho H)) in the equation with the same batch, against the map's exact law."""
    h, rho, lr, sigma = np.array([1.0, 0.4]), 0.5, 0.01, 1.0
    per_mode = [compagnoni.usam_stationary_variance(x, rho, lr, sigma) for x in h]
    assert (h * per_mode).sum() / 2 == pytest.approx(lr / 4 * (1 + rho * h).sum())
    if probe == "same":
        exact = [compagnoni.usam_discrete_variance(x, rho, lr, sigma) for x in h]
        assert exact[0] == pytest.approx(0.00755668, abs=5e-9)
        assert (h * exact).sum() / 2 == pytest.approx(lr / 4 * (1 + rho * h).sum(), rel=0.01)
        system = sd.Map(
            sd.landscapes.quadratic(np.diag(h)),
            sd.USAM(rho),
            lr=lr,
            noise=sd.GaussianNoise(sigma, probe=probe),
        )
        found = sd.mean_squared_displacement(
            system, [0.0, 0.0], 1500, n_paths=2000, seed=1, direction=[1.0, 0.0]
        )
        assert abs(found.mean[-1] - exact[0]) < 4 * found.standard_error[-1]
    else:
        gain = {"full": 1.0, "independent": 1 + (rho * h[0]) ** 2}[probe]
        assert gain < (1 + rho * h[0]) ** 2  # both are quieter than the same batch


def test_regularised_losses_of_micro_batches() -> None:
    """f + rho/2 |grad f|^2 + rho tr V / (2 m) is f + rho/2 E |G|^2 of batches of m with replacement."""
    gradients = np.random.default_rng(0).standard_normal((5, 3)) + 1
    pairs = ((gradients[:, None] + gradients[None]) / 2).reshape(-1, 3)
    penalty = luo.unnormalised_penalty(gradients, 0.3, 2)
    assert compagnoni.regularised_loss(1.7, pairs, 0.3, "USAM") == pytest.approx(1.7 + penalty)
    mean = gradients.mean(axis=0)
    trace = ((gradients - mean) ** 2).sum() / 5
    for m in (1, 2, 7):
        assert luo.unnormalised_penalty(gradients, 0.3, m) == pytest.approx(0.15 * (mean @ mean + trace / m))
    norms = [luo.normalised_penalty(gradients, 0.3, m) for m in (1, 2, 3, 4, 5)]
    assert (np.diff(norms) < 0).all()


def test_modified_equation_of_usam() -> None:
    """To the next order the map follows the flow of f + (rho/2 + lr/4) |grad f|^2."""
    h, errors = 1.3, []
    for lr in (0.02, 0.01, 0.005):
        rho = lr
        one = -math.log(1 - lr * h * (1 + rho * h)) / lr
        errors.append(abs(one - (h + (rho + lr / 2) * h**2)))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_third_order_of_the_sam_flow() -> None:
    """-grad f(x + rho u) = -(g + rho H u + rho^2/2 T(u, u)) up to rho^3."""
    loss, x = sd.landscapes.himmelblau(), np.array([0.3, 0.7])
    g = loss.gradient(x)
    u = g / np.linalg.norm(g)
    d = 1e-4
    third = (loss.hessian(x + d * u) - loss.hessian(x - d * u)) @ u / (2 * d)
    errors = []
    for rho in (0.2, 0.1):
        field = -sd.Flow(loss, sd.SAM(rho))(x)
        errors.append(np.linalg.norm(field - g - rho * loss.hessian(x) @ u - rho**2 / 2 * third))
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.01)


def test_edges_for_large_radii() -> None:
    assert bartlett.usam_edge(0.1, 0.0) == pytest.approx(20)
    assert bartlett.usam_edge(1e-4, 10.0) == pytest.approx(math.sqrt(2 / (1e-4 * 10)), rel=2e-3)


def test_weak_order_with_the_error_of_the_fit() -> None:
    """Error of Var / lr at time 1, rho = sqrt(lr): log e = a + s log lr + b sqrt(lr) + c lr."""
    h, rates = 2.0, 0.04 / 2.0 ** np.arange(10)
    rho = np.sqrt(rates)
    k = h * (1 + rho * h)
    factor = 1 - rates * k
    algorithm = rates * (1 + rho * h) ** 2 * (1 - factor ** (2 * np.round(1 / rates))) / (1 - factor**2)
    terms = np.stack([np.ones(10), np.log(rates), rho, rates], axis=1)
    for gain, order in (((1 + rho * h) ** 2, 1.0), (1 + 2 * rho * h, 1.0), (1.0, 0.5)):
        e = np.log(np.abs(gain * (1 - np.exp(-2 * k)) / (2 * k) - algorithm))
        fit, rest, *_ = np.linalg.lstsq(terms, e, rcond=None)
        error = math.sqrt(np.linalg.inv(terms.T @ terms)[1, 1] * rest[0] / 6)
        # the next power of rho, which the fit leaves out, is worth less than 0.005
        assert abs(fit[1] - order) < max(4 * error, 0.005)


def test_the_equation_of_sgd_misses_sam_at_this_radius() -> None:
    """Second moment from x = 1 at time 1, rho = sqrt(lr): its error over lr grows where lr falls."""
    h, errors = 2.0, []
    for lr in (0.04, 0.01, 0.0025):
        rho, n = math.sqrt(lr), round(1 / lr)
        kappa, s2 = kim.effective_curvature(h, rho), (1 + rho * h) ** 2
        moved = float(kim.usam_multipliers(h, rho, lr)) ** n
        algorithm = moved**2 + kim.momentum_covariance(kappa, s2, n, lr=lr)[0, 0]
        # of batches of h samples the Fisher noise has variance 1
        equation = math.exp(-2 * h) + kim.diffusion_variance(h, 1.0, rho=0.0, lr=lr, batch_size=h)
        errors.append(abs(equation - algorithm) / lr)
    assert errors == pytest.approx([0.268, 1.00, 2.45], abs=6e-3)


def test_valley_from_its_reference_point() -> None:
    """The map on f = (1 + y/2) x^2/2 from y = 0.9976473: after 20 000 steps where the formula says."""
    rho, lr = 0.02, 0.1
    valley = sd.Landscape(lambda w: (1 + w[1] / 2) * w[0] ** 2 / 2, dim=2)
    y = 0.9976473
    start = [bartlett.cycle_amplitude(1 + y / 2, rho, lr), y]
    heights = sd.trajectory(sd.Map(valley, sd.SAM(rho), lr=lr), start, n_steps=20_000)[:, 1]
    small = predicted = y
    for _ in range(20_000):
        predicted += float(bartlett.valley_drift(1 + predicted / 2, 0.5, rho, lr))
        small -= lr * rho**2 / 4
    assert predicted == pytest.approx(0.7653906, abs=6e-8)
    assert small == pytest.approx(0.7976473, abs=1e-9)
    assert heights[-1] == pytest.approx(0.7653904, abs=2e-6)
