"""Kind (i): pictures that leave out what they are of, or do not obey matplotlib's own settings.

Pictures on axes of the user's own, which the older tests of titles did not draw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import samdyn as sd

WELL = sd.landscapes.coupled_double_well()
STEP = sd.Map(WELL, sd.SAM(0.3), lr=0.05)


def exits() -> sd.escape.ExitTimes:
    """Some from the left well."""
    sde = sd.Diffusion(WELL, sd.SAM(0.2), lr=0.02, noise=sd.GaussianNoise(6.0))
    return sd.exit_times(sde, [-1, 0], sd.HalfSpace([1.0, 0.0], 0.0), n_paths=50, t_max=100.0)


PICTURES: dict[str, tuple[Callable[[], Any], str]] = {
    "spectrum of a map": (lambda: sd.spectrum(STEP, [0.6, 0.2], 2), "Jacobian of Map(coupled double well"),
    "manifold": (lambda: sd.manifold(sd.Flow(WELL, sd.GD()), [0, 0]), "GD flow on coupled double well"),
    "exit points": (lambda: exits().exit_location(), "50 exits"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_on_axes_of_ones_own_says_what_it_is_of(name: str) -> None:
    """Kind (i): spectra and exit points had no title, manifolds none on empty axes."""
    make, title = PICTURES[name]
    _, ax = plt.subplots()
    make().plot(ax=ax)
    assert ax.get_title().replace("\n", " ").startswith(title)
    plt.close("all")


def test_a_manifold_over_a_portrait_leaves_its_title() -> None:
    """Kind (i): the picture below has the title, and keeps its own."""
    flow = sd.Flow(WELL, sd.GD())
    ax = sd.plot.phase_portrait(flow)
    before = ax.get_title()
    sd.manifold(flow, [0, 0]).plot(ax=ax)
    assert ax.get_title() == before
    plt.close("all")


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_marks_and_lines_of_spectra_follow_the_settings(scale: float) -> None:
    """Kind (i): widths and sizes were numbers of their own. Right: in proportion to the user's."""
    usual = {name: plt.rcParamsDefault[name] for name in ("lines.linewidth", "lines.markersize")}
    found = sd.spectrum(STEP, [0.6, 0.2], 2)
    sizes = []
    for factor in (1.0, scale):
        with plt.rc_context({name: factor * value for name, value in usual.items()}):
            ax = found.plot()
            sizes.append((float(ax.collections[0].get_sizes()[0]) ** 0.5, ax.lines[0].get_linewidth()))
            plt.close("all")
    np.testing.assert_allclose(np.divide(*sizes[::-1]), scale)
