"""The catalogue: its critical points are critical, of their kind and all there are; arguments are checked."""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial
from scipy.optimize import brentq

import samdyn as sd
from samdyn.landscapes.wells import LARGEST_TILT, cubic_roots
from samdyn.trace import tracing

catalogue = sd.landscapes

EXAMPLES: dict[str, sd.Landscape] = {
    "quadratic": catalogue.quadratic([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, -3.0]]),
    "quadratic of a tensor": catalogue.quadratic(-torch.eye(2)),
    "quadratic, singular": catalogue.quadratic([[1.0, 1.0], [1.0, 1.0]]),
    "saddle": catalogue.saddle(0.5, 3.0),
    "monkey_saddle": catalogue.monkey_saddle(),
    "double_well": catalogue.double_well(),
    "double_well, 2-D": catalogue.double_well(2, stiffness=3.0),
    "double_well, 5-D": catalogue.double_well(5),
    "tilted_double_well": catalogue.tilted_double_well(),
    "tilted_double_well, left": catalogue.tilted_double_well(-0.38),
    "coupled_double_well": catalogue.coupled_double_well(),
    "embedded_saddle": catalogue.embedded_saddle(),
    "two_gaussian_well": catalogue.two_gaussian_well(),
    "three_well": catalogue.three_well(),
    "product": catalogue.product(),
    "uv": catalogue.uv(),
    "uv, decay 0.1": catalogue.uv(0.1),
    "uv, decay 1": catalogue.uv(1.0),
    "uv, decay 2": catalogue.uv(2.0),
    "widening_valley": catalogue.widening_valley(),
    "serpentine": catalogue.serpentine(),
    "sine_trap": catalogue.sine_trap(),
    "sine_trap, scaled": catalogue.sine_trap(beta=3.0, rho=0.2),
    "ring": catalogue.ring(),
    "ring, 4-D": catalogue.ring(4),
    "tilted_hat": catalogue.tilted_hat(),
    "tilted_hat, 3-D": catalogue.tilted_hat(3, tilt=0.3),
    "beale": catalogue.beale(),
    "himmelblau": catalogue.himmelblau(),
    "rosenbrock": catalogue.rosenbrock(),
    "six_hump_camel": catalogue.six_hump_camel(),
    "styblinski_tang": catalogue.styblinski_tang(),
    "styblinski_tang, 3-D": catalogue.styblinski_tang(3),
    "rastrigin": catalogue.rastrigin(),
    "rastrigin, 1-D": catalogue.rastrigin(1),
    "mueller_brown": catalogue.mueller_brown(),
}
NAMES = pytest.mark.parametrize("name", EXAMPLES)

# where no curve of critical points and no degenerate one slows Newton's method down
COUNTS = {
    "double_well": 3,
    "double_well, 2-D": 3,
    "tilted_double_well": 3,
    "tilted_double_well, left": 3,
    "coupled_double_well": 3,
    "embedded_saddle": 3,
    "two_gaussian_well": 3,
    "three_well": 7,
    "uv, decay 0.1": 3,
    "uv, decay 2": 1,
    "sine_trap": 4,
    "sine_trap, scaled": 4,
    "tilted_hat": 3,
    "beale": 3,
    "himmelblau": 9,
    "rosenbrock": 1,
    "six_hump_camel": 15,
    "styblinski_tang": 9,
    "rastrigin": 441,
    "rastrigin, 1-D": 21,
    "mueller_brown": 5,
}


def positions(loss: sd.Landscape) -> np.ndarray:
    return np.array([point.x for point in loss.critical_points]).reshape(-1, loss.dim)


