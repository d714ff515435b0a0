"""A first-exit job: what is simulated, as data that travel to workers and name a checkpoint.

A `Job` holds the system, the region and the options. A process makes the traced step, the exit test and the
function that draws exits out of it once (`prepare`). `describe` lists
all that the numbers of a job depend on, for the header of a checkpoint: text of system and region, the code
of the traced step, the values of the coefficients, hashes of starts and distances, and the options.
"""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from samdyn.compute.checks import Array
from samdyn.compute.random import standard_normal
from samdyn.compute.vector import Coordinates
from samdyn.ensemble.kernel import ExitTest
from samdyn.ensemble.replay import Draws, Finish
from samdyn.ensemble.step import Stepper, build_stepper, combine
from samdyn.escape.crossing import (
    conjugate_direction,
    exit_point,
    exit_probability,
    first_exit,
    projected_variance,
)
from samdyn.escape.faces import ComplementFace, Face, FunctionFace, UnionFace
from samdyn.escape.regions import OpenSet
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map

PRECISIONS = {"single": torch.float32, "double": torch.float64}


@dataclass(frozen=True)
class Job:
    """What is simulated; picklable where system and region are.

    Attributes
    ----------
    system, region
        The region with its dimension known.
    n_steps, dt, seed
        Step limit, step length, seed.
    bridge : bool
        Whether exits within a step are tested for.
    device, precision : str
    compile : bool
    key : str
        Tells apart the jobs that a worker has seen.
    """

    system: Diffusion | Map
    region: OpenSet
    n_steps: int
    dt: float
    seed: int
    bridge: bool
    device: str
    precision: str
    compile: bool
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `first_exits`."""
        return {
            "n_steps": self.n_steps,
            "dt": self.dt,
            "seed": self.seed,
            "device": torch.device(self.device),
            "dtype": PRECISIONS[self.precision],
            "compile": self.compile,
        }


class Prepared(NamedTuple):
    """The leading arguments of `first_exits`."""

    stepper: Stepper
    test: ExitTest
    finish: Finish
    coefficients: Callable[[int], Sequence[float]]


_prepared: dict[str, Prepared] = {}
_lock = threading.Lock()


def prepare(job: Job) -> Prepared:
    """Trace the job's step, once in a process."""
    with _lock:  # an executor may run several pieces in threads of one process
        if job.key not in _prepared:
            stepper = build_stepper(job.system)
            test = ExitTest(job.region.faces, job.bridge, exit_probability, projected_variance)
            while len(_prepared) > 1:
                del _prepared[next(iter(_prepared))]
            _prepared[job.key] = Prepared(
                stepper, test, finisher(stepper, test), _coefficients(job.system, job.dt)
            )
        return _prepared[job.key]


def forget(job: Job) -> None:
    """Let go of what `prepare` keeps."""
    with _lock:
        _prepared.pop(job.key, None)


def _functions(faces: Sequence[Face]) -> Iterator[FunctionFace]:
    for face in faces:
        if isinstance(face, FunctionFace):
            yield face
        elif isinstance(face, ComplementFace):
            yield from _functions(face.faces)
        elif isinstance(face, UnionFace):
            for operand in face.operands:
                yield from _functions(operand)


def is_pointwise(job: Job) -> bool:
    """Whether a path's numbers are the same bits whichever paths are computed along with it: those of
    pointwise operations are, those of batched linear algebra need not be.
    """
    prepared = prepare(job)
    return prepared.stepper.traced and all(
        face.form is not None and face.gradient_form is not None for face in _functions(prepared.test.faces)
    )


def describe(job: Job, starts: Array, n_paths: int) -> dict[str, Any]:
    """All that the numbers of a job depend on, as JSON."""
    stepper, coefficients = prepare(job).stepper, prepare(job).coefficients
    points = np.concatenate([starts[:1, : stepper.dim] + scale * _spread(stepper.dim) for scale in (0.1, 3)])
    with torch.no_grad():
        if stepper.traced:
            step = _hash(stepper.form.code.encode())  # type: ignore[attr-defined]
        else:
            inputs = np.concatenate([points] * (stepper.n_normals + 3), axis=1)
            numbers = len(coefficients(0))
            width = stepper.state_dim + (0 if stepper.continuous else stepper.n_normals)
            rows = [*inputs.T[:width], *(np.full(len(points), c) for c in coefficients(0))]
            values = stepper.form(*(torch.from_numpy(np.ascontiguousarray(row)) for row in rows))
            step = f"{numbers} {_hash(_rounded(torch.stack(values).numpy()))}"
    at = np.unique(np.geomspace(1, job.n_steps, 200).astype(np.int64) - 1)
    schedule = np.array([coefficients(int(k)) for k in at], dtype=float)
    return {
        "n_paths": n_paths,
        "n_steps": job.n_steps,
        "dt": job.dt,
        "seed": job.seed,
        "correction": "bridge" if job.bridge else None,
        "device": torch.device(job.device).type,
        "precision": job.precision,
        "compile": job.compile,
        "system": _text(job.system),
        "parameters": {name: _value(value) for name, value in job.system.parameters.items()},
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


def _coefficients(system: Diffusion | Map, dt: float) -> Callable[[int], Sequence[float]]:
    """Coefficient values at a step of the simulation; a Diffusion's schedules count steps of its lr."""
    if not system.scheduled:
        constant = tuple(system.coefficients().values())
        return lambda step: constant
    unit = dt / system.coefficients()["lr"] if isinstance(system, Diffusion) else 1.0
    return lambda step: tuple(system.coefficients(int(step * unit + 1e-9)).values())


def finisher(stepper: Stepper, test: ExitTest) -> Finish:
    """The function that draws face, time within the step and place of an exit."""
    n_faces = len(test.faces)

    def watched(
        start: Coordinates,
        end: Coordinates,
        uniform: Tensor,
        draws: Draws,
        coefficients: Sequence[Tensor],
        dt: Tensor,
    ) -> tuple[Tensor, Tensor, Coordinates]:
        outside = torch.stack([face.distance(end) for face in test.faces])
        return outside.argmax(dim=0), torch.ones_like(uniform), end

    def bridged(
        start: Coordinates,
        end: Coordinates,
        uniform: Tensor,
        draws: Draws,
        coefficients: Sequence[Tensor],
        dt: Tensor,
    ) -> tuple[Tensor, Tensor, Coordinates]:
        normals, uniforms = draws(2 * n_faces + stepper.n_normals)
        _, columns = stepper.local(start, coefficients)
        a, variance = test.geometry(start, columns, dt)
        c = [-face.distance(end) for face in test.faces]
        choices = [uniform / test.exit_probability(a, c, variance), *uniforms[n_faces : 2 * n_faces - 1]]
        face, fraction = first_exit(a, c, variance, choices, normals[:n_faces], uniforms[:n_faces])
        noise = combine(columns, [z * dt**0.5 for z in normals[2 * n_faces :]])
        noise = Coordinates(s + torch.zeros_like(uniform) for s in noise)
        point = end
        for i, own in enumerate(test.faces):
            _, normal = own.distance_and_normal(start)
            direction = conjugate_direction(normal, columns)
            others = [other for other in test.faces if other is not own]
            here = exit_point(start, end, fraction, own, noise, direction, others)
            point = Coordinates(torch.where(face == i, u, v) for u, v in zip(here, point, strict=True))
        return face, fraction, point

    return bridged if test.bridge else watched
