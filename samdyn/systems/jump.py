r"""The flow just beside a critical point under a rule that jumps there.

At a critical point z a normalised perturbation has length r = rho lam (rho for SAM) however small the
gradient is, so just beside z the flow is -F(u), F(u) = grad f(z + r u), with u = g/|g|: a function of the
gradient's direction alone. With s = |g| and fast time dt = s dtau,

.. math::

    \frac{du}{d\tau} = -\bigl(H F(u) - (u \cdot H F(u))\, u\bigr), \qquad
    \frac{d \log s}{d\tau} = -u \cdot H F(u).

The direction settles on an attractor of the first equation and the gradient then shrinks or grows by the
second: z attracts the flow iff u . H F(u) > 0 on every attracting direction (on average, if the direction
goes round). On a quadratic F = r H u and u . H F = r |H u|^2 > 0: every nondegenerate critical point
attracts.

Algorithm
---------
1-D: both directions. 2-D: `N_ANGLES` angles; attracting directions are sign changes of the tangential rate,
and without any the direction goes round and the rates are averaged over a turn. Higher: the direction is
followed from starts that cover the sphere, by an implicit solver until fast time 100 over the smallest
eigenvalue squared of the Hessian times r. Where eigenvalues are below `FLAT` of the largest, nothing is drawn
onto the point along their eigenvectors, to first order: there the answer is no. So it is in a valley of
critical points, such as the saddles of networks with a unit written twice (`samdyn.split_unit`).

References
----------
Polar blow-up of a point discontinuity; own derivation, checked against simulation in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.jobs.cost import seconds_of
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.sphere import directions
from samdyn.numerics.vector import unit
from samdyn.rules.rule import Rule
from samdyn.trace import batch
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.surroundings import own_surroundings
from samdyn.trace.tracing import traced_or_batched

N_ANGLES = 4096
N_FOLLOWED = 12
FLAT = 1e-6  # of the largest eigenvalue of the Hessian: one below it counts as 0
RATES = 1000  # that following one direction takes, where the Hessian's eigenvalues are not far apart
FEW_TERMS = 500  # samples times coordinates up to which a written-out form is faster at one point than torch
TINY = 1e-100
SAME_LENGTH = 1e-9  # lengths that differ by less are one, up to the rounding of a norm
NEAR = 1e-6  # of the perturbation's length: how far beside a point a rule that sees samples is asked
RESOLVED = 1e3  # gradients this many times the layer of a rule do not see it


def beside(rule: Rule) -> float:
    """A gradient "just beside" a critical point: above the layer in which the rule is not at its length.

    Where a number is added to the norm it is the geometric mean of the layer and of 1, at which the length is
    right to the square root of the layer.
    """
    layer = rule.layer
    return max(TINY, layer**0.5) if layer else TINY


def jumps_at(rule: Rule, steepness: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether the field jumps at critical points with a Hessian of the given sizes.

    It does where the rule jumps, unless the gradients of the loss (a Hessian times the length of the
    perturbation) are so small that they lie in the layer in which the rule is smooth.
    """
    size = np.asarray(steepness, dtype=np.float64)
    layer = rule.layer
    if layer is None:
        return np.zeros(size.shape, dtype=bool)
    return np.asarray((size * jump_length(rule) > RESOLVED * layer) | (layer == 0))


