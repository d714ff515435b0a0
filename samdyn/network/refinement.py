"""From a checkpoint to the fixed point near it, and what kind of point that is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.fixed_point import FixedPoint
from samdyn.equilibria.search import displacement_of
from samdyn.equilibria.stability.at_jumps import jump_stability
from samdyn.equilibria.stability.linearization import residual_of, stability_of
from samdyn.equilibria.stability.wording import listed
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.landscapes.landscape import Landscape
from samdyn.network.eigenvalues import DENSE
from samdyn.network.newton_krylov import Deflation, Search, TangentAt, find_zero
from samdyn.network.spectra import Spectrum, spectrum
from samdyn.numerics.scales import displacement_tolerance, length_scale
from samdyn.results import Table
from samdyn.rules.schedules import value_at
from samdyn.systems.jump import attracts
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.systems.tangent import Tangent, differentiated, direction_tangent
from samdyn.trace.surroundings import own_surroundings

TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5}
"""Of |F|, relative to |A| times the problem's length, where the search may end: digits above rounding."""
CRITICAL = 1e-6
"""Of |H| times the problem's length: the gradient of a critical point is smaller."""
NULL = 1e-7
"""Eigenvalues below this share of the largest count as 0."""
LISTED = 6
"""Eigenvalues at each end that are computed where the matrix is not made."""
NEAR = 1 / 32
"""Of the reach: a point that is found within it is taken at once."""
RELAXED = 500
"""Steps along the field after which the search is tried again."""
LOOKED_AT, FALLING = 25, 0.9
"""Steps after which |F| has to be below this share of what it was, or the way is given up."""
FEW_PRODUCTS = 1000
"""With which a critical point is looked for that is near, if it is there."""
FOLLOWED = 0.05
"""How far along a null direction it is looked for further fixed points, relative to the reach."""
LOOKED_AROUND = 3
"""Dimensions up to which the field is looked at on all sides of a critical point where it jumps."""

HALLUCINATED, CRITICAL_POINT, NONE = "hallucinated point", "critical point", "none within reach"


@dataclass(frozen=True, eq=False, repr=False)
class RefinedPoint(FixedPoint):
    """The fixed point that `refine` ended at, or where it gave up.

    A `FixedPoint` with the following attributes besides. `kind` is "none" where no fixed point was found.

    Attributes
    ----------
    ended : str
        "hallucinated point", "critical point", "fixed point" (systems made from functions) or "none within
        reach".
    distance : float
        From the start.
    gradient_norm : float
        |g(x)| of the loss; nan for systems made from functions.
    perturbed_gradient_norm : float
        |g(x + e(x))|.
    transversal_stability : str
        `stability` across the set of fixed points where there is one (`dimension` > 0); the same as
        `stability` for a point alone.
    n_steps : int
        Steps of the search.
    n_products : int
        Products with the Jacobian or its transpose that they took.
    """

    ended: str = NONE
    distance: float = float("nan")
    gradient_norm: float = float("nan")
    perturbed_gradient_norm: float = float("nan")
    transversal_stability: str = ""
    n_steps: int = 0
    n_products: int = 0

    @property
    def reached(self) -> bool:
        """Whether this is a fixed point."""
        return self.ended != NONE

    def table(self) -> Table:
        """Where it is, of what kind, and how far from the start."""
        if not self.reached:
            return Table(
                f"RefinedPoint: none within reach; the search ended {self.distance:.3g} away with a residual "
                f"of {self.residual:.3g}"
            )
        set_of = f" in a set of dimension {self.dimension}" if self.dimension else ""
        how = self.stability
        if self.dimension and self.transversal_stability != self.stability:
            how = f"{self.transversal_stability} across it"
        gradients = f"|g| = {self.gradient_norm:.3g}, |g(x + e)| = {self.perturbed_gradient_norm:.3g}"
        return Table(
            f"RefinedPoint({listed(self.x)}, {self.kind}{set_of}, {how}; {self.distance:.3g} from the start, "
            f"{gradients})"
        )


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
        A step of the search in many dimensions will take long: the estimate is for ten steps of as many
        products as ten times the root of the dimension, which is no more than a guess.

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
    in a set, of the dimension of the null space.

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
        if loss is not None and system.rule is not None and system.rule.jumps and not deflate:
            away = float(np.linalg.norm(searches["field"].x - point))
            # a farther one is of no use
            within = max(away, 1e-6 * reach) if searches["field"].reached else reach
            searches["gradient"] = find_zero(_gradient_field(loss), point, **{**options, "reach": within})
    del options["report"]
    found = {name: s for name, s in searches.items() if s.reached}
    if not found:
        return _none(system, point, searches["field"])
    name = min(found, key=lambda key: float(np.linalg.norm(found[key].x - point)))
    n_products = sum(s.n_products for s in searches.values())
    return _described(system, point, found[name], name, n_products, options, field)


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
    if system.dim <= DENSE:
        return
    operator = system.operator(point)
    one = seconds_of(lambda: operator @ np.ones(operator.shape[0]))
    announce("refine", one * 100 * system.dim**0.5, "pass a smaller n_steps, or a larger tolerance")


def _none(system: System, start: Array, search: Search) -> RefinedPoint:
    g, gy = _gradients(system, search.x)
    return RefinedPoint(
        search.x,
        "none",
        "",
        np.empty(0),
        search.residual,
        ended=NONE,
        distance=float(np.linalg.norm(search.x - start)),
        gradient_norm=g,
        perturbed_gradient_norm=gy,
        n_steps=search.n_steps,
        n_products=search.n_products,
    )


