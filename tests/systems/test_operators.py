"""Products with Jacobians and their transposes against dense Jacobians, for every rule and view."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import problems
import pytest
import torch
from scipy.sparse.linalg import eigs, eigsh, gmres, lsmr
from torch import nn
from torch.nn import functional

import samdyn as sd
from samdyn.numerics.vector import unit

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Scaled(sd.Rule):
    """Adaptive SAM: every coordinate is perturbed in units of its own size."""

    rho: float

    def perturbation(self, x: torch.Tensor, gradient: torch.Tensor, rho: Any) -> torch.Tensor:  # type: ignore[override]
        size = x.abs() + 0.01
        return rho * size * unit(size * gradient)


@dataclass(frozen=True)
class Mixed(sd.Rule):
    """A mean of the gradients at both points."""

    rho: float
    share: float

    def perturbation(self, x: torch.Tensor, gradient: torch.Tensor, rho: Any, share: Any) -> torch.Tensor:  # type: ignore[override]
        return rho * unit(gradient)

    def combine(self, gradient: torch.Tensor, perturbed: torch.Tensor, rho: Any, share: Any) -> torch.Tensor:  # type: ignore[override]
        return share * gradient + (1 - share) * perturbed


@dataclass(frozen=True)
class Twice(sd.Rule):
    """A rule that takes its step in a way of its own: two ascents."""

    rho: float

    def descent(self, x: Any, ascent: Any, gradient: Any, rho: Any) -> torch.Tensor:  # type: ignore[override]
        y = x + rho * unit(ascent(x))
        return gradient(y + rho * unit(ascent(y)))


RULES = [
    sd.GD(), sd.USAM(0.1), sd.SAM(0.1), sd.SAM(0.1, eps=1e-2), sd.UnifiedSAM(0.1, lam=0.3), sd.DNSAM(0.1),
    sd.Extragradient(0.1), Scaled(0.1), Mixed(0.1, 0.3), Twice(0.1),
]  # fmt: skip


def small_network(**options: Any) -> sd.landscapes.ModuleLoss:
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2))
    data = rng.normal(size=(9, 3)), rng.integers(0, 2, 9)
    return sd.from_module(net, functional.cross_entropy, data, **options)


def agrees_with_dense(system: sd.systems.System, x: np.ndarray) -> None:
    dense = system.jacobian(x)
    n = len(dense)
    v, w = RNG.normal(size=(5, n)), RNG.normal(size=(5, n))
    scale = np.abs(dense).max() * n**0.5
    np.testing.assert_allclose(system.jvp(x, v), v @ dense.T, rtol=1e-8, atol=1e-10 * scale)
    np.testing.assert_allclose(system.vjp(x, w), w @ dense, rtol=1e-8, atol=1e-10 * scale)
    operator = system.operator(x)
    np.testing.assert_allclose(operator @ v.T, dense @ v.T, rtol=1e-8, atol=1e-10 * scale)
    np.testing.assert_allclose(operator.T @ w.T, dense.T @ w.T, rtol=1e-8, atol=1e-10 * scale)
    np.testing.assert_allclose((operator @ v[0]) @ w[0], v[0] @ (operator.T @ w[0]), rtol=1e-12)
    assert operator.n_products >= 2
    assert 0 < operator.seconds < 60


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_of_a_network(rule: sd.Rule, momentum: float) -> None:
    loss = small_network()
    x = loss.x0 + 0.1 * RNG.normal(size=loss.dim)
    system = sd.Map(loss, rule, lr=0.3, momentum=momentum)
    agrees_with_dense(system, x if not momentum else np.concatenate([x, RNG.normal(size=loss.dim)]))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_fields_of_a_named_loss(rule: sd.Rule) -> None:
    loss, x = sd.landscapes.himmelblau(), np.array([1.3, -0.4])
    agrees_with_dense(sd.Map(loss, rule, lr=0.01), x)
    agrees_with_dense(sd.Flow(loss, rule), x)
    agrees_with_dense(sd.Diffusion(loss, rule, lr=0.01, noise=sd.GaussianNoise(std=1.0, probe="full")), x)
    if not isinstance(rule, Twice):
        agrees_with_dense(sd.Flow(loss, rule, form="first-order"), x)


def test_other_systems() -> None:
    henon = sd.Map.from_function(lambda w: torch.stack([1 - 1.4 * w[0] ** 2 + w[1], 0.3 * w[0]]), dim=2)
    agrees_with_dense(henon, np.array([0.3, 0.2]))
    agrees_with_dense(problems.thomas_flow(), np.array([0.3, 0.2, -1.0]))
    past = sd.Map(sd.landscapes.himmelblau(), sd.PastExtragradient(0.02), lr=0.01)
    agrees_with_dense(past, np.array([0.3, 0.2, 1.0, -2.0]))
    batches = sd.Diffusion(problems.r6(), sd.USAM(0.1), lr=0.1, noise=sd.Minibatch(2))
    agrees_with_dense(batches, np.array([0.3, 0.2]))
    slowing = sd.Diffusion(
        sd.landscapes.himmelblau(), sd.USAM(0.1), sd.schedules.PowerDecay(0.1), sd.CurvatureNoise(1, "full")
    )
    agrees_with_dense(slowing, np.array([0.3, 0.2]))


@pytest.mark.parametrize("chunk", [4, None])
def test_a_flow_of_a_chunked_network(chunk: int | None) -> None:
    loss = small_network(chunk=chunk, weight_decay=0.02)
    agrees_with_dense(sd.Flow(loss, sd.SAM(0.2)), loss.x0)


def test_vectors_and_points_broadcast_and_rest_is_understood() -> None:
    loss = sd.landscapes.himmelblau()
    system = sd.Map(loss, sd.SAM(0.1), lr=0.01, momentum=0.5)
    x, v = RNG.normal(size=(3, 1, 2)), RNG.normal(size=(4, 4))
    assert system.jvp(x, v).shape == (3, 4, 4)
    states = np.concatenate([x, 0 * x], axis=-1)
    np.testing.assert_array_equal(system.jvp(x, v), system.jvp(states, v))
    np.testing.assert_array_equal(system.operator(x[0, 0]) @ v[0], system.jvp(x[0, 0], v[0]))


def test_where_the_perturbation_jumps_there_is_no_jacobian() -> None:
    system = sd.Flow(sd.landscapes.saddle(1.0, 1.0), sd.SAM(0.1))
    assert np.isnan(system.jvp([0.0, 0.0], [1.0, 0.0])).all()
    assert np.isnan(system.vjp([[0.0, 0.0], [0.0, 1.0]], [1.0, 0.0])[0]).all()
    assert np.isfinite(system.vjp([[0.0, 0.0], [0.0, 1.0]], [1.0, 0.0])[1]).all()
    with pytest.raises(ValueError, match="where the Jacobian exists"):
        system.operator([0.0, 0.0])
    wide = sd.Flow(sd.Landscape(lambda w: (w**2).sum() / 2, dim=300), sd.SAM(0.1))
    with pytest.raises(ValueError, match="where the Jacobian exists"):
        wide.operator(np.zeros(300))
    assert np.isfinite(wide.operator(np.ones(300)) @ np.ones(300)).all()


def test_wrong_shapes_are_refused() -> None:
    system = sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.1), lr=0.01, momentum=0.5)
    for call, words in (
        (lambda: system.jvp([0.0, 1.0], [1.0, 0.0]), "v must have shape"),
        (lambda: system.operator([[0.0, 1.0]]), "x must be one point"),
        (lambda: system.operator([np.nan, 1.0]), "x must be finite"),
        (lambda: sd.landscapes.himmelblau().operator([[0.0, 1.0]]), "x must be one point"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_krylov_methods_of_scipy_take_the_operators() -> None:
    loss = small_network(weight_decay=0.5)
    hessian, dense = loss.operator(loss.x0), loss.hessian(loss.x0)
    values = np.linalg.eigvalsh(dense)
    np.testing.assert_allclose(eigsh(hessian, k=3, which="LA")[0], values[-3:], rtol=1e-10)
    b = RNG.normal(size=loss.dim)
    flow = sd.Flow(loss, sd.SAM(0.1))
    jacobian = flow.jacobian(loss.x0)
    solved = np.linalg.solve(jacobian, b)
    scale = np.linalg.norm(solved)
    np.testing.assert_allclose(gmres(flow.operator(loss.x0), b, rtol=1e-12)[0], solved, atol=1e-8 * scale)
    least = lsmr(flow.operator(loss.x0), b, atol=1e-14, btol=1e-14, conlim=0, maxiter=1000)[0]
    np.testing.assert_allclose(least, solved, atol=1e-6 * scale)
    largest = np.abs(np.linalg.eigvals(jacobian)).max()
    assert np.isclose(np.abs(eigs(flow.operator(loss.x0), k=2)[0]).max(), largest, rtol=1e-10)


def test_a_product_makes_no_matrix() -> None:
    """A dense Jacobian of 300 000 coordinates would be 670 GiB."""
    dim = 300_000
    loss = sd.Landscape(lambda w: torch.cos(w).sum() + (w[1:] * w[:-1]).sum() ** 2 / dim, dim=dim)
    start = time.perf_counter()
    flow = sd.Flow(loss, sd.SAM(0.1))
    operator, v = flow.operator(np.linspace(0, 1, dim)), RNG.normal(size=(2, dim))
    assert np.isclose((operator @ v[0]) @ v[1], v[0] @ (operator.T @ v[1]), rtol=1e-10)
    assert time.perf_counter() - start < 30
