"""An interactive phase portrait for notebooks: a slider for each parameter, by ipywidgets.

A slider draws when it is let go. Each drawing is a phase portrait of the system with these values; values
that the system refuses (two coefficients may exclude each other) show the message instead of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from samdyn.arguments import checks
from samdyn.plot.appearance import style
from samdyn.plot.appearance.titles import SYMBOLS
from samdyn.plot.portrait.stages import portrait
from samdyn.systems.system import System

N_STEPS = 200  # of a slider over its range


def interactive(
    system: System,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    *,
    parameters: Mapping[str, tuple[float, float]] | None = None,
    separatrices: bool = False,
    cycles: int = 0,
    resolution: int = 90,
    **options: Any,
) -> Any:
    """Phase portrait with sliders for rho, lr or other parameters, in a notebook.

    Parameters
    ----------
    system : Map, Flow or Diffusion
        At the values that the sliders start from.
    box : sequence of (lower, upper), optional
        As in `phase_portrait`.
    parameters : dict of str to (lower, upper), optional
        Parameters of the system and the ranges of their sliders. By default rho and lr, as far as the system
        has them, from a fiftieth of their value to three times it.
    separatrices : bool
        Whether to draw the stable manifolds of saddles (slower).
    cycles : int
        Attracting cycles up to this period are drawn (slower).
    resolution : int
        Coarser than the resolution of `phase_portrait`, so that a drawing takes well below a second.
    **options
        Further keywords of `phase_portrait`, such as `trajectories`.

    Returns
    -------
    ipywidgets.VBox
        The sliders over the picture. Its `children` are the row of sliders and the output.

    Raises
    ------
    ImportError
        ipywidgets is not installed: ``pip install samdyn[notebook]``.
    TypeError, ValueError
        A parameter that the system lacks or has on a schedule, or a range that is not one or does not hold
        the system's value.

    Examples
    --------
    In a notebook:

    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.beale(), sd.SAM(0.5), lr=0.01)
    >>> sd.plot.interactive(step, trajectories=[[1.0, 2.0]])  # doctest: +SKIP
    """
    try:
        import ipywidgets
    except ImportError as error:
        raise ImportError(
            "ipywidgets must be installed for interactive pictures: pip install 'samdyn[notebook]'"
        ) from error
    if not isinstance(system, System):
        raise TypeError(f"system must be a Map, a Flow or a Diffusion, got {system!r}")
    ranges = _ranges(system, parameters)
    options |= {"separatrices": separatrices, "cycles": cycles, "resolution": resolution}
    legend = options.pop("legend", True)
    style.check_legend(legend)
    portrait(system, box, **options)  # refuses wrong arguments now, not at the first drawing
    sliders = {
        name: ipywidgets.FloatSlider(
            value=float(system.parameters[name]),
            min=low,
            max=high,
            step=(high - low) / N_STEPS,
            description=rf"\({SYMBOLS[name]}\)" if name in SYMBOLS else name,
            readout_format=".4g",
            continuous_update=False,
        )
        for name, (low, high) in ranges.items()
    }

    def draw(**values: float) -> None:
        import matplotlib.pyplot as plt

        try:
            now = portrait(system.with_parameters(**values), box, **options)
        except ValueError as error:
            print(error)
            return
        now.find()
        axes = style.axes(None, size=now.size)
        entries = now.draw(axes)
        if legend is not False:
            place = legend if isinstance(legend, str) else style.place_of_legend(None)
            style.legend(axes, entries, place, now.busy)
        plt.show()
        plt.close(axes.figure)  # type: ignore[arg-type]

    picture = ipywidgets.interactive_output(draw, sliders)
    return ipywidgets.VBox([ipywidgets.HBox(list(sliders.values())), picture])


def _ranges(system: System, parameters: Any) -> dict[str, tuple[float, float]]:
    known = system.parameters
    if parameters is None:
        values = {name: known[name] for name in ("rho", "lr") if name in known}
        parameters = {
            name: (value / 50, 3 * value)
            for name, value in values.items()
            if not callable(value) and value > 0
        }
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters must be a dict of names to (lower, upper), got {parameters!r}")
    if not parameters:
        raise ValueError(f"parameters must name at least one parameter of {system.name}, got none")
    ranges = {}
    for name, bounds in parameters.items():
        if name not in known:
            raise ValueError(
                f"parameters must be among the parameters of {system.name} ({', '.join(known)}), got {name!r}"
            )
        if callable(known[name]):
            raise ValueError(f"parameters must not be on a schedule, got {name!r} = {known[name]!r}")
        ((low, high),) = checks.box(f"parameters[{name!r}]", [bounds], 1)
        if not low <= known[name] <= high:
            raise ValueError(
                f"parameters[{name!r}] must hold the system's value {known[name]!r}, got {bounds!r}"
            )
        ranges[name] = (float(low), float(high))
    return ranges
