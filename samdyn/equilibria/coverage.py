"""How likely a multi-start search has missed a point, from how often it found each of those it found.

Every start is a draw from the species "zeros", each with the share of its basin under the search as its
unknown probability. Let n be the number of starts that ended at a zero in the box, n_1 the number of zeros
found once and n_2 of those found twice.

1. Good-Turing: the total share of the zeros not found, which is the probability that one more start finds
   a new one, is estimated by n_1 / n.
2. Its upper confidence bound at 95 %: n_1 / n + 2.3 sqrt(log(20) / n) (McAllester & Schapire), or 3 / n
   where every zero was found ten times or more (the rule of three for a single basin of that share).
3. Chao 1: at least n_1 (n_1 - 1) / (2 (n_2 + 1)) zeros are missed (bias-corrected form, a lower bound in
   expectation).

Starts fill the box evenly (Sobol), which finds large basins more evenly than independent draws would: the
estimates lean to the safe side there. Points that no plain start found (but the deflated search, iterates of
the field or a sign change on a line) count as found once. All of this speaks of the basins of Newton's
method: a zero in a steep layer, whose basin is far smaller than 1 / n, leaves no trace in the counts. In two
dimensions the index sum (`samdyn.equilibria.proof.index_check`) sees such a zero, though not always a pair of
them; so it does in more dimensions where the field is simple on the boundary
(`samdyn.equilibria.proof.boundary_index`).
What proves completeness is ``fixed_points(..., certify=True)``.

References
----------
Good, Biometrika 40 (1953) 237-264. Chao, Scand. J. Statist. 11 (1984) 265-270. McAllester & Schapire, COLT
2000. Davidchack & Lai (1999) and Farrell, Birkisson & Funke (2015) for the searches that it measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.equilibria.proof.index_check import IndexCheck
from samdyn.results import Result, Table

OFTEN = 10  # finds of every zero, after which no further starts are drawn; chosen


@dataclass(frozen=True, eq=False, repr=False)
class Coverage(Result):
    """How thoroughly a box was searched.

    Attributes
    ----------
    n_starts : int
        Newton starts.
    n_found : int
        Starts that ended at a zero in the box.
    n_undefined : int
        Starts at which the function was infinite or nan.
    counts : ndarray of int, shape (n_zeros,)
        How often each zero was found.
    index : IndexCheck or None
        In two dimensions, what winding numbers of the field say about the list; in three to six what its degree
        on the box's boundary says (`samdyn.equilibria.proof`).

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> sd.equilibria.Coverage(100, 60, 0, np.array([40, 19, 1]))
    Coverage: 3 points from 60 of 100 Newton starts, the rarest 1 time; of further Newton starts a share of 0.017 (< 0.53 at 95 %) ends at a new one, missed of those that Newton starts reach (Chao 1): 0.0
    """  # noqa: E501

    cited = ("chao1984", "farrell2015")
    row = "point"

    n_starts: int
    n_found: int
    n_undefined: int
    counts: npt.NDArray[np.int64]
    index: IndexCheck | None = None

    @property
    def unseen(self) -> float:
        """Good-Turing estimate of the probability that a further start finds a new point."""
        once = int((self.counts <= 1).sum())
        return min(1.0, once / self.n_found) if self.n_found else 1.0

    @property
    def unseen_bound(self) -> float:
        """Upper 95 % confidence bound of `unseen`."""
        if not self.n_found:
            return 1.0
        if (self.counts >= OFTEN).all():
            return min(1.0, 3 / self.n_found)
        return min(1.0, self.unseen + 2.3 * math.sqrt(math.log(20) / self.n_found))

    @property
    def missed(self) -> float:
        """Chao's estimate of the number of points missed."""
        once, twice = int((self.counts <= 1).sum()), int((self.counts == 2).sum())
        return once * (once - 1) / (2 * (twice + 1))

    def _steep(self) -> str:
        """Points that no Newton start reaches, found by iterates or sign changes, warn of others."""
        rare = int((self.counts == 0).sum())
        if not rare:
            return ""
        return (
            f"; no Newton start reached {rare} of the points: the function is steep there, and others like "
            "them may be missed"
        )

    def _undefined(self) -> str:
        share = f"; the function is infinite or nan at {self.n_undefined} of the starts"
        return share if self.n_undefined else ""

    def _index(self) -> str:
        return "" if self.index is None else f"; {self.index!r}"

    def table(self) -> Table:
        """How many points were found from how many starts, and how many are likely missed."""
        rest = f"{self._steep()}{self._undefined()}{self._index()}"
        if not self.n_found:
            return Table(f"Coverage: no Newton start of {self.n_starts} ended at a point{rest}")
        rarest = int(self.counts.min())
        return Table(
            f"Coverage: {len(self.counts)} points from {self.n_found} of {self.n_starts} Newton starts, the "
            f"rarest {rarest} time{'s' * (rarest != 1)}; of further Newton starts a share of "
            f"{self.unseen:.2g} (< {self.unseen_bound:.2g} at 95 %) ends at a new one, missed of those that "
            f"Newton starts reach (Chao 1): {self.missed:.1f}{rest}"
        )
