"""Batches about a point: moments against lists, a symmetry, and exits of real SAM from a network's saddle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn
from torch.nn import functional

import samdyn as sd
from samdyn.rates import batch_linearization

SUMS = sd.FiniteSum(
    lambda w, s: s[0] * w[0] ** 2 / 2 + torch.sin(s[1] * w[1]) + s[0] * s[1] * w[0] * w[1],
    [[1.0, 0.3], [-2.0, 1.1], [0.5, -0.7], [1.3, 0.9]],
    dim=2,
)
POINT = np.array([0.4, -0.2])


def by_hand(rule: sd.Rule, batch: tuple[int, ...], w: torch.Tensor) -> torch.Tensor:
    """The direction of one batch."""
    data = torch.tensor(SUMS.data[0])

    def gradient(at: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda z: sum(SUMS.component(z, data[i]) for i in batch) / len(batch))(at)

    return gradient(w + rule.perturbation(w, gradient(w), **rule.coefficients()))


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.2), sd.SAM(0.3)], ids=repr)
def test_moments_are_those_of_a_list_of_all_batches(rule: sd.Rule) -> None:
    system = sd.Map(SUMS, rule, lr=0.1, noise=sd.Minibatch(batch_size=2))
    found = batch_linearization(system, POINT)
    w, batches = torch.tensor(POINT), list(itertools.combinations(range(4), 2))
    each = np.stack([by_hand(rule, b, w).numpy() for b in batches])
    slopes = [torch.func.jacrev(lambda z, b=b: by_hand(rule, b, z))(w).numpy() for b in batches]
    assert found.exact
    assert found.n_batches == len(batches)
    np.testing.assert_allclose(found.drift, each.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.jacobian, np.mean(slopes, axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(each.T, bias=True), rtol=1e-12)
    assert not found.drift_error.any()
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    other = batch_linearization(system, POINT, turned)
    np.testing.assert_allclose(other.jacobian, turned.T @ found.jacobian @ turned, rtol=1e-12)


@pytest.mark.parametrize("probe", ["same", "independent", "full"])
def test_drawn_batches_agree_with_all_of_them(probe: str) -> None:
    system = sd.Map(SUMS, sd.SAM(0.3), lr=0.1, noise=sd.Minibatch(2, probe, sampling="with replacement"))
    all_of_them = batch_linearization(system, POINT)
    drawn = batch_linearization(system, POINT, n_batches=8, seed=3)
    assert not drawn.exact
    rng = np.random.default_rng(0)
    means = [
        batch_linearization(system, POINT, n_batches=9, seed=int(s)).drift for s in rng.integers(1e6, size=12)
    ]
    error = np.std(means, axis=0, ddof=1) / len(means) ** 0.5
    assert (np.abs(np.mean(means, axis=0) - all_of_them.drift) < 4 * error + 1e-12).all()
    assert (drawn.drift_error >= 0).all()


def embedded(share: float) -> sd.landscapes.ModuleLoss:
    """A saddle: the tanh unit of a network at a minimum, written twice."""
    data = load_iris()
    numbers = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    inputs = numbers @ np.linalg.svd(numbers, full_matrices=False)[2][:2].T  # two principal components
    inputs = inputs / inputs.std(axis=0)
    targets = 2.0 * (data.target == 1)[:, None] - 1
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 1)).double()
    small = sd.from_module(net, functional.mse_loss, (inputs, targets))
    trained = sd.refine(sd.Flow(small, sd.GD()), small.minimum().x)
    assert trained.ended == "critical point"
    net.load_state_dict(small.parameters_of(trained.x))
    return sd.from_module(sd.split_unit(net, 0, 0, share), functional.mse_loss, (inputs, targets))


def test_equal_halves_of_a_unit_have_no_drift_and_no_noise_between_them() -> None:
    loss = embedded(0.5)
    curvatures, vectors = np.linalg.eigh(loss.hessian(loss.x0))
    v = vectors[:, 0]
    rates = {}
    for rule in (sd.GD(), sd.SAM(0.1)):
        system = sd.Map(loss, rule, lr=0.1, noise=sd.Minibatch(batch_size=20))
        found = batch_linearization(system, loss.x0, v, n_batches=200)
        assert abs(found.drift[0]) < 1e-10
        assert found.covariance[0, 0] < 1e-20
        rates[rule] = found.jacobian[0, 0], found.jacobian_error[0, 0]
    assert rates[sd.GD()][0] == pytest.approx(curvatures[0], rel=1e-9)
    slow, error = rates[sd.SAM(0.1)]
    assert slow > curvatures[0] + 4 * error  # SAM's deviations grow more slowly
    # unequal parts: the batches push SAM off the saddle, and not SGD
    loss = embedded(0.3)
    v = np.linalg.eigh(loss.hessian(loss.x0))[1][:, 0]
    system = sd.Map(loss, sd.SAM(0.1), lr=0.1, noise=sd.Minibatch(batch_size=20))
    pushed = batch_linearization(system, loss.x0, v, n_batches=800)
    assert abs(pushed.drift[0]) > 6 * pushed.drift_error[0]
    system = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(batch_size=20))
    assert abs(batch_linearization(system, loss.x0, v, n_batches=200).drift[0]) < 1e-10


def test_exits_of_sgd_from_an_embedded_saddle_are_those_of_the_diffusion() -> None:
    loss = embedded(0.3)
    v = np.linalg.eigh(loss.hessian(loss.x0))[1][:, 0]
    middle, radius = float(v @ loss.x0), 0.05
    region = sd.HalfSpace(v, middle + radius) & sd.HalfSpace(-v, radius - middle)
    system = sd.Map(loss, sd.GD(), lr=0.1, noise=sd.Minibatch(batch_size=20))
    real = sd.exit_times(system, loss.x0, region, n_paths=60, t_max=20_000, seed=1)
    line = batch_linearization(system, loss.x0, v).diffusion()
    expected = float(sd.mean_exit_time(line, sd.Box([-radius], [radius]))([0.0])) / 0.1
    assert real.n_exited == 60
    # the noise of the batches is not Gaussian and the loss is not quadratic: a tenth
    assert abs(real.mean - expected) < 4 * real.standard_error + 0.1 * expected


def test_what_does_not_fit_is_refused() -> None:
    system = sd.Map(SUMS, sd.SAM(0.3), lr=0.1, noise=sd.Minibatch(batch_size=2))
    for call, words in (
        (lambda: batch_linearization(system, [POINT]), "x must be one point"),
        (lambda: batch_linearization(system, POINT, [1.0, 1.0]), "unit vectors"),
        (lambda: batch_linearization(system, POINT, np.ones((3, 1))), "directions must have shape"),
        (lambda: batch_linearization(system, POINT, n_batches=1), "n_batches must be"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="must be a Map that draws batches"):
        batch_linearization(sd.Map(SUMS, sd.SAM(0.3), lr=0.1), POINT)
    with pytest.raises(TypeError, match="must be a Map that draws batches"):
        batch_linearization(sd.Flow(SUMS, sd.SAM(0.3)), POINT)  # type: ignore[arg-type]
    heavy = sd.Map(SUMS, sd.GD(), lr=0.1, momentum=0.5, noise=sd.Minibatch(batch_size=2))
    with pytest.raises(ValueError, match="no momentum"):
        batch_linearization(heavy, POINT).diffusion()


@pytest.mark.parametrize(
    ("noise", "x"),
    [
        (sd.Minibatch(1), [0.0]),
        (sd.Minibatch(1, "independent"), [0.0]),
        (sd.Minibatch(2, micro_batch=1), [0.0]),
        (sd.Minibatch(1, "full"), [7 / 12]),
    ],
    ids=["same", "independent", "micro-batches", "full"],
)
def test_a_batch_whose_perturbation_jumps_has_no_jacobian(noise: sd.Minibatch, x: list[float]) -> None:
    data = [[1.0, 0.0], [2.0, 1.0], [3.0, 0.5]]  # minima of the samples at 0, 1, 0.5; of their mean at 7/12
    loss = sd.FiniteSum(lambda w, s: s[0] * (w[0] - s[1]) ** 2 / 2, data, dim=1)
    with pytest.raises(ValueError, match="jumps where the gradient"):
        batch_linearization(sd.Map(loss, sd.SAM(0.1), lr=0.1, noise=noise), x)
    beside = batch_linearization(sd.Map(loss, sd.SAM(0.1), lr=0.1, noise=noise), [0.3])
    assert beside.jacobian[0, 0] == pytest.approx(2.0)
    smooth = batch_linearization(sd.Map(loss, sd.USAM(0.1), lr=0.1, noise=noise), x)
    assert np.isfinite(smooth.jacobian).all()


def test_a_rule_that_asks_for_lr_gets_the_one_of_the_system() -> None:
    loss = sd.FiniteSum(lambda w, s: s[0] * (w[0] - s[1]) ** 2 / 2, [[1.0, 0.0], [3.0, 0.1]], dim=1)
    for lr in (0.01, 100.0):  # the bound of the step, or the step of Polyak
        system = sd.Map(loss, sd.PolyakSAM(0.1), lr=lr, noise=sd.Minibatch(1))
        steps = np.array([[0.4]]) - sd.trajectory(system, np.full((400, 1), 0.4), n_steps=1, seed=2)[-1]
        a, b = np.unique(steps.round(12))
        found = batch_linearization(system, [0.4])
        assert found.drift[0] == pytest.approx((a + b) / 2 / lr, rel=1e-9)


def test_errors_and_spread_of_few_drawn_batches_are_unbiased() -> None:
    noise, rule, w = sd.Minibatch(2, sampling="with replacement"), sd.SAM(0.3), torch.tensor(POINT)
    found = batch_linearization(sd.Map(SUMS, rule, lr=0.1, noise=noise), POINT, n_batches=3, seed=5)
    drawn = noise.sampler(SUMS).batches(3, seed=5).index.tolist()
    each = np.stack([by_hand(rule, tuple(b), w).numpy() for b in drawn])
    plain = np.stack([by_hand(sd.GD(), tuple(b), w).numpy() for b in drawn])
    np.testing.assert_allclose(found.covariance, np.cov(each.T), rtol=1e-12)
    np.testing.assert_allclose(found.drift, SUMS.gradient(POINT) + (each - plain).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.drift_error, (each - plain).std(axis=0, ddof=1) / 3**0.5, rtol=1e-9)
