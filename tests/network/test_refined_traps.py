"""What `refine` says of critical points under a map that jumps there is what `fixed_points` says: both follow
the orbits of the map, which may leave a point that its flow is drawn onto.
"""

from __future__ import annotations

import numpy as np
import pytest

import samdyn as sd

FOUR = sd.Landscape(lambda w: ((w**2 - 1) ** 2).sum() / 4, dim=4)


@pytest.mark.parametrize("loss", ["double_well", "himmelblau", "saddle"])
@pytest.mark.parametrize("lr", [0.05, 1.2])
def test_a_map_traps_by_its_own_orbits(loss: str, lr: float) -> None:
    landscape = {
        "double_well": sd.landscapes.double_well,
        "himmelblau": sd.landscapes.himmelblau,
        "saddle": lambda: sd.landscapes.quadratic([[2.0, 0.0], [0.0, -0.5]]),
    }[loss]()
    system = sd.Map(landscape, sd.SAM(0.3), lr=lr)
    points = sd.fixed_points(system, box=landscape.box if loss != "saddle" else [(-1, 1)] * 2, n_starts=64)
    critical = [point for point in points if point.kind != "hallucinated"]
    refined = [sd.refine(system, point.x) for point in critical]
    assert [point.stability for point in refined] == [point.stability for point in critical]
    np.testing.assert_allclose(
        [point.chatter_radius for point in refined], [point.chatter_radius for point in critical], rtol=1e-6
    )
    if lr == 1.2:  # lr times the curvature is above 2: nothing stays, although the flow is drawn onto each
        assert {point.stability for point in refined} <= {"saddle", "repelling"}


def test_in_more_than_three_dimensions_orbits_are_followed_too() -> None:
    """The minimum has the curvature 2: its 2-cycle is lost where lr is above 1."""
    words = [sd.refine(sd.Map(FOUR, sd.SAM(0.3), lr=lr), np.full(4, 1.001)).stability for lr in (0.1, 1.1)]
    assert words == ["trapping", "repelling"]
