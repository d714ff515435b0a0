"""Others on the problems of benchmarks/basins.py: pynamicalsys, and a loop written by hand with numba.

Neither finds attractors by itself: they are given those that samdyn found, as at most `MOST` points of each
and the distance within which they capture. pynamicalsys knows holes of one size only, and takes one start a
call.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

import samdyn as sd

MOST = 24


@nb.njit
def himmelblau_sam(u: Any, p: Any) -> Any:
    """One step of normalised SAM; p = (lr, rho)."""
    x, y = u[0], u[1]
    a, b = x * x + y - 11, x + y * y - 7
    g, h = 4 * x * a + 2 * b, 2 * a + 4 * y * b
    size = np.sqrt(g * g + h * h)
    if size > 0:
        x, y = x + p[1] * g / size, y + p[1] * h / size
    a, b = x * x + y - 11, x + y * y - 7
    result = np.empty(2)
    result[0], result[1] = u[0] - p[0] * (4 * x * a + 2 * b), u[1] - p[0] * (2 * a + 4 * y * b)
    return result


@nb.njit
def henon(u: Any, p: Any) -> Any:
    """p = (a, b)."""
    result = np.empty(2)
    result[0], result[1] = 1 - p[0] * u[0] * u[0] + u[1], p[1] * u[0]
    return result


@nb.njit
def _first_hits(step: Any, starts: Any, p: Any, centers: Any, owners: Any, radii: Any, n_steps: int) -> Any:
    labels = np.zeros(len(starts), dtype=np.int64)
    for i in range(len(starts)):
        u = starts[i].copy()
        for _ in range(n_steps):
            u = step(u, p)
            for j in range(len(centers)):
                if (u[0] - centers[j, 0]) ** 2 + (u[1] - centers[j, 1]) ** 2 <= radii[j] ** 2:
                    labels[i] = owners[j]
                    break
            if labels[i]:
                break
    return labels


@nb.njit
def _bounded(step: Any, starts: Any, p: Any, far: float, n_steps: int) -> int:
    count = 0
    for i in range(len(starts)):
        u = starts[i].copy()
        inside = True
        for _ in range(n_steps):
            u = step(u, p)
            if not (abs(u[0]) <= far and abs(u[1]) <= far):
                inside = False
                break
        count += inside
    return count


def given_points(found: sd.basin.Basins) -> tuple[Any, Any, Any]:
    """Points of all attractors (n, 2), whose they are, and the radius of each."""
    centers, owners, radii = [], [], []
    for k, attractor in found.attractors.items():
        points = attractor.points
        chosen = [0]
        while len(chosen) < min(MOST, len(points)):  # each as far from the others as can be
            gap = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
            chosen.append(int(np.argmax(gap)))
        centers.append(points[chosen])
        owners += [k] * len(chosen)
        radii += [attractor.radius] * len(chosen)
    return np.concatenate(centers), np.array(owners), np.array(radii)


def numba_basins(found: sd.basin.Basins, starts: Any, p: Any, n_steps: int = 4000) -> Any:
    """Labels by a compiled loop over starts, each followed until it is near a point of an attractor."""
    return _first_hits(himmelblau_sam, starts, p, *given_points(found), n_steps)


def pynamicalsys_basins(found: sd.basin.Basins, starts: Any, p: Any, n_steps: int = 4000) -> Any:
    """Labels by `escape_analysis` into holes around the same points, of the size of the smallest radius."""
    from pynamicalsys import DiscreteDynamicalSystem

    system = DiscreteDynamicalSystem(mapping=himmelblau_sam, system_dimension=2, number_of_parameters=2)
    centers, owners, radii = given_points(found)
    holes = {"escape": "entering", "hole_size": float(np.sqrt(2) * radii.min())}
    names = np.append(owners, 0)  # -1: no hole was entered
    return names[[system.escape_analysis(u, n_steps, centers, p, **holes)[0] for u in starts]]


def numba_bounded(starts: Any, p: Any, far: float, n_steps: int) -> float:
    """Share of starts of the Henon map that stay within `far` for `n_steps` steps."""
    return float(_bounded(henon, starts, p, far, n_steps)) / len(starts)


def pynamicalsys_bounded(starts: Any, p: Any, far: float, n_steps: int) -> float:
    """The same by `escape_analysis` out of a box."""
    from pynamicalsys import DiscreteDynamicalSystem

    system = DiscreteDynamicalSystem(mapping=henon, system_dimension=2, number_of_parameters=2)
    box = np.array([[-far, far], [-far, far]])
    faces = [system.escape_analysis(u, n_steps, box, p, escape="exiting")[0] for u in starts]
    return float(np.mean(np.array(faces) < 0))
