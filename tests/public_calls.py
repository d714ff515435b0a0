"""One small valid call of every public verb, for the tests that vary its arguments.

A call is a function and its arguments by name. Results that several verbs take (basins, exit times, branches)
are made once. Everything is small: a call takes milliseconds, so that twenty thousand variations take
minutes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import samdyn as sd
from samdyn.theory import (
    bartlett,
    compagnoni,
    first_passage,
    kim,
    luo,
    oikonomou_loizou,
    si_yun,
    si_yun_traps,
)


@dataclass(frozen=True)
class Call:
    """A public function and valid arguments."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]


@functools.cache
def systems() -> dict[str, Any]:
    """Losses, systems and results that the calls share."""
    well = sd.landscapes.double_well()
    plane = sd.landscapes.himmelblau()
    saddle = sd.landscapes.saddle()
    sums = sd.FiniteSum.least_squares(
        [[1.0, 0.0], [0.5, 1.0], [-0.3, 0.4], [1.0, 1.0]], [1.0, 0.0, 0.5, -1.0]
    )
    logistic = sd.Map.from_function(lambda w, r: r * w * (1 - w), 1, {"r": 2.8}, box=[(0.0, 1.0)])
    sde = sd.Diffusion(well, sd.USAM(0.1), lr=0.1, noise=sd.GaussianNoise(1.5))
    exits = sd.exit_times(sde, [-1.0], sd.HalfSpace([1.0], 0.5), 40, t_max=2000.0)
    others = sd.exit_times(sde, [-1.0], sd.HalfSpace([1.0], 0.0), 40, t_max=2000.0, seed=1)
    basins = sd.basins(sd.Map(plane, sd.GD(), lr=0.01), resolution=12, n_starts=16)
    branch = sd.continuation(logistic, [1 - 1 / 2.8], "r", (2.6, 3.1), max_step=0.05)
    steps = sd.Map(sums, sd.USAM(0.1), lr=0.1, noise=sd.Minibatch(2))
    curves = sd.convergence(steps, [0.0, 0.0], 50, 4)
    morse = sd.morse_graph(logistic, resolution=32)
    bumps = sd.Map(sd.landscapes.two_gaussian_well(), sd.SAM(0.6), lr=0.1)
    hallucinated = sd.fixed_points(bumps).select("hallucinated")[0].x
    return {
        "well": well,
        "plane": plane,
        "saddle": saddle,
        "sums": sums,
        "logistic": logistic,
        "sde": sde,
        "exits": exits,
        "others": others,
        "basins": basins,
        "branch": branch,
        "steps": steps,
        "curves": curves,
        "morse": morse,
        "line_map": sd.Map(well, sd.SAM(0.2), lr=0.1),
        "line_flow": sd.Flow(well, sd.SAM(0.2)),
        "bump_map": bumps,
        "hallucinated": hallucinated,
        "gradient_map": sd.Map(plane, sd.GD(), lr=0.01),
        "plane_map": sd.Map(plane, sd.SAM(0.2), lr=0.01),
        "plane_flow": sd.Flow(plane, sd.GD()),
        "saddle_map": sd.Map(saddle, sd.SAM(0.2), lr=0.1),
        "momentum": sd.Map(saddle, sd.GD(), lr=0.1, momentum=0.5),
    }


