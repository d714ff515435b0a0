"""Transient growth against closed forms and brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import samdyn as sd


def test_a_nilpotent_part_amplifies_before_it_decays() -> None:
    grown = sd.transient_growth([[0.5, 10.0], [0.0, 0.5]], discrete=True)
    powers = [np.linalg.norm(np.linalg.matrix_power([[0.5, 10.0], [0.0, 0.5]], k), 2) for k in range(60)]
    assert grown.largest == pytest.approx(max(powers), rel=1e-12)
    assert grown.when == int(np.argmax(powers)) == 1
    assert grown.one_step == pytest.approx(powers[1], rel=1e-12)
    # the Kreiss matrix theorem: K <= largest <= e n K
    assert 1 < grown.kreiss <= grown.largest <= math.e * 2 * grown.kreiss
    assert np.linalg.norm(np.array([[0.5, 10.0], [0.0, 0.5]]) @ grown.start) == pytest.approx(grown.largest)


def test_flow_with_a_closed_form() -> None:
    # exp(tA) has the off-diagonal entry c (e^-t - e^-2t), largest at log 2; for large c the norm peaks there
    c = 1e6
    grown = sd.transient_growth([[-1.0, c], [0.0, -2.0]], discrete=False)
    assert grown.largest == pytest.approx(c / 4, rel=1e-6)
    assert grown.when == pytest.approx(math.log(2), rel=1e-4)
    assert grown.numerical_abscissa == pytest.approx((-3 + math.sqrt(1 + c**2)) / 2, rel=1e-9)
    assert grown.kreiss <= grown.largest


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_against_brute_force(seed: int, discrete: bool) -> None:
    a = np.random.default_rng(seed).standard_normal((4, 4))
    values = np.linalg.eigvals(a)
    a = a * 0.95 / np.abs(values).max() if discrete else a - (values.real.max() + 0.2) * np.eye(4)
    grown = sd.transient_growth(a, discrete=discrete)
    if discrete:
        norms = [np.linalg.norm(np.linalg.matrix_power(a, k), 2) for k in range(200)]
        assert grown.largest == pytest.approx(max(norms), rel=1e-12)
    else:
        norms = [np.linalg.norm(expm(t * a), 2) for t in np.linspace(0, 40, 4001)]
        assert max(norms) <= grown.largest * (1 + 1e-9)
        assert grown.largest == pytest.approx(max(norms), rel=1e-3)
    assert grown.kreiss <= grown.largest * (1 + 1e-9)


def test_normal_systems_never_grow_and_unstable_ones_always() -> None:
    calm = sd.transient_growth(np.diag([0.9, -0.5]), discrete=True)
    assert (calm.largest, calm.when, calm.kreiss) == (1.0, 0.0, 1.0)
    wild = sd.transient_growth(np.diag([1.1, 0.5]), discrete=True)
    assert wild.largest == math.inf
    assert "without bound" in repr(wild)
    assert sd.transient_growth(np.diag([1.1, 0.5]), True, horizon=10).largest == pytest.approx(1.1**10)


def test_of_a_linearization() -> None:
    # heavy ball at a minimum: a stable state map that is far from normal
    step = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.01, momentum=0.9)
    at = sd.linearize(step, [0.0])
    grown = at.transient_growth()
    assert at.stability == "attracting"
    norms = [np.linalg.norm(np.linalg.matrix_power(at.jacobian, k), 2) for k in range(400)]
    assert grown.largest == pytest.approx(max(norms), rel=1e-12)
    assert grown.largest > 1.3


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.transient_growth([[1.0, 2.0]]), ValueError, "matrix must be a square array"),
        (lambda: sd.transient_growth([[math.nan]], True), ValueError, "matrix must be finite"),
        (lambda: sd.transient_growth("a"), TypeError, "matrix must be a square array"),
        (lambda: sd.transient_growth([[0.5]], True, horizon=0), ValueError, "horizon must be"),
    ],
    ids=["not square", "nan", "text", "no horizon"],
)
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_stiff_flow() -> None:
    """A hump of height 100 / e at time 1e-5, while the slowest mode lasts for 40."""
    growth = sd.transient_growth([[-1, 0, 0], [0, -1e5, 1e7], [0, 0, -1e5]], discrete=False)
    assert growth.largest == pytest.approx(100 / np.e, rel=1e-3)
    assert growth.when == pytest.approx(1e-5, rel=1e-2)
    assert growth.kreiss <= growth.largest
