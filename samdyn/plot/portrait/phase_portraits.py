"""Phase portraits: the field, nullclines, fixed points and trajectories over the contours of the loss.

Algorithm
---------
1. The field is the velocity of a flow, the drift of a diffusion, and the displacement (x' - x)/lr of a map
   (x' - x of one given by a function; one step from rest with momentum). Coefficients on a schedule have
   their values at step 0.
2. It is evaluated on a grid of p x p cells, p the first prime that is at least `resolution`: no node then
   lies at a simple fraction of the box (the middle, a third, ...), where symmetric losses have their critical
   points and a normalised rule its jumps.
3. Streamlines follow the field's directions, F/|F| in units of the box. Bilinear interpolation of F itself
   would let the largest of four corners decide, and losses such as Beale's differ by orders of magnitude
   between neighbours. A jump is smeared over one cell. Nothing is masked but values that are not finite.
4. A nullcline is the zero contour of a component of F. Contours of the loss are evenly spaced, or
   geometrically above the minimum on the grid if the range is wide.
5. Separatrices are the stable manifolds of saddles (`samdyn.manifold`), of the flow of the drawn field: for a
   map of a loss they are the separatrices of its flow, from which its own differ by O(lr).
6. In more than two dimensions all this is done on a plane; fixed points beside the plane, and trajectories,
   are projected onto it.
7. In one dimension the field is drawn against x, broken where it jumps, with the loss on a second axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy.typing as npt

from samdyn.equilibria.search import FixedPoint
from samdyn.plot.appearance import settings, style
from samdyn.plot.portrait.field import field_of
from samdyn.plot.portrait.stages import portrait
from samdyn.systems.system import System

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["field_of", "phase_portrait"]


@settings.picture
def phase_portrait(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    fixed_points: Iterable[FixedPoint] | bool = True,
    trajectories: npt.ArrayLike | Sequence[npt.ArrayLike] | None = None,
    field: bool = True,
    nullclines: bool = True,
    contours: bool = True,
    separatrices: bool = True,
    cycles: int = 2,
    legend: bool | str = True,
    resolution: int = 220,
    density: float = 1.1,
    coordinates: tuple[int, int] = (0, 1),
    at: npt.ArrayLike | None = None,
    n_steps: int = 1000,
    t_max: float | None = None,
    dt: float | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Axes:
    r"""Phase portrait of a system in one or two dimensions, or on a plane in more.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        Of a Map the displacement (x' - x)/lr is drawn, of a Diffusion the drift.
    box : sequence of (lower, upper), one for each of the dim coordinates, optional
        What is shown; the system's own box by default.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    fixed_points : iterable of FixedPoint, or bool
        Those to draw, cycles included. True finds them (not for systems on a schedule, which have none).
    trajectories : array_like, optional
        Starts, shape (dim,) or (n, dim), from which trajectories are computed; or paths, shape
        (n_steps, ..., dim) with at least three axes; or a list of numpy arrays, each one path (n_steps, dim)
        or more.
    field, nullclines, contours : bool
        Whether to draw the streamlines, the nullclines, and the contours of the loss (in one dimension the
        loss itself).
    separatrices : bool
        Whether to draw the stable manifolds of saddles among the fixed points drawn, in two dimensions (not
        for maps with momentum or given by a function, nor for systems on a schedule or with noise).
    cycles : int
        Attracting cycles up to this period are found and drawn too, for maps of rules that jump (which cannot
        rest on a critical point and hover on a 2-cycle), in one and two dimensions, where `fixed_points` is
        True. Below 2 none are.
    legend : bool or str
        False for none; "outside" (at the right), "below", "inside", or a location that matplotlib knows.
        True: outside in a figure of its own, below a given `ax`, which gives up some of its height where the
        figure has no layout engine that makes room (``plt.subplots(layout="constrained")`` has one).
    resolution : int
        Cells of the grid along each side, at least.
    density : float
        Density of the streamlines, as in `Axes.streamplot`.
    coordinates : (int, int)
        The two coordinates shown, where dim > 2.
    at : array_like, shape (dim - 2,), optional
        Values of the other coordinates, in order; the centre of the box by default.
    n_steps : int
        Steps of a computed trajectory of a Map.
    t_max, dt : float, optional
        Duration and time step of a computed trajectory of a Flow or Diffusion. By default the time to cross
        the box five times at a slow speed (the 10 % quantile of |F| in the box), and the step that
        `trajectory` takes. Trajectories that diverge are drawn as far as they go and counted in the legend:
        where the field itself does not diverge, a smaller dt is called for.
    seed : int
        Of the noise in computed trajectories.
    progress : bool
        Whether to show a bar over the saddles whose separatrices are computed.

    Returns
    -------
    matplotlib Axes
        Its artists can be told apart, to restyle them, by their group ids (`get_gid()`), which begin with
        "contours", "streamlines", "nullcline", "separatrix", "trajectory", "fixed point" or "capture set".

    Raises
    ------
    TypeError, ValueError
        No box, or an argument of the wrong shape or range. Before anything is drawn.

    Warns
    -----
    CostWarning
        The separatrices will take more than ten seconds, by the time of the first.

    Notes
    -----
    Shapes tell the kind: minimum circle, saddle cross, maximum triangle, degenerate diamond, hallucinated
    star, fixed point of a system without a loss square, cycle hexagon (a large open one around cycles too
    small to tell their points apart); a curve or surface of fixed points is shown by its samples. Filled
    points attract or trap, half-filled ones are marginal or not known, open ones are saddles or repel. The
    disc around a trapping point is its capture set (`FixedPoint.capture_radius`). The algorithm is in the
    module's documentation.

    Examples
    --------
    >>> import samdyn as sd
    >>> from samdyn.plot import phase_portrait
    >>> loss = sd.Landscape(lambda w: w[0]**2 - w[1]**2, dim=2, box=[(-1, 1), (-1, 1)], name="saddle")
    >>> ax = phase_portrait(sd.Flow(loss, sd.SAM(0.2)), resolution=40)
    >>> ax.get_title()
    'SAM flow on saddle, $\\rho = 0.2$'
    """
    prepared = portrait(
        system,
        box,
        fixed_points=fixed_points,
        trajectories=trajectories,
        field=field,
        nullclines=nullclines,
        contours=contours,
        separatrices=separatrices,
        cycles=cycles,
        resolution=resolution,
        density=density,
        coordinates=coordinates,
        at=at,
        n_steps=n_steps,
        t_max=t_max,
        dt=dt,
        seed=seed,
        progress=progress,
    )
    style.check_axes(ax)
    style.check_legend(legend)
    prepared.find()
    drawn = style.axes(ax, size=prepared.size)
    entries = prepared.draw(drawn)
    if legend is not False:
        place = legend if isinstance(legend, str) else style.place_of_legend(ax)
        style.legend(drawn, entries, place, prepared.busy)
    return drawn
