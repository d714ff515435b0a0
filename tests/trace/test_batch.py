"""One-point functions on batches: any leading shape, any chunk, and losses that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samdyn.landscapes.loss_check import check_scalar_loss
from samdyn.trace import batch


def curve(w: torch.Tensor) -> torch.Tensor:
    return torch.stack([w[0] * w[1], torch.sin(w[0]), w @ w])


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3), (0,), (2, 0, 3)])
def test_leading_shapes(leading: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((*leading, 2))
    result = batch.evaluate(curve, x)
    assert result.shape == (*leading, 3)
    expected = np.stack([x[..., 0] * x[..., 1], np.sin(x[..., 0]), (x**2).sum(axis=-1)], axis=-1)
    np.testing.assert_allclose(result, expected, rtol=1e-14)


def test_matrix_output() -> None:
    result = batch.evaluate(lambda w: torch.outer(w, w), np.ones((4, 3)))
    np.testing.assert_array_equal(result, np.ones((4, 3, 3)))


@pytest.mark.parametrize("values", [1, 8, 12, 1 << 18])
def test_chunks_change_nothing(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).standard_normal((17, 2))
    whole = batch.evaluate(curve, x)
    monkeypatch.setattr(batch, "CHUNK_VALUES", values)
    np.testing.assert_allclose(batch.evaluate(curve, x), whole, rtol=1e-15)


def test_input_is_left_alone_and_strides_do_not_matter() -> None:
    x = np.asfortranarray(np.arange(12.0).reshape(6, 2))[::2]
    before = x.copy()
    result = batch.evaluate(lambda w: (w * 2).sum(), x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(result, 2 * before.sum(axis=1))


def test_captured_parameter_that_wants_a_gradient() -> None:
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    assert batch.evaluate(lambda w: w @ weight, np.array([1.0, 2.0])) == 3


def test_corners() -> None:
    assert sorted(map(tuple, batch.corners(np.array([[0.0, 1.0], [2.0, 3.0]])))) == [
        (0, 2),
        (0, 3),
        (1, 2),
        (1, 3),
    ]


@pytest.mark.parametrize(
    ("function", "error", "match"),
    [
        (lambda w: w, ValueError, r"function must return a scalar.*got shape \(2,\)"),
        (lambda w: w.sum()[None], ValueError, r"function must return a scalar.*got shape \(1,\)"),
        (lambda w: 1.0, TypeError, "function must return a torch scalar, got float"),
        (lambda w: w[0].item(), TypeError, "function must return a torch scalar, got float"),
        (lambda w: w[5], TypeError, r"function must take one point.*shape \(2,\).*IndexError"),
        (lambda w: np.sin(w).sum(), TypeError, "function must take one point.*RuntimeError"),
        (lambda w: w.detach().sum(), TypeError, "function"),
        (lambda w: torch.argmax(w), TypeError, "function must return a floating-point scalar.*int64"),
        (lambda w: w.sum() * w[0].item(), TypeError, "function cannot be differentiated"),
        (lambda w: w.sum() if w[0] > 0 else -w.sum(), TypeError, "function cannot be differentiated"),
    ],
)
def test_losses_that_are_refused(function: object, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        check_scalar_loss(function, 2, np.array([0.3, 0.6]))  # type: ignore[arg-type]
