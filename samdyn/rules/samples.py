"""Rules that look at single samples of a batch, or at the outputs of a network: ESAM, RWSAM, FunctionalSAM.

Without noise the batch is the whole sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.special import ndtri
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import unit
from samdyn.rules.bases import root
from samdyn.rules.mixtures import Perturbed
from samdyn.rules.oracle import functional_gradient, sample_terms
from samdyn.rules.rule import GradientFunction, Memory, Update, fixed
from samdyn.rules.schedules import Coefficient, keep


@dataclass(frozen=True)
class ESAM(Perturbed):
    """Efficient SAM: a random part of the weights is perturbed, and the samples that it hurts most are kept.

    e = (rho/beta) m g/abs(g), with m_i = 1 with probability beta and 0 else, and the step is the mean
    gradient at x + e of the share gamma of the samples whose losses rise most from x to x + e.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    beta : float
        Share of the weights in (0, 1]; 0.5 by default. 1 perturbs all (and draws no random numbers).
    gamma : float
        Share of the samples in (0, 1]; 0.5 by default. 1 keeps all (and needs no samples).

    Notes
    -----
    Of B samples ceil(gamma B) are kept. As in the paper the mask is drawn weight by weight and the norm is
    taken of the whole gradient; the authors' code draws it tensor by tensor, and takes the norm of the kept
    tensors. Where two samples rise alike to the last bit both are kept. beta = gamma = 1 is SAM.

    References
    ----------
    Du et al. (ICLR 2022, arXiv 2110.03141) [rule read in the authors' code and a public formula sheet].

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [0.0, 0.0])
    >>> sd.Map(loss, sd.ESAM(0.5, beta=1.0), lr=0.1)([1.0])
    array([0.4])
    """

    beta: float = fixed(0.5)
    gamma: float = fixed(0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta", "gamma"):
            value = checks.number(name, getattr(self, name), above=0)
            if value > 1:
                raise ValueError(f"{name} must be a number in (0, 1], got {value!r}")
            keep(self, **{name: value})

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Samples, where some are left out."""
        return ("samples",) if self.gamma < 1 else ()

    @property
    def jumps_elsewhere(self) -> bool:
        """Where samples are left out: as the rise of a kept one falls below that of another."""
        return self.gamma < 1

    def n_normals(self, dim: int) -> int:
        """One for each coordinate, where some are left out."""
        return dim if self.beta < 1 else 0

    def descent(
        self,
        x: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        normals: Any = None,
        **others: Any,
    ) -> Tensor:
        """The mean gradient of the kept samples at x + e."""
        e = rho * unit(ascent(x))
        if self.beta < 1:
            e = torch.where(normals < float(ndtri(self.beta)), e / self.beta, torch.zeros_like(e))
        y = x + e
        if self.gamma == 1:
            return gradient(y)
        before = sample_terms(gradient, x)[0]
        after, gradients = sample_terms(gradient, y)
        rise = after - before
        kept = math.ceil(self.gamma * len(rise) * (1 - 1e-12))
        larger = (rise[None, :] > rise[:, None]).to(rise.dtype).sum(dim=1)
        weight = (larger < kept).to(rise.dtype)
        return (weight[:, None] * gradients).sum(dim=0) / weight.sum()


@dataclass(frozen=True)
class RWSAM(Perturbed):
    """Reweighted SAM: the perturbation is along an average of the samples' gradients by Gibbs weights.

    e = rho G/abs(G), G = sum_i w_i g_i, w_i proportional to exp(temperature s_i), s_i = abs(g_i); the step is
    the batch's gradient at x + e.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    temperature : float or schedule
        How fast weights grow with the gradient's norm; 1 by default [a hypothesis]. 0 is SAM.

    Notes
    -----
    It is meant to imitate SAM by micro-batches (``sd.Minibatch(micro_batch=...)``), which is the exact m-SAM.
    That weights are Gibbs weights which grow with the norm of a sample's gradient is read in the abstract;
    that they enter the perturbation alone, and the inverse temperature, are hypotheses. The authors estimate
    the norms by finite differences; here they are exact.

    References
    ----------
    Luo et al. (arXiv 2509.18001) [abstract; formula unverified].

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [0.0, 0.0])
    >>> sd.Map(loss, sd.RWSAM(0.5), lr=0.1)([1.0])
    array([0.625])
    """

    temperature: Coefficient = 1.0
    needs: ClassVar[tuple[str, ...]] = ("samples",)

    @property
    def jumps_elsewhere(self) -> bool:
        """True: where G = 0, which is not where g = 0 unless samples balance."""
        return True

    def descent(
        self,
        x: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        temperature: Any = 0.0,
        **others: Any,
    ) -> Tensor:
        """The gradient at x + rho G/abs(G)."""
        gradients = sample_terms(ascent, x)[1]
        norms = root((gradients**2).sum(dim=1))
        weights = torch.exp(temperature * (norms - norms.max().detach()))
        return gradient(x + rho * unit((weights[:, None] * gradients).sum(dim=0)))


