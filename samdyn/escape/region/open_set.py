"""What all regions have in common: their faces, the signed distance, and the operators of their algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from samdyn.arguments.checks import Array, integer, points
from samdyn.escape.region.faces import Face, largest
from samdyn.numerics.vector import Coordinates
from samdyn.trace.batch import CHUNK_VALUES, tensor_of


class OpenSet:
    """Base of the regions: what they have in common, and their algebra.

    Attributes
    ----------
    dim : int or None
        The number of coordinates; None when it is not known (a `Region` without dim).
    faces : tuple of Face
        The region is where the distance to every face is negative. Made at the first use, which must not be
        inside a torch.compile trace, and again where a function of the region may read something else now.
    """

    dim: int | None
    __array_ufunc__ = None  # so that numpy does not take `array & region` apart

    @property
    def faces(self) -> tuple[Face, ...]:
        kept: tuple[Any, tuple[Face, ...]] | None = self.__dict__.get("_kept_faces")
        state = self._state()
        if kept is None or state is None or kept[0] != state:
            kept = state, self._faces()
            self.__dict__["_kept_faces"] = kept  # beside the fields of a frozen dataclass
        return kept[1]

    def _state(self) -> Any:
        """What the faces depend on besides the fields of the region; None where that is not known."""
        return ()

    def _faces(self) -> tuple[Face, ...]:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept_faces"}

    def with_dim(self, dim: int) -> OpenSet:
        """The region with its dimension made known.

        Parameters
        ----------
        dim : int
            The number of coordinates of the system.

        Raises
        ------
        TypeError, ValueError
            The region has another dimension, or its function fails on a point of that dimension.

        Examples
        --------
        >>> from samdyn.escape.region import Region
        >>> Region(lambda w: w.norm() - 1).with_dim(3).dim
        3
        """
        dim = integer("dim", dim, at_least=1)
        if self.dim is not None and self.dim != dim:
            raise ValueError(f"region must have dim {dim}, got {self!r} of dim {self.dim}")
        return self

    def signed_distance(self, x: npt.ArrayLike) -> Array:
        """Signed distance to the boundary, negative inside.

        Parameters
        ----------
        x : array_like, shape (..., dim)
            Points.

        Returns
        -------
        ndarray, shape (...)

        Notes
        -----
        The maximum over the faces: for balls, boxes, half-spaces and their intersections it is the
        Euclidean distance inside, and outside at most that (less off a corner). For unions and complements
        the sign is right and the size is at most the distance.

        Examples
        --------
        >>> from samdyn.escape.region import Box
        >>> Box([-1, -1], [1, 1]).signed_distance([[0.0, 0.5], [3.0, 0.0]])
        array([-0.5,  2. ])
        """
        if self.dim is None:
            shape = np.shape(x)
            if not shape or not shape[-1]:
                raise ValueError(f"x must have shape (..., dim), got shape {shape}")
            x = points("x", x, shape[-1], finite=False)
        else:
            x = points("x", x, self.dim, finite=False)
        flat = tensor_of(x.reshape(-1, x.shape[-1]).T)
        result = np.empty(flat.shape[1])
        size, faces = max(1, CHUNK_VALUES // len(flat)), self.faces
        with torch.no_grad():
            for start in range(0, len(result), size):
                piece = flat[:, start : start + size]
                result[start : start + size] = largest(faces, Coordinates(piece.unbind(0))).numpy()
        values: Array = result.reshape(x.shape[:-1])[()]
        return values

    def contains(self, x: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether points lie inside; a point on the boundary and a nan do not.

        Parameters
        ----------
        x : array_like, shape (..., dim)
            Points.

        Returns
        -------
        ndarray of bool, shape (...)

        Examples
        --------
        >>> from samdyn.escape.region import Ball
        >>> Ball([0, 0], 1).contains([[0.5, 0.5], [1.0, 0.0]])
        array([ True, False])
        """
        inside: npt.NDArray[np.bool_] = self.signed_distance(x) < 0
        return inside

    def __invert__(self) -> OpenSet:
        from samdyn.escape.region.combinations import Complement

        return Complement(self)

    def __and__(self, other: OpenSet) -> OpenSet:
        from samdyn.escape.region.combinations import intersection

        return intersection(self, other) if isinstance(other, OpenSet) else NotImplemented

    def __or__(self, other: OpenSet) -> OpenSet:
        from samdyn.escape.region.combinations import union

        return union(self, other) if isinstance(other, OpenSet) else NotImplemented
