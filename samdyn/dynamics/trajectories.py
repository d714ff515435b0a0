"""Trajectories of maps, flows and diffusions, stored at regular steps.

- Map: iterated in float64. With a noise model the draws are functions of (seed, path, step), the same as in
  `exit_times`.
- Diffusion: Euler-Maruyama with step dt.
- Flow of a smooth rule, or of a function: solvers of libraries with relative tolerance 1e-9
  (`samdyn.dynamics.smooth_flow_paths`).
- Flow of a normalised rule: its field jumps where g = 0, and an adaptive solver would shrink its step
  without end. It has a solver of its own (`samdyn.dynamics.filippov`): linearly implicit, with a step
  for each path, and paths that reach a critical point which traps them are held there.
- Flow of a smooth rule on a loss with kinks (abs, maximum, relu): its gradient jumps on surfaces, along which
  paths slide (`samdyn.dynamics.kinks`), known to about the speed times t_max/16000.

Where the step has a pointwise form it is printed as Python and numpy code (`samdyn.trace.printed.printing`):
some microseconds a step for one path.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.dynamics.filippov import jumping_flow
from samdyn.dynamics.kinks import has_kinks, kinked_flow
from samdyn.dynamics.path_job import check_device
from samdyn.dynamics.records import RecordJob, kept_steps
from samdyn.dynamics.smooth_flow_paths import smooth_flow
from samdyn.dynamics.step_length import default_dt
from samdyn.dynamics.steppers import build_stepper
from samdyn.dynamics.trajectory_result import Trajectory
from samdyn.jobs.cost import announce, seconds_of
from samdyn.jobs.job import ALONE, Run, check_run, joined, run_job
from samdyn.jobs.memory import check_fits
from samdyn.jobs.progress import PartsBar
from samdyn.numerics.random import split_seed
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System
from samdyn.trace.iterate import iterate_scalar
from samdyn.trace.tracing import NotTraceable, coordinate_form

FEW = 24  # below so many starts a loop over floats beats numpy
PILOT = 100  # steps that are timed before a long run
MANY_STEPS = 5000  # a shorter run costs little next to its estimate
SHARE = 50  # parts of a flow's time, of which one is timed
MANY_POINTS = 20_000  # stored points of all paths of a flow, up to which no time is spent on an estimate


MOST_STEPS = 1e10
"""More steps than anybody waits for, and more times than fit into memory."""


def trajectory(
    system: System,
    x0: npt.ArrayLike,
    n_steps: int | None = None,
    *,
    t_max: float | None = None,
    dt: float | None = None,
    save_every: int = 1,
    seed: int = 0,
    device: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Trajectory:
    """Follow one or many starts.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        What moves.
    x0 : array_like, shape (..., dim)
        Starts; (n, dim) is n paths. With momentum the paths start from rest.
    n_steps : int
        Number of steps, for a Map (for a Flow or a Diffusion give t_max).
    t_max : float
        Time to follow a Flow or a Diffusion for; the last step of a Diffusion is shortened to end there.
    dt : float, optional
        Step of a Diffusion (by default its lr, or a hundredth of the drift's shortest time scale where it has
        none), or storage step of a Flow (t_max / 1000 by default).
    save_every : int
        How many steps lie between two stored points.
    seed : int
        Seed of the noise.
    device : str, optional
        "cuda" takes the steps of a map or a diffusion on a GPU; "cpu" by default, where results do not depend
        on the machine.
    workers : int
        Number of local workers for the paths of a Map or a Diffusion: threads where the steps are compiled,
        else processes. The result is the same with any number. The paths of a Flow, and up to 24 paths of a
        Map without noise, go together in this process.
    executor : concurrent.futures.Executor, optional
        Where to run instead.
    checkpoint : str or path, optional
        A file that holds the finished pieces of such a job: written every 30 s, after Ctrl-C and at the end.
        If it exists, the job goes on from it, to the same result as in one go. Refused where paths go
        together.
    progress : bool
        Show a progress bar: over paths where they are followed one by one, over steps or time where they are
        followed all at once.

    Returns
    -------
    Trajectory
        `times` (n_stored,) and points `x` (n_stored, ..., dim) after 0, save_every, 2 save_every, ... steps,
        and always after the last step. It is used as the array of its points. A path that diverges goes on as
        inf or nan.

    Raises
    ------
    TypeError, ValueError
        A start that is not finite or of the wrong dimension, the wrong kind of length for the system, or a
        checkpoint that is damaged, of another job or of paths that go together.

    Warns
    -----
    CostWarning
        The work will take more than ten seconds, by the time of its first part: of a Map or a Diffusion some
        hundred steps, of a Flow a fiftieth of `t_max`, which tells the rest only roughly.

    Notes
    -----
    The solvers, and what they do where the field of a normalised rule jumps, are described in
    `samdyn.dynamics.trajectories`.

    Examples
    --------
    >>> import samdyn as sd
    >>> gd = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.5)
    >>> sd.trajectory(gd, [1.0], n_steps=3)[:, 0]
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    x = checks.points("x0", x0, system.dim)
    every = checks.integer("save_every", save_every, at_least=1)
    split_seed(seed)
    run, where = check_run(workers, executor, checkpoint, progress), check_device(device, system)
    flat = x.reshape(-1, system.dim)
    if isinstance(system, Map):
        if n_steps is None or t_max is not None or dt is not None:
            raise ValueError(
                "n_steps must be given for a Map, and neither t_max nor dt: its time is its step"
            )
        n_steps = checks.integer("n_steps", n_steps, at_least=0)
        _check_stored("n_steps", n_steps / every, flat)
        if n_steps > MANY_STEPS:
            whole = len(flat) * float(n_steps)
            few = seconds_of(lambda: _map(system, flat, PILOT, PILOT, seed, whole, device=where), repeats=2)
            announce("trajectory", few * n_steps / PILOT, "pass a smaller n_steps or fewer starts")
        stored = _map(system, flat, n_steps, every, seed, run=run, device=where)
        times = kept_steps(n_steps, every).astype(np.float64)
    else:
        if t_max is None or n_steps is not None:
            raise ValueError(
                f"t_max must be given for a {type(system).__name__}, and not n_steps: its time is continuous"
            )
        t_max = checks.number("t_max", t_max, above=0)
        if dt is not None:
            dt = checks.number("dt", dt, above=0)
            if dt > t_max:
                raise ValueError(f"dt must be at most t_max, got dt={dt!r} and t_max={t_max!r}")
            if t_max > MOST_STEPS * dt:
                raise ValueError(f"t_max must be at most {MOST_STEPS:g} steps of dt={dt!r}, got {t_max!r}")
        if isinstance(system, Diffusion):
            step = default_dt(system, flat) if dt is None else dt
            _check_stored("t_max", t_max / step / every, flat)
            if t_max > MANY_STEPS * step:
                whole = len(flat) * t_max / step
                few = seconds_of(
                    lambda: _diffusion(system, flat, PILOT * step, step, PILOT, seed, whole, device=where),
                    repeats=2,
                )
                announce("trajectory", few * t_max / (PILOT * step), "pass a larger dt or fewer starts")
            stored = _diffusion(system, flat, t_max, dt, every, seed, run=run, device=where)
            step = step if dt is not None or system.step_length is not None else min(step, t_max)
        else:
            assert isinstance(system, Flow)
            _refuse_checkpoint(run, "a Flow")
            step = t_max / 1000 if dt is None else dt
            _check_stored("t_max", t_max / step, flat)
            if len(flat) * t_max > MANY_POINTS * step:
                few = seconds_of(lambda: _flow(system, flat, t_max / SHARE, step, every))
                announce("trajectory", few * SHARE, "pass fewer starts, a shorter t_max or a larger dt")
            stored = _flow(system, flat, t_max, step, every, progress)
        times = np.minimum(kept_steps(_n_steps(t_max, step), every) * step, t_max)
    discrete = isinstance(system, Map)
    return Trajectory(times, stored.reshape(len(stored), *x.shape), repr(system), discrete, seed)