def by_newton(loss: sd.Landscape, starts_per_axis: int, n_steps: int = 40) -> np.ndarray:
    """The critical points in the box that Newton's method finds from a grid of starts, without repeats."""
    assert loss.box is not None
    width = loss.box[:, 1] - loss.box[:, 0]
    axes = [np.linspace(low, high, starts_per_axis) for low, high in loss.box]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, loss.dim)
    for _ in range(n_steps):
        values, vectors = np.linalg.eigh(loss.hessian(x))
        values = np.where(np.abs(values) < 1e-12, 1e-12, values)
        along = np.einsum("nij,ni->nj", vectors, loss.gradient(x)) / values
        step = np.einsum("nij,nj->ni", vectors, along)
        step *= np.minimum(1, 0.1 * width.max() / np.maximum(np.linalg.norm(step, axis=1), 1e-300))[:, None]
        x = x - step
    inside = ((x >= loss.box[:, 0]) & (x <= loss.box[:, 1])).all(axis=1)
    x = x[inside & (np.linalg.norm(step, axis=1) < 1e-9 * width.max())]
    return np.unique(np.round(x, 6) + 0.0, axis=0)


def test_every_function_of_the_catalogue_has_an_example() -> None:
    functions = {name for name in catalogue.__all__ if inspect.isfunction(getattr(catalogue, name))}
    assert functions == {name.split(",")[0].split(" ")[0] for name in EXAMPLES}


@NAMES
def test_gradient_vanishes_at_critical_points(name: str) -> None:
    loss = EXAMPLES[name]
    x = positions(loss)
    scale = np.linalg.norm(loss.hessian(x), 2, axis=(1, 2)) * np.maximum(1, np.linalg.norm(x, axis=1))
    # coordinates are rounded to double precision, so the gradient is H times some 1e-16
    assert (np.linalg.norm(loss.gradient(x), axis=1) <= 1e-13 * scale).all()


@NAMES
def test_kinds_follow_from_the_hessian(name: str) -> None:
    loss = EXAMPLES[name]
    eigenvalues = np.linalg.eigvalsh(loss.hessian(positions(loss)))
    for (_, kind), values in zip(loss.critical_points, eigenvalues, strict=True):
        smallest = np.abs(values).min()
        if kind == "degenerate":
            assert smallest <= 1e-14
        else:
            assert smallest > 1e-6
            assert kind == ("minimum" if values[0] > 0 else "maximum" if values[-1] < 0 else "saddle")


@NAMES
def test_critical_points_are_distinct_and_inside_the_box(name: str) -> None:
    loss = EXAMPLES[name]
    assert loss.box is not None
    x = positions(loss)
    assert ((x > loss.box[:, 0]) & (x < loss.box[:, 1])).all()
    assert len(np.unique(np.round(x, 6), axis=0)) == len(x)
    assert all(isinstance(value, float) for point in loss.critical_points for value in point.x)


@pytest.mark.parametrize("name", COUNTS)
def test_newton_from_a_grid_finds_the_listed_points_and_no_others(name: str) -> None:
    loss = EXAMPLES[name]
    found = by_newton(loss, starts_per_axis=60 if loss.dim == 2 else 300)
    listed = positions(loss)
    assert len(listed) == COUNTS[name]
    distance = np.linalg.norm(found[:, None] - listed[None], axis=-1)
    assert len(found) == COUNTS[name]
    assert (distance.min(axis=1) < 3e-6).all()
    assert (distance.min(axis=0) < 3e-6).all()


