r"""Rules that perturb as SAM does and mix the two gradients: g at x, and P at x + rho g/abs(g).

=========  =====================================================================================
GSAM       :math:`P - \alpha (g - (g \cdot p) p), \quad p = P/|P|`
WSAM       :math:`(1 - a) g + a P, \quad a = \gamma / (1 - \gamma)`
StableSAM  :math:`|g|\, P/|P|`
PolyakSAM  :math:`\min\bigl(1, [f(x + e) - \text{lower} - P \cdot e]_+ / (\eta |P|^2)\bigr)\, P`
=========  =====================================================================================

A point where P = 0 and g does not vanish is a fixed point of SAM. GSAM moves there uphill, by alpha g; a
fixed point of WSAM has P = ((2 gamma - 1)/gamma) g; StableSAM rests there, with a field that jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import dot, norm, unit
from samdyn.rules.oracle import loss_value
from samdyn.rules.rule import GradientFunction, Memory, Rule, Update, fixed
from samdyn.rules.schedules import Coefficient, keep


@dataclass(frozen=True)
class Normalised(Rule):
    """A rule that divides by a norm of the gradient, so that its perturbation keeps its length near g = 0."""

    rho: Coefficient

    @property
    def layer(self) -> float | None:
        """0 unless rho is 0: the perturbation has no limit where g = 0."""
        return None if self.rho == 0 else 0.0


@dataclass(frozen=True)
class Perturbed(Normalised):
    """A rule whose perturbation is SAM's, rho g/abs(g), whatever it does with it."""

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho g/abs(g)."""
        result: Tensor = rho * unit(gradient)
        return result

    @property
    def jump_radius(self) -> float | None:
        """Rho."""
        return self.coefficients()["rho"]


@dataclass(frozen=True)
class GSAM(Perturbed):
    """Surrogate gap guided SAM: the step P - alpha g_perp, with g_perp the part of g that is normal to P.

    Parameters
    ----------
    rho : float or schedule
        Radius; the authors let it follow lr, from rho_max at the largest lr to rho_min at the smallest.
    alpha : float or schedule
        Weight of the ascent along g_perp; 0.4 by default.

    Notes
    -----
    Claim: it lowers the surrogate gap f(x + e) - f(x) too, about rho^2/2 times the largest eigenvalue near
    minima [from memory, unverified]. alpha = 0 is SAM.

    References
    ----------
    Zhuang et al. (ICLR 2022, arXiv 2203.08065), algorithm 1 [rule read in public code].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.saddle(1.0, 2.0), sd.GSAM(0.5, alpha=0.4), lr=0.1)([1.0, 1.0]).round(6)
    array([0.855822, 1.086411])
    """

    alpha: Coefficient = 0.4

    @property
    def jumps_elsewhere(self) -> bool:
        """True: where P = 0."""
        return True

    def combine(self, gradient: Tensor, perturbed: Tensor, alpha: Any = 0.0, **others: Any) -> Tensor:
        """P - alpha (g - (g . p) p)."""
        p = unit(perturbed)
        result: Tensor = perturbed - alpha * (gradient - dot(gradient, p) * p)
        return result


@dataclass(frozen=True)
class WSAM(Perturbed):
    """Weighted SAM: sharpness as a regulariser of weight a = gamma / (1 - gamma).

    Parameters
    ----------
    rho : float or schedule
        Radius.
    gamma : float or schedule
        Weight, below 1; 0.9 by default. gamma = 1/2 is SAM, gamma = 0 gradient descent.
    decoupled : bool
        Whether the base step (the velocity of momentum) takes g alone, and a (P - g) is subtracted past it,
        which is the authors' default; else the base step takes (1 - a) g + a P. Without momentum they agree.

    References
    ----------
    Yue et al. (KDD 2023, arXiv 2305.15817), algorithms 1 and 2 [rule read in public code].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.WSAM(0.5, gamma=0.75), lr=0.1)([1.0])
    array([0.5])
    """

    gamma: Coefficient = 0.9
    decoupled: bool = fixed(True)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.flag("decoupled", self.decoupled)
        if not callable(self.gamma) and checks.number("gamma", self.gamma) >= 1:
            raise ValueError(f"gamma must be a number in [0, 1) or a schedule, got {self.gamma!r}")

    def combine(self, gradient: Tensor, perturbed: Tensor, gamma: Any = 0.5, **others: Any) -> Tensor:
        """(1 - a) g + a P."""
        a = gamma / (1 - gamma)
        return (1 - a) * gradient + a * perturbed

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        **coefficients: Any,
    ) -> Update:
        """The combined direction, or g and a (P - g) apart."""
        if not self.decoupled:
            return Update(self.descent(x, ascent, gradient, **coefficients), memory)
        g = ascent(x)
        sharpness = gradient(x + self.perturbation(x, g, **coefficients)) - g
        gamma = coefficients["gamma"]
        return Update(g, memory, gamma / (1 - gamma) * sharpness)


@dataclass(frozen=True)
class StableSAM(Perturbed):
    """Stable SAM (SSAM): the descent gradient, scaled to the length of the one at x: abs(g) P/abs(P).

    Parameters
    ----------
    rho : float or schedule
        Radius.

    Notes
    -----
    Claim: stable for a wider range of learning rates. Where P = 0 the step is 0.

    References
    ----------
    Tan, Zhang, Liu, Wang & Hao (arXiv 2401.07250) [rule read in a public formula sheet].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.StableSAM(0.5), lr=0.1)([1.0])
    array([0.8])
    """

    @property
    def jumps_elsewhere(self) -> bool:
        """True: where P = 0."""
        return True

    def combine(self, gradient: Tensor, perturbed: Tensor, **others: Any) -> Tensor:
        """abs(g) P/abs(P)."""
        result: Tensor = norm(gradient) * unit(perturbed)
        return result


@dataclass(frozen=True)
class PolyakSAM(Perturbed):
    """SAM with a stochastic Polyak step (SAM-SPS), the learning rate being its largest value.

    The step is min(lr, [f(x + e) - lower - P . e]_+ / abs(P)^2) P.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    lower : float
        A lower bound of the loss of every batch; 0 by default.
    normalised : bool
        Whether e = rho g/abs(g) (the default) or e = rho g, for which the authors' [.]_+ is redundant on
        convex losses with rho <= 1/L.

    Notes
    -----
    The step divides by abs(P)^2: where that overflows, above abs(P) = 1e154 in float64, it is 0.

    References
    ----------
    Oikonomou & Loizou (ICML 2026, arXiv 2606.01827) [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.PolyakSAM(0.5), lr=10.0)([1.0]).round(6)
    array([0.75])
    """

    lower: float = fixed(0.0)
    normalised: bool = fixed(True)
    needs: ClassVar[tuple[str, ...]] = ("values",)
    uses_lr: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, lower=checks.number("lower", self.lower))
        checks.flag("normalised", self.normalised)

    @property
    def layer(self) -> float | None:
        """0 for the normalised perturbation, unless rho is 0."""
        return super().layer if self.normalised else None

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho g/abs(g), or rho g."""
        result: Tensor = rho * (unit(gradient) if self.normalised else gradient)
        return result

    def descent(
        self,
        x: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        lr: Any = None,
        **coefficients: Any,
    ) -> Tensor:
        """The step over lr; without lr its limit for small ones, P where the bracket is positive."""
        e = self.perturbation(x, ascent(x), **coefficients)
        p = gradient(x + e)
        above = loss_value(gradient, x + e) - self.lower - dot(p, e)
        square = dot(p, p)
        if lr is None:
            return torch.where(above > 0, p, torch.zeros_like(p))
        # where P vanishes the step is lr P, which has a derivative there
        share = torch.where(square > 0, above / (lr * torch.where(square > 0, square, 1.0)), 1.0)
        return torch.where(above > 0, torch.where(share < 1, share, 1.0) * p, torch.zeros_like(p))
