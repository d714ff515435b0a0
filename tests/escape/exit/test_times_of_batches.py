"""Exit times of the real algorithm: steps on drawn batches, beside a plain loop in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd

# a double well whose samples pull to either side, and a saddle of two coordinates
LINE_DATA = [-0.9, -0.2, 0.0, 0.3, 0.8]
PLANE_DATA = [[0.6, 0.3], [-0.2, -0.5], [-0.4, 0.2]]
LINE = sd.FiniteSum(
    lambda w, s: (w[0] ** 2 - 1) ** 2 / 4 + s * w[0],
    LINE_DATA,
    dim=1,
    box=[(-2, 2)],
    name="line",
)
PLANE = sd.FiniteSum(
    lambda w, s: (w[0] ** 2 - w[1] ** 2) / 2 + w @ s + w[0] ** 4 / 4,
    PLANE_DATA,
    dim=2,
    name="plane",
)
REGIONS = {"line": sd.HalfSpace([1.0], 0.1), "plane": sd.Ball([0.0, 0.0], 0.8)}
STARTS = {"line": [-0.9], "plane": [0.1, 0.05]}


def gradient_of(loss: sd.FiniteSum) -> Callable[[Any, Any], Any]:
    """Gradients (n,) by hand at points x (n, dim) for samples (n, ...)."""
    if loss is LINE:
        return lambda x, s: x * (x**2 - 1) + s[:, None]

    def plane(x: Any, s: Any) -> Any:
        return np.stack([x[:, 0] + x[:, 0] ** 3 + s[:, 0], -x[:, 1] + s[:, 1]], axis=1)

    return plane


def by_hand(loss: sd.FiniteSum, rho: float, noise: sd.Minibatch, lr: float, n: int, t_max: int) -> Any:
    """Exit steps of n paths of SAM, with numpy's own random numbers."""
    rng, gradient = np.random.default_rng(11), gradient_of(loss)
    data = np.asarray(
        [-0.9, -0.2, 0.0, 0.3, 0.8] if loss is LINE else [[0.6, 0.3], [-0.2, -0.5], [-0.4, 0.2]]
    )
    count, size = len(data), noise.batch_size
    region = REGIONS[loss.name]
    x, exits = np.tile(np.array(STARTS[loss.name]), (n, 1)), np.full(n, t_max)

    def batch() -> Any:
        if noise.sampling == "with replacement":
            return rng.integers(count, size=(n, size))
        return np.argsort(rng.random((n, count)), axis=1)[:, :size]

    def mean(y: Any, index: Any) -> Any:
        return sum(gradient(y, data[index[:, k]]) for k in range(index.shape[1])) / index.shape[1]

    inside = np.ones(n, dtype=bool)
    for step in range(t_max):
        chosen = batch()
        up = {"same": chosen, "independent": batch(), "full": np.tile(np.arange(count), (n, 1))}[noise.probe]
        g = mean(x, up)
        size_of = np.linalg.norm(g, axis=1, keepdims=True)
        y = x + rho * np.divide(g, size_of, out=np.zeros_like(g), where=size_of > 0)
        x = x - lr * mean(y, chosen)
        left = inside & ~region.contains(x)
        exits[left] = step + 1
        inside &= ~left
    return exits


CASES = [
    (LINE, 0.3, sd.Minibatch(1)),
    (LINE, 0.3, sd.Minibatch(1, probe="full")),
    (LINE, 0.2, sd.Minibatch(2, probe="independent", sampling="with replacement")),
    (PLANE, 0.2, sd.Minibatch(2)),
    (PLANE, 0.2, sd.Minibatch(2, probe="full", sampling="with replacement")),
    (PLANE, 0.2, sd.Minibatch(1, probe="independent")),
    (PLANE, 0.2, sd.Minibatch(3, sampling="with replacement")),
]


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(("loss", "rho", "noise"), CASES, ids=str)
def test_mean_exit_times_are_those_of_a_plain_loop(
    loss: sd.FiniteSum, rho: float, noise: sd.Minibatch, compile: bool
) -> None:
    n, t_max, lr = 4000, 400, 0.3 if loss is LINE else 0.1
    system = sd.Map(loss, sd.SAM(rho), lr=lr, noise=noise)
    region = REGIONS[loss.name]
    result = sd.exit_times(system, STARTS[loss.name], region, n, t_max=t_max, seed=3, compile=compile)
    expected = by_hand(loss, rho, noise, lr, n, t_max)
    got = np.where(result.exited, result.times, t_max)
    error = np.sqrt((got.var() + expected.var()) / n)
    assert abs(got.mean() - expected.mean()) < 4 * error
    assert np.mean(expected < t_max) > 0.02


