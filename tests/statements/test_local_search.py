"""The search for fixed points: parity on a line, steep layers, and what its coverage speaks of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import samdyn as sd


@pytest.mark.parametrize("c", [0.01, 3e-3, 1e-3, 1e-4])
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_two_attractors_in_a_row_on_a_line_cannot_be(c: float, p: float) -> None:
    """A zero lost: p - w + c tanh(k w), k = 2/c, had two attracting points and none between.

    Right: at p = 0 the three zeros 0 and +-.9575 c (u = tanh(2u)); at p = .3 the single one at p + c.
    """
    flow = sd.Flow.from_function(
        lambda w, p, c: p - w + c * torch.tanh(2 * w / c), 1, {"p": p, "c": c}, box=[(-2, 2)]
    )
    found = sd.fixed_points(flow)
    if p:
        np.testing.assert_allclose(found.x[:, 0], [p + c], rtol=1e-9)
        return
    np.testing.assert_allclose(found.x[:, 0], [-0.957504 * c, 0.0, 0.957504 * c], atol=1e-6 * c)
    assert [f.stability for f in found] == ["attracting", "repelling", "attracting"]


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_zeros_of_other_steep_functions(scale: float) -> None:
    """The same kind in other units: sin(pi w) - 2 tanh(500 w) on (-2.5, 2.5).

    Right: 0 and one zero on each side that |sin| <= 1 < 2 rules out: the origin alone, attracting. With the
    factor .5 also where sin(pi w) = .5: w = 1/6, 5/6, 13/6 and their mirror images -(1/6), -(5/6), -(13/6).
    """
    for factor, number in ((2.0, 1), (0.5, 7)):
        flow = sd.Flow.from_function(
            lambda w, a, s: s * (torch.sin(torch.pi * w / s) - a * torch.tanh(500 * w / s)),
            1,
            {"a": factor, "s": scale},
            box=[(-2.5 * scale, 2.5 * scale)],
        )
        found = sd.fixed_points(flow)
        assert len(found) == number
        signs = [p.stability for p in found]
        assert all(a != b for a, b in itertools.pairwise(signs))


@pytest.mark.parametrize("dim", [2, 3])
def test_steep_layers_are_found_by_iterates(dim: int) -> None:
    """A sentence about Newton's starts read as one about the box: "missed: 0.0" with a fixed point missed.

    Right: SAM written with sqrt(|g|^2 + 1e-12) on |w|^2/2 with the centre (1, 0, ...) has that fixed point.
    """

    def field(w: torch.Tensor) -> torch.Tensor:
        g = w - torch.cat([torch.ones(1, dtype=w.dtype), torch.zeros(dim - 1, dtype=w.dtype)])
        return -(g + 0.5 * g / torch.sqrt((g * g).sum() + 1e-12))

    flow = sd.Flow.from_function(field, dim, box=[(-2, 3)] * dim)
    found = sd.fixed_points(flow, n_starts=256)
    np.testing.assert_allclose(found.x, [np.eye(dim)[0]], atol=1e-9)
    assert found[0].stability == "attracting"
    assert "Newton start" in repr(found.coverage["all"])
