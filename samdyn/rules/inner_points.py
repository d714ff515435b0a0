"""Rules with points of their own beside x and x + e: LookbehindSAM climbs several times, SAMPa keeps one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import unit
from samdyn.rules.averages import STARTED, begun, one_like
from samdyn.rules.mixtures import Perturbed
from samdyn.rules.rule import GradientFunction, Memory, Update, fixed
from samdyn.rules.schedules import Coefficient, keep

ITERATIONS = 40
"""Rounds of y <- x - lr grad f(y): to rounding where lr times the smoothness is below 0.4."""


@dataclass(frozen=True)
class LookbehindSAM(Perturbed):
    """Lookbehind: `steps` ascents of length rho, and the sum of the gradients met on the way, times alpha.

    y_0 = x, y_i = y_{i-1} + rho g(y_{i-1})/abs(g(y_{i-1})), x' = x - lr alpha sum_i g(y_i).

    Parameters
    ----------
    rho : float or schedule
        Radius of each ascent.
    alpha : float or schedule
        Weight of the outer interpolation; 0.5 by default.
    steps : int
        k; 5 by default. With k = 1 and alpha = 1 it is SAM.

    References
    ----------
    Mordido, Malviya, Baratin & Chandar (ICML 2024, arXiv 2307.16704) [rule read in a public formula sheet;
    the fast weights make k descents of lr, so that their sum stands here].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.LookbehindSAM(0.5, alpha=0.5, steps=2), lr=0.1)([1.0])
    array([0.65])
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"alpha": 1}

    alpha: Coefficient = 0.5
    steps: int = fixed(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, steps=checks.integer("steps", self.steps, at_least=1))

    @property
    def jumps_elsewhere(self) -> bool:
        """Where a later ascent begins at a critical point."""
        return self.steps > 1

    def descent(
        self,
        x: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        alpha: Any = 1.0,
        **others: Any,
    ) -> Tensor:
        """Alpha times the sum of the gradients."""
        y = x + rho * unit(ascent(x))
        g = gradient(y)
        total = g
        for _ in range(self.steps - 1):
            y = y + rho * unit(g)
            g = gradient(y)
            total = total + g
        result: Tensor = alpha * total
        return result

    @property
    def gradients_per_step(self) -> float:
        """One at x and one at every ascent."""
        return 1.0 + self.steps


@dataclass(frozen=True)
class SAMPa(Perturbed):
    """SAMPa: the perturbation is along the gradient at an auxiliary point, known before the step.

    With q_t = grad f(y_t), y_0 = x_0: the probe is x_t + rho q_t/abs(q_t), y_{t+1} = x_t - lr q_t, and
    x_{t+1} = x_t - lr ((1 - lam) grad f(probe) + lam grad f(y_{t+1})).

    Parameters
    ----------
    rho : float or schedule
        Radius.
    lam : float or schedule
        Weight of the auxiliary gradient; 0.2 by default. lam = 0 is plain SAMPa; lam = 1 is the past
        (optimistic) gradient method with extrapolation by lr.

    Notes
    -----
    The authors evaluate grad f(y_{t+1}) on the next step's batch; here all gradients of a step see its own.
    For small lr it is SAM of the direction (1 - lam) P + lam g, which rests where SAM does for lam = 0; for
    other lr the points at rest of a `Map` are its own.

    References
    ----------
    Xie, Pethick & Cevher (NeurIPS 2024, arXiv 2410.10683) [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.SAMPa(0.5, lam=0.0), lr=0.1)([1.0])
    array([0.7])
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"lam": 1}

    lam: Coefficient = 0.2
    vectors: ClassVar[tuple[str, ...]] = ("auxiliary",)
    numbers: ClassVar[tuple[str, ...]] = (STARTED,)
    uses_lr: ClassVar[bool] = True

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        lam: Any = 0.0,
        lr: Any = 0.0,
        **others: Any,
    ) -> Update:
        """The mixture of the gradients at the probe and at the next auxiliary point."""
        q = ascent(begun(memory, memory["auxiliary"], x))
        y = x - lr * q
        direction = (1 - lam) * gradient(x + rho * unit(q)) + lam * gradient(y)
        return Update(direction, {"auxiliary": y, STARTED: one_like(memory)})

    def settled(
        self, x: Tensor, gradient: GradientFunction, lr: Any = 0.0, **coefficients: Any
    ) -> dict[str, Tensor]:
        """The auxiliary point with y = x - lr grad f(y), by `ITERATIONS` rounds; x for lr = 0."""
        y = x
        if not (isinstance(lr, float) and lr == 0.0):
            for _ in range(ITERATIONS):
                y = x - lr * gradient(y)
        return {"auxiliary": y, STARTED: torch.ones_like(x[..., :1])}
