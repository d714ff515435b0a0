"""Whether the fields of basins that were read from a file fit together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from samdyn.basin.paths.pieces import REASONS
from samdyn.basin.search.attractors import Attractor


def inconsistency(fields: Mapping[str, Any]) -> str:
    """What does not fit together, as a clause, or nothing.

    Parameters
    ----------
    fields : dict
        The arguments of `samdyn.basin.Basins`, each of its annotated kind.
    """
    labels, steps, box = fields["labels"], fields["steps"], fields["box"]
    attractors, dim = fields["attractors"], labels.ndim
    if not (dim and labels.size and labels.dtype == np.int16 and fields["resolution"] == labels.shape):
        return f"'labels' is an array of {labels.dtype}, of shape {labels.shape}"
    if steps.dtype != np.int32 or steps.shape != labels.shape or steps.min() < -1:
        return "'steps' does not hold a count, or -1, for each label"
    if not (_numbers(box, (dim, 2)) and (box[:, 0] < box[:, 1]).all()):
        return "'box' does not hold lower < upper ends for each axis"
    for k, attractor in attractors.items():
        wrong = _of_attractor(attractor, dim)
        if not _count(k) or wrong:
            return f"attractor {k!r} has {wrong or 'no number above 0'}"
    if not set(np.unique(labels).tolist()) <= {*attractors, *REASONS}:
        return "'labels' holds ids that are no attractor's"
    probabilities = fields.get("probabilities")
    if probabilities is not None:
        fits = probabilities.shape == (*labels.shape, len(attractors)) and np.isfinite(probabilities).all()
        if not fits or (probabilities < 0).any() or (probabilities.sum(axis=-1) > 1 + 1e-9).any():
            return "'probabilities' are not from 0 to 1, for each label and attractor"
    unresolved = fields.get("unresolved", {})
    if not (set(unresolved) <= set(REASONS) and all(_positive(p) and p <= 1 for p in unresolved.values())):
        return "'unresolved' does not hold shares from 0 to 1 of known reasons"
    for name in ("unit", "radius"):
        if not (_positive(fields.get(name, 1.0)) or (name == "radius" and fields[name] is None)):
            return f"{name!r} is {fields[name]!r}"
    for name in ("replicas", "max_steps"):
        if not _count(fields.get(name, 1)):
            return f"{name!r} is {fields[name]!r}"
    course = fields.get("course")
    if course is not None:
        known = course.stride is None or _positive(course.stride)
        known = known and isinstance(course.noisy, bool) and isinstance(course.seed, int)
        if not (known and _positive(course.far, 0.5) and np.array_equal(course.box, box)):
            return "'course' does not say how points are followed"
    return ""


def _of_attractor(attractor: Any, dim: int) -> str:
    """What is wrong with an attractor."""
    if not isinstance(attractor, Attractor):
        return f"no {Attractor.__name__}"
    if not (len(attractor.points) and _numbers(attractor.points, (len(attractor.points), dim))):
        return "no points"
    if not _numbers(attractor.position, (dim,)):
        return "no position"
    states = attractor.states
    if not (states.ndim == 2 and states.size and states.shape[1] >= dim and _numbers(states, states.shape)):
        return "no states"
    texts = (attractor.kind, attractor.name)
    flags = (attractor.inside, attractor.closed)
    if not (all(isinstance(t, str) for t in texts) and all(isinstance(flag, bool) for flag in flags)):
        return "no kind or name"
    if not (_positive(attractor.radius) and _count(attractor.period)):
        return "no radius or period"
    exponent = attractor.exponent
    return "" if isinstance(exponent, float) and not math.isinf(exponent) else "no exponent"


def _numbers(array: Any, shape: tuple[int, ...]) -> bool:
    """Whether it has float64 entries, all finite, in this shape."""
    return bool(array.dtype == np.float64 and array.shape == shape and np.isfinite(array).all())


def _positive(value: Any, above: float = 0.0) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and above < value < math.inf


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
