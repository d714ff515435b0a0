"""Bounds of systems over boxes: of the function whose zeros are fixed points, and of the image of a box.

Image of a box under a map
--------------------------
1. x - lr F(x) is bounded by the box less lr times the bounds of F
   (`samdyn.equilibria.proof.interval_fields`), and by its mean-value form with the Jacobian I - lr DF, which
   keeps both occurrences of x together; the two are intersected.
2. A box that may hold a critical point under a normalised rule has no Jacobian. For each direction of
   ascent u, abs(u) <= 1, the step is smooth: it is bounded in the same way for each of the small cubes
   that cover the ball of directions, and the image is the hull of all.
3. Maps given by a function, and other rules, are bounded through their traced step.

The excess over the true image is of second order in the size of the box; where the field jumps, lr rho
times the size of the cubes of directions is added. Cost: some 10 microseconds a box in two dimensions; traced
once for many calls (`image_function`).

References
----------
Moore, Kearfott & Cloud, Introduction to Interval Analysis (SIAM 2009).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.equilibria.proof.interval_fields import Field, PerturbedField, TracedField, refined
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics import interval as iv
from samdyn.numerics.interval import Interval
from samdyn.rules.rule import Rule
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.trace.interval_forms import mean_value

__all__ = [
    "Field",
    "PerturbedField",
    "TracedField",
    "critical_field",
    "image_function",
    "map_image",
    "perturbation_of",
    "shift_coefficients",
    "zero_field",
]


def perturbation_of(rule: Rule | None) -> tuple[float, float] | None:
    """(a, r) of e = a g + r g/|g| for rules of that form with constant coefficients; else None."""
    return None if rule is None or rule.scheduled else rule.parts()


def shift_coefficients(system: System) -> tuple[float, float] | None:
    """(a, r) where the fixed points of a system are the zeros of grad f(x + a g + r g/|g|), else None."""
    if system.landscape is None or getattr(system, "form", "perturbed") != "perturbed":
        return None
    return perturbation_of(system.rule)


def zero_field(system: System, function: Callable[[Tensor], Tensor]) -> Field:
    """Bounds of `function`, whose zeros are the fixed points of a system."""
    coefficients = shift_coefficients(system)
    if system.landscape is None or coefficients is None:
        return TracedField(function, system.dim)
    return PerturbedField(system.landscape, *coefficients)


def critical_field(loss: Landscape) -> Field:
    """Bounds of the gradient of a loss and of its Hessian."""
    return TracedField(torch.func.grad(loss.one_point), loss.dim)


def map_image(system: Map, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Interval:
    """Boxes around the images of boxes under a map.

    Parameters
    ----------
    system : Map
        With constant coefficients, and a loss or a function that can be traced.
    lower, upper : array_like, shape (n, state_dim)
        Corners of the boxes; with momentum of boxes of states (x, v).

    Returns
    -------
    Interval
        Lower and upper corners (n, state_dim). Every point of a box is mapped into its image, rounding
        included. A box that may hold a critical point under a normalised rule is given the union over all
        ascent directions: x - lr grad f(x + a g + r u), abs(u) <= 1.

    Raises
    ------
    TypeError, ValueError
        Not a map, scheduled coefficients, corners of the wrong shape or reversed.
    NotTraceable
        The loss or the function has no scalar form.

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.equilibria.proof.enclosure`). The image of a part
    of a box lies in the image of the box up to the excess only: the forms that are intersected differ from
    box to box.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.SAM(0.5), lr=0.1)
    >>> image = map_image(step, [[1.0], [-0.1]], [[1.2], [0.1]])
    >>> image.lower.round(6).tolist(), image.upper.round(6).tolist()
    ([[0.7], [-0.18]], [[0.86], [0.18]])
    """
    if not isinstance(system, Map):
        raise TypeError(f"system must be a Map, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    low = np.atleast_2d(checks.points("lower", lower, system.state_dim))
    high = np.atleast_2d(checks.points("upper", upper, system.state_dim))
    if low.shape != high.shape or not (low <= high).all():
        raise ValueError(f"lower must be below upper, of one shape, got shapes {low.shape} and {high.shape}")
    return image_function(system)(low, high)


def image_function(system: Map) -> Callable[[Array, Array], Interval]:
    """`map_image` of one map without its checks, traced once for many calls."""
    coefficients = perturbation_of(system.rule)
    if system.landscape is None or coefficients is None:
        step = TracedField(system.point_function(), system.state_dim)
        return lambda lower, upper: refined(step, lower, upper)[0]
    field = PerturbedField(system.landscape, *coefficients)
    lr = system.coefficients()["lr"]

    def image(lower: Array, upper: Array) -> Interval:
        x = Interval(lower[:, : field.dim], upper[:, : field.dim])
        descent = field.descent(*x)
        moved = _step(field, x, descent, lr)
        if not system.momentum:
            return moved
        with np.errstate(all="ignore"):
            kept = iv.scale(Interval(lower[:, field.dim :], upper[:, field.dim :]), system.momentum)
            moved = iv.sub(moved, iv.scale(kept, lr))
            velocity = iv.add(kept, descent)
        return Interval(*(np.concatenate(pair, axis=1) for pair in zip(moved, velocity, strict=True)))

    return image


def _step(field: PerturbedField, x: Interval, descent: Interval, lr: float) -> Interval:
    """Bounds of x - lr F(x) from the bounds of F, and from the mean-value form where F is continuous."""
    with np.errstate(all="ignore"):
        natural = iv.sub(x, iv.scale(descent, lr))
        continuous = field.value(*x)[1]
        use = np.flatnonzero(continuous)
        if len(use):
            low, high = x.lower[use], x.upper[use]
            center = iv.midpoint(Interval(low, high))
            there = iv.sub(iv.point(center), iv.scale(field.value(center, center)[0], lr))
            slopes = iv.sub(iv.point(np.eye(field.dim)[None]), iv.scale(field.slopes(low, high), lr))
            better = mean_value(there, slopes, center, low, high)
            natural.lower[use] = np.fmax(natural.lower[use], better.lower)
            natural.upper[use] = np.fmin(natural.upper[use], better.upper)
        turns = field.turns(*x)
        if len(turns):
            better = field.over_directions(x.lower[turns], x.upper[turns], 1.0, -lr)
            natural.lower[turns] = np.fmax(natural.lower[turns], better.lower)
            natural.upper[turns] = np.fmin(natural.upper[turns], better.upper)
    return natural
