r"""Rules that perturb along an average of gradients, or along what the gradient has beyond its average.

===========  ================================================================================================
VaSSO        :math:`d \leftarrow (1 - \theta) d + \theta g, \quad e = \rho\, d/|d|`
FriendlySAM  :math:`e = \rho\, (g - \sigma m)/|g - \sigma m|, \quad m \leftarrow \lambda m + (1 - \lambda) g`
MSAM         :math:`e = -\rho\, v/|v|, \quad v \leftarrow \text{decay}\; v + P`
InfoSAM      :math:`e = \rho\, C g/|C g|`, C = (variance + eps)^power, by averages of g and (g - average)^2
===========  ================================================================================================

The averages are memory. While the weights stand still they settle at the gradient, and VaSSO, FriendlySAM
with sigma < 1 and InfoSAM then perturb as SAM does: their fixed points are SAM's, their multipliers are not.
FriendlySAM with sigma = 1 perturbs by nothing at rest and along the gradient's change otherwise, MSAM rests
where g = 0 only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import unit
from samdyn.rules.mixtures import Perturbed
from samdyn.rules.rule import GradientFunction, Memory, Update, fixed
from samdyn.rules.schedules import Coefficient, keep

STARTED = "started"
"""A number that is 0 before the first step and 1 from then on."""


def begun(memory: Memory, then: Tensor, first: Tensor) -> Tensor:
    """What stands in a step after the first, or in the first."""
    return torch.where(memory[STARTED] > 0, then, first)


def one_like(memory: Memory) -> Tensor:
    """`STARTED` after a step."""
    return torch.ones_like(memory[STARTED])


class Averaging(Perturbed):
    """A rule with an average of the gradients, which is the first gradient in the first step."""

    vectors: ClassVar[tuple[str, ...]] = ("average",)
    numbers: ClassVar[tuple[str, ...]] = (STARTED,)

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """The average is the gradient."""
        return {"average": gradient(x), STARTED: torch.ones_like(x[..., :1])}


@dataclass(frozen=True)
class VaSSO(Averaging):
    """Variance suppressed SAM: the perturbation is along an exponential average of the gradients.

    d_t = (1 - theta) d_{t-1} + theta g_t, d_0 = g_0, e = rho d_t/abs(d_t).

    Parameters
    ----------
    rho : float or schedule
        Radius.
    theta : float or schedule
        Weight of the newest gradient; 0.4 by default [the paper's range 0.2 to 0.4: from memory; the authors'
        code has 0.9 in an example]. theta = 1 is SAM.

    Notes
    -----
    Claim: the variance of the linearised maximisation falls to O(theta) of SAM's [from memory, unverified].

    References
    ----------
    Li & Giannakis (NeurIPS 2023, arXiv 2309.15639) [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.VaSSO(0.5), lr=0.1)([1.0])
    array([0.7])
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"theta": 1}

    theta: Coefficient = 0.4

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        theta: Any = 1.0,
        **others: Any,
    ) -> Update:
        """The gradient at x + rho d/abs(d)."""
        g = ascent(x)
        d = begun(memory, (1 - theta) * memory["average"] + theta * g, g)
        return Update(gradient(x + rho * unit(d)), {"average": d, STARTED: one_like(memory)})


