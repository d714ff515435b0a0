"""Trajectories: what is stored, on which clock, with which noise; bad input."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.dynamics import draws
from samdyn.numerics.random import standard_normal

module = importlib.import_module("samdyn.dynamics.trajectories")
BEALE = sd.landscapes.beale()
GD = sd.Map(BEALE, sd.GD(), lr=1e-3)


@pytest.mark.parametrize(
    ("n_steps", "every", "stored"),
    [(10, 1, range(11)), (10, 3, (0, 3, 6, 9, 10)), (9, 3, (0, 3, 6, 9)), (5, 100, (0, 5)), (0, 1, (0,))],
)
@pytest.mark.parametrize("n", [1, 40])
def test_stored_steps_of_a_map(n_steps: int, every: int, stored: Any, n: int) -> None:
    x0 = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    whole = sd.trajectory(GD, x0, n_steps=10)
    part = sd.trajectory(GD, x0, n_steps=n_steps, save_every=every)
    np.testing.assert_array_equal(part, whole[list(stored)])


def test_one_path_and_many_are_the_same() -> None:
    x0 = np.random.default_rng(1).uniform(-1, 1, (50, 2))
    for rule in (sd.GD(), sd.SAM(0.1), sd.USAM(0.01)):
        step = sd.Map(BEALE, rule, lr=1e-3, momentum=0.5)
        many = sd.trajectory(step, x0, n_steps=30)
        np.testing.assert_allclose(sd.trajectory(step, x0[7], n_steps=30), many[:, 7], rtol=1e-10)
        np.testing.assert_allclose(
            sd.trajectory(step, x0.reshape(5, 10, 2), n_steps=30).reshape(31, 50, 2), many, rtol=1e-10
        )


def test_steps_are_those_of_the_map() -> None:
    for system in (GD, sd.Map(problems.network(), sd.SAM(0.1), lr=0.05)):
        x = np.full(system.dim, 0.3)
        path = sd.trajectory(system, x, n_steps=20)
        for k in range(20):
            x = system(x)
            np.testing.assert_allclose(path[k + 1], x, rtol=1e-11)


def test_a_diverging_path_goes_on_as_inf_or_nan() -> None:
    loss = sd.Landscape(lambda w: -(w[0] ** 4) / 4, dim=1)
    path = sd.trajectory(sd.Map(loss, sd.GD(), lr=0.1), [[-4.0], [0.1]], n_steps=50)
    assert not np.isfinite(path[-1, 0, 0])
    assert np.isfinite(path[:, 1]).all()
    flow = sd.trajectory(sd.Flow(loss, sd.GD()), [[4.0], [0.1]], t_max=1.0)  # blows up at t = 1/32
    assert not np.isfinite(flow[-1, 0, 0])
    assert flow[-1, 1, 0] == pytest.approx(0.1 / math.sqrt(1 - 0.02), rel=1e-6)


def test_the_noise_of_a_map() -> None:
    step = sd.Map(
        sd.landscapes.quadratic([[1.0, 0.0], [0.0, 2.0]]), sd.GD(), lr=0.1, noise=sd.GaussianNoise([0.5, 2.0])
    )
    path = sd.trajectory(step, np.zeros((7, 2)), n_steps=25, seed=9)
    x = np.zeros((7, 2))
    for k in range(25):
        z = standard_normal(9, np.arange(7), k, 2)
        x = x - 0.1 * (x * [1.0, 2.0] + np.array([0.5, 2.0]) * z)
        np.testing.assert_allclose(path[k + 1], x, rtol=1e-12, atol=1e-15)


def test_the_noise_of_a_diffusion() -> None:
    sde = sd.Diffusion(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.04, noise=sd.GaussianNoise(3.0))
    path = sd.trajectory(sde, np.ones((5, 1)), t_max=1.0, dt=0.1, seed=9)
    assert path.shape == (11, 5, 1)
    x = np.ones((5, 1))
    for k in range(10):
        x = x - 0.1 * x + math.sqrt(0.1) * 0.2 * 3.0 * standard_normal(9, np.arange(5), k, 1)
        np.testing.assert_allclose(path[k + 1], x, rtol=1e-12)


def test_the_noise_is_drawn_in_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    step = sd.Map(BEALE, sd.SAM(0.1), lr=1e-3, noise=sd.GaussianNoise(1.0))
    whole = sd.trajectory(step, np.ones((4, 2)), n_steps=23, seed=2)
    monkeypatch.setattr(draws, "CHUNK_VALUES", 24)
    np.testing.assert_array_equal(sd.trajectory(step, np.ones((4, 2)), n_steps=23, seed=2), whole)
    other = sd.trajectory(step, np.ones((4, 2)), n_steps=23, seed=3)
    assert (other[1:] != whole[1:]).all()


def test_paths_do_not_depend_on_how_many_there_are() -> None:
    sde = sd.Diffusion(BEALE, sd.SAM(0.1), lr=1e-3, noise=sd.CurvatureNoise(2.0))
    few, many = (sd.trajectory(sde, np.ones((n, 2)), t_max=0.05, seed=2) for n in (10, 60))
    np.testing.assert_allclose(few, many[:, :10], rtol=1e-12)


def test_the_clock_of_a_diffusion() -> None:
    sde = sd.Diffusion(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.1, noise=sd.GaussianNoise(0.0))
    assert len(sd.trajectory(sde, [1.0], t_max=1.0)) == 11  # its lr is the step
    path = sd.trajectory(sde, [1.0], t_max=1.0, dt=0.001)
    assert path[-1, 0] == pytest.approx(math.exp(-1), rel=1e-3)
    assert len(sd.trajectory(sde, [1.0], t_max=1.0, dt=0.3)) == 5


def test_the_stationary_variance_of_a_map() -> None:
    lr, curvature, n = 0.1, 2.0, 4000
    step = sd.Map(sd.landscapes.quadratic([[curvature]]), sd.USAM(0.3), lr=lr, noise=sd.GaussianNoise(1.0))
    end = sd.trajectory(step, np.zeros((n, 1)), n_steps=200, save_every=200, seed=5)[-1, :, 0]
    rate = curvature * (1 + 0.3 * curvature)
    exact = lr / (rate * (2 - lr * rate))
    assert abs(end.var() - exact) < 4 * exact * math.sqrt(2 / n)


def test_a_flow_ends_at_t_max() -> None:
    flow = sd.Flow(sd.landscapes.quadratic([[1.0]]), sd.GD())
    path = sd.trajectory(flow, [1.0], t_max=1.0, dt=0.3)[:, 0]
    np.testing.assert_allclose(path, np.exp([-0.0, -0.3, -0.6, -0.9, -1.0]), rtol=1e-8)
    coarse = sd.trajectory(flow, [1.0], t_max=1.0, dt=0.1, save_every=4)[:, 0]
    np.testing.assert_allclose(coarse, np.exp([-0.0, -0.4, -0.8, -1.0]), rtol=1e-8)


def test_a_normalised_flow_is_held_at_a_saddle_that_traps() -> None:
    path = sd.trajectory(sd.Flow(BEALE, sd.SAM(0.5)), [0.05, 1.05], t_max=1.0, dt=0.01)
    np.testing.assert_allclose(path[-1], problems.BEALE_SADDLE, atol=1e-9)
    assert (path[-1] == path[-2]).all()


def test_a_normalised_flow_does_not_stop_at_a_point_that_does_not_trap() -> None:
    # on (x^2 - 1)^2/4 with rho > 1 the field at 0 points outwards
    path = sd.trajectory(sd.Flow(sd.landscapes.double_well(), sd.SAM(1.2)), [0.01], t_max=5.0)
    assert abs(path[-1, 0]) > 0.1


@pytest.mark.parametrize(
    ("system", "arguments", "error", "match"),
    [
        (BEALE, {"n_steps": 3}, TypeError, "system must be a Map, a Flow or a Diffusion, got Landscape"),
        (GD, {}, ValueError, "n_steps must be given for a Map"),
        (GD, {"t_max": 1.0}, ValueError, "n_steps must be given for a Map"),
        (
            GD,
            {"n_steps": 3, "dt": 0.1},
            ValueError,
            "n_steps must be given for a Map, and neither t_max nor dt",
        ),
        (GD, {"n_steps": -1}, ValueError, "n_steps must be an integer >= 0, got -1"),
        (GD, {"n_steps": 2.5}, ValueError, "n_steps must be an integer >= 0, got 2.5"),
        (GD, {"n_steps": 3, "save_every": 0}, ValueError, "save_every must be an integer >= 1, got 0"),
        (GD, {"n_steps": 3, "seed": -1}, ValueError, "seed must be"),
        (GD, {"n_steps": 3, "x0": [1.0]}, ValueError, r"x0 must have shape \(..., 2\), got shape \(1,\)"),
        (GD, {"n_steps": 3, "x0": [1.0, math.nan]}, ValueError, "x0 must be finite"),
        (GD, {"n_steps": 3, "x0": "start"}, TypeError, "x0 must be an array of points"),
        (sd.Flow(BEALE, sd.GD()), {}, ValueError, "t_max must be given for a Flow, and not n_steps"),
        (sd.Flow(BEALE, sd.GD()), {"n_steps": 3}, ValueError, "t_max must be given for a Flow"),
        (sd.Flow(BEALE, sd.GD()), {"t_max": 0.0}, ValueError, "t_max must be a finite number > 0, got 0.0"),
        (
            sd.Flow(BEALE, sd.GD()),
            {"t_max": math.inf},
            ValueError,
            "t_max must be a finite number > 0, got inf",
        ),
        (
            sd.Flow(BEALE, sd.GD()),
            {"t_max": 1.0, "dt": -0.1},
            ValueError,
            "dt must be a finite number > 0, got -0.1",
        ),
        (sd.Flow(BEALE, sd.GD()), {"t_max": 1.0, "dt": 2.0}, ValueError, "dt must be at most t_max"),
        (
            sd.Diffusion(BEALE, sd.GD(), lr=0.1, noise=sd.GaussianNoise()),
            {"n_steps": 5},
            ValueError,
            "t_max must be given for a Diffusion",
        ),
    ],
)
def test_bad_input(system: Any, arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    options = {"x0": [1.0, 2.0], **arguments}
    with pytest.raises(error, match=match):
        sd.trajectory(system, options.pop("x0"), **options)


def test_a_function_that_cannot_be_traced() -> None:
    matrix = torch.tensor([[2.0, 1.0], [0.0, 3.0]], dtype=torch.float64)
    step = sd.Map.from_function(lambda w: torch.linalg.solve(matrix, w), dim=2)
    path = sd.trajectory(step, [1.0, 1.0], n_steps=3)
    np.testing.assert_allclose(
        path[-1], np.linalg.matrix_power(np.linalg.inv(matrix.numpy()), 3) @ [1.0, 1.0], rtol=1e-12
    )


def test_the_sam_flow_slides_along_a_valley() -> None:
    """The algorithm at a small learning rate is the reference: (1 - w0 w1)^2 / 2 is minimal on a curve."""
    loss = sd.landscapes.uv()
    flow = sd.trajectory(sd.Flow(loss, sd.SAM(0.1)), [1.9, 0.8], t_max=10.0, dt=0.1)[-1]
    algorithm = sd.trajectory(sd.Map(loss, sd.SAM(0.1), lr=2e-3), [1.9, 0.8], n_steps=5001, save_every=1)[
        -2:
    ].mean(0)
    np.testing.assert_allclose(flow, algorithm, atol=3e-3)
    assert abs(flow[0] - 1.77) > 0.05  # it has moved since it reached the valley


def test_the_sam_flow_does_not_grind_to_a_halt_at_a_kink() -> None:
    loss = sd.Landscape(lambda w: w[0].abs() + w[1] ** 2, 2)
    # at the kink from t = 0.3 on
    path = sd.trajectory(sd.Flow(loss, sd.SAM(0.1)), [0.3, 0.8], t_max=0.5, dt=0.1)
    assert np.isfinite(path).all()
    assert abs(path[-1, 0]) < 0.05


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((), ("point", "coordinate")),
        ((3,), ("point", "path", "coordinate")),
        ((4, 3), ("point", "path_0", "path_1", "coordinate")),
    ],
)
def test_axes_of_a_data_set_say_what_they_are(shape: tuple[int, ...], names: tuple[str, ...]) -> None:
    pytest.importorskip("xarray")
    x = sd.trajectory(GD, np.ones((*shape, 2)), n_steps=5).to_xarray()["x"]
    assert x.dims == names
    assert x.shape == (6, *shape, 2)
