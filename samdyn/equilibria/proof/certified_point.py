"""The certificate of one fixed point: a proof that it exists, how near, and how far there is no other.

See `samdyn.equilibria.proof.krawczyk` for the algorithm (Krawczyk's operator on cubes of all sizes).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.equilibria.newton import newton_steps, value_and_jacobian
from samdyn.equilibria.proof.enclosure import Field, critical_field, zero_field
from samdyn.equilibria.proof.krawczyk import Certificate, certificates
from samdyn.equilibria.search import displacement_of
from samdyn.systems.system import System
from samdyn.trace.tracing import NotTraceable

NEAR = 1e-6


@checked
def certificate(system: System, x: checks.PointLike) -> Certificate | None:
    """Prove that a fixed point lies near x, and that it is the only one around.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        With constant coefficients, and a loss or function that can be traced.
    x : array_like, shape (dim,), or FixedPoint
        A fixed point, as `fixed_points` returns it: a critical point of the loss, or a hallucinated point.

    Returns
    -------
    Certificate or None
        None where the proof fails: the point is degenerate, or lies on a curve of fixed points.

    Raises
    ------
    TypeError, ValueError
        Not a system, not one point, not traceable, or no fixed point (its residual is reported).

    Notes
    -----
    At a critical point of the loss the proof is about critical points: the zeros of grad f. Elsewhere it
    is about the zeros of grad f(x + e(x)). Radii are in the maximum norm. For a system given by a
    function it is about the zeros of x' - x, or of the field.

    References
    ----------
    Krawczyk, Computing 4 (1969) 187-201.

    Examples
    --------
    >>> import samdyn as sd
    >>> proof = sd.certificate(sd.Flow(sd.landscapes.himmelblau(), sd.GD()), [3.0, 2.0])
    >>> proof.existence_radius < 1e-13, proof.uniqueness_radius > 0.1
    (True, True)
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if system.scheduled:
        raise ValueError(f"system must have constant coefficients to have fixed points, got {system!r}")
    point = checks.points("x", x, system.dim)
    if point.ndim != 1:
        raise ValueError(f"x must be one point of shape ({system.dim},), got shape {point.shape}")
    function, loss = displacement_of(system), system.landscape
    critical = loss is not None and _offset(torch.func.grad(loss.one_point), point) <= NEAR
    offset = 0.0 if critical else _offset(function, point)
    if not offset <= NEAR:
        raise ValueError(
            f"x must be a fixed point of {system!r}, got {point}, which a Newton step moves by {offset:.3g}"
        )
    try:
        field: Field = critical_field(loss) if critical and loss is not None else zero_field(system, function)
    except NotTraceable as error:
        raise ValueError(f"system must be traceable to be certified, got {system.name}: {error}") from error
    return certificates(field, point[None], max(1.0, float(np.abs(point).max())))[0]


def _offset(function: Callable[[Tensor], Tensor], x: Array) -> float:
    """Length of the Newton step from x, relative to 1 + |x|; infinite where there is none."""
    with np.errstate(all="ignore"):
        value, jacobian = value_and_jacobian(function, len(x))(x[None])
        step = float(np.linalg.norm(newton_steps(value, jacobian)))
    if not value.any():
        return 0.0
    return step / (1 + float(np.linalg.norm(x))) if np.isfinite(step) else np.inf
