r"""Rules whose ascent begins at a random point beside the weights: RSAM and BSAM.

====  ====================================================================================================
RSAM  :math:`e = \delta + \rho\, g(x + \delta)/|g(x + \delta)|`, with a random :math:`\delta` on every block
BSAM  :math:`e = \rho\, g(\theta)/s, \quad \theta = x + z/\sqrt{N s}`, with the scale s learnt by entry
====  ====================================================================================================

The random numbers are the rule's own, functions of (seed, path, step) like the random numbers of the noise. A
step without them does not exist: these rules have no fixed points and no flow, and are followed by
simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import norm, unit
from samdyn.rules.bases import root
from samdyn.rules.blocks import cuts, tensors_of, with_found
from samdyn.rules.mixtures import Perturbed
from samdyn.rules.rule import GradientFunction, Memory, Rule, Update
from samdyn.rules.schedules import Coefficient


@dataclass(frozen=True)
class RSAM(Perturbed):
    """Random SAM: the ascent begins at a random point, e = delta + rho g/abs(g) with g at x + delta.

    delta = sigma abs(x_b) z on every block b, with standard normal z.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    sigma : float or schedule
        Size of the random shift relative to its block's weights; 0.01 by default [a hypothesis].

    Notes
    -----
    Blocks are a module's parameter tensors; a loss without blocks is one. Whether the authors scale by tensor
    or by filter, and whether z has length one, is not known here. Claim: smoothing makes one ascent step
    better.

    References
    ----------
    Liu, Siqi, Cheng, Chen, Hsieh & You (NeurIPS 2022) [rule read in a re-implementation; the scale of the
    shift is unverified].

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.RSAM(0.5, sigma=0.0), lr=0.1)
    >>> sd.trajectory(step, [1.0], n_steps=1)[:, 0]
    array([1. , 0.7])
    """

    sigma: Coefficient = 0.01
    _starts: tuple[int, ...] = field(default=(), init=False, repr=False)

    def bound(self, loss: Any) -> Rule:
        """The rule that knows where the blocks begin."""
        return with_found(self, _starts=tuple(start for start, _ in tensors_of(loss)))

    def n_normals(self, dim: int) -> int:
        """One for each coordinate."""
        return dim

    def descent(
        self,
        x: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        sigma: Any = 0.0,
        normals: Any = None,
        **others: Any,
    ) -> Tensor:
        """The gradient at x + delta + rho g/abs(g)."""
        blocks = [x[..., cut] for cut in cuts(self._starts, x.shape[-1])]
        sizes = [norm(block) * torch.ones_like(block) for block in blocks]
        delta = sigma * torch.cat(sizes, dim=-1) * normals
        return gradient(x + delta + rho * unit(ascent(x + delta)))


@dataclass(frozen=True)
class BSAM(Perturbed):
    """Bayesian SAM (bSAM): SAM about a random point of a Gaussian posterior whose width is learnt.

    theta = x + z/sqrt(N s), g = grad f(theta), e = rho g/s, m = b1 m + (1 - b1)(grad f(x + e) + delta x),
    s = b2 s + (1 - b2)(sqrt(s) abs(g) + delta + damping), x' = x - lr m/s; products by entry.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    n_samples : float or schedule
        N, the number of samples of the data.
    beta1, beta2 : float or schedule
        Weights of the past; 0.9 and 0.999.
    decay : float or schedule
        delta, the precision of the prior; 0.0001 by default.
    damping : float or schedule
        0.1 by default.

    Notes
    -----
    The scale s is 1 at first; e has the s from before the step, and x' the one after. pytorch_optimizer 4.1.0
    draws with the variance 1/(N s) for a standard deviation, never goes back from the perturbed points to x,
    multiplies the gradient by the weight decay where it should add the decay of the weights, and averages
    the square of what s averages: on w^2 it walks uphill.

    References
    ----------
    Moellenhoff & Khan (ICLR 2023, arXiv 2210.01620), algorithm 1 [read in a public formula sheet; damping and
    the first s from memory].

    Examples
    --------
    >>> import samdyn as sd
    >>> bayes = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.BSAM(0.05, n_samples=1000.0), lr=0.1)
    >>> bool(abs(sd.trajectory(bayes, [1.0], n_steps=2000, seed=1)[-1, 0]) < 0.1)
    True
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"beta1": 1, "beta2": 1}

    n_samples: Coefficient = 1.0
    beta1: Coefficient = 0.9
    beta2: Coefficient = 0.999
    decay: Coefficient = 1e-4
    damping: Coefficient = 0.1
    vectors: ClassVar[tuple[str, ...]] = ("first", "scale")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.n_samples):
            checks.number("n_samples", self.n_samples, above=0)

    @property
    def initial(self) -> Mapping[str, float]:
        """s = 1."""
        return {"scale": 1.0}

    def n_normals(self, dim: int) -> int:
        """One for each coordinate."""
        return dim

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        n_samples: Any = 1.0,
        beta1: Any = 0.0,
        beta2: Any = 0.0,
        decay: Any = 0.0,
        damping: Any = 0.0,
        normals: Any = None,
        **others: Any,
    ) -> Update:
        """m/s."""
        s = memory["scale"]
        g = ascent(x + normals / torch.sqrt(n_samples * s))
        p = gradient(x + rho * g / s)
        first = beta1 * memory["first"] + (1 - beta1) * (p + decay * x)
        scale = beta2 * s + (1 - beta2) * (root(s) * g.abs() + decay + damping)
        return Update(first / scale, {"first": first, "scale": scale})
