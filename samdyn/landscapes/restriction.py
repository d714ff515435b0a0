"""A loss on a plane, or on another subspace, through a point of many coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import Landscape

if TYPE_CHECKING:
    from samdyn.systems.system import System

INDEPENDENT = 1e-10
"""Ratio of the smallest to the largest singular value below which directions are dependent."""


class Restriction(Landscape):
    """A loss on origin + directions @ c, as a function of c; `samdyn.restrict` makes it.

    Attributes
    ----------
    loss : Landscape
        The loss of all coordinates.
    origin : ndarray, shape (n,)
    directions : ndarray, shape (n, dim)
        As columns.
    """

    def __init__(
        self, loss: Landscape, origin: Array, directions: Array, box: Any = None, name: str | None = None
    ) -> None:
        self.loss, self.origin, self.directions = loss, origin, directions
        self._place = torch.from_numpy(origin.copy()), torch.from_numpy(np.ascontiguousarray(directions))
        super().__init__(self._restricted, directions.shape[1], box, name or f"{loss.name} on a subspace")

    def _at(self, c: Tensor) -> Tensor:
        origin, directions = self._place
        return origin.to(c) + directions.to(c) @ c

    def _restricted(self, c: Tensor) -> Tensor:
        return self.loss.one_point(self._at(c))

    @property
    def traceable(self) -> bool:
        """Whether the loss is traceable: then its restriction is."""
        return self.loss.traceable

    @property
    def points_together(self) -> int:
        """How many points the loss evaluates together."""
        return self.loss.points_together

    @property
    def gradient_function(self) -> Callable[[Tensor], Tensor]:
        """The gradient with respect to c, from the gradient of the loss."""
        gradient, directions = self.loss.gradient_function, self._place[1]
        return lambda c: directions.to(c).T @ gradient(self._at(c))

    @property
    def product_function(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Products with the Hessian with respect to c, from products with the Hessian of the loss."""
        product, directions = self.loss.product_function, self._place[1]
        return lambda c, v: directions.to(c).T @ product(self._at(c), directions.to(c) @ v)

    def product_at(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """v to H(c) v for many vectors, from the same of the loss; x is the point c of the subspace."""
        product, directions = self.loss.product_at(self._at(x)), self._place[1]
        return lambda v: directions.to(v).T @ product(directions.to(v) @ v)

    @checked
    def embed(self, c: npt.ArrayLike) -> Array:
        """The points (..., n) at coordinates (..., dim) of the subspace."""
        return self.origin + checks.points("c", c, self.dim, finite=False) @ self.directions.T

    @checked
    def project(self, x: npt.ArrayLike) -> Array:
        """Coordinates (..., dim) of the nearest points of the subspace to points (..., n)."""
        points = checks.points("x", x, len(self.origin), finite=False)
        return np.asarray((points - self.origin) @ np.linalg.pinv(self.directions).T)

    @checked
    def leaving(self, system: System, c: npt.ArrayLike) -> Array:
        """The share of a system's motion that leaves the subspace: the sine of its angle with it.

        Parameters
        ----------
        system : Map, Flow or Diffusion
            Of the loss of all coordinates.
        c : array_like, shape (..., dim)

        Returns
        -------
        ndarray, shape (...)
            0 where the motion stays in the subspace, 1 where it is perpendicular to it; nan where it rests.

        Examples
        --------
        >>> import samdyn as sd
        >>> loss = sd.landscapes.himmelblau()
        >>> line = sd.restrict(loss, [0.0, 0.0], [[1.0], [0.0]])
        >>> round(float(line.leaving(sd.Flow(loss, sd.GD()), [1.0])), 3)
        0.359
        """
        if system.landscape is not self.loss:
            raise ValueError(f"system must be made from {self.loss!r}, got {system!r}")
        x = self.embed(c)
        step = system.at_rest(x)
        form = system.field_of_direction()
        moved = system.evaluate(step)[..., : system.dim]
        motion = moved - x if form is not None and form[0] else moved
        basis = np.linalg.qr(self.directions)[0]
        outside = motion - motion @ basis @ basis.T
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.linalg.norm(outside, axis=-1) / np.linalg.norm(motion, axis=-1))

    def __repr__(self) -> str:
        return f"Restriction of {self.loss!r} to {self.dim} directions"


@checked
def restrict(
    loss: Landscape,
    origin: npt.ArrayLike,
    directions: npt.ArrayLike | None = None,
    *,
    points: npt.ArrayLike | None = None,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    name: str | None = None,
) -> Restriction:
    """A loss on a plane or another subspace: a landscape of few coordinates, on which everything works.

    Parameters
    ----------
    loss : Landscape
        A network, or any other loss of n coordinates.
    origin : array_like, shape (n,)
        A point of the subspace, or a FixedPoint.
    directions : array_like, shape (n, k), or (n,) for a line
        Directions as columns, such as the eigenvectors of a `Spectrum`: the loss is f(origin + directions @
        c). A list of k vectors, of shape (k, n), is understood as well where k differs from n.
    points : array_like, shape (k, n)
        Instead: other points, such as checkpoints, through which the subspace goes; they get the unit vectors
        as coordinates, the origin 0.
    box : sequence of (lower, upper), optional
        The part of the subspace that is looked at by default; (-0.5, 1.5) in every coordinate with `points`.
    name : str, optional

    Returns
    -------
    Restriction

    Raises
    ------
    TypeError, ValueError
        Directions that are dependent, shapes that do not fit, both directions and points or neither.

    Notes
    -----
    What a rule does on the restricted loss is not the motion of all coordinates: that leaves the subspace,
    and a normalised perturbation is divided by the gradient of all coordinates. `Restriction.leaving` says
    how much of the motion leaves. Only for orthonormal directions is the gradient with respect to c the
    projection of the whole one.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.himmelblau()
    >>> line = sd.restrict(loss, [3.0, 2.0], [[1.0], [1.0]])
    >>> line.value([0.5]), loss.value([3.5, 2.5])
    (array(21.625), array(21.625))
    """
    if not isinstance(loss, Landscape):
        raise TypeError(f"loss must be a Landscape, got {checks.shown(loss)}")
    start = checks.points("origin", origin, loss.dim)
    if start.ndim != 1:
        raise ValueError(f"origin must be one point of shape ({loss.dim},), got shape {start.shape}")
    if (directions is None) == (points is None):
        raise ValueError("directions or points must be given, and not both")
    if points is not None:
        others = checks.points("points", points, loss.dim)
        columns = (np.atleast_2d(others) - start).T
        box = [(-0.5, 1.5)] * columns.shape[1] if box is None else box
    else:
        columns = checks.array("directions", directions)
        if columns.ndim == 1:
            columns = columns[:, None]
        if columns.ndim == 2 and columns.shape[0] != loss.dim and columns.shape[1] == loss.dim:
            columns = columns.T
    if columns.ndim != 2 or columns.shape[0] != loss.dim or not columns.shape[1]:
        raise ValueError(f"directions must have shape ({loss.dim}, k), got shape {columns.shape}")
    size = np.linalg.svd(columns, compute_uv=False)
    if columns.shape[1] > loss.dim or not size[-1] > INDEPENDENT * size[0]:
        what = "directions" if points is None else "points"
        raise ValueError(f"{what} must be independent, got {columns.shape[1]} of which some depend on others")
    return Restriction(loss, start, columns, box, name)
