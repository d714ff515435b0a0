"""Kinds (d) and (e): decisions by magic magnitudes, and what continuation and searches skip.

Systems of their own; right values from closed forms, published counts or numpy alone.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import samdyn as sd

# ---------------------------------------------------------------------- (d) magnitudes


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("kind", ["pitchfork", "Hopf", "flip"])
def test_what_is_born_is_stable_in_any_unit(kind: str, unit: float) -> None:
    """Kind (d): a cubic coefficient below 1e-8 counted as none, which it is in units of a millionth.

    Right: the terms -w |w|^2 (with the other sign for a flip) make all three supercritical.
    """
    if kind == "flip":
        system: sd.Map | sd.Flow = sd.Map.from_function(
            lambda w, p, s: -p * w + w**3 / s**2, 1, {"p": 0.5, "s": unit}, box=[(-2 * unit, 2 * unit)]
        )
    elif kind == "pitchfork":
        system = sd.Flow.from_function(
            lambda w, p, s: (p - 1) * w - w**3 / s**2, 1, {"p": 0.5, "s": unit}, box=[(-2 * unit, 2 * unit)]
        )
    else:
        system = sd.Flow.from_function(
            lambda w, p, s: torch.stack([(p - 1) * w[0] - w[1], w[0] + (p - 1) * w[1]]) - w * (w @ w) / s**2,
            2,
            {"p": 0.5, "s": unit},
            box=[(-2 * unit, 2 * unit)] * 2,
        )
    branch = sd.continuation(system, np.zeros(system.dim), "p", (0.5, 1.5))
    assert [(b.kind, b.criticality) for b in branch.bifurcations] == [(kind, "supercritical")]
    assert branch.bifurcations[0].value == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_a_hopf_point_of_coordinates_in_different_units(unit: float) -> None:
    """Kind (d): the same of van der Pol's equation with the speed in millionths. Right: supercritical."""
    flow = sd.Flow.from_function(
        lambda w, p, s: torch.stack([w[1] / s, s * (-w[0] + (p - w[0] ** 2) * w[1] / s)]),
        2,
        {"p": -1.0, "s": unit},
        box=[(-3, 3), (-3 * unit, 3 * unit)],
    )
    branch = sd.continuation(flow, [0.0, 0.0], "p", (-1.0, 1.0))
    assert [(b.kind, b.criticality) for b in branch.bifurcations] == [("Hopf", "supercritical")]
    assert branch.bifurcations[0].eigenvalue == pytest.approx(1j, abs=1e-6)


@pytest.mark.parametrize("at", [0.0, 0.3, 1 / 7])
def test_a_pitchfork_on_a_line_wherever_it_is(at: float) -> None:
    """Kind (d): the one eigenvalue was compared with itself, and had to be 0 to the last bit: at p = .3 the
    pitchfork was a "branch point".
    """
    flow = sd.Flow.from_function(lambda w, p: (p - at) * w - w**3, 1, {"p": -1.0})
    branch = sd.continuation(flow, [0.0], "p", (-1.0, 1.0))
    assert [(b.kind, b.criticality) for b in branch.bifurcations] == [("pitchfork", "supercritical")]
    assert branch.bifurcations[0].value == pytest.approx(at, abs=1e-10)


def test_a_pitchfork_in_a_parameter_of_millions() -> None:
    """Kind (d): the same, of (p/10^6 - .5) w + w/1000 - w^3. Right: at 499 000."""
    flow = sd.Flow.from_function(lambda w, p: (p / 1e6 - 0.5) * w + 1e-3 * w - w**3, 1, {"p": 0.0})
    (point,) = sd.continuation(flow, [0.0], "p", (0.0, 1e6)).bifurcations
    assert (point.kind, point.criticality) == ("pitchfork", "supercritical")
    assert point.value == pytest.approx(499_000.0, rel=1e-9)


