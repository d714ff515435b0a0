"""Where a step that crosses a face at a known time does so: the bridge at that time, moved onto the face."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from samdyn.dynamics.wide_root import WideRoot
from samdyn.escape.region.faces import Face, project
from samdyn.numerics.vector import Coordinates, dot

# oblique moves onto a face: one is exact for planes; on curved faces they converge quadratically
MOVES = 2
# moves along the normal that follow: one is exact for planes and spheres; on the surface of a function each
# is a Newton step, of which a point at a step's distance needs four or five
NORMAL_MOVES, CURVED_MOVES = 3, 8


def conjugate_direction(
    normal: Sequence[Tensor | float], columns: Sequence[Sequence[Tensor | float]]
) -> Coordinates:
    """B B^T n: the direction in which the noise moves a point, on average, for a displacement along n.

    Parameters
    ----------
    normal, columns
        As for `projected_variance`.

    Examples
    --------
    >>> conjugate_direction((1.0, 0.0), [(1.0, 2.0), (0.0, 1.0)])
    (1.0, 2.0)
    """
    if isinstance(columns, WideRoot):
        return columns.conjugate(normal)
    total = Coordinates(0.0 for _ in columns[0])
    for column in columns:
        along = project(normal, column)
        total = Coordinates(t + project((along,), (entry,)) for t, entry in zip(total, column, strict=True))
    return total


def exit_point(
    x: Coordinates,
    y: Coordinates,
    fraction: Tensor,
    face: Face,
    noise: Coordinates | None = None,
    direction: Coordinates | None = None,
    others: Sequence[Face] = (),
) -> Coordinates:
    """Where a step that crosses a face at a known time does so.

    Parameters
    ----------
    x, y : Coordinates
        Start and end of the step, each coordinate of shape (n,).
    fraction : Tensor (n,)
        Time of the crossing within the step, in units of dt.
    face : Face
        The face that is crossed.
    noise : Coordinates, optional
        A fresh draw of the noise increment of the whole step, B times standard normals. Without it the
        point lies on the straight line from x to y before it is moved onto the face, which has too small a
        spread along the face.
    direction : Coordinates, optional
        The direction in which the point is moved onto the face: `conjugate_direction` of the normal for
        noise that is not isotropic. The default is the normal.
    others : sequence of Face
        The region's other faces; a point beyond one of them is moved back onto it along its normal.

    Returns
    -------
    Coordinates

    Notes
    -----
    The bridge at the fraction f has mean x + f (y - x) and covariance f (1 - f) B B^T. Moving a draw of it
    onto a plane along B B^T n conditions it on lying there, so that the point has its exact law for a plane
    face and frozen coefficients. Curved faces take a few such moves.

    Examples
    --------
    >>> from samdyn.escape.region import HalfSpace
    >>> x = Coordinates((torch.zeros(1), torch.zeros(1)))
    >>> y = Coordinates((torch.full((1,), 2.0), torch.ones(1)))
    >>> exit_point(x, y, torch.tensor([0.25]), HalfSpace([1, 0], 1).faces[0])
    (tensor([1.]), tensor([0.2500]))
    """
    point = Coordinates(u + fraction * (v - u) for u, v in zip(x, y, strict=True))
    if noise is not None:
        point = point + noise * torch.sqrt(fraction * (1.0 - fraction))
    if direction is not None:
        for _ in range(MOVES):
            distance, normal = face.distance_and_normal(point)
            along = torch.as_tensor(project(normal, direction), dtype=distance.dtype, device=distance.device)
            # where the noise has no part along the normal the moves below do the work
            length = torch.where(along > 0, distance / torch.where(along > 0, along, 1.0), 0.0)
            point = point - direction * length
    # no Newton step leads further than the step of the path is long: a gradient that nearly vanishes on the
    # way would send the point anywhere
    reach = _length(y - x) + (0.0 if noise is None else _length(noise))
    for _ in range(CURVED_MOVES if face.curved else NORMAL_MOVES):
        distance, normal = face.distance_and_normal(point)
        if face.curved:
            distance = torch.clamp(distance, -reach, reach)
        point = point - normal * distance
    for other in others:
        distance, normal = other.distance_and_normal(point)
        point = point - normal * torch.relu(distance)
    return point


def _length(p: Coordinates) -> Tensor:
    """Length of vectors; 0 where they are not finite."""
    return torch.nan_to_num(torch.sqrt(dot(p, p)), posinf=0.0)