@dataclass(frozen=True)
class FriendlySAM(Averaging):
    """Friendly SAM (F-SAM): the perturbation leaves out the average gradient.

    d_t = g_t - sigma m_{t-1} (g_0 at first), e = rho d_t/abs(d_t), m_t = lam m_{t-1} + (1 - lam) g_t and
    m_0 = g_0.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    sigma : float or schedule
        Share of the average that is taken off; 1 by default. sigma = 0 is SAM.
    lam : float or schedule
        Weight of the past in the average; 0.9 by default (the authors' 0.6 to 0.95).

    Notes
    -----
    Claim: the full-batch part of a gradient is what harms generalisation. As in the authors' code d has the
    average from before this step; a public formula sheet writes the new one, which scales d by lam for
    sigma = 1 and so leaves e as it is after the first step. pytorch_optimizer 4.1.0 follows the authors.

    References
    ----------
    Li, Zhou, He, Cheng & Huang (CVPR 2024, arXiv 2403.12350) [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.FriendlySAM(0.5), lr=0.1)([1.0])
    array([0.7])
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"lam": 1}

    sigma: Coefficient = 1.0
    lam: Coefficient = 0.9

    @property
    def without_limit(self) -> str | None:
        """A reason where sigma is 1."""
        if callable(self.sigma) or self.sigma != 1:
            return None
        return "perturbs along the gradient's change alone (sigma = 1), which has no direction at rest"

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        sigma: Any = 0.0,
        lam: Any = 0.0,
        **others: Any,
    ) -> Update:
        """The gradient at x + rho d/abs(d)."""
        g, average = ascent(x), memory["average"]
        d = begun(memory, g - sigma * average, g)
        after = {"average": begun(memory, lam * average + (1 - lam) * g, g), STARTED: one_like(memory)}
        return Update(gradient(x + rho * unit(d)), after)

    def perturbation(
        self, x: Tensor, gradient: Tensor, rho: Any = 0.0, sigma: Any = 0.0, **others: Any
    ) -> Tensor:
        """The perturbation of SAM at settled memory, turned round where sigma > 1."""
        result: Tensor = rho * unit((1 - sigma) * gradient)
        return result


@dataclass(frozen=True)
class MSAM(Perturbed):
    """Momentum SAM: e = -rho v/abs(v) with the momentum buffer v, one gradient a step.

    v_{t+1} = decay v_t + grad f(x - rho v_t/abs(v_t)), x' = x - lr v_{t+1}. The sign is minus: weights are
    perturbed along their last move, as in Nesterov's method.

    Parameters
    ----------
    rho : float or schedule
        Radius; the authors take 0.3 to 3.
    decay : float or schedule
        Heavy-ball coefficient of its own; 0.9 by default. The `momentum` of a Map is another one on top.

    Notes
    -----
    Claim: the flatness of SAM at the cost of SGD. A fixed point has v = 0, no perturbation, and so g = 0: the
    rule cannot rest where the gradient does not vanish. HeavyBall normalises v tensor by tensor.

    References
    ----------
    Becker, Altrock & Risse (arXiv 2401.12033) [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.trajectory(sd.Map(sd.landscapes.quadratic([[2.0]]), sd.MSAM(0.5), lr=0.1), [1.0], n_steps=2)[:, 0]
    array([1.  , 0.8 , 0.56])
    """

    decay: Coefficient = 0.9
    vectors: ClassVar[tuple[str, ...]] = ("velocity",)

    @property
    def without_flow(self) -> str | None:
        """A reason: at rest there is no perturbation, in motion it is along the velocity."""
        return "perturbs along its own last move, which at rest has no direction"

    @property
    def gradients_per_step(self) -> float:
        """1."""
        return 1.0

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        decay: Any = 0.0,
        **others: Any,
    ) -> Update:
        """The new velocity."""
        v = memory["velocity"]
        after = decay * v + gradient(x - rho * unit(v))
        return Update(after, {"velocity": after})

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """0, where the weights rest."""
        return {"velocity": torch.zeros_like(x)}

    def descent(
        self, x: Tensor, ascent: GradientFunction, gradient: GradientFunction, **coefficients: Any
    ) -> Tensor:
        """The gradient, which is what vanishes at fixed points."""
        return gradient(x)


@dataclass(frozen=True)
class InfoSAM(Averaging):
    """infoSAM: coordinates whose gradients vary much count less in the perturbation.

    e = rho C g/abs(C g), C = (variance + eps)^power, with the averages a_t = decay a_{t-1} + (1 - decay) g_t
    and variance_t = decay variance_{t-1} + (1 - decay) (g_t - a_t)^2, a_0 = g_0, variance_0 = 0.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    decay : float or schedule
        Weight of the past; 0.99 by default [a hypothesis].
    power : float
        -1/2 by default [a hypothesis: the paper's power is not known here, -1/2 or -1].
    eps : float
        Added to the variance; 1e-8 by default [a hypothesis].

    Notes
    -----
    Claim: it mends the degradation of the adversarial direction by gradient noise. With one eps for all
    coordinates it is SAM where there is no noise.

    References
    ----------
    arXiv 2501.06603 [variance weighting read in the abstract; formula from memory, unverified].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.InfoSAM(0.5), lr=0.1)([1.0])
    array([0.7])
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"decay": 1}

    decay: Coefficient = 0.99
    power: float = fixed(-0.5)
    eps: float = fixed(1e-8)
    vectors: ClassVar[tuple[str, ...]] = ("average", "variance")

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, power=checks.number("power", self.power), eps=checks.number("eps", self.eps, above=0))

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        decay: Any = 0.0,
        **others: Any,
    ) -> Update:
        """The gradient at x + rho C g/abs(C g)."""
        g = ascent(x)
        average = begun(memory, decay * memory["average"] + (1 - decay) * g, g)
        variance = decay * memory["variance"] + (1 - decay) * (g - average) ** 2
        weight = (variance + self.eps) ** self.power
        after = {"average": average, "variance": variance, STARTED: one_like(memory)}
        return Update(gradient(x + rho * unit(weight * g)), after)

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """The average is the gradient, and there is no variance."""
        return {**super().settled(x, gradient, **coefficients), "variance": torch.zeros_like(x)}
