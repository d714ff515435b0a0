"""The drive of many copies of a system, step after step, with something looked at on the way.

Copies go in tiles that fit the cache. A tile is taken from look to look by its step
(`samdyn.dynamics.contract`); an observer (`samdyn.dynamics.observers`) is shown its points at the steps that
it asks for. Copies that it calls done leave the tile. What a step is, `build_step` chooses:

- `SquaresStep` (`samdyn.dynamics.backends.squares_step`): least squares and ridge regression in closed form,
  and `NativeSquares` (`samdyn.dynamics.backends.native_squares`) for single samples in large jobs;
- `PointStep` (`samdyn.dynamics.backends.point_step`): networks, and `LayersStep`
  (`samdyn.dynamics.backends.layers_step`) for large jobs on networks of linear layers;
- `NativeStep` (`samdyn.dynamics.backends.native_step`): large jobs whose step can be printed as C++;
- `TracedStep` (`samdyn.dynamics.backends.traced_step`): everything else.

Random numbers belong to (seed, path, step): a copy's path does not depend on the tile or on the other copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from samdyn.arguments.checks import Array
from samdyn.dynamics.backends.devices import backend_of
from samdyn.dynamics.backends.layers_step import LayersStep
from samdyn.dynamics.backends.native_program import compiled_or_none
from samdyn.dynamics.backends.native_squares import NativeSquares
from samdyn.dynamics.backends.native_step import NativeStep
from samdyn.dynamics.backends.point_step import PointStep
from samdyn.dynamics.backends.squares_step import SquaresStep
from samdyn.dynamics.backends.traced_step import TracedStep
from samdyn.dynamics.batch_step import MAX_TRACED_INPUTS
from samdyn.dynamics.clock import coefficients_at
from samdyn.dynamics.contract import Coefficients, Step
from samdyn.dynamics.observers import Copies, Nothing, Observer
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch
from samdyn.trace.printed.compiling import CompilationError, compiler
from samdyn.trace.tracing import NotTraceable

System: TypeAlias = Map | Diffusion

Look = tuple[int, int, float | None]  # step, number of the record or -1, length of the steps before

TILE_VALUES = 1 << 17  # numbers of the states of a tile: 1 MiB, for the cache
MAX_TILE = 1 << 14  # paths of a tile, where states are short
COMPILE_FROM = 2e7
"""Path-steps that take numpy as long as compiling takes: half a second to a few."""
LAYERS_FROM = 3e9
"""Path-steps times samples and weights that take torch as long as compiling takes: two seconds."""


def build_step(
    system: System,
    dt: float | None = None,
    path_steps: float = 0.0,
    varied: Sequence[str] = (),
    device: str = "cpu",
) -> Step:
    """The fastest step of a system: see the module's docstring.

    Parameters
    ----------
    system : Map or Diffusion
    dt : float, optional
        Length of a Diffusion's step, its lr by default.
    path_steps : float
        Steps of all paths of the job together: from `COMPILE_FROM` on they are compiled, where they can be.
    varied : sequence of str
        Numbers of the loss, or of the function that a map is made from, that are coefficients too.
    device : str
        Where steps are taken. On a GPU they are a compiled loop, a path for each thread.

    Raises
    ------
    ValueError
        The step cannot be compiled for the device.

    Warns
    -----
    RuntimeWarning
        The compiler fails: the step then runs in numpy.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [1.0, 1.0])
    >>> batches = sd.Map(loss, sd.SAM(0.1), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> type(build_step(batches)).__name__
    'TracedStep'
    """
    loss, noise = system.landscape, system.noise
    if device != "cpu":
        try:
            if loss is not None and not loss.traceable:
                raise NotTraceable("its step is too long to be written out")
            return NativeStep(system, dt, backend_of(torch.device(device)), varied)
        except (NotTraceable, CompilationError) as error:
            raise ValueError(f"device must be 'cpu' for {system!r}, got {device!r}: {error}") from error
    large = path_steps >= COMPILE_FROM and compiler() is not None
    if isinstance(system, Map) and isinstance(noise, Minibatch) and not varied:
        assert isinstance(loss, FiniteSum)
        assert system.rule is not None
        plain = noise.micro_batch in (None, noise.batch_size) and system.rule.stackable
        inputs = noise.batch_size * (system.dim + 1) * (2 if noise.probe == "independent" else 1)
        if plain and (system.dim > 8 or inputs > MAX_TRACED_INPUTS // 2) and loss.squares is not None:
            native = compiled_or_none(lambda: NativeSquares(system)) if large else None
            return native or SquaresStep(system)
    if isinstance(system, Map) and loss is not None and not loss.traceable and not varied:
        work = path_steps * system.dim * getattr(loss, "n_samples", 1)
        layered = noise is None and work >= LAYERS_FROM and compiler() is not None
        return (compiled_or_none(lambda: LayersStep(system)) if layered else None) or PointStep(system)
    native_step = compiled_or_none(lambda: NativeStep(system, dt, varied=varied)) if large else None
    return native_step or TracedStep(system, dt, varied)


def drive(
    system: System,
    state: Array,
    n_steps: int,
    observer: Observer,
    *,
    seed: int = 0,
    paths: npt.NDArray[np.int64] | None = None,
    coefficients: Callable[[int], Coefficients] | None = None,
    report: Callable[[float], None] | None = None,
    dt: float | None = None,
    lengths: Sequence[float] | None = None,
    path_steps: float | None = None,
    step: Step | None = None,
) -> Array:
    """Move copies of a system and show them to an observer.

    Parameters
    ----------
    system : Map or Diffusion
    state : ndarray, shape (n, state_dim)
        Where they start.
    n_steps : int
    observer : Observer
        It is called after the steps that it names, from 0 to n_steps.
    seed : int
    paths : ndarray of int, shape (n,), optional
        Path numbers of the copies; 0, 1, 2, ... by default.
    coefficients : callable, optional
        Step to the coefficients, numbers or arrays (n,); the system's by default. It is called for every step
        only if the system is scheduled.
    report : callable, optional
        ``report(work)`` gets the path-steps that were done since it was called before.
    dt : float, optional
        Length of a Diffusion's step, its lr by default.
    lengths : sequence of float, optional
        For each look the length of a Diffusion's steps before it, where these differ.
    path_steps : float, optional
        Steps of all paths of the job that these are a part of: whether steps are compiled depends on it.
    step : Step, optional
        What `build_step` made for this system before.

    Returns
    -------
    ndarray, shape (n, dim)
        The last points: of copies that the observer called done, those at that look.
    """
    if step is None:
        step = build_step(system, dt, len(state) * float(n_steps) if path_steps is None else path_steps)
    values = coefficients or coefficients_at(system, dt)
    at = observer.at
    own_lengths = [None] * len(at) if lengths is None else lengths
    looks: list[Look] = [
        (int(look), record, length) for record, (look, length) in enumerate(zip(at, own_lengths, strict=True))
    ]
    looks.append((n_steps, -1, None))
    paths = np.arange(len(state)) if paths is None else paths
    tile = step.tile or int(np.clip(TILE_VALUES // max(state.shape[1], 1), 256, MAX_TILE))
    final = np.empty((len(state), system.dim))
    for start in range(0, len(state), tile):
        part = slice(start, min(start + tile, len(state)))
        final[part] = _drive_tile(
            step, state[part], looks, observer, seed, paths, part, values, system.scheduled, report
        )
    return final


def advanced(system: System, state: Array, n_steps: int, **options: Any) -> Array:
    """The points after some steps, (n, dim), with nothing looked at on the way; options as of `drive`."""
    return drive(system, state, n_steps, Nothing(), **options)


def _drive_tile(
    step: Step,
    state: Array,
    looks: Sequence[Look],
    observer: Observer,
    seed: int,
    paths: npt.NDArray[np.int64],
    part: slice,
    coefficients: Callable[[int], Coefficients],
    scheduled: bool,
    report: Callable[[float], None] | None,
) -> Array:
    n_steps, first = looks[-1][0], int(part.start)
    copies: Copies = part
    final = np.empty((len(state), step.dim))

    def values_of(copies: Copies) -> Callable[[int], Coefficients]:
        if scheduled:
            return lambda j: _slice(coefficients(j), copies)
        fixed = _slice(coefficients(0), copies)
        return lambda j: fixed

    loaded, stream, values = step.load(state), step.stream(seed, paths[copies], n_steps), values_of(copies)
    n, done = len(state), 0
    for look, record, length in looks:
        while done < look:
            longest = max(1, step.report_work // n) if report is not None else n_steps
            count = min(longest, look - done)
            loaded = step.advance(loaded, stream, done, count, values, length)
            done += count
            if report is not None:
                report(n * count)
        if record < 0:
            continue
        points = step.points(loaded)
        gone = observer(record, copies, points)
        if gone is None or not gone.any():
            continue
        numbers = np.arange(first, first + len(state)) if isinstance(copies, slice) else copies
        final[numbers[gone] - first] = points[gone]
        copies, n = numbers[~gone], int((~gone).sum())
        if n == 0:
            return final
        loaded, stream, values = (
            step.load(step.states(loaded)[~gone]),
            step.stream(seed, paths[copies], n_steps),
            values_of(copies),
        )
    own = slice(None) if isinstance(copies, slice) else copies - first
    final[own] = step.points(loaded)
    return final


def _slice(coefficients: Coefficients, part: Copies) -> Coefficients:
    return {name: value[part] if np.ndim(value) else value for name, value in coefficients.items()}