@functools.cache
def calls() -> tuple[Call, ...]:
    """The calls, in the order of the flat namespace and then of its modules."""
    s = systems()
    half, ball = sd.HalfSpace([1.0], 0.5), sd.Ball([-1.0], 0.3)
    exits, basins, curves, branch, morse = s["exits"], s["basins"], s["curves"], s["branch"], s["morse"]
    first, second = sorted(basins.attractors)[:2]
    flip = branch.bifurcations[0]
    quick: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
        ("SAM", sd.SAM, {"rho": 0.1}),
        ("USAM", sd.USAM, {"rho": 0.1}),
        ("UnifiedSAM", sd.UnifiedSAM, {"rho": 0.1, "lam": 0.5}),
        ("DNSAM", sd.DNSAM, {"rho": 0.1}),
        ("AESAM", sd.AESAM, {"rho": 0.1}),
        ("ASAM", sd.ASAM, {"rho": 0.5, "eta": 0.01}),
        ("AdaSAM", sd.AdaSAM, {"rho": 0.1}),
        ("AdamWSAM", sd.AdamWSAM, {"rho": 0.1}),
        ("BSAM", sd.BSAM, {"rho": 0.1}),
        ("DetSAM", sd.DetSAM, {"rho": 0.1}),
        ("ESAM", sd.ESAM, {"rho": 0.1}),
        ("EigenSAM", sd.EigenSAM, {"rho": 0.1}),
        ("FriendlySAM", sd.FriendlySAM, {"rho": 0.1}),
        ("FrobSAM", sd.FrobSAM, {"rho": 0.1}),
        ("FunctionalSAM", sd.FunctionalSAM, {"rho": 0.1}),
        ("GCSAM", sd.GCSAM, {"rho": 0.1}),
        ("GSAM", sd.GSAM, {"rho": 0.1}),
        ("InfoSAM", sd.InfoSAM, {"rho": 0.1}),
        ("LESAM", sd.LESAM, {"rho": 0.1, "budget": 0.05}),
        ("LightAdamSAM", sd.LightAdamSAM, {"rho": 0.1}),
        ("LightSAM", sd.LightSAM, {"rho": 0.1}),
        ("LookSAM", sd.LookSAM, {"rho": 0.1}),
        ("LookbehindSAM", sd.LookbehindSAM, {"rho": 0.1}),
        ("MSAM", sd.MSAM, {"rho": 0.1}),
        ("MongeSAM", sd.MongeSAM, {"rho": 0.1}),
        ("PolyakSAM", sd.PolyakSAM, {"rho": 0.1}),
        ("PreconditionedFunctionalSAM", sd.PreconditionedFunctionalSAM, {"rho": 0.1}),
        ("PreconditionedSAM", sd.PreconditionedSAM, {"rho": 0.1, "constraint": [2.0]}),
        ("RMSPropSAM", sd.RMSPropSAM, {"rho": 0.1}),
        ("RSAM", sd.RSAM, {"rho": 0.1}),
        ("RWSAM", sd.RWSAM, {"rho": 0.1}),
        ("SAMON", sd.SAMON, {"rho": 0.1, "blocks": [0]}),
        ("SAMPa", sd.SAMPa, {"rho": 0.1}),
        ("Sassha", sd.Sassha, {"rho": 0.1}),
        ("StableSAM", sd.StableSAM, {"rho": 0.1}),
        ("TraceSAM", sd.TraceSAM, {"rho": 0.1}),
        ("UniversalSAM", sd.UniversalSAM, {"rho": 0.1}),
        ("VaSSO", sd.VaSSO, {"rho": 0.1}),
        ("WSAM", sd.WSAM, {"rho": 0.1}),
        ("XSAM", sd.XSAM, {"rho": 0.1}),
        ("ZSharp", sd.ZSharp, {"rho": 0.1}),
        ("Extragradient", sd.Extragradient, {"rho": 0.1}),
        ("PastExtragradient", sd.PastExtragradient, {"rho": 0.1}),
        ("WarmStart", sd.WarmStart, {"rule": sd.SAM(0.1), "steps": 10}),
        ("schedules.PowerDecay", sd.schedules.PowerDecay, {"initial": 0.1, "power": 0.5}),
        ("schedules.ExponentialDecay", sd.schedules.ExponentialDecay, {"initial": 0.1, "factor": 0.5}),
        ("schedules.CosineDecay", sd.schedules.CosineDecay, {"initial": 0.1, "final": 0.0, "steps": 10}),
        (
            "schedules.StepDecay",
            sd.schedules.StepDecay,
            {"initial": 0.1, "factor": 0.5, "milestones": (3, 5)},
        ),
        ("schedules.Delayed", sd.schedules.Delayed, {"coefficient": 0.1, "steps": 10}),
        ("rates.DecreasingRadius", sd.rates.DecreasingRadius, {"largest": 0.1}),
        ("rates.DecreasingRate", sd.rates.DecreasingRate, {"largest": 0.1, "mu": 1.0}),
        ("rules.multipliers", sd.rules.multipliers, {"rule": sd.USAM(0.1), "curvature": [1.0], "lr": 0.1}),
        (
            "Landscape",
            sd.Landscape,
            {
                "function": _bowl,
                "dim": 2,
                "box": [(-1, 1), (-1, 1)],
                "name": "bowl",
                "parameters": None,
                "critical_points": (),
            },
        ),
        ("Landscape.value", s["plane"].value, {"x": [0.0, 0.0]}),
        ("Landscape.gradient", s["plane"].gradient, {"x": [0.0, 0.0]}),
        ("Landscape.hessian", s["plane"].hessian, {"x": [0.0, 0.0]}),
        (
            "FiniteSum",
            sd.FiniteSum,
            {"component": _component, "data": np.eye(2), "dim": 2, "box": None, "name": "squares"},
        ),
        (
            "FiniteSum.least_squares",
            sd.FiniteSum.least_squares,
            {"A": np.eye(2), "b": [1.0, 0.0], "ridge": 0.0},
        ),
        ("FiniteSum.smoothness", s["sums"].smoothness, {"box": [(-1, 1), (-1, 1)], "n_points": 8, "seed": 0}),
        ("FiniteSum.minimum", s["sums"].minimum, {"start": [0.0, 0.0]}),
        ("FiniteSum.interpolates", s["sums"].interpolates, {"x": [0.0, 0.0], "tolerance": 1e-8}),
        (
            "FiniteSum.gradient_norm_probabilities",
            s["sums"].gradient_norm_probabilities,
            {"x": [0.0, 0.0], "mixture": 0.1},
        ),
        ("landscapes.quadratic", sd.landscapes.quadratic, {"H": np.eye(2)}),
        ("landscapes.double_well", sd.landscapes.double_well, {"dim": 1, "stiffness": 1.0}),
        ("landscapes.rastrigin", sd.landscapes.rastrigin, {"dim": 2}),
        ("landscapes.ring", sd.landscapes.ring, {"dim": 2}),
        ("landscapes.rosenbrock", sd.landscapes.rosenbrock, {"b": 100.0}),
        ("landscapes.saddle", sd.landscapes.saddle, {"a": 1.0, "b": 1.0}),
        ("landscapes.serpentine", sd.landscapes.serpentine, {"amplitude": 3.0}),
        ("landscapes.sine_trap", sd.landscapes.sine_trap, {"beta": 1.0, "rho": 1.0}),
        ("landscapes.styblinski_tang", sd.landscapes.styblinski_tang, {"dim": 2}),
        ("landscapes.tilted_double_well", sd.landscapes.tilted_double_well, {"tilt": 0.2}),
        ("landscapes.tilted_hat", sd.landscapes.tilted_hat, {"dim": 2, "tilt": 0.1}),
        ("landscapes.uv", sd.landscapes.uv, {"weight_decay": 0.0}),
        ("landscapes.widening_valley", sd.landscapes.widening_valley, {"slope": 0.5}),
        ("GaussianNoise", sd.GaussianNoise, {"std": 1.0, "probe": "full"}),
        ("CurvatureNoise", sd.CurvatureNoise, {"batch_size": 2.0, "probe": "full"}),
        (
            "Minibatch",
            sd.Minibatch,
            {
                "batch_size": 2,
                "probe": "same",
                "sampling": "without replacement",
                "reweight": True,
                "micro_batch": None,
                "model": "first-order",
            },
        ),
        ("Map", sd.Map, {"loss": s["plane"], "rule": sd.GD(), "lr": 0.1, "momentum": 0.0, "noise": None}),
        ("Map.__call__", s["plane_map"], {"x": [1.0, 1.0]}),
        ("Map.jacobian", s["plane_map"].jacobian, {"x": [1.0, 1.0]}),
        ("Map.with_parameters", s["plane_map"].with_parameters, {"lr": 0.2}),
        (
            "Map.from_function",
            sd.Map.from_function,
            {
                "step": _bowl_step,
                "dim": 2,
                "parameters": {"a": 0.1},
                "box": [(-1, 1), (-1, 1)],
                "name": "step",
            },
        ),
        ("Flow", sd.Flow, {"loss": s["plane"], "rule": sd.GD(), "form": "perturbed"}),
        ("Flow.__call__", s["plane_flow"], {"x": [1.0, 1.0]}),
        (
            "Flow.from_function",
            sd.Flow.from_function,
            {"field": _bowl_step, "dim": 2, "parameters": {"a": 0.1}},
        ),
        (
            "Diffusion",
            sd.Diffusion,
            {"loss": s["well"], "rule": sd.GD(), "lr": 0.1, "noise": sd.GaussianNoise()},
        ),
        ("Diffusion.drift", s["sde"].drift, {"x": [1.0], "step": 0}),
        ("Diffusion.covariance", s["sde"].covariance, {"x": [1.0], "step": 0}),
        ("Ball", sd.Ball, {"center": (0.0, 0.0), "radius": 1.0}),
        ("Box", sd.Box, {"lower": (0.0, 0.0), "upper": (1.0, 1.0)}),
        ("HalfSpace", sd.HalfSpace, {"normal": (1.0, 0.0), "offset": 1.0}),
        ("Region", sd.Region, {"signed_distance": _distance, "dim": 2}),
        ("Ball.contains", sd.Ball([0.0, 0.0], 1.0).contains, {"x": [0.1, 0.1]}),
        (
            "trajectory",
            sd.trajectory,
            {"system": s["plane_map"], "x0": [1.0, 1.0], "n_steps": 5, "save_every": 1, "seed": 0},
        ),
        (
            "trajectory of a flow",
            sd.trajectory,
            {"system": s["plane_flow"], "x0": [1.0, 1.0], "t_max": 0.1, "dt": 0.05},
        ),
        (
            "exit_times",
            sd.exit_times,
            {
                "system": s["sde"],
                "x0": [-1.0],
                "region": half,
                "n_paths": 5,
                "t_max": 1.0,
                "dt": 0.1,
                "seed": 0,
                "correction": "bridge",
                "device": "cpu",
                "precision": "double",
                "compile": False,
                "workers": 1,
                "executor": None,
                "checkpoint": None,
                "progress": False,
            },
        ),
        (
            "exit_time_sweep",
            sd.exit_time_sweep,
            {
                "system": s["sde"],
                "x0": [-1.0],
                "region": half,
                "parameters": {"rho": [0.1, 0.2]},
                "n_paths": 5,
                "t_max": 1.0,
                "dt": 0.1,
                "seed": 0,
            },
        ),
        ("ExitTimes.confidence_interval", exits.confidence_interval, {"level": 0.95, "method": "normal"}),
        ("ExitTimes.survival", exits.survival, {"level": 0.95}),
        ("ExitTimes.quantile", exits.quantile, {"q": 0.5}),
        ("ExitTimes.quantile_interval", exits.quantile_interval, {"q": 0.5, "level": 0.95}),
        ("ExitTimes.slowest_rate", exits.slowest_rate, {"quantile": 0.5}),
        ("ExitTimes.exit_location", exits.exit_location, {"level": 0.95, "region": None}),
        ("compare", sd.escape.compare, {"a": exits, "b": s["others"], "level": 0.95}),
        ("logrank", sd.escape.logrank, {"a": exits, "b": s["others"]}),
        ("ratio_of_means", sd.escape.ratio_of_means, {"a": exits, "b": s["others"], "level": 0.95}),
        ("wilson_interval", sd.basin.wilson_interval, {"count": 5, "n": 10, "level": 0.95}),
        (
            "chain_exit_time",
            sd.chain_exit_time,
            {
                "system": s["sde"],
                "region": sd.Box([-2.0], [0.5]),
                "x0": [-1.0],
                "dt": 0.5,
                "correction": None,
                "crossing": "inside",
            },
        ),
        (
            "chain_mean_exit_time",
            sd.chain_mean_exit_time,
            {
                "drift": _minus,
                "standard_deviation_per_step": 0.5,
                "interval": (-1.0, 1.0),
                "dt": 0.1,
                "x0": 0.0,
                "correction": None,
                "crossing": "inside",
            },
        ),
        (
            "mean_exit_time",
            sd.mean_exit_time,
            {"system": s["sde"], "region": half, "resolution": 64, "box": None, "moment": 1},
        ),
        ("exit_rate", sd.exit_rate, {"system": s["sde"], "region": half, "resolution": 64}),
        (
            "committor",
            sd.committor,
            {"system": s["sde"], "origin": ball, "target": sd.Ball([1.0], 0.3), "resolution": 64},
        ),
        (
            "rare_committor",
            sd.rare_committor,
            {
                "system": s["sde"],
                "x0": [-0.6],
                "origin": ball,
                "target": sd.Ball([1.0], 0.3),
                "levels": 5,
                "n_clones": 4,
                "n_kill": 1,
                "n_repeats": 2,
                "dt": 0.1,
                "seed": 0,
                "correction": "bridge",
                "t_max": 50.0,
            },
        ),
        (
            "rare_exit_time",
            sd.rare_exit_time,
            {
                "system": s["sde"],
                "x0": [-1.0],
                "region": half,
                "origin": ball,
                "margin": 0.2,
                "n_loops": 1,
                "levels": 5,
                "n_clones": 4,
                "n_repeats": 2,
                "dt": 0.1,
                "seed": 0,
            },
        ),
        (
            "mean_squared_displacement",
            sd.mean_squared_displacement,
            {
                "system": s["sde"],
                "x0": [0.0],
                "t": [0.1, 0.5],
                "n_paths": 5,
                "dt": 0.1,
                "seed": 0,
                "direction": [1.0],
            },
        ),
        (
            "minimum_action",
            sd.minimum_action,
            {
                "system": s["line_flow"],
                "x": [-1.0],
                "y": [0.0],
                "n_points": 11,
                "tolerance": 1e-3,
                "max_rounds": 2,
            },
        ),
        (
            "fixed_points",
            sd.fixed_points,
            {
                "system": s["line_flow"],
                "box": [(-2, 2)],
                "period": 1,
                "n_starts": 16,
                "tolerance": 1e-12,
                "certify": False,
            },
        ),
        ("linearize", sd.linearize, {"system": s["plane_map"], "x": [3.0, 2.0]}),
        ("critical_rho", sd.critical_rho, {"loss": s["saddle"], "x": [0.0, 0.0], "rule": sd.USAM}),
        ("capture_set", sd.capture_set, {"system": s["saddle_map"], "x": [0.0, 0.0]}),
        (
            "two_cycle",
            sd.two_cycle,
            {"eigenvalues": [1.0, 0.5], "lr": 0.1, "rho": 0.1, "lam": 1.0, "momentum": 0.0, "mode": None},
        ),
        (
            "transient_growth",
            sd.transient_growth,
            {"matrix": [[0.5, 1.0], [0.0, 0.4]], "discrete": True, "horizon": 10.0},
        ),
        ("certificate", sd.certificate, {"system": s["plane_flow"], "x": [3.0, 2.0]}),
        ("attractors_1d", sd.attractors_1d, {"system": s["line_flow"], "box": [(-2, 2)], "resolution": 64}),
        ("local_attraction", sd.local_attraction, {"system": s["bump_map"], "x": s["hallucinated"]}),
        ("lr_window", sd.lr_window, {"system": s["gradient_map"], "x": [3.0, 2.0]}),
        ("momentum_windows", sd.momentum_windows, {"system": s["momentum"], "x": [0.0, 0.0]}),
        ("trapped_mode_window", sd.equilibria.trapped_mode_window, {"lr": 0.1, "top": 3.0}),
        ("sam_edge", sd.orbit.sam_edge, {"lr": 0.1, "rho": 0.1, "gradient_norm": 1.0, "momentum": 0.0}),
        (
            "edge_of_stability",
            sd.edge_of_stability,
            {"system": s["plane_map"], "trajectory": [[1.0, 1.0], [1.1, 1.0]]},
        ),
        (
            "perturbation_geometry",
            sd.perturbation_geometry,
            {"system": s["plane_map"], "trajectory": [[1.0, 1.0]], "basins": False},
        ),
        ("perturbed_loss", sd.perturbed_loss, {"system": s["plane_map"], "x": [1.0, 1.0]}),
        ("virtual_gradient", sd.virtual_gradient, {"system": s["plane_flow"], "x": [1.0, 1.0]}),
        ("virtual_asymmetry", sd.equilibria.virtual_asymmetry, {"system": s["plane_flow"], "x": [1.0, 1.0]}),
        ("virtual_loss", sd.virtual_loss, {"system": s["line_flow"], "reference": [0.0]}),
        ("spherical_minima", sd.spherical_minima, {"loss": s["plane"], "x": [3.0, 2.0], "radii": [0.5]}),
        ("hallucination_intervals", sd.hallucination_intervals, {"loss": s["well"], "box": [(-2, 2)]}),
        (
            "hallucinated_branches",
            sd.hallucinated_branches,
            {"loss": s["well"], "box": [(-2, 2)], "radii": (), "n_steps": 20},
        ),
        (
            "hallucinated_share",
            sd.hallucinated_share,
            {"system": s["line_map"], "box": [(-2, 2)], "n_starts": 4, "n_steps": 100, "seed": 0},
        ),
        (
            "warm_start_study",
            sd.warm_start_study,
            {
                "system": s["line_map"],
                "steps": (0, 2),
                "box": [(-2, 2)],
                "n_starts": 4,
                "n_steps": 100,
                "seed": 0,
            },
        ),
        (
            "lyapunov_exponents",
            sd.lyapunov_exponents,
            {"system": s["logistic"], "x0": [0.3], "n_steps": 40, "n_exponents": 1, "transient": 5},
        ),
        (
            "orbit_diagram",
            sd.orbit_diagram,
            {
                "system": s["logistic"],
                "x0": [0.3],
                "parameters": {"r": [2.5, 2.6]},
                "n_starts": 2,
                "n_transient": 5,
                "n_keep": 3,
            },
        ),
        ("cycles", sd.cycles, {"system": s["logistic"], "box": [(0, 1)], "period": 1, "n_starts": 8}),
        (
            "continuation",
            sd.continuation,
            {
                "system": s["logistic"],
                "x": [1 - 1 / 2.8],
                "parameter": "r",
                "bounds": (2.6, 2.9),
                "period": 1,
                "max_step": 0.05,
                "max_points": 50,
            },
        ),
        (
            "switch_branch",
            sd.bifurcation.switch_branch,
            {
                "branch": branch,
                "bifurcation": flip,
                "bounds": (2.9, 3.05),
                "max_step": 0.05,
                "max_points": 20,
            },
        ),
        ("Branch.at", branch.at, {"value": 2.7}),
        ("Branch.select", branch.select, {"kind": "fold"}),
        (
            "manifold",
            sd.manifold,
            {
                "system": s["saddle_map"].with_parameters(rho=0.0),
                "x": [0.0, 0.0],
                "which": "unstable",
                "length": 0.5,
                "max_angle": 0.3,
                "strong": False,
            },
        ),
        (
            "basins",
            sd.basins,
            {
                "system": s["plane_map"].with_parameters(rho=0.0),
                "box": [(-4, 4), (-4, 4)],
                "resolution": 6,
                "n_starts": 8,
                "seed": 0,
                "workers": 1,
            },
        ),
        (
            "basin_fractions",
            sd.basin_fractions,
            {"system": s["plane_map"].with_parameters(rho=0.0), "n_paths": 8, "n_starts": 8, "seed": 0},
        ),
        ("Basins.name_of", basins.name_of, {"label": first}),
        ("Basins.label_at", basins.label_at, {"x": [3.0, 2.0]}),
        ("boundary_cells", sd.basin.boundary_cells, {"basins": basins, "distance": 1}),
        ("boundary_pairs", sd.basin.boundary_pairs, {"basins": basins, "a": first, "b": second}),
        ("basin_entropy", sd.basin.basin_entropy, {"basins": basins, "size": 3}),
        ("uncertainty_exponent", sd.basin.uncertainty_exponent, {"basins": basins, "distances": [1, 2]}),
        ("box_dimension", sd.basin.box_dimension, {"basins": basins, "sizes": [1, 2]}),
        ("wada_merge", sd.basin.wada_merge, {"basins": basins, "radius": 1, "ids": None}),
        ("smooth_boundary_entropy", sd.basin.smooth_boundary_entropy, {"dim": 2}),
        (
            "smallest_kick",
            sd.basin.smallest_kick,
            {"basins": basins, "attractor": first, "target": second, "seed": 0},
        ),
        (
            "match_attractors",
            sd.basin.match_attractors,
            {
                "before": basins.attractors,
                "after": basins.attractors,
                "distance": "middles",
                "threshold": 1.0,
            },
        ),
        (
            "tipping_probabilities",
            sd.basin.tipping_probabilities,
            {"before": np.array([1, 1, 2]), "after": np.array([1, 2, 2])},
        ),
        (
            "morse_graph",
            sd.morse_graph,
            {
                "system": s["logistic"],
                "box": [(0, 1)],
                "resolution": 16,
                "image": "interval",
                "iterates": 1,
                "discard": 0,
            },
        ),
        ("MorseGraph.region_of_attraction", morse.region_of_attraction, {"node": 0}),
        ("match_sets", sd.morse.match_sets, {"graphs": (morse, morse), "threshold": 0.0}),
        (
            "morse_continuation",
            sd.morse_continuation,
            {"system": s["logistic"], "parameters": {"r": [2.5, 2.6]}, "resolution": 16},
        ),
        (
            "basin_continuation",
            sd.basin_continuation,
            {"system": s["line_map"], "parameters": {"rho": [0.0, 0.1]}, "box": [(-2, 2)], "n_paths": 4},
        ),
        (
            "convergence",
            sd.convergence,
            {
                "system": s["steps"],
                "x0": [0.0, 0.0],
                "n_steps": 10,
                "n_paths": 2,
                "record": ("gap",),
                "seed": 0,
            },
        ),
        ("Convergence.mean", curves.mean, {"quantity": "gap", "setting": 0}),
        ("Convergence.band", curves.band, {"quantity": "gap", "setting": 0, "level": 0.9}),
        ("Convergence.plateau", curves.plateau, {"quantity": "gap", "setting": 0, "tail": 0.5}),
        ("Convergence.rate", curves.rate, {"quantity": "gap", "law": "exponential", "between": None}),
        ("stationary_law", sd.stationary_law, {"system": s["steps"]}),
        ("mean_square_stability", sd.mean_square_stability, {"system": s["steps"], "x": [0.0, 0.0]}),
        (
            "critical_learning_rate",
            sd.critical_learning_rate,
            {"system": s["steps"], "criterion": "mean square"},
        ),
        (
            "sampling_lyapunov_exponent",
            sd.sampling_lyapunov_exponent,
            {"system": s["steps"], "n_steps": 10, "n_paths": 3, "seed": 0},
        ),
        (
            "rates.batch_linearization",
            sd.rates.batch_linearization,
            {"system": s["steps"], "x": [0.1, 0.2], "directions": [1.0, 0.0], "n_batches": 20, "seed": 0},
        ),
        (
            "rates.constant_steps",
            sd.rates.constant_steps,
            {"mu": 0.1, "smoothness": 1.0, "A": 1.0, "B": 1.0, "lam": 0.5, "share": 0.5},
        ),
        (
            "rates.horizon_convex",
            sd.rates.horizon_convex,
            {"n_steps": 10, "beta": 1.0, "rho": 0.1, "initial_gap": 1.0, "sigma": 0.1},
        ),
        (
            "rates.horizon_strongly_convex",
            sd.rates.horizon_strongly_convex,
            {"n_steps": 10, "mu": 0.1, "beta": 1.0, "rho": 0.1, "initial_gap": 1.0, "sigma": 0.1},
        ),
    ]
    return tuple(
        Call(name, function, arguments) for name, function, arguments in [*quick, *_networks(), *_theory()]
    )


