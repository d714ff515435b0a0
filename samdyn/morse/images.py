"""Rectangles around the images of boxes under a map, in four ways.

- "interval": interval arithmetic on the traced map, outward rounded: every point of a box is mapped into the
  rectangle. A box that may hold a critical point of the loss under a normalised rule gets the union over
  all ascent directions (`samdyn.equilibria.proof.enclosure`).
- "lipschitz": the centre's image and the bounds of the Jacobian over the box, |F_i(x) - F_i(c)| <= sum_j
  max |J_ij| |x_j - c_j|. The bounds come from the same interval arithmetic; where the map may jump, the
  rectangle is the one of "interval".
- "padded": the hull of the images of the corners and the centre, widened on every side by the box's own
  side. It is an outer bound only where the map bends and stretches little within a box.
- "corners": the hull of the images of the corners. No outer bound: sets can vanish from a graph that is
  built on it.

The first two need a map with constant coefficients that can be traced; the others evaluate the map.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.dynamics.trajectories import trajectory
from samdyn.equilibria.proof.enclosure import PerturbedField, TracedField, image_function, perturbation_of
from samdyn.jobs.cost import outside
from samdyn.morse.recurrence import BoxImage
from samdyn.numerics.interval import Flags, Interval, magnitude, midpoint, point, scale, sub
from samdyn.systems.flow import Flow
from samdyn.systems.map import Map
from samdyn.trace.tracing import NotTraceable

KINDS = ("interval", "lipschitz", "padded", "corners")
RIGOROUS = ("interval", "lipschitz")

MOST_PARTS = 16
"""Parts of an image that is imaged again; more narrow it hardly further (a neuron under SAM, 5 iterates: 327
boxes met by an image without parts, 35 with 16, 11 by the points themselves)."""
PART_TILE = 1 << 18
"""Parts whose images are computed at a time."""

Enclosure = Callable[[Array, Array], Interval]


def box_image(system: Map | TimeMap, kind: str) -> tuple[BoxImage, str]:
    """The image of boxes under a map, and the kind of bound it is.

    Parameters
    ----------
    system : Map
    kind : {"interval", "lipschitz", "padded", "corners"}
        See the module. The first two fall back on "padded", with a warning, for a map that cannot be traced.

    Returns
    -------
    image : callable
        Corners (n, dim) of boxes to corners of rectangles around their images.
    kind : str
        What it is in the end.

    Examples
    --------
    >>> import numpy as np
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.5)
    >>> image, kind = box_image(step, "interval")
    >>> lower, upper = image(np.array([[1.0]]), np.array([[2.0]]))
    >>> lower.round(9).tolist(), upper.round(9).tolist(), kind
    ([[0.5]], [[1.0]], 'interval')
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"image must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    if kind in RIGOROUS:
        try:
            if isinstance(system, TimeMap):
                raise TypeError("a flow is integrated step by step")
            enclosure = image_function(system)
        except (NotTraceable, TypeError) as error:
            reason = str(error).splitlines()[0]
            warnings.warn(
                f"the map cannot be evaluated on intervals ({reason}): its images are padded instead, "
                "and the graph is no proof",
                stacklevel=outside(),
            )
            kind = "padded"
        else:
            if kind == "interval":
                return lambda lower, upper: tuple(enclosure(lower, upper)), kind  # type: ignore[return-value]
            return _lipschitz(system, enclosure), kind
    sampled = _corners(system)
    return (_padded(system, sampled) if kind == "padded" else sampled), kind


def time_map(flow: Flow, duration: float | None) -> TimeMap:
    """The map of a flow over a time, evaluated by `trajectory`."""
    if duration is None:
        raise ValueError("duration must be given for a Flow: the time between two looks")
    return TimeMap(flow, checks.number("duration", duration, above=0))


@dataclass(frozen=True)
class TimeMap:
    """Points a time later; it cannot be evaluated on intervals."""

    flow: Flow
    duration: float

    def __call__(self, x: Array) -> Array:
        return np.asarray(trajectory(self.flow, x, t_max=self.duration, dt=self.duration)[-1])


def iterated(image: BoxImage, times: int, *, narrow: bool = True) -> BoxImage:
    """Images of images; an outer bound of the iterated map where `image` is one of the map.

    Parameters
    ----------
    image : callable
    times : int
    narrow : bool
        Whether an image that has become wider than the box it came from is cut before it is imaged again,
        along each side into parts no wider than that box, `MOST_PARTS` in all at most. The image is the hull
        of the images of the parts. It is an outer bound all the same, and its excess is as small as the
        excess of narrower boxes.
    """
    if times == 1:
        return image

    def repeated(lower: Array, upper: Array) -> tuple[Array, Array]:
        side = upper - lower
        for _ in range(times):
            lower, upper = _by_parts(image, lower, upper, side) if narrow else image(lower, upper)
        return lower, upper

    return repeated


