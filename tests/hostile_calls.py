"""Every public callable with every one of its arguments, for tests that vary arguments.

What is public is read off `samdyn.__all__` and the `__all__` of its modules, and which arguments a callable
takes off its signature; nothing is listed by hand but one valid call of each.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from public_calls import Call, calls, systems

import samdyn as sd
from samdyn.results import Result
from samdyn.theory import oikonomou_loizou


def public() -> dict[str, Callable[..., Any]]:
    """All callables by their dotted names, each under the first name that it has."""
    found: dict[int, tuple[str, Callable[..., Any]]] = {}

    def walk(where: Any, prefix: str) -> None:
        for name in where.__all__:
            value = getattr(where, name)
            if inspect.ismodule(value):
                if hasattr(value, "__all__") and value.__name__.startswith("samdyn."):
                    walk(value, f"{prefix}{name}.")
            elif callable(value):
                found.setdefault(id(value), (prefix + name, value))

    walk(sd, "")
    return dict(found.values())


def is_made_by_verbs(value: Any) -> bool:
    """Whether users get such objects from verbs and do not make them: results and their named tuples."""
    return inspect.isclass(value) and (
        issubclass(value, Result | tuple | Exception) or value.__module__.startswith("samdyn.results.")
    )


def whole_calls() -> tuple[Call, ...]:
    """The calls of tests/public_calls.py and those below, with each argument that has a default."""
    return tuple(_whole(call) for call in (*calls(), *_more()))


def _whole(call: Call) -> Call:
    try:
        parameters = inspect.signature(call.function).parameters.values()
    except ValueError:
        return call
    defaults = {
        p.name: p.default for p in parameters if p.default is not p.empty and p.name not in call.arguments
    }
    defaults.pop("workers", None)  # one check serves all: `exit_times` has it, and processes take seconds
    return Call(call.name, call.function, {**call.arguments, **defaults})


COMMON: dict[str, Any] = {
    "residual": oikonomou_loizou.nice_sampling([1.0, 2.0], 1),
    "steps": 5,
    "gap": 1.0,
    "smoothness": 1.0,
    "strong_convexity": 0.1,
    "rho": 0.001,
    "lr": 0.01,
    "lam": 0.5,
    "noise_std": 0.1,
    "probe": "full",
    "diffusion_coefficient": 0.05,
    "eigenvalue": 1.0,
    "eigenvalues": [1.0],
    "x": [0.0, 1.0],
    "t": [1.0],
    "theta": 1.0,
    "a": 1.0,
    "value": 0.5,
    "gradients": [[1.0, 0.0], [0.5, 1.0]],
    "kappa": 1.0,
    "noise_variance": 0.1,
    "n_steps": 5,
    "rule": "SAM",
    "mean": 0.5,
    "distribution": lambda x: min(max(x, 0.0), 1.0),
    "bracket": (0.0, 1.0),
    "coefficient": 0.1,
    "step": 3,
}
"""Valid values of the arguments of closed forms, by name."""
OWN: dict[str, dict[str, Any]] = {
    "single_element": {"smoothness": [1.0, 2.0]},
    "regularised_loss": {"rho": 0.1},
    "strongly_convex_trap": {"smoothness": 1.0, "rho": 0.1},
    "stochastic_learning_rate": {"smoothness": 2.0},
    "decreasing_gap_bound": {"steps": 5000},
    "sharper_neighbourhood": {"rho": 1e-4, "lr": 1e-3},
}


@functools.cache
def _more() -> tuple[Call, ...]:
    """What tests/public_calls.py leaves out: graphs, curves of bifurcations, optimisers, pictures, theory."""
    s = systems()
    basins, branch, exits = s["basins"], s["branch"], s["exits"]
    first, second = sorted(basins.attractors)[:2]
    sde = s["sde"]
    wells = sd.basins(sde, [(-2, 2)], resolution=16, n_starts=8, n_paths=2, max_steps=200)
    graph = sd.basin_graph(wells)
    henon = sd.Map.from_function(
        lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]), 2, {"a": 0.3, "b": 0.3}
    )
    turning = sd.continuation(henon, [1.0, 0.3], "a", (0.2, 0.5), max_step=0.05)
    curve = {"branch": turning, "bifurcation": turning.select("flip")[0], "parameter": "b"}
    drawn = {**curve, "bounds": (0.2, 0.4), "max_step": 0.1, "max_points": 5}
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    table: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
        ("basin_graph", sd.basin_graph, {"basins": basins}),
        (
            "basin.edge_state",
            sd.basin.edge_state,
            {"basins": basins, "a": first, "b": second, "max_rounds": 5},
        ),
        ("rate_graph", sd.rate_graph, {"graph": graph, "basins": wells, "resolution": 32, "n_paths": 8}),
        (
            "bifurcation.bifurcation_curve",
            sd.bifurcation.bifurcation_curve,
            drawn,
        ),
        ("cite", sd.cite, {}),
        ("optim.as_optimizer", sd.optim.as_optimizer, {"rule": sd.SAM(0.1), "params": [weight], "lr": 0.1}),
        ("CriticalPoint", sd.CriticalPoint, {"x": (0.0,), "kind": "minimum"}),
        ("GD", sd.GD, {}),
        ("ExitTimes.refine", exits.refine, {"n_paths": 5, "seed": 0}),
        ("ExitTimes.compare_exact", exits.compare_exact, {"resolution": 32}),
        ("Basins.matched_to", basins.matched_to, {"other": basins}),
        ("Basins.edge_state", basins.edge_state, {"a": first, "b": second, "max_rounds": 5}),
        ("Branch.switch", branch.switch, {"bifurcation": branch.bifurcations[0], "max_points": 5}),
        ("Convergence.limit_sets", s["curves"].limit_sets, {"setting": 0, "within": 0.1}),
        ("Convergence.curves", s["curves"].curves, {"quantity": "gap", "setting": 0}),
        ("MorseGraph.inner_basin", s["morse"].inner_basin, {"node": 0}),
        *_pictures(graph, sd.bifurcation.bifurcation_curve(**drawn)),
    ]
    listed = {id(call.function) for call in calls()} | {id(entry[1]) for entry in table}
    for name, function in public().items():
        if name.startswith(("theory.", "landscapes.")) and id(function) not in listed:
            if is_made_by_verbs(function) or inspect.isclass(function):
                continue
            wanted = {
                p.name: COMMON[p.name]
                for p in inspect.signature(function).parameters.values()
                if p.default is p.empty
            }
            table.append((name, function, {**wanted, **OWN.get(name.rpartition(".")[2], {})}))
    return tuple(Call(*entry) for entry in table)


def _pictures(graph: Any, curve: Any) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """One call of every picture, of results that are small."""
    s = systems()
    valid = {call.name: call for call in calls()}

    def made(name: str, **options: Any) -> Any:
        return valid[name].function(**{**valid[name].arguments, **options})

    manifold = made("manifold")
    of: dict[str, dict[str, Any]] = {
        "animate": {"system": s["line_flow"], "parameter": "rho", "values": [0.1]},
        "animate_exits": {"result": s["exits"], "n_frames": 2},
        "animate_results": {"results": [s["exits"], s["others"]]},
        "basin_graph": {"graph": graph},
        "basins": {"result": s["basins"]},
        "bifurcation_diagram": {"branches": s["branch"]},
        "convergence": {"result": s["curves"]},
        "bifurcation_curves": {"curves": curve},
        "edge_of_stability": {"result": made("edge_of_stability")},
        "exit_density": {"result": s["exits"]},
        "exit_locations": {"result": s["exits"]},
        "exit_quantiles": {"result": s["exits"]},
        "exit_sweep": {"result": made("exit_time_sweep", t_max=100.0)},
        "fraction_bands": {"result": made("basin_continuation")},
        "manifolds": {"results": [manifold]},
        "morse_graph": {"result": s["morse"]},
        "perturbation_geometry": {"result": made("perturbation_geometry")},
        "phase_portrait": {"system": s["plane_flow"], "resolution": 8, "separatrices": False, "cycles": 0},
        "survival": {"results": [s["exits"], s["others"]]},
        "virtual_loss": {"system": s["line_flow"]},
    }
    for name, arguments in of.items():
        yield f"plot.{name}", getattr(sd.plot, name), arguments
