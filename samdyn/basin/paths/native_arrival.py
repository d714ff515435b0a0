"""Paths until they arrive, as a compiled loop: the steps and the test of a look printed together.

What a look asks is the same as in `samdyn.basin.paths.pieces`: whether a path is within the radius of a
target (`samdyn.basin.paths.arrival.Proximity`), and whether it is lost. Results agree with it to rounding.

A target of a few points is compared point by point. A larger one has a grid of `SIDE` cells along a side of
the box about it; a cell lists the points that may be within the radius of a place in it, the nearest to its
middle first. A point that covers the whole cell is listed alone. Grids are kept up to `MOST_COORDINATES`
coordinates; above, and where a target is the polygon through a closed orbit, looks are made by numpy.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from samdyn.arguments.checks import Array
from samdyn.basin.paths.arrival import FEW, Target
from samdyn.dynamics.backends.devices import Backend, Loop
from samdyn.dynamics.backends.native_program import compiled_or_none
from samdyn.dynamics.backends.native_step import DRAW_TYPES, PATH_TYPES, NativeStep, step_source
from samdyn.dynamics.contract import Coefficients
from samdyn.dynamics.step import Stepper

MOST_COORDINATES = 3
SIDE = {1: 4096, 2: 64, 3: 16}
ROUNDING = 1e-9  # share of a length that rounding may change, and more
LOST, UNDEFINED = -2, -4  # the labels DIVERGED and NOT_A_NUMBER of samdyn.basin.paths.pieces
"""What the loop writes for a path that is lost."""


@dataclass(frozen=True)
class Tables:
    """Targets as the loop takes them (`Targets` in `arrive.hpp`).

    Attributes
    ----------
    kinds : ndarray of int64, shape (n_targets, 5)
    sizes : ndarray, shape (n_targets, 1 + 3 state_dim)
    points : ndarray, shape (n_points, state_dim)
    cells : ndarray of int64
    """

    kinds: npt.NDArray[np.int64]
    sizes: Array
    points: Array
    cells: npt.NDArray[np.int64]


def tables_of(targets: tuple[Target, ...], state_dim: int) -> Tables | None:
    """The tables of targets; None where the loop cannot look at them.

    Examples
    --------
    >>> tables_of((Target(np.array([[0.0, 1.0]]), 0.1, 1),), 2).kinds
    array([[1, 0, 0, 1, 0]])
    """
    large = [len(target.states) > FEW for target in targets]
    if any(target.closed for target in targets) or (any(large) and state_dim > MOST_COORDINATES):
        return None
    kinds = np.zeros((len(targets), 5), dtype=np.int64)
    sizes = np.zeros((len(targets), 1 + 3 * state_dim))
    points, cells = [np.empty((0, state_dim))], [np.empty(0, dtype=np.int64)]
    n_points = n_cells = 0
    for k, target in enumerate(targets):
        low, high = target.states.min(axis=0) - target.radius, target.states.max(axis=0) + target.radius
        # a little wider than the reach of the points, for rounding
        slack = ROUNDING * (high - low)
        low, high, own = low - slack, high + slack, target.states
        kinds[k] = target.label, large[k], n_points, len(own), n_cells
        sizes[k] = [target.radius, *low, *high, *np.zeros(state_dim)]
        if large[k]:
            own, starts = _listed(target, low, high)
            sizes[k, 1 + 2 * state_dim :] = SIDE[state_dim] / (high - low)
            cells.append(starts + n_points)
            n_cells += len(starts)
        points.append(own)
        n_points += len(own)
    return Tables(kinds, sizes, np.concatenate(points), np.concatenate(cells))


def _listed(target: Target, low: Array, high: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    """The points of the cells of a grid, one cell after the other, and where the points of each begin."""
    dim, side = len(low), SIDE[len(low)]
    width = (high - low) / side
    axes = [a + w * (np.arange(side) + 0.5) for a, w in zip(low, width, strict=True)]
    middles = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)
    corner = float(np.linalg.norm(width)) / 2 * (1 + ROUNDING)  # from the middle of a cell
    tree = cKDTree(target.states)
    distance, nearest = tree.query(middles)
    counts, lists = np.zeros(len(middles), dtype=np.int64), [np.empty(0, dtype=np.int64)] * len(middles)
    covered = distance + corner <= target.radius * (1 - ROUNDING)
    for i in np.flatnonzero(covered):
        lists[i] = nearest[i : i + 1]
    some = np.flatnonzero(~covered & (distance - corner <= target.radius * (1 + ROUNDING)))
    # what is nearest to a place in the cell is at most a diagonal farther than what is nearest to its middle
    reach = np.minimum(target.radius * (1 + ROUNDING) + corner, distance[some] + 2 * corner)
    for i, near in zip(some, tree.query_ball_point(middles[some], reach), strict=True):
        near = np.array(near, dtype=np.int64)
        lists[i] = near[np.argsort(np.linalg.norm(target.states[near] - middles[i], axis=1), kind="stable")]
    counts[:] = [len(one) for one in lists]
    return target.states[np.concatenate(lists)], np.concatenate([[0], np.cumsum(counts)])


class CompiledLooks:
    """The loop for a system and for where its paths are lost.

    Parameters
    ----------
    step : NativeStep
    scale : ndarray, shape (state_dim,)
        Factors of the coordinates in distances.
    middle, reach : ndarray, shape (dim,)
        A path farther than `reach` from `middle` along a coordinate is lost.

    Raises
    ------
    CompilationError
    """

    def __init__(self, step: NativeStep, scale: Array, middle: Array, reach: Array) -> None:
        self.step, self.scale = step, np.array(scale, dtype=np.float64)
        self.bounds = np.concatenate([middle, reach]).astype(np.float64)
        own = (False,) * (len(step.stepper.names) + 1)
        self.function = _compiled(step.stepper, own, step.scheduled, step.dim, step.backend)

    def __call__(
        self,
        state: Array,
        tables: Tables,
        seed: int,
        paths: npt.NDArray[np.int64],
        step: int,
        end: int,
        every: int,
        values: Callable[[int], Coefficients],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
        """Paths from a step on, looked at every few steps.

        Parameters
        ----------
        state : ndarray, shape (state_dim, n)
        tables : Tables
        seed : int
        paths : ndarray of int64, shape (n,)
        step, end : int
            Where they are, and where they are left.
        every : int
            Steps between looks.
        values : callable
            Step to the coefficients.

        Returns
        -------
        label : ndarray of int64, shape (n,)
            0 of those under way, `LOST` and `UNDEFINED` of those that are lost.
        ended : ndarray of int64, shape (n,)
            The step of the look at which a path ended; -1 of those under way.
        state : ndarray, shape (state_dim, n)
            Of those under way.
        """
        native, n = self.step, state.shape[1]
        _, columns, strides, _held = native.prepared(step, end - step, values, native.dt, n)
        put, get = native.put, native.get
        result = put(np.array(state, dtype=np.float64, order="C"))
        numbers = put(np.ascontiguousarray(paths, dtype=np.int64))
        label, ended = put(np.zeros(n, dtype=np.int64)), put(np.full(n, -1, dtype=np.int64))
        given = [put(array) for array in (tables.kinds, tables.sizes, tables.points, tables.cells)]
        self.function(
            n, numbers, tuple(result), columns, strides, step, end, every, put(self.scale), put(self.bounds),
            len(tables.kinds), *given, label, ended, *native.key_of(seed), *native.arguments,
        )  # fmt: skip
        return get(label), get(ended), get(result)


def compiled_looks(
    step: NativeStep | None, scale: Array, middle: Array, reach: Array
) -> CompiledLooks | None:
    """The loop for compiled steps, if there are any and the compiler does not fail."""
    if step is None:
        return None
    return compiled_or_none(lambda: CompiledLooks(step, scale, middle, reach))


@functools.lru_cache(maxsize=32)
def _compiled(stepper: Stepper, own: tuple[bool, ...], scheduled: bool, dim: int, backend: Backend) -> Loop:
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    types = [
        *PATH_TYPES, integer, integer, integer, pointer, pointer, integer, *(pointer,) * 6, *DRAW_TYPES,
    ]  # fmt: skip
    return backend.loop(looks_source(stepper, own, scheduled, dim, backend.one_lane), "arrive", types)


def looks_source(stepper: Stepper, own: tuple[bool, ...], scheduled: bool, dim: int, one_lane: bool) -> str:
    """The source of a library with the function `arrive`; arguments as of `step_source`."""
    numbers = {
        "POINT": dim,
        "SIDE": SIDE.get(stepper.state_dim, 1),
        "DIVERGED": LOST,
        "NOT_A_NUMBER": UNDEFINED,
    }
    switches = [f"constexpr int {name} = {number};" for name, number in numbers.items()]
    return step_source(stepper, own, scheduled, one_lane, switches, "arrive.hpp")
