"""What `plot` of any result refuses, and pictures of results that were read from files."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import samdyn as sd
from samdyn.results import AbsentError

CYCLE = sd.two_cycle([3.0, 1.0], lr=0.1, rho=0.05)
SDE = sd.Diffusion(sd.landscapes.coupled_double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(1.0))


@pytest.mark.parametrize("name", ["figsize", "colour", "title"])
@pytest.mark.parametrize("kind", ["table", "path", "basins", "exits"])
def test_unknown_arguments_are_named(name: str, kind: str) -> None:
    """They were matplotlib's AttributeErrors of artists, or ignored by pictures that are a table."""
    results = {
        "table": lambda: CYCLE,
        "path": lambda: sd.minimum_action(SDE, [-1.0, 0.0], [0.0, 0.0], n_points=11),
        "basins": lambda: sd.basins(sd.Flow(SDE.landscape, sd.GD()), resolution=6, n_starts=8),
        "exits": lambda: sd.exit_times(SDE, [-1.0, 0.0], sd.Ball([-1.0, 0.0], 1.0), 20, t_max=9.0, dt=0.1),
    }
    with pytest.raises(TypeError, match=rf"plot of \w+ takes no argument '{name}': for a figure of your own"):
        results[kind]().plot(**{name: (3.0, 3.0)})


def test_an_action_path_is_drawn() -> None:
    """Its picture was its table."""
    path = sd.minimum_action(SDE, [-1.0, 0.0], [0.0, 0.0], n_points=11)
    ax = path.plot(color="C3", coordinates=(1, 0))
    assert np.array_equal(ax.lines[0].get_xydata(), path.x[:, ::-1])
    assert ax.lines[0].get_color() == "C3"
    assert ax.get_xlabel() == "$x_{1}$"
    well = sd.minimum_action(sd.Flow(sd.landscapes.double_well(), sd.GD()), [-1.0], [0.0], n_points=11)
    line = well.plot().lines[0]
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (0.0, 1.0)
    assert np.array_equal(line.get_ydata(), well.x[:, 0])
    with pytest.raises(ValueError, match="coordinates must be"):
        path.plot(coordinates=(0, 2))
    plt.close("all")


@pytest.mark.parametrize("projection", ["3d", "polar"])
def test_axes_must_be_plane(projection: str) -> None:
    ax = plt.figure().add_subplot(projection=projection)
    with pytest.raises(TypeError, match=rf"ax must be plane axes .* got axes with projection '{projection}'"):
        CYCLE.plot(ax=ax)
    plt.close("all")


def test_a_table_is_drawn_on_the_ground_of_the_style() -> None:
    """It was white on white under dark_background."""
    with plt.style.context("dark_background"):
        table = CYCLE.plot().tables[0]
        assert {cell.get_facecolor()[3] for cell in table.get_celld().values()} == {0.0}
    plt.close("all")


def test_points_without_their_system_say_so(tmp_path: Path) -> None:
    own = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4, dim=1, box=[(-2, 2)], name="own")
    points = sd.fixed_points(sd.Flow(own, sd.GD()))
    points.save(tmp_path / "points")
    with pytest.raises(AbsentError, match=r"does not hold Flow\(own, GD\(\)\).*load\(path, system="):
        sd.equilibria.FixedPoints.load(tmp_path / "points").plot()


@pytest.mark.parametrize("name", ["$x^$", r"$\nothing$", "from $3", "$$$"])
def test_any_name_is_a_title(name: str) -> None:
    """A name that is no formula was an error when the picture was drawn."""
    own = sd.Landscape(lambda w: w @ w, dim=2, box=[(-1, 1), (-1, 1)], name=name)
    ax = sd.plot.phase_portrait(sd.Flow(own, sd.GD()), resolution=8)
    ax.figure.canvas.draw()
    assert ax.get_title().replace("\\", "").count("$") >= name.count("$")
    plt.close("all")
