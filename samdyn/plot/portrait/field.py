"""What a phase portrait draws, as numbers: the field and the loss on a grid, and paths through them."""

from __future__ import annotations

from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.dynamics.step_length import default_dt
from samdyn.dynamics.trajectories import trajectory
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.systems.system import System

PATH_LENGTHS = 5.0  # default duration of a path: so many crossings of the box at a slow (10 % quantile) speed
MOST_POINTS = 4000  # stored along a computed path of a Diffusion
N_DOUBLINGS, MORE_DOUBLINGS = 10, 8  # stages of a path of a Flow, and those after t_max if it is not given
STAGE_POINTS = 64  # stored in a stage
AT_REST = 1e-2  # sides of the box still to go, below which a path counts as arrived
FAR = 1e3  # sides of the box from its middle, beyond which a path counts as diverged


def field_of(system: System, x: Array) -> Array:
    """The field that is drawn, at points (..., dim)."""
    with np.errstate(all="ignore"):
        if isinstance(system, Map):
            return np.asarray((system(x) - x) / system.coefficients().get("lr", 1.0))
        return system.drift(x) if isinstance(system, Diffusion) else system.evaluate(x)


def prime_from(n: int) -> int:
    """The first prime that is at least n."""
    while any(n % k == 0 for k in range(2, int(n**0.5) + 1)):
        n += 1
    return n


class Grid:
    """The field and the loss on the nodes of a plane, in arrays of shape (rows, columns)."""

    def __init__(self, system: System, region: Array, plane: list[int], base: Array, resolution: int) -> None:
        self.system, self.region, self.plane, self.base = system, region, plane, base
        self.sides = region[plane]
        cells = prime_from(resolution)
        self.first, self.second = (np.linspace(low, high, cells + 1) for low, high in self.sides)
        nodes = np.broadcast_to(base, (cells + 1, cells + 1, len(base))).copy()
        nodes[..., plane[0]], nodes[..., plane[1]] = np.meshgrid(self.first, self.second)
        self.field = field_of(system, nodes)[..., plane]
        self.loss = None if system.landscape is None else system.landscape.value(nodes)


def computed_paths(system: System, starts: Array, grid: Grid, how: dict[str, Any]) -> list[Array]:
    """Paths from starts (n, dim), as one array (n_steps, n, dim) in a list, or an empty list."""
    if len(starts) == 0:
        return []
    unlimited = "t_max" in how and how["t_max"] is None
    if unlimited:
        speed = np.linalg.norm(grid.field, axis=-1)
        moving = speed[np.isfinite(speed) & (speed > 0)]
        slow = np.quantile(moving, 0.1) if len(moving) else 1.0
        how = {**how, "t_max": float(PATH_LENGTHS * np.linalg.norm(np.ptp(grid.sides, axis=1)) / slow)}
    if isinstance(system, Diffusion):
        step = min(default_dt(system, starts), how["t_max"]) if how["dt"] is None else how["dt"]
        how = {**how, "dt": step, "save_every": max(1, int(how["t_max"] / step / MOST_POINTS))}
    if isinstance(system, Flow) and how["dt"] is None:
        return [_flow_paths(system, starts, how["t_max"], np.ptp(grid.region, axis=1), extend=unlimited)]
    return [trajectory(system, starts, **how).x]


def _flow_paths(system: Flow, starts: Array, t_max: float, sides: Array, *, extend: bool) -> Array:
    """Paths of a flow stored in stages, each as long as all before it.

    A path down a loss is fast at first and slow at last: equal times would store the fast part as a polygon.
    With `extend`, stages go on beyond t_max while a path, at its present speed, would still move by a
    hundredth of a side in the time that is left.
    """
    time, stage = t_max / 2.0**N_DOUBLINGS, t_max / 2.0**N_DOUBLINGS
    path = trajectory(system, starts, t_max=stage, dt=stage / STAGE_POINTS).x
    last = t_max * (2.0**MORE_DOUBLINGS if extend else 1.0)
    while time < last * (1 - 1e-12):
        going = np.isfinite(path[-1]).all(axis=-1)
        if time >= t_max * (1 - 1e-12):
            with np.errstate(all="ignore"):
                ahead = np.abs(system.evaluate(path[-1])) * (last - time) / sides
            if not (going & (ahead > AT_REST).any(axis=-1)).any():
                break
        piece = np.full((STAGE_POINTS, *path.shape[1:]), np.nan)
        if going.any():
            piece[:, going] = trajectory(system, path[-1][going], t_max=time, dt=time / STAGE_POINTS)[1:]
        path = np.concatenate([path, piece])
        time *= 2
    return path


def single_paths(paths: list[Array], plane: list[int], sides: Array) -> tuple[list[Array], int]:
    """Every path on its own, (n_steps, 2), cut where it diverges; and how many do."""
    single = [one for path in paths for one in np.moveaxis(path[..., plane].reshape(len(path), -1, 2), 1, 0)]
    far = FAR * np.ptp(sides, axis=1)
    lost = [~(np.abs(one - sides.mean(axis=1)) < far).all(axis=1) for one in single]
    cut = [one[: int(np.argmax(out))] if out.any() else one for one, out in zip(single, lost, strict=True)]
    return cut, sum(bool(out.any()) for out in lost)
