"""What kind of point a search for fixed points ended at, and its stability.

A zero of g(x + e(x)) is hallucinated where the gradient at x is not small (`CRITICAL`), a critical point
otherwise, whose kind the ends of the Hessian's spectrum tell. The eigenvalues of the system's Jacobian decide
the stability. Where some vanish, the search is repeated from places along their eigenvectors: if it ends
beside the point and not back at it, the point lies in a set of fixed points, of the dimension of the null
space (of the part that is listed, a lower bound, where not all eigenvalues are), and is judged across the set
as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.equilibria.fixed_point import FixedPoint
from samdyn.equilibria.stability.at_jumps import jump_stability, jump_words
from samdyn.equilibria.stability.linearization import residual_of, stability_of
from samdyn.equilibria.stability.wording import listed
from samdyn.network.eigenvalues import DENSE
from samdyn.network.newton_krylov import Search, TangentAt, find_zero
from samdyn.network.spectra import Spectrum, spectrum
from samdyn.numerics.scales import displacement_tolerance
from samdyn.results import Table
from samdyn.systems.jump import attracts
from samdyn.systems.map import Map
from samdyn.systems.system import System

CRITICAL = 1e-6
"""Of |H| times the problem's length: the gradient of a critical point is smaller."""
NULL = 1e-7
"""Eigenvalues below this share of the largest count as 0."""
LISTED = 6
"""Eigenvalues at each end that are computed where the matrix is not made."""
FOLLOWED = 0.05
"""How far along a null direction it is looked for further fixed points, relative to the reach."""
SMALL = 0.1
"""Of |g|: the gradient at the perturbed point of a hallucinated one is smaller."""
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
    dimension : int
        Of the set of fixed points that it lies in, 0 for a point alone: the number of eigenvalues that
        vanish. Above 400 coordinates, of those that were listed: a lower bound.
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
        least = "at least " if len(self.x) > DENSE else ""
        set_of = f" in a set of dimension {least}{self.dimension}" if self.dimension else ""
        how = self.stability
        if self.dimension and self.transversal_stability != self.stability:
            how = f"{self.transversal_stability} across it"
        gradients = f"|g| = {self.gradient_norm:.3g}, |g(x + e)| = {self.perturbed_gradient_norm:.3g}"
        return Table(
            f"RefinedPoint({listed(self.x)}, {self.kind}{set_of}, {how}; {self.distance:.3g} from the start, "
            f"{gradients})"
        )


def nothing_found(system: System, start: Array, search: Search) -> RefinedPoint:
    """Where a search from `start` that found nothing ended."""
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


def is_no_zero(system: System, search: Search) -> bool:
    """Whether the gradient at the perturbed point is not small beside the gradient where a search ended.

    The Jacobian of a normalised rule is of the size rho |H|^2/|g|, so that near a critical point, in single
    precision above all, anything is small beside it.
    """
    if system.rule is None or not system.rule.jumps:
        return False
    g, gy = _gradients(system, search.x)
    return gy > SMALL * g


def _gradients(system: System, x: Array) -> tuple[float, float]:
    """|g(x)| and |g(x + e)|."""
    loss = system.landscape
    if loss is None:
        return float("nan"), float("nan")
    pair = loss.gradient(np.stack([x, x + system.perturbation(x)]))
    return float(np.linalg.norm(pair[0])), float(np.linalg.norm(pair[1]))


def described(
    system: System,
    start: Array,
    search: Search,
    name: str,
    n_products: int,
    options: dict[str, Any],
    field: TangentAt,
) -> RefinedPoint:
    """The point that a search from `start` ended at, with its kind and stability.

    Parameters
    ----------
    name : {"field", "gradient"}
        Whether a zero of the field was found, or of the gradient.
    n_products : int
        Products of all searches.
    options : dict
        Of the search.
    field : callable
        The field whose zeros are looked for.
    """
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
    values, parts = _eigenvalues(system, x)
    neutral = 1.0 if isinstance(system, Map) else 0.0
    zero = NULL * max(float(np.abs(values - neutral).max(initial=0.0)), 1e-300)
    null = np.abs(values - neutral) <= zero
    stability = stability_of(np.where(null, neutral, values), isinstance(system, Map))
    dimension, across = 0, stability
    if null.any() and not null.all():
        # the search that lists most of the null space
        ends = max(parts, key=lambda part: int((np.abs(part.eigenvalues - neutral) <= zero).sum()))
        span = np.real(ends.eigenvectors[: system.dim, np.abs(ends.eigenvalues - neutral) <= zero])
        moved = _along_the_set(x, span, field, options)
        dimension = span.shape[1] if moved else 0
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

    A map is judged by its own orbits, as `fixed_points` does it, in the dimensions in which the Hessian is
    made; in more they are not followed, and nothing is claimed: the map may leave a point that its flow is
    drawn onto. Of a flow the field beside the point is looked at on all sides in few dimensions. In more it
    is taken to be the field of the quadratic with the Hessian of the point, which draws the flow onto every
    nondegenerate one.
    """
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    capture = chatter = float("nan")
    discrete = isinstance(system, Map)
    if not discrete and system.dim > LOOKED_AROUND:
        stability = "marginal" if kind == "degenerate" else "trapping"
    elif not discrete and attracts(loss, rule, x, getattr(system, "form", "perturbed")):
        stability = "trapping"
    elif system.dim <= LOOKED_AROUND:
        stability, capture, chatter = jump_stability(system, x[None])[0]
    elif system.dim <= DENSE:
        stability, capture, chatter = jump_words(system, x[None])[0]
    else:
        stability = "jump"
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

    A zero eigenvalue among those listed makes it "degenerate".
    """
    values = np.real(curvatures.eigenvalues)
    size = float(np.abs(values).max(initial=0.0))
    zero = NULL * size
    if size == 0 or (np.abs(values) <= zero).any():
        return "degenerate"
    if values.min() > 0:
        return "minimum"
    return "maximum" if values.max() < 0 else "saddle"


def _eigenvalues(system: System, x: Array) -> tuple[npt.NDArray[Any], list[Spectrum]]:
    """All eigenvalues of the Jacobian, or the leading ones and those at both ends, least stable first; and
    the spectra that hold them.
    """
    discrete = isinstance(system, Map)
    if system.state_dim <= DENSE:
        parts = [spectrum(system, x, system.state_dim, "largest")]
        values = parts[0].eigenvalues
    else:
        kinds = ("leading", "largest", "smallest")
        parts = [spectrum(system, x, LISTED, which) for which in kinds]
        # a value may be listed by two searches
        found = [value for part in parts for value in part.eigenvalues]
        values = np.array(list({complex(round(v.real, 9), round(v.imag, 9)): v for v in found}.values()))
    order = np.argsort(-(np.abs(values) if discrete else np.real(values)), kind="stable")
    return np.asarray(values[order]), parts


def _along_the_set(x: Array, span: Array, field: TangentAt, options: dict[str, Any]) -> bool:
    """Whether the search from a place along null directions ends beside it, and not back at x.

    The sum of the null eigenvectors is tried first, then each by itself: which vectors span a null space is
    left to rounding, and along some of them the set may bend away.
    """
    if not span.shape[1]:
        return False
    step = FOLLOWED * options["reach"]
    for v in (span.sum(axis=1), *span.T):
        size = float(np.linalg.norm(v))
        if size == 0:
            continue
        again = find_zero(field, x + step * v / size, **{**options, "reach": 10 * step})
        if again.reached and float(np.linalg.norm(again.x - x)) > 0.5 * step:
            return True
    return False
