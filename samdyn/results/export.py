"""Results as plain dicts, as data frames of pandas and as data sets of xarray.

Which rows a frame has
----------------------
1. A sequence of results, such as fixed points, has one row for each of them, of their numbers and texts;
   short vectors have a column for each coordinate (``x_0``, ``x_1``).
2. Otherwise the length that most arrays of the result share along their first axis is the number of rows,
   such as one row for each path or for each value of a parameter. Arrays of that length are columns, further
   axes of at most `MOST_COLUMNS` entries are columns side by side. An array whose axes have names, none of
   which is the name of the rows, is no column: a short vector, such as a place, is in ``frame.attrs``.
3. A result without arrays is one row.

Numbers and texts that are the same for all rows are in ``frame.attrs``.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from samdyn.arguments.checks import Array

MOST_COLUMNS = 64
"""Columns that one array is given side by side."""
MOST_COORDINATES = 16
"""Coordinates of a vector that each member of a sequence has, such as the place of a fixed point."""


def package(name: str, asked: str, extra: str = "export", project: str | None = None) -> Any:
    """An optional package, or an error that says who needs it and how to get it: by an extra of samdyn, or as
    the project that holds the package, where that has another name.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{asked} needs the package {name}, which is not installed: pip install 'samdyn[{extra}]', or "
            f"pip install {project or name}"
        ) from error


def public_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass or named tuple that a user sees, by name."""
    if hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    return {e.name: getattr(value, e.name) for e in dataclasses.fields(value) if not e.name.startswith("_")}


def plain(value: Any) -> Any:
    """A value as None, numbers, texts, lists and dicts; what is none of these as its text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int | float):
        return value
    if isinstance(value, complex):
        return {"real": value.real, "imag": value.imag}
    if isinstance(value, torch.Tensor):
        return plain(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        if np.iscomplexobj(value):
            return {"real": value.real.tolist(), "imag": value.imag.tolist()}
        return value.tolist()
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return {"class": type(value).__name__, **{k: plain(v) for k, v in public_fields(value).items()}}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    return repr(value)


def columns_of(
    result: Any, names: Mapping[str, Sequence[str]], row: str
) -> tuple[dict[str, Array | list[Any]], dict[str, Any]]:
    """The columns of a result by name, and what is the same for all rows.

    Parameters
    ----------
    result : Result
    names : dict
        Of axes, by the field whose axes they are.
    row : str
        The name of the axis whose entries are the rows.
    """
    if isinstance(result, Sequence):
        return _columns_of_members(result), {
            key: value for key, value in public_fields(result).items() if _is_scalar(value)
        }
    fields = public_fields(result)
    constants = {key: _scalar(value) for key, value in fields.items() if _is_scalar(value)}
    everything = _arrays(fields)
    # an array whose axes have names counts only where one of them is the row
    arrays = {
        key: np.moveaxis(array, names[key].index(row), 0) if key in names else array
        for key, array in everything.items()
        if row in names.get(key, (row,)) and len(names.get(key, array.shape)) == array.ndim
    } or everything
    constants |= {
        key: array.tolist()
        for key, array in everything.items()
        if key not in arrays and array.ndim == 1 and len(array) <= MOST_COORDINATES
    }
    lengths = Counter(len(array) for array in arrays.values())
    if not lengths:
        return {key: [value] for key, value in constants.items()}, {}
    most = max(lengths.values())
    n = next(len(array) for array in arrays.values() if lengths[len(array)] == most)
    columns: dict[str, Any] = {}
    for key, array in arrays.items():
        if len(array) == n:
            columns |= _side_by_side(key, array)
    return columns, constants


def data_set(result: Any, xarray: Any, names: Mapping[str, Sequence[str]], axis: str) -> Any:
    """The result as a data set of xarray: its arrays as variables, its numbers and texts as attributes.

    Parameters
    ----------
    result : Result
    xarray : module
    names : dict
        Of axes, by the field whose axes they are; others get the name of the field and a number.
    axis : str
        Name of the first axis of the arrays that make the rows of a frame.
    """
    fields = public_fields(result)
    arrays = {} if isinstance(result, Sequence) else _arrays(fields)
    if not arrays:
        columns, constants = result._columns()
        variables: dict[str, Any] = {key: ((axis,), np.asarray(column)) for key, column in columns.items()}
        return xarray.Dataset(variables, attrs=_attributes(constants))
    coordinates = result._coordinates()
    lengths = Counter(len(array) for array in arrays.values())
    most = max(lengths.values())
    n = next(len(array) for array in arrays.values() if lengths[len(array)] == most)
    sizes: dict[str, int] = {}
    variables = {}
    for key, array in arrays.items():
        dims = list(names.get(key, ()))
        if len(dims) != array.ndim:
            dims = [axis if k == 0 and m == n else f"{key}_{k}" for k, m in enumerate(array.shape)]
        named = zip(dims, array.shape, strict=True)
        dims = [d if sizes.setdefault(d, m) == m else f"{key}_{d}" for d, m in named]
        variables[key] = (tuple(dims), array)
    # a variable named like an axis must have that axis alone
    variables = {
        f"{key}_values" if key in sizes and dims != (key,) else key: (dims, array)
        for key, (dims, array) in variables.items()
    }
    constants = {key: value for key, value in fields.items() if _is_scalar(value)}
    return xarray.Dataset({**variables, **coordinates}, attrs=_attributes(constants)).set_coords(
        [*coordinates]
    )


def _arrays(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays among fields, and in dicts and short tuples of arrays, by name."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, np.ndarray) and value.ndim and not value.dtype.hasobject:
            found[key] = value
        elif isinstance(value, Mapping) or (isinstance(value, tuple) and 0 < len(value) <= MOST_COLUMNS):
            parts = value.items() if isinstance(value, Mapping) else enumerate(value)
            for name, part in parts:
                if isinstance(part, np.ndarray) and part.ndim:
                    found[f"{key}_{name}"] = part
    return found


def _side_by_side(key: str, array: Any) -> dict[str, Any]:
    flat = array.reshape(len(array), int(np.prod(array.shape[1:])))
    if array.ndim == 1:
        return {key: array}
    if flat.shape[1] > MOST_COLUMNS:
        return {}
    places = np.ndindex(*array.shape[1:])
    return {"_".join([key, *map(str, place)]): flat[:, i] for i, place in enumerate(places)}


def _columns_of_members(members: Sequence[Any]) -> dict[str, Array | list[Any]]:
    rows = []
    sizes: dict[str, set[int]] = {}
    for member in members:
        for key, value in public_fields(member).items():
            sizes.setdefault(key, set()).add(np.size(value))
    short = {key for key, found in sizes.items() if len(found) == 1 and max(found) <= MOST_COORDINATES}
    for member in members:
        row: dict[str, Any] = {}
        for key, value in public_fields(member).items():
            if _is_scalar(value):
                row[key] = _scalar(value)
            elif isinstance(value, np.ndarray) and value.ndim == 1 and key in short:
                row |= {f"{key}_{i}": part for i, part in enumerate(value)}
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _is_scalar(value: Any) -> bool:
    plain_kind = isinstance(value, bool | int | float | complex | str | np.generic)
    return plain_kind or (isinstance(value, np.ndarray) and value.ndim == 0)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def _attributes(constants: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that a file of xarray can hold: it has no booleans and no complex numbers."""
    kept = {}
    for key, value in constants.items():
        number = _scalar(value)
        if isinstance(number, bool):
            number = int(number)
        kept[key] = str(number) if isinstance(number, complex) else number
    return kept
