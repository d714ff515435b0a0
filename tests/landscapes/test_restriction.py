"""Losses on planes: values, derivatives, coordinates, and the share of the motion that leaves."""

from __future__ import annotations

import numpy as np
import problems
import pytest

import samdyn as sd

RNG = np.random.default_rng(0)


def test_values_and_derivatives_are_those_of_the_whole_loss() -> None:
    loss = problems.xor_module(2, 0.03)
    basis = np.linalg.qr(RNG.normal(size=(9, 2)))[0]
    for directions in (basis, basis.T, 3 * basis + 0.1):
        columns = directions if directions.shape[0] == 9 else directions.T
        plane = sd.restrict(loss, loss.x0, directions)
        c, v = RNG.normal(size=(4, 2)), RNG.normal(size=(4, 2))
        x = loss.x0 + c @ columns.T
        np.testing.assert_allclose(plane.embed(c), x, rtol=1e-14)
        np.testing.assert_allclose(plane.value(c), loss.value(x), rtol=1e-13)
        np.testing.assert_allclose(plane.gradient(c), loss.gradient(x) @ columns, atol=1e-13)
        np.testing.assert_allclose(plane.hvp(c, v), loss.hvp(x, v @ columns.T) @ columns, atol=1e-12)
        np.testing.assert_allclose(plane.project(x), c, atol=1e-12)
    line = sd.restrict(loss, loss.x0, basis[:, 0])
    assert line.dim == 1


def test_checkpoints_are_unit_vectors_of_their_plane() -> None:
    loss = sd.landscapes.styblinski_tang(dim=4)
    checkpoints = RNG.normal(size=(2, 4))
    plane = sd.restrict(loss, np.zeros(4), points=checkpoints)
    np.testing.assert_allclose(plane.embed(np.eye(2)), checkpoints, atol=1e-14)
    np.testing.assert_allclose(plane.value(np.eye(2)), loss.value(checkpoints), rtol=1e-13)
    assert plane.box is not None


def test_everything_works_on_the_plane_of_a_hallucinated_point() -> None:
    case = problems.HALLUCINATED_NETWORKS["isolated"]
    loss = problems.xor_module(2, 0.03)
    vectors = np.real(sd.spectrum(loss, case.x, 2).eigenvectors)
    plane = sd.restrict(loss, case.x, vectors, box=[(-2, 2), (-2, 2)], name="two sharpest directions")
    centre = sd.refine(sd.Flow(plane, sd.SAM(4.0)), [1e-3, -1e-3])
    assert centre.reached
    assert min(centre.gradient_norm, centre.perturbed_gradient_norm) < 1e-10
    assert sd.diagnose(sd.Map(plane, sd.GD(), lr=0.01), [1.0, 1.0]).verdict == "still descending"
    system = sd.Map(loss, sd.SAM(4.0), lr=0.02)
    share = plane.leaving(system, RNG.normal(size=(5, 2)))
    assert share.shape == (5,)
    assert ((share > 0) & (share <= 1)).all()


def test_a_motion_in_the_plane_does_not_leave_it() -> None:
    loss = sd.landscapes.quadratic(np.diag([3.0, 2.0, 1.0]))
    plane = sd.restrict(loss, np.zeros(3), np.eye(3)[:, :2])
    c = RNG.normal(size=(3, 2))
    for system in (sd.Flow(loss, sd.SAM(0.1)), sd.Map(loss, sd.USAM(0.1), lr=0.1, momentum=0.5)):
        np.testing.assert_allclose(plane.leaving(system, c), 0, atol=1e-12)
    tilted = sd.restrict(loss, np.zeros(3), np.array([1.0, 0.0, 1.0]))
    # the gradient at (1, 0, 1) is (3, 0, 1): its cosine with the line is 4 / sqrt(20)
    assert tilted.leaving(sd.Flow(loss, sd.GD()), [1.0]) == pytest.approx((1 - 16 / 20) ** 0.5)


def test_what_does_not_fit_is_refused() -> None:
    loss = sd.landscapes.himmelblau()
    other = sd.landscapes.himmelblau()
    for call, words in (
        (lambda: sd.restrict(loss, [0.0, 0.0]), "directions or points"),
        (lambda: sd.restrict(loss, [0.0, 0.0], [1.0, 0.0], points=[[1.0, 0.0]]), "directions or points"),
        (lambda: sd.restrict(loss, [[0.0, 0.0]], [1.0, 0.0]), "origin must be one point"),
        (lambda: sd.restrict(loss, [0.0, 0.0], [[1.0, 2.0], [2.0, 4.0]]), "independent"),
        (lambda: sd.restrict(loss, [0.0, 0.0], points=[[0.0, 0.0]]), "points must be independent"),
        (lambda: sd.restrict(loss, [0.0, 0.0], [1.0, 0.0, 0.0]), "directions must have shape"),
        (
            lambda: sd.restrict(loss, [0.0, 0.0], [1.0, 0.0]).leaving(sd.Flow(other, sd.GD()), [0.0]),
            "made from",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(TypeError, match="loss must be"):
        sd.restrict(loss.value, [0.0, 0.0], [1.0, 0.0])  # type: ignore[arg-type]
