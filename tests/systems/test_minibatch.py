"""Batches: how they are drawn, the Gaussian models, and what Minibatch refuses."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import problems
import pytest
import torch
from scipy.linalg import solve_continuous_lyapunov

import samdyn as sd
from samdyn.numerics.random import STREAM_MINIBATCH, path_counter, philox4x32, split_seed
from samdyn.numerics.random_arrays import MAX_DRAWS, minibatch_words
from samdyn.systems import batch_gaussian
from samdyn.systems.batch_samplers import Sampler


def sampler(n: int, size: int, p: Any = None, **more: Any) -> Sampler:
    p = np.full(n, 1 / n) if p is None else np.array(p)
    return Sampler(n, size, more.pop("replacement", False), p, 1 / (n * p), **more)


def draws(one: Sampler, count: int, seed: int = 0) -> np.ndarray:
    words = minibatch_words(seed, np.arange(count), 0, one.n_draws)[:, 0]
    return one.draw(words, count)


def test_words_are_those_of_the_tensor_generator() -> None:
    paths = np.array([0, 5, 2**40 + 3])
    words = minibatch_words(2**33 + 7, paths, 11, 2)
    for k in range(2):
        counter = path_counter(torch.from_numpy(paths), 11, STREAM_MINIBATCH - (k << 16))
        expected = torch.stack(philox4x32(counter, split_seed(2**33 + 7)))
        np.testing.assert_array_equal(words[k].astype(np.int64), expected.numpy())
    with pytest.raises(ValueError, match="at most"):
        minibatch_words(0, paths, 0, MAX_DRAWS + 1)


@pytest.mark.parametrize(
    "one",
    [
        sampler(5, 2),
        sampler(5, 4),
        sampler(5, 3, ordered=True),
        sampler(4, 4, ordered=True),
        sampler(4, 2, [0.1, 0.2, 0.3, 0.4], replacement=True),
        sampler(3, 1, replacement=True),
        sampler(6, 1, [0.01, 0.5, 0.04, 0.2, 0.2, 0.05], replacement=True),
    ],
    ids=["2 of 5", "4 of 5", "ordered", "all, ordered", "alias", "uniform", "alias single"],
)
def test_batches_have_their_law(one: Sampler) -> None:
    count = 200_000
    drawn = draws(one, count).T
    if not one.ordered:
        drawn = np.sort(drawn, axis=1)
    law = one.batches()
    assert law.exact
    assert np.isclose(law.probability.sum(), 1)
    seen = {tuple(row): k for row, k in zip(*np.unique(drawn, axis=0, return_counts=True), strict=True)}
    expected = {tuple(row): p * count for row, p in zip(law.index, law.probability, strict=True)}
    assert set(seen) <= set(expected)
    statistic = sum((seen.get(batch, 0) - e) ** 2 / e for batch, e in expected.items())
    freedom = len(expected) - 1
    assert abs(statistic - freedom) < 4 * math.sqrt(2 * freedom)


def test_alias_table_is_exact() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(37))
    bits, alias = sampler(37, 1, p, replacement=True).alias_table
    share = bits.astype(float) / 2**32
    met = share / 37
    np.add.at(met, alias, (1 - share) / 37)
    np.testing.assert_allclose(met, p, atol=1e-9)


def test_whole_batch_draws_nothing() -> None:
    assert sampler(4, 4).n_draws == 0
    np.testing.assert_array_equal(draws(sampler(4, 4), 2), np.repeat(np.arange(4)[:, None], 2, axis=1))


def test_too_many_batches_are_sampled_and_said_so() -> None:
    law = sampler(30, 10).batches(limit=100)
    assert not law.exact
    assert law.index.shape == (100, 10)
    assert all(len(set(row)) == 10 for row in law.index.tolist())
    assert not sampler(30, 10, replacement=True).batches(limit=100).exact


@pytest.mark.parametrize(
    ("size", "norm", "square"),
    [(1, 1.948649, 5.556573), (2, 1.493601, 2.750682), (3, 1.253044, 1.815384), (6, 0.938130, 0.880087)],
)
def test_smaller_batches_have_larger_gradients(size: int, norm: float, square: float) -> None:
    loss = problems.r6()
    g = loss.sample_gradients(loss.minimum().x + np.array([0.3, -0.2]))
    law = sd.Minibatch(size).sampler(loss).batches()
    lengths = np.linalg.norm((law.weights[:, :, None] * g[law.index]).mean(axis=1), axis=1)
    assert np.isclose(law.probability @ lengths, norm, atol=5e-7)
    assert np.isclose(law.probability @ lengths**2, square, atol=5e-7)


@pytest.mark.parametrize("sampling", ["without replacement", "with replacement", "importance"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_are_unbiased(sampling: str, size: int) -> None:
    loss = problems.r6()
    law = sd.Minibatch(size, sampling=sampling).sampler(loss).batches()
    g = loss.sample_gradients([0.4, 0.7])
    mean = law.probability @ (law.weights[:, :, None] * g[law.index]).mean(axis=1)
    np.testing.assert_allclose(mean, loss.gradient([0.4, 0.7]), atol=1e-12)


def all_directions(loss: sd.FiniteSum, rule: str, rho: float, x: np.ndarray, probe: str) -> tuple[Any, Any]:
    """Mean and covariance of the sampled direction of batch size 2, by enumeration in numpy."""
    rows, targets, ridge = loss.squares  # type: ignore[misc]

    def gradient(y: np.ndarray, batch: Any) -> np.ndarray:
        return np.mean([(rows[i] @ y - targets[i]) * rows[i] + ridge[i] * y for i in batch], axis=0)

    batches = list(itertools.combinations(range(6), 2))
    whole = gradient(x, range(6))
    pairs = {
        "same": [(s, s) for s in batches],
        "independent": list(itertools.product(batches, batches)),
        "full": [(s, range(6)) for s in batches],
    }[probe]
    out = []
    for s, other in pairs:
        g = gradient(x, other)
        length = {"USAM": 1.0, "SAM": np.linalg.norm(g), "DNSAM": np.linalg.norm(whole)}[rule]
        out.append(gradient(x + rho * g / length, s))
    directions = np.array(out)
    return directions.mean(axis=0), np.cov(directions.T, bias=True)


@pytest.mark.parametrize("probe", ["same", "independent", "full"])
@pytest.mark.parametrize("rule", [sd.USAM(0.1), sd.SAM(0.1), sd.DNSAM(0.1)], ids=["USAM", "SAM", "DNSAM"])
def test_full_model_is_the_law_of_the_algorithm(rule: Any, probe: str) -> None:
    loss, x = problems.r6(), np.array([0.5, 0.8])
    sde = sd.Diffusion(loss, rule, lr=0.1, noise=sd.Minibatch(2, probe=probe, model="full"))
    mean, covariance = all_directions(loss, type(rule).__name__, 0.1, x, probe)
    np.testing.assert_allclose(sde.drift(x), -mean, rtol=1e-10)
    np.testing.assert_allclose(sde.covariance(x), 0.1 * covariance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("probe", ["same", "independent", "full"])
@pytest.mark.parametrize("rule", ["USAM", "SAM", "DNSAM"])
def test_first_order_model_leaves_out_the_square_of_rho(rule: str, probe: str) -> None:
    loss, x = problems.r6(), np.array([0.5, 0.8])
    left = []
    for rho in (1e-2, 1e-3):
        noise = sd.Minibatch(2, probe=probe)
        sde = sd.Diffusion(loss, getattr(sd, rule)(rho), lr=1.0, noise=noise)
        mean, covariance = all_directions(loss, rule, rho, x, probe)
        # components are quadratic: the drift is exact
        np.testing.assert_allclose(sde.drift(x), -mean, rtol=1e-10)
        left.append(np.abs(sde.covariance(x) - covariance).max() / rho**2)
    assert left[1] > 0
    assert np.isclose(left[0], left[1], rtol=1e-3)


def test_gradient_model_has_no_correction() -> None:
    loss, x = problems.r6(), [0.5, 0.8]
    sde = sd.Diffusion(loss, sd.USAM(0.1), lr=1.0, noise=sd.Minibatch(1, model="gradient"))
    np.testing.assert_allclose(sde.covariance(x), loss.gradient_covariance(x), rtol=1e-10)


def test_regularised_drift_of_usam_and_sam() -> None:
    """USAM descends f + rho/2 E|G|^2 and SAM f + rho E|G|."""
    loss, x, rho, h = problems.r6(), np.array([0.5, 0.8]), 0.01, 1e-6

    def average(y: np.ndarray, power: int) -> float:
        return float((np.linalg.norm(loss.sample_gradients(y), axis=1) ** power).mean())

    for rule, power, factor in ((sd.USAM(rho), 2, rho / 2), (sd.SAM(rho), 1, rho)):
        drift = sd.Diffusion(loss, rule, lr=1.0, noise=sd.Minibatch(1)).drift(x)
        slope = [(average(x + h * e, power) - average(x - h * e, power)) / (2 * h) for e in np.eye(2)]
        np.testing.assert_allclose(drift, -loss.gradient(x) - factor * np.array(slope), rtol=1e-7)


def test_weak_order() -> None:
    """The error of the variance over lr falls like lr with the noise of SAM in, like its root without."""
    curvature, t = 2.0, 1.0
    loss = sd.FiniteSum(lambda w, s: curvature * w[0] ** 2 / 2 - s * w[0], [1.0, -1.0], dim=1)
    rates = np.array([0.01, 0.005, 0.0025, 0.00125])
    errors: dict[str, list[float]] = {"full": [], "first-order": [], "gradient": []}
    for lr in rates:
        rho = math.sqrt(lr)
        factor = 1 - lr * curvature * (1 + rho * curvature)
        kick = (lr * (1 + rho * curvature)) ** 2
        algorithm = kick * (1 - factor ** (2 * round(t / lr))) / (1 - factor**2)
        for model, found in errors.items():
            sde = sd.Diffusion(loss, sd.USAM(rho), lr=float(lr), noise=sd.Minibatch(1, model=model))
            k = -float(sde.jacobian([0.0])[0, 0])
            variance = float(sde.covariance([0.0])[0, 0]) * (1 - math.exp(-2 * k * t)) / (2 * k)
            found.append((variance - algorithm) / lr)
    np.testing.assert_allclose(
        [errors[m][i] for m in ("full", "first-order", "gradient") for i in (0, 2)],
        [-0.003756, -0.000790, -0.01202, -0.003035, -0.09467, -0.04793],
        atol=6e-6,
    )
    slopes = {m: np.polyfit(np.log(rates), np.log(np.abs(e)), 1)[0] for m, e in errors.items()}
    assert abs(slopes["full"] - 1) < 0.15
    assert abs(slopes["first-order"] - 1) < 0.05
    assert abs(slopes["gradient"] - 0.5) < 0.03


@pytest.mark.parametrize(("lr", "ratio"), [(1e-2, 0.93855), (1e-3, 0.99392), (1e-4, 0.99939)])
def test_stationary_variance_of_the_diffusion(lr: float, ratio: float) -> None:
    loss = problems.r6()
    exact = sd.stationary_law(sd.Map(loss, sd.USAM(0.002), lr=lr, noise=sd.Minibatch(1)))
    sde = sd.Diffusion(loss, sd.USAM(0.002), lr=lr, noise=sd.Minibatch(1, model="full"))
    a = sde.jacobian(exact.mean)
    covariance = solve_continuous_lyapunov(a, -sde.covariance(exact.mean))
    gap = np.trace(loss.hessian(exact.mean) @ covariance) / 2
    assert np.isclose(gap / exact.gap_of_variance, ratio, atol=3e-5)


def test_diffusion_moves_like_the_algorithm() -> None:
    loss = problems.r6()
    noise = sd.Minibatch(1)
    a = sd.convergence(sd.Map(loss, sd.SAM(0.02), lr=1e-3, noise=noise), [0.0, 0.0], 2000, 400, times=[2000])
    b = sd.convergence(
        sd.Diffusion(loss, sd.SAM(0.02), lr=1e-3, noise=noise), [0.0, 0.0], 2000, 400, times=[2000]
    )
    error = math.hypot(a.standard_error()[-1], b.standard_error()[-1])
    assert abs(a.mean()[-1] - b.mean()[-1]) < 4 * error


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 7}, ValueError, "batch_size must be at most the number of samples 6, got 7"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1"),
        ({"batch_size": 1.5}, ValueError, "batch_size must be an integer"),
        ({"probe": "m-SAM"}, ValueError, "probe must be one of"),
        ({"sampling": "nice"}, ValueError, "sampling must be"),
        ({"sampling": [0.5, 0.4, 0, 0, 0, 0]}, ValueError, "sum to 1, got the sum 0.9"),
        ({"sampling": [0.5, 0.5, 0, 0, 0, 0]}, ValueError, "probability > 0 when it is reweighted.*sample 2"),
        ({"sampling": [1.2, -0.2, 0, 0, 0, 0]}, ValueError, "probabilities >= 0, got -0.2 for sample 1"),
        ({"sampling": [0.5, 0.5]}, ValueError, "one probability for each of the 6 samples, got 2"),
        ({"sampling": [np.nan, 1]}, ValueError, "one finite probability"),
        ({"sampling": 3}, ValueError, "one finite probability"),
        ({"batch_size": 4, "micro_batch": 3}, ValueError, "micro_batch must divide batch_size=4"),
        ({"micro_batch": 1, "probe": "full"}, ValueError, "micro_batch needs probe='same'"),
        ({"model": "exact"}, ValueError, "model must be one of"),
        ({"reweight": 3}, TypeError, "reweight must be True or False"),
    ],
)
def test_bad_batches(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sd.Map(problems.r6(), sd.GD(), lr=0.1, noise=sd.Minibatch(**arguments))


def test_zero_probabilities_are_fine_without_reweighting() -> None:
    noise = sd.Minibatch(sampling=[0.5, 0.5, 0, 0, 0, 0], reweight=False)
    law = sd.stationary_law(sd.Map(problems.r6(), sd.GD(), lr=0.1, noise=noise))
    assert law.gap_of_mean > 0.01


def test_what_needs_samples_says_so() -> None:
    with pytest.raises(TypeError, match=r"loss must be an sd\.FiniteSum"):
        sd.Map(sd.landscapes.beale(), sd.GD(), lr=0.1, noise=sd.Minibatch())
    with pytest.raises(TypeError, match=r"loss must be an sd\.FiniteSum"):
        sd.Diffusion(sd.landscapes.beale(), sd.GD(), lr=0.1, noise=sd.Minibatch())
    many = sd.FiniteSum.least_squares(np.eye(30), np.ones(30))
    with pytest.raises(ValueError, match="more batches than can be enumerated"):
        sd.Diffusion(many, sd.SAM(0.1), lr=0.1, noise=sd.Minibatch(15)).drift(np.zeros(30))
    line = sd.FiniteSum(lambda w, s: (w[0] - s) ** 2 / 2, np.arange(1100.0), dim=1)
    pairs = sd.Minibatch(1, probe="independent", model="full")
    with pytest.raises(ValueError, match="more pairs of batches"):
        sd.Diffusion(line, sd.USAM(0.1), lr=0.1, noise=pairs).drift([0.0])


@pytest.mark.parametrize("model", ["first-order", "full", "gradient"])
@pytest.mark.parametrize("sampling", ["without replacement", "with replacement", "importance"])
@pytest.mark.parametrize(
    ("rule", "probe"), [(sd.GD(), "same"), (sd.SAM(0.3), "full"), (sd.DNSAM(0.3), "full")]
)
def test_large_batches_have_the_shrunken_law_of_samples(
    rule: Any, probe: str, sampling: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From single samples, and from the list of all batches."""
    loss, x = problems.r6(), [0.5, 0.8]
    noise = sd.Minibatch(3, probe=probe, sampling=sampling, model=model)
    quick = sd.Diffusion(loss, rule, lr=1.0, noise=noise)
    found = quick.drift(x), quick.covariance(x)
    monkeypatch.setattr(batch_gaussian, "_is_mean_of_samples", lambda *_: False)
    listed = sd.Diffusion(loss, rule, lr=1.0, noise=noise)
    np.testing.assert_allclose(found[0], listed.drift(x), rtol=1e-12)
    np.testing.assert_allclose(found[1], listed.covariance(x), rtol=1e-9, atol=1e-13)


def test_diffusion_of_large_batches_of_many_samples() -> None:
    rng = np.random.default_rng(0)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((5000, 2)), rng.standard_normal(5000))
    for size in (1, 500):
        sde = sd.Diffusion(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(size))
        shrink = (5000 - size) / (size * 4999)
        expected = 0.1 * shrink * loss.gradient_covariance([0.3, 0.2])
        np.testing.assert_allclose(sde.covariance([0.3, 0.2]), expected, rtol=1e-10)