def _n_steps(t_max: float, dt: float) -> int:
    """Steps of length dt that reach t_max, where rounding does not make one more."""
    return int(np.ceil(t_max / dt * (1 - 1e-12)))


def _check_stored(name: str, n_stored: float, x: Array) -> None:
    """Refuse orbits that would not fit into memory."""
    check_fits(
        name, 8.0 * (n_stored + 1) * x.size, "pass a larger save_every (of a Flow dt), or fewer starts"
    )


def _refuse_checkpoint(run: Run, what: str) -> None:
    if run.checkpoint is not None:
        raise ValueError(
            f"checkpoint must be left out for {what}, whose paths go together in one piece, got "
            f"{str(run.checkpoint)!r}"
        )


def _map(
    system: Map,
    x: Array,
    n_steps: int,
    every: int,
    seed: int,
    path_steps: float | None = None,
    run: Run = ALONE,
    device: str = "cpu",
) -> Array:
    if device != "cpu":
        return _recorded(system, x, n_steps, every, seed, path_steps=path_steps, run=run, device=device)
    if system.landscape is None:
        _refuse_checkpoint(run, "the map of a function")
        return _iterate_function(system, system.at_rest(x), n_steps, every, run.progress)
    few = 0 < len(x) <= FEW and not system.scheduled and not system.noisy and system.landscape.traceable
    stepper = build_stepper(system) if few else None
    if stepper is not None and stepper.traced:
        _refuse_checkpoint(run, f"up to {FEW} starts of a map without noise")
        constants = tuple(system.coefficients().values())
        orbits = _scalar_orbits(stepper.form, system.at_rest(x), constants, n_steps, every, run.progress)
        return orbits[..., : system.dim]
    return _recorded(system, x, n_steps, every, seed, path_steps=path_steps, run=run)