def test_the_whole_batch_has_no_noise() -> None:
    system = sd.Map(PLANE, sd.SAM(0.02), lr=0.1, noise=sd.Minibatch(3))
    quiet = sd.Map(PLANE, sd.SAM(0.02), lr=0.1)
    one, other = (
        sd.exit_times(s, [0.1, 0.05], REGIONS["plane"], 3, t_max=300).times for s in (system, quiet)
    )
    np.testing.assert_array_equal(one, other)
    assert np.isfinite(one).all()


def test_exits_are_those_of_the_trajectories() -> None:
    system = sd.Map(LINE, sd.SAM(0.3), lr=0.3, noise=sd.Minibatch(2))
    result = sd.exit_times(system, [-0.9], REGIONS["line"], 50, t_max=200, seed=5)
    path = sd.trajectory(system, np.full((50, 1), -0.9), n_steps=200, seed=5)[..., 0]
    outside = path >= 0.1
    first = np.where(outside.any(axis=0), outside.argmax(axis=0), 0)
    np.testing.assert_array_equal(np.where(result.exited, result.times, 0), first)


def test_a_network_of_some_thousand_parameters() -> None:
    """Too large to trace: samples enter by their index, and the step goes through vmap."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((20, 30)), rng.standard_normal(20)

    def component(w: Any, sample: Any) -> Any:
        x, y = sample
        hidden = torch.tanh(w[:3000].reshape(100, 30) @ x)
        return (hidden @ w[3000:] - y) ** 2 / 2

    loss = sd.FiniteSum(component, (inputs, targets), dim=3100)
    system = sd.Map(loss, sd.SAM(0.05), lr=0.02, noise=sd.Minibatch(4))
    start = rng.standard_normal(3100) / 10
    result = sd.exit_times(system, start, sd.Ball(start, 0.5), 6, t_max=40, seed=1)
    path = sd.trajectory(system, np.tile(start, (6, 1)), n_steps=40, seed=1)
    outside = np.linalg.norm(path - start, axis=-1) >= 0.5
    assert outside.any()
    first = np.where(outside.any(axis=0), outside.argmax(axis=0), 0)
    np.testing.assert_array_equal(np.where(result.exited, result.times, 0), first)


def test_sweeps_over_radius_and_batch_size() -> None:
    system = sd.Map(LINE, sd.SAM(0.3), lr=0.3, noise=sd.Minibatch(1))
    near = sd.HalfSpace([1.0], -0.7)
    grid = {"rho": [0.0, 0.1], "batch_size": [1, 2]}
    sweep = sd.exit_time_sweep(system, [-0.9], near, grid, 300, t_max=1000, seed=2)
    assert sweep.shape == (2, 2)
    for i, rho in enumerate(grid["rho"]):
        for j, size in enumerate(grid["batch_size"]):
            one = sd.Map(LINE, sd.SAM(rho), lr=0.3, noise=sd.Minibatch(int(size)))
            alone = sd.exit_times(one, [-0.9], near, 300, t_max=1000, seed=2)
            np.testing.assert_array_equal(sweep.results[2 * i + j].times, alone.times)


def test_basins_of_single_samples() -> None:
    """The share of the left well from a cell, beside that of long trajectories."""
    system = sd.Map(LINE, sd.GD(), lr=0.02, noise=sd.Minibatch(1))
    result = sd.basins(system, [(-2, 2)], resolution=21, n_paths=400, seed=4)
    assert [a.name for a in result.attractors.values()] == ["minimum (-1)", "minimum (1)"]
    cell = 10  # about 0
    x = result.grid.points(np.array([cell]))[0]
    end = sd.trajectory(system, np.tile(x, (4000, 1)), n_steps=1000, save_every=1000, seed=9)[-1, :, 0]
    share, expected = float(result.probabilities[cell, 0]), float(np.mean(end < 0))
    assert 0.02 < expected < 0.98
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) * (1 / 400 + 1 / 4000))
