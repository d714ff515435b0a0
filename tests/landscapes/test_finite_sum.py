"""Finite sums: per-sample derivatives, recognised structure, constants, and what they refuse."""

from __future__ import annotations

import numpy as np
import problems
import pytest
import torch

import samdyn as sd


def plain_r6() -> sd.FiniteSum:
    """R6 written as a user would, so that its structure has to be found."""
    rows, targets = problems.r6().data
    data = np.column_stack([rows, targets])
    return sd.FiniteSum(lambda w, s: (s[:2] @ w - s[2]) ** 2 / 2 + 0.05 * w @ w, data, dim=2)


def logistic(n: int = 7, dim: int = 3) -> sd.FiniteSum:
    rng = np.random.default_rng(0)
    return sd.FiniteSum(
        lambda w, s, ridge: torch.nn.functional.softplus(-s[1] * (s[0] @ w)) + ridge * (w @ w) / 2,
        (rng.standard_normal((n, dim)), rng.choice([-1.0, 1.0], n)),
        dim=dim,
        box=[(-2, 2)] * dim,
        parameters={"ridge": 0.1},
    )


def test_constants_of_r6() -> None:
    loss = problems.r6()
    smoothness = loss.smoothness()
    assert smoothness.exact
    np.testing.assert_allclose(smoothness.values, problems.R6_SMOOTHNESS, atol=5e-9)
    np.testing.assert_allclose(smoothness.values.mean(), 6.650665414, atol=5e-10)
    minimum = loss.minimum()
    np.testing.assert_allclose(minimum.x, problems.R6_MINIMISER, atol=5e-9)
    np.testing.assert_allclose(minimum.value, problems.R6_MINIMUM, atol=5e-11)
    np.testing.assert_allclose(loss.sample_infima().mean(), problems.R6_MEAN_INFIMUM, atol=5e-11)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(loss.hessian(minimum.x)), [2.546017007, 4.204648407], atol=5e-10
    )


def test_gradient_noise_of_r6_at_the_minimiser() -> None:
    loss = problems.r6()
    x = loss.minimum().x
    assert np.isclose((loss.sample_gradients(x) ** 2).sum(axis=1).mean(), 1.48005498, atol=5e-9)
    assert np.isclose(np.trace(loss.gradient_covariance(x)), 1.48005498, atol=5e-9)
    p = loss.importance_probabilities()
    assert np.isclose(
        ((loss.sample_gradients(x) / (6 * p)[:, None]) ** 2).sum(axis=1) @ p, 3.10503004, atol=5e-9
    )


def test_gradient_norm_probabilities_have_the_least_variance() -> None:
    loss = problems.r6()
    x = np.array([0.3, -0.2])
    g = (loss.sample_gradients(x) ** 2).sum(axis=1)

    def second_moment(p: np.ndarray) -> float:
        return float((g / (36 * p)).sum())

    best = loss.gradient_norm_probabilities(x)
    assert np.isclose(best.sum(), 1)
    assert np.isclose(second_moment(best), (np.sqrt(g).sum() / 6) ** 2)
    for other in (np.full(6, 1 / 6), loss.importance_probabilities(), 0.9 * best + 0.1 / 6):
        assert second_moment(best) < second_moment(other)
    np.testing.assert_allclose(loss.gradient_norm_probabilities(x, mixture=0.1), 0.9 * best + 0.1 / 6)


@pytest.mark.parametrize("make", [plain_r6, logistic], ids=["quadratic", "logistic"])
def test_samples_average_to_the_whole(make: object) -> None:
    loss = make()  # type: ignore[operator]
    x = np.random.default_rng(1).standard_normal((4, 2, loss.dim))
    np.testing.assert_allclose(loss.sample_values(x).mean(axis=-1), loss.value(x), rtol=1e-12)
    np.testing.assert_allclose(loss.sample_gradients(x).mean(axis=-2), loss.gradient(x), atol=1e-13)
    np.testing.assert_allclose(loss.sample_hessians(x).mean(axis=-3), loss.hessian(x), atol=1e-12)
    g = loss.sample_gradients(x) - loss.gradient(x)[..., None, :]
    expected = np.einsum("...ni,...nj->...ij", g, g) / loss.n_samples
    np.testing.assert_allclose(loss.gradient_covariance(x), expected, atol=1e-13)


def test_structure_is_recognised() -> None:
    found, given = plain_r6(), problems.r6()
    assert found.squares is not None
    assert given.squares is not None
    x = np.random.default_rng(2).standard_normal((5, 2))
    np.testing.assert_allclose(found.sample_gradients(x), found._gradients(x), atol=1e-12)
    np.testing.assert_allclose(given.sample_gradients(x), given._gradients(x), atol=1e-12)
    np.testing.assert_allclose(found.squares.ridge, 0.1)
    # signs of rows are free, their squares are not
    np.testing.assert_allclose(np.abs(found.squares.rows), np.abs(given.squares.rows), atol=1e-12)
    assert logistic().quadratics is None
    full_rank = sd.FiniteSum(lambda w, s: s @ w**2 / 2, [[4.0, 1.0, 0.0], [0.0, 2.0, 1.0]], dim=3)
    assert full_rank.quadratics is not None
    assert full_rank.squares is None


