"""Rules that look at the Hessian by products with it: EigenSAM, XSAM and Sassha.

EigenSAM and XSAM keep an estimate v of the eigenvector of the largest eigenvalue in modulus, which every step
improves by power iterations, v <- H v/abs(H v). The sign of v is held, since both rules depend on v v^T or
sign(g . v) v alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.vector import dot, unit
from samdyn.rules.bases import root
from samdyn.rules.mixtures import Perturbed
from samdyn.rules.oracle import curvature_product
from samdyn.rules.rule import GradientFunction, Memory, Update, fixed
from samdyn.rules.schedules import Coefficient, check_coefficient, keep

DENSE = 64
"""Dimensions up to which settled eigenvectors come from the whole Hessian."""
SETTLING = 500
"""Power iterations for settled eigenvectors above."""


@dataclass(frozen=True)
class Eigenvector(Perturbed):
    """Base of the rules that keep an estimate of the leading eigenvector."""

    vectors: ClassVar[tuple[str, ...]] = ("eigenvector",)
    needs: ClassVar[tuple[str, ...]] = ("products",)

    @property
    def initial(self) -> Mapping[str, float]:
        """All ones: the authors begin with random numbers."""
        return {"eigenvector": 1.0}

    @property
    def gradients_per_step(self) -> float:
        """Two, and the power iterations, each of which costs about two gradients."""
        return 2.0 + 2.0 * int(vars(self)["iterations"])

    def improved(self, oracle: GradientFunction, x: Tensor, v: Tensor, iterations: int) -> Tensor:
        """The estimate after some power iterations, with its sign held."""
        for _ in range(iterations):
            moved = unit(curvature_product(oracle, x, v))
            v = torch.where(dot(moved, v) < 0, -moved, moved)
        return v

    @property
    def jumps_elsewhere(self) -> bool:
        """True: where two eigenvalues are equal in modulus, and where the rule normalises or takes a sign."""
        return True

    def direction(
        self, x: Tensor, v: Tensor, ascent: GradientFunction, gradient: GradientFunction, **coefficients: Any
    ) -> Tensor:
        """What the base step is given, once the eigenvector v is known."""
        raise NotImplementedError

    def update(
        self,
        x: Tensor,
        memory: Memory,
        ascent: GradientFunction,
        gradient: GradientFunction,
        **coefficients: Any,
    ) -> Update:
        """The direction for an estimate that is improved first."""
        v = self.improved(ascent, x, memory["eigenvector"], int(vars(self)["iterations"]))
        return Update(self.direction(x, v, ascent, gradient, **coefficients), {"eigenvector": v})

    def descent(
        self, x: Tensor, ascent: GradientFunction, gradient: GradientFunction, **coefficients: Any
    ) -> Tensor:
        """The direction for the eigenvector itself, which iterations would leave as it is."""
        # of the loss: beside a critical point the ascent gradient is held while its direction turns
        v = self.settled(x, gradient)["eigenvector"]
        return self.direction(x, v, ascent, gradient, **coefficients)

    def settled(self, x: Tensor, gradient: GradientFunction, **coefficients: Any) -> dict[str, Tensor]:
        """The eigenvector of the largest eigenvalue in modulus."""
        if x.shape[-1] > DENSE:
            return {"eigenvector": self.improved(gradient, x, torch.ones_like(x), SETTLING)}
        columns = [curvature_product(gradient, x, unit_vector) for unit_vector in torch.eye(len(x)).to(x)]
        return {"eigenvector": leading_eigenvector(torch.stack(columns))}


def leading_eigenvector(hessian: Tensor) -> Tensor:
    """The unit eigenvector (dim,) of a symmetric matrix's largest eigenvalue in modulus.

    In up to two dimensions it is a closed form, which is traced and compiled where an eigendecomposition is
    not.
    """
    if len(hessian) == 1:
        return torch.ones_like(hessian[0])
    if len(hessian) > 2:
        values, columns = torch.linalg.eigh(hessian)
        last = (values[-1] >= -values[0]).to(hessian.dtype)
        return last * columns[:, -1] + (1 - last) * columns[:, 0]
    largest = hessian.abs().max()
    hessian = hessian / torch.where(largest > 0, largest, 1.0)  # squares of very small entries would be 0
    a, b, d = hessian[0, 0], hessian[0, 1], hessian[1, 1]
    half = (a - d) / 2
    # eigenvalues are (a + d)/2 + r and (a + d)/2 - r; r has the sign of the leading one here
    r = torch.where(a + d >= 0, 1.0, -1.0) * root(half**2 + b**2)
    # either form of the eigenvector may cancel, and one of them does not
    first = half * r >= 0
    v = torch.stack([torch.where(first, half + r, b), torch.where(first, b, r - half)])
    along = torch.stack([torch.ones_like(b), torch.zeros_like(b)])
    return torch.where(r == 0, along, unit(v))


@dataclass(frozen=True)
class EigenSAM(Eigenvector):
    """Eigen-SAM: e = rho (u + alpha sign(g . v) (v - (u . v) u)), u = g/abs(g), v the leading eigenvector.

    Parameters
    ----------
    rho : float or schedule
        Radius of the part along the gradient.
    alpha : float or schedule
        Weight of the eigenvector's part that is normal to the gradient; 0.2 by default.
    iterations : int
        Power iterations at every step; 5 by default. The authors make 5 at every hundredth step.

    Notes
    -----
    Claim: a better alignment with the top eigenvector, and so a stronger regularisation of its eigenvalue. As
    in the authors' code e is not normalised again; a port in circulation does so, and normalises the normal
    part.

    References
    ----------
    Luo et al. (NeurIPS 2024, arXiv 2501.12666) [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> bowl = sd.landscapes.quadratic([[4.0, 0.0], [0.0, 1.0]])
    >>> sd.Map(bowl, sd.EigenSAM(0.5, iterations=50), lr=0.1)([0.0, 1.0]).round(6)
    array([-0.04,  0.85])
    """

    alpha: Coefficient = 0.2
    iterations: int = fixed(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, iterations=checks.integer("iterations", self.iterations, at_least=1))

    def direction(
        self,
        x: Tensor,
        v: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        alpha: Any = 0.0,
        **others: Any,
    ) -> Tensor:
        """The gradient at x + e."""
        g = ascent(x)
        u = unit(g)
        normal = v - dot(u, v) * u
        return gradient(x + rho * (u + alpha * torch.sign(dot(g, v)) * normal))


@dataclass(frozen=True)
class XSAM(Eigenvector):
    """X-SAM: SAM's descent direction less alpha times its part along the leading eigenvector.

    d = P/abs(P) - alpha (p . v) v, p = P/abs(P); not normalised, d = P - alpha (P . v) v.

    Parameters
    ----------
    rho : float or schedule
        Radius.
    alpha : float or schedule
        In [0, 2]; 0.5 by default [a hypothesis].
    iterations : int
        Power iterations at every step; 5 by default.
    normalised : bool
        Whether the step has length one before the correction [read in a formula sheet]; with False and
        alpha = 0 the rule is SAM.

    Notes
    -----
    The formula sheet multiplies the part along v by sign(P . v) once more and takes it of P instead of
    P/abs(P), which depends on the sign of v; the form here does not [a hypothesis]. A normalised step never
    ends: it hovers at a distance of lr.

    References
    ----------
    Duan, Chen & Guan (arXiv 2601.10251) [abstract, and a public formula sheet].

    Examples
    --------
    >>> import samdyn as sd
    >>> bowl = sd.landscapes.quadratic([[4.0, 0.0], [0.0, 1.0]])
    >>> rule = sd.XSAM(0.5, alpha=1.0, iterations=50, normalised=False)
    >>> sd.Map(bowl, rule, lr=0.1)([1.0, 0.0]).round(6)
    array([1., 0.])
    """

    upper_bounds: ClassVar[Mapping[str, float]] = {"alpha": 2}

    alpha: Coefficient = 0.5
    iterations: int = fixed(5)
    normalised: bool = fixed(True)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, iterations=checks.integer("iterations", self.iterations, at_least=1))
        checks.flag("normalised", self.normalised)

    def direction(
        self,
        x: Tensor,
        v: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        alpha: Any = 0.0,
        **others: Any,
    ) -> Tensor:
        """The corrected direction."""
        p = self.perturbed_gradient(x, ascent, gradient, rho=rho)
        p = unit(p) if self.normalised else p
        return p - alpha * dot(p, v) * v


@dataclass(frozen=True)
class Sassha(Perturbed):
    """Sassha: SAM with a diagonal of the Hessian in the denominator, estimated at the perturbed point.

    m = b1 m + (1 - b1) P, D = b2 D + (1 - b2) abs(z H z) at every `every`-th step with random signs z, and
    x' = x - lr (m/(1 - b1^t) / ((D^power)/(1 - b2^t)^power + eps) + decoupled_decay x); H at x + e, by entry.

    Parameters
    ----------
    rho : float or schedule
        Radius; 0.2 by default.
    beta1, beta2 : float or schedule
        Weights of the past; 0.9 and 0.999.
    eps : float or schedule
        Added to the denominator; 1e-4.
    decoupled_decay : float or schedule
        Decoupled; 0.
    power : float
        Power of the diagonal: 1/2 by default, the authors' stable form.
    every : int
        Steps from one estimate of the diagonal to the next; 10 by default. As in the authors' code t is the
        number of steps, not of estimates, and the correction of D belongs to the last estimate.

    References
    ----------
    Shin, Lee, Chung & Lee (ICML 2025, arXiv 2502.18153) [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.Sassha(0.5, eps=0.0, power=1.0), lr=0.1)
    >>> sd.trajectory(step, [1.0], n_steps=1)[:, 0].round(6)
    array([1.  , 0.85])
    """

    rho: Coefficient = 0.2
    beta1: Coefficient = 0.9
    beta2: Coefficient = 0.999
    eps: Coefficient = 1e-4
    decoupled_decay: Coefficient = 0.0
    power: float = fixed(0.5)
    every: int = fixed(10)
    vectors: ClassVar[tuple[str, ...]] = ("first", "diagonal")
    numbers: ClassVar[tuple[str, ...]] = ("weight1", "weight2", "applied", "count")
    needs: ClassVar[tuple[str, ...]] = ("products",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta1", "beta2"):
            check_coefficient(name, getattr(self, name), at_least=0, below=1)
        keep(self, power=checks.number("power", self.power, above=0))
        keep(self, every=checks.integer("every", self.every, at_least=1))

    def n_normals(self, dim: int) -> int:
        """One for each sign."""
        return dim

    @property
    def gradients_per_step(self) -> float:
        """Two, and one product at every estimate, which costs about two gradients."""
        return 2.0 + 2.0 / self.every

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
        normals: Any = None,
        **others: Any,
    ) -> Update:
        """The preconditioned step, over lr."""
        y = x + rho * unit(ascent(x))
        p = gradient(y)
        signs = torch.where(normals < 0, -torch.ones_like(normals), torch.ones_like(normals))
        estimate = (signs * curvature_product(gradient, y, signs)).abs()
        due = memory["count"] <= 0
        diagonal = torch.where(due, beta2 * memory["diagonal"] + (1 - beta2) * estimate, memory["diagonal"])
        weight2 = beta2 * memory["weight2"] + (1 - beta2)
        count = memory["count"] + 1
        after = {
            "first": beta1 * memory["first"] + (1 - beta1) * p,
            "diagonal": diagonal,
            "weight1": beta1 * memory["weight1"] + (1 - beta1),
            "weight2": weight2,
            "applied": torch.where(due, weight2, memory["applied"]),
            "count": torch.where(count >= self.every, torch.zeros_like(count), count),
        }
        share = diagonal / after["applied"]
        size = (root(share) if self.power == 0.5 else share**self.power) + eps
        return Update(after["first"] / after["weight1"] / size + decoupled_decay * x, after)
