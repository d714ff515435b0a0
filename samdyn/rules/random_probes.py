r"""Rules that look at several random points around the weights: the class of (phi, psi, mu), and FrobSAM.

The random numbers are the rule's own, functions of (seed, path, step) like the random numbers of the noise. A
step without random numbers does not exist: these rules have no fixed points and no flow, and are followed by
simulation.

The universal class minimises f + c rho^2 phi(mean_v psi((f(x + rho v) - f(x))/rho^2)) by the step

.. math::

    d = g + c\, \phi'(m) \frac1K \sum_k \psi'(D_k) \bigl(g(x + \rho v_k) - g\bigr), \qquad
    D_k = \frac{f(x + \rho v_k) - f(x)}{\rho^2},

with m the mean of the psi(D_k), which regularises phi(E psi(v H v/2)) near critical points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.rules.oracle import loss_value
from samdyn.rules.rule import GradientFunction, Rule, fixed
from samdyn.rules.schedules import Coefficient, keep

MEASURES = ("normal", "cube")


class _Probing(Rule):
    """What the rules with several random probes share."""

    def n_normals(self, dim: int) -> int:
        """One for each coordinate of each probe."""
        return dim * int(vars(self)["n_probes"])

    @property
    def gradients_per_step(self) -> float:
        """One at x and one at each probe."""
        return 1.0 + float(vars(self)["n_probes"])

    def probes(self, normals: Tensor, dim: int) -> list[Tensor]:
        """The directions v_k."""
        return [normals[..., k * dim : (k + 1) * dim] for k in range(int(vars(self)["n_probes"]))]


@dataclass(frozen=True, repr=False)
class UniversalSAM(_Probing):
    """The universal class of (phi, psi, mu): see the text of `samdyn.rules.random_probes`.

    Parameters
    ----------
    rho : float or schedule
        Distance of the probes.
    weight : float or schedule
        c, of the sharpness.
    phi, psi : callable
        Functions of one number, written with torch; the identity by default, which is `TraceSAM`.
    measure : {"normal", "cube"}
        mu: standard normal numbers, or uniform ones on [-side, side] in each coordinate.
    side : float
        Half the side of the cube.
    n_probes : int
        K.

    References
    ----------
    Tahmasebi, Soleymani, Bahri, Jegelka & Jaillet (ICML 2024, arXiv 2406.03682) [rule read in the authors'
    code].

    Examples
    --------
    >>> import samdyn as sd
    >>> rule = sd.UniversalSAM(0.5, weight=0.0)
    >>> step = sd.Map(sd.landscapes.quadratic([[2.0]]), rule, lr=0.1)
    >>> sd.trajectory(step, [1.0], n_steps=1)[:, 0]
    array([1. , 0.8])
    """

    rho: Coefficient
    weight: Coefficient = 1.0
    phi: Callable[[Tensor], Tensor] | None = fixed(None)
    psi: Callable[[Tensor], Tensor] | None = fixed(None)
    measure: str = fixed("normal")
    side: float = fixed(1.0)
    n_probes: int = fixed(1)
    needs: ClassVar[tuple[str, ...]] = ("values",)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.choice("measure", self.measure, MEASURES)
        keep(self, side=checks.number("side", self.side, above=0))
        keep(self, n_probes=checks.integer("n_probes", self.n_probes, at_least=1))
        for name in ("phi", "psi"):
            if getattr(self, name) is not None:
                checks.function(name, getattr(self, name))
                _check_scalar_function(name, getattr(self, name))

    def __repr__(self) -> str:
        values = [(part.name, getattr(self, part.name)) for part in fields(self) if part.repr]
        # functions by their names: an address in memory differs from one run to the next
        words = [f"{name}={getattr(value, '__name__', None) or repr(value)}" for name, value in values]
        return f"{type(self).__name__}({', '.join(words)})"

    def probes(self, normals: Tensor, dim: int) -> list[Tensor]:
        """The directions v_k: standard normal, or uniform in the cube by the normal law's distribution."""
        made = super().probes(normals, dim)
        if self.measure == "normal":
            return made
        return [self.side * torch.erf(v / 2**0.5) for v in made]

    def descent(
        self,
        x: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        weight: Any = 0.0,
        normals: Any = None,
        **others: Any,
    ) -> Tensor:
        """g and the gradient of the sharpness."""
        g, f = gradient(x), loss_value(gradient, x)
        per_square = over_square(rho)
        rises, turns = [], []
        for v in self.probes(normals, x.shape[-1]):
            rises.append((loss_value(gradient, x + rho * v) - f) * per_square)
            turns.append(gradient(x + rho * v) - g)
        inner = [_slope(self.psi, rise) for rise in rises]
        values = [rise if self.psi is None else self.psi(rise) for rise in rises]
        outer = _slope(self.phi, sum(values[1:], values[0]) / len(values))
        total = sum((s * t for s, t in zip(inner[1:], turns[1:], strict=True)), inner[0] * turns[0])
        return g + weight * outer * total / len(turns)


