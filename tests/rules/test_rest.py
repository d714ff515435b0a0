"""Where members of the family can rest: the claims of docs/family.md, one test each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq, root

import samdyn as sd

WELL = sd.landscapes.double_well()
RHO = 1.5
X = [-0.5]
"""Where SAM of radius 3/2 rests on the double well: g = 3/8 > 0, and x + 3/2 is the minimum 1."""


def test_gsam_moves_uphill_where_sam_rests() -> None:
    g = WELL.gradient(X)
    np.testing.assert_allclose(WELL.gradient(np.add(X, RHO)), 0, atol=0)
    np.testing.assert_array_equal(sd.Map(WELL, sd.SAM(RHO), lr=0.1)(X), X)
    np.testing.assert_allclose(sd.Map(WELL, sd.GSAM(RHO, alpha=0.4), lr=0.1)(X), X + 0.1 * 0.4 * g)


def test_gsam_comes_back_in_one_dimension() -> None:
    """Beside that point the part of g that is normal to P is 0, so that GSAM is SAM there."""
    beside = np.array([[-0.51], [-0.49]])
    steps = [sd.Map(WELL, rule, lr=0.1)(beside) for rule in (sd.GSAM(RHO), sd.SAM(RHO))]
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.6, 0.9])
def test_wsam_rests_where_the_gradients_are_in_proportion(gamma: float) -> None:
    points = sd.fixed_points(sd.Flow(WELL, sd.WSAM(RHO, gamma=gamma)), n_starts=64).hallucinated
    assert len(points) >= 2
    for point in points:
        g = WELL.gradient(point.x)
        perturbed = WELL.gradient(point.x + RHO * np.sign(g))
        np.testing.assert_allclose(perturbed, (2 * gamma - 1) / gamma * g, atol=1e-9)
        assert abs(g[0]) > 0.01


def test_msam_rests_at_critical_points_only() -> None:
    rule = sd.MSAM(RHO)
    found = sd.fixed_points(sd.Map(WELL, rule, lr=0.05), n_starts=64)
    np.testing.assert_allclose(np.sort(found.x[:, 0]), [-1, 0, 1], atol=1e-9)
    # at SAM's point it takes a step of gradient descent
    system = sd.Map(WELL, rule, lr=0.05)
    np.testing.assert_allclose(
        system.evaluate(system.states(X))[..., :1], X - 0.05 * WELL.gradient(X), rtol=1e-12
    )


def test_msam_hovers_about_a_maximum_all_the_same() -> None:
    """Perturbed by + and - rho in turn it sees x^3 + (3 rho^2 - 1) x on average."""
    for rho, place in ((0.2, np.sqrt(1 - 3 * 0.2**2)), (RHO, 0.0)):
        path = sd.trajectory(sd.Map(WELL, sd.MSAM(rho), lr=0.01), [0.6], n_steps=4000)
        assert abs(path.x[-2000:, 0].mean() - place) < 0.005


def test_friendly_sam_perturbs_by_nothing_at_rest() -> None:
    """With sigma = 1 and settled memory m = g, d = 0: what is left is a step of gradient descent."""
    system = sd.Map(WELL, sd.FriendlySAM(RHO, sigma=1.0), lr=0.05)
    g = WELL.gradient(X)
    after = system.evaluate(np.concatenate([X, g, [1.0]]))
    np.testing.assert_allclose(after, [X[0] - 0.05 * g[0], g[0], 1.0], rtol=1e-12)
    with pytest.raises(ValueError, match="no direction at rest"):
        sd.fixed_points(system)


@pytest.mark.parametrize("rule", [sd.VaSSO(RHO), sd.FriendlySAM(RHO, sigma=0.5), sd.InfoSAM(RHO)])
def test_settled_averages_rest_where_sam_does(rule: sd.Rule) -> None:
    system = sd.Map(WELL, rule, lr=0.1)
    state = system.states(X)
    np.testing.assert_allclose(system.evaluate(state), state, atol=1e-15)


def test_friendly_sam_comes_to_where_sam_rests() -> None:
    """The average approaches the gradient from one side, so that their difference keeps its direction."""
    path = sd.trajectory(sd.Map(WELL, sd.FriendlySAM(RHO, sigma=1.0), lr=0.01), [0.6], n_steps=2500)
    np.testing.assert_allclose(path.x[-100:, 0], X[0], atol=1e-9)


@pytest.mark.parametrize("lam", [0.0, 0.2])
def test_sampa_rests_with_its_auxiliary_point_beside(lam: float) -> None:
    points = sd.fixed_points(sd.Map(WELL, sd.SAMPa(RHO, lam=lam), lr=0.1), n_starts=16).hallucinated
    assert len(points) == 2
    for point in points:
        x = float(point.x[0])
        y = brentq(lambda z, x=x: z - x + 0.1 * float(WELL.gradient([z])[0]), x - 1, x + 1, xtol=1e-14)
        q = WELL.gradient([y])
        np.testing.assert_allclose((1 - lam) * WELL.gradient(x + RHO * np.sign(q)) + lam * q, 0, atol=1e-9)
        assert (abs(abs(x) - 0.5) < 1e-9) == (lam == 0)


def test_sampa_leaves_points_of_sam_in_the_plane() -> None:
    loss = sd.landscapes.tilted_hat()

    def perturbed(x: np.ndarray) -> np.ndarray:
        g = loss.gradient(x)
        return loss.gradient(x + RHO * g / np.linalg.norm(g))

    x = root(perturbed, [0.244, 0.914], tol=1e-12).x
    np.testing.assert_allclose(sd.Map(loss, sd.SAM(RHO), lr=0.1)(x), x, atol=1e-9)
    system = sd.Map(loss, sd.SAMPa(RHO, lam=0.0), lr=0.1)
    state = system.settled(x)
    assert np.linalg.norm((system.evaluate(state) - state)[:2]) > 1e-3


def test_lookbehind_rests_where_paths_pass() -> None:
    system = sd.Map(WELL, sd.LookbehindSAM(RHO, steps=2), lr=0.1)
    np.testing.assert_array_equal(system(X), X)
    beside = np.array([[-0.5 - 1e-9], [-0.5 + 1e-9]])
    assert (system(beside) - beside < -1e-3).all()


def test_stable_sam_rests_with_a_field_that_jumps() -> None:
    system = sd.Map(WELL, sd.StableSAM(RHO), lr=0.1)
    np.testing.assert_array_equal(system(X), X)
    g = abs(WELL.gradient(X)[0])
    steps = system(np.array([[-0.5 - 1e-9], [-0.5 + 1e-9]]))[:, 0] + 0.5
    np.testing.assert_allclose(steps, [0.1 * g, -0.1 * g], rtol=1e-6)
    found = sd.fixed_points(system, n_starts=16).hallucinated
    assert [point.stability for point in found] == ["jump", "jump"]


def test_usam_cannot_rest_elsewhere_below_one_over_the_smoothness() -> None:
    """x + rho g(x) = c and rho L < 1 give abs(x - c) <= rho L abs(x - c), so x = c."""
    loss = sd.landscapes.tilted_hat()
    grid = np.stack(np.meshgrid(*[np.linspace(-1.5, 1.5, 31)] * 2), axis=-1).reshape(-1, 2)
    smoothness = np.abs(np.linalg.eigvalsh(loss.hessian(grid))).max()
    below = sd.fixed_points(sd.Flow(loss, sd.USAM(0.99 / smoothness)), n_starts=64)
    assert len(below.genuine) == 3
    assert not below.hallucinated
    assert sd.fixed_points(sd.Flow(loss, sd.USAM(1.5)), n_starts=64).hallucinated


def test_hallucinated_points_of_sam_lie_a_radius_from_a_critical_point() -> None:
    loss = sd.landscapes.tilted_hat()
    points = sd.fixed_points(sd.Flow(loss, sd.SAM(RHO)), n_starts=128).hallucinated
    assert points
    critical = np.array([point.x for point in loss.critical_points])
    for point in points:
        distance = np.linalg.norm(critical - point.x, axis=1)
        assert np.abs(distance - RHO).min() < 1e-8
