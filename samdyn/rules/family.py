"""The rules that everything is compared on: GD, USAM, SAM and the one-parameter family between the last
two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import dot, unit
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

    def parts(self, coefficients: Mapping[str, Any] | None = None) -> tuple[Any, Any] | None:
        """(0, 0)."""
        return 0.0, 0.0


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

    def parts(self, coefficients: Mapping[str, Any] | None = None) -> tuple[Any, Any] | None:
        """(rho, 0)."""
        return _given(self, coefficients)["rho"], 0.0


@dataclass(frozen=True)
class SAM(Rule):
    """Normalised SAM, the optimiser of practice: e = rho g / |g|, and e = 0 where g = 0.

    Parameters
    ----------
    rho : float or schedule
        Perturbation radius, in units of the weights.
    eps : float
        What implementations add to the norm: e = rho g / (abs(g) + eps); 0 by default, 1e-12 in training
        code. Up to about 1e-6 the perturbation falls in a layer of gradients that no step resolves, and the
        rule counts as one that jumps (`Rule.layer`); beyond it is smooth, USAM of radius rho / eps near
        critical points.

    References
    ----------
    Foret et al. (ICLR 2021).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.SAM(0.5), lr=0.1)([1.0])
    array([0.7])
    """

    rho: Coefficient
    eps: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        _check_eps(self.eps)  # first: whether it is 0 decides what the coefficients are
        super().__post_init__()

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """Names of the coefficients; eps counts where it is not 0."""
        return ("rho", "eps") if self.eps else ("rho",)

    @property
    def layer(self) -> float | None:
        """0 without eps, unless rho is 0: g/abs(g) has no limit where g = 0."""
        if self.rho == 0:
            return None
        return super().layer if self.eps else 0.0

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, eps: Any = None, **others: Any
    ) -> Tensor:
        """Rho g/(|g| + eps)."""
        return rho * unit(gradient) if eps is None else rho * _softened(gradient, eps)

    def parts(self, coefficients: Mapping[str, Any] | None = None) -> tuple[Any, Any] | None:
        """(0, rho); None with an eps."""
        return None if self.eps else (0.0, _given(self, coefficients)["rho"])

    def __repr__(self) -> str:
        return f"SAM(rho={self.rho}{_eps(self.eps)})"


@dataclass(frozen=True)
class UnifiedSAM(Rule):
    """Unified SAM: e = rho (1 - lam + lam/|g|) g; lam = 0 is USAM, lam = 1 is SAM.

    Parameters
    ----------
    rho : float or schedule
        Perturbation radius.
    lam : float or schedule
        Weight of the normalised part, in [0, 1].
    eps : float
        Added to the norm: lam g / (abs(g) + eps); see `SAM`.

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
    eps: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        _check_eps(self.eps)  # first: whether it is 0 decides what the coefficients are
        super().__post_init__()
        if not callable(self.lam) and checks.number("lam", self.lam) > 1:
            raise ValueError(f"lam must be a number in [0, 1] or a schedule, got {self.lam!r}")

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """Names of the coefficients; eps counts where it is not 0."""
        return ("rho", "lam", "eps") if self.eps else ("rho", "lam")

    @property
    def layer(self) -> float | None:
        """0 without eps, unless rho or lam is 0: g/abs(g) has no limit where g = 0, however small lam is."""
        if self.rho == 0 or self.lam == 0:
            return None
        return super().layer if self.eps else 0.0

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, lam: Any = 0.0, eps: Any = None, **others: Any
    ) -> Tensor:
        """Rho ((1 - lam) g + lam g/(|g| + eps))."""
        direction = unit(gradient) if eps is None else _softened(gradient, eps)
        return rho * ((1 - lam) * gradient + lam * direction)

    def parts(self, coefficients: Mapping[str, Any] | None = None) -> tuple[Any, Any] | None:
        """(rho (1 - lam), rho lam); None with an eps."""
        if self.eps:
            return None
        values = _given(self, coefficients)
        return values["rho"] * (1 - values["lam"]), values["rho"] * values["lam"]

    def __repr__(self) -> str:
        return f"UnifiedSAM(rho={self.rho}, lam={self.lam}{_eps(self.eps)})"


def _given(rule: Rule, coefficients: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return rule.coefficients() if coefficients is None else coefficients


def _softened(gradient: Any, eps: Any) -> Any:
    """g / (|g| + eps), eps > 0, with the derivative 1/eps at g = 0."""
    direction = unit(gradient)
    size = dot(gradient, direction)
    # near 0 the quotient is g/eps; the direction alone has no derivative there
    return gradient / (size + eps)


def _check_eps(eps: Any) -> None:
    if callable(eps):
        raise TypeError(f"eps must be a number, not a schedule, got {eps!r}")
    checks.number("eps", eps, at_least=0)


def _eps(eps: float) -> str:
    return f", eps={eps:g}" if eps else ""
