r"""Extragradient: look down the hill before stepping down, SAM with the sign of the radius turned.

.. math:: x' = x - \eta\, g(x - \rho g(x))

Which batches the two gradients see is the noise model's `probe`: "same" is same-sample stochastic
extragradient, "independent" independent-sample. The single-call ("past", "optimistic") method reuses the last
descent gradient for the extrapolation and so takes one gradient a step; it carries that gradient as memory.

On a quadratic mode of curvature h the multiplier of a step is

.. math::

    \text{GD } 1 - \eta h, \qquad \text{USAM } 1 - \eta h (1 + \rho h), \qquad
    \text{extragradient } 1 - \eta h (1 - \rho h),

and the past method's are the two roots m of m^2 - (1 - (lr + rho) h) m - rho h = 0.

References
----------
Korpelevich (1976). Popov (1980) for the past method. Gorbunov, Berard, Gidel, Loizou (AISTATS 2022) for the
same-sample and independent-sample stochastic methods. Multipliers: derived, checked numerically.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.rules.rule import Memory, Rule, Update
from samdyn.rules.schedules import Coefficient, value_at


@dataclass(frozen=True)
class Extragradient(Rule):
    """Extragradient: e = -rho g.

    Parameters
    ----------
    rho : float or schedule
        Step of the extrapolation, in units of 1/curvature.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.Extragradient(0.25), lr=0.1)([1.0])
    array([0.9])
    """

    rho: Coefficient

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """-rho g."""
        return -rho * gradient

    def parts(self, coefficients: Mapping[str, Any] | None = None) -> tuple[Any, Any] | None:
        """(-rho, 0)."""
        return -(self.coefficients() if coefficients is None else coefficients)["rho"], 0.0


@dataclass(frozen=True)
class PastExtragradient(Rule):
    """Single-call extragradient: e = -rho times the descent gradient of the step before, 0 at first.

    Parameters
    ----------
    rho : float or schedule
        Step of the extrapolation, in units of 1/curvature.

    Notes
    -----
    The state of a `Map` is (x, last descent gradient). A `Flow` or `Diffusion` has no step before: there the
    rule equals `Extragradient`, its limit for small steps.

    Examples
    --------
    >>> import samdyn as sd
    >>> past = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.PastExtragradient(0.25), lr=0.1)
    >>> sd.trajectory(past, [1.0], n_steps=2)[:, 0]
    array([1.  , 0.8 , 0.74])
    """

    rho: Coefficient
    vectors: ClassVar[tuple[str, ...]] = ("last",)

    @property
    def jumps(self) -> bool:
        """False: the perturbation is linear."""
        return False

    @property
    def gradients_per_step(self) -> float:
        """1."""
        return 1.0

    def perturbation(self, x: Tensor, gradient: Tensor, rho: Any = 0.0, **others: Any) -> Tensor:
        """-rho times the gradient, without memory."""
        return -rho * gradient

    def update(
        self, x: Tensor, memory: Memory, ascent: Any, gradient: Any, rho: Any = 0.0, **others: Any
    ) -> Update:
        """The gradient at the point extrapolated along the last one, which it then replaces."""
        direction = gradient(x - rho * memory["last"])
        return Update(direction, {"last": direction})

    def settled(self, x: Tensor, gradient: Any, **coefficients: Any) -> dict[str, Tensor]:
        """The gradient at the point extrapolated afresh: exact at fixed points, where it is 0."""
        return {"last": self.perturbed_gradient(x, gradient, gradient, **coefficients)}

    def descent(self, x: Tensor, ascent: Any, gradient: Any, **coefficients: Any) -> Tensor:
        """The gradient at the point extrapolated afresh."""
        return self.perturbed_gradient(x, ascent, gradient, **coefficients)


@checked
def multipliers(rule: Rule, curvature: npt.ArrayLike, lr: float) -> npt.NDArray[np.complex128]:
    """Multipliers of one step on quadratic modes.

    Parameters
    ----------
    rule : Rule
        One whose perturbation is linear (GD, USAM, Extragradient), or PastExtragradient.
    curvature : array_like, shape (...)
        The modes' curvatures h.
    lr : float

    Returns
    -------
    ndarray of complex, shape (..., 1), or (..., 2) for the past method
        The mode is stable where the largest modulus is below 1.

    Raises
    ------
    TypeError
        A rule without multipliers (normalised ones).

    Examples
    --------
    >>> import samdyn as sd
    >>> rules = sd.USAM(0.05), sd.Extragradient(0.05)
    >>> tuple(sd.rules.multipliers(rule, 10.0, lr=0.1).real for rule in rules)
    (array([-0.5]), array([0.5]))
    """
    h = np.asarray(curvature, dtype=np.float64)
    lr = checks.number("lr", lr, above=0)
    parts = rule.parts() if isinstance(rule, Rule) else None
    if parts is not None and parts[1] == 0:
        return (1 - lr * h * (1 + parts[0] * h))[..., None].astype(np.complex128)
    if isinstance(rule, PastExtragradient):
        rho = value_at(rule.rho, 0)
        half = (1 - (lr + rho) * h) / 2
        root = np.sqrt((half**2 + rho * h).astype(np.complex128))
        return np.stack([half + root, half - root], axis=-1)
    raise TypeError(f"rule must be GD, USAM, Extragradient or PastExtragradient, got {rule!r}")
