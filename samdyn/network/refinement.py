"""From a checkpoint to the fixed point near it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.search import displacement_of
from samdyn.jobs.cost import announce, part_of, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.landscape import Landscape
from samdyn.network.newton_krylov import (
    DENSE,
    ITERATIONS,
    STALLED,
    Deflation,
    Search,
    TangentAt,
    find_zero,
)
from samdyn.network.refined_point import RefinedPoint, described, is_no_zero, nothing_found
from samdyn.numerics.scales import length_scale
from samdyn.rules.schedules import value_at
from samdyn.systems.map import Map
from samdyn.systems.system import System, check_limit
from samdyn.systems.tangent import Tangent, differentiated, direction_tangent
from samdyn.trace.surroundings import own_surroundings

TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5}
"""Of |F|, relative to |A| times the problem's length, where the search may end: digits above rounding."""
NEAR = 1 / 32
"""Of the reach: a point that is found within it is taken at once."""
RELAXED = 500
"""Steps along the field after which the search is tried again."""
LOOKED_AT, FALLING = 25, 0.9
"""Steps after which |F| has to be below this share of what it was, or the way is given up."""
FEW_PRODUCTS = 1000
"""With which a critical point is looked for that is near, if it is there."""


@checked
def refine(
    system: System,
    x: checks.PointLike,
    *,
    reach: float | None = None,
    deflate: bool = False,
    tolerance: float | None = None,
    n_steps: int = 200,
    progress: bool = False,
) -> RefinedPoint:
    """The fixed point of a system near a point, such as the end of a training run.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Of a Diffusion the drift, of a Map the noiseless step.
    x : array_like, shape (dim,)
        Where to start.
    reach : float, optional
        How far from it to look; by default the length of the perturbation at `x` or a tenth of L, whichever
        is larger.
    deflate : bool
        Leave the critical points of the loss aside, which are fixed points of rules whose perturbation
        vanishes with the gradient (USAM): look for hallucinated points only.
    tolerance : float, optional
        Of |F|, relative to |A| L, with F the field, A its Jacobian and L the diagonal of the system's box, or
        1 + |x| without one; 1e-11 by default, 1e-5 for a loss in single precision.
    n_steps : int
        Steps of the search at most.
    progress : bool
        Show a bar that counts steps of the searches; how many it will take is not known.

    Returns
    -------
    RefinedPoint
        Also where none is found: `ended` says so, and x is where |F| was smallest.

    Raises
    ------
    TypeError, ValueError
        A point that is not finite or of the wrong dimension, a loss that is not finite there, a schedule.

    Warns
    -----
    CostWarning
        The search in many dimensions will take long: the estimate is for ten steps of as many products as
        ten times the root of the dimension, which is no more than a guess; under a rule that jumps, above 200
        dimensions, for searches that find nothing.

    Notes
    -----
    Gauss-Newton steps of least norm in a trust region on F(x) = g(x + e(x)): `samdyn.network.newton_krylov`.
    If they find nothing, or something far off, the search is repeated from where 500 steps of the system
    itself lead (of a flow, steps x - F(x)/|A|), and the nearer point counts. Under a rule that jumps where
    g = 0, critical points are no zeros of F; they are looked for as zeros of g from the same start, and the
    nearer of the two points is returned.

    The eigenvalues of the Jacobian decide the stability: all of them in up to 400 dimensions, otherwise those
    farthest from standing still and those at both ends, a few each. Where some are 0, the search is repeated
    from a place along their eigenvectors; if it ends at another fixed point beside the start, the point lies
    in a set, of the dimension of the null space, or above 400 dimensions at least of the dimension of the
    part of it that is listed.

    Examples
    --------
    >>> import samdyn as sd
    >>> flow = sd.Flow(sd.landscapes.double_well(), sd.SAM(1.5))
    >>> point = sd.refine(flow, [-0.4])
    >>> point.ended, point.x.round(12), point.stability
    ('hallucinated point', array([-0.5]), 'attracting')
    """
    point = checks.points("x", x, system.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    check_limit("refine", system.rule)
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    loss = system.landscape
    if loss is not None and not np.isfinite(loss.value(point)):
        raise ValueError(f"x must be a point where the loss is finite, got the loss {loss.value(point)}")
    n_steps = checks.integer("n_steps", n_steps, at_least=1)
    length = 0.0 if loss is None else float(np.linalg.norm(system.perturbation(point)))
    if reach is None:
        reach = max(length, 0.1 * float(length_scale(system.box, point)))
    else:
        reach = checks.number("reach", reach, above=0)
    if tolerance is None:
        tolerance = TOLERANCE[getattr(loss, "dtype", torch.float64) if loss is not None else torch.float64]
    else:
        tolerance = checks.number("tolerance", tolerance, above=0, below=1)
    field = _field_of(system)
    _announce(system, field, point)
    options: dict[str, Any] = {"reach": reach, "tolerance": tolerance, "n_steps": n_steps}
    options |= {"together": 1 if loss is None else loss.points_together, "box": system.box}
    deflation = None
    if deflate and loss is not None:
        size = float(np.linalg.norm(loss.gradient(point)))
        deflation = Deflation(loss.gradient_function, loss.product_function, size)
    with PartsBar(progress, "refine", None, "step") as bar:
        options["report"] = bar.update
        searches = {"field": find_zero(field, point, **options, deflation=deflation)}
        first = searches["field"]
        if not first.reached or np.linalg.norm(first.x - point) > NEAR * reach:
            own = value_at(system.lr, 0) if isinstance(system, Map) and loss is not None else 0.0
            nearer = _relaxed(system, point, own or 1 / max(first.first_size, 1e-300), reach)
            if nearer is not None:
                second = find_zero(field, nearer, **options, deflation=deflation)
                farthest = float(np.linalg.norm(first.x - point)) if first.reached else reach
                if second.reached and np.linalg.norm(second.x - point) <= farthest:
                    searches["field"] = second
        if loss is not None and is_no_zero(system, searches["field"]):
            searches["field"] = searches["field"]._replace(reached=False)
        if loss is not None and system.rule is not None and system.rule.jumps and not deflate:
            away = float(np.linalg.norm(searches["field"].x - point))
            # a farther one is of no use
            within = max(away, 1e-6 * reach) if searches["field"].reached else reach
            searches["gradient"] = find_zero(_gradient_field(loss), point, **{**options, "reach": within})
    del options["report"]
    found = {name: s for name, s in searches.items() if s.reached}
    if not found:
        return nothing_found(system, point, searches["field"])
    name = min(found, key=lambda key: float(np.linalg.norm(found[key].x - point)))
    n_products = sum(s.n_products for s in searches.values())
    with part_of("refine", "pass a loss of fewer samples or coordinates"):
        return described(system, point, found[name], name, n_products, options, field)


def _relaxed(system: System, x: Array, length: float, reach: float) -> Array | None:
    """Where steps of the field times `length` lead; None if |F| does not fall on the way, or they leave the
    ball of the reach.
    """
    field = displacement_of(system)
    start = w = torch.from_numpy(np.array(x))
    before = float("inf")
    with own_surroundings(), torch.no_grad():
        for k in range(RELAXED):
            value = field(w).detach()
            w = w + length * value
            if k % LOOKED_AT == 0:
                if float(value.norm()) > FALLING * before:  # it hovers, or creeps
                    return None
                before = float(value.norm())
    inside = float((w - start).norm()) <= reach
    return np.asarray(w.numpy()) if inside else None


def _field_of(system: System) -> TangentAt:
    """The field whose zeros are the fixed points, with its tangent."""
    loss, rule, function = system.landscape, system.rule, displacement_of(system)

    def tangent(x: Tensor) -> Tangent:
        of_direction = None
        if loss is not None and rule is not None and system.field_of_direction() is not None:
            of_direction = direction_tangent(loss, rule, x, rule.coefficients(), loss.product_at)
        if of_direction is None:
            return differentiated(function, x)
        forward, transposed = of_direction  # the field is minus the direction
        return Tangent(lambda v: -forward(v), lambda w: -transposed(w))

    return lambda x: (function(x), functools.partial(tangent, x))


def _gradient_field(loss: Landscape) -> TangentAt:
    gradient = loss.gradient_function

    def tangent(x: Tensor) -> Tangent:
        product = loss.product_at(x)
        return Tangent(product, product)

    return lambda x: (gradient(x), functools.partial(tangent, x))


def find_critical(loss: Landscape, x: Array, *, reach: float, n_steps: int = 50) -> Search:
    """The critical point of a loss within `reach` of a point, by the same search; it gives up after
    `FEW_PRODUCTS` products with the Hessian.
    """
    tolerance = TOLERANCE[getattr(loss, "dtype", torch.float64)]
    options: dict[str, Any] = {"reach": reach, "tolerance": tolerance, "n_steps": n_steps}
    options |= {"together": loss.points_together, "most_products": FEW_PRODUCTS, "box": loss.box}
    return find_zero(_gradient_field(loss), x, **options)


def _announce(system: System, field: TangentAt, point: Array) -> None:
    if system.dim <= DENSE // 2:
        return
    operator = system.operator(point)
    one = seconds_of(lambda: operator @ np.ones(operator.shape[0]))
    products = 100 * system.dim**0.5
    if system.dim > DENSE and system.rule is not None and system.rule.jumps:
        # near a critical point the field has no zero, and two searches go on until they stall
        products = max(products, 4 * STALLED * min(2 * system.dim, ITERATIONS))
    announce("refine", one * products, "pass a smaller n_steps, or a larger tolerance")
