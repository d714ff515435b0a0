"""The base of all results: what every result can do, from one method that a result writes itself, its table.

A result is a frozen dataclass whose fields are numbers, texts, arrays and other results: ::

    @dataclass(frozen=True, eq=False, repr=False)
    class Mean(Result):
        value: float
        standard_error: float

        def table(self) -> Table:
            return Table(f"Mean: {self.value:.6g} ± {self.standard_error:.2g}")

The text, the HTML of a notebook, files, frames, the picture and the citation come from this base. A class may
say more in class variables: `cited` (keys of `samdyn.results.sources`), `row` (what a row of a frame is) and
`axes` (names of the axes of its arrays, for xarray). ``repr=False`` and ``eq=False`` are needed, since
`dataclass` would otherwise write a text and a comparison of its own over the methods of this base.
"""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import networkx as nx
import numpy as np
from scipy import sparse

from samdyn.results.absent import Absent
from samdyn.results.encoding import STORABLE, fields_of, storable
from samdyn.results.export import columns_of, data_set, package, plain
from samdyn.results.files import absences, read, write
from samdyn.results.sources import citation_of
from samdyn.results.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Result(ABC):
    """What a verb returns: the base of all results.

    Notes
    -----
    Two results are equal (``==``) if they are of one class, have equal numbers and texts, and hold the very
    same arrays. `equals` compares arrays by their entries. Comparing and hashing never raise.

    Examples
    --------
    >>> import samdyn as sd
    >>> cycle = sd.two_cycle([3.0, 1.0], lr=0.1, rho=0.05)
    >>> cycle.equals(sd.two_cycle([3.0, 1.0], lr=0.1, rho=0.05))
    True
    >>> cycle.to_dict()["amplitude"]
    0.008823529411764707
    """

    cited: ClassVar[tuple[str, ...]] = ()
    """Keys of what to cite besides samdyn, in `samdyn.results.sources`."""
    row: ClassVar[str] = "row"
    """What a row of the data frame is, and the name of that axis in xarray."""
    axes: ClassVar[tuple[str, ...]] = ()
    """Names of the axes of arrays for xarray, such as "gap: setting step replica"."""
    besides: ClassVar[tuple[str, ...]] = ()
    """Attributes that are no fields, and that files hold where they can hold all but a system or a loss."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        storable(cls)

    @abstractmethod
    def table(self) -> Table:
        """What the result says of itself: a title, rows of texts and remarks."""

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(self) is type(other) and same(_compared(self), _compared(other), entries=False)
        )

    def __hash__(self) -> int:
        values = _compared(self).values()
        fields = [value.item() if isinstance(value, np.generic) else value for value in values]
        plain_ones = tuple(value for value in fields if value is None or isinstance(value, bool | int | str))
        arrays = tuple(id(value) for value in fields if isinstance(value, np.ndarray))
        return hash((type(self).__name__, plain_ones, arrays))

    def equals(self, other: object) -> bool:
        """Whether another result has the same content: arrays by shape and entries, where nan equals nan.

        Parameters
        ----------
        other : object
            Anything; what is of another class is not equal.

        Returns
        -------
        bool
            Of a system its text is compared. Functions are not.
        """
        return self is other or (type(self) is type(other) and same(_compared(self), _compared(other)))

    def to_dict(self) -> dict[str, Any]:
        """The result as numbers, texts, lists and dicts, which JSON can hold.

        Returns
        -------
        dict
            The name of the class under "class", and its fields: arrays as nested lists, complex numbers as
            {"real", "imag"}, results as such dicts, systems and losses as their texts. nan and inf stay
            numbers: Python's ``json`` writes and reads them, a strict reader of JSON does not.
        """
        found: dict[str, Any] = plain(self)
        return found

    def to_pandas(self) -> Any:
        """The numbers of the result as a data frame, one row for each path, point or value.

        Returns
        -------
        pandas.DataFrame
            Vectors have a column for each coordinate (``x_0``, ``x_1``). What is the same for all rows is in
            ``frame.attrs``.

        Raises
        ------
        ImportError
            pandas is not installed.

        Notes
        -----
        See `samdyn.results.export` for what makes a row.
        """
        pandas = package("pandas", "to_pandas")
        columns, constants = self._columns()
        frame = pandas.DataFrame(dict(columns))
        frame.index.name = self.row
        frame.attrs.update(constants)
        return frame

    def to_xarray(self) -> Any:
        """The arrays of the result as a data set with named axes.

        Returns
        -------
        xarray.Dataset
            A variable for each array; numbers and texts are attributes.

        Raises
        ------
        ImportError
            xarray is not installed.
        """
        return data_set(self, package("xarray", "to_xarray"), self._axis_names(), self.row)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result to a compressed .npz file: arrays and a JSON header with a schema number.

        No pickle is in it, so that reading a file runs nothing that the file says.

        Parameters
        ----------
        path : str or path-like
            The file. It is written beside its place and renamed, so that it is complete or as it was before.

        Raises
        ------
        TypeError, ValueError
            `path` is not a path.
        OSError
            The folder does not exist, the disk is full, and so on.

        Notes
        -----
        A loss of `samdyn.landscapes`, a rule and a noise model of samdyn, and a system made of them are kept.
        Of a system or loss made of a user's own functions the text is kept: see `load`.
        """
        write(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], system: Any = None) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.
        system : System or Landscape, optional
            The system (or loss) that the result was computed for, if the file could not hold it. Methods that
            do not need it work without. It is known by its text and by a few of its values.

        Returns
        -------
        Result
            A result of this class; ``Result.load`` reads results of every class.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is no result, is of another schema or class, is damaged or was changed, or `system`
            is not the system of the result.
        """
        found: Self = read(path, None if cls is Result else cls, system)
        return found

    @property
    def absent(self) -> tuple[str, ...]:
        """What a result that was read from a file lacks, as texts: see `load`."""
        return tuple(absences(self))

    @property
    def citation(self) -> str:
        """What to cite where this result is used, as text: samdyn, and the papers of the method."""
        return citation_of(self.cited)

    def plot(self, *arguments: Any, **options: Any) -> Any:
        """Draw the result.

        Parameters
        ----------
        *arguments, **options
            Arguments of the picture, among them `ax`, the matplotlib Axes to draw in; a new figure by
            default.

        Returns
        -------
        matplotlib Axes
        """
        return self._draw(*arguments, **options)

    def _besides(self) -> dict[str, Any]:
        """What files hold besides the fields, by name."""
        return {name: vars(self).get(name) for name in self.besides}

    def _draw(self, *arguments: Any, **options: Any) -> Any:
        from samdyn.plot.registry import drawn  # the only place where results reach up to pictures

        return drawn(self, *arguments, **options)

    def _columns(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Columns of the data frame, and what is the same for all rows."""
        return columns_of(self, self._axis_names(), self.row)

    def _axis_names(self) -> dict[str, tuple[str, ...]]:
        """Names of the axes of arrays, by field."""
        entries = (entry.split(": ") for entry in self.axes)
        return {field: tuple(names.split()) for field, names in entries}

    def _coordinates(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        """Coordinates of the data set of xarray: their axes and values, by name."""
        return {}

    @classmethod
    def _rebuilt(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The fields of a result from a file, with functions made again that follow from other fields."""
        return values

    @classmethod
    def _inconsistency(cls, values: Mapping[str, Any]) -> str:
        """What does not fit together in fields that were read from a file, as a clause, or nothing."""
        return ""


storable(Result)


def same(a: Any, b: Any, entries: bool = True) -> bool:
    """Whether two values of results are equal; never an error.

    Arrays are compared by their entries, or else by identity.

    Examples
    --------
    >>> same({"x": np.array([1.0, np.nan])}, {"x": np.array([1.0, np.nan])})
    True
    >>> same([1, 2], (1, 2))
    False
    """
    if a is b:
        return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        both = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
        if not entries or not both or a.shape != b.shape:
            return False
        floats = a.dtype.kind in "fc" and b.dtype.kind in "fc"
        return bool(np.array_equal(a, b, equal_nan=floats))
    a, b = (value.item() if isinstance(value, np.generic) else value for value in (a, b))
    if isinstance(a, Absent) or isinstance(b, Absent):
        return repr(a) == repr(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, Result):
        return a.equals(b) if entries else a == b
    if isinstance(a, float):
        return bool(a == b or (a != a and b != b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y, entries) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key], entries) for key in a)
    if sparse.issparse(a):
        return entries and a.shape == b.shape and (a != b).nnz == 0
    if isinstance(a, nx.Graph):
        return same(_graph_parts(a), _graph_parts(b), entries)
    if STORABLE.get(type(a).__name__) is type(a):
        return same(fields_of(a), fields_of(b), entries)
    try:
        if bool(a == b):
            return True
    except Exception:  # objects of others may refuse to be compared
        return False
    # systems, losses and graphs have no comparison of their own
    return type(a).__module__.startswith("samdyn.") and repr(a) == repr(b)


def _compared(result: Result) -> dict[str, Any]:
    """The fields that comparisons look at."""
    named = dataclasses.fields(result)
    return {e.name: getattr(result, e.name) for e in named if e.compare and not e.name.startswith("_")}


def _graph_parts(graph: nx.Graph) -> list[Any]:
    return [dict(graph.graph), dict(graph.nodes(data=True)), list(graph.edges(data=True))]
