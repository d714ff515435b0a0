r"""SAM's descent gradient P = grad f(x + rho g/abs(g)) in adaptive steps; squares and quotients by entry.

With the learning rate :math:`\eta`:

- AdamWSAM:

  .. math::

      m \leftarrow b_1 m + (1 - b_1) P, \quad v \leftarrow b_2 v + (1 - b_2) P^2, \quad
      x' = x - \eta \left(\frac{m/(1 - b_1^t)}{\sqrt{v/(1 - b_2^t)} + \epsilon}
      + \text{decoupled\_decay}\; x\right)

- AdaSAM, with the same m and v, and w = eps^2 at first:

  .. math:: w \leftarrow \max(w, v), \quad x' = x - \eta\, m/\sqrt w

- RMSPropSAM:

  .. math:: v \leftarrow \text{decay}\; v + (1 - \text{decay}) P^2, \quad
            x' = x - \eta\, P/(\sqrt v + \epsilon)

- LightSAM, of whole vectors or by entry:

  .. math:: u \leftarrow u + |g|^2, \quad e = \rho g/\sqrt u, \quad
            v \leftarrow v + |P|^2, \quad x' = x - \eta P/\sqrt v

- LightAdamSAM, the same template with averages m and n of g and P, and u and v of their squares:

  .. math:: e = \rho\, m/(\sqrt u + \epsilon), \quad x' = x - \eta\, n/(\sqrt v + \epsilon)

Moments are memory. 1 - b^t is memory too, c = b c + (1 - b), so that the step is one map. While the weights
stand still m and v settle at P and P^2: near a point where P = 0 the step is x - lr m/eps to first order,
with a Jacobian as large as 1/eps, so that linearisations describe distances below eps/abs(curvature) only.

Moments are squares of entries, or of norms, as in torch's optimisers: of gradients above 1e154 they are
infinite, and the step is 0 or not a number; those below 1e-162 are lost beside eps, which has decided long
before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import dot
from samdyn.rules.mixtures import Normalised, Perturbed
from samdyn.rules.rule import GradientFunction, Memory, Update, fixed
from samdyn.rules.schedules import Coefficient, check_coefficient, keep


def _check_moments(rule: Any, *weights: str) -> None:
    """Refuse weights of the past that are no share, since an average would grow or stand still, and eps 0,
    since a moment of 0 would be divided by.
    """
    for name in weights:
        check_coefficient(name, getattr(rule, name), at_least=0, below=1)
    check_coefficient("eps", rule.eps, above=0)


def root(values: Tensor) -> Tensor:
    """The square root, with the derivative 0 at 0."""
    positive = values > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, values, 1.0)), 0.0)


@dataclass(frozen=True)
class AdamWSAM(Perturbed):
    """SAM on the base step of AdamW; without weight decay the base step of Adam.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    beta1, beta2 : float or schedule
        Weights of the past in the two moments; 0.9 and 0.999.
    eps : float or schedule
        Added to the root; 1e-8.
    decoupled_decay : float or schedule
        Decoupled; 0.01.

    References
    ----------
    Loshchilov & Hutter (ICLR 2019) for the base step, as in torch.optim.AdamW.

    Examples
    --------
    >>> import samdyn as sd
    >>> rule = sd.AdamWSAM(0.5, decoupled_decay=0.0)
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), rule, lr=0.1)([1.0]).round(6)
    array([0.9])
    """

    beta1: Coefficient = 0.9
    beta2: Coefficient = 0.999
    eps: Coefficient = 1e-8
    decoupled_decay: Coefficient = 0.01
    vectors: ClassVar[tuple[str, ...]] = ("first", "second")
    numbers: ClassVar[tuple[str, ...]] = ("weight1", "weight2")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_moments(self, "beta1", "beta2")

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        beta1: Any = 0.0,
        beta2: Any = 0.0,
        eps: Any = 0.0,
        decoupled_decay: Any = 0.0,
        **others: Any,
    ) -> Update:
        """The step of AdamW on P, over lr."""
        p = self.perturbed_gradient(x, ascent, gradient, rho=rho)
        after = {
            "first": beta1 * memory["first"] + (1 - beta1) * p,
            "second": beta2 * memory["second"] + (1 - beta2) * p**2,
            "weight1": beta1 * memory["weight1"] + (1 - beta1),
            "weight2": beta2 * memory["weight2"] + (1 - beta2),
        }
        size = root(after["second"] / after["weight2"]) + eps
        return Update(after["first"] / after["weight1"] / size + decoupled_decay * x, after)

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """P and P^2, with all weight."""
        p = self.perturbed_gradient(x, gradient, gradient, **coefficients)
        one = torch.ones_like(x[..., :1])
        return {"first": p, "second": p**2, "weight1": one, "weight2": one}


@dataclass(frozen=True)
class AdaSAM(Perturbed):
    """AdaSAM: SAM on the base step of AMSGrad, x' = x - lr m/sqrt(w), without corrections of bias.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    beta1, beta2 : float or schedule
        Weights of the past in the two moments; 0.9 and 0.999.
    eps : float
        Root of what w is before the first step; 1e-8.

    Notes
    -----
    Claim: O(1/sqrt(b T)) on nonconvex losses, a speed-up linear in the batch b. w keeps the largest second
    moment for ever, so that steps do not forget how they began.

    References
    ----------
    Sun et al. (Neural Networks 2024, arXiv 2303.00565) [rule read in a public formula sheet].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.AdaSAM(0.5), lr=0.1)([1.0]).round(6)
    array([0.683772])
    """

    beta1: Coefficient = 0.9
    beta2: Coefficient = 0.999
    eps: float = fixed(1e-8)
    vectors: ClassVar[tuple[str, ...]] = ("first", "second", "largest")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_moments(self, "beta1", "beta2")
        keep(self, eps=checks.number("eps", self.eps, above=0))

    @property
    def initial(self) -> Mapping[str, float]:
        """w = eps^2."""
        return {"largest": float(self.eps) ** 2}

    @property
    def without_limit(self) -> str | None:
        """A reason."""
        return "keeps the largest second moment for ever"

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        beta1: Any = 0.0,
        beta2: Any = 0.0,
        **others: Any,
    ) -> Update:
        """m/sqrt(w)."""
        p = self.perturbed_gradient(x, ascent, gradient, rho=rho)
        first = beta1 * memory["first"] + (1 - beta1) * p
        second = beta2 * memory["second"] + (1 - beta2) * p**2
        largest = torch.where(second > memory["largest"], second, memory["largest"])
        return Update(first / torch.sqrt(largest), {"first": first, "second": second, "largest": largest})


@dataclass(frozen=True)
class RMSPropSAM(Perturbed):
    """SAM on the base step of RMSProp.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    decay : float or schedule
        Weight of the past in the second moment; 0.99.
    eps : float or schedule
        Added to the root; 1e-8.

    References
    ----------
    Tieleman & Hinton (2012) for the base step, as in torch.optim.RMSprop.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.RMSPropSAM(0.5), lr=0.01)([1.0]).round(6)
    array([0.9])
    """

    decay: Coefficient = 0.99
    eps: Coefficient = 1e-8
    vectors: ClassVar[tuple[str, ...]] = ("second",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_moments(self, "decay")

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        decay: Any = 0.0,
        eps: Any = 0.0,
        **others: Any,
    ) -> Update:
        """P/(sqrt(v) + eps)."""
        p = self.perturbed_gradient(x, ascent, gradient, rho=rho)
        second = decay * memory["second"] + (1 - decay) * p**2
        return Update(p / (root(second) + eps), {"second": second})

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """P^2."""
        return {"second": self.perturbed_gradient(x, gradient, gradient, **coefficients) ** 2}


@dataclass(frozen=True)
class LightSAM(Perturbed):
    """LightSAM: radius and step are divided by the root of the sum of all squared gradients so far.

    Parameters
    ----------
    rho : float or schedule
        Length of the first perturbation, nearly; with `by_entry` the size of each of its entries.
    eps : float
        Root of what both sums are before the first step; 1e-8.
    by_entry : bool
        Whether every weight has its own sums, of the squares of its own entries (the variant with AdaGrad),
        instead of the sums of squared norms (AdaGrad-Norm), which are the default.

    Notes
    -----
    Claim: convergence for any rho and lr. Sums never settle: radius and step fall for ever. The authors'
    third variant, with Adam's moments in both steps, is `LightAdamSAM`.

    References
    ----------
    Cheng et al. (arXiv 2505.24399) [rule read in a public formula sheet, which gives the norms' formula and
    says of the entries that they follow the same template].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.LightSAM(0.5), lr=0.1)([1.0])
    array([0.9])
    """

    eps: float = fixed(1e-8)
    by_entry: bool = fixed(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, eps=checks.number("eps", self.eps, above=0))
        checks.flag("by_entry", self.by_entry)

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        """Both sums, where every weight has its own."""
        return ("ascents", "descents") if self.by_entry else ()

    @property
    def numbers(self) -> tuple[str, ...]:  # type: ignore[override]
        """Both sums, where they are sums of norms."""
        return () if self.by_entry else ("ascents", "descents")

    @property
    def initial(self) -> Mapping[str, float]:
        """eps^2."""
        return {"ascents": float(self.eps) ** 2, "descents": float(self.eps) ** 2}

    @property
    def without_limit(self) -> str | None:
        """A reason."""
        return "adds up squared gradients for ever"

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        **others: Any,
    ) -> Update:
        """P over the root of the sum."""
        g = ascent(x)
        ascents = memory["ascents"] + (g**2 if self.by_entry else dot(g, g))
        p = gradient(x + rho * g / torch.sqrt(ascents))
        descents = memory["descents"] + (p**2 if self.by_entry else dot(p, p))
        return Update(p / torch.sqrt(descents), {"ascents": ascents, "descents": descents})


@dataclass(frozen=True)
class LightAdamSAM(Perturbed):
    """LightSAM with Adam's moments in both steps: entries of some rho and some lr, whatever g and P.

    m = b1 m + (1 - b1) g, u = b2 u + (1 - b2) g^2, e = rho m/(sqrt(u) + eps), and with the gradient P at
    x + e: n = b1 n + (1 - b1) P, v = b2 v + (1 - b2) P^2, x' = x - lr n/(sqrt(v) + eps), by entry.

    Parameters
    ----------
    rho : float or schedule
        Size of each entry of the perturbation, nearly, once moments have settled.
    beta1, beta2 : float or schedule
        Weights of the past in the two moments, in [0, 1); 0.9 and 0.999.
    eps : float or schedule
        Added to both roots, > 0; 1e-8.

    Notes
    -----
    All moments are 0 before the first step. There are no corrections of bias [a hypothesis], as in `AdaSAM`:
    along one and the same g, steps and perturbations are (1 - beta1^t)/sqrt(1 - beta2^t) times as long as
    settled ones, 3.2 times at t = 1, at most 6.6 times (t = 12), and still 1.26 times at t = 1000.
    Once moments have settled, e is rho along the signs of g, the direction that raises the linearised loss
    most among abs(e_i) <= rho.

    References
    ----------
    Cheng et al. (arXiv 2505.24399): Adam in place of SGD for the perturbation and for the step [abstract; a
    public formula sheet says that the second moments are by entry, in averages with beta1 and beta2].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.LightAdamSAM(0.5), lr=0.01)([1.0]).round(6)
    array([0.968377])
    """

    beta1: Coefficient = 0.9
    beta2: Coefficient = 0.999
    eps: Coefficient = 1e-8
    vectors: ClassVar[tuple[str, ...]] = ("first_ascent", "ascents", "first_descent", "descents")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_moments(self, "beta1", "beta2")

    @property
    def layer(self) -> float | None:
        """Gradients of the size of eps."""
        return super(Normalised, self).layer

    @property
    def jump_radius(self) -> None:
        """None: some rho in every coordinate."""
        return None

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        beta1: Any = 0.0,
        beta2: Any = 0.0,
        eps: Any = 0.0,
        **others: Any,
    ) -> Update:
        """The step of Adam on P, over lr, with P at a step of Adam along g."""

        def averaged(g: Tensor, first: str, second: str) -> tuple[Tensor, Tensor]:
            return beta1 * memory[first] + (1 - beta1) * g, beta2 * memory[second] + (1 - beta2) * g**2

        first_ascent, ascents = averaged(ascent(x), "first_ascent", "ascents")
        p = gradient(x + rho * first_ascent / (root(ascents) + eps))
        first_descent, descents = averaged(p, "first_descent", "descents")
        after = {
            "first_ascent": first_ascent,
            "ascents": ascents,
            "first_descent": first_descent,
            "descents": descents,
        }
        return Update(first_descent / (root(descents) + eps), after)

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, eps: Any = 0.0, **others: Any
    ) -> Tensor:
        """Along the signs of g, nearly: the one of settled moments."""
        result: Tensor = rho * gradient / (gradient.abs() + eps)
        return result

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """g and P, and their squares."""
        g = gradient(x)
        p = gradient(x + self.perturbation(x, g, **coefficients))
        return {"first_ascent": g, "ascents": g**2, "first_descent": p, "descents": p**2}
