r"""The edge of stability of SAM: the curvature at which a step across the sharpest direction just overshoots.

Gradient descent is stable along an eigenvector of curvature h while lr h < 2 (1 + momentum). A rule that
perturbs along the gradient by c g multiplies that curvature by 1 + c h, so its edge is where,
with the learning rate :math:`\eta` and the momentum m,

.. math:: \eta h (1 + c h) = 2 (1 + m), \qquad h = \frac{\sqrt{1 + 8 (1 + m) c / \eta} - 1}{2 c}.

For USAM c = rho (Agarwala & Dauphin). For SAM c = rho / |g| with g the gradient at the weights themselves,
not at the perturbed ones (Long & Bartlett): the edge moves with |g| and falls to 0 as |g| does. For
UnifiedSAM c = rho (1 - lam + lam/|g|). On the 2-cycle of SAM on a quadratic the edge equals the largest
eigenvalue exactly.

References
----------
Agarwala & Dauphin (2023), SAM operates far from home [from memory; the formula is derived]. Long & Bartlett
(2024), Sharpness-Aware Minimization and the edge of stability [the normalised form is taken from their
public code]. The factor 1 + momentum: own derivation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.jobs.progress import PacedBar
from samdyn.landscapes.landscape import Landscape
from samdyn.results import Result, Table
from samdyn.rules.rule import Rule
from samdyn.systems.map import Map
from samdyn.systems.system import check_plain
from samdyn.trace import batch


@checked
def sam_edge(
    lr: float,
    rho: float,
    gradient_norm: npt.ArrayLike | None = None,
    momentum: float = 0.0,
) -> Any:
    """The curvature at the edge of stability of USAM or of normalised SAM.

    Parameters
    ----------
    lr : float
        Learning rate.
    rho : float
        Perturbation radius; 0 gives the edge of GD, 2 (1 + momentum) / lr.
    gradient_norm : array_like, optional
        ``|g|`` at the weights, for normalised SAM. Without it the rule is USAM.
    momentum : float
        Heavy-ball coefficient.

    Returns
    -------
    float or ndarray
        In the shape of `gradient_norm`; 0 where that is 0.

    Raises
    ------
    TypeError, ValueError
        A number out of range.

    References
    ----------
    Agarwala & Dauphin (2023) for USAM; Long & Bartlett (2024) for normalised SAM (see
    `samdyn.orbit.stability_edge`).

    Examples
    --------
    >>> import samdyn as sd
    >>> round(sd.orbit.sam_edge(lr=0.1, rho=0.05), 6), sd.orbit.sam_edge(lr=0.1, rho=0.0)
    (12.36068, 20.0)
    >>> round(sd.orbit.sam_edge(lr=0.1, rho=0.05, gradient_norm=0.1 * 0.05 * 9 / 1.7), 12)
    3.0
    """
    lr, rho = checks.number("lr", lr, above=0), checks.number("rho", rho, at_least=0)
    if checks.number("momentum", momentum, at_least=0) >= 1:
        raise ValueError(f"momentum must be in [0, 1), got {momentum!r}")
    if gradient_norm is None:
        return float(_edge(lr, np.array(rho), momentum))
    size = np.asarray(gradient_norm, dtype=np.float64)
    if not (np.isfinite(size).all() and (size >= 0).all()):
        raise ValueError(f"gradient_norm must be finite and >= 0, got {gradient_norm!r}")
    with np.errstate(divide="ignore", invalid="ignore"):
        result = _edge(lr, np.where(size > 0, rho / size, np.inf if rho else 0.0), momentum)
    return float(result) if result.ndim == 0 else result


def _edge(lr: float, c: Array, momentum: float) -> Array:
    top = 2 * (1 + momentum) / lr
    # the root of c h^2 + h - top without cancellation where c is small
    return np.asarray(2 * top / (1 + np.sqrt(1 + 4 * c * top)))


PART_BYTES = 1 << 26
"""Of the Hessians that are held at a time."""
LONG = 1 << 20
"""Entries of all Hessians, above which one point comes first to time the work."""


@dataclass(frozen=True, eq=False, repr=False)
class EdgeOfStability(Result):
    """Curvature against its edge along a path.

    Attributes
    ----------
    sharpness : ndarray, shape (...)
        Largest eigenvalue of the Hessian at each point.
    edge : ndarray, shape (...)
        The edge of the map's rule there: nan where the gradient vanishes under a rule that jumps.
    gd_edge : float
        The edge of GD, 2 (1 + momentum) / lr.
    gradient_norm : ndarray, shape (...)
    alignment, perturbed_alignment : ndarray, shape (...)
        Absolute cosines of the gradient at the point, and at its perturbed point, with the top eigenvector.
    system : Map
    """

    cited = ("long2024",)
    row = "point"

    sharpness: Array
    edge: Array
    gd_edge: float
    gradient_norm: Array
    alignment: Array
    perturbed_alignment: Array
    system: Map

    def table(self) -> Table:
        """Sharpness and edge at the last point."""
        last = (np.ravel(v)[-1] for v in (self.sharpness, self.edge, self.gradient_norm, self.alignment))
        sharpness, edge, norm, alignment = last
        rows = [
            (f"sharpness {sharpness:.6g}, edge {edge:.6g} (GD {self.gd_edge:.6g})",),
            (f"|gradient| {norm:.6g}, alignment with the top eigenvector {alignment:.4f}",),
        ]
        return Table(
            f"EdgeOfStability of {self.system!r} at {self.sharpness.size} points; at the last one:", rows
        )

    def plot(self, ax: Any = None) -> Any:
        """Sharpness and both edges against the index of the point; returns the matplotlib Axes."""
        return self._draw(ax)


@checked
def edge_of_stability(system: Map, trajectory: npt.ArrayLike, *, progress: bool = False) -> EdgeOfStability:
    """Compare the sharpness along a path with the edge of stability of the map.

    Parameters
    ----------
    system : Map
        Made from a loss and a rule with constant coefficients.
    trajectory : array_like, shape (..., dim)
        Points, such as `samdyn.trajectory` returns.
    progress : bool
        Show a progress bar over parts of the trajectory.

    Returns
    -------
    EdgeOfStability

    Warns
    -----
    CostWarning
        The work will take more than ten seconds, by the time of its first part.

    Raises
    ------
    TypeError, ValueError
        Not a map with a loss, a schedule, points of the wrong shape.

    Notes
    -----
    Cost: a Hessian and its eigendecomposition for each point. The edge holds for rules that perturb along
    the gradient; c is taken as |e| / |g|.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.quadratic([[3.0, 0.0], [0.0, 1.0]]), sd.SAM(0.05), lr=0.1)
    >>> path = sd.trajectory(step, [0.3, 0.2], n_steps=2000)
    >>> sd.edge_of_stability(step, path).edge[-1].round(9)
    np.float64(3.0)
    """
    if not isinstance(system, Map):
        raise TypeError(f"system must be a Map, got {system!r}")
    if system.landscape is None or system.rule is None:
        raise ValueError(f"system must be made from a loss and a rule, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients, got {system!r}")
    check_plain("edge_of_stability", system.rule)
    x = checks.points("trajectory", trajectory, system.dim)
    loss, lr = system.landscape, system.coefficients()["lr"]
    gradient = loss.gradient(x)
    sharpness, top = _sharpest(loss, x.reshape(-1, system.dim), progress)
    sharpness, top = sharpness.reshape(x.shape[:-1]), top.reshape(x.shape)
    size = np.linalg.norm(gradient, axis=-1)
    e = perturbation_at(system.rule, x, gradient)
    perturbed = loss.gradient(x + e)
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = _edge(lr, np.linalg.norm(e, axis=-1) / size, system.momentum)
        if not system.rule.jumps:
            edge = np.where(size > 0, edge, np.nan_to_num(edge, nan=2 * (1 + system.momentum) / lr))
        alignment, of_perturbed = (
            np.abs((g * top).sum(axis=-1)) / np.linalg.norm(g, axis=-1) for g in (gradient, perturbed)
        )
    return EdgeOfStability(
        sharpness,
        edge,
        2 * (1 + system.momentum) / lr,
        size,
        np.asarray(alignment),
        np.asarray(of_perturbed),
        system,
    )


def _sharpest(loss: Landscape, x: Array, progress: bool) -> tuple[Array, Array]:
    """Largest eigenvalues (n,) of the Hessians at points (n, dim), and their eigenvectors (n, dim)."""
    n, dim = x.shape
    size = max(1, PART_BYTES // (8 * dim**2))
    # a first part of one point, so that a long job is known early
    ends = [0, *range(1, n, size), n] if n * dim**2 > LONG else [0, n]
    sharpness, top = np.empty(n), np.empty((n, dim))
    cheaper = "pass fewer points of the trajectory"
    with PacedBar(progress, "edge_of_stability", n, cheaper, unit="point") as bar:
        for low, high in itertools.pairwise(ends):
            values, vectors = np.linalg.eigh(loss.hessian(x[low:high]))
            sharpness[low:high], top[low:high] = values[:, -1], vectors[:, :, -1]
            bar.update(high - low)
    return sharpness, top


def perturbation_at(rule: Rule, x: Array, gradient: Array) -> Array:
    """e(x) of a rule at points (..., dim), from the gradients there."""
    dim, coefficients = x.shape[-1], rule.coefficients()
    both = np.concatenate([x, gradient], axis=-1)
    return batch.evaluate(
        lambda w: torch.zeros_like(w[:dim]) + rule.perturbation(w[:dim], w[dim:], **coefficients), both
    )
