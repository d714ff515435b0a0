"""Vectors in both layouts: the same arithmetic, and a unit vector of length one at any magnitude."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samdyn.numerics.vector import Coordinates, dot, norm, unit

numbers = st.floats(-10, 10, allow_subnormal=False)
pairs = st.lists(st.tuples(*[numbers] * 3), min_size=1, max_size=5)


def coordinates(x: torch.Tensor) -> Coordinates:
    return Coordinates(x.unbind(-1))


def stacked(c: Coordinates) -> torch.Tensor:
    return torch.stack(tuple(c), dim=-1)


@given(pairs)
def test_arithmetic_is_that_of_stacked_tensors(rows: list[tuple[float, float, float]]) -> None:
    x = torch.tensor(rows, dtype=torch.float64)
    y = x.flip(-1) + 1
    a, b = coordinates(x), coordinates(y)
    scale = x[:, 0]
    for got, expected in [
        (a + b, x + y), (a - b, x - y), (a * b, x * y), (2 * a, 2 * x), (a + 1, x + 1), (1 - a, 1 - x),
        (a * scale, x * scale[:, None]), (scale * a, x * scale[:, None]), (-a, -x), (abs(a), x.abs()),
        (a / 4, x / 4), (1 + a, 1 + x), (a - 1, x - 1),
    ]:  # fmt: skip
        assert isinstance(got, Coordinates)
        assert torch.equal(stacked(got), expected)
    torch.testing.assert_close(dot(a, b), dot(x, y)[:, 0])
    torch.testing.assert_close(norm(a), torch.linalg.vector_norm(x, dim=-1))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        Coordinates((torch.ones(2), torch.ones(2))) + Coordinates((torch.ones(2),))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=4), st.integers(-300, 300))
def test_unit_has_length_one_at_any_magnitude(direction: list[float], exponent: int) -> None:
    raw = np.array(direction)
    if np.abs(raw).max() < 1e-3:
        raw = raw + 1.0
    g = torch.tensor(raw * 10.0**exponent, dtype=torch.float64)
    u = unit(g)
    np.testing.assert_allclose(np.linalg.norm(u), 1, rtol=1e-14)
    np.testing.assert_allclose(u, raw / np.linalg.norm(raw), rtol=1e-12, atol=1e-15)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=4), st.integers(-150, 150))
def test_unit_of_coordinates(direction: list[float], exponent: int) -> None:
    raw = np.array(direction)
    if np.abs(raw).max() < 1e-3:
        raw = raw + 1.0
    g = torch.tensor(raw * 10.0**exponent, dtype=torch.float64)
    u = unit(coordinates(g[None]))
    np.testing.assert_allclose(np.linalg.norm(stacked(u)), 1, rtol=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_of_zero_is_zero(dim: int, dtype: torch.dtype) -> None:
    g = torch.zeros(3, dim, dtype=dtype)
    assert torch.equal(unit(g), g)
    assert torch.equal(stacked(unit(coordinates(g))), g)


def test_a_zero_row_does_not_disturb_its_neighbours() -> None:
    g = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    expected = torch.tensor([[0.6, 0.8], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(unit(g), expected)
    torch.testing.assert_close(stacked(unit(coordinates(g))), expected)


def test_one_dimension_is_the_sign() -> None:
    g = torch.tensor([[-1e-320], [0.0], [1e308]], dtype=torch.float64)
    assert torch.equal(unit(g)[:, 0], torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    assert torch.equal(unit(coordinates(g))[0], torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))


def test_derivative_of_unit() -> None:
    g = torch.tensor([3.0, -4.0, 12.0], dtype=torch.float64)
    u = g / 13
    expected = (torch.eye(3, dtype=torch.float64) - torch.outer(u, u)) / 13
    torch.testing.assert_close(torch.func.jacfwd(unit)(g), expected)
    torch.testing.assert_close(torch.func.jacrev(unit)(g), expected)
    zero = torch.zeros(3, dtype=torch.float64)
    assert torch.func.jacfwd(unit)(zero).isfinite().all()
    assert torch.func.jacrev(unit)(zero).isfinite().all()
