"""The distances to the faces of a region, as text: a part of the description of a job with regions.

They are described by their operations with all constants; by values at a few points where there is no graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.system_description import hash_of, rounded
from samdyn.escape.region.faces import Face
from samdyn.numerics.vector import Coordinates
from samdyn.trace.aten import graph_identity
from samdyn.trace.batch import tensor_of
from samdyn.trace.tracing import coordinate_form


def hash_of_distances(faces: Sequence[Face], dim: int, points: Array) -> str:
    """A hash of the distances to some faces."""

    def apart(x: Tensor) -> Tensor:
        at = Coordinates(x.unbind(0))
        return torch.stack([face.distance(at) for face in faces])

    if all(face.pointwise for face in faces):
        try:
            return hash_of(coordinate_form(apart, dim).code.encode())  # type: ignore[attr-defined]
        except ValueError:  # too large
            pass
    with torch.no_grad():
        values = apart(tensor_of(np.ascontiguousarray(points.T))).numpy().max(axis=0)
    return f"{graph_identity(lambda x: apart(x[:, None]), tensor_of(points[0]))} {hash_of(rounded(values))}"
