"""Basins in files: a compressed .npz of arrays with a JSON header that carries a schema number, no pickle.

The file is written by `samdyn.jobs.whole_files.write_file`. When it is read, the kind, shape and range of
every member are checked, so that a file with a changed member is refused instead of read as another result.
"""

from __future__ import annotations

import io
import json
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from samdyn.basin.checkpoint import fingerprint
from samdyn.basin.paths.course import course_of
from samdyn.basin.paths.pieces import REASONS
from samdyn.basin.search.attractors import Attractor
from samdyn.jobs.whole_files import path_of, write_file
from samdyn.results import Absent
from samdyn.systems.system import System

if TYPE_CHECKING:
    from samdyn.basin.result import Basins

SCHEMA = 3  # number of the file's layout; raised when the layout changes
OF_ATTRACTOR = ("kind", "name", "radius", "period", "exponent", "inside", "closed")
Members = dict[str, Any]


def save(basins: Basins, path: str | os.PathLike[str]) -> None:
    """Write a result; of the system only its description is kept."""
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "system": repr(basins.system),
        "attractors": {
            str(k): {name: getattr(a, name) for name in OF_ATTRACTOR} for k, a in basins.attractors.items()
        },
        "unit": basins.unit,
        "replicas": basins.replicas,
        "unresolved": {str(k): p for k, p in basins.unresolved.items()},
        "interrupted": basins.interrupted,
        "radius": basins.radius,
        "max_steps": basins.max_steps,
    }
    course = basins.course
    if course is not None:  # how points are followed, which the system alone does not say
        header["course"] = {name: getattr(course, name) for name in ("noisy", "seed", "far")}
        header["course"]["dt"] = course.stride
        header["steps"] = fingerprint(course)
    arrays: Members = {"labels": basins.labels, "steps": basins.steps, "box": basins.box}
    if basins.probabilities is not None:
        arrays["probabilities"] = basins.probabilities
    for k, a in basins.attractors.items():
        arrays |= {f"points{k}": a.points, f"position{k}": a.position, f"states{k}": a.states}
    header["arrays"] = sorted(arrays)
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    write_file(path, lambda file: np.savez_compressed(file, header=text, **arrays))


def load(path: str | os.PathLike[str], system: System | None) -> dict[str, Any]:
    """The fields of the result that a file holds, with the system it was made from if it is given.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        The file is damaged, of another schema, or of another system.
    """
    name = path_of("path", path)
    with open(name, "rb") as file:  # a missing file is the system's own error
        content = file.read()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as data:
            members = {key: data[key] for key in data.files}
        header = json.loads(bytes(members.pop("header")).decode())
        schema = header["schema"]
        _require(isinstance(schema, int), "a schema number")
    except Exception as error:  # whatever zip, numpy and JSON make of other bytes
        raise _damaged(name, error) from error
    if schema != SCHEMA:
        raise ValueError(f"{name!r} has schema {schema!r}, expected {SCHEMA}")
    try:
        fields = _fields(header, members)
    except Exception as error:  # a member that is missing, of another kind, or out of its range
        raise _damaged(name, error) from error
    if system is not None:
        if repr(system) != header["system"]:
            raise ValueError(f"system must be the one saved, {header['system']}, got {system!r}")
        if "course" not in header:
            raise ValueError(f"path must hold a result saved with its system, got {name!r} without one")
        course = course_of(system, fields["box"], **header["course"])
        if fingerprint(course) != header["steps"]:
            raise ValueError("system must be the one saved, got one that takes points elsewhere")
        fields |= {"system": system, "course": course}
    return fields


def _damaged(name: str, error: Exception) -> ValueError:
    return ValueError(
        f"path must be a file written by Basins.save, got {name!r}, which is damaged, cut short or "
        f"something else ({type(error).__name__}: {error})"
    )


def _require(true: Any, what: str) -> None:
    if not true:
        raise ValueError(f"it must hold {what}")


def _number(value: Any, above: float = 0.0) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and above < value < math.inf


