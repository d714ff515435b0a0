"""The drive of many copies: every kind of step is the algorithm; paths depend on (seed, path, step) alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import problems
import pytest
import torch

import samdyn as sd
from samdyn.dynamics import batch_step, draws
from samdyn.dynamics import driver as driving
from samdyn.dynamics.backends.squares_step import SquaresStep
from samdyn.dynamics.backends.traced_step import TracedStep
from samdyn.dynamics.driver import drive
from samdyn.dynamics.observers import Nothing
from samdyn.numerics.random_arrays import minibatch_words


def end(system: Any, n_steps: int, n: int = 40, **more: Any) -> np.ndarray:
    state = np.zeros((n, system.state_dim))
    state[:, : system.dim] = problems.R6_START
    return drive(system, state, n_steps, Nothing(), **more)


def by_hand(system: sd.Map, n_steps: int, n: int, seed: int) -> np.ndarray:
    """Steps of the algorithm, one replica and one sample at a time."""
    loss, noise, rule = system.landscape, system.noise, system.rule
    assert isinstance(loss, sd.FiniteSum)
    assert isinstance(noise, sd.Minibatch)
    assert rule is not None
    sampler = noise.sampler(loss)
    per = sampler.n_draws
    finals = []
    for path in range(n):
        x, v = torch.tensor(problems.R6_START, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
        for step in range(n_steps):
            words = minibatch_words(seed, [path], step // 4, 2 * per)[:, step % 4]
            first = sampler.draw(words[:per], 1)[:, 0]
            second = sampler.draw(words[per:], 1)[:, 0]

            def gradient(y: Any, batch: Any) -> Any:
                weighted = sampler.weights[batch][:, None] * loss._gradients(y.numpy())[batch]
                return torch.from_numpy(weighted.mean(axis=0))

            parts = np.split(first, len(first) // (noise.micro_batch or len(first)))
            directions = []
            for part in parts:
                ascent = {"same": part, "independent": second, "full": np.arange(6)}[noise.probe]
                more: dict[str, Any] = {}
                if rule.uses_full_gradient:
                    more["full_gradient"] = torch.from_numpy(loss.gradient(x.numpy()))
                if noise.probe == "full":
                    up = lambda y: torch.from_numpy(loss.gradient(y.numpy()))  # noqa: E731
                else:
                    up = lambda y, batch=ascent: gradient(y, batch)  # noqa: E731
                down = lambda y, part=part: gradient(y, part)  # noqa: E731
                update = rule.update(x, {"last": v}, up, down, **rule.coefficients(), **more)
                directions.append(update.direction)
            v = system.momentum * v + torch.stack(directions).mean(dim=0)
            x = x - system.lr * v  # type: ignore[operator]
        finals.append(x.numpy())
    return np.array(finals)


RULES = [
    sd.GD(),
    sd.USAM(0.05),
    sd.SAM(0.1),
    sd.UnifiedSAM(0.1, 0.5),
    sd.DNSAM(0.1),
    sd.Extragradient(0.05),
    sd.PastExtragradient(0.05),
]
BATCHES = [
    sd.Minibatch(1),
    sd.Minibatch(1, sampling="importance"),
    sd.Minibatch(2, probe="independent", sampling="with replacement"),
    sd.Minibatch(3, probe="full"),
    sd.Minibatch(5),
    sd.Minibatch(6),
]


@pytest.mark.parametrize("noise", BATCHES, ids=["1", "importance", "independent", "full", "5", "whole"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_steps_are_the_algorithm(rule: Any, noise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    system = sd.Map(problems.r6(), rule, lr=0.02, noise=noise)
    expected = by_hand(system, 9, 3, seed=5)
    for step in (SquaresStep, TracedStep):
        monkeypatch.setattr(driving, "build_step", lambda system, *_, step=step: step(system))
        np.testing.assert_allclose(end(system, 9, 3, seed=5), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("step", [SquaresStep, TracedStep])
@pytest.mark.parametrize("noise", [BATCHES[0], BATCHES[2]], ids=["same", "independent"])
def test_momentum(step: Any, noise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    system = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.01, momentum=0.9, noise=noise)
    monkeypatch.setattr(driving, "build_step", lambda system, *_: step(system))
    np.testing.assert_allclose(end(system, 9, 3, seed=5), by_hand(system, 9, 3, 5), rtol=1e-10)


def test_micro_batches() -> None:
    system = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.02, noise=sd.Minibatch(4, micro_batch=2))
    np.testing.assert_allclose(end(system, 9, 3, seed=5), by_hand(system, 9, 3, 5), rtol=1e-10)
    apart = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.02, noise=sd.Minibatch(4))
    assert np.abs(end(apart, 9, 3, seed=5) - by_hand(system, 9, 3, 5)).max() > 1e-4


def test_untraceable_components_go_through_vmap(monkeypatch: pytest.MonkeyPatch) -> None:
    system = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.02, noise=sd.Minibatch(2))
    assert TracedStep(system).stepper.traced
    traced = end(system, 9, seed=5)
    monkeypatch.setattr(batch_step, "MAX_TRACED_INPUTS", 0)
    assert not TracedStep(system).stepper.traced
    np.testing.assert_allclose(end(system, 9, seed=5), traced, rtol=1e-11)


def test_large_problems_use_their_squares() -> None:
    rng = np.random.default_rng(0)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((20, 30)), rng.standard_normal(20), ridge=0.1)
    system = sd.Map(loss, sd.SAM(0.1), lr=0.01, noise=sd.Minibatch(1))
    assert isinstance(driving.build_step(system), SquaresStep)
    several = sd.Map(loss, sd.SAM(0.1), lr=0.01, noise=sd.Minibatch(4, probe="independent"))
    assert isinstance(driving.build_step(several), SquaresStep)


def test_rank_one_step() -> None:
    """One Unified SAM step on one sample of least squares, to ten digits."""
    loss = sd.FiniteSum.least_squares([[1.0, -2.0, 0.5]], [0.3])
    system = sd.Map(loss, sd.UnifiedSAM(0.1, 0.3), lr=0.05, noise=sd.Minibatch(1))
    moved = sd.trajectory(system, [0.2, 0.1, -0.4], n_steps=1)[-1]
    np.testing.assert_allclose(moved, [0.2376244318, 0.0247511365, -0.3811877841], atol=5e-11)


def test_paths_do_not_depend_on_tiles_or_length(monkeypatch: pytest.MonkeyPatch) -> None:
    system = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.02, noise=sd.Minibatch(2))
    whole = end(system, 50, 600, seed=9)
    monkeypatch.setattr(driving, "TILE_VALUES", 1)
    monkeypatch.setattr(draws, "CHUNK_VALUES", 1)
    np.testing.assert_array_equal(end(system, 50, 600, seed=9), whole)
    np.testing.assert_array_equal(end(system, 50, 3, seed=9, paths=np.array([7, 0, 599])), whole[[7, 0, 599]])
    assert np.abs(end(system, 50, 600, seed=10) - whole).max() > 1e-3


def test_trajectory_is_the_same_path() -> None:
    system = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.02, noise=sd.Minibatch(1))
    path = sd.trajectory(system, np.tile(problems.R6_START, (5, 1)), n_steps=10, save_every=4, seed=3)
    assert path.shape == (4, 5, 2)
    np.testing.assert_array_equal(path[-1], end(system, 10, 5, seed=3))
    np.testing.assert_array_equal(path[2], end(system, 8, 5, seed=3))


def test_schedules_and_gaussian_noise_are_those_of_trajectory() -> None:
    rule = sd.SAM(sd.schedules.PowerDecay(0.3))
    system = sd.Map(
        sd.landscapes.beale(),
        rule,
        lr=sd.schedules.PowerDecay(1e-3),
        momentum=0.5,
        noise=sd.GaussianNoise(0.5, probe="same"),
    )
    start = np.tile([1.0, 1.0], (6, 1))
    state = np.concatenate([start, np.zeros_like(start)], axis=1)
    got = drive(system, state, 33, Nothing(), seed=2)
    np.testing.assert_allclose(got, sd.trajectory(system, start, n_steps=33, seed=2)[-1], rtol=1e-12)


def test_diffusion_is_that_of_trajectory() -> None:
    system = sd.Diffusion(sd.landscapes.beale(), sd.USAM(0.01), lr=1e-3, noise=sd.GaussianNoise(0.5))
    start = np.tile([1.0, 1.0], (6, 1))
    got = drive(system, start, 25, Nothing(), seed=2)
    path = sd.trajectory(system, start, t_max=0.025, seed=2)
    np.testing.assert_allclose(got, path[-1], rtol=1e-12)
