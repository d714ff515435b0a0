"""The inlined power of two against the library's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samdyn.numerics.power_of_2 import power_of_two


def test_single_precision_is_exact_to_rounding() -> None:
    x = -torch.linspace(0, 125.9, 1_000_003)
    error = power_of_two(x).double() / 2.0 ** x.double() - 1
    assert error.abs().max() < 2.0e-7
    assert abs(float(error.mean())) < 2e-8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_special_values(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, -0.5, -1.0, -24.0, -1e30, -torch.inf], dtype=dtype)
    y = power_of_two(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y[:4], [1, 0.5**0.5, 0.5, 2.0**-24], rtol=2e-7)
    assert (y[4:] <= 2.0**-126).all()
    assert power_of_two(torch.tensor([torch.nan], dtype=dtype)).isnan().all()