@dataclass(frozen=True)
class FunctionalSAM(Perturbed):
    """Functional-SAM: the network's Jacobian is taken at x + e, the derivative of the objective at x.

    d = J_F(x + e)^T grad l(F(x)) for a loss l(F(x)), e = rho g/abs(g).

    Parameters
    ----------
    rho : float or schedule
        Radius.

    Notes
    -----
    SAM's gradient also has the "logit path" J_F(x)^T (grad l(F(x + e)) - grad l(F(x))), which is left out. On
    a linear model it is gradient descent. Weight decay of `sd.from_module` is taken at x + e. Claim: it helps
    where SAM only shrinks logits, as in the training of language models.

    References
    ----------
    Singh, Mobahi, Agarwala & Dauphin (arXiv 2502.02407) [rule read in a public formula sheet].

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.Landscape.composed(lambda y: y**2 / 2, lambda w: w[0] * w[1], dim=2)
    >>> sd.Map(loss, sd.FunctionalSAM(0.5), lr=0.1)([2.0, 1.0]).round(6)
    array([1.710557, 0.555279])
    """

    needs: ClassVar[tuple[str, ...]] = ("outputs",)

    def descent(
        self, x: Tensor, ascent: GradientFunction, gradient: GradientFunction, **coefficients: Any
    ) -> Tensor:
        """J_F(x + e)^T grad l(F(x))."""
        e = self.perturbation(x, ascent(x), **coefficients)
        return functional_gradient(gradient, x + e, x)


@dataclass(frozen=True)
class PreconditionedFunctionalSAM(Perturbed):
    """Functional-SAM with e = rho D^-1 g/abs(D^-1 g), D the diagonal of Adam's second moment.

    D = sqrt(v/(1 - beta^t)) + eps, v = beta v + (1 - beta) g^2.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    beta : float or schedule
        Weight of the past; 0.999.
    eps : float or schedule
        Added to the root; 1e-8.

    References
    ----------
    Singh, Mobahi, Agarwala & Dauphin (arXiv 2502.02407) [that there is preconditioning: abstract; D from
    memory, unverified].

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.Landscape.composed(lambda y: y**2 / 2, lambda w: w[0] * w[1], dim=2)
    >>> sd.Map(loss, sd.PreconditionedFunctionalSAM(0.5), lr=0.1)([2.0, 1.0]).round(6)
    array([1.729289, 0.529289])
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"beta": 1}

    beta: Coefficient = 0.999
    eps: Coefficient = 1e-8
    vectors: ClassVar[tuple[str, ...]] = ("second",)
    numbers: ClassVar[tuple[str, ...]] = ("weight",)
    needs: ClassVar[tuple[str, ...]] = ("outputs",)

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        beta: Any = 0.0,
        eps: Any = 0.0,
        **others: Any,
    ) -> Update:
        """J_F(x + e)^T grad l(F(x))."""
        g = ascent(x)
        second = beta * memory["second"] + (1 - beta) * g**2
        weight = beta * memory["weight"] + (1 - beta)
        e = rho * unit(g / (root(second / weight) + eps))
        return Update(functional_gradient(gradient, x + e, x), {"second": second, "weight": weight})

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """g^2, with all weight."""
        return {"second": gradient(x) ** 2, "weight": torch.ones_like(x[..., :1])}

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, eps: Any = 0.0, **others: Any
    ) -> Tensor:
        """Along the signs of g, nearly."""
        result: Tensor = rho * unit(gradient / (gradient.abs() + eps))
        return result
