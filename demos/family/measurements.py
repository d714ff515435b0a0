"""What is measured of a member: plain functions of its constructor, each made of public verbs.

A measurement returns numbers, or a text that says in a few words why there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
from members import BOWL, DOUBLE_WELL, HIMMELBLAU, LINE, SADDLE, TILTED_HAT, TWO_WELLS, Scene, xor_network

import samdyn as sd
from samdyn.basin.wilson import wilson_interval

Make = Callable[[float], sd.Rule]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """How much is spent on every measurement, and the seed of all of them."""

    n_starts: int = 100
    n_steps: int = 1500
    n_network_starts: int = 12
    n_network_steps: int = 1200
    n_searches: int = 32
    n_paths: int = 300
    t_max: float = 3000.0
    n_window: int = 40
    seed: int = 0


RESTS = "no limit"
"""Why `fixed_points` has no answer: the rule is no function of the point, see `Rule.without_limit`."""
NEAR = 0.3
"""Distance from a critical point within which an orbit is said to be there: well below the radii."""
STEEP = 0.005
"""Gradient above which a point of the grid of `hallucination_window` is not beside a critical one."""
STRIDE, LATE = 3, 150
"""Stored steps are an odd number apart, so that the mean of the last ones is the middle of a 2-cycle."""
LANDSCAPES = {
    "double well": (DOUBLE_WELL, 1.5),
    "tilted hat": (TILTED_HAT, 1.5),
    "Himmelblau": (HIMMELBLAU, 0.5),
    "two wells": (TWO_WELLS, 1.0),
}
"""Losses and radii at which fixed points are searched."""


def late_points(
    loss: sd.Landscape, rule: sd.Rule, lr: float, starts: Array, n_steps: int, seed: int
) -> Array:
    """The last stored points of orbits from many starts: shape (<= LATE, n, dim)."""
    n_steps = max(n_steps, STRIDE * (LATE + 1))
    n_steps -= n_steps % STRIDE
    with np.errstate(all="ignore"):
        path = sd.trajectory(sd.Map(loss, rule, lr=lr), starts, n_steps=n_steps, save_every=STRIDE, seed=seed)
    return np.asarray(path)[-LATE:, ..., : loss.dim]


def ends(loss: sd.Landscape, late: Array) -> dict[str, float]:
    """Shares of starts whose late mean is `NEAR` a minimum, near another critical point, or near none.

    The critical point is the root of the gradient that Levenberg and Marquardt's method finds from the mean.
    An orbit that hovers has its mean beside the critical point, by the curvature's change over the hover, so
    that the gradient at the mean tells less. "away" has diverged.
    """
    with np.errstate(all="ignore"):
        means = late.mean(axis=0)
        here = np.isfinite(means).all(axis=-1) & (np.abs(late).max(axis=(0, 2)) < 1e3)
    found = {"minimum": 0, "saddle or maximum": 0, "elsewhere": 0, "away": int((~here).sum())}
    for mean in means[here]:
        root = scipy.optimize.root(loss.gradient, mean, jac=loss.hessian, method="lm")
        if not np.linalg.norm(root.x - mean) < NEAR or np.linalg.norm(loss.gradient(root.x)) > 1e-6:
            found["elsewhere"] += 1
        elif np.linalg.eigvalsh(loss.hessian(root.x))[0] >= 0:
            found["minimum"] += 1
        else:
            found["saddle or maximum"] += 1
    return {name: count / len(means) for name, count in found.items()}


def fixed_points(make: Make, settings: Settings) -> dict[str, Any]:
    """Fixed points of the flow beside critical ones, of each landscape: how many, and how many attract."""
    found: dict[str, Any] = {}
    for name, (scene, rho) in LANDSCAPES.items():
        rule = make(rho)
        loss = scene.form(rule)
        if loss is None:
            found[name] = "no outputs"
        elif rule.without_flow:
            found[name] = RESTS
        else:
            search = sd.fixed_points(sd.Flow(loss, rule), loss.box, n_starts=settings.n_searches)
            points = search.hallucinated
            found[name] = {
                "all": len(points),
                "attracting": sum(point.stability in ("attracting", "trapping") for point in points),
                "stability not known": sum(point.stability in ("marginal", "jump") for point in points),
                "families": len(search.families),
            }
    return found


def critical_radius(make: Make, settings: Settings) -> float | str:
    """The least radius at which (x^2 - y^2)/2 holds starts near the origin, between 0.01 and 4.

    By bisection, which takes larger radii to hold too, over orbits at lr 0.2 that start 1e-3 radii away and
    have to be within two radii after 4000 steps; 0 stands for a saddle that attracts at 0.01 already.
    """
    angles = 0.3 + 2 * np.pi * np.arange(8) / 8
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def holds(rho: float) -> bool:
        rule = make(rho)
        loss = SADDLE.form(rule)
        assert loss is not None
        late = late_points(loss, rule, 0.2, 1e-3 * rho * circle, 4000, settings.seed)
        with np.errstate(all="ignore"):
            return bool((np.linalg.norm(late[-1], axis=-1) < 2 * rho).all())

    if holds(0.01):
        return 0.0
    if not holds(4.0):
        return "none"
    return bisect(lambda rho: not holds(rho), 0.01, 4.0, 0.01)


def bisect(below: Callable[[float], bool], low: float, high: float, relative: float) -> float:
    """Where a property that holds at `low` and not at `high` ends, by halving the interval of logarithms."""
    while high / low > 1 + relative:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if below(middle) else (low, middle)
    return float(np.sqrt(low * high))


LARGEST_RADIUS = 6.0


def hallucination_window(make: Make, settings: Settings) -> list[list[float]] | str:
    """Radii up to 6 at which the flow on the double well attracts to a point with a gradient above 0.005.

    The field of the flow is evaluated on a grid of 8001 points: it attracts where it turns from plus to
    minus, by a zero or by a jump. Windows that none of `n_window` radii lies in are missed. Ends are bisected
    to 1e-3; where a point merges with a critical one they
    are short by about 0.005, the gradient left.
    """
    if make(1.0).without_flow:
        return RESTS
    grid = np.linspace(-2.5, 2.5, 8001)[:, None] + 1e-7
    slope = np.abs(LINE.loss.gradient(grid)[:, 0])

    def attracts(rho: float) -> bool:
        rule = make(rho)
        loss = LINE.form(rule)
        assert loss is not None
        field = np.asarray(sd.Flow(loss, rule)(grid))[:, 0]
        turns = (field[:-1] > 0) & (field[1:] < 0)
        return bool((turns & (np.minimum(slope[:-1], slope[1:]) > STEEP)).any())

    radii = LARGEST_RADIUS * (1 + np.arange(settings.n_window)) / settings.n_window
    inside = [attracts(rho) for rho in radii]
    windows = []
    for i, now in enumerate(inside):
        if not now:
            continue
        if i == 0 or not inside[i - 1]:
            low = radii[i - 1] if i else 1e-3
            start = 0.0 if attracts(low) else bisect(lambda rho: not attracts(rho), low, radii[i], 1e-3)
            windows.append([start, LARGEST_RADIUS])
        if i + 1 < len(inside) and not inside[i + 1]:
            windows[-1][1] = bisect(attracts, radii[i], radii[i + 1], 1e-3)
    return windows


def cycle_amplitude(make: Make, settings: Settings) -> float:
    """Root mean square distance of late points from their mean on (4 x^2 + y^2)/2; lr 0.1, radius 0.1."""
    rule = make(0.1)
    loss = BOWL.form(rule)
    assert loss is not None
    late = late_points(loss, rule, 0.1, np.array([[1.0, 0.7]]), 4000, settings.seed)[:, 0]
    return float(np.sqrt(((late - late.mean(axis=0)) ** 2).sum(axis=1).mean()))


def largest_lr(make: Make, settings: Settings) -> float | str:
    """The largest learning rate below 4 at which orbits on that quadratic stay bounded, at radius 0.5."""
    rule = make(0.5)
    loss = BOWL.form(rule)
    assert loss is not None

    def bounded(lr: float) -> bool:
        late = late_points(loss, rule, lr, np.array([[10.0, 7.0]]), 2000, settings.seed)
        return bool(np.isfinite(late).all() and np.abs(late).max() < 1e4)

    if bounded(4.0):
        return "none below 4"
    return bisect(bounded, 1e-3, 4.0, 0.005) if bounded(1e-3) else "below 0.001"


def escape(make: Make, settings: Settings, reference: Any = None) -> Any:
    """Exit times of the map over the barrier of the double well, and their ratio to those of SGD.

    Without `reference`, the exit times of SGD, the ratio is 1. Members that see samples get batches of four,
    whose gradients vary as much as those of the other members, and are compared with SGD on such batches.
    """
    rule = make(0.1)
    loss = DOUBLE_WELL.form(rule)
    assert loss is not None
    of_samples = "samples" in rule.needs
    noise = (
        sd.Minibatch(4, sampling="with replacement")
        if of_samples
        else sd.GaussianNoise(std=1.2, probe="same")
    )

    def leave(rule: sd.Rule, seed: int) -> Any:
        return sd.exit_times(
            sd.Map(loss, rule, lr=0.1, noise=noise),
            [-1.0, 0.0],
            sd.HalfSpace([1.0, 0.0], 0.0),
            settings.n_paths,
            t_max=settings.t_max,
            seed=settings.seed + seed,
        )

    times = leave(rule, 1 if reference is None else 2)
    if of_samples:
        reference = leave(sd.GD(), 1)
    ratio = (1.0, 1.0, 1.0) if reference is None else sd.escape.ratio_of_means(times, reference)
    return times, {
        "ratio": [float(value) if np.isfinite(value) else None for value in ratio],
        "steps": float(times.mean) if np.isfinite(times.mean) else None,
        "left": float(times.exited.mean()),
    }


def ends_on(scene: Scene, rho: float, lr: float, make: Make, settings: Settings) -> Any:
    """Where starts all over a box end."""
    rule = make(rho)
    loss = scene.form(rule)
    if loss is None:
        return "no outputs"
    box = np.asarray(scene.loss.box)
    starts = np.random.default_rng(settings.seed).uniform(box[:, 0], box[:, 1], (settings.n_starts, len(box)))
    late = late_points(loss, rule, lr, starts, settings.n_steps, settings.seed)
    return late, ends(scene.loss, late)


def flattest(make: Make, settings: Settings) -> Any:
    """The share of starts on the two Gaussian wells that end at the flat minimum, with a 95 % interval."""
    found = ends_on(TWO_WELLS, 1.0, 0.05, make, settings)
    if isinstance(found, str):
        return found
    with np.errstate(all="ignore"):
        mean = found[0].mean(axis=0)[:, 0]
    n = len(mean)
    reached = int((np.abs(mean - TWO_WELLS.loss.critical_points[2].x[0]) < 0.3).sum())
    low, high = wilson_interval(reached, n)
    return {"share": reached / n, "interval": [float(low), float(high)], "ends": found[1]}


def ends_on_network(make: Make, settings: Settings) -> dict[str, float]:
    """Where starts near the origin of the XOR network end, at radius 1 and lr 0.1."""
    loss = xor_network()
    rule = make(1.0)
    starts = np.random.default_rng(settings.seed).normal(size=(settings.n_network_starts, loss.dim))
    late = late_points(loss, rule, 0.1, starts, settings.n_network_steps, settings.seed)
    return ends(loss, late)
