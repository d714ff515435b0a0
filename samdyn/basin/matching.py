"""Attractors of one parameter value matched to the attractors of another.

Algorithm
---------
The distance between two attractors is the distance of their middles, or the symmetric mean nearest-neighbour
distance of their points, or a function of the caller. Of all pairs the nearest is matched first, then the
nearest of what is left, up to a largest distance. Attractors without a partner get ids that have not been
used.

Along a sequence of values (`chain`) partners are sought at the value just before alone: an attractor that is
gone has no successor, and one that appears later, even in its place, has an id of its own. Two attractors are
partners only if they are near for what lies around them: at most half as far from each other as either is
from any other attractor at the other's value. A critical point of the loss and a hallucinated one are never
partners, since the one has gradient 0 and the other has not.

Matching reads only what was computed, so that it can be done again with another distance or threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.basin.search.attractors import Attractor

Distance = Callable[[Attractor, Attractor], float]


def _measured(measure: Distance, a: Attractor, b: Attractor) -> float:
    """A distance by the user's own function, or an error that says whose value it is."""
    try:
        value = measure(a, b)
    except TypeError as error:
        raise TypeError(f"distance must be a function of two attractors: {error}") from error
    return checks.number("distance", value, finite=False)


def distance_of_middles(a: Attractor, b: Attractor) -> float:
    """Distance between positions."""
    return float(np.linalg.norm(a.position - b.position))


def distance_of_points(a: Attractor, b: Attractor) -> float:
    """Mean distance from a point of one to the nearest of the other, the larger of the two ways."""
    there = cKDTree(b.points).query(a.points)[0].mean()
    back = cKDTree(a.points).query(b.points)[0].mean()
    return float(max(there, back))


CRITICAL = ("minimum", "saddle", "maximum", "degenerate")
DISTANCES: dict[str, Distance] = {"middles": distance_of_middles, "points": distance_of_points}


@checked
def match_attractors(
    before: Mapping[int, Attractor],
    after: Mapping[int, Attractor],
    *,
    distance: str | Distance = "middles",
    threshold: float = np.inf,
    first_new: int | None = None,
    near: bool = False,
) -> dict[int, int]:
    """New ids for the attractors `after`: the ids of their partners in `before`, or ids not used yet.

    Parameters
    ----------
    before, after : dict of int to Attractor
    distance : {"middles", "points"} or callable
        Of two attractors.
    threshold : float
        Largest distance of partners.
    first_new : int, optional
        First id for an attractor without a partner; one more than the largest in `before` by default.
    near : bool
        Partners must be at most half as far from each other as either is from any other attractor at the
        other's value, and not a critical point of the loss and a hallucinated one.

    Returns
    -------
    dict of int to int
        From ids in `after` to new ids.

    Examples
    --------
    >>> import samdyn as sd
    >>> import numpy as np
    >>> def at(x):
    ...     return sd.basin.Attractor(np.array([[x]]), "minimum", "minimum", np.array([x]), 0.1)
    >>> before, after = {1: at(0.0), 2: at(1.0)}, {1: at(1.1), 2: at(5.0), 3: at(0.1)}
    >>> sd.basin.match_attractors(before, after, threshold=1.0)
    {3: 1, 1: 2, 2: 3}
    """
    if isinstance(distance, str) and distance not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(map(repr, DISTANCES))}, got {distance!r}")
    if not isinstance(distance, str) and not callable(distance):
        raise TypeError(f"distance must be a name or a function of two attractors, got {distance!r}")
    for given in (before, after):
        if not isinstance(given, Mapping) or not all(isinstance(a, Attractor) for a in given.values()):
            raise TypeError(f"before and after must be dicts of attractors, got {before!r} and {after!r}")
    measure = DISTANCES[distance] if isinstance(distance, str) else distance
    threshold = checks.number("threshold", threshold, at_least=0, finite=False)
    pairs = sorted((_measured(measure, a, b), i, j) for i, a in before.items() for j, b in after.items())
    if near:
        pairs = [
            (d, i, j)
            for d, i, j in pairs
            if not _differ(before[i], after[j])
            and all(2 * d <= other for other, m, n in pairs if (m == i) != (n == j))
        ]
    result: dict[int, int] = {}
    for d, i, j in pairs:
        if d <= threshold and j not in result and i not in result.values():
            result[j] = i
    new = max(before, default=0) + 1 if first_new is None else first_new
    for j in after:
        if j not in result:
            result[j] = new
            new += 1
    return result


def _differ(a: Attractor, b: Attractor) -> bool:
    """Whether one is a critical point of the loss and the other a hallucinated one."""
    kinds = {a.kind, b.kind}
    return "hallucinated" in kinds and bool(kinds & set(CRITICAL))


@checked
def tipping_probabilities(before: Array, after: Array) -> tuple[list[int], list[int], Array]:
    """Share of each basin before that belongs to each basin after.

    Parameters
    ----------
    before, after : ndarray of int, same shape
        Labels on one grid at two parameter values.

    Returns
    -------
    labels_before, labels_after : list of int
    probabilities : ndarray, shape (len(labels_before), len(labels_after))
        Rows sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> sd.basin.tipping_probabilities(np.array([1, 1, 1, 2]), np.array([1, 2, 2, 2]))[2]
    array([[0.33333333, 0.66666667],
           [0.        , 1.        ]])
    """
    before, after = checks.labels("before", before), checks.labels("after", after)
    if before.shape != after.shape:
        raise ValueError(f"after must have the shape of before, {before.shape}, got {after.shape}")
    rows, columns = np.unique(before).tolist(), np.unique(after).tolist()
    table = np.array([[float(((before == i) & (after == j)).sum()) for j in columns] for i in rows])
    return rows, columns, table / table.sum(axis=1, keepdims=True)


def relabel(labels: Array, ids: Mapping[int, int]) -> Array:
    """Labels with positive ones replaced by their new ids."""
    result = np.array(labels)
    for old, new in ids.items():
        result[labels == old] = new
    return result


def chain(sequence: Sequence[Mapping[int, Attractor]], **options: object) -> list[dict[int, int]]:
    """Ids for attractors along a sequence of parameter values, one dict for each, from the old ids.

    An attractor is compared with those at the value just before: one that is gone does not come back, and its
    id is not used again.
    """
    before: dict[int, Attractor] = {}
    result = []
    used = 0
    for found in sequence:
        ids = match_attractors(before, found, first_new=used + 1, near=True, **options)  # type: ignore[arg-type]
        before = {ids[k]: a for k, a in found.items()}
        used = max(used, max(before, default=0))
        result.append(ids)
    return result


def matched(result: Any, other: Any, **options: Any) -> Any:
    """A result with the ids of another one's attractors where they are partners, and new ids elsewhere."""
    if not hasattr(other, "attractors") or not hasattr(other, "labels"):
        raise TypeError(f"other must be a Basins or a BasinFractions, got {other!r}")
    ids = match_attractors(other.attractors, result.attractors, near=True, **options)
    named = {ids[k]: a for k, a in result.attractors.items()}
    return replace(result, labels=relabel(result.labels, ids).astype(result.labels.dtype), attractors=named)