def _integer(value: Any, at_least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def _array(array: Any, kind: type, shape: tuple[int | None, ...]) -> bool:
    """Whether it has this dtype and shape (None for any length), and finite entries."""
    same = array.dtype == np.dtype(kind) and array.ndim == len(shape)
    fits = same and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    return bool(fits and array.size and np.isfinite(array).all())


def _fields(header: dict[str, Any], members: Members) -> dict[str, Any]:
    """The fields of a result, checked."""
    _require(sorted(members) == header["arrays"], "the arrays that its header names, and no others")
    labels, steps, box = members["labels"], members["steps"], members["box"]
    dim = labels.ndim
    _require(dim and _array(labels, np.int16, (None,) * dim), "labels of type int16")
    _require(_array(steps, np.int32, labels.shape) and steps.min() >= -1, "steps >= -1, one for each label")
    _require(_array(box, float, (dim, 2)) and (box[:, 0] < box[:, 1]).all(), "a box of lower < upper ends")
    attractors = {int(k): _attractor(int(k), v, members, dim) for k, v in header["attractors"].items()}
    _require(all(k > 0 for k in attractors), "ids of attractors above 0")
    known = {*attractors, *REASONS}
    _require(set(np.unique(labels).tolist()) <= known, "labels of its attractors and of known reasons")
    probabilities = members.get("probabilities")
    if probabilities is not None:
        fits = _array(probabilities, float, (*labels.shape, len(attractors))) or not attractors
        _require(fits and ((probabilities >= 0) & (probabilities <= 1)).all(), "probabilities from 0 to 1")
        _require((probabilities.sum(axis=-1) <= 1 + 1e-9).all(), "probabilities with a sum of at most 1")
    unresolved = {int(k): p for k, p in header["unresolved"].items()}
    shares = set(unresolved) <= set(REASONS) and all(_number(p) and p <= 1 for p in unresolved.values())
    _require(shares, "shares from 0 to 1 of paths that ended nowhere")
    _require(_number(header["unit"]), "a time of a step above 0")
    _require(_integer(header["replicas"]) and _integer(header["max_steps"]), "counts of at least 1")
    _require(isinstance(header["interrupted"], bool), "whether it was interrupted")
    _require(header["radius"] is None or _number(header["radius"]), "a radius above 0, or none")
    _require(isinstance(header["system"], str), "a description of its system")
    if "course" in header:
        c = header["course"]
        _require(set(c) == {"dt", "noisy", "seed", "far"}, "how points are followed")
        _require(c["dt"] is None or _number(c["dt"]), "a step above 0, or none")
        fits = isinstance(c["noisy"], bool) and _number(c["far"], 0.5) and isinstance(c["seed"], int)
        _require(fits and isinstance(header["steps"], str), "how points are followed")
    return {
        "labels": labels,
        "attractors": attractors,
        "box": box,
        "resolution": labels.shape,
        "system": Absent(header["system"]),
        "steps": steps,
        "unit": float(header["unit"]),
        "probabilities": probabilities,
        "replicas": header["replicas"],
        "unresolved": unresolved,
        "interrupted": header["interrupted"],
        "radius": header["radius"],
        "max_steps": header["max_steps"],
    }


def _attractor(k: int, entry: dict[str, Any], members: Members, dim: int) -> Attractor:
    _require(set(entry) == set(OF_ATTRACTOR), f"all entries of attractor {k}")
    points, position, states = (members[f"{name}{k}"] for name in ("points", "position", "states"))
    _require(_array(points, float, (None, dim)), f"finite points of attractor {k}")
    _require(_array(position, float, (dim,)), f"a finite position of attractor {k}")
    width = states.shape[-1] if states.ndim == 2 else 0
    _require(width >= dim and _array(states, float, (None, width)), f"finite states of attractor {k}")
    texts = isinstance(entry["kind"], str) and isinstance(entry["name"], str)
    _require(
        texts and isinstance(entry["inside"], bool) and isinstance(entry["closed"], bool),
        f"kind and name of attractor {k}",
    )
    _require(_number(entry["radius"]) and _integer(entry["period"]), f"radius and period of attractor {k}")
    exponent = entry["exponent"]
    _require(isinstance(exponent, float) and not math.isinf(exponent), f"an exponent of attractor {k}")
    return Attractor(points, position=position, states=states, **entry)
