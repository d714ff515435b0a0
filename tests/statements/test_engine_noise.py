"""Correlated noise, equations of one's own, and the root of |H| in more than two dimensions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.systems.matrix_root import MOST_ROTATED, absolute_root

COV = np.array([[1.0, 0.9], [0.9, 1.0]])
BOWL = sd.landscapes.quadratic([[1.0, 0.0], [0.0, 1.0]])


def maier_stein(w: torch.Tensor, mu: float) -> torch.Tensor:
    return torch.stack([w[0] - w[0] ** 3 - mu * w[0] * w[1] ** 2, -(1 + w[0] ** 2) * w[1]])


@pytest.mark.parametrize("dim", [3, 4, 5])
def test_the_root_of_the_absolute_value_is_that_of_an_eigendecomposition(dim: int) -> None:
    """A cost: above two dimensions the root was an eigendecomposition, which is not compiled. Right: the root
    of |A| to rounding where eigenvalues are away from 0, to 1e-7 where some are 0, for clustered ones too.
    """
    rng = np.random.default_rng(dim)
    for kind in range(60):
        basis, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
        values = rng.normal(size=dim)
        if kind % 3 == 1:
            values[1:] = 0.0
        if kind % 3 == 2:
            values[:2] = 1.0 + 1e-9 * rng.normal(size=2)
        matrix = (basis * values) @ basis.T
        matrix = (matrix + matrix.T) / 2
        own, vectors = np.linalg.eigh(matrix)
        right = (vectors * np.sqrt(np.abs(own))) @ vectors.T
        got = absolute_root(torch.from_numpy(matrix), torch.eye(dim, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(got, right, atol=1e-7)
        np.testing.assert_allclose(got @ got, (vectors * np.abs(own)) @ vectors.T, atol=1e-12)


def test_a_noise_that_cannot_be_compiled_is_named() -> None:
    """A message that blames the wrong part: it is the noise that has no pointwise form, not the loss."""
    dim = MOST_ROTATED + 1
    loss = sd.Landscape(lambda w: (w**4).sum() + (w @ w) ** 2, dim)
    sde = sd.Diffusion(loss, sd.GD(), lr=0.1, noise=sd.CurvatureNoise(batch_size=1))
    with pytest.raises(ValueError, match="the noise CurvatureNoise"):
        sd.exit_times(sde, np.zeros(dim), sd.Ball([0.0] * dim, 1.0), 10, t_max=1.0, compile=True)


@pytest.mark.parametrize(
    "cov", [[[1.0, 0.5], [0.4, 1.0]], [[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0]], [[np.nan, 0.0], [0.0, 1.0]]]
)
def test_what_is_no_covariance_is_refused(cov: object) -> None:
    """Refused, with the argument's name: not symmetric, a negative eigenvalue, not square, not finite."""
    with pytest.raises(ValueError, match="cov must"):
        sd.GaussianNoise(cov=cov)  # type: ignore[arg-type]


def test_correlated_noise_has_the_covariance_given() -> None:
    """A missing noun: Gaussian noise with a covariance matrix, singular ones too. Right: lr cov."""
    for cov in (COV, np.array([[1.0, 1.0], [1.0, 1.0]]), np.diag([4.0, 0.0])):
        sde = sd.Diffusion(BOWL, sd.GD(), lr=0.1, noise=sd.GaussianNoise(cov=cov))
        np.testing.assert_allclose(sde.covariance([0.3, 0.1]), 0.1 * cov, atol=1e-15)
    with pytest.raises(ValueError, match="cov must have shape"):
        sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.1, noise=sd.GaussianNoise(cov=COV))
    with pytest.raises(ValueError, match="std must be left out"):
        sd.GaussianNoise(std=2.0, cov=COV)


def test_a_crossing_under_correlated_noise_uses_the_variance_across_the_face() -> None:
    """Right: Brownian motion of covariance C leaves the strip |n.x| < 1 from 0 after 1 / (n^T C n)."""
    still = sd.Landscape(lambda w: 0.0 * (w @ w), 2)
    sde = sd.Diffusion(still, sd.GD(), lr=0.05, noise=sd.GaussianNoise(cov=COV / 0.05))
    normal = np.array([1.0, -1.0]) / 2**0.5
    strip = sd.HalfSpace(normal, 1.0) & sd.HalfSpace(-normal, 1.0)
    exits = sd.exit_times(sde, [0.0, 0.0], strip, 1500, t_max=100.0, seed=3, compile=False)
    assert abs(exits.mean - 1 / (normal @ COV @ normal)) < 4 * exits.standard_error


def test_exit_times_of_an_equation_of_ones_own_meet_the_solver() -> None:
    """A missing noun: dX = b dt + B dW with any b and B, here Maier and Stein's. Right: the solver's mean."""
    sde = sd.Diffusion.from_function(
        maier_stein, 0.6 * np.eye(2), 2, {"mu": 10.0}, box=[(-1.5, 1.5), (-1, 1)]
    )
    left = sd.HalfSpace([1.0, 0.0], 0.0)
    field = sd.mean_exit_time(sde, left, resolution=64)
    exits = sd.exit_times(sde, [-1.0, 0.0], left, 1000, t_max=200.0, dt=0.005, seed=1, compile=False)
    exact = float(field([[-1.0, 0.0]])[0])
    assert abs(exits.mean - exact) < 4 * exits.standard_error + 0.01 * exact


def test_a_noise_root_may_depend_on_the_point_and_be_rectangular() -> None:
    """Right: B B^T at the point; parameters go to the function that names them."""
    sde = sd.Diffusion.from_function(
        lambda w, a: -a * w,
        lambda w, s: (
            s * torch.stack([torch.stack([w[0], w[1], w[0] * 0]), torch.stack([w[1], w[0] * 0, w[0]])])
        ),
        2,
        {"a": 2.0, "s": 0.5},
    )
    root = 0.5 * np.array([[1.0, 2.0, 0.0], [2.0, 0.0, 1.0]])
    np.testing.assert_allclose(sde.covariance([1.0, 2.0]), root @ root.T)
    np.testing.assert_allclose(sde.with_parameters(s=1.0, a=1.0).covariance([1.0, 2.0]), 4 * root @ root.T)
    assert sd.trajectory(sde, [1.0, 2.0], t_max=1.0, dt=0.3).shape == (5, 2)
    with pytest.raises(ValueError, match="neither takes"):
        sd.Diffusion.from_function(lambda w: -w, np.eye(2), 2, {"b": 1.0})
