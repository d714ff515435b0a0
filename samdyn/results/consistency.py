"""Whether the fields of a result that was read from a file fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["consistent"]


def consistent(kind: str, values: Mapping[str, Any]) -> str:
    """What does not fit, as a clause, or nothing.

    Parameters
    ----------
    kind : str
        The name of the result's class.
    values : dict
        Its fields, each of its annotated kind.

    Examples
    --------
    >>> consistent("Other", {})
    ''
    """
    try:
        return CHECKS.get(kind, lambda _: "")(values)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        return f"fields do not fit together ({type(error).__name__}: {error})"


def _exit_times(v: Mapping[str, Any]) -> str:
    n, exited, diverged = len(v["times"]), v["exited"], v["diverged"]
    for name in ("times", "exited", "diverged", "faces", "watched"):
        if v[name].shape != (n,):
            return f"{name!r} has shape {v[name].shape} for {n} paths"
    if v["exit_points"].ndim != 2 or len(v["exit_points"]) != n or not v["exit_points"].shape[1]:
        return f"'exit_points' has shape {v['exit_points'].shape} for {n} paths"
    if not n:
        return "there is no path"
    for name in ("dt", "t_max"):
        if not (np.isfinite(v[name]) and v[name] > 0):
            return f"{name!r} is {v[name]!r}"
    if not 0 <= v["seed"] < 1 << 64:
        return f"'seed' is {v['seed']!r}"
    if v["correction"] not in (None, "bridge"):
        return f"'correction' is {v['correction']!r}"
    if (exited & diverged).any():
        return "paths have both left and diverged"
    if not (np.isfinite(v["watched"]).all() and (v["watched"] >= 0).all()):
        return "'watched' is not finite or negative"
    if not (np.isfinite(v["times"]) == exited).all() or (v["times"][exited] != v["watched"][exited]).any():
        return "'times' do not belong to the paths that left"
    if not (np.isfinite(v["exit_points"]).all(axis=1) == exited).all():
        return "'exit_points' do not belong to the paths that left"
    within = (v["faces"] >= 0) & (v["faces"] < len(v["face_names"]))
    if not (np.where(exited, within, v["faces"] == -1)).all():
        return "'faces' do not belong to the paths that left"
    return ""


def _convergence(v: Mapping[str, Any]) -> str:
    final = v["final"]
    if final.ndim != 3 or not final.size:
        return f"'final' has shape {final.shape}"
    settings, replicas, dim = final.shape
    times = len(v["steps"])
    if v["steps"].ndim != 1 or not times or (np.diff(v["steps"]) <= 0).any() or v["steps"][0] < 0:
        return "'steps' do not increase from 0 on"
    for name in ("gap", "gradient_norm", "distance"):
        shape = v[name].shape
        if len(shape) != 3 or shape[0] != settings or shape[1] not in (0, times) or shape[2] != replicas:
            return f"{name!r} has shape {shape}"
    for name in ("kind", "period", "extent"):
        if v[name].shape != (settings, replicas):
            return f"{name!r} has shape {v[name].shape}"
    if v["centre"].shape != (settings, replicas, dim):
        return f"'centre' has shape {v['centre'].shape}"
    if v["minimisers"].ndim != 2 or v["minimisers"].shape[1] != dim:
        return f"'minimisers' has shape {v['minimisers'].shape}"
    if len(v["settings"]) != settings:
        return f"there are {len(v['settings'])} settings for {settings}"
    return ""


CHECKS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "Convergence": _convergence,
    "ExitTimes": _exit_times,
}
