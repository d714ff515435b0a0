"""Second moments under batches: exact where that is said, with an error and the word "sampled" where not."""

from __future__ import annotations

import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.rates.affine_steps import forces_near, listed_forces
from samdyn.rates.critical_rates import CriticalRate

RNG = np.random.default_rng(1)
ROWS = RNG.standard_normal((100, 4)) * np.exp(0.8 * RNG.standard_normal((100, 1)))
TARGETS = RNG.standard_normal(100)


def uneven() -> sd.FiniteSum:
    """Least squares of 100 samples of very different sizes, so that batches of two differ much."""
    return sd.FiniteSum.least_squares(ROWS, TARGETS)


def enumerated(rho: float, lr: float, probe: str) -> tuple[float, float]:
    """Gap and spectral radius under batches of two, by a list of all 4950 of them in numpy."""
    pairs = np.array(list(itertools.combinations(range(100), 2)))
    h = ROWS[:, :, None] * ROWS[:, None, :]
    lin = TARGETS[:, None] * ROWS
    hs, ls = h[pairs].mean(axis=1), lin[pairs].mean(axis=1)
    whole, linear = h.mean(axis=0), lin.mean(axis=0)
    ascent, shift = (hs, ls) if probe == "same" else (whole[None], linear[None])
    force = hs @ (np.eye(4) + rho * ascent)
    pull = ls + rho * np.einsum("mij,mj->mi", hs, np.broadcast_to(shift, ls.shape))
    jacobian = np.eye(4) - lr * force
    K = np.einsum("mij,mkl->ikjl", jacobian, jacobian).reshape(16, 16) / len(pairs)
    mean = np.linalg.solve(force.mean(axis=0), pull.mean(axis=0))
    kick = lr * (force @ mean - pull)
    covariance = np.linalg.solve(np.eye(16) - K, (kick.T @ kick / len(pairs)).ravel()).reshape(4, 4)
    off = mean - np.linalg.solve(whole, linear)
    return float(off @ whole @ off + np.trace(whole @ covariance)) / 2, float(
        np.abs(np.linalg.eigvals(K)).max()
    )


@pytest.mark.parametrize(
    ("rule", "rho", "probe"),
    [(sd.GD(), 0.0, "same"), (sd.USAM(2e-3), 2e-3, "same"), (sd.USAM(2e-3), 2e-3, "full")],
    ids=["GD", "USAM, same", "USAM, full"],
)
def test_laws_of_more_batches_than_are_listed_are_exact(rule: Any, rho: float, probe: str) -> None:
    """A sampled law printed as exact; the right value is that of all 4950 batches, and SGD has no bias."""
    system = sd.Map(uneven(), rule, lr=0.0023, noise=sd.Minibatch(2, probe=probe))
    law = sd.stationary_law(system)
    gap, radius = enumerated(rho, 0.0023, probe)
    assert law.exact
    assert law.standard_error == 0
    assert "all batches" in repr(law)
    assert law.gap == pytest.approx(gap, rel=1e-9)
    assert law.spectral_radius == pytest.approx(radius, abs=1e-10)
    critical = sd.critical_learning_rate(system)
    assert enumerated(rho, float(critical), probe)[1] == pytest.approx(1, abs=1e-9)
    if rho == 0:
        assert law.gap_of_mean < 1e-20
        assert critical == pytest.approx(0.0116976, abs=5e-8)
        assert repr(critical) == repr(float(critical))


def quadratics(n: int = 7, dim: int = 3) -> sd.FiniteSum:
    """Components of full rank and of both signs: no squares."""
    rng = np.random.default_rng(5)
    m = rng.standard_normal((n, dim, dim))
    return sd.FiniteSum(
        lambda w, s: w @ s[0] @ w / 2 - s[1] @ w,
        (m + m.swapaxes(1, 2), rng.standard_normal((n, dim))),
        dim=dim,
    )


