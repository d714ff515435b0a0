"""`Rule.parts` is what the perturbation is made of, and None where it is made of something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.numerics.vector import unit

RULES = [
    sd.GD(),
    sd.rules.Rule(),
    sd.USAM(0.3),
    sd.SAM(0.4),
    sd.UnifiedSAM(0.3, 0.75),
    sd.Extragradient(0.2),
    sd.WarmStart(sd.SAM(0.4), 3),
]


@pytest.mark.parametrize("step", [0, 5])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_parts_make_the_perturbation(rule: sd.Rule, step: int) -> None:
    x, g = torch.tensor([[0.3, -1.0], [2.0, 0.5]], dtype=torch.float64)
    coefficients = rule.coefficients(step)
    parts = rule.parts(coefficients)
    assert parts is not None
    expected = parts[0] * g + parts[1] * unit(g)
    torch.testing.assert_close(rule.perturbation(x, g, **coefficients), expected, rtol=1e-14, atol=0)
    assert rule.parts() == rule.parts(rule.coefficients(0))
    assert rule.perturbs == (rule not in (sd.GD(), sd.rules.Rule()))


def test_coefficients_may_be_one_for_each_path() -> None:
    rho = np.array([0.0, 0.1, 0.2])
    linear, normalised = sd.UnifiedSAM(0.3, 0.5).parts({"rho": rho, "lam": 0.25}) or (None, None)
    np.testing.assert_allclose(linear, 0.75 * rho)
    np.testing.assert_allclose(normalised, 0.25 * rho)


def test_rules_of_another_form_have_none() -> None:
    """One label under another form: a class that overrides the step must not inherit the parts."""

    @dataclass(frozen=True)
    class Scaled(sd.USAM):
        def perturbation(self, x: Any, gradient: Any, rho: Any = 0.0, **others: Any) -> Any:
            return rho * x**2 * gradient

    @dataclass(frozen=True)
    class Averaged(sd.SAM):
        def combine(self, gradient: Any, perturbed: Any, **coefficients: Any) -> Any:
            return (gradient + perturbed) / 2

    @dataclass(frozen=True)
    class Renamed(sd.USAM):
        pass

    others = [Scaled(0.1), Averaged(0.1), sd.SAM(0.1, eps=0.1), sd.DNSAM(0.1), sd.PastExtragradient(0.1)]
    assert [rule.parts() for rule in others] == [None] * 5
    assert all(rule.perturbs for rule in others)
    assert Renamed(0.1).parts() == (0.1, 0.0)
    # a rule that the closed forms used to take for plain USAM
    flow = sd.Flow(sd.landscapes.quadratic(np.diag([1.0, 2.0])), Scaled(0.1))
    with pytest.raises(ValueError, match="must be one-dimensional or on a quadratic"):
        sd.virtual_loss(flow)
