"""Rules whose own field jumps away from the critical points of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.equilibria.kinks.following_orbits import field_jumps, followed_stability
from samdyn.numerics.vector import dot, unit


@dataclass(frozen=True)
class GSAM(sd.Rule):
    """Descends along P less alpha times the part of g across P (Zhuang et al., ICLR 2022)."""

    rho: float
    alpha: float

    def perturbation(self, x: Any, gradient: Any, rho: float, alpha: float) -> Any:
        """Rho g/|g|."""
        return rho * unit(gradient)

    def combine(self, gradient: Any, perturbed: Any, rho: float, alpha: float) -> Any:
        """P - alpha (g - (g . n) n), n = P/|P|."""
        n = unit(perturbed)
        return perturbed - alpha * (gradient - dot(gradient, n) * n)


@dataclass(frozen=True)
class Toward(sd.Rule):
    """Descends along P + strength P/|P|, which jumps where P = 0 and draws orbits there."""

    rho: float
    strength: float

    def perturbation(self, x: Any, gradient: Any, rho: float, strength: float) -> Any:
        """Rho g/|g|."""
        return rho * unit(gradient)

    def combine(self, gradient: Any, perturbed: Any, rho: float, strength: float) -> Any:
        """P + strength P/|P|."""
        return perturbed + strength * unit(perturbed)


WELL = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2, 2, [(-2, 2), (-1, 1)])


def test_a_hallucinated_point_of_a_field_that_jumps_has_no_eigenvalues() -> None:
    """A label from rounding: "marginal, 2.162e+15" where P/|P| jumps at P = 0.

    Right: no eigenvalues, and one of the labels of orbits, or "jump" where they do not decide.
    """
    found = sd.fixed_points(sd.Flow(WELL, GSAM(0.3, 0.2)), n_starts=512).hallucinated
    for point in found:
        assert np.isnan(point.eigenvalues).all()
        assert point.stability in ("trapping", "repelling", "saddle", "jump")
    assert "e+1" not in repr(found)


def test_orbits_that_are_drawn_to_a_jump_are_said_to_be() -> None:
    """The same with a known answer. Right: on (w^2 - 1)^2/4 with rho = 1.5 the points -+.5, whose perturbed
    points are the minima beyond the maximum, attract SAM, and with P/|P| added they trap.
    """
    loss = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4, 1, [(-2, 2)])
    found = sd.fixed_points(sd.Flow(loss, Toward(1.5, 0.2)), n_starts=512).hallucinated
    at = [p for p in found if abs(abs(p.x[0]) - 0.5) < 1e-6]
    assert [p.stability for p in at] == ["trapping", "trapping"]
    assert all(np.isnan(p.eigenvalues).all() for p in at)


def test_rules_of_samdyn_keep_their_eigenvalues() -> None:
    """Right: SAM's field is smooth at its hallucinated points."""
    for point in sd.fixed_points(sd.Flow(WELL, sd.SAM(0.3)), n_starts=512).hallucinated:
        assert np.isfinite(point.eigenvalues).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_jump_is_told_from_a_steep_slope(scale: float) -> None:
    """Decisions by magnitudes. Right: a jump is as large at a thousandth of the distance, in any unit."""
    origin = np.zeros((1, 2))
    for field, jumps in (
        (lambda w: -scale * np.sign(w), True),
        (lambda w: -scale * 1e3 * w, False),
        (lambda w: scale * (np.sqrt(np.abs(w)) + 1), False),
        (lambda w: 0 * w + scale, False),
    ):
        assert field_jumps(field, origin, 1.0)[0] == jumps
    assert followed_stability(lambda w: -scale * np.sign(w), np.zeros(2), 1.0) == "trapping"
    saddle = followed_stability(lambda w: scale * np.stack([-np.sign(w[:, 0]), w[:, 1]], 1), np.zeros(2), 1.0)
    assert saddle == "saddle"


@pytest.mark.parametrize("rule", [sd.GSAM(0.3, 0.2), GSAM(0.3, 0.2), sd.LookbehindSAM(0.3)], ids=str)
def test_a_linearization_at_such_a_point_claims_nothing(rule: sd.Rule) -> None:
    """A label from rounding (b): `linearize` said "marginal" and "repelling" where the list says "jump".

    Right: no eigenvalues where the field jumps, and those of differences where it does not.
    """
    for system in (sd.Flow(WELL, rule), sd.Map(WELL, rule, lr=0.1)):
        for point in sd.fixed_points(system, n_starts=32).hallucinated:
            there = sd.linearize(system, point)
            assert np.isnan(there.eigenvalues).all() == np.isnan(point.eigenvalues).all()
            assert (there.stability == "jump") == np.isnan(there.eigenvalues).all()
    smooth = sd.linearize(sd.Map(WELL, rule, lr=0.1), [0.4, 0.3])
    assert np.isfinite(smooth.eigenvalues).all()
