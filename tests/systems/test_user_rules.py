"""Rules of a user's own: products are right, or the rule is refused with what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import samdyn as sd


@dataclass(frozen=True)
class Squared(sd.Rule):
    """e = rho g |g|."""

    rho: float = 0.1

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        return rho * gradient * gradient.norm()


@dataclass(frozen=True)
class Detached(sd.Rule):
    """The same, taken out of the graph."""

    rho: float = 0.1

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        return rho * gradient.detach() * gradient.norm().detach()


@dataclass(frozen=True)
class Signs(sd.Rule):
    """The ascent in the largest coordinate, whose derivative is 0 nearly everywhere."""

    rho: float = 0.1

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        return rho * torch.sign(gradient)


LOSS = sd.landscapes.himmelblau()
POINT = np.array([0.3, -0.4])


@pytest.mark.parametrize("rule", [Squared(), Signs()], ids=repr)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_products_of_differentiable_rules(rule: sd.Rule, momentum: float) -> None:
    step = sd.Map(LOSS, rule, lr=1e-3, momentum=momentum)
    operator, dense = step.operator(POINT), step.jacobian(POINT)
    np.testing.assert_allclose(operator @ np.eye(len(dense)), dense, rtol=1e-10)


@pytest.mark.parametrize("view", ["map", "momentum", "flow"])
def test_rules_that_leave_the_graph_are_refused(view: str) -> None:
    system = {
        "map": sd.Map(LOSS, Detached(), lr=1e-3),
        "momentum": sd.Map(LOSS, Detached(), lr=1e-3, momentum=0.9),
        "flow": sd.Flow(LOSS, Detached()),
    }[view]
    with pytest.raises(ValueError, match="rule must be differentiable by torch"):
        system.operator(POINT)
    with pytest.raises(ValueError, match="rule must be differentiable by torch"):
        sd.spectrum(system, POINT)


def test_a_rule_whose_perturbation_is_misspelt_is_refused() -> None:
    @dataclass(frozen=True)
    class Misspelt(sd.Rule):
        rho: float = 0.1

        def perturbations(self, x: Tensor, gradient: Tensor, rho: Any) -> Tensor:
            return rho * gradient

    with pytest.raises(TypeError, match="rule must define perturbation"):
        sd.Map(LOSS, Misspelt(), lr=1e-3)

    @dataclass(frozen=True)
    class Heir(sd.SAM):
        """What a class inherits counts."""

        share: float = 1.0

    sd.Map(LOSS, Heir(0.1), lr=1e-3)