def jump_length(rule: Rule, x: Array | None = None) -> float:
    """Length of the perturbation just beside a critical point: rho for SAM, rho lam for UnifiedSAM.

    Parameters
    ----------
    rule : Rule
    x : ndarray, shape (dim,), optional
        The critical point, for rules whose perturbation depends on where it is, such as the adaptive ones;
        where it also depends on the gradient's direction, the largest length counts. By default the origin
        of a line.

    Examples
    --------
    >>> import samdyn as sd
    >>> jump_length(sd.SAM(0.5)), jump_length(sd.UnifiedSAM(0.5, 0.1)), jump_length(sd.GD())
    (0.5, 0.05, 0.0)
    """
    if rule.layer is None:
        return 0.0
    plain = rule.jump_radius
    if plain is None:
        tiny = torch.tensor([beside(rule)], dtype=torch.float64, device="cpu")
        plain = abs(float(rule.perturbation(torch.zeros_like(tiny), tiny, **rule.coefficients())))
    if x is None:
        return plain
    largest = float(np.linalg.norm(perturbations_beside(rule, x, directions(len(x))), axis=1).max())
    # the lengths of unit vectors are 1 to rounding only
    return plain if abs(largest - plain) <= SAME_LENGTH * plain else largest


def perturbations_beside(rule: Rule, x: Array, u: Array, size: float | None = None) -> Array:
    """Perturbations (n, dim) at x (dim,) for gradients along u (n, dim), of a `size` or just not zero."""
    size = beside(rule) if size is None else size
    point, coefficients = torch.from_numpy(np.array(x)), rule.coefficients()
    return batch.evaluate(lambda d: rule.perturbation(point, size * d, **coefficients), u)


