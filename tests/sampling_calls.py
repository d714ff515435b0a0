"""Calls of the verbs that sample or iterate, over maps and diffusions, noises, schedules and ways to run.

The name of a call begins with its group: the file in tests/golden that holds its result. Every call takes
below two seconds. None follows a chaotic orbit for long, so that the results are those of any machine to
rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import samdyn as sd

Calls = dict[str, Callable[[], Any]]


def sampling() -> Calls:
    """All of them by name."""
    return {
        **_exits(),
        **_sweeps(),
        **_rare(),
        **_spread(),
        **_orbits(),
        **_basins(),
        **_rates(),
        **_tangents(),
    }


@functools.cache
def well() -> sd.Landscape:
    return sd.landscapes.double_well()


@functools.cache
def plane() -> sd.Landscape:
    return sd.landscapes.coupled_double_well()


@functools.cache
def sums() -> sd.FiniteSum:
    """Least squares: six samples in two dimensions."""
    A = [[1.0, 0.0], [0.5, 1.0], [-0.3, 0.4], [1.0, 1.0], [0.2, -0.7], [-1.0, 0.3]]
    return sd.FiniteSum.least_squares(A, [1.0, 0.0, 0.5, -1.0, 0.3, 0.2])


@functools.cache
def quartic_sums() -> sd.FiniteSum:
    """A sum whose components are no quadratics."""
    return sd.FiniteSum(
        lambda w, a: ((w @ a) ** 2 - 1) ** 2 / 4, np.array([[1.0, 0.2], [0.8, -0.3], [1.1, 0.5]]), dim=2
    )


def _sde(rule: sd.Rule, std: float = 1.5, probe: str = "full", lr: Any = 0.1) -> sd.Diffusion:
    return sd.Diffusion(well(), rule, lr=lr, noise=sd.GaussianNoise(std, probe=probe))


def _plane(rule: sd.Rule, noise: Any = None, lr: float = 0.1) -> sd.Diffusion:
    return sd.Diffusion(plane(), rule, lr=lr, noise=noise or sd.GaussianNoise(1.5))


def _map(rule: sd.Rule, momentum: float = 0.0, std: float = 1.5, lr: Any = 0.1) -> sd.Map:
    return sd.Map(plane(), rule, lr=lr, momentum=momentum, noise=sd.GaussianNoise(std))


def _maier_stein() -> sd.Diffusion:
    return sd.Diffusion.from_function(
        lambda w: _stack(w[0] - w[0] ** 3 - w[0] * w[1] ** 2, -(1 + w[0] ** 2) * w[1]),
        lambda w: _stack(_stack(0.4 + 0 * w[0], 0 * w[0]), _stack(0 * w[0], 0.3 + 0.1 * w[0])),
        dim=2,
    )


def _stack(*parts: Any) -> Any:
    import torch

    return torch.stack(list(parts))


def _exits() -> Calls:
    half, side = sd.HalfSpace([1.0], 0.0), sd.HalfSpace([1.0, 0.0], 0.0)
    decay = sd.schedules.PowerDecay(0.3, 0.5)

    def line(system: Any, **options: Any) -> Any:
        return sd.exit_times(system, [-1.0], half, 120, **{"t_max": 60.0, "compile": False, **options})

    def flat(system: Any, **options: Any) -> Any:
        start = np.array([-1.0, 0.0])
        return sd.exit_times(system, start, side, 120, **{"t_max": 60.0, "compile": False, **options})

    def on_threads() -> Any:
        with ThreadPoolExecutor(2) as pool:
            return line(_sde(sd.SAM(0.2)), compile=True, executor=pool)

    curved = sd.CurvatureNoise(batch_size=0.05)
    return {
        "exits: SGD": lambda: line(_sde(sd.GD())),
        "exits: SGD, compiled": lambda: line(_sde(sd.GD()), compile=True),
        "exits: SGD, whole steps": lambda: line(_sde(sd.GD()), correction=None),
        "exits: SGD, half a step": lambda: line(_sde(sd.GD()), dt=0.05, seed=3),
        "exits: USAM": lambda: line(_sde(sd.USAM(0.2))),
        "exits: SAM, compiled": lambda: line(_sde(sd.SAM(0.2)), compile=True),
        "exits: SAM, two workers": lambda: line(_sde(sd.SAM(0.2)), compile=True, workers=2),
        "exits: SAM, threads": on_threads,
        "exits: USAM, probe same": lambda: line(_sde(sd.USAM(0.2), probe="same")),
        "exits: unified SAM": lambda: line(_sde(sd.UnifiedSAM(0.2, 0.5))),
        "exits: USAM, probe independent": lambda: line(_sde(sd.USAM(0.2), probe="independent")),
        "exits: decaying radius": lambda: line(_sde(sd.SAM(decay))),
        "exits: decaying radius, compiled": lambda: line(_sde(sd.SAM(decay)), compile=True),
        "exits: step size after a schedule": lambda: line(
            _sde(sd.GD(), lr=sd.schedules.StepDecay(0.1, 0.5, (50,)))
        ),
        "exits: plane, SAM": lambda: flat(_plane(sd.SAM(0.2)), t_max=20.0),
        "exits: plane, SAM, compiled": lambda: flat(_plane(sd.SAM(0.2)), compile=True),
        "exits: plane, curvature noise": lambda: flat(_plane(sd.GD(), curved), t_max=10.0),
        "exits: plane, correlated noise": lambda: flat(
            _plane(sd.USAM(0.1), sd.GaussianNoise(cov=[[2.0, 0.5], [0.5, 1.0]])), compile=True
        ),
        "exits: plane, a ball without its middle": lambda: sd.exit_times(
            _plane(sd.GD()),
            [-1.0, 0.0],
            sd.Ball([-1.0, 0.0], 1.2) & ~sd.Ball([0.0, 0.5], 0.3),
            120,
            t_max=20.0,
            compile=False,
        ),
        "exits: plane, an ellipse": lambda: sd.exit_times(
            _plane(sd.GD()),
            [-1.0, 0.0],
            sd.Region(lambda w: ((w[0] + 1) ** 2 + 4 * w[1] ** 2) ** 0.5 - 1, dim=2),
            120,
            t_max=20.0,
            compile=False,
        ),
        "exits: Maier-Stein": lambda: sd.exit_times(
            _maier_stein(), [-1.0, 0.0], side, 100, t_max=20.0, dt=0.05
        ),
        "exits: map": lambda: flat(_map(sd.SAM(0.2), std=4.0), t_max=300),
        "exits: map, compiled": lambda: flat(_map(sd.SAM(0.2), std=4.0), t_max=300, compile=True),
        "exits: map with momentum": lambda: flat(_map(sd.USAM(0.1), 0.8), t_max=300),
        "exits: map with momentum, compiled": lambda: flat(_map(sd.USAM(0.1), 0.8), t_max=300, compile=True),
        "exits: map without noise": lambda: sd.exit_times(
            sd.Map(sd.landscapes.saddle(), sd.SAM(0.1), lr=0.1),
            [[0.1, 0.2], [0.5, 0.1]],
            sd.Ball([0.0, 0.0], 1.0),
            t_max=500,
            compile=False,
        ),
    }


def _sweeps() -> Calls:
    half = sd.HalfSpace([1.0], 0.0)

    def sweep(rule: sd.Rule, parameters: dict[str, Any], **options: Any) -> Any:
        arguments = {"t_max": 40.0, "compile": False, **options}
        return sd.exit_time_sweep(_sde(rule), [-1.0], half, parameters, 100, **arguments)

    return {
        "sweeps: radius": lambda: sweep(sd.SAM(0.1), {"rho": [0.0, 0.1, 0.3]}),
        "sweeps: radius, compiled": lambda: sweep(sd.SAM(0.1), {"rho": [0.0, 0.1, 0.3]}, compile=True),
        "sweeps: radius and noise": lambda: sweep(
            sd.USAM(0.1), {"rho": [0.0, 0.2], "std": [1.2, 1.6]}, compile=True
        ),
        "sweeps: learning rate": lambda: sweep(sd.SAM(0.1), {"lr": [0.05, 0.1]}),
        "sweeps: two workers": lambda: sweep(sd.SAM(0.1), {"rho": [0.1, 0.3]}, compile=True, workers=2),
    }


def _rare() -> Calls:
    a, b, half = sd.Ball([-1.0], 0.3), sd.Ball([1.0], 0.3), sd.HalfSpace([1.0], 0.0)
    few: dict[str, Any] = {"n_clones": 20, "n_repeats": 6, "levels": 20}
    disc = sd.Ball([-1.0, 0.0], 0.3)
    return {
        "rare: committor": lambda: sd.rare_committor(_sde(sd.GD(), 1.0), [-0.6], a, b, dt=0.1, **few),
        "rare: committor, SAM": lambda: sd.rare_committor(
            _sde(sd.SAM(0.2), 1.0), [-0.6], a, b, dt=0.1, seed=1, **few
        ),
        "rare: committor, plane": lambda: sd.rare_committor(
            _plane(sd.USAM(0.1)), [-0.6, 0.0], disc, sd.Ball([1.0, 0.0], 0.3), **few
        ),
        "rare: exit time": lambda: sd.rare_exit_time(
            _sde(sd.GD(), 1.0), [-1.0], half, a, margin=0.2, dt=0.1, **few
        ),
        "rare: exit time, whole steps": lambda: sd.rare_exit_time(
            _sde(sd.SAM(0.1), 1.0), [-1.0], half, a, margin=0.2, dt=0.1, correction=None, **few
        ),
        "rare: exit time of a map": lambda: sd.rare_exit_time(
            _map(sd.GD(), std=1.5), [-1.0, 0.0], sd.HalfSpace([1.0, 0.0], 0.0), disc, margin=0.2, **few
        ),
        "rare: exit time with momentum": lambda: sd.rare_exit_time(
            _map(sd.GD(), 0.5, std=1.5), [-1.0, 0.0], sd.HalfSpace([1.0, 0.0], 0.0), disc, margin=0.2, **few
        ),
    }


def _spread() -> Calls:
    def of(system: Any, x0: Any, t: Any, **options: Any) -> Any:
        return sd.mean_squared_displacement(system, x0, t, **{"n_paths": 300, **options})

    saddle = sd.landscapes.saddle()
    curved = sd.Map(saddle, sd.USAM(0.2), lr=0.05, noise=sd.CurvatureNoise(4, probe="same"))
    return {
        "spread: SGD": lambda: of(_sde(sd.GD()), [0.0], [0.5, 1.0, 3.0]),
        "spread: SAM": lambda: of(_sde(sd.SAM(0.2)), [-1.0], [0.5, 1.0, 3.0], seed=2),
        "spread: plane, one direction": lambda: of(
            _plane(sd.USAM(0.1)), [0.0, 0.0], [1.0], direction=[1.0, 1.0]
        ),
        "spread: map": lambda: of(curved, [0.0, 0.0], [1, 10, 40]),
        "spread: map with momentum": lambda: of(_map(sd.USAM(0.1), 0.8), [-1.0, 0.0], [1, 10, 40]),
        "spread: decaying radius": lambda: of(
            _sde(sd.USAM(sd.schedules.PowerDecay(0.3, 0.5))), [0.0], [0.5, 2.0]
        ),
        "spread: short steps": lambda: of(_sde(sd.GD()), [0.0], [0.3, 1.0], dt=0.03, n_paths=100),
    }


def _orbits() -> Calls:
    start, starts = [0.5, 0.2], [[0.5, 0.2], [-0.4, 0.1]]

    def points(system: Any, x0: Any, *arguments: Any, **options: Any) -> Any:
        return np.asarray(sd.trajectory(system, x0, *arguments, **options))

    def batch(noise: sd.Minibatch, rule: sd.Rule, momentum: float = 0.0, loss: Any = None) -> sd.Map:
        return sd.Map(loss or sums(), rule, lr=0.1, momentum=momentum, noise=noise)

    schedule = sd.schedules.CosineDecay(0.2, 0.0, 50)
    smooth = sd.Map(plane(), sd.USAM(0.1), lr=0.1)
    return {
        "orbits: map": lambda: points(smooth, start, 60),
        "orbits: map, every third step": lambda: points(smooth, starts, 60, save_every=3),
        "orbits: map with noise": lambda: points(_map(sd.SAM(0.2)), starts, 60),
        "orbits: map with momentum and noise": lambda: points(_map(sd.USAM(0.1), 0.9), starts, 60, seed=4),
        "orbits: map with a schedule": lambda: points(_map(sd.SAM(schedule), lr=schedule), start, 60),
        "orbits: map from a function": lambda: points(
            sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 3.2}), [0.3], 60
        ),
        "orbits: minibatch, same": lambda: points(batch(sd.Minibatch(2), sd.USAM(0.1)), starts, 40),
        "orbits: minibatch, independent": lambda: points(
            batch(sd.Minibatch(2, probe="independent"), sd.SAM(0.1)), starts, 40
        ),
        "orbits: minibatch, full": lambda: points(
            batch(sd.Minibatch(1, probe="full"), sd.SAM(0.1)), start, 40
        ),
        "orbits: minibatch with replacement": lambda: points(
            batch(sd.Minibatch(3, sampling="with replacement"), sd.GD(), 0.5), starts, 40, seed=1
        ),
        "orbits: minibatch of a nonlinear sum": lambda: points(
            batch(sd.Minibatch(2), sd.SAM(0.1), loss=quartic_sums()), starts, 40
        ),
        "orbits: diffusion": lambda: points(_plane(sd.SAM(0.2)), starts, t_max=4.0),
        "orbits: diffusion, every fifth step": lambda: points(
            _plane(sd.GD()), starts, t_max=4.0, dt=0.03, save_every=5
        ),
        "orbits: diffusion, curvature noise": lambda: points(
            _plane(sd.USAM(0.1), sd.CurvatureNoise(0.5, probe="independent")), starts, t_max=4.0
        ),
        "orbits: diffusion from functions": lambda: points(_maier_stein(), starts, t_max=2.0, dt=0.05),
        "orbits: flow": lambda: points(sd.Flow(plane(), sd.USAM(0.1)), starts, t_max=3.0, dt=0.1),
        "orbits: flow that jumps": lambda: points(sd.Flow(plane(), sd.SAM(0.2)), start, t_max=3.0, dt=0.1),
        "orbits: diagram": lambda: sd.orbit_diagram(
            sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 2.8}, box=[(0.0, 1.0)]),
            parameters={"r": [2.8, 3.1, 3.3, 3.5]},
            n_transient=300,
            n_keep=16,
        ),
        "orbits: diagram of SAM": lambda: sd.orbit_diagram(
            sd.Map(well(), sd.SAM(0.1), lr=0.5),
            [0.7],
            parameters={"rho": [0.05, 0.1, 0.2]},
            n_transient=200,
            n_keep=8,
        ),
    }


def _basins() -> Calls:
    himmelblau = sd.landscapes.himmelblau()
    gd, sam = sd.Map(himmelblau, sd.GD(), lr=0.01), sd.Map(plane(), sd.SAM(0.2), lr=0.1)
    square = [(-2.0, 2.0), (-1.5, 1.5)]
    small: dict[str, Any] = {"resolution": 16, "n_starts": 16}

    def on_threads() -> Any:
        with ThreadPoolExecutor(2) as pool:
            return sd.basins(gd, executor=pool, **small)

    return {
        "basins: GD": lambda: sd.basins(gd, **small),
        "basins: SAM": lambda: sd.basins(sam, square, resolution=8, n_starts=8),
        "basins: threads": on_threads,
        "basins: momentum": lambda: sd.basins(
            sd.Map(plane(), sd.GD(), lr=0.1, momentum=0.5), square, **small
        ),
        "basins: flow": lambda: sd.basins(sd.Flow(plane(), sd.USAM(0.1)), square, resolution=8, n_starts=8),
        "basins: flow that jumps": lambda: sd.basins(sd.Flow(well(), sd.SAM(0.2)), resolution=4, n_starts=2),
        "basins: noise": lambda: sd.basins(
            _map(sd.GD(), std=0.8), square, resolution=8, n_starts=16, n_paths=4, max_steps=300
        ),
        "basins: diffusion": lambda: sd.basins(
            _plane(sd.GD(), sd.GaussianNoise(0.8)),
            square,
            resolution=8,
            n_starts=16,
            n_paths=4,
            max_steps=300,
        ),
        "basins: fractions": lambda: sd.basin_fractions(gd, n_paths=100, n_starts=16),
        "basins: fractions of SAM": lambda: sd.basin_fractions(sam, square, n_paths=40, n_starts=8, seed=1),
        "basins: fractions over radii": lambda: sd.basin_continuation(
            sd.Map(well(), sd.SAM(0.1), lr=0.1), [(-2, 2)], parameters={"rho": [0.0, 0.2]}, n_paths=50
        ),
    }


def _rates() -> Calls:
    def of(system: Any, **options: Any) -> Any:
        return sd.convergence(system, [0.5, -0.5], 80, **{"n_paths": 8, **options})

    def batch(noise: sd.Minibatch, rule: sd.Rule = sd.USAM(0.1), momentum: float = 0.0) -> sd.Map:  # noqa: B008
        return sd.Map(sums(), rule, lr=0.1, momentum=momentum, noise=noise)

    bowl = sd.landscapes.quadratic([[1.0, 0.0], [0.0, 0.3]])
    return {
        "rates: minibatch": lambda: of(batch(sd.Minibatch(2))),
        "rates: minibatch, every sample": lambda: of(batch(sd.Minibatch(6), sd.SAM(0.1))),
        "rates: minibatch with momentum": lambda: of(batch(sd.Minibatch(1), sd.SAM(0.1), 0.5), seed=2),
        "rates: minibatch, probe full": lambda: of(batch(sd.Minibatch(2, probe="full"))),
        "rates: sweep of the radius": lambda: of(
            batch(sd.Minibatch(2)), parameters={"rho": [0.05, 0.1, 0.2]}
        ),
        "rates: nonlinear sum": lambda: of(
            sd.Map(quartic_sums(), sd.SAM(0.05), lr=0.05, noise=sd.Minibatch(1)), minimum=[[1.0, 0.0]]
        ),
        "rates: diffusion": lambda: of(sd.Diffusion(bowl, sd.SAM(0.1), lr=0.1, noise=sd.GaussianNoise(0.3))),
        "rates: map with noise": lambda: of(sd.Map(bowl, sd.USAM(0.2), lr=0.1, noise=sd.GaussianNoise(0.3))),
        "rates: decreasing radius and rate": lambda: of(
            sd.Map(
                sums(),
                sd.SAM(sd.schedules.PowerDecay(0.3, 0.5)),
                lr=sd.schedules.PowerDecay(0.2, 0.7),
                noise=sd.Minibatch(2),
            )
        ),
        "rates: sampling exponent": lambda: sd.sampling_lyapunov_exponent(
            batch(sd.Minibatch(2)), n_steps=100, n_paths=20
        ),
    }


def _tangents() -> Calls:
    period_two = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 3.2})
    tame = sd.Map(plane(), sd.USAM(0.1), lr=0.1)
    return {
        "tangents: exponents of a cycle": lambda: sd.lyapunov_exponents(period_two, [0.3], 400),
        "tangents: exponents of a minimum": lambda: sd.lyapunov_exponents(tame, [0.5, 0.2], 400),
        "tangents: exponents of a flow": lambda: sd.lyapunov_exponents(
            sd.Flow(plane(), sd.GD()), [0.5, 0.2], 60, dt=0.05
        ),
        "tangents: hallucinated share": lambda: sd.hallucinated_share(
            sd.Map(sd.landscapes.two_gaussian_well(), sd.SAM(0.6), lr=0.1), n_starts=32, n_steps=500
        ),
        "tangents: warm starts": lambda: sd.warm_start_study(
            sd.Map(sd.landscapes.two_gaussian_well(), sd.SAM(0.6), lr=0.1), (0, 10), n_starts=16, n_steps=300
        ),
        "tangents: edge of stability": lambda: sd.edge_of_stability(
            tame, np.linspace([0.2, 0.1], [1.0, 0.4], 8)
        ),
    }
