"""Capture sets of critical points under a normalised rule, where the field jumps and no Jacobian exists.

At a critical point z of the loss a normalised perturbation has length r = rho lam (rho for SAM) however
small the gradient is, so the field just beside z is -grad f(z + r u) with u the gradient's direction: a
jump. What decides is the Lyapunov function V = |grad f|^2: the flow lowers V at x when ``grad f . H F >
0``, F the descent direction. On a quadratic that holds wherever |Hw| < r min|lambda_-| (lambda_- the
negative eigenvalues), whatever r > 0: every nondegenerate saddle and maximum attracts, and every minimum
does everywhere.

Algorithm (`capture_radius`)
----------------------------
1. V is tested on shells around z, of radii geometric between 1e-4 r and `reach`, at `N_DIRECTIONS`
   directions. R is the largest radius up to which V falls on every shell.
2. The part of {V < min_(|w| = R) V} around z is then forward invariant and shrinks onto z. The capture
   radius is the largest ball in it.
It is 0 when V rises somewhere on the smallest shell. The point may still attract (`samdyn.systems.jump`
decides that), but no ball around it is drawn onto it monotonically. The test is by sampling, not a proof.

Algorithm (`chatter_radii`)
---------------------------
A map cannot stop at a jump: it hovers within O(lr r): on the attracting 2-cycle of the top mode or, where
only negative modes exist, in bounded chaos. How far is read off a simulation of the map itself from
`N_ORBITS` points around z, at the scale lr r |lambda|_max, over `CHATTER_STEPS` steps. The radius is the
largest distance over the last quarter. It is infinite, and the point does not trap the map, if that exceeds
1.2 times the largest distance over the second quarter (the orbits are leaving) or ten times the scale (they
have left).

References
----------
The quadratic case and the discrete windows: Monzio Compagnoni et al. (arXiv 2301.08203), Bartlett, Long &
Bousquet (2022), and own derivation, checked in the tests.
"""

from __future__ import annotations

import numpy as np
import torch

from samdyn.compute.checks import Array
from samdyn.compute.sphere import directions
from samdyn.landscapes.landscape import Landscape
from samdyn.rules.rule import Rule
from samdyn.systems.flow import Flow
from samdyn.systems.jump import jump_length
from samdyn.systems.map import Map

N_SHELLS = 48
N_ORBITS = 32
CHATTER_STEPS = 800


def capture_radius(landscape: Landscape, rule: Rule, z: Array, reach: float) -> float:
    """Radius of a ball around the critical point `z` from which the flow is drawn onto it.

    Parameters
    ----------
    landscape : Landscape
    rule : Rule
        A rule that jumps, with constant coefficients.
    z : ndarray, shape (dim,)
        A critical point of the loss.
    reach : float
        Largest radius that is tested. A result equal to it means "at least this far".

    Returns
    -------
    float
        0 if |grad f| rises along the flow arbitrarily close to the point.
    """
    r = jump_length(rule)
    radii = np.geomspace(min(1e-4 * r, 0.1 * reach), reach, N_SHELLS)
    # the directions of w, and those of the gradient H w: in a narrow valley the first hardly sample the
    # second
    w = directions(len(z))
    of_gradient = w @ np.linalg.pinv(landscape.hessian(z))
    of_gradient /= np.linalg.norm(of_gradient, axis=1, keepdims=True)
    shell_points = z + radii[:, None, None] * np.concatenate([w, of_gradient])
    gradient = landscape.gradient(shell_points)
    hessian = landscape.hessian(shell_points)
    descent = -Flow(landscape, rule)(shell_points)
    falls = np.einsum("sni,snij,snj->sn", gradient, hessian, descent) > 0
    steepness = (gradient**2).sum(axis=-1)
    good = np.logical_and.accumulate(falls.all(axis=1))
    if not good[0]:
        return 0.0
    last = int(good.sum()) - 1
    if last == N_SHELLS - 1:
        return float(reach)
    level = steepness[last].min()
    inside = np.logical_and.accumulate(steepness[: last + 1].max(axis=1) <= level * (1 + 1e-12))
    # V is not resolved between shells; interpolating its maximum to the level costs less than one shell's
    # ratio
    if not inside.any():
        return float(radii[0] * np.sqrt(level / steepness[0].max()))
    at = int(inside.sum()) - 1
    return float(min(radii[last], radii[at] * np.sqrt(level / max(steepness[at].max(), 1e-300))))


def chatter_radii(system: Map, z: Array) -> Array:
    """How far from each critical point the map hovers.

    Parameters
    ----------
    system : Map
        Made from a loss and a rule that jumps.
    z : ndarray, shape (n, dim)
        Critical points of the loss.

    Returns
    -------
    ndarray, shape (n,)
        Largest distance over the last quarter of the run; inf where the orbits leave.
    """
    assert system.landscape is not None and system.rule is not None
    eigenvalues = np.abs(np.linalg.eigvalsh(system.landscape.hessian(z))).max(axis=-1)
    scale = system.coefficients()["lr"] * jump_length(system.rule) * eigenvalues / (1 - system.momentum)
    around = directions(system.dim)
    around = around[:: max(1, len(around) // N_ORBITS)]
    around = around * np.linspace(0.1, 0.9, len(around))[:, None]
    start = z[:, None] + scale[:, None, None] * around
    if system.momentum:
        start = np.concatenate([start, np.zeros_like(start)], axis=-1)
    step = torch.func.vmap(system.point_function())
    state = torch.from_numpy(start.reshape(-1, system.state_dim))
    centre = torch.from_numpy(np.repeat(z, len(around), axis=0))
    farthest = torch.zeros(4, len(state), dtype=state.dtype)
    for k in range(CHATTER_STEPS):
        state = step(state)
        quarter = 4 * k // CHATTER_STEPS
        distance = torch.linalg.vector_norm(state[:, : system.dim] - centre, dim=1)
        farthest[quarter] = torch.maximum(farthest[quarter], distance.nan_to_num(nan=torch.inf))
    second, last = farthest[[1, 3]].reshape(2, len(z), -1).amax(dim=2).numpy()
    stays = (last <= 1.2 * second) & (last <= 10 * scale)
    return np.asarray(np.where(stays, last, np.inf))
