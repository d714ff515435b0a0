"""The rules that everything is compared on: GD, USAM, SAM and the one-parameter family between the last
two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from samdyn.compute import checks
from samdyn.compute.vector import unit
from samdyn.rules.rule import GradientFunction, Rule
from samdyn.rules.schedules import Coefficient


@dataclass(frozen=True)
class GD(Rule):
    """Gradient descent: no perturbation, e = 0. With noise it is SGD.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.GD(), lr=0.25)([1.0])
    array([0.5])
    """

    def descent(
        self, x: Tensor, ascent: GradientFunction, gradient: GradientFunction, **coefficients: Any
    ) -> Tensor:
        """The gradient at x itself."""
        return gradient(x)


@dataclass(frozen=True)
class USAM(Rule):
    """Unnormalised SAM: e = rho g.

    Parameters
    ----------
    rho : float or schedule
        Perturbation radius, in units of 1/curvature.

    References
    ----------
    Andriushchenko & Flammarion (ICML 2022); the rule of the theorems of Kim et al. (arXiv 2301.06308).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.USAM(0.5), lr=0.1)([1.0])
    array([0.6])
    """

    rho: Coefficient

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho g."""
        return rho * gradient


@dataclass(frozen=True)
class SAM(Rule):
    """Normalised SAM, the optimiser of practice: e = rho g / |g|, and e = 0 where g = 0.

    Parameters
    ----------
    rho : float or schedule
        Perturbation radius, in units of the weights.

    References
    ----------
    Foret et al. (ICLR 2021), without the number that implementations add to the norm.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.SAM(0.5), lr=0.1)([1.0])
    array([0.7])
    """

    rho: Coefficient

    @property
    def jumps(self) -> bool:
        """True unless rho = 0: g/|g| has no limit where g = 0."""
        return self.rho != 0

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho g/|g|."""
        return rho * unit(gradient)


@dataclass(frozen=True)
class UnifiedSAM(Rule):
    """Unified SAM: e = rho (1 - lam + lam/|g|) g; lam = 0 is USAM, lam = 1 is SAM.

    Parameters
    ----------
    rho : float or schedule
        Perturbation radius.
    lam : float or schedule
        Weight of the normalised part, in [0, 1].

    References
    ----------
    Oikonomou & Loizou (ICLR 2025, arXiv 2503.02225).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.UnifiedSAM(0.5, lam=0.5), lr=0.1)([1.0])
    array([0.65])
    """

    rho: Coefficient
    lam: Coefficient

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.lam) and checks.number("lam", self.lam) > 1:
            raise ValueError(f"lam must be a number in [0, 1] or a schedule, got {self.lam!r}")

    @property
    def jumps(self) -> bool:
        """True unless rho = 0 or lam = 0."""
        return self.rho != 0 and self.lam != 0

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, lam: Any = 0.0, **others: Any
    ) -> Tensor:
        """Rho ((1 - lam) g + lam g/|g|)."""
        return rho * ((1 - lam) * gradient + lam * unit(gradient))