def _gradients(system: System, x: Array) -> tuple[float, float]:
    """|g(x)| and |g(x + e)|."""
    loss = system.landscape
    if loss is None:
        return float("nan"), float("nan")
    pair = loss.gradient(np.stack([x, x + system.perturbation(x)]))
    return float(np.linalg.norm(pair[0])), float(np.linalg.norm(pair[1]))


def _described(
    system: System,
    start: Array,
    search: Search,
    name: str,
    n_products: int,
    options: dict[str, Any],
    field: TangentAt,
) -> RefinedPoint:
    loss, rule, x = system.landscape, system.rule, search.x
    g, gy = _gradients(system, x)
    common: dict[str, Any] = {
        "distance": float(np.linalg.norm(x - start)),
        "gradient_norm": g,
        "perturbed_gradient_norm": gy,
        "n_steps": search.n_steps,
        "n_products": n_products,
    }
    if loss is None or rule is None:
        kind, ended = "fixed point", "fixed point"
    else:
        curvatures = spectrum(loss, x, 2 * LISTED, "both")
        size = float(np.abs(curvatures.eigenvalues).max())
        critical = name == "gradient" or g <= size * float(displacement_tolerance(system.box, x, CRITICAL))
        kind, ended = (kind_by(curvatures), CRITICAL_POINT) if critical else ("hallucinated", HALLUCINATED)
        if critical and rule.jumps:
            return _trapped(system, x, kind, curvatures, g, common)
    values, ends = _eigenvalues(system, x)
    neutral = 1.0 if isinstance(system, Map) else 0.0
    null = np.abs(values - neutral) <= NULL * np.abs(values - neutral).max(initial=1e-300)
    stability = stability_of(np.where(null, neutral, values), isinstance(system, Map))
    dimension, across = 0, stability
    if null.any() and not null.all():
        moved = _along_the_set(system, x, ends, field, options)
        dimension = int(null.sum()) if moved else 0
        across = stability_of(values[~null], isinstance(system, Map)) if moved else stability
    return RefinedPoint(
        x,
        kind,
        stability,
        values,
        residual_of(system, x),
        dimension=dimension,
        ended=ended,
        transversal_stability=across,
        **common,
    )


def _trapped(
    system: System, x: Array, kind: str, curvatures: Spectrum, g: float, common: dict[str, Any]
) -> RefinedPoint:
    """A critical point under a rule that jumps there.

    In few dimensions the field beside the point is looked at on all sides. In more it is taken to be the
    field of the quadratic with the Hessian of the point, which draws the flow onto every nondegenerate one.
    Of a map whose rule has memory nothing is said then: its orbits decide, which are followed in few
    dimensions alone.
    """
    assert system.landscape is not None and system.rule is not None
    capture = chatter = float("nan")
    remembers = isinstance(system, Map) and system.rule.memory
    if system.dim > LOOKED_AROUND:
        stability = "marginal" if kind == "degenerate" or remembers else "trapping"
    elif not remembers and attracts(system.landscape, system.rule, x, getattr(system, "form", "perturbed")):
        stability = "trapping"
    else:
        stability, capture, chatter = jump_stability(system, x[None])[0]
    return RefinedPoint(
        x,
        kind,
        stability,
        np.full(len(curvatures.eigenvalues), np.nan),
        g,
        capture_radius=capture,
        chatter_radius=chatter,
        ended=CRITICAL_POINT,
        transversal_stability=stability,
        **common,
    )


def kind_by(curvatures: Spectrum) -> str:
    """The kind of a critical point from the ends of its Hessian's spectrum.

    A zero eigenvalue makes it "degenerate", except that an end below 0 makes it a "saddle" where the other is
    above 0 and not all are known.
    """
    values = np.real(curvatures.eigenvalues)
    size = float(np.abs(values).max(initial=0.0))
    zero = NULL * size
    if size == 0 or (np.abs(values) <= zero).any():
        return "degenerate"
    if values.min() > 0:
        return "minimum"
    return "maximum" if values.max() < 0 else "saddle"


def _eigenvalues(system: System, x: Array) -> tuple[npt.NDArray[Any], Spectrum]:
    """All eigenvalues of the Jacobian, or the leading ones and those at both ends, least stable first; and
    the spectrum that holds the largest.
    """
    discrete = isinstance(system, Map)
    if system.state_dim <= DENSE:
        largest = spectrum(system, x, system.state_dim, "largest")
        values = largest.eigenvalues
    else:
        kinds = ("leading", "largest", "smallest")
        parts = [spectrum(system, x, LISTED, which) for which in kinds]
        largest = parts[1]
        # a value may be listed by two searches
        found = [value for part in parts for value in part.eigenvalues]
        values = np.array(list({complex(round(v.real, 9), round(v.imag, 9)): v for v in found}.values()))
    order = np.argsort(-(np.abs(values) if discrete else np.real(values)), kind="stable")
    return np.asarray(values[order]), largest


def _along_the_set(
    system: System, x: Array, directions: Spectrum, field: TangentAt, options: dict[str, Any]
) -> bool:
    """Whether the search from a place along null directions ends beside it, and not back at x.

    The sum of the null eigenvectors is tried first, then each by itself: which vectors span a null space is
    left to rounding, and along some of them the set may bend away.
    """
    neutral = 1.0 if isinstance(system, Map) else 0.0
    away = np.abs(directions.eigenvalues - neutral)
    null = away <= NULL * max(float(away.max()), 1e-300)
    if not null.any():
        return False
    span = np.real(directions.eigenvectors[: system.dim, null])
    step = FOLLOWED * options["reach"]
    for v in (span.sum(axis=1), *span.T):
        size = float(np.linalg.norm(v))
        if size == 0:
            continue
        again = find_zero(field, x + step * v / size, **{**options, "reach": 10 * step})
        if again.reached and float(np.linalg.norm(again.x - x)) > 0.5 * step:
            return True
    return False
