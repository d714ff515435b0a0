"""Branches of hallucinated points: none is lost where it begins. Kind of fault: an early end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd


@pytest.mark.slow
def test_branches_from_a_maximum_with_nearly_equal_curvatures() -> None:
    """Early ends: at a maximum with curvatures -3.366 and -3.321 four half-branches begin, two of which had
    no first step. Right: a hallucinated point at (-1.65707, -1.74281) for rho = .758092, whose perturbed
    point is that maximum.
    """
    rng = np.random.default_rng(0)
    centres = torch.from_numpy(rng.uniform(-1.2, 1.2, (4, 2)))
    heights = torch.from_numpy(rng.uniform(-1, 1, 4))

    def f(w: torch.Tensor) -> torch.Tensor:
        return (heights * torch.exp(-((w - centres) ** 2).sum(1) / 0.5)).sum() + 0.05 * w @ w

    loss = sd.Landscape(f, 2, box=[(-2, 2)] * 2)
    rho = 0.758092144
    found = sd.hallucinated_branches(loss).at(rho).x
    x = found[np.linalg.norm(found - [-1.65707, -1.74281], axis=1).argmin()]
    np.testing.assert_allclose(x, [-1.65707, -1.74281], atol=1e-5)
    gradient = loss.gradient(x)
    y = x + rho * gradient / np.linalg.norm(gradient)
    np.testing.assert_allclose(loss.gradient(y), 0, atol=1e-9)
    assert (np.linalg.eigvalsh(loss.hessian(y)) < 0).all()
