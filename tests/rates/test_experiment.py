"""Convergence experiments against exact limit sets, laws and rates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.rates import observation


def sine(rho: float = 1.0) -> sd.Landscape:
    """A smooth loss on which SAM of this radius converges to points that are not stationary."""
    return sd.Landscape(
        lambda x: 9 * rho**2 / (25 * np.pi**2) * torch.sin(5 * np.pi / (3 * rho) * x[0]), dim=1, name="sine"
    )


def centres(share: int = 7, a: float = 1.0) -> sd.FiniteSum:
    """(x - xi)^2/2 with xi = a for `share` of ten samples, else -a."""
    return sd.FiniteSum(lambda w, s: (w[0] - s) ** 2 / 2, [a] * share + [-a] * (10 - share), dim=1)


@pytest.mark.parametrize(
    ("lam", "amplitude", "loss"), [(0.25, 0.02, 0.002), (0.5, 1 / 30, 0.00555556), (1.0, 0.05, 0.0125)]
)
def test_unified_sam_ends_on_the_cycle_of_the_top_eigenvector(
    lam: float, amplitude: float, loss: float
) -> None:
    quadratic = sd.landscapes.quadratic(np.diag([1.0, 3.0, 10.0]))
    result = sd.convergence(sd.Map(quadratic, sd.UnifiedSAM(0.05, lam), lr=0.1), [1.0, -2.0, 0.5], 3000)
    (limit,) = result.limit_sets()
    assert (limit.kind, limit.period, limit.share) == ("cycle", 2, 1.0)
    assert np.isclose(limit.extent, amplitude, rtol=1e-6)
    assert np.isclose(result.plateau().value, loss, rtol=1e-6)
    np.testing.assert_allclose(result.final[0, 0, :2], 0, atol=1e-12)


def test_scaling_of_the_deterministic_plateau() -> None:
    """f on the 2-cycle is c^2/2 with c = lr rho/(2 - lr): the square of rho exactly, of lr nearly."""
    system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.SAM(0.1), lr=0.1)
    by_rho = sd.convergence(system, [1.0], 2000, parameters={"rho": [0.05, 0.1, 0.2, 0.4]})
    assert by_rho.scaling("rho").value == pytest.approx(2, abs=1e-9)
    rates = np.geomspace(0.01, 0.1, 5)
    by_lr = sd.convergence(system, [1.0], 20_000, parameters={"lr": rates})
    assert by_lr.scaling("lr").value == pytest.approx(2.04, abs=0.01)
    exact = (rates * 0.1 / (2 - rates)) ** 2 / 2
    np.testing.assert_allclose([by_lr.plateau(setting=i).value for i in range(5)], exact, rtol=1e-6)


@pytest.mark.parametrize("lr", [0.1, 0.5, 1.0, 1.9])
def test_sine_traps_sam_away_from_stationary_points(lr: float) -> None:
    starts = np.random.default_rng(0).uniform(-0.6, 0.6, (1000, 1))
    system = sd.Map(sine(), sd.SAM(1.0), lr=lr)
    result = sd.convergence(system, starts, 600, 1000, minimum=[[-0.3], [0.9]])
    sets = result.limit_sets()
    assert {s.kind for s in sets} == {"fixed point"}
    phase = np.mod([s.centre[0] for s in sets], 1.2)
    assert np.abs(phase[:, None] - [[0.7, 1.1]]).min(axis=1).max() < 1e-7
    np.testing.assert_allclose(result.curves("gradient_norm")[-1] ** 2, 0.0273567195834, atol=1e-8)


def test_sine_beyond_the_largest_rate_is_not_a_fixed_point() -> None:
    starts = np.random.default_rng(0).uniform(-0.6, 0.6, (300, 1))
    result = sd.convergence(sd.Map(sine(), sd.SAM(1.0), lr=2.1), starts, 600, 300, minimum=[[-0.3], [0.9]])
    assert "fixed point" not in {s.kind for s in result.limit_sets()}


def test_kinds_of_limit_sets() -> None:
    slow = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=1e-3)
    assert sd.convergence(slow, [1.0], 100).limit_sets()[0].kind == "moving"
    assert sd.convergence(slow, [0.0], 100).limit_sets()[0].kind == "fixed point"
    fast = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=3.0)
    assert sd.convergence(fast, [1.0], 3000).limit_sets()[0].kind == "diverged"
    # under SAM a maximum holds the iterates in a bounded chaotic set
    cap = sd.Landscape(lambda w: -(w[0] ** 2) / 2, dim=1)
    trapped = sd.convergence(sd.Map(cap, sd.SAM(0.5), lr=0.2), [0.04], 2000, minimum=[0.0])
    (limit,) = trapped.limit_sets()
    assert limit.kind == "bounded set"
    assert limit.extent <= 0.2


@pytest.mark.parametrize("noise", [None, sd.GaussianNoise(1.0)])
def test_what_grows_until_distances_overflow_has_diverged(noise: Any) -> None:
    step = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.SAM(0.1), lr=5.0, noise=noise)  # times -9 a step
    result = sd.convergence(step, [1.0], n_steps=200, n_paths=3)
    assert np.isfinite(result.final).all()
    assert [limit.kind for limit in result.limit_sets()] == ["diverged"]


def test_a_cycle_on_its_way_is_moving() -> None:
    """Hops across a valley whose floor point drifts, by a thousandth of a hop and less in a period."""
    valley = sd.Landscape(lambda w: (1 + 0.5 * w[1]) * w[0] ** 2 / 2, dim=2)
    for rho in (0.02, 1e-3):
        path = sd.convergence(sd.Map(valley, sd.SAM(rho), lr=0.1), [rho / 20, 1.0], 2000, minimum=[0.0, 0.0])
        assert path.limit_sets()[0].kind == "moving"
    flat = sd.Map(sd.landscapes.quadratic(np.diag([1.0, 1e-3])), sd.SAM(0.1), lr=0.1)
    assert sd.convergence(flat, [1.0, 1.0], 2000).limit_sets()[0].kind == "moving"
    few = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.5)
    assert sd.convergence(few, [1.0], 10).limit_sets()[0].kind == "moving"


@pytest.mark.parametrize("period", range(2, 17))
def test_cycles_of_every_period_are_cycles(period: int) -> None:
    """Rotations by a fraction of a turn, as a map with a loss: they rise for most of a period."""
    angle = 2 * np.pi / period
    turn = torch.tensor(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float64
    )
    window = [np.array([1.0, 0.5])]
    for _ in range(64):
        window.append(turn.numpy() @ window[-1])
    x = np.array(window)[:, None, :]
    loss = sd.landscapes.quadratic(np.eye(2))
    curves = {q: np.full((1, 1, 1), np.nan) for q in ("gap", "gradient_norm", "distance")}
    at = np.arange(65)
    watcher = observation.Watcher(
        loss, (np.zeros((1, 2)), 0.0), at[-1:], at, np.zeros(1, int), np.zeros(1, int), curves
    )
    for record in range(65):
        watcher(record, slice(0, 1), x[record])
    kind, found, centre, extent = watcher.limit_sets(False)
    assert (kind[0], found[0]) == (1, period)
    np.testing.assert_allclose(centre[0], 0, atol=1e-12)
    assert extent[0] == pytest.approx(np.hypot(1.0, 0.5))


@pytest.mark.parametrize("probe", ["same", "independent"])
@pytest.mark.parametrize("rho", [0.1, 0.3])
def test_floor_of_stochastic_sam(probe: str, rho: float) -> None:
    """Two centres: the mean settles at (2p - 1)(1 + rho), whichever batch perturbs; the variance differs."""
    lr = 0.01
    system = sd.Map(centres(), sd.SAM(rho), lr=lr, noise=sd.Minibatch(1, probe=probe))
    result = sd.convergence(system, [0.4 * (1 + rho)], 1500, 1500, times=[1500], minimum=[0.4], seed=1)
    x = result.final[0, :, 0]
    assert abs(x.mean() - 0.4 * (1 + rho)) < 4 * x.std(ddof=1) / math.sqrt(1500)
    kick = (1 + rho) ** 2 if probe == "same" else 1 + rho**2
    variance = lr * kick * 0.84 / (2 - lr)
    assert abs(x.var(ddof=1) / variance - 1) < 4 * math.sqrt(2 / 1500)


def test_theorem_gaps_at_the_largest_rate() -> None:
    """1-D, mu = L = 1, lam = 1: the true gap is of order rho^2, where the theorem's is of order rho."""
    for rho, gap in ((0.1, 4.2144e-4), (0.05, 1.21271e-4), (0.0125, 8.3948e-6)):
        system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.SAM(rho), lr=(1 - rho) / 2)
        assert sd.convergence(system, [1.0], 500).plateau().value == pytest.approx(gap, rel=2e-5)


