"""DNSAM: the batch's gradient direction, divided by the norm of the full gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.numerics.vector import norm, unit
from samdyn.rules.rule import Rule
from samdyn.rules.schedules import Coefficient


@dataclass(frozen=True)
class DNSAM(Rule):
    """Deterministically normalised SAM: e = rho g_S / |grad f|, with g_S the batch's gradient.

    Parameters
    ----------
    rho : float or schedule
        Perturbation radius, in units of the weights.

    Notes
    -----
    It differs from SAM only where gradients are taken over batches (`Minibatch` noise): with the full
    gradient it is SAM.

    References
    ----------
    Monzio Compagnoni et al. (ICML 2023, arXiv 2301.08203) [definition from memory].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.DNSAM(0.5), lr=0.1)([1.0])
    array([0.7])
    """

    rho: Coefficient
    uses_full_gradient: ClassVar[bool] = True

    @property
    def jumps(self) -> bool:
        """True unless rho = 0."""
        return self.rho != 0

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, full_gradient: Any = None, **others: Any
    ) -> Tensor:
        """Rho g_S / |grad f|."""
        if full_gradient is None:
            sam: Tensor = rho * unit(gradient)
            return sam
        size = norm(full_gradient)
        there = size > 0
        # a quotient first: both may be so small, or so large, that a product with the inverse is not defined
        return torch.where(there, rho * (gradient / torch.where(there, size, 1.0)), 0.0)
