"""Branches of fixed points and cycles of maps and flows, followed through one parameter.

Algorithm
---------
1. The start is corrected by Newton at the system's own parameter value; it must lie within 1e-4 of the
   state's scale of a fixed point.
2. From there the curve is followed both ways by pseudo-arclength (`samdyn.bifurcation.arclength`), in units
   in which the range of the parameter and a quarter of the box's mean width are 1, with steps of at most
   `max_step`. Steps are controlled by the turn of the tangent, by how the chord fits the tangents, by the
   change of the eigenvalues, and by taking each step backwards (`samdyn.bifurcation.step_control`). A cycle
   of period k is a fixed point of the k-fold map, whose Jacobian is the product along it.
3. A way ends at the bounds (met exactly), outside the box widened threefold, when it meets its own first
   point again in all unknowns ("closed"), after `max_points` points, or when no step of 1e-9 is accepted or
   a change of stability of a step of 1e-7 cannot be verified ("lost").
4. Between neighbours bifurcations are looked for and verified (`samdyn.bifurcation.detection`): a step that
   has led to another branch is taken again, shorter. One that lies within 1e-8 of the range of an end of the
   branch, a fold for example, is reported as being at the end.
5. Under a rule whose field jumps where grad f = 0, a step is refused if the gradient turns by more than 60
   degrees at any point of the orbit, and the way ends in a border collision where the gradient vanishes
   (`samdyn.bifurcation.border`).
6. A branch of critical points under such a rule is another matter: there is no Jacobian there
   (`samdyn.bifurcation.critical_points`).
7. Fixed points of networks of more than 64 weights are followed by products with the Jacobian, without the
   location of bifurcations (`samdyn.bifurcation.matrix_free`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from samdyn.arguments import checks
from samdyn.bifurcation.assembly import assemble
from samdyn.bifurcation.bifurcations import Curve
from samdyn.bifurcation.border import Borders
from samdyn.bifurcation.branch import Branch
from samdyn.bifurcation.critical_points import critical_branch
from samdyn.bifurcation.defining_systems import Scale
from samdyn.bifurcation.following import announce_following, follow_both
from samdyn.bifurcation.matrix_free import MANY, follow_many
from samdyn.bifurcation.start import (
    check_parameter,
    check_start,
    corrected_start,
    is_critical,
    region_of,
    scale_of,
)
from samdyn.dynamics.parametric import Parametric, full_state
from samdyn.jobs.progress import PartsBar
from samdyn.systems.system import System


def continuation(
    system: System,
    x: checks.PointLike,
    parameter: str,
    bounds: Sequence[float],
    *,
    period: int | None = None,
    max_step: float = 0.005,
    max_points: int = 4000,
    box: Sequence[Sequence[float]] | None = None,
    progress: bool = False,
) -> Branch:
    """Follow a fixed point or a cycle through a parameter.

    Parameters
    ----------
    system : Map or Flow
        Its own value of the parameter is where the branch starts. Coefficients must be constant; noise is
        left out.
    x : FixedPoint or array_like, shape (dim,)
        A fixed point, or a point of a cycle. With momentum (x, v) is accepted too; v is 0 at fixed points.
    parameter : str
        Any of ``system.parameters`` that is a number: rho, lam, lr, momentum, a parameter of the loss or of
        the function.
    bounds : (float, float)
        The range of the parameter; it must hold the system's own value.
    period : int, optional
        Period of the cycle; the period of the FixedPoint, or 1, by default.
    max_step : float
        Longest step, as a share of the range.
    max_points : int
        Most points in each direction.
    box : sequence of (lower, upper), optional
        The branch ends where it leaves this; three times the system's own box by default.
    progress : bool
        Show a bar that counts points.

    Returns
    -------
    Branch

    Raises
    ------
    TypeError, ValueError
        A parameter that the system lacks (those it has are listed) or that is no number; bounds reversed or
        without the system's own value; `x` is no fixed point (how far off it is, is said) or not isolated.

    Warns
    -----
    CostWarning
        Work of more than ten seconds, by an estimate at its beginning.

    Notes
    -----
    The algorithm is in the module's documentation (`samdyn.bifurcation.branches`). Bifurcation points are
    located by Newton on their defining systems, usually to 1e-12 of the range; `Bifurcation.error` says how
    well. A point costs about ten evaluations of the step and its Jacobian, one or two milliseconds in all
    for a loss that can be traced. What a step can miss: a detour of the branch shorter than the step that
    shifts it by less than 3e-4 of the step and leaves the eigenvalues at both ends as they were.

    References
    ----------
    Keller (1977); Allgower & Georg (2003); Kuznetsov (2004), ch. 10.

    Examples
    --------
    The saddle of Beale's function becomes an attractor of USAM at rho = 1/27.75:

    >>> import samdyn as sd
    >>> branch = sd.continuation(sd.Flow(sd.landscapes.beale(), sd.USAM(0.01)), [0, 1], "rho", (0.0, 0.1))
    >>> [round(b.value, 10) for b in branch.bifurcations]
    [0.036036036]
    >>> str(branch.stability[0]), str(branch.stability[-1])
    ('saddle', 'attracting')
    """
    start, period = check_start(system, x, period)
    low, high = check_parameter(system, parameter, bounds)
    max_step = checks.number("max_step", max_step, above=0)
    max_points = checks.integer("max_points", max_points, at_least=2)
    region = region_of(system, box)
    place = start[: system.dim]
    if box is not None and region is not None and (np.abs(np.clip(place, *region.T) - place) > 0).any():
        raise ValueError(f"box must hold the start x = {place}, got {region.tolist()}")
    value = float(system.parameters[parameter])
    if not low <= value <= high:
        raise ValueError(
            f"bounds must hold the system's own value of {parameter}, {value:g}, got ({low:g}, {high:g}): "
            f"start from system.with_parameters({parameter}=...)"
        )
    inside = system.with_parameters(**{parameter: (low + high) / 2})
    jumps = system.landscape is not None and inside.rule is not None and inside.rule.jumps
    untraced = system.landscape is not None and not system.landscape.traceable
    many = untraced and system.dim > MANY and period == 1
    if jumps and period == 1 and not many and is_critical(system, start[: system.dim]):
        with PartsBar(progress, "continuation", None, "point") as bar:
            return critical_branch(
                system, start[: system.dim], parameter, (low, high), max_step, max_points, region, bar
            )
    if many:
        with PartsBar(progress, "continuation", None, "point") as bar:
            return follow_many(system, place, parameter, (low, high), max_step, max_points, bar)
    field = Parametric(system, (parameter,), period)
    start = full_state(system, (parameter,), start)
    curve = Curve.of(field, Scale(scale_of(system, start), np.array([low]), np.array([high - low]), start))
    first = corrected_start(curve, start, value, parameter)
    border = Borders(system, parameter, curve) if jumps else None
    if border is not None and border.sizes(first.u).min() == 0:
        raise ValueError("x must be a cycle on which the gradient of the loss vanishes nowhere")
    announce_following("continuation", curve, first.u, max_step, max_points)
    with PartsBar(progress, "continuation", None, "point") as bar:
        ways = follow_both(curve, first, parameter, max_step, max_points, region, border, bar)
    return assemble(curve, ways, parameter, (low, high), border)
