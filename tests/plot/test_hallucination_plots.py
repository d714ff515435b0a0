"""Pictures of hallucinated minimisers: what is drawn is read back from the artists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.plot import hallucination

WELL = sd.landscapes.tilted_double_well()
MAP = sd.Map(WELL, sd.SAM(1.0), lr=0.01)


def with_gid(ax: Any, start: str) -> list[Any]:
    return [artist for artist in ax.get_children() if (artist.get_gid() or "").startswith(start)]


def test_intervals_are_bars_in_the_row_of_their_endpoint() -> None:
    found = sd.hallucination_intervals(WELL)
    ax = found.plot()
    bars = with_gid(ax, "interval")
    assert len(bars) == len(found)
    drawn = {tuple(np.round(bar.get_xdata(), 9)) for bar in bars}
    assert drawn == {(round(i.lower, 9), round(i.upper, 9)) for i in found}
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["(-1.09) minimum", "(0.209) maximum", "(0.879) minimum"]
    assert len(ax.get_legend().get_texts()) == 2


def test_branches_over_rho() -> None:
    found = sd.hallucinated_branches(sd.landscapes.tilted_hat())
    ax = found.plot()
    lines = with_gid(ax, "branch")
    assert len(lines) >= len(found)
    everywhere = np.concatenate([np.asarray(line.get_xydata(), dtype=float) for line in lines])
    for branch in found:
        for rho, x in zip(branch.rho, branch.x[:, 0], strict=True):
            assert np.nanmin(np.abs(everywhere - [rho, x]).max(axis=1)) < 1e-12
    assert len(with_gid(ax, "critical point")) == 3
    assert found.plot(1).get_ylabel().startswith("$x_{1}$")


def test_spherical_minima_mark_what_is_hallucinated() -> None:
    found = sd.spherical_minima(sd.landscapes.himmelblau(), [3.0, 2.0], np.linspace(1, 4, 10))
    (marks,) = with_gid(found.plot(), "hallucinated")
    np.testing.assert_allclose(marks.get_xdata(), found.radii[found.hallucinated])


def test_shares_and_warm_start() -> None:
    decay = {"decay": sd.schedules.PowerDecay(1.0)}
    study = sd.warm_start_study(MAP, [0, 10, 100], n_starts=60, n_steps=2000, decaying=decay)
    ax = study.results[0].plot()
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(
        [study.results[0].share(), study.results[0].share("minimum")]
    )
    ax = study.plot()
    points = ax.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(points, np.stack([study.steps, study.shares], axis=1))
    names = {text.get_text() for text in ax.get_legend().get_texts()}
    assert names == {"no warm start, decay", "SAM after a warm start"}


@pytest.mark.parametrize("name", ["intervals", "branches", "spherical", "outcomes", "warm_start"])
def test_bad_input(name: str) -> None:
    with pytest.raises(TypeError, match="result must be"):
        getattr(hallucination, name)(3.0)
    with pytest.raises(TypeError, match="ax must be"):
        sd.hallucination_intervals(WELL).plot(ax=3)
    with pytest.raises(ValueError, match="coordinate must be"):
        hallucination.branches(sd.hallucinated_branches(WELL), 1)