def along_the_gradient(rule: Rule, x: Array) -> bool:
    """Whether the perturbation is along the gradient, of one length, at x (dim,) and that far around it."""
    u = directions(len(x))
    length = jump_length(rule, x)
    around = [x, *(x + length * u[:: max(1, len(u) // 8)])]
    off = max(float(np.abs(perturbations_beside(rule, z, u) - length * u).max()) for z in around)
    return off <= same_length(rule) * length


def same_length(rule: Rule) -> float:
    """Relative difference below which lengths are one: of a rule with a layer, what that leaves `beside`."""
    return max(SAME_LENGTH, 10 * (rule.layer or 0.0) ** 0.5)


def descent_beside(loss: Landscape, rule: Rule, z: Array, u: Array) -> Array:
    """The descent direction just beside z for gradient directions u (n, dim)."""
    return batch.evaluate(_descent_of_direction(loss, rule, z), u)


def _descent_of_direction(loss: Landscape, rule: Rule, z: Array) -> Callable[[Tensor], Tensor]:
    gradient, point = loss.oracle, torch.from_numpy(np.array(z))
    if "samples" in rule.needs:
        # samples have gradients of their own at z: the rule is asked at a point beside it
        inverse = torch.from_numpy(np.linalg.pinv(loss.hessian(z)))
        step, coefficients = NEAR * jump_length(rule), rule.coefficients()
        return lambda u: rule.descent(point + step * unit(inverse @ u), gradient, gradient, **coefficients)
    size = beside(rule)
    return lambda u: rule.descent(point, lambda _: size * u, gradient, **rule.coefficients())


def attracts(loss: Landscape, rule: Rule, z: Array, form: str = "perturbed") -> bool:
    """Whether the flow is drawn onto the critical point z from just beside it.

    Parameters
    ----------
    loss : Landscape
    rule : Rule
        A rule that jumps, with constant coefficients.
    z : ndarray, shape (dim,)
        A critical point of the loss.
    form : {"perturbed", "first-order"}
        Of the flow.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> attracts(sd.landscapes.double_well(), sd.SAM(0.5), np.array([-1.0]))
    True
    >>> attracts(sd.landscapes.double_well(), sd.SAM(1.5), np.array([-1.0]))
    False
    """
    hessian = loss.hessian(z)
    if not hessian.any():
        return False
    if form == "first-order":  # beside z the field is -r H u: as on a quadratic, where u . H F = r |H u|^2
        return bool(np.abs(np.linalg.eigvalsh(hessian)).min() > 0)
    if len(z) == 1:
        u = directions(1)
        return bool((u * (descent_beside(loss, rule, z, u) @ hessian.T) > 0).all())
    if len(z) == 2:
        return _attracts_2d(loss, rule, z, hessian)
    return not _is_flat(hessian) and _attracts_nd(loss, rule, z)


def _is_flat(hessian: Array) -> bool:
    """Whether an eigenvalue counts as 0."""
    size = np.abs(np.linalg.eigvalsh(hessian))
    return bool(size.min() <= FLAT * size.max())


def _attracts_2d(loss: Landscape, rule: Rule, z: Array, hessian: Array) -> bool:
    # an irrational offset: no angle falls on an axis, where a symmetric loss has its zeros
    angle = 2 * np.pi * (np.arange(N_ANGLES) + 0.6180339887498949) / N_ANGLES
    u = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rate = descent_beside(loss, rule, z, u) @ hessian.T
    radial = (u * rate).sum(axis=1)
    tangential = u[:, 0] * rate[:, 1] - u[:, 1] * rate[:, 0]
    following, radial_next = np.roll(tangential, -1), np.roll(radial, -1)
    settles = (tangential < 0) & (following >= 0)  # the angle moves by minus the tangential rate
    if settles.any():
        weight = tangential[settles] / (tangential[settles] - following[settles])
        return bool((radial[settles] + weight * (radial_next[settles] - radial[settles]) > 0).all())
    if (tangential == 0).all():
        return bool((radial > 0).all())
    return bool((radial / np.maximum(np.abs(tangential), 1e-300)).sum() > 0)


def seconds_of_attracts(loss: Landscape, rule: Rule, z: Array, form: str = "perturbed") -> float:
    """Estimate of what `attracts` takes, right to a factor of ten or so: one rate times a usual number."""
    if form == "first-order" or len(z) <= 2 or _is_flat(loss.hessian(z)):
        return 0.0  # milliseconds
    followed = _followed(loss, rule, z)
    one = seconds_of(lambda: followed.velocity(0.0, np.append(followed.starts[0], 0.0)), repeats=3)
    return len(followed.starts) * RATES * one


class _Followed(NamedTuple):
    """How directions of the gradient move beside a point.

    Attributes
    ----------
    velocity : callable
        Fast time and (u, log s) to their rates.
    starts : ndarray, shape (n, dim)
    span : float
        Fast time in which the slowest of them settle.
    """

    velocity: Callable[[float, Array], Array]
    starts: Array
    span: float


def _followed(loss: Landscape, rule: Rule, z: Array) -> _Followed:
    hessian = loss.hessian(z)
    starts = directions(len(z))
    starts = np.concatenate([starts[: 2 * len(z)], starts[2 * len(z) :: max(1, len(starts) // N_FOLLOWED)]])
    span = 100 / (jump_length(rule, z) * np.abs(np.linalg.eigvalsh(hessian)).min() ** 2)
    of_direction, written_out = _descent_of_direction(loss, rule, z), None
    if getattr(loss, "n_samples", 1) * len(z) <= FEW_TERMS:
        written_out = numpy_form(traced_or_batched(of_direction, len(z)))

    def descent(u: Array) -> Array:
        if written_out is not None:
            return np.concatenate(written_out(*u[:, None]))
        with own_surroundings(), torch.no_grad():  # one point needs no transform over many
            return np.asarray(of_direction(torch.from_numpy(u)).numpy())

    def velocity(_: float, y: Array) -> Array:
        u = y[:-1] / np.linalg.norm(y[:-1])
        rate = hessian @ descent(u)
        radial = float(u @ rate)
        return np.append(radial * u - rate, -radial)

    return _Followed(velocity, starts, span)


def _attracts_nd(loss: Landscape, rule: Rule, z: Array) -> bool:
    velocity, starts, span = _followed(loss, rule, z)

    def falls(start: Array) -> bool:
        path = solve_ivp(
            velocity,
            (0, span),
            np.append(start, 0.0),
            method="LSODA",
            rtol=1e-6,
            atol=1e-9,
            t_eval=(span / 2, span),
        )
        return bool(path.y[-1, -1] < path.y[-1, 0])  # log(s) over the second half of fast time

    return all(falls(start) for start in starts)
