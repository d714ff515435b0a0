"""Eigenvalues by products against dense ones; their residuals, order, blocks and density."""

from __future__ import annotations

import numpy as np
import problems
import pytest
import torch
from torch import nn
from torch.nn import functional

import samdyn as sd
from samdyn.network import eigenvalues


@pytest.fixture(scope="module")
def loss() -> sd.landscapes.ModuleLoss:
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    data = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)
    return sd.from_module(net, functional.cross_entropy, data, weight_decay=0.1)


@pytest.fixture
def by_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no matrix be made, as in many dimensions."""
    monkeypatch.setattr(eigenvalues, "DENSE", 1)


@pytest.mark.parametrize("which", ["largest", "smallest", "both", "magnitude"])
@pytest.mark.parametrize("dense", [True, False])
def test_curvatures_of_a_network(
    loss: sd.landscapes.ModuleLoss, which: str, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not dense:
        monkeypatch.setattr(eigenvalues, "DENSE", 1)
    values = np.linalg.eigvalsh(loss.hessian(loss.x0))
    wanted = {
        "largest": values[::-1][:4],
        "smallest": values[:4],
        "both": np.array([values[-1], values[0], values[-2], values[1]]),
        "magnitude": values[np.argsort(-np.abs(values))][:4],
    }[which]
    found = sd.spectrum(loss, loss.x0, 4, which)
    np.testing.assert_allclose(found.eigenvalues, wanted, rtol=1e-8)
    assert (found.residuals < 1e-7).all()
    assert found.converged.all()
    assert not found.complete
    assert found.n_products < loss.dim + 2 if dense else found.n_products > 4
    np.testing.assert_allclose(np.linalg.norm(found.eigenvectors, axis=0), 1, rtol=1e-12)


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.1), sd.SAM(0.05)], ids=repr)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("which", ["leading", "magnitude", "largest", "smallest"])
@pytest.mark.usefixtures("by_products")
def test_multipliers_of_a_map(
    loss: sd.landscapes.ModuleLoss, rule: sd.Rule, momentum: float, which: str
) -> None:
    system = sd.Map(loss, rule, lr=1.0, momentum=momentum)
    values = np.linalg.eigvals(system.jacobian(loss.x0))
    score = {
        "leading": np.abs(values - 1),
        "magnitude": np.abs(values),
        "largest": values.real,
        "smallest": -values.real,
    }[which]
    wanted = np.sort(score)[::-1][:3]
    found = sd.spectrum(system, loss.x0, 3, which)
    got = {
        "leading": np.abs(found.eigenvalues - 1),
        "magnitude": np.abs(found.eigenvalues),
        "largest": found.eigenvalues.real,
        "smallest": -found.eigenvalues.real,
    }[which]
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert (found.residuals < 1e-6).all()
    curvatures = np.linalg.eigvals(sd.Flow(loss, rule).jacobian(loss.x0))
    for a in found.field_eigenvalues:
        assert np.abs(a + curvatures).min() < 1e-6 * np.abs(curvatures).max()


def test_n1_has_the_spectrum_of_the_reference() -> None:
    loss = problems.xor_module(2, 0.03)
    x = np.array(problems.HALLUCINATED_NETWORKS["isolated"].x)
    for system in (sd.Map(loss, sd.SAM(4.0), lr=0.02), sd.Flow(loss, sd.SAM(4.0))):
        values = np.sort(sd.spectrum(system, x).field_eigenvalues.real)
        np.testing.assert_allclose(values[[0, -1]], [0.22811178, 27.14887186], atol=5e-9)
    for lr, radius in ((0.02, 0.9954377643), (0.05, 0.98859), (0.07, 0.98403), (0.08, 1.172)):
        found = sd.spectrum(sd.Map(loss, sd.SAM(4.0), lr=lr), x, 1, "magnitude")
        assert np.isclose(abs(found.eigenvalues[0]), radius, atol=5e-4 if lr > 0.07 else 5e-6)


@pytest.mark.parametrize("name", ["saddle endpoint", "zero-loss endpoint"])
def test_n2_and_n3_have_the_spectra_of_the_reference(name: str) -> None:
    case = problems.HALLUCINATED_NETWORKS[name]
    loss = problems.xor_module(case.width, case.weight_decay)
    found = sd.spectrum(sd.Flow(loss, sd.SAM(case.rho)), case.x, 13).field_eigenvalues
    order = np.argsort(np.abs(found))
    assert np.abs(found[order[: case.n_zero]]).max() < 1e-6
    wanted = np.sort_complex(np.array(case.eigenvalues))
    np.testing.assert_allclose(np.sort_complex(found[order[case.n_zero :]]), wanted, atol=1e-6)


@pytest.mark.usefixtures("by_products")
def test_an_earlier_spectrum_saves_products(loss: sd.landscapes.ModuleLoss) -> None:
    first = sd.spectrum(loss, loss.x0, 2, tolerance=1e-6)
    near = loss.x0 + 1e-6
    warm = sd.spectrum(loss, near, 2, start=first, tolerance=1e-4)
    cold = sd.spectrum(loss, near, 2, tolerance=1e-4)
    assert warm.n_products <= cold.n_products
    np.testing.assert_allclose(warm.eigenvalues, cold.eigenvalues, rtol=1e-4)


def test_blocks_are_parts_of_the_matrix(loss: sd.landscapes.ModuleLoss) -> None:
    dense = loss.hessian(loss.x0)
    part = loss.blocks["2.weight"]
    wanted = np.linalg.eigvalsh(dense[part, part])[::-1]
    for block in ("2.weight", part, list(range(part.start, part.stop))):
        found = sd.spectrum(loss, loss.x0, 3, block=block)
        np.testing.assert_allclose(found.eigenvalues, wanted[:3], rtol=1e-10)
    jacobian = sd.Flow(loss, sd.SAM(0.1)).jacobian(loss.x0)[part, part]
    found = sd.spectrum(sd.Flow(loss, sd.SAM(0.1)), loss.x0, 1, block="2.weight")
    assert np.isclose(abs(found.eigenvalues[0]), np.abs(np.linalg.eigvals(jacobian)).max(), rtol=1e-10)


def test_the_index_is_known_where_the_list_tells_it() -> None:
    loss = sd.Landscape(lambda w: (w**2 * torch.tensor([3.0, -1.0, -2.0, 0.0, 5.0])).sum() / 2, dim=5)
    assert sd.spectrum(loss, np.zeros(5)).n_negative == 2
    assert sd.spectrum(loss, np.zeros(5), 3, "smallest").n_negative == 2
    assert sd.spectrum(loss, np.zeros(5), 2, "smallest").n_negative is None
    assert sd.spectrum(loss, np.zeros(5), 2, "largest").n_negative is None
    with pytest.raises(ValueError, match="of a Hessian"):
        _ = sd.spectrum(sd.Flow(loss, sd.GD()), np.ones(5)).n_negative


def test_alignment_is_with_the_perturbation() -> None:
    loss = sd.landscapes.quadratic(np.diag([3.0, 1.0]))
    found = sd.spectrum(sd.Map(loss, sd.SAM(0.1), lr=0.1), [1.0, 1.0])
    assert found.gradient_norm == pytest.approx(10**0.5)
    g = np.array([3.0, 1.0]) / 10**0.5
    for vector, share in zip(np.real(found.eigenvectors).T, found.alignment, strict=True):
        assert share == pytest.approx((vector @ g) ** 2)
    straight = sd.spectrum(loss, [2.0, 0.0])
    np.testing.assert_allclose(straight.alignment, [1.0, 0.0], atol=1e-12)


def test_density_integrates_to_one_and_has_the_moments(loss: sd.landscapes.ModuleLoss) -> None:
    dense = loss.hessian(loss.x0)
    density = sd.spectrum(loss, loss.x0, 2).density(n_vectors=16, n_steps=40, seed=3)
    mass = np.trapezoid(density.values, density.grid)
    mean = np.trapezoid(density.values * density.grid, density.grid)
    assert mass == pytest.approx(1, abs=1e-3)
    trace, error = density.trace
    assert abs(trace - np.trace(dense)) < 4 * error
    assert error < 0.2 * np.trace(dense)
    assert mean * loss.dim == pytest.approx(trace, rel=1e-2)
    # the share of eigenvalues above the middle of the range
    values = np.linalg.eigvalsh(dense)
    middle = (values[0] + values[-1]) / 2
    share = np.trapezoid(np.where(density.grid > middle, density.values, 0), density.grid)
    assert share == pytest.approx((values > middle).mean(), abs=0.05)
    assert (density.standard_error > 0).any()


def test_what_does_not_fit_is_refused(loss: sd.landscapes.ModuleLoss) -> None:
    flow = sd.Flow(loss, sd.SAM(0.1))
    for call, words in (
        (lambda: sd.spectrum(loss, loss.x0, which="middle"), "which must be"),
        (lambda: sd.spectrum(loss, loss.x0, which="unit circle"), "of a map"),
        (lambda: sd.spectrum(loss, loss.x0, 0), "k must be"),
        (lambda: sd.spectrum(loss, loss.x0, block="3.weight"), r"0\.weight"),
        (lambda: sd.spectrum(loss, loss.x0, block=[0, 0]), "different coordinates"),
        (lambda: sd.spectrum(loss, loss.x0, block=slice(3, 3)), "at least one"),
        (lambda: sd.spectrum(loss, loss.x0, start=np.zeros(loss.dim)), "start must be"),
        (lambda: sd.spectrum(loss, loss.x0[:2]), "x must have shape"),
        (lambda: sd.spectrum(flow, loss.x0).density(), "symmetric"),
        (lambda: sd.spectrum(loss, loss.x0).density(n_vectors=1), "n_vectors must be"),
        (lambda: sd.spectrum(sd.Flow(sd.landscapes.saddle(), sd.SAM(0.1)), [0, 0]), "Jacobian exists"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="system must be"):
        sd.spectrum(loss.value, loss.x0)  # type: ignore[arg-type]


def test_text_and_pictures(loss: sd.landscapes.ModuleLoss) -> None:
    found = sd.spectrum(loss, loss.x0, 2)
    text = repr(found)
    assert "Spectrum of the Hessian: 2 eigenvalues (largest)" in text
    assert f"|g| = {np.linalg.norm(loss.gradient(loss.x0)):.6g}" in text
    assert found._repr_html_().count("<tr>") == 3
    assert len(found.plot().containers) == 1
    complex_plane = sd.spectrum(sd.Map(loss, sd.SAM(0.1), lr=0.1), loss.x0, 5).plot()
    assert len(complex_plane.collections[0].get_offsets()) == 5
    assert found.density(n_vectors=2).plot().get_yscale() == "log"
