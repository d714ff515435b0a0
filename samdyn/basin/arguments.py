"""Checks of the arguments that computations of basins share, before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.basin.paths.course import Course, motion_of
from samdyn.basin.paths.motion import default_stride
from samdyn.basin.search.attractors import Attractor
from samdyn.basin.search.recurrences import Rules
from samdyn.numerics.random import split_seed
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

MAX_STEPS = 100_000  # of a map or a diffusion, by default
MAX_STRIDES = 20_000  # of a flow, by default
MOST_PROBES = 10_000  # a bound on memory and time; chosen


@dataclass(frozen=True)
class Options:
    """Checked options of a computation."""

    n_starts: int
    rules: Rules
    radius: float | None


def check_system(system: Any, box: Any) -> Array:
    """The box to use, after checks of both."""
    if not isinstance(system, Map | Flow | Diffusion):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    if box is None and system.box is None:
        raise ValueError(f"box must be given: {system.name} has none of its own")
    if isinstance(system, Map) and system.landscape is None and system.scheduled:
        raise ValueError(f"system must have constant parameters, got {system!r} with a schedule")
    with np.errstate(over="ignore"):
        region = checks.box("box", system.box if box is None else box, system.dim)
        if not np.isfinite(region[:, 1] - region[:, 0]).all():
            raise ValueError(f"box must be of finite width in every coordinate, got {box!r}")
    return region


def check_options(
    system: System,
    n_starts: Any,
    max_steps: Any,
    recurrence: Any,
    drift: Any,
    n_probes: Any,
    probe_steps: Any,
    radius: Any,
    far: Any,
    dt: Any,
    seed: Any,
) -> Options:
    """The options, checked."""
    n_starts = checks.integer("n_starts", n_starts, at_least=1)
    flow = isinstance(system, Flow)
    if max_steps is None:
        max_steps = MAX_STRIDES if flow else MAX_STEPS
    max_steps = checks.integer("max_steps", max_steps, at_least=1, below=2**31)
    if checks.number("recurrence", recurrence, above=0) > 1:
        raise ValueError(f"recurrence must be a share in (0, 1], got {recurrence!r}")
    checks.number("drift", drift, above=0)
    discrete = isinstance(system, Map)
    n_probes = (32 if discrete else 24) if n_probes is None else n_probes
    n_probes = checks.integer("n_probes", n_probes, at_least=1, below=MOST_PROBES + 1)
    probe_steps = (2000 if discrete else 60) if probe_steps is None else probe_steps
    probe_steps = checks.integer("probe_steps", probe_steps, at_least=1)
    radius = None if radius is None else checks.number("radius", radius, above=0)
    if checks.number("far", far, above=0) <= 0.5:
        raise ValueError(f"far must be > 0.5, since the box reaches 0.5 widths from its middle, got {far!r}")
    if dt is not None:
        checks.number("dt", dt, above=0)
        if isinstance(system, Map):
            raise ValueError(f"dt must not be given for a Map, whose time is its step, got {dt!r}")
    split_seed(seed)
    return Options(n_starts, Rules(max_steps, recurrence, drift, n_probes, probe_steps), radius)


def check_attractors(attractors: Any, system: System) -> None:
    """Refuse attractors that do not come from an earlier result for such a system."""
    if attractors is None:
        return
    known = isinstance(attractors, Mapping) and all(isinstance(a, Attractor) for a in attractors.values())
    if not known:
        raise TypeError(f"attractors must be a dict of Attractor, as Basins.attractors, got {attractors!r}")
    for name, a in attractors.items():
        if a.points.shape[-1] != system.dim:
            raise ValueError(
                f"attractors must be of a system in {system.dim} dimensions, got points of shape "
                f"{a.points.shape} for {name!r}"
            )
        fits = a.states.ndim == 2 and len(a.states) and a.states.shape[1] == system.state_dim
        if not fits or not np.isfinite(a.states).all():
            raise ValueError(
                f"attractors must have finite states of shape (m, {system.state_dim}), got shape "
                f"{a.states.shape} for {name!r}"
            )
        checks.number(f"attractors[{name!r}].radius", a.radius, above=0)


def check_stride(course: Course, max_steps: int) -> None:
    """Refuse strides of a flow in which nothing gets anywhere."""
    if course.stride is None or not isinstance(course.system, Flow):
        return
    motion = motion_of(course)
    least = default_stride(motion.field, course.box) / max_steps  # type: ignore[attr-defined]
    if course.stride < least:
        raise ValueError(
            f"dt must be at least {least:.3g}, for {max_steps} strides at the median speed in the box to "
            f"cover 1/50 of its diagonal, got {course.stride!r}"
        )
