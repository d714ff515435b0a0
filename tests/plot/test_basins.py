"""Pictures of basins: every basin has its colour, number and entry."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import samdyn as sd
from samdyn.plot.basin_maps import color_of


@pytest.fixture(scope="module")
def himmelblau() -> sd.basin.Basins:
    return sd.basins(sd.Map(sd.landscapes.himmelblau(), sd.SAM(0.5), lr=0.01), resolution=40)


def test_colours_are_those_of_the_labels(himmelblau: sd.basin.Basins) -> None:
    ax = sd.plot.basins(himmelblau)
    image = next(im for im in ax.images if im.get_gid() == "basins")
    picture = np.asarray(image.get_array())
    assert picture.shape == (40, 40, 3)
    for i, j in ((3, 5), (30, 31), (20, 2)):
        assert picture[j, i] == pytest.approx(color_of(int(himmelblau.labels[i, j]), 0.45))
    entries = [t.get_text() for t in ax.get_legend().get_texts()]
    assert len(entries) == len(himmelblau.attractors)
    assert any("trapping maximum" in text for text in entries)
    drawn = {line.get_gid() for line in ax.lines}
    assert {f"attractor {k}" for k in himmelblau.attractors} <= drawn


def test_one_dimension_and_slices() -> None:
    well = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)
    assert sd.basins(well, [(-2, 2)], 20).plot().get_yticks().size == 0
    bowl = sd.Landscape(
        lambda w: (w[0] ** 2 - 1) ** 2 + w[1] ** 2 + w[2] ** 2, dim=3, box=[(-2, 2)] * 3, name="bowl"
    )
    found = sd.basins(sd.Map(bowl, sd.GD(), lr=0.05), resolution=6)
    ax = sd.plot.basins(found, coordinates=(2, 0), at=[0.5])
    assert ax.get_xlabel() == "$x_{2}$"
    assert "x_{1}" in ax.get_title()
    picture = np.asarray(ax.images[0].get_array())
    assert picture[0, 0] == pytest.approx(color_of(1, 0.45))
    assert picture[-1, 0] == pytest.approx(color_of(2, 0.45))
    with pytest.raises(ValueError, match="coordinates"):
        sd.plot.basins(found, coordinates=(0, 0))
    with pytest.raises(ValueError, match="at must have shape"):
        sd.plot.basins(found, at=[0.0, 0.0])


def test_given_axes_and_bad_input(himmelblau: sd.basin.Basins) -> None:
    _, ax = plt.subplots()
    assert himmelblau.plot(ax, legend=False) is ax
    assert ax.get_legend() is None
    with pytest.raises(TypeError, match="result must be"):
        sd.plot.basins(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="result must be"):
        sd.plot.fraction_bands(himmelblau)  # type: ignore[arg-type]


def test_bands_fill_the_axes() -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05)
    found = sd.basin_continuation(system, [(-2, 2)], parameters={"rho": [0.2, 0.5]}, n_paths=100)
    ax = found.plot()
    assert len([c for c in ax.collections if str(c.get_gid()).startswith("band")]) == len(found.ids)
    top = max(c.get_datalim(ax.transData).y1 for c in ax.collections if str(c.get_gid()).startswith("band"))
    assert top == pytest.approx(1)
    one = sd.basin_continuation(system, [(-2, 2)], parameters={"rho": [0.2]}, n_paths=50)
    assert one.plot().get_xlim()[0] < 0.2


def test_numbers_and_colours_of_another_picture(himmelblau: sd.basin.Basins) -> None:
    ids = {k: 10 - k for k in himmelblau.attractors}
    ax = sd.plot.basins(himmelblau, ids=ids)
    image = next(im for im in ax.images if im.get_gid() == "basins")
    picture = np.asarray(image.get_array())
    for i, j in ((3, 5), (30, 31)):
        assert picture[j, i] == pytest.approx(color_of(10 - int(himmelblau.labels[i, j]), 0.45))
    entries = [t.get_text() for t in ax.get_legend().get_texts()]
    assert entries[0].startswith(f"{min(ids.values())}: ")
    assert {text.get_text() for text in ax.texts} <= {str(k) for k in ids.values()}
    assert not sd.plot.basins(himmelblau, numbers=False).texts
    with pytest.raises(ValueError, match="ids must have a number for each"):
        sd.plot.basins(himmelblau, ids={1: 1})
    with pytest.raises(TypeError, match="ids must be a dict"):
        sd.plot.basins(himmelblau, ids=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ids\[1\] must be an integer >= 1"):
        sd.plot.basins(himmelblau, ids=ids | {1: 0})
