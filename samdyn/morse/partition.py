"""Boxes of a grid that is bisected again and again, and which of them a rectangle meets.

Level k of a partition has 2^k boxes: the sides are bisected in turn, the first coordinate first. A box of a
level is known by its integer indices, and by one code, C order over the level's grid. Rectangles and boxes
are closed: one that only touches a box meets it, so that a cover by boxes is an outer bound on closed sets.

The boxes that a rectangle meets are a block of indices. `meeting` lists the blocks of many rectangles as
the rows of a sparse matrix, in tiles of bounded memory; `Members` finds the place of a code among the boxes
that are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.arguments.checks import Array
from samdyn.results import storable

Index = npt.NDArray[np.int64]

TILE = 1 << 22  # pairs of a rectangle and a box listed at a time
DENSE = 1 << 26  # most boxes of a level for a table of all of them


@storable
@dataclass(frozen=True)
class Level:
    """The grid of one level.

    Attributes
    ----------
    box : ndarray, shape (dim, 2)
    shape : tuple of int
        Boxes along each side.
    """

    box: Array
    shape: tuple[int, ...]

    @property
    def sides(self) -> Array:
        """Sides of a box, shape (dim,)."""
        return (self.box[:, 1] - self.box[:, 0]) / self.shape

    @property
    def n_boxes(self) -> int:
        return int(np.prod(self.shape, dtype=object))

    def corners(self, index: Index) -> tuple[Array, Array]:
        """Lower and upper corners (n, dim) of boxes (n, dim); neighbours share theirs exactly."""
        count, (start, end) = np.asarray(self.shape, dtype=np.float64), self.box.T
        lower, upper = (start + (end - start) * (k / count) for k in (index, index + 1))
        # the last box ends where the whole box does: start + (end - start) may fall short of it
        return lower, np.where(index + 1 == count, end, upper)

    def codes(self, index: Index) -> Index:
        """One number for each box."""
        return np.asarray(np.ravel_multi_index(tuple(index.T), self.shape), dtype=np.int64)

    def blocks(self, lower: Array, upper: Array) -> tuple[Index, Index, npt.NDArray[np.bool_]]:
        """First and last indices (n, dim) of the boxes that rectangles meet, and whether a part lies outside.

        A rectangle wholly outside has a last index below its first. An end that is not a number has no limit.
        """
        start, width = self.box[:, 0], self.box[:, 1] - self.box[:, 0]
        count = np.asarray(self.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            outside = ~every((lower >= start) & (upper <= self.box[:, 1]))  # true for nan
            low, high = (lower - start) / width * count, (upper - start) / width * count
            if not (np.isfinite(low).all() and np.isfinite(high).all()):
                low = np.nan_to_num(low, nan=-1.0, posinf=2.0**60, neginf=-(2.0**60))
                high = np.nan_to_num(high, nan=2.0**60, posinf=2.0**60, neginf=-(2.0**60))
        # the quotient is off by a few roundings, and the corners of the boxes are off by the roundings of the
        # box's own ends: what lies this near to a face touches it
        corner = count * np.abs(self.box).max(axis=1) / width
        slack = 8 * np.finfo(np.float64).eps * (3 * count + corner)
        first = np.clip(np.ceil(low - slack) - 1, 0, count).astype(np.int64)
        last = np.clip(np.floor(high + slack), -1, count - 1).astype(np.int64)
        return first, last, outside

    def bisected(self, axis: int) -> Level:
        """The next level: twice the boxes along one side."""
        shape = tuple(n * (2 if i == axis else 1) for i, n in enumerate(self.shape))
        return Level(self.box, shape)


def every(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether all of a row (n, dim) hold; column by column, as rows are short."""
    return functools.reduce(np.logical_and, flags.T)


def _sizes(extent: Index) -> Index:
    """The products of rows (n, dim)."""
    return functools.reduce(np.multiply, extent.T)


def children(index: Index, axis: int) -> Index:
    """Indices, at the next level, of the two halves of every box, one after the other."""
    doubled = np.repeat(index, 2, axis=0)
    doubled[:, axis] = 2 * doubled[:, axis] + np.tile([0, 1], len(index))
    return doubled