def test_rates() -> None:
    gd = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.1)
    result = sd.convergence(gd, [1.0], 200)
    assert result.rate(between=(0, 100)).value == pytest.approx(-2 * math.log(0.9), rel=1e-9)
    # a power: lr_t = 1/(t + 2) gives x_t = x_0/(t + 1)
    falling = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=lambda t: 1 / (t + 2))
    assert sd.convergence(falling, [1.0], 5000).rate(law="power").value == pytest.approx(2, abs=2e-3)


def test_rate_of_stochastic_descent_is_that_of_the_second_moment() -> None:
    system = sd.Map(problems.s4(), sd.USAM(0.05), lr=0.05, noise=sd.Minibatch(1))
    radius = sd.mean_square_stability(system).spectral_radius
    result = sd.convergence(system, [1.0, 1.0], 40, 4000, times=range(41))
    estimate = result.rate(between=(10, 40))
    assert estimate.standard_error < 0.1
    assert abs(estimate.value + math.log(radius)) < 4 * estimate.standard_error + 0.02


def test_every_loss_of_a_sweep_has_its_own_minimiser() -> None:
    loss = sd.FiniteSum(lambda w, s, at: (w[0] - at - s) ** 2 / 2, [-1.0, 1.0], dim=1, parameters={"at": 0.0})
    result = sd.convergence(sd.Map(loss, sd.GD(), lr=0.5), [5.0], 200, parameters={"at": [0.0, 3.0]})
    assert result.minimisers.tolist() == [[0.0]]
    np.testing.assert_allclose(result.distance[:, -1, 0], 0, atol=1e-12)
    np.testing.assert_allclose(result.gap[:, 0, 0], [12.5, 2.0])


