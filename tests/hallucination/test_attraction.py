"""The linear test of hallucinated points, against eigenvalues worked out by hand and against runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.hallucination.attraction import lr_bound, shift_jacobian


@pytest.mark.parametrize("k", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("rho", [1.2, 1.5, 1.8])
def test_separable_double_well(k: float, rho: float) -> None:
    loss = sd.landscapes.double_well(2, stiffness=k)
    x = np.array([1 - rho, 0.0])
    second = k * (1 + k / ((rho - 1) * (2 - rho)))
    test = sd.local_attraction(sd.Flow(loss, sd.SAM(rho)), x)
    np.testing.assert_allclose(test.eigenvalues, np.sort([2, second]), rtol=1e-10)
    assert test.lr_max == pytest.approx(min(1, 2 / second), rel=1e-10)
    assert test.gradient_norm == pytest.approx(rho * (rho - 1) * (2 - rho), rel=1e-12)
    assert test.endpoint_kind == "minimum"
    assert test.attracting
    # just below the bound the map returns, just above it leaves
    for factor, returns in ((0.95, True), (1.05, False)):
        system = sd.Map(loss, sd.SAM(rho), lr=factor * test.lr_max)
        assert sd.local_attraction(system, x).attracting == returns
        end = sd.trajectory(system, x + 1e-6, n_steps=1000)[-1]
        assert bool(np.linalg.norm(end - x) < 1e-7) == returns


def test_multiplier_is_the_spectral_radius() -> None:
    for momentum in (0.0, 0.5):
        system = sd.Map(sd.landscapes.double_well(2), sd.SAM(1.5), lr=0.3, momentum=momentum)
        test = sd.local_attraction(system, [-0.5, 0])
        at = [-0.5, 0, 0, 0] if momentum else [-0.5, 0]
        assert test.multiplier == pytest.approx(
            np.abs(np.linalg.eigvals(system.jacobian(at))).max(), rel=1e-10
        )


def test_bound_with_momentum_is_where_the_spectral_radius_reaches_one() -> None:
    rng = np.random.default_rng(0)
    for momentum in (0.0, 0.3, 0.9):
        for _ in range(20):
            a, b = rng.uniform(0.1, 3), rng.uniform(-3, 3)
            values = np.array([a + 1j * b, a - 1j * b])
            bound = float(lr_bound(values, momentum))
            for factor, inside in ((0.999, True), (1.001, False)):
                trace = 1 + momentum - factor * bound * values
                roots = np.concatenate([np.roots([1, -t, momentum]) for t in trace])
                assert bool(np.abs(roots).max() < 1) == inside
    assert lr_bound([2.0, 5.0], 0.9) == pytest.approx(2 * 1.9 / 5)


def test_usam() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.USAM(5.0), lr=0.1)
    s = np.sqrt(1 - 4 / 5)
    test = sd.local_attraction(system, [(-1 - s) / 2])
    assert test.lr_max == pytest.approx(0.2594638, abs=5e-8)
    assert test.lr_max == pytest.approx(2 / (5 * s * (s + 3)), rel=1e-10)
    assert not sd.local_attraction(system, [(-1 + s) / 2]).attracting


def test_saddle_of_the_surrogate_attracts_and_its_minimum_does_not() -> None:
    system = sd.Flow(sd.landscapes.tilted_hat(tilt=0.1), sd.SAM(1.5))
    found = sd.hallucinated_branches(sd.landscapes.tilted_hat(tilt=0.1)).at(1.5)
    (a,) = [p for p in found if abs(p.x[0] + 0.4533194682) < 1e-9]
    (b,) = [p for p in found if abs(p.x[0] - 0.5543507261) < 1e-9]
    first, second = sd.local_attraction(system, a), sd.local_attraction(system, b)
    np.testing.assert_allclose(first.eigenvalues, [-0.3421092417, 2.2866204070], atol=1e-9)
    np.testing.assert_allclose(first.surrogate_eigenvalues, [1.22502164, 2.28662041], atol=1e-8)
    np.testing.assert_allclose(second.eigenvalues, [0.1212711815, 1.6827576478], atol=1e-9)
    np.testing.assert_allclose(second.surrogate_eigenvalues, [-0.13907380, 1.68275765], atol=1e-8)
    assert (first.attracting, first.endpoint_kind, first.unstable_dimension) == (False, "minimum", 1)
    assert (second.attracting, second.endpoint_kind) == (True, "saddle")
    assert second.gradient_norm == pytest.approx(0.4839961273, abs=1e-10)


@pytest.mark.parametrize("dim", [2, 5])
def test_ring(dim: int) -> None:
    x = np.zeros(dim)
    x[0] = 0.5
    test = sd.local_attraction(sd.Map(sd.landscapes.ring(dim), sd.SAM(1.5), lr=0.9), x)
    assert test.tangent_dimension == dim - 1
    np.testing.assert_allclose(test.eigenvalues, [*[0.0] * (dim - 1), 2.0], atol=1e-12)
    assert test.lr_max == pytest.approx(1.0, rel=1e-12)
    assert test.multiplier == pytest.approx(0.8, rel=1e-12)
    assert test.attracting
    assert test.contraction_lr == pytest.approx(1.0, rel=1e-12)


def test_network_without_decay() -> None:
    rho, r = 2.0, 0.4
    x = np.array([0.3465381063, 0.1997782292])
    P = r**2 * (1 + rho * r) / (r**2 + rho**2)
    u = np.roots([1, -(r**2), P**2])
    x = np.sqrt(np.sort(u)[::-1])
    np.testing.assert_allclose(x, [0.3465381063, 0.1997782292], atol=1e-9)
    test = sd.local_attraction(sd.Flow(sd.landscapes.uv(0.0), sd.SAM(rho)), x)
    np.testing.assert_allclose(test.eigenvalues, [0, 3.7798224852], atol=1e-9)
    mu = (1 + rho**2 / r**2) * (r**2 - 2 * rho * P / r) - (2 * P * rho**2 / r**4 + rho / r) * (
        2 * P - rho * r
    )
    assert test.eigenvalues[1] == pytest.approx(mu, rel=1e-9)


def test_serpentine_valley() -> None:
    a, rho, x1 = 3.0, 3.0, -2.5
    c = a * np.cos(x1)
    y1 = x1 - rho * c / np.sqrt(1 + c**2)
    E = a * np.sin(y1) - a * np.sin(x1) - rho / np.sqrt(1 + c**2)
    assert pytest.approx(1.4426344408, abs=1e-10) == E
    test = sd.local_attraction(sd.Flow(sd.landscapes.serpentine(a), sd.SAM(rho)), [x1, a * np.sin(x1) + E])
    assert test.gradient_norm == pytest.approx(3.7554187585, abs=1e-9)
    np.testing.assert_allclose(test.eigenvalues, [0, 4.6858350332], atol=1e-9)
    assert test.endpoint[0] == pytest.approx(y1, abs=1e-10)


def test_contraction_is_sufficient_and_not_necessary() -> None:
    loss = sd.landscapes.himmelblau()
    checked, branches = 0, sd.hallucinated_branches(loss)
    for rho in (2.0, 3.0, 5.0):
        for point in branches.at(rho):
            test = sd.local_attraction(sd.Flow(loss, sd.SAM(rho)), point)
            if np.isnan(test.contraction_lr):
                continue
            checked += 1
            assert 0 < test.contraction_lr <= test.lr_max * (1 + 1e-9)
            # the norm of H(y)^-1 falls for steps in all directions
            step = 0.99 * test.contraction_lr
            inverse = np.linalg.inv(loss.hessian(test.endpoint))
            g, h = loss.gradient(test.x), loss.hessian(test.x)
            J = np.eye(2) - step * loss.hessian(test.endpoint) @ shift_jacobian(g, h, rho)
            growth = np.linalg.eigvals(np.linalg.solve(inverse, J.T @ inverse @ J))
            assert growth.real.max() < 1
    assert checked >= 3


def test_shift_jacobian_is_the_derivative_of_the_shift() -> None:
    loss, rho, x = sd.landscapes.himmelblau(), 0.7, np.array([0.4, -1.3])

    def shift(p: np.ndarray) -> np.ndarray:
        g = loss.gradient(p)
        return p + rho * g / np.linalg.norm(g)

    h = 1e-6
    finite = np.stack([(shift(x + h * e) - shift(x - h * e)) / (2 * h) for e in np.eye(2)], axis=1)
    np.testing.assert_allclose(shift_jacobian(loss.gradient(x), loss.hessian(x), rho), finite, atol=1e-8)


def test_noise_at_a_hallucinated_point_has_the_linear_variance() -> None:
    loss = sd.landscapes.double_well()
    for lr, std, expected in ((0.1, 0.1, 2.778e-4), (0.5, 0.05, 6.25e-4)):
        curvature = float(sd.local_attraction(sd.Flow(loss, sd.SAM(1.5)), [-0.5]).eigenvalues[0])
        variance = lr * std**2 / (2 * curvature - lr * curvature**2)
        assert variance == pytest.approx(expected, rel=1e-3)
        system = sd.Map(loss, sd.SAM(1.5), lr=lr, noise=sd.GaussianNoise(std=std, probe="full"))
        path = sd.trajectory(system, np.full((2000, 1), -0.5), n_steps=400, save_every=100)[-1][:, 0]
        error = variance * np.sqrt(2 / len(path))
        assert abs(path.var() - variance) < 4 * error


def test_repr() -> None:
    test = sd.local_attraction(sd.Map(sd.landscapes.ring(), sd.SAM(1.5), lr=0.1), [0.5, 0])
    for text in ("a set of dimension 1", "attracts", "endpoint: (-1, 0)", "lr < 1", "multiplier 0.8"):
        assert text in repr(test)
    saddle = sd.local_attraction(sd.Flow(sd.landscapes.saddle(), sd.SAM(0.5)), [0.0, 0.5])
    assert "attracts at no learning rate" in repr(saddle)
    assert np.isnan(saddle.multiplier)


SYSTEM = sd.Map(sd.landscapes.double_well(), sd.SAM(1.5), lr=0.1)


@pytest.mark.parametrize(
    ("system", "x", "error", "message"),
    [
        (3.0, [0.0], TypeError, "system must be"),
        (sd.Map.from_function(lambda w: w, 1), [0.0], ValueError, "a loss and a rule"),
        (sd.Map(sd.landscapes.double_well(), sd.SAM(lambda t: 1.5), lr=0.1), [-0.5], ValueError, "constant"),
        (SYSTEM, [[-0.5]], ValueError, "one point"),
        (SYSTEM, [1.0], ValueError, r"no critical point of double well, got \|gradient\| = 0"),
        (SYSTEM, [-0.4], ValueError, r"hallucinated point of .* got \|gradient\| = 0.231"),
    ],
)
def test_bad_input(system: object, x: list, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        sd.local_attraction(system, x)


# small networks on XOR, whose hallucinated points were found by running SAM


def xor_network(width: int, decay: float) -> sd.Landscape:
    inputs = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    targets = torch.tensor([-1.0, 1.0, 1.0, -1.0], dtype=torch.float64)

    def loss(w: torch.Tensor) -> torch.Tensor:
        W, b = w[: 2 * width].reshape(width, 2), w[2 * width : 3 * width]
        a, c = w[3 * width : 4 * width], w[4 * width]
        out = torch.tanh(inputs @ W.T + b) @ a + c
        return ((out - targets) ** 2).sum() / 8 + decay / 2 * (w @ w)

    return sd.Landscape(loss, 4 * width + 1, name="XOR")


W, B, A, OUT = -0.984261241251842, 0.7532315464259085, -0.9210235293465979, -0.6570176045877107
N1 = [W, W, W, W, -B, B, A, -A, OUT]
N2 = [
    *(-0.6801343308885276, 0.1612645014959023, 0.2328236869681099, -0.23883777199095674, -0.8395014091363363),
    *(0.3235347865733954, 0.024589436668379195, -0.4925128419997043, 0.13113645744318084),
]
N3 = [
    *(-0.19358932223720451, 0.30769777152996763, -0.5599783283798292, -1.9334205389277916),
    *(0.6078066818811451, -0.26938836509557723, 0.304564385382391, 2.124966359735184, -0.5999536208700209),
    *(-0.36369112636766143, 0.2565268588892268, 0.4718109370439398, 0.15421343775880297),
]


def test_an_isolated_minimum_of_a_network_with_decay() -> None:
    loss = xor_network(2, 0.03)
    x = np.array(N1)
    assert np.linalg.norm(sd.Flow(loss, sd.SAM(4.0))(x)) < 1e-12
    for lr, radius in ((0.02, 0.9954377643), (0.05, 0.98859), (0.07, 0.98403), (0.08, 1.172)):
        test = sd.local_attraction(sd.Map(loss, sd.SAM(4.0), lr=lr), x)
        assert test.multiplier == pytest.approx(radius, abs=1e-8 if lr == 0.02 else 6e-4)
        assert test.attracting == (radius < 1)
    assert test.lr_max == pytest.approx(0.0736679, abs=1e-7)
    assert (test.eigenvalues.real[0], test.eigenvalues.real[-1]) == pytest.approx(
        (0.22811178, 27.14887186), abs=1e-7
    )
    assert test.gradient_norm == pytest.approx(0.1865418199, abs=1e-9)
    assert (test.endpoint_kind, test.tangent_dimension) == ("minimum", 0)
    assert test.residual < 1e-12


def test_a_saddle_as_endpoint_and_complex_eigenvalues() -> None:
    test = sd.local_attraction(sd.Flow(xor_network(2, 0.0), sd.SAM(1.0)), N2)
    values = test.eigenvalues[np.argsort(np.abs(test.eigenvalues))]
    np.testing.assert_allclose(np.abs(values[:4]), 0, atol=1e-6)
    expected = [0.527353, 1.251675 - 1.490941j, 1.251675 + 1.490941j, 7.071759, 54.911689]
    np.testing.assert_allclose(np.sort_complex(values[4:]), expected, atol=2e-5)
    assert test.gradient_norm == pytest.approx(0.0491608122, abs=1e-8)
    assert np.linalg.eigvalsh(xor_network(2, 0.0).hessian(test.endpoint)).min() == pytest.approx(
        -0.37, abs=5e-3
    )
    assert test.lr_max == pytest.approx(2 / 54.911689, rel=1e-6)


def test_a_manifold_of_zero_loss() -> None:
    loss = xor_network(3, 0.0)
    test = sd.local_attraction(sd.Flow(loss, sd.SAM(4.0)), N3)
    assert test.tangent_dimension == 9
    np.testing.assert_allclose(
        test.eigenvalues.real[-4:], [1.52880579, 6.08985601, 12.60861759, 42.74013733], atol=1e-6
    )
    assert float(loss.value(test.endpoint)) < 1e-20
    assert float(loss.value(test.x)) == pytest.approx(0.450864, abs=1e-6)
    assert test.lr_max == pytest.approx(2 / 42.74013733, rel=1e-6)