@pytest.mark.parametrize("size", [1e-4, 1e5])
def test_the_critical_rate_of_data_in_other_units(size: float) -> None:
    """Kind (d), held before: rows and targets times s make rates s^-2 times as large, and radii too."""
    rng = np.random.default_rng(0)
    rows, targets = rng.standard_normal((40, 3)), rng.standard_normal(40)

    def critical(s: float) -> float:
        loss = sd.FiniteSum.least_squares(rows * s, targets * s)
        step = sd.Map(loss, sd.USAM(0.05 / s**2), lr=0.1 / s**2, noise=sd.Minibatch(2))
        return float(sd.critical_learning_rate(step)) * s**2

    assert critical(size) == pytest.approx(critical(1.0), rel=1e-9)


# ---------------------------------------------------------------------- (e) skipping


def test_two_flips_within_one_step() -> None:
    """Kind (e), held before: |multiplier| is above 1 for |p - .1234| < .001, a twentieth of a step."""
    step = sd.Map.from_function(lambda w, p: -(1 + 1e-6 - (p - 0.1234) ** 2) * w + w**3, 1, {"p": -1.0})
    found = sd.continuation(step, [0.0], "p", (-1.0, 1.0)).bifurcations
    assert [b.kind for b in found] == ["flip", "flip"]
    np.testing.assert_allclose([b.value for b in found], [0.1224, 0.1244], atol=1e-8)


def test_two_neimark_sacker_points_within_one_step() -> None:
    """Kind (e), held before: the same of a rotation by 1."""
    c, s = math.cos(1.0), math.sin(1.0)
    step = sd.Map.from_function(
        lambda w, p: (
            (1 + 1e-6 - (p - 0.1234) ** 2) * torch.stack([c * w[0] - s * w[1], s * w[0] + c * w[1]])
            - w * (w @ w)
        ),
        2,
        {"p": -1.0},
    )
    found = sd.continuation(step, [0.0, 0.0], "p", (-1.0, 1.0)).bifurcations
    assert [b.kind for b in found] == ["Neimark-Sacker"] * 2
    np.testing.assert_allclose([b.value for b in found], [0.1224, 0.1244], atol=1e-8)


def test_every_fold_of_a_branch_with_ripples() -> None:
    """Kind (e), held before: p = w + .01 sin(200 w) e^(-16 w^2). Right: sign changes of dp/dw, in numpy."""
    flow = sd.Flow.from_function(
        lambda w, p: p - w - 0.01 * torch.sin(200 * w) * torch.exp(-((4 * w) ** 2)), 1, {"p": -1.0}
    )
    branch = sd.continuation(flow, [-1.0], "p", (-1.0, 1.0))
    w = np.linspace(-1, 1, 400_001)
    rise = np.sign(np.diff(w + 0.01 * np.sin(200 * w) * np.exp(-16 * w**2)))
    assert len(branch.select("fold")) == (rise[1:] != rise[:-1]).sum() == 28
    assert branch.ends == ("lower bound", "upper bound")


@pytest.mark.parametrize(("period", "number"), [(2, 1), (3, 0), (4, 1), (6, 2)])
def test_cycles_of_henons_map(period: int, number: int) -> None:
    """Kind (e), held before. Right: Biham and Wenzel's counts (Phys. Rev. Lett. 63 (1989) 819) for a = 1.4,
    b = .3.
    """
    henon = sd.Map.from_function(
        lambda w: torch.stack([1 - 1.4 * w[0] ** 2 + w[1], 0.3 * w[0]]), 2, box=[(-2, 2), (-0.6, 0.6)]
    )
    assert len(sd.cycles(henon, period=period, n_starts=128)) == number


def test_equal_eigenvalues_are_all_found() -> None:
    """Kind (e), held before: a Krylov space has one vector of each value. Right: 10 four times, 7 twice."""
    generator = torch.Generator().manual_seed(0)
    q = torch.linalg.qr(torch.randn(120, 120, generator=generator, dtype=torch.float64))[0]
    values = torch.cat([torch.full((4,), 10.0), torch.full((3,), 7.0), torch.linspace(0, 1, 113)]).double()
    hessian = q @ torch.diag(values) @ q.T
    found = sd.spectrum(sd.Landscape(lambda w: w @ hessian @ w / 2, 120), np.zeros(120), k=6)
    np.testing.assert_allclose(found.eigenvalues, [10.0] * 4 + [7.0] * 2, rtol=1e-9)
