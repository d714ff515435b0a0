"""All that the numbers of a job with regions depend on, as text and numbers: the header of its checkpoint.

To what `samdyn.dynamics.system_description` says of a system come the text of the regions, the operations of
the distances to their faces with all their constants (values at a few points where there is no graph), and
the options. A file whose header differs belongs to another job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.system_description import (
    hash_of,
    hash_of_schedules,
    hash_of_step,
    points_about,
    rounded,
    text,
    value_of,
)
from samdyn.escape.exit.job import Job, prepare
from samdyn.escape.region.faces import Face
from samdyn.numerics.vector import Coordinates
from samdyn.trace.aten import graph_identity
from samdyn.trace.batch import tensor_of
from samdyn.trace.tracing import coordinate_form


def describe(job: Job, starts: Array) -> dict[str, Any]:
    """All that the numbers of a first-exit job depend on, as JSON.

    Raises
    ------
    ValueError
        A schedule of too many steps reads objects whose state is not known.
    """
    stepper, coefficients = prepare(job).stepper, prepare(job).coefficients
    points = points_about(starts[:, : stepper.dim])
    several = len(job.systems) > 1
    return {
        "n_paths": job.n_paths,
        "n_steps": list(job.limits) if several else job.n_steps,
        "dt": list(job.dts) if several else job.dts[0],
        "seed": job.seed,
        "correction": "bridge" if job.bridge else None,
        "device": torch.device(job.device).type,
        "precision": job.precision,
        "compile": job.compile,
        "system": text(job.system),
        "parameters": [
            {name: value_of(value) for name, value in system.parameters.items()} for system in job.systems
        ],
        "region": text(job.region),
        "x0": hash_of(np.ascontiguousarray(starts).tobytes()),
        "coefficients": hash_of_schedules(
            job.systems, coefficients.at, job.limits, scheduled=coefficients.scheduled
        ),
        "step": hash_of_step(stepper, points, coefficients.at[0]),
        "distances": hash_of_distances(job.region.faces, stepper.dim, points),
    }


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