def _networks() -> list[tuple[str, Callable[..., Any], dict[str, Any]]]:
    inputs = torch.linspace(-1.0, 1.0, 6, dtype=torch.float64)[:, None]
    data = (inputs, torch.sin(2 * inputs))
    loss = sd.from_module(_network(), torch.nn.MSELoss(), data)
    system = sd.Map(loss, sd.SAM(0.05), lr=0.1)
    plane = sd.restrict(loss, loss.x0, np.eye(loss.dim)[:2])
    found = sd.spectrum(loss, loss.x0, 3)
    parameters = {name: value.detach() for name, value in _network().named_parameters()}
    return [
        (
            "from_module",
            sd.from_module,
            {
                "model": _network(),
                "objective": torch.nn.MSELoss(),
                "data": data,
                "chunk": None,
                "dtype": torch.float64,
                "weight_decay": 0.0,
                "device": None,
                "name": "net",
            },
        ),
        ("ModuleLoss.value", loss.value, {"x": loss.x0}),
        ("ModuleLoss.gradient", loss.gradient, {"x": loss.x0}),
        ("ModuleLoss.hvp", loss.hvp, {"x": loss.x0, "v": np.ones(loss.dim)}),
        ("ModuleLoss.parameters_of", loss.parameters_of, {"x": loss.x0}),
        ("ModuleLoss.point_of", loss.point_of, {"state": parameters}),
        (
            "restrict",
            sd.restrict,
            {
                "loss": loss,
                "origin": loss.x0,
                "directions": np.eye(loss.dim)[:2],
                "box": [(-1, 1), (-1, 1)],
                "name": "plane",
            },
        ),
        ("Restriction.embed", plane.embed, {"c": [0.1, 0.2]}),
        ("Restriction.project", plane.project, {"x": loss.x0}),
        ("Restriction.leaving", plane.leaving, {"system": system, "c": [0.1, 0.2]}),
        ("split_unit", sd.split_unit, {"model": _network(), "layer": 0, "unit": 1, "share": 0.25}),
        (
            "spectrum",
            sd.spectrum,
            {
                "system": loss,
                "x": loss.x0,
                "k": 3,
                "which": "largest",
                "block": None,
                "start": None,
                "tolerance": 1e-6,
                "seed": 0,
            },
        ),
        ("spectrum of a map", sd.spectrum, {"system": system, "x": loss.x0, "k": 2}),
        ("Spectrum.density", found.density, {"n_vectors": 2, "n_steps": 5, "width": None, "seed": 0}),
        (
            "refine",
            sd.refine,
            {
                "system": system,
                "x": loss.x0,
                "reach": None,
                "deflate": False,
                "tolerance": None,
                "n_steps": 3,
            },
        ),
        (
            "diagnose",
            sd.diagnose,
            {"system": system, "x": loss.x0, "history": None, "n_steps": 5},
        ),
        (
            "Monitor",
            sd.Monitor,
            {
                "model": _network(),
                "loss_fn": torch.nn.MSELoss(),
                "data": data,
                "optimizer": None,
                "rho": 0.05,
                "lr": 0.1,
                "momentum": 0.0,
                "every": 100,
                "budget": 0.1,
                "batch_size": None,
                "verbose": False,
            },
        ),
    ]