def _by_parts(image: BoxImage, lower: Array, upper: Array, side: Array) -> tuple[Array, Array]:
    """Hulls of the images of parts of boxes (n, dim), no wider than `side` (n, dim) where `MOST_PARTS` do."""
    n, dim = lower.shape
    most = max(1, int(MOST_PARTS ** (1 / dim) + 1e-9))
    with np.errstate(all="ignore"):
        ratio = (upper - lower) / side
    # to rounding as wide as its box is wide enough, and what is infinite stays so in parts
    wanted = np.where(np.isfinite(ratio), np.ceil(ratio * (1 - 1e-9)), 1.0)
    parts = np.clip(wanted, 1, most).astype(np.int64)
    if (parts == 1).all():
        return image(lower, upper)
    low, high = np.full((n, dim), np.inf), np.full((n, dim), -np.inf)
    for start in range(0, n, tile := max(1, PART_TILE // most**dim)):
        own = np.arange(start, min(start + tile, n))
        count = parts[own].prod(axis=1)
        owner = np.repeat(own, count)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        place = np.empty((len(owner), dim), dtype=np.int64)
        for axis in range(dim):
            number, place[:, axis] = np.divmod(number, parts[owner, axis])
        # both neighbours of a cut have the same number there, and the first and the last cut are the ends of
        # the box
        first, last = (_cut(lower[owner], upper[owner], place + k, parts[owner]) for k in (0, 1))
        below, above = image(first, last)
        # a part whose bound is not a number has no bound, and then the whole box has none
        np.minimum.at(low, owner, np.where(np.isnan(below), -np.inf, below))
        np.maximum.at(high, owner, np.where(np.isnan(above), np.inf, above))
    return low, high


def _cut(lower: Array, upper: Array, place: npt.NDArray[np.int64], parts: npt.NDArray[np.int64]) -> Array:
    """The end of a part: `place` of `parts` parts of the way from `lower` to `upper`."""
    with np.errstate(all="ignore"):  # a box without an end is one part, whose ends are taken as they are
        inside = lower + (upper - lower) * (place / parts)
    return np.where(place == 0, lower, np.where(place == parts, upper, np.clip(inside, lower, upper)))


def _corners(system: Map | TimeMap) -> BoxImage:
    def image(lower: Array, upper: Array) -> tuple[Array, Array]:
        low, high = np.full(lower.shape, np.inf), np.full(lower.shape, -np.inf)
        for corner in itertools.product((False, True), repeat=lower.shape[1]):
            value = np.asarray(system(np.where(corner, upper, lower)))
            # a value that is not a number makes the rectangle unknown, and so everything
            low, high = np.minimum(low, value), np.maximum(high, value)
        return low, high

    return image


def _padded(system: Map | TimeMap, corners: BoxImage) -> BoxImage:
    def image(lower: Array, upper: Array) -> tuple[Array, Array]:
        low, high = corners(lower, upper)
        centre = np.asarray(system((lower + upper) / 2))
        side = upper - lower
        return np.minimum(low, centre) - side, np.maximum(high, centre) + side

    return image


def _lipschitz(system: Map, enclosure: Enclosure) -> BoxImage:
    slopes = _slopes(system)

    def image(lower: Array, upper: Array) -> tuple[Array, Array]:
        centre = midpoint(Interval(lower, upper))
        value, (bound, continuous) = enclosure(centre, centre), slopes(lower, upper)
        with np.errstate(invalid="ignore", over="ignore"):
            # the roundings of this sum of products stay below one part in 1e13
            spread = np.einsum("nij,nj->ni", bound, np.maximum(upper - centre, centre - lower)) * (1 + 1e-13)
            low, high = (
                np.nextafter(value.lower - spread, -np.inf),
                np.nextafter(value.upper + spread, np.inf),
            )
        use = continuous & np.isfinite(spread).all(axis=1)
        if not use.all():
            low[~use], high[~use] = enclosure(lower[~use], upper[~use])
        return low, high

    return image


def _slopes(system: Map) -> Callable[[Array, Array], tuple[Array, Flags]]:
    """Bounds (n, dim, dim) of the moduli of the Jacobian over boxes, and where the map is continuous."""
    perturbation = perturbation_of(system.rule)
    if system.landscape is None or perturbation is None or system.momentum:
        step = TracedField(system.point_function(), system.state_dim)
        return lambda lower, upper: (magnitude(step.slopes(lower, upper)), step.value(lower, upper)[1])
    field, lr = PerturbedField(system.landscape, *perturbation), system.coefficients()["lr"]

    def bounds(lower: Array, upper: Array) -> tuple[Array, Flags]:
        with np.errstate(all="ignore"):
            jacobian = sub(point(np.eye(field.dim)[None]), scale(field.slopes(lower, upper), lr))
        return magnitude(jacobian), field.value(lower, upper)[1]

    return bounds
