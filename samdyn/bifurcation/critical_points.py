"""Branches of critical points under a rule whose field jumps there: no Jacobian, stability from the jump.

Algorithm
---------
1. The points: zeros of grad f, which do not depend on rho, lr, lam or momentum. If the parameter is one of
   the loss they are followed by pseudo-arclength continuation of grad f; folds and branch points of that
   curve are reported (flips and the like are not: they would need a Jacobian of the dynamics).
2. Their stability at `N_VALUES` values, as at a single point (`samdyn.equilibria.stability.at_jumps`): of a
   flow from the field just beside the point, with its capture radius; of a map from a simulation of it around
   the point at all values at once (`samdyn.equilibria.stability.hovering`), with the radius within which it
   hovers.
3. Where the answer changes between neighbours the change is bracketed, and named a border: there the field
   just beside the point vanishes in an attracting direction, and a branch of hallucinated points ends. It is
   polished on the equations of a border collision where those converge, else the bracket is reported.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.bifurcation.assembly import assemble
from samdyn.bifurcation.bifurcations import Bifurcation, Curve
from samdyn.bifurcation.border import BorderEquations, border_point
from samdyn.bifurcation.branch import Branch
from samdyn.bifurcation.defining_systems import Scale
from samdyn.bifurcation.following import follow_both
from samdyn.bifurcation.start import corrected_start, scale_of
from samdyn.dynamics.parametric import Parametric, full_state, length_of_state, stepper
from samdyn.equilibria.stability.at_jumps import label_at_jump, stability_at_jump
from samdyn.equilibria.stability.critical_kinds import kind_of
from samdyn.equilibria.stability.hovering import (
    hover_radii,
    hover_scale,
    hover_starts,
    hover_steps,
    negative_modes,
    steps_of_memory,
)
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.progress import PartsBar
from samdyn.numerics.scales import displacement_tolerance
from samdyn.numerics.sphere import directions
from samdyn.rules.family import GD
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

N_VALUES = 33  # values at which stability is found; between them changes are bracketed
ROUNDS = 7  # of narrowing a bracket, each to an eighth: 8^-7 of the first in the end
PER_ROUND = 9  # labels in a round, which cut a bracket into eight
NARROWER = "a parameter of the rule in place of one of the loss, or a longer max_step, makes it cheaper"


def jump_labels(
    system: System, name: str, values: Array, x: Array, *, radii: bool = True
) -> tuple[npt.NDArray[np.str_], Array, Array]:
    """Stability, capture radius and chatter radius of critical points (m, dim) at parameter values (m,).

    Without `radii` labels alone are looked for, and the capture radii are nan.
    """
    chatter = _chatter(system, name, values, x) if isinstance(system, Map) else np.zeros(len(values))
    labels, capture = [], np.full(len(values), np.nan)
    for i, (value, z, far) in enumerate(zip(values, x, chatter.tolist(), strict=True)):
        at = system.with_parameters(**{name: float(value)})
        if radii:
            label, capture[i], _ = stability_at_jump(at, z, far)
        else:
            label = label_at_jump(at, z, far)
        labels.append(label)
    return np.array(labels), capture, np.where(np.isfinite(chatter), chatter, np.nan)


def _chatter(system: Map, name: str, values: Array, x: Array) -> Array:
    """How far from each critical point the map hovers, inf where it leaves: all values in one ensemble."""
    step, _ = stepper(system, (name,))
    hessians, rates, scales, starts, n_steps = [], [], [], [], 0
    for value, z in zip(values, x[:, None], strict=True):
        at = system.with_parameters(**{name: float(value)})
        assert at.landscape is not None
        hessians.append(at.landscape.hessian(z[0]))
        rates.append(at.coefficients()["lr"])
        scales.append(hover_scale(at, z, np.linalg.eigvalsh(hessians[-1:])))
        start = hover_starts(at, z, scales[-1])[0]
        n_steps = max(n_steps, steps_of_memory(at, start[0]))
        starts.append(full_state(at, (name,), start))
    curvatures = np.linalg.eigvalsh(hessians)
    parameter = np.repeat(values, len(starts[0]))[None]
    return hover_radii(
        lambda now: list(step(np.asarray(now), parameter)),
        list(np.concatenate(starts).T),
        x,
        np.concatenate(scales),
        negative_modes(np.array(hessians)),
        max(n_steps, hover_steps(curvatures, rates)),
    )


def jump_borders(
    system: System, name: str, values: Array, x: Array, labels: npt.NDArray[np.str_]
) -> list[tuple[int, Bifurcation]]:
    """Where the label changes between neighbours: (index of the left neighbour, bifurcation)."""
    changes = np.flatnonzero(labels[1:] != labels[:-1])
    if len(changes) == 0:
        return []
    equations, scope = BorderEquations(system, name), float(np.ptp(values))
    found = []
    for i in changes.tolist():
        low, high, z_low, z_high = values[i], values[i + 1], x[i], x[i + 1]
        for _ in range(ROUNDS):
            weight = np.linspace(0, 1, PER_ROUND)[:, None]
            inner, z = (low + (high - low) * weight)[:, 0], z_low + (z_high - z_low) * weight
            marks = jump_labels(system, name, inner, z, radii=False)[0]
            first = max(1, int(np.argmax(marks != labels[i])))
            low, high, z_low, z_high = inner[first - 1], inner[first], z[first - 1], z[first]
        found.append((i, _border(system, name, equations, (low, high), (z_low + z_high) / 2, scope)))
    return found


def _border(
    system: System,
    name: str,
    equations: BorderEquations,
    bracket: tuple[float, float],
    z: Array,
    scope: float,
) -> Bifurcation:
    middle, width = float(sum(bracket)) / 2, float(bracket[1] - bracket[0])
    best: tuple[Array, Array, float, float] | None = None
    starts = directions(system.dim)
    for u in starts[:: max(1, len(starts) // 16)]:
        solved = equations.solve(z, u, middle, width)
        if solved is None or abs(solved[2] - middle) > 1e-2 * scope:
            continue
        if np.linalg.norm(solved[0] - z) > displacement_tolerance(system.box, z, 1e-3):
            continue
        if best is None or abs(solved[2] - middle) < abs(best[2] - middle):
            best = solved
    # of a map the change may have another cause: its 2-cycle loses stability
    if best is None or (isinstance(system, Map) and abs(best[2] - middle) > 2 * width):
        best = (z, np.full(system.dim, np.nan), middle, width)
    return border_point(name, best)


def critical_branch(
    system: System,
    start: Array,
    name: str,
    bounds: tuple[float, float],
    max_step: float,
    max_points: int,
    region: Array | None,
    bar: PartsBar | None = None,
) -> Branch:
    """Critical points under a rule that jumps there."""
    loss = system.landscape
    assert loss is not None
    value = float(system.parameters[name])
    gradient_flow = Flow(loss, GD())
    bifurcations: list[Bifurcation] = []
    ends = ("lower bound", "upper bound")
    if name in loss.parameters:
        field = Parametric(gradient_flow, (name,))
        scale = Scale(
            scale_of(system, start), np.array([bounds[0]]), np.array([bounds[1] - bounds[0]]), start
        )
        curve = Curve.of(field, scale)
        first = corrected_start(curve, start, value, name)
        ways = follow_both(curve, first, name, max(max_step, 1 / N_VALUES), max_points, region, None, bar)
        branch = assemble(curve, ways, name, bounds, None)
        values, x, ends = branch.values, branch.x, branch.ends
        bifurcations = [b for b in branch.bifurcations if b.kind in ("fold", "branch point", "pitchfork")]
    else:
        values = np.union1d(np.linspace(*bounds, N_VALUES), [value])
        # Newton on the gradient: the start may be off by what was accepted
        z = start - np.linalg.lstsq(loss.hessian(start), loss.gradient(start), rcond=1e-10)[0]
        x = np.repeat(z[None], len(values), axis=0)
    once = seconds_of(lambda: jump_labels(system, name, values[:1], x[:1]))
    # one change of the label costs ROUNDS times PER_ROUND labels without their radii
    announce("continuation", once * (len(values) + ROUNDS * PER_ROUND / 4), NARROWER)
    labels, capture, chatter = jump_labels(system, name, values, x)
    borders = jump_borders(system, name, values, x, labels)
    if name in loss.parameters:
        hessians = [
            loss.with_parameters(**{name: float(v)}).hessian(z) for v, z in zip(values, x, strict=True)
        ]
    else:
        hessians = [loss.hessian(x[0])] * len(values)
    kinds = [kind_of(hessian) for hessian in hessians]
    n = length_of_state(system, (name,))
    return Branch(
        parameter=name,
        values=values,
        x=x,
        stability=labels,
        eigenvalues=np.full((len(values), n), np.nan, dtype=complex),
        bifurcations=tuple(sorted([*bifurcations, *(b for _, b in borders)], key=lambda b: b.value)),
        ends=ends,
        kind=np.array(kinds),
        period=1,
        points=x[:, None],
        capture_radius=capture,
        chatter_radius=chatter,
        system=system,
        bounds=bounds,
    )