def regression(n: int = 7, dim: int = 3) -> sd.FiniteSum:
    rng = np.random.default_rng(6)
    return sd.FiniteSum.least_squares(rng.standard_normal((n, dim)), rng.standard_normal(n), ridge=0.3)


P = tuple(np.arange(1, 8) / 28)


@pytest.mark.parametrize("size", [1, 2, 4, 7])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"probe": "full"},
        {"probe": "independent"},
        {"micro_batch": 1},
        {"sampling": "with replacement"},
        {"sampling": P},
        {"sampling": P, "reweight": False, "probe": "full"},
    ],
    ids=str,
)
@pytest.mark.parametrize("loss", [quadratics(), regression()], ids=["quadratics", "squares"])
def test_moments_from_samples_are_those_of_all_batches(
    loss: sd.FiniteSum, more: dict[str, Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The closed forms, in single samples, against lists of all batches: every size, sampling and probe."""
    monkeypatch.setattr("samdyn.rates.affine_steps.FEW", 0)
    system = sd.Map(loss, sd.USAM(0.3), lr=0.1, noise=sd.Minibatch(size, **more))
    found, listed = forces_near(system), listed_forces(system)
    assert found.exact
    assert listed.exact
    rng = np.random.default_rng(0)
    x, point = rng.standard_normal((3, 3)), rng.standard_normal(3)
    for one, other in (
        (found.mean, listed.mean),
        (found.mean_pull, listed.mean_pull),
        (found.second(x), listed.second(x)),
        (found.adjoint(x), listed.adjoint(x)),
        (found.second_matrix, listed.second_matrix),
        (found.covariance(point), listed.covariance(point)),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11 * max(1, np.abs(other).max()))
    assert found.moving().shape == listed.moving().shape


def test_batch_moments_of_numbers() -> None:
    """Third and fourth moments of a batch's mean, by all batches."""
    values = np.array([3.0, -1.0, 0.5, 2.0, 7.0, -4.0])
    off = values - values.mean()
    for size in range(1, 7):
        noise = sd.Minibatch(size)
        sampler = noise.sampler(regression(6, 2))
        means = np.array([off[list(s)].mean() for s in itertools.combinations(range(6), size)])
        m = sampler.moments()
        second, third, fourth = ((off**k).mean() for k in (2, 3, 4))
        assert (means**2).mean() == pytest.approx(m.second * second, abs=1e-12)
        assert (means**3).mean() == pytest.approx(m.third * third, abs=1e-12)
        assert (means**4).mean() == pytest.approx(m.fourth * fourth + 3 * m.pairs * second**2, abs=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("criterion", ["mean square", "one step", "mean"])
def test_critical_rates_are_where_the_factor_is_one(criterion: str, momentum: float) -> None:
    """In twelve dimensions, where the eigenvalue problem is not dense."""
    rng = np.random.default_rng(3)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((60, 12)) / 3, np.zeros(60))
    system = sd.Map(loss, sd.USAM(0.1), lr=0.1, momentum=momentum, noise=sd.Minibatch(3, probe="full"))
    critical = sd.critical_learning_rate(system, criterion=criterion)
    if momentum and criterion == "one step":
        assert critical == 0  # with momentum no step shortens every state
        return
    at = sd.mean_square_stability(system.with_parameters(lr=float(critical)))
    factor = {"mean square": at.spectral_radius, "one step": at.one_step, "mean": at.mean_radius}[criterion]
    assert factor == pytest.approx(1, abs=1e-8)


def test_the_critical_rate_of_forty_coordinates() -> None:
    """A cost: 40 s for 200 samples in 40 dimensions with batches of 2; half a second now.

    Right, by powers in numpy: E[J X J] = X - lr (H X + X H) + lr^2 E[M X M], with M the mean of two of the
    samples' a a^T, has spectral radius 1 there.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 40))
    loss = sd.FiniteSum.least_squares(rows, rng.standard_normal(200))
    lr = float(sd.critical_learning_rate(sd.Map(loss, sd.GD(), lr=0.01, noise=sd.Minibatch(2))))
    hessian = rows.T @ rows / 200

    def moments(x: np.ndarray) -> np.ndarray:
        own = (rows.T * np.einsum("ni,ij,nj->n", rows, x, rows)) @ rows / 200  # the mean of h X h
        pairs = (own + (200 * hessian @ x @ hessian - own) / 199) / 2
        return np.asarray(x - lr * (hessian @ x + x @ hessian) + lr**2 * pairs)

    x, size = np.eye(40), 0.0
    for _ in range(3000):
        x = moments(x)
        size = float(np.trace(x))
        x /= size
    assert size == pytest.approx(1, abs=1e-6)


def micro() -> sd.Map:
    """Two parts of two samples each: no closed form, and far more batches than are listed."""
    rng = np.random.default_rng(0)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((60, 2)), rng.standard_normal(60))
    return sd.Map(loss, sd.USAM(0.2), lr=0.1, noise=sd.Minibatch(4, micro_batch=2))


def test_sampled_laws_have_an_error_and_say_sampled() -> None:
    """Where batches are sampled the result says so, and other samples differ by its standard errors."""
    law, stability, critical = (
        verb(micro()) for verb in (sd.stationary_law, sd.mean_square_stability, sd.critical_learning_rate)
    )
    for result in (law, stability, critical):
        assert not result.exact
        assert result.standard_error > 0
        assert "sampled batches" in repr(result)
        assert "±" in repr(result)
    steps = sd.convergence(micro(), law.mean, 200, 4000, times=[200], seed=2)
    gap = steps.curves()[-1]
    error = math.hypot(gap.std(ddof=1) / math.sqrt(4000), law.standard_error)
    assert abs(gap.mean() - law.gap) < 4 * error
    again = pickle.loads(pickle.dumps(critical))
    assert (again, again.standard_error, again.exact) == (critical, critical.standard_error, False)
    assert isinstance(again, CriticalRate)


def test_a_radius_within_its_error_of_one_is_undecided() -> None:
    """A verdict from a sample is no verdict where the error reaches across 1."""
    critical = sd.critical_learning_rate(micro())
    near = sd.mean_square_stability(micro().with_parameters(lr=float(critical)))
    assert not near.decided
    assert "undecided" in repr(near)


def test_lyapunov_exponents_are_of_all_batches() -> None:
    """A fixed sample of 4096 batches had an exponent of its own; here pairs of 200 numbers, by quadrature."""
    h = np.exp(1.5 * np.random.default_rng(2).standard_normal(200))
    loss = sd.FiniteSum(lambda w, s: s * w[0] ** 2 / 2, h, dim=1)
    system = sd.Map(loss, sd.GD(), lr=0.2, noise=sd.Minibatch(2))
    i, j = np.triu_indices(200, 1)
    exact = np.log(np.abs(1 - 0.2 * (h[i] + h[j]) / 2)).mean()
    estimate = sd.sampling_lyapunov_exponent(system, n_steps=1000, n_paths=400)
    assert estimate.standard_error < 0.005
    assert abs(estimate.value - exact) < 4 * estimate.standard_error


def test_equal_exponents_are_not_off_by_many_errors() -> None:
    """Two coordinates with one exponent, drawn apart: the larger of two walks grows with their spread."""
    loss = sd.FiniteSum(
        lambda w, s: (s * w**2).sum() / 2, [[4.0, 4.0], [1.0, 1.0], [4.0, 1.0], [1.0, 4.0]], dim=2
    )
    system = sd.Map(loss, sd.GD(), lr=0.3, noise=sd.Minibatch(1))
    exact = sum(math.log(abs(1 - 0.3 * h)) for h in (4.0, 1.0)) / 2
    for n_steps in (100, 1000):
        estimate = sd.sampling_lyapunov_exponent(system, n_steps=n_steps)
        assert estimate.bias > estimate.standard_error / 2
        assert abs(estimate.value - exact) < 2 * estimate.standard_error
