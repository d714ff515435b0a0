"""Capture sets of critical points under a normalised rule, where the field jumps and no Jacobian exists.

At a critical point z of the loss a normalised perturbation has length r = rho lam (rho for SAM) however small the gradient is, so the field just beside z is
-grad f(z + r u) with u the gradient's direction: a jump. What decides is the Lyapunov function V = |grad f|^2: the flow lowers V at x when ``grad f . H F > 0``, F the descent
direction. On a quadratic that holds wherever |Hw| < r min|lambda_-| (lambda_- the negative eigenvalues), whatever r > 0: every nondegenerate saddle and maximum attracts,
and every minimum does everywhere.

Algorithm (`capture_radius`)
----------------------------
1. V is tested on shells around z, of radii geometric between 1e-4 r and `reach`, at `N_DIRECTIONS` directions. R is the largest radius up to which V falls on every shell.
2. The part of {V < min_(|w| = R) V} around z is then forward invariant and shrinks onto z. The capture radius is the largest ball in it.
It is 0 when V rises on the smallest shell: such a point does not trap (a degenerate point, or a loss that bends over within r). The test is by sampling, not a proof.

Algorithm (`chatter_radius`)
----------------------------
A map cannot stop at a jump: it hovers within O(lr r). On the quadratic model the map is simulated from a few dozen points around z; the radius is the
largest distance over the second half of the run, and infinite if the orbits leave. That is the attracting 2-cycle of the top mode or, where only negative
modes exist, bounded chaos.

References
----------
The quadratic case and the discrete windows: Monzio Compagnoni et al. (arXiv 2301.08203), Bartlett, Long & Bousquet (2022), and own derivation, checked in the tests.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import qmc

from samdyn.compute.checks import Array
from samdyn.landscapes.landscape import Landscape
from samdyn.rules.rule import Rule
from samdyn.systems.flow import Flow

N_SHELLS = 48
N_DIRECTIONS = 256
CHATTER_STEPS = 2000


def directions(dim: int) -> Array:
    """Unit vectors (n, dim) that cover the sphere evenly: both signs in 1-D, a circle in 2-D, normalised quasi-random normals above."""
    if dim == 1:
        return np.array([[1.0], [-1.0]])
    if dim == 2:
        angle = 2 * np.pi * (np.arange(N_DIRECTIONS) + 0.5) / N_DIRECTIONS
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    normals = qmc.MultivariateNormalQMC(np.zeros(dim), rng=0).random(8 * N_DIRECTIONS)
    axes = np.concatenate([np.eye(dim), -np.eye(dim)])
    return np.concatenate([axes, normals / np.linalg.norm(normals, axis=1, keepdims=True)])


def jump_length(rule: Rule) -> float:
    """Length of the perturbation just beside a critical point: rho for SAM, rho lam for UnifiedSAM, 0 for rules that do not jump."""
    tiny = torch.tensor([1e-100], dtype=torch.float64)
    return float(abs(rule.perturbation(torch.zeros_like(tiny), tiny, **rule.coefficients())))


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
        0 if the point does not trap.
    """
    r = jump_length(rule)
    radii = np.geomspace(min(1e-4 * r, 0.1 * reach), reach, N_SHELLS)
    shell_points = z + radii[:, None, None] * directions(len(z))
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
    # V is not resolved between shells; interpolating its maximum to the level costs less than one shell's ratio
    if not inside.any():
        return float(radii[0] * np.sqrt(level / steepness[0].max()))
    at = int(inside.sum()) - 1
    return float(min(radii[last], radii[at] * np.sqrt(level / max(steepness[at].max(), 1e-300))))


def chatter_radius(
    hessian: Array, length: float, lr: float, *, smooth_rho: float = 0.0, momentum: float = 0.0
) -> float:
    """How far from a critical point the map hovers, on the quadratic model.

    Parameters
    ----------
    hessian : ndarray, shape (dim, dim)
    length : float
        The perturbation's length beside the point (`jump_length`).
    lr : float
        Learning rate.
    smooth_rho : float
        Coefficient of the unnormalised part, rho (1 - lam).
    momentum : float
        Heavy-ball coefficient.

    Returns
    -------
    float
        Largest distance over the last 1000 of 2000 steps; inf if the orbits leave.
    """
    eigenvalues = np.linalg.eigvalsh(hessian)
    scale = lr * length * np.abs(eigenvalues).max()
    # in the eigenbasis; starts on the scale of the chatter, in all directions
    start = directions(len(eigenvalues))[:: max(1, len(directions(len(eigenvalues))) // 64)]
    w = scale * start * np.linspace(0.1, 0.9, len(start))[:, None]
    velocity = np.zeros_like(w)
    limit = 1e3 * length
    farthest = 0.0
    with np.errstate(all="ignore"):
        for step in range(CHATTER_STEPS):
            g = eigenvalues * w
            size = np.linalg.norm(g, axis=1, keepdims=True)
            e = smooth_rho * g + length * np.divide(g, size, out=np.zeros_like(g), where=size > 0)
            velocity = momentum * velocity + eigenvalues * (w + e)
            w = w - lr * velocity
            distance = float(np.linalg.norm(w, axis=1).max())
            if not distance < limit:
                return float("inf")
            if step >= CHATTER_STEPS // 2:
                farthest = max(farthest, distance)
    return farthest
