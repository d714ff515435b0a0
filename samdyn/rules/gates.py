"""Rules that take SAM's step at some steps only: LookSAM by a counter, AESAM by the size of the gradient.

Their steps are not all alike: in between they use what the last SAM step left, or plain gradients. The
counter, and the running moments, are memory. A simulated step asks for both gradients always; what the
algorithm saves is said by `gradients_per_step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import dot, norm, unit
from samdyn.rules.mixtures import Perturbed
from samdyn.rules.rule import GradientFunction, Memory, Update, fixed
from samdyn.rules.schedules import Coefficient, keep

ROUNDING = 64  # units in the last place of a vector's length: what is left of a part that vanishes; chosen


@dataclass(frozen=True)
class LookSAM(Perturbed):
    """LookSAM: SAM at every `every`-th step, in between g + alpha abs(g) v/abs(v) with v kept from then.

    At a SAM step v = P - (P . g) g/abs(g)^2, the part of P that is normal to g.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    alpha : float or schedule
        Length of the kept part, over the length of the gradient; 0.7 by default (the authors' 0.2 to 0.7).
    every : int
        Steps from one SAM step to the next; 5 by default (5 to 10). 1 is SAM.

    Notes
    -----
    Claim: v changes slowly, so that the cost is nearly SGD's. Norms and products are over all weights, as in
    the authors' formula; pytorch_optimizer 4.1.0 takes them tensor by tensor.

    References
    ----------
    Liu, Mai, Chen, Hsieh & You (CVPR 2022, arXiv 2203.02714) [rule read in public code].

    Examples
    --------
    >>> import samdyn as sd
    >>> look = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.LookSAM(0.5, every=2), lr=0.1)
    >>> sd.trajectory(look, [1.0], n_steps=3)[:, 0]
    array([1.   , 0.7  , 0.56 , 0.348])
    """

    alpha: Coefficient = 0.7
    every: int = fixed(5)
    vectors: ClassVar[tuple[str, ...]] = ("normal",)
    numbers: ClassVar[tuple[str, ...]] = ("count",)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, every=checks.integer("every", self.every, at_least=1))

    @property
    def without_limit(self) -> str | None:
        """A reason, unless every step is one of SAM."""
        return None if self.every == 1 else f"counts its steps and takes SAM's at every {self.every}th only"

    @property
    def gradients_per_step(self) -> float:
        """1, and one more at every SAM step."""
        return 1 + 1 / self.every

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        alpha: Any = 0.0,
        **others: Any,
    ) -> Update:
        """SAM's step where the count is 0, else g + alpha abs(g) v/abs(v)."""
        g = ascent(x)
        p = gradient(x + rho * unit(g))
        sharp = memory["count"] <= 0
        normal = torch.where(sharp, normal_part(p, unit(g)), memory["normal"])
        direction = torch.where(sharp, p, g + alpha * norm(g) * unit(memory["normal"]))
        count = memory["count"] + 1
        count = torch.where(count >= self.every, torch.zeros_like(count), count)
        return Update(direction, {"normal": normal, "count": count})

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """With every = 1, the part of P that is normal to g."""
        g = gradient(x)
        p = gradient(x + self.perturbation(x, g, **coefficients))
        return {"normal": normal_part(p, unit(g)), "count": torch.zeros_like(x[..., :1])}


def normal_part(p: Tensor, along: Tensor) -> Tensor:
    """The part of p that is normal to a unit vector; 0 where it is no more than rounding.

    On a line, and with a radius of 0, there is none: what rounding leaves has a direction all the same, along
    which the rule would step.
    """
    part = p - dot(p, along) * along
    return torch.where(norm(part) > ROUNDING * torch.finfo(p.dtype).eps * norm(p), part, torch.zeros_like(p))


@dataclass(frozen=True)
class AESAM(Perturbed):
    """AE-SAM: SAM's step where abs(g)^2 >= mean + c sd of its running moments, else the step of SGD.

    mean_t = decay mean_{t-1} + (1 - decay) abs(g)^2, variance_t = decay variance_{t-1} + (1 - decay)
    (abs(g)^2 - mean_t)^2, sd its root, and c goes from `last` to `first` as below.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    decay : float or schedule
        Weight of the past; 0.9 by default.
    first, last : float
        c at step t is (t/n_steps) first + (1 - t/n_steps) last: -1 and 1 by default, so that SAM's steps
        become more frequent.
    n_steps : int
        Length of training; c stays at `first` from then on.

    Notes
    -----
    The variance holds abs(g)^4: where that overflows, above abs(g) = 1e77 in float64, the sign of c alone
    decides, and where abs(g)^2 does, above 1e154, the steps are SGD's.

    References
    ----------
    Jiang, Yang, Zhang & Kwok (ICLR 2023, arXiv 2304.14647) [rule read in a public formula sheet; the moments
    begin at 0].

    Examples
    --------
    >>> import samdyn as sd
    >>> ae = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.AESAM(0.5, first=0.0, last=0.0), lr=0.1)
    >>> sd.trajectory(ae, [1.0], n_steps=2)[:, 0]
    array([1.  , 0.7 , 0.46])
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"decay": 1}

    decay: Coefficient = 0.9
    first: float = fixed(-1.0)
    last: float = fixed(1.0)
    n_steps: int = fixed(1000)
    numbers: ClassVar[tuple[str, ...]] = ("mean", "variance", "step")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("first", "last"):
            keep(self, **{name: checks.number(name, getattr(self, name))})
        keep(self, n_steps=checks.integer("n_steps", self.n_steps, at_least=1))

    @property
    def without_limit(self) -> str | None:
        """A reason."""
        return "chooses between two steps by a threshold on which settled memory lies"

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
        """P where the gradient is large, else g."""
        g = ascent(x)
        square = dot(g, g)
        mean = decay * memory["mean"] + (1 - decay) * square
        variance = decay * memory["variance"] + (1 - decay) * (square - mean) ** 2
        t = memory["step"] / self.n_steps
        c = t * self.first + (1 - t) * self.last
        sharp = square >= mean + c * torch.sqrt(variance)
        direction = torch.where(sharp, gradient(x + rho * unit(g)), g)
        step = memory["step"] + 1
        step = torch.where(step > self.n_steps, self.n_steps * torch.ones_like(step), step)
        return Update(direction, {"mean": mean, "variance": variance, "step": step})
