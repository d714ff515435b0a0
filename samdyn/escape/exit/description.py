"""All that the numbers of a first-exit job depend on, as text and numbers: the header of its checkpoint.

Text of systems and region; the operations of the traced step and of the distances to the faces, with all
their constants (their values at a few points where there is no graph); the coefficients of every step; hashes
of the starts; and the options. A file whose header differs belongs to another job.

Coefficients on a schedule are evaluated at every step of the job up to `LISTED`. For a longer job the
schedule is told by those and by its code with all that it reads (`samdyn.trace.function_identity`); a
schedule of which that is not known is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.step import Stepper
from samdyn.escape.exit.job import Job, prepare
from samdyn.numerics.random import standard_normal
from samdyn.numerics.vector import Coordinates
from samdyn.trace.aten import graph_identity
from samdyn.trace.batch import tensor_of
from samdyn.trace.function_identity import fingerprint
from samdyn.trace.tracing import coordinate_form

LISTED = 1_000_000
"""Steps up to which every value of a schedule is looked at, which takes a second or two."""


def describe(job: Job, starts: Array) -> dict[str, Any]:
    """All that the numbers of a job depend on, as JSON.

    Raises
    ------
    ValueError
        A schedule of more than `LISTED` steps reads objects whose state is not known.
    """
    stepper, coefficients = prepare(job).stepper, prepare(job).coefficients
    points = np.concatenate([starts[:1, : stepper.dim] + scale * _spread(stepper.dim) for scale in (0.1, 3)])
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
        "system": _text(job.system),
        "parameters": [
            {name: _value(value) for name, value in system.parameters.items()} for system in job.systems
        ],
        "region": _text(job.region),
        "x0": _hash(np.ascontiguousarray(starts).tobytes()),
        "coefficients": _schedules(job, coefficients.at, coefficients.scheduled),
        "step": _step(stepper, points, coefficients.at[0]),
        "distances": _distances(job, stepper.dim, points),
    }


def _schedules(job: Job, at: Sequence[Callable[[int], Sequence[float]]], scheduled: bool) -> str:
    """A hash of the coefficients at every step, for each system up to its own limit."""
    digest = hashlib.sha256()
    for values, limit in zip(at, job.limits, strict=True):
        count = min(limit, LISTED) if scheduled else 1
        for start in range(0, count, 4096):
            rows = [tuple(values(step)) for step in range(start, min(start + 4096, count))]
            digest.update(np.array(rows, dtype=np.float64).tobytes())
    if scheduled and job.n_steps > LISTED:
        known = fingerprint([[v for v in s.parameters.values() if callable(v)] for s in job.systems])
        if known is None:
            raise ValueError(
                f"checkpoint must be left out for a schedule of {job.n_steps} steps that reads objects whose "
                "state is not known: a change could not be noticed when the job is resumed; write the "
                "schedule as a plain function of the step, or take one of sd.rules.schedules"
            )
        digest.update(known.encode())
    return digest.hexdigest()[:32]


def _step(stepper: Stepper, points: Array, first: Callable[[int], Sequence[float]]) -> str:
    """A hash of what a step does."""
    if stepper.traced:
        return _hash(stepper.form.code.encode() + stepper.draws.identity())  # type: ignore[attr-defined]
    numbers = np.array(first(0), dtype=np.float64)
    width = stepper.state_dim + (0 if stepper.continuous else stepper.draws.n_inputs)
    example = tensor_of(np.concatenate([np.resize(points[0], width), numbers]))
    told = [graph_identity(stepper.form.function, example)]  # type: ignore[attr-defined]
    if stepper.noise is not None:
        x, z = tensor_of(points[0]), tensor_of(np.resize(points[1], stepper.n_normals))
        told.append(graph_identity(stepper.noise, x, z, tensor_of(numbers)))
    with torch.no_grad():
        inputs = np.concatenate([points] * (stepper.draws.n_inputs // stepper.dim + 3), axis=1)
        rows = [*inputs.T[:width], *(np.full(len(points), c) for c in numbers)]
        values = torch.stack(tuple(stepper.form(*map(tensor_of, rows)))).numpy()
    return f"{len(numbers)} {told} {_hash(_rounded(values))}"


def _distances(job: Job, dim: int, points: Array) -> str:
    """A hash of the distances to the faces."""
    faces = job.region.faces

    def apart(x: Tensor) -> Tensor:
        at = Coordinates(x.unbind(0))
        return torch.stack([face.distance(at) for face in faces])

    if all(face.pointwise for face in faces):
        try:
            return _hash(coordinate_form(apart, dim).code.encode())  # type: ignore[attr-defined]
        except ValueError:  # too large
            pass
    values = np.asarray(job.region.signed_distance(points))
    return f"{graph_identity(lambda x: apart(x[:, None]), tensor_of(points[0]))} {_hash(_rounded(values))}"


def _spread(dim: int) -> Array:
    return np.asarray(standard_normal(1, np.arange(8), 0, dim), dtype=np.float64).reshape(8, dim)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _rounded(values: Array) -> bytes:
    # to single precision: the last bits are the machine's business
    return values.astype(np.float32).tobytes()


def _text(value: object) -> str:
    """A repr without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _value(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {_hash(np.ascontiguousarray(value).tobytes())}"
    return value if isinstance(value, int | float | str | None) else _text(value)