def _scalar_orbits(
    form: Any, state: Array, constants: Sequence[float], n_steps: int, every: int, progress: bool
) -> Array:
    """Orbits (n_stored, n, state_dim) of a few states, each in a loop over Python floats."""
    orbits = []
    with PartsBar(progress, "trajectory", len(state), "path") as bar:
        for one in state:
            orbits.append(iterate_scalar(form, one, constants, n_steps=n_steps, every=every))
            bar.update()
    return np.stack(orbits, axis=1)


def _recorded(
    system: Map | Diffusion,
    x: Array,
    n_steps: int,
    every: int,
    seed: int,
    dt: float | None = None,
    path_steps: float | None = None,
    run: Run = ALONE,
    last: float | None = None,
    device: str = "cpu",
) -> Array:
    """The points of many paths after 0, every, 2 every, ... and n_steps steps, the last of its own length."""
    at = kept_steps(n_steps, every)
    job = RecordJob(
        system, x, len(x), n_steps, seed, dt, at=at, last=last, steps_of_all=path_steps, device=device
    )
    with PartsBar(run.progress, "trajectory", n_steps * len(x), "path-step") as bar:
        return joined(run_job(job, run, bar), "x", axis=1)


def _diffusion(
    system: Diffusion,
    x: Array,
    t_max: float,
    dt: float | None,
    every: int,
    seed: int,
    path_steps: float | None = None,
    run: Run = ALONE,
    device: str = "cpu",
) -> Array:
    given = dt is not None
    dt = dt if dt is not None else default_dt(system, x)
    if not given and system.step_length is None:
        dt = min(dt, t_max)
    n_steps = _n_steps(t_max, dt)
    last = t_max - (n_steps - 1) * dt  # the last step ends at t_max
    return _recorded(system, x, n_steps, every, seed, dt, path_steps, run, last, device)


def _iterate_function(system: Map, state: Array, n_steps: int, every: int, progress: bool) -> Array:
    function = system.point_function()
    try:
        module = coordinate_form(function, system.dim)
    except NotTraceable:
        module = None
    if (
        module is not None
        and 0 < len(state) <= FEW
        and not any(callable(v) for v in system.parameters.values())
    ):
        return _scalar_orbits(module, state, (), n_steps, every, progress)
    stored = np.empty((1 + -(-n_steps // every), *state.shape))
    stored[0] = current = state
    with PartsBar(progress, "trajectory", n_steps, "step") as bar:
        for step in range(n_steps):
            current = system(current, step)
            if (step + 1) % every == 0 or step + 1 == n_steps:
                stored[-(-(step + 1) // every)] = current
            bar.update()
    return stored


def _flow(system: Flow, x: Array, t_max: float, dt: float, every: int, progress: bool = False) -> Array:
    n_steps = _n_steps(t_max, dt)
    keep = kept_steps(n_steps, every)
    times = np.minimum(np.arange(n_steps + 1) * dt, t_max)
    if system.rule is None or not system.rule.jumps:
        if system.landscape is not None and has_kinks(system.landscape):
            with PartsBar(progress, "trajectory", n_steps, "interval") as bar:
                return kinked_flow(system, x, times, bar)[keep]
        return smooth_flow(system, x, times[keep], progress)
    with PartsBar(progress, "trajectory", n_steps, "interval") as bar:
        return jumping_flow(system, x, times, bar)[keep]
