"""Which paths of an ensemble are observations: all of them where noise makes them differ, else one a start.

Without noise all paths from one start are the same path, and a hundred copies of it say no more than one. A
system has no noise if it has no noise model, if every standard deviation of the model is 0, or if each batch
is the whole sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch


def noiseless(system: Any) -> bool:
    """Whether all paths of a system from one start are the same.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.landscapes.saddle(1, 1)
    >>> noise = sd.GaussianNoise(std=1.0)
    >>> noiseless(sd.Map(loss, sd.GD(), lr=0.1)), noiseless(sd.Map(loss, sd.GD(), lr=0.1, noise=noise))
    (True, False)
    """
    noise = getattr(system, "noise", None)
    if noise is None:
        return isinstance(system, Map)
    if isinstance(noise, Minibatch):
        whole = noise.batch_size == getattr(system.landscape, "n_samples", None)
        return whole and noise.sampling == "without replacement"
    for name in ("std", "cov"):
        value = getattr(noise, name, None)
        if value is not None and not callable(value) and not np.any(np.asarray(value, dtype=float)):
            return True
    return False


def first_of_each_start(problem: Any, n: int) -> npt.NDArray[np.bool_] | None:
    """Which of n paths count as observations; None where all do.

    Parameters
    ----------
    problem : (system, region, x0) or None
        What was simulated, x0 of shape (dim,) or (n, dim).
    n : int
        Number of paths.

    Returns
    -------
    ndarray of bool, shape (n,), or None
    """
    if problem is None or not noiseless(problem[0]):
        return None
    x0 = np.atleast_2d(np.asarray(problem[2], dtype=float))
    if len(x0) != n and len(x0) != 1:
        return None  # a part of the ensemble, whose starts are not known
    keep = np.zeros(n, dtype=bool)
    keep[np.unique(x0, axis=0, return_index=True)[1]] = True
    return keep
