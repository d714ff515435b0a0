"""The result of a basin computation: labels of cells, attractors, shares."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from samdyn.basin.attractors import Attractor, as_candidates
from samdyn.basin.basin_arguments import MAX_STEPS
from samdyn.basin.basin_checkpoint import fingerprint
from samdyn.basin.course import Course, Starts, course_of
from samdyn.basin.fractions import Fraction, shares
from samdyn.basin.grid import Grid
from samdyn.basin.rounds import follow
from samdyn.basin.settle import REASONS
from samdyn.compute import checks
from samdyn.compute.checks import Array
from samdyn.systems.system import System

SCHEMA = 2


@dataclass(frozen=True)
class Basins:
    """Basins of attraction on a grid of cells.

    Attributes
    ----------
    labels : ndarray of int, shape `resolution`
        The attractor (> 0) that each cell goes to, or why none (< 0): see `reasons`. With noise the most
        probable end.
    attractors : dict of int to Attractor
    box : ndarray, shape (dim, 2)
    resolution : tuple of int
    system : Map, Flow or Diffusion, or None
        None in a loaded result, unless it was given to `load`.
    steps : ndarray of int, shape `resolution`
        Steps (strides of a flow) until arrival; -1 where there was none. With noise the mean, rounded.
    unit : float
        Time of a step: 1 for a map.
    probabilities : ndarray, shape ``(*resolution, k)``, or None
        With noise, the share of replicas that first came close to each attractor, in the order of
        `attractors`.
    replicas : int
    unresolved : dict of int to float
        With noise, the share of all replicas that ended for each reason.
    interrupted : bool
        Whether Ctrl-C came before all paths had ended: those then count as out of steps.
    """

    labels: npt.NDArray[np.int16]
    attractors: dict[int, Attractor]
    box: Array
    resolution: tuple[int, ...]
    system: System | None
    steps: npt.NDArray[np.int32]
    unit: float = 1.0
    probabilities: Array | None = None
    replicas: int = 1
    unresolved: dict[int, float] = field(default_factory=dict)
    interrupted: bool = False
    course: Course | None = field(default=None, repr=False, compare=False)
    radius: float | None = None
    max_steps: int = MAX_STEPS

    reasons = REASONS

    @property
    def grid(self) -> Grid:
        """The cells and their points."""
        return Grid(self.box, self.resolution)

    @property
    def fractions(self) -> dict[int, Fraction]:
        """Share of the box of each attractor, and of each reason that occurs, with Wilson intervals.

        They are those of as many random starts, which for a grid is on the wide side. With noise the shares
        of probability, with the intervals of one replica a cell.
        """
        if self.probabilities is None:
            return shares(self.labels, self.attractors)
        n = self.labels.size
        mean = self.probabilities.reshape(n, -1).mean(axis=0)
        result = {k: Fraction(m * n, n) for k, m in zip(self.attractors, mean, strict=True)}
        return result | {k: Fraction(p * n, n) for k, p in self.unresolved.items()}

    def name_of(self, label: int) -> str:
        """What a label stands for."""
        return self.attractors[label].name if label > 0 else REASONS[label]

    def label_at(self, x: npt.ArrayLike) -> npt.NDArray[np.int16]:
        """Labels of any points (..., dim), by following each to its end; without noise."""
        if self.course is None:
            raise ValueError("system must be known to follow points, got a result that was loaded without it")
        points = checks.points("x", x, len(self.box))
        course = self.course.without_noise()
        flat = np.ascontiguousarray(points.reshape(-1, len(self.box)))
        starts = Starts(flat, 1, len(course.scale))
        followed = follow(course, as_candidates(self.attractors), starts, self.max_steps, self.radius)
        ids = np.array([0, *sorted(self.attractors)], dtype=np.int16)
        labels = np.where(followed.labels > 0, ids[np.maximum(followed.labels, 0)], followed.labels)
        return labels.reshape(points.shape[:-1]).astype(np.int16)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.resolution))
        lines = [f"Basins of {self.system!r}: {size} cells" + (", interrupted" if self.interrupted else "")]
        table = [("id", "attractor", "share", "95 % interval")]
        table += [
            (str(k), self.name_of(k), f"{float(f):.4f}", f"{f.lower:.4f}-{f.upper:.4f}")
            for k, f in self.fractions.items()
        ]
        widths = [max(len(row[i]) for row in table) for i in range(4)]
        rows = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table)
        return "\n".join(lines + ["  " + row for row in rows])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{n}</th>" for n in ("id", "attractor", "share", "95 % interval"))
        rows = "".join(
            f"<tr><td>{k}</td><td>{self.name_of(k)}</td><td>{float(f):.4f}</td>"
            f"<td>{f.lower:.4f}-{f.upper:.4f}</td></tr>"
            for k, f in self.fractions.items()
        )
        return f"<p>Basins of <code>{self.system!r}</code></p><table><tr>{head}</tr>{rows}</table>"

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Picture of the basins (`samdyn.plot.basins`); returns the matplotlib Axes."""
        from samdyn.plot import basins as draw

        return draw(self, ax=ax, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result to an npz file; of the system only its description is kept."""
        described = {
            str(k): {
                "kind": a.kind,
                "name": a.name,
                "radius": a.radius,
                "period": a.period,
                "exponent": a.exponent,
            }
            for k, a in self.attractors.items()
        }
        header = {
            "schema": SCHEMA,
            "system": repr(self.system),
            "attractors": described,
            "unit": self.unit,
            "replicas": self.replicas,
            "unresolved": {str(k): p for k, p in self.unresolved.items()},
            "interrupted": self.interrupted,
            "radius": self.radius,
            "max_steps": self.max_steps,
        }
        if self.course is not None:  # how points are followed, which the system alone does not say
            header["course"] = {
                "dt": self.course.stride,
                "noisy": self.course.noisy,
                "seed": self.course.seed,
                "far": self.course.far,
            }
            header["steps"] = fingerprint(self.course)
        arrays: dict[str, Any] = {"labels": self.labels, "steps": self.steps, "box": self.box}
        if self.probabilities is not None:
            arrays["probabilities"] = self.probabilities
        for k, a in self.attractors.items():
            arrays |= {f"points{k}": a.points, f"position{k}": a.position, f"states{k}": a.states}
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        with open(path, "wb") as file:
            np.savez_compressed(file, header=text, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], system: System | None = None) -> Basins:
        """Read a saved result; with the system it was made from, if points are to be followed again."""
        with _opened(path) as data:
            header = json.loads(bytes(data["header"]).decode())
            if header.get("schema") != SCHEMA:
                raise ValueError(
                    f"{os.fspath(path)!r} has schema {header.get('schema')!r}, expected {SCHEMA}"
                )
            if system is not None and repr(system) != header["system"]:
                raise ValueError(f"system must be the one saved, {header['system']}, got {system!r}")
            attractors = {
                int(k): Attractor(
                    data[f"points{k}"], position=data[f"position{k}"], states=data[f"states{k}"], **v
                )
                for k, v in header["attractors"].items()
            }
            labels, box, course = data["labels"], data["box"], None
            if system is not None:
                course = course_of(system, box, **header["course"])
                if fingerprint(course) != header["steps"]:
                    raise ValueError("system must be the one saved, got one that takes points elsewhere")
            return cls(
                labels, attractors, box, labels.shape, system, data["steps"], header["unit"],
                data.get("probabilities"), header["replicas"],
                {int(k): p for k, p in header["unresolved"].items()}, header["interrupted"],
                course, header["radius"], header["max_steps"],
            )  # fmt: skip


def _opened(path: str | os.PathLike[str]) -> Any:
    """The arrays of a saved result."""
    with open(path, "rb") as file:  # a missing file is the system's own error
        content = file.read()
    try:
        data = np.load(io.BytesIO(content), allow_pickle=False)
        missing = not {"header", "labels", "steps", "box"} <= set(data.files)
    except Exception as error:  # whatever zip and numpy make of other bytes
        raise ValueError(f"path must be a file written by Basins.save, got {os.fspath(path)!r}") from error
    if missing:
        raise ValueError(f"path must be a file written by Basins.save, got {os.fspath(path)!r}")
    return data