def over_square(rho: Any) -> Any:
    """1/rho^2, and 0 for rho = 0."""
    if isinstance(rho, Tensor):
        return torch.where(rho > 0, 1 / torch.where(rho > 0, rho, 1.0) ** 2, 0.0)
    return 1 / rho**2 if rho > 0 else 0.0


def _check_scalar_function(name: str, function: Callable[[Tensor], Tensor]) -> None:
    """Refuse what is no function of one number that torch can differentiate."""
    try:
        slope = torch.func.grad(function)(torch.tensor(0.5, dtype=torch.float64))
    except Exception as error:  # of a user's function: anything
        raise TypeError(
            f"{name} must map a torch scalar to a torch scalar that depends on it, got {function!r}"
        ) from error
    assert isinstance(slope, Tensor)


def _slope(function: Callable[[Tensor], Tensor] | None, at: Tensor) -> Any:
    """The derivative of a function of one number, entry by entry."""
    return 1.0 if function is None else torch.func.grad(lambda t: function(t).sum())(at)


@dataclass(frozen=True, repr=False)
class TraceSAM(UniversalSAM):
    """Trace-SAM: phi and psi the identity, sharpness tr H/2 on normal probes.

    Parameters
    ----------
    rho : float or schedule
        Distance of the probes; 0.01 by default.
    weight : float or schedule
        c; 1 by default.
    phi, psi, measure, side, n_probes
        As of `UniversalSAM`.

    Notes
    -----
    The authors' code draws normal v: the scaling to the unit sphere is computed there and not applied.

    References
    ----------
    As of `UniversalSAM`.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.TraceSAM().parameters
    {'rho': 0.01, 'weight': 1.0}
    """

    rho: Coefficient = 0.01


def exponential_decay(t: Tensor) -> Tensor:
    """exp(-t/2), the psi of Det-SAM in the authors' code."""
    return torch.exp(-t / 2)


def inverse_square(y: Tensor) -> Tensor:
    """y^-2, the phi of Det-SAM."""
    return 1 / y**2


@dataclass(frozen=True, repr=False)
class DetSAM(UniversalSAM):
    """Det-SAM: phi(y) = y^-2, psi(t) = exp(-t/2), v uniform in a cube; the determinant of H in a large one.

    Parameters
    ----------
    rho : float or schedule
        Distance of the probes; 1 by default.
    weight : float or schedule
        c; 1 by default.
    phi, psi : callable
        As above by default. The paper's psi is exp(-t) [from memory]; the constant alone changes.
    measure, n_probes
        As of `UniversalSAM`.
    side : float
        Half the side of the cube; the authors' code has 0.01, far from the limit of a large cube.

    References
    ----------
    As of `UniversalSAM`.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.DetSAM().side
    0.01
    """

    rho: Coefficient = 1.0
    phi: Callable[[Tensor], Tensor] | None = fixed(inverse_square)
    psi: Callable[[Tensor], Tensor] | None = fixed(exponential_decay)
    measure: str = fixed("cube")
    side: float = fixed(0.01)


@dataclass(frozen=True)
class FrobSAM(_Probing):
    """Frob-SAM: d = g + (c/rho^2) Cov_k(f(x + rho v_k), g(x + rho v_k)) with normal v_k.

    Parameters
    ----------
    rho : float or schedule
        Distance of the probes; 0.005 by default.
    weight : float or schedule
        c; 0.005 by default.
    n_probes : int
        K >= 2; 2 by default.

    Notes
    -----
    The regulariser is c/(2 rho^2) Var f(x + rho v), on quadratics c/2 abs(g)^2 + c rho^2/4 of the squared
    Frobenius norm of H [checked numerically]: the gradient's norm counts too. The covariance is a
    sample's, divided by K - 1.

    References
    ----------
    As of `UniversalSAM` [rule read in the authors' code].

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.FrobSAM(weight=0.0), lr=0.1)
    >>> sd.trajectory(step, [1.0], n_steps=1)[:, 0].round(3)
    array([1. , 0.8])
    """

    rho: Coefficient = 0.005
    weight: Coefficient = 0.005
    n_probes: int = fixed(2)
    needs: ClassVar[tuple[str, ...]] = ("values",)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, n_probes=checks.integer("n_probes", self.n_probes, at_least=2))

    def descent(
        self,
        x: Tensor,
        ascent: GradientFunction,
        gradient: GradientFunction,
        rho: Any = 0.0,
        weight: Any = 0.0,
        normals: Any = None,
        **others: Any,
    ) -> Tensor:
        """g and the covariance of values and gradients."""
        points = [x + rho * v for v in self.probes(normals, x.shape[-1])]
        values = torch.stack([loss_value(gradient, y) for y in points])
        gradients = torch.stack([gradient(y) for y in points])
        off = values - values.mean(dim=0)
        covariance = (off * gradients).sum(dim=0) / (len(points) - 1)
        return gradient(x) + weight * over_square(rho) * covariance
