"""Degrees on the boundary of a box above two dimensions, and lists whose indices do not add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import samdyn as sd
from samdyn.arguments.checks import Array
from samdyn.equilibria.newton import value_and_jacobian
from samdyn.equilibria.proof.boundary_index import boundary_degree, indices_of_jumps


def _wells(w: Tensor) -> Tensor:
    return ((w**2 - 1) ** 2 / 4).sum() + 0.1 * w.sum() + 0.2 * (w[:-1] * w[1:]).sum()


WELLS = sd.Landscape(_wells, 3, [(-2, 2)] * 3)
TWO_WELLS = sd.Landscape(
    lambda w: (w[0] ** 2 - 1) ** 2 / 4 + 0.1 * w[0] + 0.5 * w[1] ** 2 + w[2] ** 2 + 0.2 * w[0] * w[1],
    3,
    [(-2, 2)] * 3,
)


def test_linear_fields() -> None:
    """Right: the sign of the determinant, or that it is not known, as where the zero is near the boundary."""
    rng = np.random.default_rng(0)
    known = 0
    for dim in (3, 3, 3, 4):
        matrix = rng.normal(size=(dim, dim)) + 2 * np.diag(rng.choice([-1, 1], dim))
        zero = rng.uniform(-0.2, 0.2, dim)

        def field(x: Array, matrix: Array = matrix, zero: Array = zero) -> tuple[Array, Array]:
            return (x - zero) @ matrix.T, np.tile(matrix, (len(x), 1, 1))

        degree = boundary_degree(field, np.stack([-np.ones(dim), rng.uniform(1, 2, dim)], axis=1))
        assert np.isnan(degree) or degree == np.sign(np.linalg.det(matrix))
        known += np.isfinite(degree)
    assert known >= 3


def test_a_degree_of_two_or_none_is_not_taken_for_another() -> None:
    """Right: (z^2, w) winds twice, (z conj(z) + 1, w) never vanishes: no linear field is like them."""

    def square(w: Tensor) -> Tensor:
        return torch.stack([w[0] ** 2 - w[1] ** 2, 2 * w[0] * w[1], w[2]])

    def none(w: Tensor) -> Tensor:
        return torch.stack([1 + w[0] ** 2 + w[1] ** 2, w[1], w[2]])

    for upper in (1.05, 1.1, 1.3):
        box = np.array([[-1.0, upper]] * 3)
        assert all(np.isnan(boundary_degree(value_and_jacobian(f, 3), box)) for f in (square, none))
    missed = sd.fixed_points(sd.Flow.from_function(square, 3, box=box), n_starts=16)
    assert "the index sum is not checked" in repr(missed)


def test_missing_zeros_of_a_steep_field() -> None:
    """Right: -w + c tanh(2 w/c) in each coordinate has 27 zeros; with the 8 outer ones alone 7 are missing.

    The index of an outer one is -1, as is the degree.
    """
    c = 0.01
    flow = sd.Flow.from_function(lambda w: c * torch.tanh(2 * w / c) - w, 3, box=[(-2, 2)] * 3)
    found = sd.fixed_points(flow, n_starts=16)
    signs = np.array([np.sign(np.prod(p.eigenvalues.real)) for p in found])
    index = found.coverage["all"].index
    assert index is not None
    assert index.missing == abs(-1 - signs.sum())
    assert (index.missing == 0) == ("add up" in repr(found))


@pytest.mark.parametrize(
    ("loss", "rule", "n"),
    [(WELLS, sd.GD(), 25), (WELLS, sd.USAM(0.1), 25), (TWO_WELLS, sd.SAM(0.3), 3)],
    ids=["GD", "USAM", "SAM"],
)
def test_complete_lists_add_up(loss: sd.Landscape, rule: sd.Rule, n: int) -> None:
    """Right: as many critical points as a proof by subdivision finds; all indices add up."""
    found = sd.fixed_points(sd.Flow(loss, rule), n_starts=256)
    assert len(found.genuine) == n
    for coverage in found.coverage.values():
        assert coverage.index is not None
        assert coverage.index.complete


def test_a_jump_has_the_degree_of_the_sphere_that_the_rule_looks_at() -> None:
    """Right: by winding numbers in the plane, which are computed otherwise."""
    from samdyn.equilibria.proof.degree import windings

    loss = sd.Landscape(_wells, 2, [(-3, 3)] * 2)
    critical = sd.fixed_points(sd.Flow(loss, sd.GD()), n_starts=64).x
    for rho in (0.3, 1.1, 1.5):
        field = sd.Flow(loss, sd.SAM(rho))
        evaluate = value_and_jacobian(field.point_function(), 2)
        index = indices_of_jumps(critical, loss.hessian(critical), rho, np.array([[-9.0, 9.0]] * 2))
        squares = critical[:, :, None] + 1e-5 * np.array([-0.98, 1.0])
        np.testing.assert_array_equal(windings(evaluate, squares), index)