def test_beale_has_no_other_critical_point_in_the_plane() -> None:
    # f = sum (c_i - x a_i(y))^2. Where a != 0, f_x = 0 gives x = T/S and f_y = 0 then a polynomial in y; it
    # also has the root 1, thrice, where all a_i vanish and f_y = 0 gives x = 0
    y = Polynomial([0.0, 1.0])
    c, a = (1.5, 2.25, 2.625), [1 - y**power for power in (1, 2, 3)]
    square, mixed = sum(p * p for p in a), sum(ci * p for ci, p in zip(c, a, strict=True))
    remaining = sum((c[i] * square - a[i] * mixed) * (i + 1) * y**i for i in range(3)) // (y - 1) ** 3
    roots = remaining.roots()
    real = np.sort(roots[np.abs(roots.imag) < 1e-9].real)
    # x = 0 would need T = 0: its only real root is y = 1
    off_axis = (mixed // (1 - y)).roots()
    assert (np.abs(off_axis.imag) > 0.1).all()
    listed = positions(EXAMPLES["beale"])
    np.testing.assert_allclose(real, np.sort(listed[listed[:, 1] != 1][:, 1]), rtol=1e-9)
    np.testing.assert_allclose(mixed(real) / square(real), [0.10053793732415836, 3.0], rtol=1e-8)


def test_beale_values() -> None:
    loss = catalogue.beale()
    assert loss.value([0.0, 1.0]) == 14.203125
    np.testing.assert_array_equal(loss.hessian([0.0, 1.0]), [[0, 27.75], [27.75, 0]])
    assert loss.value([3.0, 0.5]) == 0
    np.testing.assert_allclose(np.linalg.eigvalsh(loss.hessian([3.0, 0.5])), [0.301464, 48.979786], atol=5e-7)


def test_values_at_minima() -> None:
    def minima(name: str) -> np.ndarray:
        loss = EXAMPLES[name]
        return np.sort([float(loss.value(x)) for x, kind in loss.critical_points if kind == "minimum"])

    np.testing.assert_allclose(minima("mueller_brown"), [-146.6995, -108.1667, -80.7678], atol=5e-5)
    np.testing.assert_allclose(minima("himmelblau"), np.zeros(4), atol=1e-25)
    np.testing.assert_allclose(minima("six_hump_camel")[:2], [-1.031628453] * 2, atol=5e-10)
    assert len(minima("six_hump_camel")) == 6
    np.testing.assert_allclose(minima("styblinski_tang")[0], -39.16616570377142 * 2, rtol=1e-14)
    np.testing.assert_allclose(minima("rastrigin")[0], 0, atol=1e-14)
    np.testing.assert_allclose(minima("embedded_saddle"), [-0.25, -0.25])
    np.testing.assert_allclose(minima("double_well, 5-D"), [0.0, 0.0])


def test_closed_forms_away_from_critical_points() -> None:
    x, y = 1.3, -0.7
    point = [x, y]
    values = {
        "double_well, 2-D": (x**2 - 1) ** 2 / 4 + 3 * y**2 / 2,
        "coupled_double_well": (x**2 - 1) ** 2 / 4 + (1 + x**2) * y**2 / 2,
        "saddle": (0.5 * x**2 - 3 * y**2) / 2,
        "monkey_saddle": x**3 - 3 * x * y**2,
        "product": (x * y - 1) ** 2,
        "uv, decay 0.1": (x * y - 1) ** 2 / 2 + 0.05 * (x**2 + y**2),
        "ring": (x**2 + y**2 - 1) ** 2 / 4,
        "tilted_hat": (x**2 + y**2 - 1) ** 2 / 4 - 0.1 * x,
        "embedded_saddle": (x**2 - y**2) / 2 + (x**4 + y**4) / 4,
        "serpentine": (y - 3 * math.sin(x)) ** 2 / 2,
        "widening_valley": (1 + 0.5 * y) * x**2 / 2,
        "rosenbrock": (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        "rastrigin": 20 + sum(t**2 - 10 * math.cos(2 * math.pi * t) for t in point),
        "styblinski_tang": sum(t**4 - 16 * t**2 + 5 * t for t in point) / 2,
    }
    for name, value in values.items():
        assert float(EXAMPLES[name].value(point)) == pytest.approx(value, rel=1e-14), name
    # x^2 - y^2
    assert float(catalogue.saddle(2, 2).value(point)) == pytest.approx(x**2 - y**2, rel=1e-14)


def test_valley_floors_are_minimal() -> None:
    t = np.linspace(0.5, 2.0, 7)
    for loss in (catalogue.product(), catalogue.uv()):
        floor = np.stack([t, 1 / t], axis=1)
        np.testing.assert_allclose(loss.gradient(floor), 0, atol=1e-14)
        assert (np.linalg.eigvalsh(loss.hessian(floor))[:, 1] > 0.5).all()
    floor = np.stack([t, 3 * np.sin(t)], axis=1)
    np.testing.assert_allclose(catalogue.serpentine().gradient(floor), 0, atol=1e-14)
    circle = np.stack([np.cos(t), np.sin(t)], axis=1)
    np.testing.assert_allclose(catalogue.ring().gradient(circle), 0, atol=1e-14)


@pytest.mark.parametrize(("beta", "rho"), [(1.0, 1.0), (3.0, 0.2)])
def test_sine_trap_stops_sam_where_the_gradient_does_not_vanish(beta: float, rho: float) -> None:
    loss = catalogue.sine_trap(beta, rho)
    for x in (-rho / 10, 0.7 * rho):
        slope = loss.gradient([x])
        assert slope[0] ** 2 == pytest.approx(27 * (beta * rho) ** 2 / (100 * math.pi**2), rel=1e-12)
        assert loss.gradient([x + rho * np.sign(slope[0])])[0] == pytest.approx(0, abs=1e-13 * beta * rho)
    # beta is the largest curvature
    x = np.linspace(-1.2 * rho, 1.2 * rho, 2001)[:, None]
    assert np.abs(loss.hessian(x)).max() == pytest.approx(beta, rel=1e-5)


@pytest.mark.parametrize("c", [0.0, 0.1, -0.2, 0.384, -0.3849, 1e-12])
def test_cubic_roots(c: float) -> None:
    roots = cubic_roots(c)
    assert -1.2 < roots[0] < roots[1] < roots[2] < 1.2
    edge = 1 / math.sqrt(3)
    between = [(-2, -edge), (-edge, edge), (edge, 2)]
    expected = [brentq(lambda t: t**3 - t + c, low, high, xtol=1e-15) for low, high in between]
    np.testing.assert_allclose(roots, expected, atol=1e-13)


def test_tilt_up_to_the_fold() -> None:
    largest = math.nextafter(LARGEST_TILT, 0)
    for tilt in (largest, -largest):
        x = [point.x[0] for point in catalogue.tilted_double_well(tilt).critical_points]
        at_the_fold = -math.copysign(1, tilt) * np.array([2, -1, -1]) / math.sqrt(3)
        np.testing.assert_allclose(np.sort(x), np.sort(at_the_fold), atol=1e-7)


def test_quadratic_hessian_is_the_matrix() -> None:
    H = np.array([[2.0, -1.0, 0.5], [-1.0, 0.0, 3.0], [0.5, 3.0, -4.0]])
    loss = catalogue.quadratic(H)
    x = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(loss.hessian(x), np.broadcast_to(H, (4, 3, 3)), atol=1e-14)
    np.testing.assert_allclose(loss.value(x), np.einsum("ni,ij,nj->n", x, H, x) / 2, rtol=1e-12)
    H[0, 0] = 99.0  # a later change of the caller's array does not reach the landscape
    assert loss.hessian(x[0])[0, 0] == 2.0
    assert catalogue.quadratic(np.zeros((2, 2))).critical_points == ()


def test_long_lists_are_left_out() -> None:
    assert len(catalogue.styblinski_tang(6).critical_points) == 729
    assert catalogue.styblinski_tang(7).critical_points == ()
    assert catalogue.rastrigin(3).critical_points == ()


@NAMES
def test_pickling_round_trip(name: str) -> None:
    loss = EXAMPLES[name]
    copy = pickle.loads(pickle.dumps(loss))
    x = np.random.default_rng(1).normal(size=(5, loss.dim))
    np.testing.assert_array_equal(copy.gradient(x), loss.gradient(x))
    np.testing.assert_array_equal(copy.box, loss.box)
    assert copy.critical_points == loss.critical_points
    assert (copy.name, copy.dim, list(copy.parameters)) == (loss.name, loss.dim, list(loss.parameters))


@NAMES
def test_gradient_has_a_coordinate_form(name: str) -> None:
    loss = EXAMPLES[name]
    gradient = tracing.coordinate_form(torch.func.grad(loss.one_point), loss.dim)
    assert gradient.traced
    x = np.random.default_rng(2).normal(size=(6, loss.dim))
    result = torch.stack(gradient(*torch.from_numpy(x).unbind(-1)), dim=-1).numpy()
    np.testing.assert_allclose(result, loss.gradient(x), rtol=1e-11, atol=1e-11 * np.abs(result).max())


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (catalogue.quadratic, ([[1.0, 2.0], [0.0, 1.0]],), ValueError, "H must be a symmetric matrix"),
        (catalogue.quadratic, ([1.0, 2.0],), ValueError, r"H must be .* got shape \(2,\)"),
        (catalogue.quadratic, ([[1.0, 2.0, 3.0]],), ValueError, r"H must be .* got shape \(1, 3\)"),
        (catalogue.quadratic, ([],), ValueError, "H must be"),
        (catalogue.quadratic, ([[math.nan]],), ValueError, "H must be .* finite"),
        (catalogue.quadratic, ([["a"]],), (TypeError, ValueError), "H must be"),
        (catalogue.quadratic, (None,), (TypeError, ValueError), "H must be"),
        (catalogue.saddle, (-1.0, 1.0), ValueError, "a must be a finite number > 0, got -1.0"),
        (catalogue.saddle, (1.0, 0), ValueError, "b must be a finite number > 0, got 0"),
        (catalogue.saddle, ("1", 1.0), TypeError, "a must be"),
        (catalogue.double_well, (0,), ValueError, "dim must be an integer >= 1, got 0"),
        (catalogue.double_well, (2, -1.0), ValueError, "stiffness must be"),
        (catalogue.double_well, (1, -1.0), ValueError, "stiffness must be"),
        (catalogue.tilted_double_well, (0.4,), ValueError, "tilt must lie between"),
        (catalogue.tilted_double_well, (-LARGEST_TILT,), ValueError, "tilt must lie between"),
        (catalogue.tilted_double_well, (math.inf,), ValueError, "tilt must be a finite number"),
        (catalogue.uv, (-0.1,), ValueError, "weight_decay must be a finite number >= 0"),
        (catalogue.widening_valley, (1.0,), ValueError, "slope must be"),
        (catalogue.widening_valley, (0.0,), ValueError, "slope must be"),
        (catalogue.serpentine, (0.0,), ValueError, "amplitude must be"),
        (catalogue.sine_trap, (0.0, 1.0), ValueError, "beta must be"),
        (catalogue.sine_trap, (1.0, math.nan), ValueError, "rho must be"),
        (catalogue.ring, (1,), ValueError, "dim must be an integer >= 2"),
        (catalogue.tilted_hat, (1,), ValueError, "dim must be an integer >= 2"),
        (catalogue.tilted_hat, (2, 0.0), ValueError, "tilt must be"),
        (catalogue.tilted_hat, (2, 0.4), ValueError, "tilt must be a number > 0 and <"),
        (catalogue.rosenbrock, (0.0,), ValueError, "b must be"),
        (catalogue.styblinski_tang, (1.5,), ValueError, "dim must be an integer"),
        (catalogue.rastrigin, ("2",), TypeError, "dim must be an integer"),
    ],
)
def test_arguments_are_checked(
    make: Callable[..., sd.Landscape],
    arguments: tuple[Any, ...],
    error: type[Exception] | tuple[type[Exception], ...],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        make(*arguments)
