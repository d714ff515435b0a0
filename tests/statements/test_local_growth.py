"""Transient growth asks what its matrix belongs to."""

from __future__ import annotations

import unittest.mock
from typing import Any

import numpy as np
import pytest

import samdyn as sd


def test_an_array_without_its_kind_is_refused() -> None:
    """A label given before it is established: the Jacobian of a stable flow was called an unstable map's.

    Right: diag(-2, -3) is a stable flow and an unstable map, so the kind must be said.
    """
    with pytest.raises(TypeError, match="discrete must be given"):
        sd.transient_growth(np.diag([-2.0, -3.0]))
    assert sd.transient_growth(np.diag([-2.0, -3.0]), discrete=False).largest == 1.0
    assert sd.transient_growth(np.diag([-2.0, -3.0]), discrete=True).largest == np.inf


@pytest.mark.parametrize("kind", ["flow", "False", 1, None, 0.0])
def test_a_kind_that_is_no_truth_value_is_refused(kind: Any) -> None:
    """The same: "False" is true in Python."""
    with pytest.raises(TypeError, match="discrete must be"):
        sd.transient_growth(np.diag([0.5]), kind)


def test_a_linearization_knows_its_kind() -> None:
    """Right: as its own method says; a contradiction is refused."""
    loss = sd.landscapes.quadratic(np.diag([2.0, 3.0]))
    flow, step = sd.Flow(loss, sd.USAM(0.1)), sd.Map(loss, sd.USAM(0.1), lr=0.1)
    for system, discrete in ((flow, False), (step, True)):
        at = sd.linearize(system, [0.0, 0.0])
        assert sd.transient_growth(at).discrete is discrete
        assert sd.transient_growth(at).largest == at.transient_growth().largest == 1.0
        with pytest.raises(ValueError, match="discrete must agree"):
            sd.transient_growth(at, not discrete)


def test_a_large_matrix_is_announced() -> None:
    """A cost that nobody is told before: the Kreiss constant alone takes 40 (48 + n) decompositions."""
    a = -np.eye(300) - np.triu(np.ones((300, 300)), 1) * 0.01
    with (
        unittest.mock.patch("samdyn.equilibria.stability.growth.expm", side_effect=KeyboardInterrupt),
        pytest.warns(sd.CostWarning, match=r"transient_growth will take about .* kreiss=False"),
        pytest.raises(KeyboardInterrupt),
    ):
        sd.transient_growth(a, discrete=False)
