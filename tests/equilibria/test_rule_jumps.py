"""Points at rest at which a rule jumps in a place of its own, away from critical points."""

import numpy as np
import pytest

import samdyn as sd
from samdyn.equilibria.fixed_point import FixedPoint

BOX = [[-1.7, 1.7], [-1.5, 1.5]]
SADDLE = sd.landscapes.quadratic([[2.0, 0.0], [0.0, -2.0]])
COUPLED = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2 + 0.3 * w[0] * w[1], 2, box=BOX)


def hallucinated(system: sd.Map | sd.Flow, box: list[list[float]] | None = BOX) -> list[FixedPoint]:
    points = sd.fixed_points(system, box, n_starts=512)
    assert points.coverage["hallucinated"].index.missing == 0
    return list(points.hallucinated)


@pytest.mark.parametrize(
    ("system", "box"),
    [
        (sd.Map(SADDLE, sd.EigenSAM(0.1), lr=0.05), None),
        (sd.Map(SADDLE, sd.XSAM(0.1), lr=0.05), BOX),
    ],
)
def test_both_points_across_a_jump(system: sd.Map | sd.Flow, box: list[list[float]] | None) -> None:
    # at x = 0 eigenvectors tie, an entry of g vanishes, or P does; there y + e = 0, to 5e-9 of eps/abs(g)
    found = hallucinated(system, box)
    assert np.sort([p.x[1] for p in found]) == pytest.approx([-0.1, 0.1], abs=1e-8)
    assert [p.x[0] for p in found] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert all(p.stability == "jump" and not p.on_kink for p in found)


def test_lists_on_even_losses_are_even() -> None:
    x = np.array(
        [p.x for p in sd.fixed_points(sd.Flow(COUPLED, sd.SAMON(0.3, blocks=[0])), BOX, n_starts=512)]
    )
    assert len(x) == 7
    assert np.abs(x[:, None] + x).sum(axis=-1).min(axis=1).max() < 1e-5


def test_layer_within_a_layer() -> None:
    # where g_2 = 0 the entry e_2 has any size up to rho, so that x + e can be 0, while P is passed through 0
    found = hallucinated(sd.Flow(COUPLED, sd.LightAdamSAM(0.3)))
    x = np.array(sorted(p.x.tolist() for p in found))
    assert x == pytest.approx(np.array([[-0.3, 0.09], [0.3, -0.09]]), abs=3e-6)


def test_line_beside_which_jacobians_are_rounding() -> None:
    # the centred gradient of x^2 - y^2 vanishes where x + y = 0, and so does the centred P
    points = sd.fixed_points(sd.Flow(sd.landscapes.quadratic([[2.0, 0.0], [0.0, -2.0]]), sd.GCSAM(0.3)), BOX)
    assert [p.kind for p in points] == ["saddle", "hallucinated"]
    assert points[1].dimension == 1
    assert np.abs(points[1].points.sum(axis=1)).max() < 1e-6


def test_a_zero_beside_a_family_on_a_line_is_no_member() -> None:
    # where the bracket is negative the step is 0; on a line every zero is in line with those
    flow = sd.Flow(sd.landscapes.two_gaussian_well(), sd.PolyakSAM(1.0, lower=-2.0))
    rest = [p for p in sd.fixed_points(flow, n_starts=32).hallucinated if not p.dimension]
    assert [round(float(p.x[0]), 3) for p in rest] == [-0.995, -0.189]
    assert rest[0].stability == "attracting"
