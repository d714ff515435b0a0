"""`Landscape`: value, gradient and Hessian agree, on any leading shape; bad losses are refused."""

from __future__ import annotations

import math

import numpy as np
import problems
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import samdyn as sd

CATALOGUE = problems.catalogue()


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=15)
@given(data=st.data())
def test_derivatives_by_finite_differences(name: str, data: st.DataObject) -> None:
    loss = CATALOGUE[name]
    fractions = data.draw(st.lists(st.floats(0, 1), min_size=loss.dim, max_size=loss.dim))
    assert loss.box is not None
    x = loss.box[:, 0] + (loss.box[:, 1] - loss.box[:, 0]) * np.array(fractions)
    h = 1e-4 * np.eye(loss.dim)
    gradient = (loss.value(x + h) - loss.value(x - h)) / 2e-4
    hessian = (loss.gradient(x + h) - loss.gradient(x - h)) / 2e-4
    # central differences leave h^2/6 third derivatives and rounding/h
    size = 1 + np.abs(loss.value(x)) + np.abs(loss.gradient(x)).max() + np.abs(loss.hessian(x)).max()
    np.testing.assert_allclose(loss.gradient(x), gradient, atol=1e-6 * size)
    np.testing.assert_allclose(loss.hessian(x), hessian, atol=1e-6 * size)
    np.testing.assert_allclose(loss.hessian(x), loss.hessian(x).T, atol=1e-12 * size)


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=10)
@given(leading=st.lists(st.integers(0, 3), max_size=3))
def test_batching_changes_nothing(name: str, leading: list[int]) -> None:
    loss = CATALOGUE[name]
    assert loss.box is not None
    x = np.random.default_rng(3).uniform(loss.box[:, 0], loss.box[:, 1], (*leading, loss.dim))
    for verb, trailing in ((loss.value, ()), (loss.gradient, (loss.dim,)), (loss.hessian, (loss.dim,) * 2)):
        together = verb(x)
        assert together.shape == (*leading, *trailing)
        apart = np.array([verb(point) for point in x.reshape(-1, loss.dim)]).reshape(together.shape)
        np.testing.assert_allclose(together, apart, rtol=1e-12, atol=1e-12)


def test_parameters() -> None:
    loss = sd.Landscape(lambda w, a, b: a * w @ w + b, dim=2, parameters={"a": 1.0, "b": 0.0}, name="bowl")
    other = loss.with_parameters(a=3.0)
    assert (loss.value([1.0, 1.0]), other.value([1.0, 1.0])) == (2, 6)
    assert other.parameters == {"a": 3.0, "b": 0.0}
    with pytest.raises(ValueError, match="unknown parameter 'c' of bowl; it has: a, b"):
        loss.with_parameters(c=1.0)


def test_changed_parameters_drop_the_known_critical_points() -> None:
    assert sd.landscapes.saddle(1, 1).critical_points
    assert not sd.landscapes.saddle(1, 1).with_parameters(a=2.0).critical_points


def test_points_that_are_not_finite_are_evaluated() -> None:
    assert np.isnan(sd.landscapes.beale().value([math.nan, 0.0]))


def test_the_flat_loss_is_allowed_if_it_depends_on_w() -> None:
    flat = sd.Landscape(lambda w: (0 * w).sum(), dim=3)
    np.testing.assert_array_equal(flat.hessian([1.0, 2.0, 3.0]), np.zeros((3, 3)))


def test_repr() -> None:
    assert repr(sd.landscapes.saddle(1, 2)).startswith("Landscape('saddle', dim=2, box=[")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"function": 3}, TypeError, "function must be callable, got int"),
        ({"dim": 0}, ValueError, "dim must be an integer >= 1, got 0"),
        ({"dim": "2"}, TypeError, "dim must be an integer"),
        ({"name": 3}, TypeError, "name must be a string, got int"),
        ({"box": [(0, 1)]}, ValueError, "box must be a sequence of 2"),
        ({"box": [(0, 1), (1, 0)]}, ValueError, "box must have lower < upper"),
        ({"function": lambda w: w}, ValueError, r"function must return a scalar.*got shape \(2,\)"),
        (
            {"function": lambda w: w.detach().sum().item()},
            TypeError,
            "function must return a torch scalar, got float",
        ),
        ({"function": lambda w: torch.tensor(1.0)}, TypeError, "function"),
        (
            {"function": lambda w: torch.round(w).sum().long()},
            TypeError,
            "function must return a floating-point",
        ),
        ({"function": lambda w: w[7]}, TypeError, "function must take one point"),
        ({"function": lambda w: torch.tensor(w.tolist()).sum()}, TypeError, "function"),
    ],
)
def test_bad_input(arguments: dict[str, object], error: type[Exception], match: str) -> None:
    good: dict[str, object] = {"function": lambda w: w @ w, "dim": 2}
    with pytest.raises(error, match=match):
        sd.Landscape(**{**good, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", ["value", "gradient", "hessian"])
@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (1.0, ValueError, r"x must have shape \(..., 2\), got shape \(\)"),
        ([1.0, 2.0, 3.0], ValueError, r"x must have shape \(..., 2\), got shape \(3,\)"),
        ("point", TypeError, "x must be an array of points"),
    ],
)
def test_bad_points(verb: str, x: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        getattr(sd.landscapes.beale(), verb)(x)
