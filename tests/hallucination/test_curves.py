"""Branches of hallucinated points over rho, from every pair of critical points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.hallucination.curves import HallucinatedBranches


@pytest.fixture(scope="module")
def himmelblau() -> HallucinatedBranches:
    return sd.hallucinated_branches(sd.landscapes.himmelblau())


def bump() -> sd.Landscape:
    def function(w: torch.Tensor) -> torch.Tensor:
        away = (w[0] - 2) ** 2 + (w[1] - 0.5) ** 2
        return w[0] ** 2 / 2 + w[1] ** 2 / 4 + 3 * torch.exp(-away / (2 * 0.16))

    return sd.Landscape(function, 2, [(-1, 4), (-2, 2)], "bump")


def ends_of(branch: sd.hallucination.HallucinatedBranch) -> list[tuple[int, int]]:
    """Positions of the critical points at which a branch ends, and the direction away from each."""
    pairs = [(0, 1, branch.start), (len(branch.rho) - 1, -1, branch.end)]
    return [(i, j) for i, j, name in pairs if name in ("minimum", "saddle", "maximum")]


def test_one_branch_leaves_every_ordered_pair_with_the_predicted_sign_and_slope(
    himmelblau: HallucinatedBranches,
) -> None:
    critical = himmelblau.critical_points.x
    assert len(critical) == 9
    pairs = set()
    for branch in himmelblau:
        y = branch.endpoint
        for i, j in ends_of(branch):
            x = branch.x[i]
            hessian = himmelblau.loss.hessian(x)
            q = (x - y) @ np.linalg.solve(hessian, x - y)
            rho_0 = np.linalg.norm(x - y)
            assert branch.rho[i] == pytest.approx(rho_0, abs=1e-9)
            beside = branch.rho[::j][np.abs(branch.rho[::j] - rho_0) > 1e-8][0]
            assert np.sign(beside - rho_0) == -np.sign(q)
            # the slope, from a point of the branch at small nu
            nu = 1e-5 * np.abs(np.linalg.eigvalsh(hessian)).min()
            z = x
            for _ in range(20):
                F = himmelblau.loss.gradient(z) + nu * (z - y)
                z = z - np.linalg.solve(himmelblau.loss.hessian(z) + nu * np.eye(2), F)
            slope = (np.linalg.norm(z - y) - rho_0) / nu
            assert slope == pytest.approx(-q / rho_0, rel=5e-4)
            source, end = (int(np.linalg.norm(critical - p, axis=1).argmin()) for p in (x, y))
            pairs.add((source, end))
    assert len(pairs) == 72


def test_every_end_is_met_once(himmelblau: HallucinatedBranches) -> None:
    # 72 ordered pairs, and two small-radius ends for each of the six negative eigenvalues
    ends = [name for branch in himmelblau for name in (branch.start, branch.end)]
    assert len(ends) == 84
    assert ends.count("endpoint") == 12
    assert set(ends) <= {"endpoint", "minimum", "saddle", "maximum"}


@pytest.mark.parametrize("rho", [0.1, 0.25, 0.5, 0.75, 1.0])
def test_small_radii_have_two_points_for_each_negative_eigenvalue(
    himmelblau: HallucinatedBranches, rho: float
) -> None:
    points = himmelblau.at(rho)
    assert len(points) == 12
    assert not points.select(stability="attracting")


@pytest.mark.parametrize("rho", [2.0, 3.0, 5.0])
def test_points_at_a_radius_are_those_of_the_search(himmelblau: HallucinatedBranches, rho: float) -> None:
    searched = sd.fixed_points(sd.Flow(himmelblau.loss, sd.SAM(rho))).select(kind="hallucinated")
    followed = himmelblau.at(rho)
    assert len(followed) == len(searched)
    for point in searched:
        k = int(np.linalg.norm(followed.x - point.x, axis=1).argmin())
        np.testing.assert_allclose(followed[k].x, point.x, atol=1e-9)
        assert followed[k].stability == point.stability
        np.testing.assert_allclose(
            np.sort(followed[k].eigenvalues.real), np.sort(point.eigenvalues.real), rtol=1e-7
        )


def test_known_points_of_himmelblau(himmelblau: HallucinatedBranches) -> None:
    points = himmelblau.at(5.0)
    for x, eigenvalues in (
        ([-1.39377163271, -2.31452231210], [104.12640922, 117.17176637]),
        ([1.0900045909, -2.1475042809], [100.532, 361.639]),
    ):
        k = int(np.linalg.norm(points.x - x, axis=1).argmin())
        np.testing.assert_allclose(points[k].x, x, atol=1e-10)
        np.testing.assert_allclose(np.sort(-points[k].eigenvalues), eigenvalues, rtol=1e-5)
        assert points[k].stability == "attracting"


def test_windows_of_himmelblau(himmelblau: HallucinatedBranches) -> None:
    minima = himmelblau.intervals().select(endpoint_kind="minimum", stability="attracting")
    assert minima[0].lower == pytest.approx(1.9323, abs=5e-5)
    assert minima[1].lower == pytest.approx(1.9642, abs=1e-4)
    critical = himmelblau.critical_points
    distances = np.linalg.norm(critical.x[:, None] - critical.x, axis=-1)
    assert np.abs(distances - minima[0].lower).min() < 1e-9
    low, high = minima.radii()[0]
    assert low < 2.0
    assert high > 7.0
    every = himmelblau.intervals().select(stability="attracting")
    assert every.radii()[0, 0] == pytest.approx(1.0405332821, abs=1e-9)


def test_bump_exists_between_maximum_and_saddle_and_does_not_attract() -> None:
    found = sd.hallucinated_branches(bump())
    (branch,) = [b for b in found if b.endpoint_kind == "minimum"]
    assert {branch.start, branch.end} == {"maximum", "saddle"}
    assert branch.rho.min() == pytest.approx(2.179693, abs=5e-7)
    assert branch.rho.max() == pytest.approx(2.770, abs=5e-4)
    for rho, n in ((2.05, 0), (2.1, 0), (2.3, 1), (2.5, 1), (2.7, 1), (2.8, 0)):
        near = [p for p in found.at(rho) if np.linalg.norm(p.x - [2.1, 0.5]) < 0.6]
        to_minimum = [p for p in near if np.linalg.norm(p.x - branch.endpoint) == pytest.approx(rho)]
        assert len(to_minimum) == n
        assert all(p.stability == "saddle" for p in to_minimum)
    (point,) = [p for p in found.at(2.5) if np.linalg.norm(p.x - branch.endpoint) == pytest.approx(2.5)]
    np.testing.assert_allclose(np.sort(-point.eigenvalues), [-5.53, 0.97], atol=6e-3)


def test_tilted_hat_has_both_families() -> None:
    found = sd.hallucinated_branches(sd.landscapes.tilted_hat(tilt=0.1))
    intervals = found.intervals()
    (unstable,) = intervals.select(endpoint_kind="minimum")
    assert (unstable.lower, unstable.upper) == pytest.approx((1.1477117897, 1.9923298057), abs=1e-9)
    assert unstable.stability == "saddle"
    (stable,) = intervals.select(endpoint_kind="saddle", stability="attracting")
    assert (stable.lower, stable.upper) == pytest.approx((0.8446180160, 1.8912985478), abs=1e-8)
    assert stable.lower_end == "maximum"
    points = found.at(1.5)
    for x1, eigenvalues in (
        (-0.4533194682, (2.2866204070, -0.3421092417)),
        (0.5543507261, (1.6827576478, 0.1212711815)),
    ):
        (point,) = [p for p in points if abs(p.x[0] - x1) < 1e-9 and abs(p.x[1]) < 1e-9]
        np.testing.assert_allclose(np.sort(-point.eigenvalues), np.sort(eigenvalues), atol=1e-8)


@pytest.mark.parametrize("dim", [2, 3])
def test_ring_of_minimisers(dim: int) -> None:
    found = sd.hallucinated_branches(sd.landscapes.ring(dim))
    attracting = found.intervals().select(stability="attracting")
    np.testing.assert_allclose(attracting.radii(), [[1, 2]], atol=1e-6)
    points = found.at(1.5).select(stability="attracting")
    assert len(points) >= 16
    np.testing.assert_allclose(np.linalg.norm(points.x, axis=1), 0.5, atol=1e-9)
    zero = np.sort(np.abs(points[0].eigenvalues))
    np.testing.assert_allclose(zero, [*[0.0] * (dim - 1), 2.0], atol=1e-9)
    assert found.at(1.5, lr=0.9).select(stability="attracting")
    assert not found.at(1.5, lr=1.1).select(stability="attracting")


def test_two_layer_network_with_decay() -> None:
    decay = 0.1
    q = np.sqrt(1 - decay)
    found = sd.hallucinated_branches(sd.landscapes.uv(decay))
    windows = found.intervals().select(endpoint_kind="minimum")
    assert [(i.lower, i.upper) for i in windows] == [
        pytest.approx((np.sqrt(2) * q, 2 * np.sqrt(2) * q), abs=1e-9)
    ] * 2
    points = found.at(2.0, lr=0.1)
    s = 0.4655302643
    (point,) = [p for p in points if np.allclose(p.x, [s, s], atol=1e-9)]
    np.testing.assert_allclose(
        np.sort(point.eigenvalues), np.sort(1 - 0.1 * np.array([0.9854101966, 1.8])), atol=1e-9
    )


def test_network_without_decay_has_endpoints_on_its_curve() -> None:
    found = sd.hallucinated_branches(sd.landscapes.uv(0.0))
    attracting = found.intervals().select(stability="attracting")
    assert attracting.radii()[0, 0] == pytest.approx(np.sqrt(2), abs=1e-3)  # endpoints are sampled
    points = found.at(2.0).select(stability="attracting")
    P, r = np.prod(points.x, axis=1), np.linalg.norm(points.x, axis=1)
    np.testing.assert_allclose(P, r**2 * (1 + 2 * r) / (r**2 + 4), atol=1e-9)


@pytest.mark.slow
def test_serpentine_valley_window() -> None:
    found = sd.hallucinated_branches(sd.landscapes.serpentine(3.0)).intervals()
    low = found.radii()[0, 0]
    assert 1.8444222724 <= low < 1.96  # endpoints are sampled
    assert max(i.upper for i in found.select(stability="attracting")) < 6.88


def test_in_one_dimension_the_branches_are_the_complete_list() -> None:
    for loss in (sd.landscapes.tilted_double_well(), sd.landscapes.two_gaussian_well()):
        followed = sd.hallucinated_branches(loss).intervals()
        exact = [i for i in sd.hallucination_intervals(loss) if "box" not in (i.lower_end, i.upper_end)]
        inside = [i for i in followed if "box" not in (i.lower_end, i.upper_end)]
        for i in exact:
            assert any(
                (i.lower, i.upper) == pytest.approx((j.lower, j.upper), abs=1e-8)
                and i.endpoint == pytest.approx(j.endpoint)
                and i.stability == j.stability
                for j in inside
            )


def test_lr_of_a_branch_closes_where_the_gradient_vanishes() -> None:
    (branch, _) = [
        b for b in sd.hallucinated_branches(sd.landscapes.double_well(2)) if b.endpoint_kind == "minimum"
    ]
    inner = slice(1, -1)
    rho = branch.rho[inner]
    second = 1 + 1 / ((rho - 1) * (2 - rho))
    np.testing.assert_allclose(branch.lr_max[inner], np.minimum(1, 2 / second), rtol=1e-6)
    np.testing.assert_allclose(
        branch.gradient_norm, branch.rho * (branch.rho - 1) * (2 - branch.rho), atol=1e-9
    )
    np.testing.assert_allclose(branch.gradient_norm, branch.nu * branch.rho, atol=1e-9)
    assert branch.lr_max[1] < 0.05


def test_radii_seed_branches_that_no_pair_leads_to() -> None:
    # endpoints outside the box are no critical points in it
    loss, box = sd.landscapes.double_well(), [(-0.8, -0.2)]
    assert len(sd.hallucinated_branches(loss, box)) == 0
    found = sd.hallucinated_branches(loss, box, radii=[0.5, 1.5])
    assert [(b.endpoint_kind, b.start, b.end) for b in found] == [
        ("maximum", "box", "box"),
        ("minimum", "box", "box"),
    ]
    np.testing.assert_allclose(found.at(0.6).x, [[-0.6]], atol=1e-12)
    np.testing.assert_allclose(found.at(1.4).x, [[-0.4]], atol=1e-12)


def test_repr() -> None:
    found = sd.hallucinated_branches(sd.landscapes.double_well())
    assert "rho from 1 to 2" in repr(found)
    assert found._repr_html_().count("<tr>") == len(found) == 4
    assert found[:1] == (found[0],)
    assert len(found[0].folds) == 0


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((3.0,), {}, TypeError, "loss must be"),
        ((sd.Landscape(lambda w: w @ w, 2),), {}, ValueError, "box must be given"),
        ((sd.landscapes.himmelblau(), [(5, -5), (-5, 5)]), {}, ValueError, "lower < upper"),
        ((sd.landscapes.himmelblau(),), {"radii": [-1.0]}, ValueError, "radii must be"),
        ((sd.landscapes.himmelblau(),), {"n_steps": 0}, ValueError, "n_steps must be"),
    ],
)
def test_bad_input(arguments: tuple, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        sd.hallucinated_branches(*arguments, **options)


def test_at_refuses_a_radius_that_is_none(himmelblau: HallucinatedBranches) -> None:
    with pytest.raises(ValueError, match="rho must be"):
        himmelblau.at(0.0)
