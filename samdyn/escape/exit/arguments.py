"""Arguments of `exit_times` and `exit_time_sweep`: checked before any work, and made into an `ExitJob`."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.dynamics.step import combine
from samdyn.dynamics.step_length import default_dt
from samdyn.escape.exit.job import PRECISIONS, ExitJob, prepare
from samdyn.escape.kernel.sweep_choice import COMPILE_FROM, can_compile
from samdyn.escape.rare.stopping import check_correction
from samdyn.escape.region import OpenSet
from samdyn.jobs.cost import outside
from samdyn.numerics.random import split_seed
from samdyn.numerics.vector import Coordinates
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.matrix_root import MOST_ROTATED
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import CurvatureNoise
from samdyn.trace.batch import tensor_of
from samdyn.trace.device import choose_device
from samdyn.trace.tracing import traced_or_batched

# starts whose noise is looked at
MOST_LOOKED_AT = 100
# more paths than any memory holds
MOST_PATHS = 1 << 40
# the counter of the random numbers goes no further; and what nobody can wait for
MOST_STEPS, MANY_STEPS = 1 << 34, 1e9
# single precision is for steps this many times as long as the spacing of its numbers, and for distances
FINE_STEP, FINE_DISTANCE = 2.0**6, 2.0**14
# path-steps from which single precision is worth its rounding
SINGLE_FROM = 2e9


def make_job(
    systems: Sequence[Diffusion | Map],
    varied: Sequence[str],
    x0: npt.ArrayLike,
    region: OpenSet,
    n_paths: int | None,
    *,
    t_max: float,
    dt: float | None,
    seed: int,
    correction: str | None,
    device: str | None,
    precision: str | None,
    compile: bool | str | None,
) -> ExitJob:
    """The job of one system, or of several as one ensemble.

    Parameters
    ----------
    systems, varied
        One system, or several that differ in the numbers named.
    x0, region, n_paths, t_max, dt, seed, correction, device, precision, compile
        As for `exit_times`.

    Raises
    ------
    TypeError, ValueError
    """
    system = systems[0]
    if not isinstance(region, OpenSet):
        raise TypeError(f"region must be a samdyn region such as sd.Ball(center, radius), got {region!r}")
    region = region.with_dim(system.dim)
    starts, n_paths = _starts(system, x0, region, n_paths)
    t_max = checks.number("t_max", t_max, above=0)
    points = starts[:, : system.dim]
    dts = tuple(_step(one, dt, t_max, points, region) for one in systems)
    split_seed(seed)
    bridge = check_correction(correction) and isinstance(system, Diffusion)
    limits = tuple(_step_limit(t_max, one, bridge) for one in dts)
    where = choose_device(device)
    if precision is not None and not (isinstance(precision, str) and precision in PRECISIONS):
        raise ValueError(f"precision must be 'single' or 'double', got {precision!r}")
    if not (compile is None or isinstance(compile, bool) or (isinstance(compile, str) and compile == "auto")):
        raise ValueError(f"compile must be True, False or 'auto', got {compile!r}")
    each = np.tile(starts, (len(systems), 1)) if len(systems) > 1 and len(starts) > 1 else starts
    job = ExitJob(
        tuple(systems), tuple(varied), region, each, n_paths, limits, dts, int(seed), bridge, str(where),
        "double", compile=False, t_max=t_max,
    )  # fmt: skip
    _check_first_step(job, starts)
    traced = prepare(job).stepper.traced
    path_steps = math.inf if where.type == "cuda" else job.n * float(job.n_steps)
    if compile is None or compile == "auto":
        compile = path_steps >= COMPILE_FROM and traced and can_compile(where)
    elif compile and not traced:
        raise ValueError(f"compile must be False: {_untraced(system)}")
    if precision is None:
        single = compile and path_steps >= SINGLE_FROM and _is_coarse(job, starts)
        precision = "single" if single else "double"
    return replace(job, precision=precision, compile=bool(compile))


def check_system(system: Any) -> None:
    """Refuse what is neither a Diffusion nor a Map with fixed numbers."""
    if isinstance(system, Flow):
        raise TypeError(
            f"system must be a Diffusion or a Map, got {system!r}, which has no step: use sd.Map for the "
            "algorithm's steps, or sd.Diffusion with sd.GaussianNoise(std=0.0) for Euler steps of the flow"
        )
    if not isinstance(system, Diffusion | Map):
        raise TypeError(f"system must be a Diffusion or a Map, got {system!r}")
    if isinstance(system, Map) and system.landscape is None and system.scheduled:
        raise TypeError(
            f"system must have parameters that are numbers, got {system!r} with a schedule: "
            "make its step number a coordinate"
        )


def _untraced(system: Diffusion | Map) -> str:
    """Which part of a step has no pointwise form."""
    noise = system.noise
    if isinstance(noise, CurvatureNoise) and system.dim > MOST_ROTATED:
        return (
            f"the noise {noise!r} has no pointwise form above {MOST_ROTATED} dimensions (it decomposes the "
            f"Hessian), got dim={system.dim}"
        )
    if isinstance(noise, Minibatch) and system.dim > 2:
        return f"the noise {noise!r} has no pointwise form above 2 dimensions, got dim={system.dim}"
    if system.landscape is None:
        return "the function has no pointwise form (it uses an operation that cannot be traced)"
    if (
        noise is not None
        and traced_or_batched(torch.func.grad(system.landscape.one_point), system.dim).traced
    ):
        return f"the loss has a pointwise form, but its step with the noise {noise!r} has none"
    return "the loss has no pointwise form (it uses an operation that cannot be traced)"


def _step(system: Diffusion | Map, dt: float | None, t_max: float, starts: Array, region: OpenSet) -> float:
    """The step length."""
    if isinstance(system, Diffusion):
        if system.step_length == 0:  # of a schedule
            raise ValueError(
                f"system must have lr(0) > 0, the unit of its schedules' time, got 0 from {system.lr!r}"
            )
        if dt is None:
            dt = default_dt(system, starts, region)
            dt = min(dt, t_max) if system.step_length is None else dt
        else:
            dt = checks.number("dt", dt, above=0)
    elif dt is not None:
        raise ValueError(f"dt must not be given for a Map, whose time is its step, got {dt!r}")
    else:
        dt = 1.0
    if dt > t_max:
        raise ValueError(f"dt must be at most t_max, got dt={dt!r} and t_max={t_max!r}")
    return dt


def _step_limit(t_max: float, dt: float, bridge: bool) -> int:
    """Whole steps until t_max; with the bridge, which times exits within a step, the last may end later."""
    n_steps = np.ceil(t_max / dt * (1 - 1e-12)) if bridge else np.floor(t_max / dt * (1 + 1e-12))
    if n_steps > MOST_STEPS:
        raise ValueError(
            f"t_max must be at most 2^34 steps of dt = {dt:g}, got t_max = {t_max:g}, which is {n_steps:.3g} "
            "steps a path: lower t_max or raise dt (sd.mean_exit_time, sd.rare_exit_time need no such times)"
        )
    if n_steps > MANY_STEPS:
        warnings.warn(
            f"t_max = {t_max:g} is {n_steps:.3g} steps of dt = {dt:g} a path, which takes long where paths "
            "do not leave early: sd.mean_exit_time and sd.rare_exit_time need no such times",
            UserWarning,
            stacklevel=outside(),
        )
    return int(n_steps)


def _starts(
    system: Diffusion | Map, x0: npt.ArrayLike, region: OpenSet, n_paths: int | None
) -> tuple[Array, int]:
    """States at the start, one for all paths or one for each, and the number of paths."""
    x = checks.points("x0", x0, system.dim)
    if x.ndim > 2:
        raise ValueError(f"x0 must have shape ({system.dim},) or (n, {system.dim}), got shape {x.shape}")
    if n_paths is not None:
        if isinstance(n_paths, numbers.Real) and MOST_PATHS <= n_paths < math.inf:
            raise ValueError(f"n_paths must be below 2^40, got {n_paths}")
        n_paths = checks.integer("n_paths", n_paths, at_least=1)
    if x.ndim == 2:
        if len(x) == 0:
            raise ValueError("x0 must hold at least one start, got none")
        if n_paths is not None and n_paths != len(x):
            raise ValueError(f"n_paths must equal the number of starts in x0 ({len(x)}), got {n_paths}")
        n_paths = len(x)
    inside = region.contains(x)
    if not np.all(inside):
        first = np.atleast_2d(x)[~np.atleast_1d(inside)][0]
        distance = float(region.signed_distance(first))
        if np.isnan(distance):
            raise ValueError(f"region must have a signed distance at x0 = {first}, got nan from {region!r}")
        raise ValueError(
            f"x0 must lie inside the region, got {first} at signed distance {distance:.3g} of {region!r}"
        )
    x = np.atleast_2d(x)
    _check_noise(system, x)
    states = system.at_rest(x)
    default = 10_000 if system.noisy else 1
    return states, default if n_paths is None else n_paths


def _check_noise(system: Diffusion | Map, x: Array) -> None:
    """Refuse starts at which the direction of a rule jumps, so that its covariance is 0 there alone."""
    rule = system.rule
    if not isinstance(system, Diffusion) or rule is None or rule.plain or system.silent:
        return
    some = x[:MOST_LOOKED_AT]
    length = 1e-6 * (1 + np.linalg.norm(some, axis=1, keepdims=True))
    at, beside, off = (
        np.trace(system.covariance(some + share * length), axis1=-2, axis2=-1) for share in (0.0, 1.0, 1e3)
    )
    alone = (at == 0) & (beside > 1e-2 * off) & (beside > 0)
    if alone.any():
        raise ValueError(
            f"x0 must be where the covariance of the noise is defined, got {some[alone][0]}, at which the "
            f"direction of {rule!r} jumps: start beside it"
        )


def _first_step(job: ExitJob, starts: Array) -> tuple[Array, Array]:
    """Where the first step leads without noise from at most 1000 starts, and the noise's size there."""
    prepared = prepare(job)
    stepper, values = prepared.stepper, prepared.coefficients.at
    states = tensor_of(starts[:1000].T)
    ends, sizes = [], []
    with torch.no_grad():
        for at, dt in zip(values, job.dts, strict=True):
            own = [torch.tensor(value, dtype=torch.float64, device="cpu") for value in at(0)]
            drawn = [] if stepper.continuous else stepper.draws.example(states[0])
            inputs = own if stepper.traced else [value.expand_as(states[0]) for value in own]
            outputs = torch.stack(
                [value.expand_as(states[0]) for value in stepper.form(*states, *drawn, *inputs)]
            ).numpy()
            if stepper.continuous:
                ends.append(starts[:1000].T + outputs[: stepper.dim] * dt)
                entries = outputs[stepper.dim :]
                if stepper.noise is not None:  # B is known by products: with one draw of normals
                    columns = stepper.local(Coordinates(states), own)[1]
                    z = [torch.full_like(states[0], float((-1) ** j)) for j in range(stepper.n_normals)]
                    entries = torch.stack(tuple(combine(columns, z))).numpy()
                sizes.append(np.sqrt((entries**2).sum(axis=0) * dt))
            else:
                ends.append(outputs)
                sizes.append(np.sqrt(((outputs - states.numpy()) ** 2).sum(axis=0)))
    return np.array(ends), np.array(sizes)


def _check_first_step(job: ExitJob, starts: Array) -> None:
    """Refuse a loss without values: every path would be lost in its first step."""
    ends, _ = _first_step(job, starts)
    if not np.isfinite(ends).all(axis=1).any():
        raise ValueError(
            f"system must have a finite step at x0, got one that is not finite there ({job.system!r}): "
            "the loss or its gradient is nan or infinite"
        )


def _is_coarse(job: ExitJob, starts: Array) -> bool:
    """Whether steps and distances are long against the spacing of single-precision numbers at the starts."""
    dim = job.system.dim
    spacing = float(np.spacing(np.float32(np.abs(starts[:, :dim]).max())))
    _, sizes = _first_step(job, starts)
    distance = float(-np.max(job.region.signed_distance(starts[:, :dim])))
    return bool(sizes.min() >= FINE_STEP * spacing and distance >= FINE_DISTANCE * spacing)