def test_value_without_structure_agrees() -> None:
    x = np.random.default_rng(3).standard_normal((5, 2))
    np.testing.assert_allclose(problems.r6().value(x), plain_r6().value(x), rtol=1e-13)
    np.testing.assert_allclose(problems.r6().gradient(x), plain_r6().gradient(x), atol=1e-12)


def test_sampled_smoothness_is_a_lower_bound_and_says_so() -> None:
    loss = logistic()
    smoothness = loss.smoothness(n_points=64)
    assert not smoothness.exact
    exact = (loss.data[0] ** 2).sum(axis=1) / 4 + 0.1
    assert (smoothness.values <= exact + 1e-12).all()
    assert (smoothness.values > 0.5 * exact).all()


def test_minimum_without_quadratics() -> None:
    loss = logistic()
    minimum = loss.minimum()
    assert np.linalg.norm(loss.gradient(minimum.x)) < 1e-12
    assert minimum.value == loss.value(minimum.x)


def test_interpolation() -> None:
    assert problems.s4().interpolates([0.0, 0.0])
    assert not problems.s4().interpolates([0.1, 0.0])
    assert not problems.r6().interpolates(problems.r6().minimum().x)


def test_infima_without_a_bound() -> None:
    loss = sd.FiniteSum(
        lambda w, s: s[0] * w[0] ** 2 / 2 + s[1] * w[0],
        [[1.0, 1.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
        dim=1,
    )
    np.testing.assert_array_equal(loss.sample_infima(), [-0.5, -np.inf, -np.inf, 0.0])


def test_it_is_a_landscape() -> None:
    loss = plain_r6()
    points = sd.fixed_points(sd.Flow(loss, sd.USAM(0.01)), box=[(-1, 1), (-1, 1)])
    assert [p.kind for p in points] == ["minimum"]
    np.testing.assert_allclose(points[0].x, problems.R6_MINIMISER, atol=1e-8)


def test_parameters() -> None:
    loss = logistic()
    stronger = loss.with_parameters(ridge=1.0)
    assert isinstance(stronger, sd.FiniteSum)
    assert stronger.value([1.0, 0.0, 0.0]) == pytest.approx(float(loss.value([1.0, 0.0, 0.0])) + 0.45)
    with pytest.raises(ValueError, match="unknown parameter 'nope'"):
        loss.with_parameters(nope=1)
    ridged = problems.r6().with_parameters(ridge=2.0)
    assert ridged.squares is not None
    np.testing.assert_allclose(ridged.squares.ridge, 2.0)


@pytest.mark.parametrize(
    ("component", "data", "error", "message"),
    [
        (3, [[1.0]], TypeError, "component must be callable"),
        (lambda w, s: (w.detach() * s).sum(), [[1.0]], TypeError, "component.*gradient"),
        (lambda w, s: (w * s).sum().item(), [[1.0]], TypeError, "component.*torch scalar"),
        (lambda w, s: w * s, [[1.0]], ValueError, "component must return a scalar"),
        (lambda w, s: w @ s, [[1.0, 2.0]], TypeError, "component must take one point"),
        (lambda w, s: (w * s).sum(), [], ValueError, "data must hold at least one sample"),
        (lambda w, s: (w * s).sum(), [[np.nan]], ValueError, "data must be finite"),
        (lambda w, s: (w * s).sum(), "abc", TypeError, "data must be an array"),
        (lambda w, s: (w * s[0]).sum(), ([1.0], [1.0, 2.0]), ValueError, "one length"),
    ],
    ids=["no function", "detached", "number", "vector", "shape", "empty", "nan", "text", "lengths"],
)
def test_bad_sums(component: object, data: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sd.FiniteSum(component, data, dim=1)  # type: ignore[arg-type]


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="A must have shape"):
        sd.FiniteSum.least_squares([[1.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match="ridge must be"):
        sd.FiniteSum.least_squares([[1.0]], [1.0], ridge=-1)
    with pytest.raises(ValueError, match="quadratic components only"):
        logistic().sample_infima()
    with pytest.raises(ValueError, match="mixture must be"):
        problems.r6().gradient_norm_probabilities([0.0, 0.0], mixture=2)
    with pytest.raises(ValueError, match="every L_i > 0"):
        sd.FiniteSum(lambda w, s: s * w[0] ** 2, [1.0, 0.0], dim=1).importance_probabilities()
    with pytest.raises(ValueError, match="no minimum"):
        sd.FiniteSum(lambda w, s: s * w[0] ** 2, [1.0, -2.0], dim=1).minimum()
    no_box = sd.FiniteSum(lambda w, s: torch.cos(s * w[0]), [1.0], dim=1)
    with pytest.raises(ValueError, match="box must be given"):
        no_box.smoothness()
