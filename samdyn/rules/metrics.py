"""Perturbations in another metric than the Euclidean one, along T^2 g.

e = rho T^2 g / abs(T g) is the largest increase of the linearised loss among the e with abs(T^-1 e) <= rho.
T is the identity for SAM, abs(x) + eta for ASAM, and any positive diagonal for the preconditioned rule;
MongeSAM measures length on the graph of the loss, and LESAM measures the increase of the loss instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import dot, unit
from samdyn.rules.blocks import mask_of, with_found
from samdyn.rules.mixtures import Normalised
from samdyn.rules.rule import Rule, fixed
from samdyn.rules.schedules import Coefficient, keep


def _is_bias(name: str) -> bool:
    """Whether a parameter of that name is a bias: bias, in_proj_bias, bias_ih_l0, but not bias_table."""
    return name == "bias" or name.endswith("_bias") or name.startswith(("bias_ih", "bias_hh"))


@dataclass(frozen=True)
class ASAM(Normalised):
    """Adaptive SAM: e = rho T^2 g / abs(T g) with T = abs(x) + eta, and T = 1 on the biases of a module.

    Parameters
    ----------
    rho : float or schedule
        Radius, relative to the weights; 0.5 by default, the authors' value for CIFAR.
    eta : float or schedule
        Added to the weights' sizes; 0.01 by default.
    largest : bool
        Whether perturbations are measured by their largest entry: e = rho T sign(g).

    Notes
    -----
    The sharpness that it looks at is invariant under rescalings of weights that leave the loss as it is,
    exactly for eta = 0 [checked numerically]. The port in davda54/sam has eta = 0 and T = abs(x) on biases
    too [read in its code], with which the best rho is about 2 [its README].

    T g is formed as it stands: where a weight times its derivative exceeds the largest float, e is not a
    number.

    References
    ----------
    Kwon, Kim, Park & Choi (ICML 2021, arXiv 2102.11600), eq. 9 [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.ASAM(0.5, eta=0.0), lr=0.1)([2.0])
    array([1.4])
    """

    rho: Coefficient = 0.5
    eta: Coefficient = 0.01
    largest: bool = fixed(False)
    _biases: tuple[int, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.flag("largest", self.largest)

    def bound(self, loss: Any) -> Rule:
        """The rule that knows the biases of a module."""
        blocks = loss.blocks if hasattr(type(loss), "blocks") else {}
        # attention and recurrent layers name theirs in_proj_bias, bias_ih_l0
        names = [name for name in blocks if _is_bias(name.rpartition(".")[2])]
        index = [i for name in names for i in range(*blocks[name].indices(loss.dim))]
        return with_found(self, _biases=tuple(index))

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, eta: Any = 0.0, **others: Any
    ) -> Tensor:
        """Rho T^2 g / abs(T g), or rho T sign(g)."""
        scale = x.abs() + eta
        if self._biases:
            bias = mask_of(self._biases, x)
            scale = scale * (1 - bias) + bias
        if self.largest:
            return rho * scale * torch.sign(gradient)
        result: Tensor = rho * scale * unit(scale * gradient)
        return result


@dataclass(frozen=True)
class PreconditionedSAM(Normalised):
    """Preconditioned SAM: e = rho D^2 C g / abs(D C g), with fixed positive diagonals C and D.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    constraint : sequence of float
        D: perturbations are measured by abs(D^-1 e). Of a single entry it counts for all coordinates.
    objective : sequence of float
        C: what the gradient is multiplied by beforehand.

    Notes
    -----
    ASAM is the rule with D = abs(x) + eta and C = 1; `InfoSAM` has a C that it learns.

    References
    ----------
    The split into constraint and objective: abstract of arXiv 2501.06603 [second-hand]; the formula from
    memory, unverified.

    Examples
    --------
    >>> import samdyn as sd
    >>> rule = sd.PreconditionedSAM(0.5, constraint=[2.0, 1.0])
    >>> sd.Map(sd.landscapes.quadratic([[1.0, 0.0], [0.0, 1.0]]), rule, lr=0.1)([1.0, 0.0])
    array([0.8, 0. ])
    """

    constraint: tuple[float, ...] = fixed((1.0,))
    objective: tuple[float, ...] = fixed((1.0,))

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("constraint", "objective"):
            keep(self, **{name: _diagonal(name, getattr(self, name))})

    def bound(self, loss: Any) -> Rule:
        """The rule itself; diagonals of another length are refused."""
        for name in ("constraint", "objective"):
            if len(getattr(self, name)) not in (1, loss.dim):
                raise ValueError(f"{name} must have {loss.dim} entries, got {len(getattr(self, name))}")
        return self

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho D^2 C g / abs(D C g)."""
        d, c = (
            torch.tensor(v, dtype=gradient.dtype, device=gradient.device)
            for v in (self.constraint, self.objective)
        )
        result: Tensor = rho * d * unit(d * c * gradient)
        return result

    @property
    def jump_radius(self) -> float | None:
        """Rho times the largest entry of D."""
        return self.coefficients()["rho"] * max(self.constraint)


def _diagonal(name: str, values: Sequence[float]) -> tuple[float, ...]:
    diagonal = checks.array(name, values, wanted="positive numbers")
    if diagonal.ndim != 1 or not len(diagonal) or not (diagonal > 0).all():
        raise ValueError(f"{name} must hold positive numbers, got {values!r}")
    return tuple(diagonal.tolist())


@dataclass(frozen=True)
class MongeSAM(Normalised):
    """Monge SAM: e = rho g / (abs(g) sqrt(1 + abs(g)^2)); SAM where g is small, and no e where it is large.

    Parameters
    ----------
    rho : float or schedule
        Radius on the graph of the loss, whose metric is I + g g^T.

    Notes
    -----
    Claim: less drawn to saddles than SAM, and invariant under reparametrisations.

    References
    ----------
    Jacobsen & Arvanitidis (arXiv 2502.08448) [formula read in a summary; it follows from the metric].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[1.0]]), sd.MongeSAM(0.5), lr=0.1)([0.75])
    array([0.635])
    """

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """Rho g / (abs(g) sqrt(1 + abs(g)^2))."""
        result: Tensor = rho * unit(gradient) * torch.rsqrt(1 + dot(gradient, gradient))
        return result


SMALLEST_NORM = 1e-12
"""Added to the norm of the gradient by LESAM."""


@dataclass(frozen=True)
class LESAM(Normalised):
    """Loss-equated SAM: e = min(budget / (abs(g) + 1e-12), rho) g / abs(g), to raise the loss by `budget`.

    Parameters
    ----------
    rho : float or schedule
        Largest radius.
    budget : float or schedule
        The increase of the loss that is looked for; the authors let it fall to 0 along half a cosine
        (`sd.schedules.CosineDecay`) at the end of training.

    References
    ----------
    Wang, Liu, Xie & Gao (ICML 2026, arXiv 2605.10183) [formula read in a public formula sheet].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[1.0]]), sd.LESAM(0.5, budget=0.1), lr=0.1)([1.0])
    array([0.89])
    """

    budget: Coefficient

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, budget: Any = 0.0, **others: Any
    ) -> Tensor:
        """min(budget / (abs(g) + 1e-12), rho) g / abs(g)."""
        along = unit(gradient)
        # its product with g is abs(g), for gradients of any size and at no further root
        radius = budget / (dot(along, gradient) + SMALLEST_NORM)
        result: Tensor = torch.where(radius < rho, radius, rho) * along
        return result

    @property
    def layer(self) -> float | None:
        """0 unless rho or the budget is 0: near g = 0 the length is rho."""
        return None if self.budget == 0 else super().layer