def _network() -> torch.nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).double()


def _theory() -> list[tuple[str, Callable[..., Any], dict[str, Any]]]:
    gradients, hessians = np.array([[1.0, 0.0], [0.5, 1.0]]), np.array([np.eye(2), np.eye(2)])
    residual = oikonomou_loizou.nice_sampling([1.0, 2.0], 1)
    mode: dict[str, Any] = {"rho": 0.1, "lr": 0.1, "batch_size": 2.0, "mode": "full"}
    table: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (bartlett.cycle_amplitude, {"curvature": 1.0, "rho": 0.1, "lr": 0.1, "lam": 1.0}),
        (bartlett.cycle_gradient_norm, {"curvature": 1.0, "rho": 0.1, "lr": 0.1}),
        (bartlett.heavy_ball_amplitude, {"curvature": 1.0, "rho": 0.1, "lr": 0.1, "momentum": 0.5}),
        (bartlett.averaged_momentum_amplitude, {"curvature": 1.0, "rho": 0.1, "lr": 0.1, "momentum": 0.5}),
        (bartlett.radial_multiplier, {"curvature": 1.0, "rho": 0.1, "lr": 0.1, "lam": 1.0}),
        (bartlett.transverse_multipliers, {"curvature": 1.0, "others": [0.5], "rho": 0.1, "lr": 0.1}),
        (bartlett.trapped_curvatures, {"curvature": 1.0, "lr": 0.1}),
        (bartlett.sam_edge, {"lr": 0.1, "rho": 0.1, "gradient_norm": 1.0}),
        (bartlett.usam_edge, {"lr": 0.1, "rho": 0.1}),
        (bartlett.valley_drift, {"curvature": 1.0, "curvature_gradient": [1.0, 0.0], "rho": 0.1, "lr": 0.1}),
        (compagnoni.drift, {"gradients": gradients, "hessians": hessians, "rho": 0.1, "rule": "SAM"}),
        (
            compagnoni.noise_covariance,
            {"gradients": gradients, "hessians": hessians, "rho": 0.1, "rule": "SAM"},
        ),
        (compagnoni.sam_gaussian_drift, {"x": 1.0, "eigenvalue": 1.0, "rho": 0.1, "noise_std": 0.1}),
        (compagnoni.usam_path, {"x0": [1.0], "eigenvalues": [1.0], "rho": 0.1, "t": [0.0, 1.0]}),
        (compagnoni.usam_stationary_variance, {"eigenvalue": 1.0, "rho": 0.1, "lr": 0.1, "noise_std": 0.1}),
        (
            first_passage.exit_time_moments,
            {
                "drift": _minus,
                "diffusion_coefficient": 0.5,
                "x0": 0.0,
                "interval": (-1.0, 1.0),
                "left": "absorbing",
                "breakpoints": (),
                "panel_width": 0.2,
                "n_nodes": 10,
            },
        ),
        (first_passage.constant_drift, {"drift": 1.0, "standard_deviation": 1.0, "distance": 1.0}),
        (first_passage.disc, {"rate": 1.0, "diffusion_coefficient": 0.1, "radius": 1.0}),
        (first_passage.double_well_expansion, {"diffusion_coefficient": 0.05}),
        (
            first_passage.eyring_kramers,
            {
                "minimum_hessian": [[2.0]],
                "saddle_hessian": [[-1.0]],
                "barrier": 0.25,
                "diffusion_coefficient": 0.05,
                "to": "far well",
            },
        ),
        (first_passage.linear_one_sided, {"theta": 1.0, "diffusion_coefficient": 0.5, "a": 1.0}),
        (first_passage.linear_two_sided, {"rate": 1.0, "diffusion_coefficient": 0.5, "a": 1.0}),
        (first_passage.saddle_logarithmic, {"rate": 1.0, "diffusion_coefficient": 0.01, "a": 1.0}),
        (first_passage.sam_double_well_barrier, {"rho": 0.1}),
        (first_passage.sam_double_well_potential, {"x": [0.0, 1.0], "rho": 0.1}),
        (first_passage.usam_double_well_barrier, {"rho": 0.1}),
        (kim.attracting_radii, {"eigenvalues": [1.0, -1.0], "lr": 0.1, "momentum": 0.0}),
        (kim.critical_radius, {"eigenvalues": [1.0, -1.0]}),
        (kim.diffusion_variance, {"eigenvalues": [1.0], "t": 1.0, **mode}),
        (kim.effective_covariance, {"hessian": np.eye(2), "rho": 0.1, "noise_std": 1.0, "probe": "same"}),
        (kim.effective_radius, {"rho": 0.1, "noise_std": 1.0, "dim": 2}),
        (kim.linear_covariance, {"matrix": 0.5 * np.eye(2), "noise": np.eye(2), "n_steps": 3}),
        (kim.mean_direction, {"dim": 2}),
        (kim.mean_escape_time, {"eigenvalue": -1.0, "distance": 1.0, **mode}),
        (kim.momentum_variance, {"eigenvalues": [1.0], "t": 1.0, "rho": 0.1, "lr": 0.1, "momentum": 0.5}),
        (kim.noise_variance, {"eigenvalues": [1.0], "rho": 0.1, "batch_size": 2.0, "mode": "full"}),
        (kim.stationary_variance, {"eigenvalues": [1.0], **mode}),
        (kim.usam_multipliers, {"eigenvalues": [1.0], "rho": 0.1, "lr": 0.1, "momentum": 0.5}),
        (luo.normalised_penalty, {"gradients": gradients, "rho": 0.1, "micro_batch": 1}),
        (
            luo.unnormalised_penalty,
            {"gradients": gradients, "rho": 0.1, "micro_batch": 1, "replacement": True},
        ),
        (oikonomou_loizou.nice_sampling, {"smoothness": [1.0, 2.0], "batch_size": 1, "residual": 0.0}),
        (
            oikonomou_loizou.with_replacement,
            {"smoothness": [1.0, 2.0], "batch_size": 1, "probabilities": None},
        ),
        (
            oikonomou_loizou.gap_bound,
            {
                "steps": 5,
                "gap": 1.0,
                "residual": residual,
                "strong_convexity": 0.1,
                "rho": 0.001,
                "lr": 0.01,
                "lam": 0.5,
            },
        ),
        (oikonomou_loizou.decreasing_start, {"residual": residual, "strong_convexity": 0.1, "lam": 0.5}),
        (si_yun.convex_gradient, {"steps": 5, "gap": 1.0, "smoothness": 1.0, "rho": 0.1, "lr": 0.1}),
        (
            si_yun.strongly_convex_gap_lower,
            {"steps": 5, "smoothness": 2.0, "strong_convexity": 1.0, "rho": 0.1},
        ),
        (
            si_yun.stochastic_gap,
            {
                "steps": 5,
                "gap": 1.0,
                "smoothness": 1.0,
                "strong_convexity": 0.1,
                "rho": 0.1,
                "lr": 0.1,
                "noise_std": 0.1,
                "probe": "full",
            },
        ),
        (si_yun_traps.sine_attractors, {"phase_shift": 0.5, "smoothness": 1.0, "rho": 1.0, "lr": 0.1}),
        (
            si_yun_traps.two_centre_floor,
            {"p": 0.3, "a": 1.0, "smoothness": 1.0, "rho": 0.1, "lr": 0.1, "probe": "same"},
        ),
    ]
    return [
        (f"theory.{f.__module__.rpartition('.')[2]}.{f.__name__}", f, arguments) for f, arguments in table
    ]


def _bowl(w: Any) -> Any:
    return (w**2).sum()


def _component(w: Any, row: Any) -> Any:
    return (w @ row - 1.0) ** 2


def _bowl_step(w: Any, a: Any) -> Any:
    return -a * w


def _distance(w: Any) -> Any:
    return (w**2).sum() ** 0.5 - 1.0


def _minus(x: Any) -> Any:
    return -x
