"""All that the numbers of a first-exit job depend on, as text and numbers: the header of its checkpoint.

Text of systems and region, the code of the traced step (or its values at a few points where there is none),
coefficients over the time of the job, hashes of starts and distances, and the options. A file whose header
differs belongs to another job.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.compute.batch import tensor_of
from samdyn.compute.checks import Array
from samdyn.compute.random import standard_normal
from samdyn.escape.exit_job import Job, prepare


def describe(job: Job, starts: Array) -> dict[str, Any]:
    """All that the numbers of a job depend on, as JSON."""
    stepper, coefficients = prepare(job).stepper, prepare(job).coefficients
    first = coefficients.at[0]
    points = np.concatenate([starts[:1, : stepper.dim] + scale * _spread(stepper.dim) for scale in (0.1, 3)])
    with torch.no_grad():
        if stepper.traced:
            step = _hash(stepper.form.code.encode())  # type: ignore[attr-defined]
        else:
            inputs = np.concatenate([points] * (stepper.n_normals + 3), axis=1)
            numbers = len(first(0))
            width = stepper.state_dim + (0 if stepper.continuous else stepper.n_normals)
            rows = [*inputs.T[:width], *(np.full(len(points), c) for c in first(0))]
            values = stepper.form(*(tensor_of(row) for row in rows))
            step = f"{numbers} {_hash(_rounded(torch.stack(values).numpy()))}"
    steps = np.unique(np.geomspace(1, job.n_steps, 200).astype(np.int64) - 1)
    schedule = np.array([[at(int(k)) for k in steps] for at in coefficients.at], dtype=float)
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
        "coefficients": _hash(schedule.tobytes()),
        "step": step,
        "distances": _hash(_rounded(np.asarray(job.region.signed_distance(points)))),
    }


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
