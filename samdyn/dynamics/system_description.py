"""All that the paths of a system depend on, as text and numbers: the head of a checkpoint.

Text of the system and of its parameters; the operations of the traced step with all their constants (their
values at a few points where there is no graph); the coefficients of every step; hashes of the starts. A file
whose header differs belongs to another job.

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
from samdyn.dynamics.clock import coefficients_at
from samdyn.dynamics.driver import advanced
from samdyn.dynamics.step import Stepper
from samdyn.dynamics.steppers import build_stepper
from samdyn.numerics.random import standard_normal
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.trace.aten import graph_identity
from samdyn.trace.batch import tensor_of
from samdyn.trace.function_identity import fingerprint

LISTED = 1_000_000
"""Steps up to which every value of a schedule is looked at, which takes a second or two."""


def describe_system(
    system: Map | Diffusion, starts: Array, n_steps: int, seed: int, dt: float | None = None
) -> dict[str, Any]:
    """All that paths of a system depend on, as JSON.

    Parameters
    ----------
    system : Map or Diffusion
    starts : ndarray, shape (n, dim) or (n, state_dim)
    n_steps : int
    seed : int
    dt : float, optional
        Length of a Diffusion's steps.

    Raises
    ------
    ValueError
        A schedule of more than `LISTED` steps reads objects whose state is not known.

    Examples
    --------
    >>> import samdyn as sd
    >>> gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    >>> sorted(describe_system(gd, np.zeros((1, 1)), 10, seed=0))
    ['coefficients', 'dt', 'n_steps', 'parameters', 'seed', 'step', 'system', 'x0']
    """
    at = coefficients_at(system, dt)

    def values(step: int) -> tuple[float, ...]:
        return tuple(at(step).values())

    return {
        "system": text(system),
        "parameters": {name: value_of(value) for name, value in system.parameters.items()},
        "n_steps": n_steps,
        "dt": dt,
        "seed": seed,
        "x0": hash_of(np.ascontiguousarray(starts).tobytes()),
        "coefficients": hash_of_schedules([system], [values], [n_steps], system.scheduled),
        "step": _identity_of_step(system, starts[:, : system.dim], values),
    }


def _identity_of_step(system: Map | Diffusion, x: Array, values: Callable[[int], Sequence[float]]) -> str:
    loss = system.landscape
    if loss is None or loss.traceable:
        return hash_of_step(build_stepper(system), points_about(x), values)
    # a network: where a few starts are after a step
    few = system.at_rest(x[:4])
    return hash_of(rounded(advanced(system, few, 1)))


def points_about(x: Array) -> Array:
    """A few points (16, dim) near the first of some starts (n, dim) and further away."""
    spread = np.asarray(standard_normal(1, np.arange(8), 0, x.shape[1]), dtype=np.float64)
    return np.concatenate([x[:1] + scale * spread.reshape(8, x.shape[1]) for scale in (0.1, 3)])


def hash_of_schedules(
    systems: Sequence[Map | Diffusion],
    at: Sequence[Callable[[int], Sequence[float]]],
    limits: Sequence[int],
    scheduled: bool,
) -> str:
    """A hash of the coefficients at every step, for each system up to its own limit."""
    digest = hashlib.sha256()
    for values, limit in zip(at, limits, strict=True):
        count = min(limit, LISTED) if scheduled else 1
        for start in range(0, count, 4096):
            rows = [tuple(values(step)) for step in range(start, min(start + 4096, count))]
            digest.update(np.array(rows, dtype=np.float64).tobytes())
    if scheduled and max(limits) > LISTED:
        known = fingerprint([[v for v in s.parameters.values() if callable(v)] for s in systems])
        if known is None:
            raise ValueError(
                f"checkpoint must be left out for a schedule of {max(limits)} steps that reads objects whose "
                "state is not known: a change could not be noticed when the job is resumed; write the "
                "schedule as a plain function of the step, or take one of sd.rules.schedules"
            )
        digest.update(known.encode())
    return digest.hexdigest()[:32]


def hash_of_step(stepper: Stepper, points: Array, first: Callable[[int], Sequence[float]]) -> str:
    """A hash of what a step does."""
    if stepper.traced:
        return hash_of(stepper.form.code.encode() + stepper.draws.identity())  # type: ignore[attr-defined]
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
    return f"{len(numbers)} {told} {hash_of(rounded(values))}"


def hash_of(data: bytes) -> str:
    """A short hash."""
    return hashlib.sha256(data).hexdigest()[:32]


def rounded(values: Array) -> bytes:
    """Values without their last bits."""
    # to single precision: the last bits are the machine's business
    return values.astype(np.float32).tobytes()


def text(value: object) -> str:
    """A repr without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def value_of(value: Any) -> Any:
    """The value of a parameter as JSON; a hash of an array."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hash_of(np.ascontiguousarray(value).tobytes())}"
    return value if isinstance(value, int | float | str | None) else text(value)
