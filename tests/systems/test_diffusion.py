"""Diffusions and noise models: drift, covariance for every probe, and the variances that the maps produce."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import samdyn as sd
from samdyn.systems.noise import absolute_root

LOSS = sd.landscapes.coupled_double_well()
POINTS = np.random.default_rng(0).uniform(-1.5, 1.5, (6, 2))


def absolute(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return np.einsum("...ij,...j,...kj->...ik", vectors, np.abs(values), vectors)


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.3), sd.SAM(0.3)], ids=repr)
def test_drift_is_the_flow(rule: sd.Rule) -> None:
    sde = sd.Diffusion(LOSS, rule, lr=0.1, noise=sd.GaussianNoise(1.0))
    np.testing.assert_allclose(sde.drift(POINTS), sd.Flow(LOSS, rule)(POINTS), rtol=1e-13)
    np.testing.assert_allclose(
        sde.jacobian(POINTS), sd.Flow(LOSS, rule).jacobian(POINTS), rtol=1e-12, atol=1e-14
    )


def test_gaussian_covariance() -> None:
    one = sd.Diffusion(LOSS, sd.SAM(0.3), lr=0.1, noise=sd.GaussianNoise(2.0))
    np.testing.assert_allclose(one.covariance(POINTS), np.broadcast_to(0.4 * np.eye(2), (6, 2, 2)))
    each = sd.Diffusion(LOSS, sd.SAM(0.3), lr=0.1, noise=sd.GaussianNoise([2.0, 0.5]))
    np.testing.assert_allclose(each.covariance([0.0, 0.0]), np.diag([0.4, 0.025]))


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.3), sd.SAM(0.3)], ids=repr)
def test_curvature_covariance_is_taken_at_the_perturbed_point(rule: sd.Rule) -> None:
    sde = sd.Diffusion(LOSS, rule, lr=0.1, noise=sd.CurvatureNoise(batch_size=4.0))
    g = LOSS.gradient(POINTS)
    size = np.linalg.norm(g, axis=1, keepdims=True)
    e = {"GD": 0 * g, "USAM": 0.3 * g, "SAM": 0.3 * g / size}[type(rule).__name__]
    np.testing.assert_allclose(
        sde.covariance(POINTS), 0.1 / 4 * absolute(LOSS.hessian(POINTS + e)), rtol=1e-9, atol=1e-14
    )


@pytest.mark.parametrize("probe", ["same", "independent"])
def test_noisy_probes_of_usam(probe: str) -> None:
    sde = sd.Diffusion(LOSS, sd.USAM(0.3), lr=0.1, noise=sd.GaussianNoise(2.0, probe=probe))
    g = LOSS.gradient(POINTS)
    carried = 0.3 * LOSS.hessian(POINTS + 0.3 * g)
    eye = np.eye(2)
    root = eye + carried
    expected = (
        np.einsum("nij,nkj->nik", root, root)
        if probe == "same"
        else eye + np.einsum("nij,nkj->nik", carried, carried)
    )
    np.testing.assert_allclose(sde.covariance(POINTS), 0.1 * 4 * expected, rtol=1e-10)
    assert sde.n_normals == (2 if probe == "same" else 4)


@pytest.mark.parametrize("dim", [1, 2, 3])
@given(seed=st.integers(0, 10**6))
def test_absolute_root(dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((dim, dim))
    matrix = matrix + matrix.T
    columns = [absolute_root(torch.from_numpy(matrix), torch.from_numpy(z)).numpy() for z in np.eye(dim)]
    root = np.stack(columns, axis=1)
    np.testing.assert_allclose(root, root.T, atol=1e-10)
    np.testing.assert_allclose(root @ root, absolute(matrix), atol=1e-9)
    assert np.linalg.eigvalsh(root).min() > -1e-9


@pytest.mark.parametrize("matrix", [np.eye(2), -3 * np.eye(2), np.zeros((2, 2)), np.diag([1.0, -1.0])])
def test_absolute_root_of_special_matrices(matrix: np.ndarray) -> None:
    z = torch.tensor([0.3, -0.7], dtype=torch.float64)
    expected = np.sqrt(np.abs(np.diag(matrix))) * z.numpy()
    np.testing.assert_allclose(absolute_root(torch.from_numpy(matrix), z), expected, atol=1e-14)


# variance of one coordinate after 100 steps at lr = 0.01 from the saddle, lambda = -1, rho = 0.5
FACTORS = {"full": 1.0, "same": (1 - 0.5) ** 2, "independent": 1 + 0.5**2}


@pytest.mark.parametrize("probe", FACTORS)
def test_variance_of_the_map_at_a_saddle(probe: str) -> None:
    lr, rate, n = 0.01, -0.5, 20000
    step = sd.Map(
        sd.landscapes.quadratic([[-1.0]]), sd.USAM(0.5), lr=lr, noise=sd.GaussianNoise(1.0, probe=probe)
    )
    end = sd.trajectory(step, np.zeros((n, 1)), n_steps=100, save_every=100, seed=1)[-1, :, 0]
    growth = 1 - lr * rate
    exact = lr**2 * FACTORS[probe] * (growth**200 - 1) / (growth**2 - 1)
    assert abs(end.mean()) < 4 * math.sqrt(exact / n)
    assert abs(end.var() - exact) < 4 * exact * math.sqrt(2 / n)


@pytest.mark.parametrize("probe", FACTORS)
def test_variance_of_the_diffusion_at_a_saddle(probe: str) -> None:
    sde = sd.Diffusion(
        sd.landscapes.quadratic([[-1.0]]), sd.USAM(0.5), lr=0.01, noise=sd.GaussianNoise(1.0, probe=probe)
    )
    assert sde.covariance([0.0])[0, 0] == pytest.approx(0.01 * FACTORS[probe])
    n = 20000
    end = sd.trajectory(sde, np.zeros((n, 1)), t_max=1.0, save_every=100, seed=2)[-1, :, 0]
    exact = 0.01 * FACTORS[probe] * (math.e - 1)  # s^2 (e^(2 k t) - 1)/(2 k) with k = 1/2
    assert abs(end.var() - exact) < 4 * exact * math.sqrt(2 / n) + 0.01 * exact  # Euler's bias, of order dt


def test_radius_in_the_mean_under_noise() -> None:
    # with noise of size s in both gradients normalised SAM acts in the mean like USAM of radius rho kappa/s
    step = sd.Map(sd.landscapes.saddle(1, 1), sd.SAM(1.6), lr=0.01, noise=sd.GaussianNoise(1.0, probe="same"))
    n = 4000
    end = sd.trajectory(step, np.tile([0.0, 0.05], (n, 1)), n_steps=300, save_every=300, seed=3)[-1, :, 1]
    kappa = math.sqrt(2) * math.gamma(1.5) / (2 * math.gamma(1))
    assert kappa == pytest.approx(0.626657, abs=1e-6)
    expected = 0.05 * (1 + 0.01 * (1 - 1.6 * kappa)) ** 300
    assert abs(end.mean() - expected) < 4 * end.std() / math.sqrt(n)


def test_parameters() -> None:
    sde = sd.Diffusion(LOSS, sd.SAM(0.1), lr=0.01, noise=sd.CurvatureNoise(8.0))
    assert sde.parameters == {"rho": 0.1, "lr": 0.01, "batch_size": 8.0}
    other = sde.with_parameters(rho=0.2, batch_size=16.0)
    np.testing.assert_allclose(other.with_parameters(rho=0.1).covariance(POINTS), sde.covariance(POINTS) / 2)


@pytest.mark.parametrize("leading", [(), (0,), (2, 3)])
def test_any_leading_shape(leading: tuple[int, ...]) -> None:
    sde = sd.Diffusion(LOSS, sd.SAM(0.1), lr=0.01, noise=sd.CurvatureNoise(8.0))
    x = np.random.default_rng(2).uniform(-1, 1, (*leading, 2))
    assert sde.drift(x).shape == x.shape
    assert sde.covariance(x).shape == (*x.shape, 2)


WELL = sd.landscapes.double_well()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.GaussianNoise(-1.0), ValueError, "std must be a finite number >= 0, got -1.0"),
        (lambda: sd.GaussianNoise(math.nan), ValueError, "std must be a finite number >= 0, got nan"),
        (
            lambda: sd.GaussianNoise([1.0, -2.0]),
            ValueError,
            r"std\[1\] must be a finite number >= 0, got -2.0",
        ),
        (lambda: sd.GaussianNoise("loud"), (ValueError, TypeError), "std"),
        (
            lambda: sd.GaussianNoise(1.0, probe="fresh"),
            ValueError,
            "probe must be one of 'full', 'same', 'independent'",
        ),
        (lambda: sd.CurvatureNoise(0.0), ValueError, "batch_size must be a finite number > 0, got 0.0"),
        (lambda: sd.CurvatureNoise(math.inf), ValueError, "batch_size must be a finite number > 0, got inf"),
        (
            lambda: sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=1.0),
            TypeError,
            "noise must be a noise model .* got 1.0",
        ),
        (lambda: sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=None), TypeError, "noise must be a noise model"),
        (
            lambda: sd.Diffusion(WELL, sd.GD(), lr=0.0, noise=sd.GaussianNoise()),
            ValueError,
            "lr must be a finite number > 0",
        ),
        (
            lambda: sd.Diffusion(WELL, sd.GD(), lr=math.nan, noise=sd.GaussianNoise()),
            ValueError,
            "lr must be a finite number > 0",
        ),
        (
            lambda: sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=sd.GaussianNoise((1.0, 2.0))),
            ValueError,
            "std must be a number or 1 numbers",
        ),
        (
            lambda: sd.Diffusion(WELL, sd.SAM(0.1), lr=0.1, noise=sd.GaussianNoise(1.0, probe="same")),
            ValueError,
            "noise.probe must be 'full'",
        ),
        (
            lambda: sd.Diffusion(WELL, sd.GD, lr=0.1, noise=sd.GaussianNoise()),
            TypeError,
            "rule must be a rule, got the class GD",
        ),
        (
            lambda: sd.Diffusion(WELL.one_point, sd.GD(), lr=0.1, noise=sd.GaussianNoise()),
            TypeError,
            "loss must be a samdyn Landscape",
        ),
        (
            lambda: sd.Diffusion(WELL, sd.GD(), lr=0.1, noise=sd.GaussianNoise()).drift([0.0, 1.0]),
            ValueError,
            r"x must have shape \(..., 1\)",
        ),
    ],
)
def test_bad_input(make: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        make()
