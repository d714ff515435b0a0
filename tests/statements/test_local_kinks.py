"""Flows on losses with kinks slide along them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.dynamics.kinks import has_kinks


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.1)], ids=repr)
def test_a_path_reaches_the_kink_and_stays(rule: sd.Rule) -> None:
    """A path lost: trajectories of |w0| + w1^2/2 ended in inf. Right: max(0, 1 - t) and exp(-(1 + rho) t)."""
    loss = sd.Landscape(lambda w: w[0].abs() + w[1] ** 2 / 2, 2, [(-2, 2)] * 2)
    path = sd.trajectory(sd.Flow(loss, rule), [1.0, 1.0], t_max=2.0, dt=0.02)
    t = np.linspace(0, 2, 101)
    rate = 1.1 if isinstance(rule, sd.USAM) else 1.0
    # USAM looks across the kink from within rho of it, and is at rest in the mean there
    reach = 0.1 if isinstance(rule, sd.USAM) else 0.0
    far = 1 - t > reach + 0.01
    np.testing.assert_allclose(path[far, 0], 1 - t[far], atol=3e-3)
    np.testing.assert_allclose(path[t > 1.05, 0], 0, atol=3e-3)
    np.testing.assert_allclose(path[:, 1], np.exp(-rate * t), atol=2e-3)


def test_a_path_slides_along_a_tilted_kink() -> None:
    """Right: on max(w0, -2 w0) + w1 the path meets w0 = 0 at t = 1 and goes on along it with w1' = -1."""
    loss = sd.Landscape(lambda w: torch.maximum(w[0], -2 * w[0]) + w[1], 2)
    path = sd.trajectory(sd.Flow(loss, sd.GD()), [1.0, 0.0], t_max=2.0, dt=0.02)
    t = np.linspace(0, 2, 101)
    np.testing.assert_allclose(path[:, 0], np.maximum(0, 1 - t), atol=5e-3)
    np.testing.assert_allclose(path[:, 1], -t, atol=1e-9)


def test_which_losses_have_kinks() -> None:
    """Right: by their gradients."""
    for function, kinks in (
        (lambda w: torch.relu(w[0]) + w[1] ** 2, True),
        (lambda w: torch.clamp(w[0], -1, 1) * w[1], True),
        (lambda w: torch.tanh(w[0]) * w[1], False),
    ):
        assert has_kinks(sd.Landscape(function, 2)) is kinks  # type: ignore[arg-type]


def test_a_list_of_fixed_points_says_that_kinks_are_not_searched() -> None:
    """A list that reads as complete: the origin of |w0| + w1^2/2 is missing from it. Right: it says so."""
    loss = sd.Landscape(lambda w: w[0].abs() + w[1] ** 2 / 2, 2, [(-2, 2)] * 2)
    assert "the loss may have kinks" in repr(sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=64))
    assert "kinks" not in repr(sd.fixed_points(sd.Flow(sd.landscapes.beale(), sd.GD()), n_starts=64))
