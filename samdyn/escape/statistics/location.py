"""Where paths leave: the share of each face, with Wilson intervals, and the positions along the boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from samdyn.arguments.checks import Array
from samdyn.escape.region import OpenSet
from samdyn.escape.region.faces import Face, PlaneFace, SphereFace
from samdyn.escape.statistics.tail import checks_level
from samdyn.results import Result, Table


@dataclass(frozen=True, eq=False, repr=False)
class ExitLocation(Result):
    """Distribution of the exit points of an ensemble.

    Attributes
    ----------
    face_names : tuple of str
        The faces of the region.
    counts : ndarray of int, shape (m,)
        How many paths left through each.
    shares, lower, upper : ndarray, shape (m,)
        Share of the paths that left, with its Wilson interval of coverage `level`; nan, 0 and 1 where none
        left.
    level : float
        Coverage of each interval.
    points : ndarray, shape (n, dim)
        Exit points of the n paths that left.
    faces : ndarray of int, shape (n,)
        Their faces, as indices into `face_names`.
    positions : ndarray, shape (n,), or None
        In two dimensions, how far along its face each point is: on a sphere the angle about its centre in
        (-pi, pi], on a line the coordinate along it in units of the weights (the other coordinate, where the
        line is parallel to an axis), nan on other curves. None in other dimensions, or where the region is
        not known.
    angular : ndarray of bool, shape (m,)
        The faces whose positions are angles.
    n_inside : int
        Paths that were given up inside; the shares and intervals leave them out.
    """

    row = "face"

    face_names: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    shares: Array
    lower: Array
    upper: Array
    level: float
    points: Array
    faces: npt.NDArray[np.int16]
    positions: Array | None
    angular: npt.NDArray[np.bool_]
    n_inside: int = 0

    def __len__(self) -> int:
        return len(self.face_names)

    def table(self) -> Table:
        """The share of each face with its interval."""
        rows = [
            (name, str(count), f"{share:.4f}", f"({low:.4f}, {high:.4f})")
            for name, count, share, low, high in zip(
                self.face_names, self.counts, self.shares, self.lower, self.upper, strict=True
            )
        ]
        title = f"ExitLocation: {len(self.points)} exits"
        if self.n_inside:
            title += (
                f"; {self.n_inside} other paths were given up inside, and what they would do is not in it"
            )
        head = ("face", "exits", "share", f"{100 * self.level:g} % interval")
        return Table(title, rows, head, right=True, left_first=True)

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        names = ("counts", "shares", "lower", "upper")
        columns = {"face": list(self.face_names)} | {name: getattr(self, name) for name in names}
        return columns, {"level": self.level, "n_inside": self.n_inside}


def locate(
    points: Array,
    faces: npt.NDArray[np.int16],
    face_names: Sequence[str],
    region: OpenSet | None = None,
    level: float = 0.95,
    n_inside: int = 0,
) -> ExitLocation:
    """Distribution of exit points over the faces of a region.

    Parameters
    ----------
    points : ndarray, shape (n, dim)
        Exit points.
    faces : ndarray of int, shape (n,)
        Index of the face that each is on.
    face_names : sequence of str
    region : region, optional
        Needed for the positions along the boundary.
    level : float
        Coverage of the interval of each share.
    n_inside : int
        Paths that did not leave, for the printed form.

    Returns
    -------
    ExitLocation

    Raises
    ------
    ValueError
        `region` has other faces.

    Examples
    --------
    >>> import numpy as np
    >>> from samdyn.escape.region import Ball
    >>> ball = Ball([0.0, 0.0], 1.0)
    >>> place = locate(np.array([[1.0, 0.0], [0.0, -1.0]]), np.zeros(2, int), [ball.faces[0].name], ball)
    >>> place.shares, place.positions.round(4)
    (array([1.]), array([ 0.    , -1.5708]))
    """
    level = checks_level(level)
    names, n = tuple(face_names), len(points)
    counts = np.bincount(faces, minlength=len(names)) if n else np.zeros(len(names), dtype=np.int64)
    intervals = np.array(
        [stats.binomtest(int(k), n).proportion_ci(level, "wilson") if n else (0.0, 1.0) for k in counts]
    )
    surfaces: tuple[Face, ...] = ()
    if region is not None:
        if not isinstance(region, OpenSet):
            raise TypeError(f"region must be a samdyn region such as sd.Ball(center, radius), got {region!r}")
        surfaces = region.with_dim(points.shape[1]).faces
        if tuple(face.name for face in surfaces) != names:
            raise ValueError(f"region must have the faces {', '.join(names)}, got {region!r}")
    positions = None
    if surfaces and points.shape[1] == 2:
        positions = np.full(n, np.nan)
        for i, face in enumerate(surfaces):
            positions[faces == i] = _along(face, points[faces == i])
    angular = np.array([isinstance(face, SphereFace) for face in surfaces] or [False] * len(names))
    with np.errstate(invalid="ignore"):
        shares = counts / np.float64(n)
    return ExitLocation(
        names, counts, shares, intervals[:, 0], intervals[:, 1], level, points, faces, positions, angular,
        n_inside,
    )  # fmt: skip


def _along(face: Face, points: Array) -> Array:
    """Position of points (n, 2) along a face."""
    if isinstance(face, SphereFace):
        x, y = (points - face.center).T
        return np.arctan2(y, x)
    if isinstance(face, PlaneFace):
        tangent = np.array([-face.normal[1], face.normal[0]])
        if (tangent == 0).any():  # parallel to an axis: the other coordinate, whichever way the normal points
            tangent = np.abs(tangent)
        along: Array = points @ tangent
        return along
    return np.full(len(points), np.nan)
