"""Argument checks: what passes, what is refused, and that the message names the argument."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import samdyn as sd
from samdyn.arguments import checks


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), np.array(2.0)])
def test_numbers_pass(value: object) -> None:
    result = checks.number("rho", value, at_least=0)
    assert result == 2
    assert type(result) is float


@pytest.mark.parametrize("value", ["2", None, True, 1j, [1.0], np.array([1.0])])
def test_things_that_are_no_numbers(value: object) -> None:
    with pytest.raises(TypeError, match="rho must be a finite number"):
        checks.number("rho", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_numbers_that_are_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="rho must be a finite number"):
        checks.number("rho", value)


def test_bounds() -> None:
    assert checks.number("rho", 0, at_least=0) == 0
    with pytest.raises(ValueError, match=r"rho must be a finite number >= 0, got -1.0"):
        checks.number("rho", -1.0, at_least=0)
    with pytest.raises(ValueError, match=r"lr must be a finite number > 0, got 0"):
        checks.number("lr", 0, above=0)
    assert checks.number("t", math.inf, finite=False) == math.inf
    with pytest.raises(ValueError, match="t must be a number"):
        checks.number("t", math.nan, finite=False)


@pytest.mark.parametrize("value", [3, 3.0, np.int32(3)])
def test_integers_pass(value: object) -> None:
    result = checks.integer("n", value, at_least=1, below=4)
    assert result == 3
    assert type(result) is int


@pytest.mark.parametrize(
    ("value", "error"),
    [(2.5, ValueError), (0, ValueError), (4, ValueError), (math.inf, ValueError), (math.nan, ValueError),
     (True, TypeError), ("3", TypeError), (None, TypeError)],
)  # fmt: skip
def test_integers_that_are_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="n must be an integer >= 1 and < 4, got"):
        checks.integer("n", value, at_least=1, below=4)


@given(st.lists(st.integers(0, 4), max_size=3), st.integers(1, 4))
def test_points_keep_their_shape(leading: list[int], dim: int) -> None:
    x = np.zeros((*leading, dim), dtype=np.float32)
    result = checks.points("x", x, dim)
    assert result.shape == x.shape
    assert result.dtype == np.float64


def test_points_of_other_kinds() -> None:
    tensor = torch.ones(2, requires_grad=True)
    np.testing.assert_array_equal(checks.points("x", tensor, 2), [1, 1])
    np.testing.assert_array_equal(checks.points("x", [(1, 2)], 2), [[1, 2]])


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (1.0, ValueError, r"x must have shape \(..., 2\), got shape \(\)"),
        ([1.0, 2.0, 3.0], ValueError, r"x must have shape \(..., 2\), got shape \(3,\)"),
        ([[1.0, math.nan]], ValueError, r"x must be finite, got \[ 1. nan\]"),
        ([1.0, -math.inf], ValueError, "x must be finite"),
        ("ab", TypeError, "x must be an array of points"),
        ([[1, 2], [3]], TypeError, "x must be an array of points"),
        ([object(), object()], TypeError, "x must be an array of points"),
    ],
)
def test_points_that_are_refused(value: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        checks.points("x", value, 2)


def test_points_may_be_infinite_where_allowed() -> None:
    assert np.isinf(checks.points("x", [math.inf, 0], 2, finite=False)[0])


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        ([(0, 1)], ValueError, r"box must be a sequence of 2 .* got shape \(1, 2\)"),
        ([(0, 1), (1, 1)], ValueError, "box must have lower < upper"),
        ([(0, 1), (2, 1)], ValueError, "box must have lower < upper"),
        ([(0, 1), (0, math.inf)], ValueError, "box must be finite"),
        ([(0, 1), (0,)], TypeError, "box must be a sequence of 2"),
        ("box", TypeError, "box must be a sequence of 2"),
    ],
)
def test_boxes_that_are_refused(value: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        checks.box("box", value, 2)


def test_box_passes() -> None:
    np.testing.assert_array_equal(checks.box("box", ((-1, 1), (0, 2)), 2), [[-1, 1], [0, 2]])


def test_a_fixed_point_is_accepted_wherever_a_point_is() -> None:
    """Also by maps with momentum, whose states are longer than their points."""
    loss = sd.landscapes.double_well()
    heavy = sd.Map(loss, sd.USAM(0.1), lr=0.1, momentum=0.5)
    point = sd.fixed_points(sd.Flow(loss, sd.USAM(0.1)))[0]
    at = point.x
    for method in (loss.value, loss.gradient, loss.hessian, heavy, heavy.jacobian, heavy.states):
        assert_array_equal(method(point), method(at))
    for verb in (sd.linearize, sd.lr_window, sd.virtual_gradient, sd.perturbed_loss):
        assert repr(verb(sd.Flow(loss, sd.USAM(0.1)), point)) == repr(verb(sd.Flow(loss, sd.USAM(0.1)), at))
    assert sd.lyapunov_exponents(heavy, point, 10).exponents == pytest.approx(
        sd.lyapunov_exponents(heavy, at, 10).exponents
    )
