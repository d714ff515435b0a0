"""Whether a system or a loss is the one that a file was written for, where the file holds its text alone.

Two systems of different functions may have one text. So a few values are kept with the text: what the system
or the loss gives at `N_POINTS` points, summed over coordinates with random weights. The points lie in the
box, or are normal where there is none. Values count as equal to `TOLERANCE`, since their last digits are the
machine's business. Functions that differ elsewhere alone are not told apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.landscapes.landscape import Landscape
from samdyn.systems import Diffusion
from samdyn.systems.system import System

N_POINTS = 4
TOLERANCE = 1e-6
MOST_DIM = 64  # above, covariances are not compared: they have the square of that many entries


def values_of(thing: Any) -> list[float] | None:
    """Values of a system or loss at a few points; None of anything else, and where they are not repeatable.

    Examples
    --------
    >>> import samdyn as sd
    >>> values_of(sd.landscapes.quadratic([[0.0]]))
    [0.0, 0.0, 0.0, 0.0]
    """
    if not isinstance(thing, System | Landscape):
        return None
    try:
        once, again = (_values(thing).ravel() for _ in range(2))
    except Exception:  # a user's function may raise anything, and then there is nothing to compare
        return None
    return [float(v) for v in once] if np.array_equal(once, again, equal_nan=True) else None


def alike(values: list[float] | None, thing: Any) -> bool:
    """Whether a thing of the same text gives the values, as far as both are known.

    Examples
    --------
    >>> import samdyn as sd
    >>> bowl, steeper = (sd.Landscape(lambda w, c=c: c * w @ w, dim=1, name="bowl") for c in (1.0, 2.0))
    >>> alike(values_of(bowl), bowl), alike(values_of(bowl), steeper)
    (True, False)
    """
    found = values_of(thing)
    if values is None or found is None:
        return True
    return len(values) == len(found) and np.allclose(values, found, rtol=TOLERANCE, atol=0.0, equal_nan=True)


def _values(thing: System | Landscape) -> Array:
    rng = np.random.default_rng(0)
    size = thing.state_dim if isinstance(thing, System) else thing.dim
    points = rng.normal(size=(N_POINTS, size))
    if thing.box is not None:
        lower, upper = thing.box.T
        points[:, : thing.dim] = rng.uniform(lower, upper, (N_POINTS, thing.dim))
    if isinstance(thing, Landscape):
        return np.asarray(thing.value(points))
    weights = rng.uniform(1.0, 2.0, size)
    found = thing.evaluate(points) @ weights
    if isinstance(thing, Diffusion) and size <= MOST_DIM:
        found = np.concatenate([found, weights @ thing.covariance(points) @ weights])
    return np.asarray(found)