def test_gaps_of_least_squares_have_no_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there are too many numbers for a list of Hessians."""
    monkeypatch.setattr("samdyn.landscapes.sampled_landscape.DETECT_LIMIT", 0)
    loss = sd.FiniteSum.least_squares([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], [1.0, 0.5, 3.0])
    result = sd.convergence(sd.Map(loss, sd.GD(), lr=0.5), [4.0, 4.0], 60)
    x = result.final[0, 0] - loss.minimum().x
    assert 0 < result.gap[0, -1, 0] < 1e-14
    assert result.gap[0, -1, 0] == pytest.approx(x @ loss.hessian(x) @ x / 2, rel=1e-9)


def test_settings_share_random_numbers_and_do_not_disturb_each_other() -> None:
    system = sd.Map(problems.r6(), sd.UnifiedSAM(0.1, 0.5), lr=0.01, noise=sd.Minibatch(1))
    sweep = {"rho": [0.0, 0.1], "lam": [0.0, 1.0], "batch_size": [1, 2], "momentum": [0.0, 0.5], "lr": [0.01]}
    result = sd.convergence(system, problems.R6_START, 50, 7, parameters=sweep)
    assert len(result.settings) == 16
    for i in (0, 5, 10, 15):
        alone = sd.convergence(system.with_parameters(**result.settings[i]), problems.R6_START, 50, 7)
        np.testing.assert_allclose(alone.final[0], result.final[i], rtol=1e-12)
        np.testing.assert_allclose(alone.gap[0], result.gap[i], rtol=1e-9)


def test_schedules_can_be_swept() -> None:
    system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.SAM(0.5), lr=0.1)
    sweep = {"rho": [0.5, sd.schedules.PowerDecay(0.5)]}
    result = sd.convergence(system, [1.0], 200, parameters=sweep)
    np.testing.assert_allclose(result.gap[:, -1, 0], [3.4626e-4, 1.727e-6], rtol=1e-3)
    assert "PowerDecay" in repr(result)
    with pytest.raises(ValueError, match="parameter must be a number that was swept"):
        result.scaling("rho")


def test_curves_are_those_of_the_trajectory() -> None:
    system = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.01, momentum=0.5, noise=sd.Minibatch(2))
    result = sd.convergence(system, problems.R6_START, 30, 5, times=[0, 10, 20, 30], seed=8)
    path = sd.trajectory(system, np.tile(problems.R6_START, (5, 1)), n_steps=30, save_every=10, seed=8)
    loss = problems.r6()
    np.testing.assert_allclose(result.gap[0], loss.value(path) - loss.minimum().value, atol=1e-12)
    np.testing.assert_allclose(
        result.gradient_norm[0], np.linalg.norm(loss.gradient(path), axis=-1), rtol=1e-12
    )
    np.testing.assert_allclose(
        result.distance[0], np.linalg.norm(path - loss.minimum().x, axis=-1), rtol=1e-12
    )


def test_tiles_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    system = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.01, noise=sd.Minibatch(1))
    whole = sd.convergence(system, problems.R6_START, 100, 600)
    monkeypatch.setattr("samdyn.dynamics.driver.TILE_VALUES", 1)
    monkeypatch.setattr(observation, "BUFFER_VALUES", 1)
    parts = sd.convergence(system, problems.R6_START, 100, 600)
    for name in ("gap", "distance", "final", "centre", "extent", "kind"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)


def test_gaussian_noise_and_diffusion() -> None:
    quadratic, std, lr = sd.landscapes.quadratic([[2.0]]), 0.5, 0.1
    noise = sd.GaussianNoise(std)
    sgd = sd.convergence(sd.Map(quadratic, sd.GD(), lr=lr, noise=noise), [0.0], 400, 400)
    exact = lr * std**2 / (2 * 2 - lr * 4)  # E f of the discrete chain: lambda/2 var
    for result, expected in (
        (sgd, exact),
        (sd.convergence(sd.Diffusion(quadratic, sd.GD(), lr=lr, noise=noise), [0.0], 400, 400), exact),
    ):
        estimate = result.plateau()
        assert abs(estimate.value - expected) < 4 * estimate.standard_error


def test_default_minimisers() -> None:
    beale = sd.convergence(sd.Map(sd.landscapes.beale(), sd.GD(), lr=1e-3), [1.0, 1.0], 10)
    np.testing.assert_allclose(beale.minimisers, [[3.0, 0.5]])
    bare = sd.Landscape(lambda w: torch.cosh(w[0] - 1), dim=1)
    found = sd.convergence(sd.Map(bare, sd.GD(), lr=0.1), [0.0], 10)
    np.testing.assert_allclose(found.minimisers, [[1.0]], atol=1e-6)
    assert found.infimum == pytest.approx(1)


def test_save_and_load(tmp_path: Path) -> None:
    system = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.01, noise=sd.Minibatch(1))
    result = sd.convergence(system, problems.R6_START, 20, 3, parameters={"rho": [0.1, 0.2]}, record=["gap"])
    result.save(tmp_path / "result.npz")
    again = sd.rates.Convergence.load(tmp_path / "result.npz")
    np.testing.assert_array_equal(again.gap, result.gap)
    assert repr(again) == repr(result)
    assert again.settings == [{"rho": 0.1}, {"rho": 0.2}]
    assert "<table>" in again._repr_html_()
    with pytest.raises(ValueError, match="one that was recorded"):
        result.mean("distance")


GD_SYSTEM = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"system": 3}, TypeError, "system must be a Map or a Diffusion"),
        ({"system": sd.Map.from_function(lambda w: w / 2, dim=1)}, ValueError, "made from a loss"),
        ({"x0": [0.0, 1.0]}, ValueError, "x0 must have shape"),
        ({"x0": [[0.0], [1.0]], "n_paths": 3}, ValueError, r"x0 must have shape \(1,\) or \(3, 1\)"),
        ({"n_steps": 0}, ValueError, "n_steps must be"),
        ({"n_paths": 0}, ValueError, "n_paths must be"),
        ({"record": ["loss"]}, ValueError, "record must hold"),
        ({"parameters": {"rho": [0.1]}}, ValueError, "parameters must name some of the system"),
        ({"record": 3}, TypeError, "record must be a sequence of texts"),
        ({"record": "gap"}, TypeError, "record must be a sequence of texts"),
        ({"parameters": ["lr"]}, TypeError, "parameters must be a dict"),
        ({"parameters": {"lr": 0.1}}, ValueError, "parameters must hold a sequence of values"),
        ({"parameters": {"lr": []}}, ValueError, "parameters must hold a sequence of values"),
        ({"parameters": {"lr": [0.1, -0.1]}}, ValueError, "lr must be"),
        ({"times": [0, 11]}, ValueError, "times must be steps"),
        ({"times": 5}, TypeError, "times must be a sequence of whole numbers"),
        ({"times": "05"}, TypeError, "times must be a sequence of whole numbers"),
        ({"minimum": [0.0, 0.0]}, ValueError, "minimum must have shape"),
        ({"seed": -1}, ValueError, "seed must be"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    call = {"system": GD_SYSTEM, "x0": [1.0], "n_steps": 10, **arguments}
    with pytest.raises(error, match=message):
        sd.convergence(**call)


def test_bad_questions() -> None:
    result = sd.convergence(GD_SYSTEM, [1.0], 10)
    for call, message in (
        (lambda: result.mean("loss"), "quantity must be one of"),
        (lambda: result.mean(setting=1), "setting must be"),
        (lambda: result.band(level=2.0), "level must be"),
        (lambda: result.plateau(tail=0.0), "tail must be"),
        (lambda: result.rate(law="log"), "law must be"),
        (lambda: result.rate(between=5), "between must be a pair"),  # type: ignore[arg-type]
        (lambda: result.rate(between=(5, 1)), "between must be a pair"),
        (lambda: result.mean(setting=0.5), "setting must be"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=message):
            call()
