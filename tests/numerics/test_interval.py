"""Interval arithmetic: every operator of a traced graph, bounded outwards; random expressions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import samdyn as sd
from samdyn.numerics import interval as iv
from samdyn.trace.interval_forms import BINARY, TRUTH, UNARY, IntervalForm, interval_form, mean_value
from samdyn.trace.scalar_graph import OPERATORS
from samdyn.trace.tracing import coordinate_form

UNARY_NAMES = [
    "neg", "reciprocal", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh",
    "asin", "acos", "atan", "asinh", "acosh", "atanh", "abs", "sign", "floor", "sigmoid", "erf", "erfc",
]  # fmt: skip


def test_every_operator_of_a_graph_has_a_range() -> None:
    assert {*UNARY, *BINARY, *TRUTH, torch.where, torch.full_like} == OPERATORS
    assert {f.__name__ for f in UNARY} == set(UNARY_NAMES)


def boxes(seed: int, n: int, dim: int, scale: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of widths from 1e-12 to the scale, some around and some beginning at zero."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(-scale, scale, (n, dim))
    width = 10 ** rng.uniform(-12, np.log10(scale), (n, dim))
    low[: n // 8] = 0.0
    return low, low + width


def samples(low: np.ndarray, high: np.ndarray, n: int = 32, seed: int = 1) -> np.ndarray:
    """Points (n, n_boxes, dim) in the boxes, corners among them."""
    rng = np.random.default_rng(seed)
    share = np.concatenate([np.zeros((1, *low.shape)), np.ones((1, *low.shape)), rng.random((n, *low.shape))])
    return np.clip(low + share * (high - low), low, high)


def assert_contains(function: Callable[[torch.Tensor], torch.Tensor], low: Any, high: Any) -> None:
    form = coordinate_form(function, low.shape[1])
    bound = interval_form(function, low.shape[1])(low, high)
    points = samples(low, high)
    flat = torch.from_numpy(points.reshape(-1, low.shape[1]))
    values = torch.stack(form(*flat.unbind(1)), dim=1).numpy().reshape(*points.shape[:2], -1)
    # the samples themselves carry rounding: a few units in the last place, of the largest term
    slack = 1e-13 * (1 + np.abs(np.where(np.isfinite(values), values, 0.0)))
    inside = (values >= bound.lower - slack) & (values <= bound.upper + slack)
    assert (inside | ~np.isfinite(values)).all()


@pytest.mark.parametrize("name", UNARY_NAMES)
def test_unary_operators_contain_their_values(name: str) -> None:
    function = getattr(torch, name)
    low, high = boxes(3, 400, 1)
    assert_contains(lambda w: function(w[0]), low, high)
    with np.errstate(all="ignore"):
        bound = UNARY[function](iv.Interval(low, high))
        point = UNARY[function](iv.Interval(low, low))
        width = point.upper - point.lower
        known = np.isfinite(function(torch.from_numpy(low)).numpy()) & (np.abs(low) > 1e-3)
        known &= np.abs(np.cos(low)) > 1e-3 if name == "tan" else True
    assert (width[known] <= 1e-11 * (1 + np.abs(point.lower[known]))).all()  # a point is almost a point
    defined = np.isfinite(function(torch.from_numpy(low)).numpy())
    assert (bound.lower <= point.lower)[defined].all()
    assert (bound.upper >= point.upper)[defined].all()


@pytest.mark.parametrize(
    "function",
    [
        lambda w: w[0] + w[1],
        lambda w: w[0] - w[1],
        lambda w: 3.0 - w[0] * w[1],
        lambda w: w[0] / w[1],
        lambda w: torch.maximum(w[0], w[1]),
        lambda w: torch.minimum(w[0], w[1]),
        lambda w: torch.atan2(w[0], w[1]),
        lambda w: torch.abs(w[0]) ** w[1],
        lambda w: w[0] ** 3 - w[1] ** -2,
        lambda w: w[0] ** 17 + w[1] ** 20,
        lambda w: w.abs()[0] ** 1.7 + w.abs()[1] ** 0.5,
        lambda w: 1.5 ** w[0],
        lambda w: torch.remainder(w[0], 0.7) + torch.remainder(w[0], w[1]),
        lambda w: torch.where(w[0] > w[1], w[0] ** 2, -w[1]),
        lambda w: torch.where((w[0] >= 0) & ~(w[1] < 1) | (w[0] == w[1]), w[0], 2.0),
        lambda w: torch.where((w[0] <= 0) & (w[1] != 0), 1.0, 3.0),
        lambda w: torch.linalg.vector_norm(w),
        lambda w: torch.outer(w, w.sin()) @ w,
    ],
    ids=[
        "sum", "difference", "product", "quotient", "maximum", "minimum", "atan2", "power", "small-powers",
        "large-powers", "real-powers", "exponential", "remainder", "where", "logic", "constants", "norm",
        "matrix",
    ],
)  # fmt: skip
def test_functions_of_two_contain_their_values(function: Any) -> None:
    assert_contains(function, *boxes(5, 800, 2))


leaves = st.sampled_from(["x", "y"]) | st.sampled_from([-2.5, -1.0, -0.3, 0.5, 2.0, 3.0])
NAMES = ("sin", "cos", "tanh", "exp", "sqrt", "log", "abs", "atan", "neg", "reciprocal", "sigmoid", "erf")
expressions = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.sampled_from(NAMES), inner)
        | st.tuples(st.sampled_from(["add", "sub", "mul", "truediv"]), inner, inner)
    ),
    max_leaves=8,
)


def build(expression: Any, w: torch.Tensor) -> torch.Tensor:
    if isinstance(expression, str):
        return w[0] if expression == "x" else w[1]
    if isinstance(expression, float):
        return torch.full_like(w[0], expression)
    name, *args = expression
    built = [build(a, w) for a in args]
    return getattr(torch, name)(*built) if len(built) == 1 else getattr(operator, name)(*built)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(expressions, st.floats(-3, 3), st.floats(-3, 3), st.floats(1e-6, 2), st.floats(0, 1))
def test_random_expressions(expression: Any, x: float, y: float, width: float, part: float) -> None:
    def function(w: torch.Tensor) -> torch.Tensor:
        return build(expression, w)

    low = np.array([[x, y]])
    high = low + width
    with np.errstate(all="ignore"):  # constants may fold to infinities
        module = coordinate_form(function, 2)
    form = IntervalForm(module)
    bound = form(low, high)
    points = samples(low, high, 64)[:, 0]
    values = module(*torch.from_numpy(points).unbind(1))[0].numpy()
    usual = np.isfinite(values) & (np.abs(values) < 1e12)
    slack = 1e-10 * (1 + np.abs(values))
    assert ((values >= bound.lower[0, 0] - slack) & (values <= bound.upper[0, 0] + slack))[usual].all()
    # a box inside has bounds inside: monotone inclusion, exactly
    inner, defined = form.with_continuity(low + part * width / 4, high - part * width / 4)
    if defined[0]:
        assert bound.lower[0, 0] <= inner.lower[0, 0]
        assert inner.upper[0, 0] <= bound.upper[0, 0]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(*[st.floats(-1e300, 1e300) | st.sampled_from([0.0, 5e-324, -5e-324, 1.0, 1e-310, 2.0**-1022])] * 2)
def test_arithmetic_is_rigorous_to_the_last_bit(a: float, b: float) -> None:
    x, y = iv.point([a]), iv.point([b])
    exact = {
        iv.add: Fraction(a) + Fraction(b),
        iv.sub: Fraction(a) - Fraction(b),
        iv.mul: Fraction(a) * Fraction(b),
    }
    if b:
        exact[iv.div] = Fraction(a) / Fraction(b)
    with np.errstate(all="ignore"):
        for operation, value in exact.items():
            low, high = operation(x, y)
            assert low[0] == -np.inf or Fraction(float(low[0])) <= value
            assert high[0] == np.inf or Fraction(float(high[0])) >= value
        low, high = iv.scale(x, b)
        assert low[0] == -np.inf or Fraction(float(low[0])) <= exact[iv.mul]
        assert high[0] == np.inf or Fraction(float(high[0])) >= exact[iv.mul]
        low, high = iv.square(x)
        assert low[0] == -np.inf or Fraction(float(low[0])) <= Fraction(a) ** 2
        assert high[0] == np.inf or Fraction(float(high[0])) >= Fraction(a) ** 2
        if a >= 0:
            low, high = iv.sqrt(x)
            assert Fraction(float(low[0])) ** 2 <= Fraction(a) <= Fraction(float(high[0])) ** 2


def test_known_ranges() -> None:
    def range_of(function: Any, low: float, high: float) -> tuple[float, float]:
        bound = interval_form(lambda w: function(w[0]), 1)(np.array([[low]]), np.array([[high]]))
        return float(bound.lower[0, 0]), float(bound.upper[0, 0])

    assert range_of(lambda t: t**2, -1, 2) == pytest.approx((0, 4), abs=1e-14)
    assert range_of(torch.sin, 0, 3) == (pytest.approx(0, abs=1e-14), 1)
    assert range_of(torch.cos, 3, 7) == (-1, 1)
    assert range_of(torch.cos, 1e16, 2e16) == (-1, 1)
    assert range_of(lambda t: 1 / t, -1, 1) == (-np.inf, np.inf)
    assert range_of(lambda t: 1 / t, 0, 2) == (pytest.approx(0.5), np.inf)
    assert range_of(lambda t: 1 / t, -2, 0) == (-np.inf, pytest.approx(-0.5))
    assert range_of(torch.sqrt, -1, 4) == pytest.approx((0, 2), abs=1e-14)
    assert range_of(torch.log, 0, 1) == (-np.inf, pytest.approx(0, abs=1e-14))
    assert range_of(torch.tan, 1, 2) == (-np.inf, np.inf)
    assert range_of(lambda t: torch.remainder(t, 1.0), 0.2, 0.6) == pytest.approx((0.2, 0.6))
    assert range_of(lambda t: torch.remainder(t, 1.0), 0.8, 1.1) == pytest.approx((0, 1))
    assert range_of(torch.log, -2, -1) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("function", "low", "high", "expected"),
    [
        (lambda w: w[0].abs(), -1, 1, True),
        (lambda w: w[0].sign(), -1, 1, False),
        (lambda w: w[0].sign(), 0.5, 1, True),
        (lambda w: w[0].floor(), 0.5, 0.9, True),
        (lambda w: w[0].floor(), 0.5, 1.5, False),
        (lambda w: w[0].sqrt(), 0, 1, True),
        (lambda w: w[0].sqrt(), -1, 1, False),
        (lambda w: 1 / w[0], -1, 1, False),
        (lambda w: torch.where(w[0] > 0, w[0], 2 * w[0]), -1, 1, False),
        (lambda w: torch.relu(w[0]), 1, 2, True),
        (lambda w: w[0].tan(), 1, 2, False),
        (lambda w: torch.remainder(w[0], 1.0), 0.8, 1.1, False),
    ],
)
def test_continuity(function: Any, low: float, high: float, expected: bool) -> None:
    _, continuous = interval_form(function, 1).with_continuity(np.array([[low]]), np.array([[high]]))
    assert continuous.tolist() == [expected]


def test_the_mean_value_form_is_tighter_on_small_boxes() -> None:
    loss = sd.landscapes.himmelblau()
    gradient, hessian = torch.func.grad(loss.one_point), torch.func.jacrev(torch.func.grad(loss.one_point))
    low = np.random.default_rng(2).uniform(-4, 4, (500, 2))
    high = low + 1e-3
    center = (low + high) / 2
    field, slope = interval_form(gradient, 2), interval_form(hessian, 2)
    natural = field(low, high)
    slopes = iv.Interval(*(bound.reshape(-1, 2, 2) for bound in slope(low, high)))
    better = mean_value(field(center, center), slopes, center, low, high)
    values = loss.gradient(samples(low, high))
    for bound in (natural, better):
        assert ((values >= bound.lower) & (values <= bound.upper)).all()
    assert (better.upper - better.lower).mean() < (natural.upper - natural.lower).mean()


def test_many_boxes_go_through_in_chunks() -> None:
    low, high = boxes(7, 9001, 2)
    form = interval_form(lambda w: (w[0] * w[1]).sin() + w @ w, 2)
    together = form(low, high)
    for start in (0, 4095, 9000):
        alone = form(low[start : start + 1], high[start : start + 1])
        assert together.lower[start] == alone.lower[0]
        assert together.upper[start] == alone.upper[0]
    assert form(low[:0], high[:0]).lower.shape == (0, 1)
