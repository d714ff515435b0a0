"""Schedules: coefficients that depend on the step index t = 0, 1, 2, ...

A schedule is any callable of the step index; those here are frozen dataclasses, so that systems built on
them can be compared, printed and sent to other processes. A plain number is the constant schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from samdyn.arguments import checks

__all__ = [
    "Coefficient",
    "CosineDecay",
    "Delayed",
    "ExponentialDecay",
    "PowerDecay",
    "Schedule",
    "StepDecay",
]

Schedule: TypeAlias = Callable[[int], float]
Coefficient: TypeAlias = float | Schedule


@dataclass(frozen=True)
class PowerDecay:
    """initial / (t + 1)^power; power = 1/2 is the radius schedule of convergence proofs.

    Parameters
    ----------
    initial : float
        Value at step 0.
    power : float
        Exponent, 0.5 by default.

    References
    ----------
    The 1/sqrt(t+1) radius: the convergence proofs of SAM that precede the study of constant radii by Si &
    Yun (NeurIPS 2023), e.g. Zhuang et al. (ICLR 2022).

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.schedules.PowerDecay(0.1)(3)
    0.05
    """

    initial: float
    power: float = 0.5

    def __post_init__(self) -> None:
        keep(self, initial=checks.number("initial", self.initial, at_least=0))
        keep(self, power=checks.number("power", self.power))

    def __call__(self, step: int) -> float:
        """The value at a step."""
        return self.initial / (step + 1.0) ** self.power


@dataclass(frozen=True)
class ExponentialDecay:
    """initial * factor^t.

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.schedules.ExponentialDecay(1.0, 0.5)(2)
    0.25
    """

    initial: float
    factor: float

    def __post_init__(self) -> None:
        keep(self, initial=checks.number("initial", self.initial, at_least=0))
        keep(self, factor=checks.number("factor", self.factor, above=0))

    def __call__(self, step: int) -> float:
        """The value at a step."""
        return self.initial * self.factor**step


@dataclass(frozen=True)
class CosineDecay:
    """From `initial` to `final` along half a cosine over `steps` steps, `final` from then on.

    Examples
    --------
    >>> import samdyn as sd
    >>> round(sd.schedules.CosineDecay(1.0, 0.0, steps=10)(5), 12)
    0.5
    """

    initial: float
    final: float
    steps: int

    def __post_init__(self) -> None:
        keep(self, initial=checks.number("initial", self.initial, at_least=0))
        keep(self, final=checks.number("final", self.final, at_least=0))
        keep(self, steps=checks.integer("steps", self.steps, at_least=1))

    def __call__(self, step: int) -> float:
        """The value at a step."""
        fraction = min(step / self.steps, 1.0)
        return self.final + (self.initial - self.final) * math.cos(math.pi * fraction / 2) ** 2


@dataclass(frozen=True)
class StepDecay:
    """initial * factor^(number of milestones passed).

    Examples
    --------
    >>> import samdyn as sd
    >>> [sd.schedules.StepDecay(1.0, 0.1, milestones=(100, 200))(t) for t in (99, 100)]
    [1.0, 0.1]
    """

    initial: float
    factor: float
    milestones: tuple[int, ...]

    def __post_init__(self) -> None:
        keep(self, initial=checks.number("initial", self.initial, at_least=0))
        keep(self, factor=checks.number("factor", self.factor, above=0))
        if checks.array("milestones", self.milestones, wanted="steps >= 0").ndim != 1:
            raise TypeError(f"milestones must be steps >= 0, got {self.milestones!r}")
        steps = tuple(checks.integer("milestones", m, at_least=0) for m in self.milestones)
        keep(self, milestones=steps)

    def __call__(self, step: int) -> float:
        """The value at a step."""
        return float(self.initial * self.factor ** sum(step >= milestone for milestone in self.milestones))


@dataclass(frozen=True)
class Delayed:
    """0 for the first `steps` steps, then `coefficient` (a number, or a schedule read at the global step).

    Examples
    --------
    >>> import samdyn as sd
    >>> [sd.schedules.Delayed(0.5, steps=10)(t) for t in (9, 10)]
    [0.0, 0.5]
    """

    coefficient: Coefficient
    steps: int

    def __post_init__(self) -> None:
        keep(self, coefficient=check_coefficient("coefficient", self.coefficient, at_least=0))
        keep(self, steps=checks.integer("steps", self.steps, at_least=0))

    def __call__(self, step: int) -> float:
        """The value at a step."""
        return 0.0 if step < self.steps else value_at(self.coefficient, step)


def keep(instance: Any, **values: Any) -> None:
    """Store checked values in a frozen dataclass, from its `__post_init__`.

    Examples
    --------
    >>> decay = ExponentialDecay(1, 0.5)
    >>> keep(decay, factor=0.25)
    >>> decay(1)
    0.25
    """
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def value_at(coefficient: Coefficient, step: int, name: str = "coefficient") -> float:
    """A number, or a schedule's value at a step.

    Raises
    ------
    ValueError
        The schedule returns a negative or non-finite number.

    Examples
    --------
    >>> value_at(0.5, 7), value_at(PowerDecay(1.0), 3)
    (0.5, 0.5)
    """
    if not callable(coefficient):
        return float(coefficient)
    try:
        value = coefficient(step)
    except Exception as error:
        raise ValueError(
            f"{name} must be a number or callable with a step, got {coefficient!r}, which at step {step} "
            f"raised {type(error).__name__}: {error}"
        ) from error
    return checks.number(f"{name} = {coefficient!r} at step {step}", value, at_least=0)


def check_coefficient(
    name: str,
    coefficient: Coefficient,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> Coefficient:
    """The coefficient as a float or a schedule; what is neither, or a number out of range, is refused."""
    if callable(coefficient):
        value_at(coefficient, 0, name)
        return coefficient
    try:
        return checks.number(name, coefficient, at_least=at_least, above=above, below=below, at_most=at_most)
    except TypeError as error:
        raise TypeError(
            f"{name} must be a number or a schedule (a callable of the step), got {checks.shown(coefficient)}"
        ) from error
