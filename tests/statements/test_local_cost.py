"""What large dimensions cost is said before the work, and results of them stay short."""

from __future__ import annotations

import numpy as np
import pytest

import samdyn as sd
from samdyn.equilibria.stability.wording import listed


def bowl(dim: int) -> sd.Landscape:
    return sd.Landscape(lambda w: (w * w).sum() / 2 + (w**4).sum() / 4, dim)


@pytest.mark.parametrize("dim", [500, 1000])
def test_a_capture_set_says_what_it_would_take(dim: int) -> None:
    """A cost that nobody is told before: gibibytes of Hessians. Right: a refusal that names it and a way."""
    system = sd.Map(bowl(dim), sd.SAM(0.1), lr=0.1)
    with pytest.raises(ValueError, match=r"Hessians on one shell fit memory, got .* GiB .* eigenvectors"):
        sd.capture_set(system, np.zeros(dim))


def test_a_linearization_of_many_coordinates_is_short() -> None:
    """A repr of 31 686 characters. Right: a few lines, with the number of coordinates."""
    at = sd.linearize(sd.Map(bowl(120), sd.USAM(0.1), lr=0.1), np.zeros(120))
    assert len(repr(at)) < 300
    assert "120 in all" in repr(at)
    assert at.stability == "attracting"


def test_basins_of_a_long_path_in_many_dimensions_are_refused_before_the_work() -> None:
    """The same for the basins of `perturbation_geometry`; the cosine alone is served."""
    loss = bowl(1210)
    system = sd.Map(loss, sd.SAM(0.1), lr=0.1)
    path = np.random.default_rng(0).standard_normal((100, 1210))
    with pytest.raises(ValueError, match=r"GiB; pass basins=False"):
        sd.perturbation_geometry(system, path)
    assert np.isfinite(sd.perturbation_geometry(system, path, basins=False).cosine).all()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, -1.0175e-166], "(1, 0)"),
        ([-3e-17, 2e5], "(0, 200000)"),
        ([1e-9, 2e-9], "(1e-09, 2e-09)"),
        (np.zeros(8), "(0, 0, 0, 0, 0, 0, ... 8 in all)"),
        ([1 + 2j], "(1+2j)"),
        ([np.nan, np.inf], "(nan, inf)"),
    ],
)
def test_points_are_written_without_rounding(values: object, text: str) -> None:
    """Points printed as (-1.0175e-166, ...). Right: 0."""
    assert listed(values) == text  # type: ignore[arg-type]
