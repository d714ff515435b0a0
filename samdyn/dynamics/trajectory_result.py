"""The result of `trajectory`: the points of one or many paths and when they were there.

It is used as the array of its points wherever an array is taken: by index, in arithmetic and by numpy's
functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from samdyn.arguments.checks import Array
from samdyn.results import Result, Table


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory(Result, NDArrayOperatorsMixin):
    """Points of one or many paths.

    Attributes
    ----------
    times : ndarray, shape (n_stored,)
        When the points were stored: in steps of a map, or in the time of a flow or a diffusion.
    x : ndarray, shape (n_stored, ..., dim)
        The points; inf or nan from where a path has diverged.
    system : str
        What moved, as text.
    discrete : bool
        Whether times are steps of a map.
    seed : int
        Of the noise.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> gd = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.5)
    >>> path = sd.trajectory(gd, [1.0], n_steps=4, save_every=2)
    >>> path.times, np.asarray(path)[:, 0], path[-1]
    (array([0., 2., 4.]), array([1.    , 0.25  , 0.0625]), array([0.0625]))
    """

    row = "point"

    times: Array
    x: Array
    system: str
    discrete: bool
    seed: int = 0

    @property
    def unit(self) -> str:
        """Unit of the times: "steps" of a map, or "time", the learning rate times steps."""
        return "steps" if self.discrete else "time"

    @property
    def n_paths(self) -> int:
        """How many paths there are."""
        return int(np.prod(self.x.shape[1:-1], dtype=int))

    def __getattr__(self, name: str) -> Any:
        """Attributes of the array of points, such as `shape` and `T`."""
        if name.startswith("_") or "x" not in vars(self):  # what Python asks, also of a copy half made
            raise AttributeError(name)
        return getattr(self.x, name)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy:
            return np.array(self.x, dtype=dtype)
        return np.asarray(self.x, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = (part.x if isinstance(part, Trajectory) else part for part in inputs)
        return getattr(ufunc, method)(*plain, **options)

    def __getitem__(self, index: Any) -> Any:
        return self.x[index]

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.x)

    def __eq__(self, other: object) -> Any:
        """Two trajectories are compared as results, one and an array entry by entry."""
        return self.x == other if isinstance(other, np.ndarray) else super().__eq__(other)

    def __ne__(self, other: object) -> Any:
        return self.x != other if isinstance(other, np.ndarray) else not super().__eq__(other)

    __hash__ = Result.__hash__

    def table(self) -> Table:
        """How many points of what, and where the paths end."""
        paths = f"{self.n_paths} path{'s' * (self.n_paths != 1)}"
        title = f"Trajectory of {self.system}: {paths}, {len(self)} points each"
        last = self.x[-1].reshape(-1, self.x.shape[-1])
        diverged = int((~np.isfinite(last).all(axis=1)).sum())
        rows = [("from", f"{self.times[0]:g} to {self.times[-1]:g} {self.unit}")]
        shown = [", ".join(f"{v:.6g}" for v in point) for point in last[:5]]
        more = f" and {len(last) - 5} more" if len(last) > 5 else ""
        rows.append(("ends at", ", ".join(f"({point})" for point in shown) + more))
        if diverged:
            rows.append(("diverged", f"{diverged} path{'s' * (diverged != 1)}"))
        return Table(title, rows)

    def _axis_names(self) -> dict[str, tuple[str, ...]]:
        n = self.x.ndim - 2  # axes of the starts: none for one path
        paths = ("path",) if n == 1 else tuple(f"path_{k}" for k in range(n))
        return {"times": ("point",), "x": ("point", *paths, "coordinate")}

    def _coordinates(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        return {"times": (("point",), self.times)}

    def _columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        points = self.x.reshape(len(self), -1, self.x.shape[-1])
        n, paths, dim = points.shape
        columns: dict[str, Any] = {"time": np.repeat(self.times, paths), "path": np.tile(np.arange(paths), n)}
        columns |= {f"x_{i}": points[..., i].ravel() for i in range(dim)}
        return columns, {"system": self.system, "seed": self.seed, "unit": self.unit}
