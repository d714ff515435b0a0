"""How numbers of a point are written in results: short, and without what is rounding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MOST = 6
"""Coordinates that are shown; of more only the first, and how many there are."""
ROUNDING = 1e-15
"""Of the largest coordinate (or of 1): what is smaller is written as 0."""


def listed(values: npt.ArrayLike, digits: int = 6, most: int = MOST) -> str:
    """Coordinates or eigenvalues in brackets.

    Examples
    --------
    >>> import numpy as np
    >>> listed([1.0, -1.0175e-166]), listed(np.arange(100.0))
    ('(1, 0)', '(0, 1, 2, 3, 4, 5, ... 100 in all)')
    """
    flat = np.ravel(np.asarray(values))
    finite = np.abs(flat[np.isfinite(flat)])
    rounding = ROUNDING * max(1.0 if finite.size == 0 else float(finite.max()), 1e-300)
    tidy = np.where(np.abs(flat) < rounding, 0.0, flat)
    shown = ", ".join(f"{v:.{digits}g}" for v in tidy[:most])
    return f"({shown}, ... {len(flat)} in all)" if len(flat) > most else f"({shown})"