@storable
class Members:
    """The boxes of a level that are kept, and the place of a code among them.

    Parameters
    ----------
    level : Level
    codes : ndarray of int, shape (n,)
        In increasing order.
    """

    stored = ("level", "codes")

    def __init__(self, level: Level, codes: Index) -> None:
        self.level, self.codes = level, codes
        self.full = len(codes) == level.n_boxes
        self.table: npt.NDArray[np.int32] | None = None
        if not self.full and level.n_boxes <= DENSE:
            self.table = np.full(level.n_boxes, -1, dtype=np.int32)
            self.table[codes] = np.arange(len(codes), dtype=np.int32)

    def places(self, codes: Index) -> Index:
        """Place of each code among the members, -1 where it is not one."""
        if self.full:
            return codes
        if self.table is not None:
            return self.table[codes].astype(np.int64)
        if not len(self.codes):
            return np.full(len(codes), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[at] == codes, at, -1)


def n_meetings(first: Index, last: Index, members: Members) -> int:
    """Upper bound on the number of pairs of a rectangle and a member that it meets."""
    block = np.maximum(last - first + 1, 0).astype(np.float64).prod(axis=1)
    return int(np.minimum(block, len(members.codes)).sum())


def meeting(
    level: Level, first: Index, last: Index, members: Members
) -> Iterator[tuple[slice, Index, Index]]:
    """Members of a level that rectangles meet, in tiles.

    Parameters
    ----------
    level : Level
    first, last : ndarray of int, shape (n, dim)
        The rectangles' blocks, from `Level.blocks`.
    members : Members

    Yields
    ------
    (rows, counts, places)
        A slice of the rectangles, how many members each of them meets, and the members' places one rectangle
        after the other.
    """
    extent = np.maximum(last - first + 1, 0)
    block = _sizes(extent)
    # a rectangle over more boxes than there are members is compared with the members instead
    size = np.minimum(block, len(members.codes))
    ends = np.cumsum(size)
    start = 0
    while start < len(size):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + TILE, side="right")), start + 1)
        rows = slice(start, stop)
        wide = block[rows] > size[rows]
        owner, places = _listed(level, first[rows], extent[rows], np.flatnonzero(~wide), members)
        if wide.any():
            others = _compared(level, first[rows], last[rows], np.flatnonzero(wide), members)
            owner, places = (np.concatenate(pair) for pair in zip((owner, places), others, strict=True))
            order = np.argsort(owner, kind="stable")
            owner, places = owner[order], places[order]
        yield rows, np.bincount(owner, minlength=stop - start), places
        start = stop


def _listed(level: Level, first: Index, extent: Index, rows: Index, members: Members) -> tuple[Index, Index]:
    """Rows and the members they meet, from the list of all boxes of their blocks."""
    extent = extent[rows]
    block = _sizes(extent)
    which = np.repeat(np.arange(len(rows), dtype=np.int32), block)
    # no more than TILE of them, or than there are members: 32 bits are faster to divide
    rest = np.arange(len(which), dtype=np.int32) - np.repeat(
        (np.cumsum(block) - block).astype(np.int32), block
    )
    strides = np.cumprod([1, *level.shape[:0:-1]], dtype=np.int64)[::-1]
    code = (first[rows] @ strides)[which]
    for axis in range(len(level.shape) - 1, 0, -1):
        rest, along = np.divmod(rest, extent[:, axis].astype(np.int32)[which])
        code += along * strides[axis]
    code += rest * strides[0]
    places = members.places(code)
    kept = np.flatnonzero(places >= 0)
    return rows[which[kept]], places[kept]


def _compared(level: Level, first: Index, last: Index, rows: Index, members: Members) -> tuple[Index, Index]:
    """The same, from a comparison of every row with every member."""
    index = np.stack(np.unravel_index(members.codes, level.shape), axis=1)
    inside = np.ones((len(rows), len(index)), dtype=bool)
    for axis in range(index.shape[1]):
        inside &= index[:, axis] >= first[rows, axis, None]
        inside &= index[:, axis] <= last[rows, axis, None]
    owner, places = np.nonzero(inside)
    return rows[owner], places
