"""The traps of Si and Yun, simulated: where SAM ends, and how far that is from where theory says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from samdyn.theory import si_yun, si_yun_traps

SINE = 5 * math.pi / 3


@pytest.mark.parametrize("lr", [0.1, 0.5, 1.0, 1.5, 1.9])
def test_sine_trap_holds_every_start(lr: float) -> None:
    rest = si_yun_traps.sine_attractors(SINE, smoothness=1.0, rho=1.0, lr=lr)
    x = np.random.default_rng(0).uniform(-3, 3, 2000)

    def slope(x: np.ndarray) -> np.ndarray:
        return np.cos(SINE * x) / SINE

    for _ in range(4000):
        x = x - lr * slope(x + np.sign(slope(x)))
    assert np.allclose(slope(x) ** 2, rest.squared_gradient, rtol=1e-9)
    phases = np.sort(np.unique((SINE * x % (2 * math.pi)).round(6)))
    assert np.allclose(phases, sorted(rest.phases), atol=1e-6)
    assert rest.squared_gradient == pytest.approx(0.0273567195834, abs=1e-13)
    assert rest.squared_gradient == pytest.approx(si_yun.nonconvex_gradient_lower(smoothness=1.0, rho=1.0))
    assert rest.multiplier == 1 - lr


@pytest.mark.parametrize("shift", [4.0, 4.6, 4.8, 6.0])
def test_family_of_smooth_attractors(shift: float) -> None:
    rest = si_yun_traps.sine_attractors(shift, smoothness=1.0, rho=1.0, lr=0.5)
    x = np.random.default_rng(1).uniform(-3, 3, 500)
    for _ in range(3000):
        x = x - 0.5 * np.cos(shift * (x + np.sign(np.cos(shift * x)))) / shift
    assert np.allclose((np.cos(shift * x) / shift) ** 2, rest.squared_gradient, atol=1e-12)
    cosine = {4.0: 0.5728, 4.6: 0.9874, 4.8: 0.9923, 6.0: 0.0781}[shift]
    assert np.mean(np.cos(shift * x) ** 2) == pytest.approx(cosine, abs=1e-4)
    # none exceeds the best constant, 0.04719 at 4.4934
    assert (
        rest.squared_gradient
        < si_yun_traps.sine_attractors(4.4934, smoothness=1, rho=1, lr=1).squared_gradient
    )


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0, 3.0, 1 + 2 * math.pi])
def test_share_of_the_maxima(shift: float) -> None:
    rest = si_yun_traps.sine_attractors(shift, smoothness=1.0, rho=1.0, lr=0.001)
    lr, n = 0.002, 4000
    phase = 2 * math.pi * (np.arange(n) + 0.5) / n
    for _ in range(20000):
        phase = phase - lr * np.cos(phase + shift * np.sign(np.cos(phase)))
    at_maximum = np.sin(phase).mean() / 2 + 0.5
    assert at_maximum == pytest.approx(rest.share_of_maxima, abs=0.005)
    assert math.isnan(rest.multiplier)


def test_skewed_centres_move_the_limit() -> None:
    """Exponential centres: the mean of long runs, within four standard errors from independent replicas."""
    rng = np.random.default_rng(0)

    def exponential(x: float) -> float:
        return 1 - math.exp(-max(x, 0))

    for rho, expected in ((0.1, 0.9754), (1.0, 0.8526)):
        place = si_yun_traps.centre_equilibrium(exponential, 1.0, rho, bracket=(0.0, 2.0))
        assert place == pytest.approx(expected, abs=5e-5)
        for probe in ("same", "independent"):
            lr, x, total = 0.01, np.full(400, place), np.zeros(400)
            for step in range(4000):
                xi = rng.exponential(size=400)
                eta = xi if probe == "same" else rng.exponential(size=400)
                x = x - lr * (x + rho * np.sign(x - xi) - eta)
                total += x if step >= 1000 else 0
            means = total / 3000
            # the distribution of x is lr wide, and F is curved: a bias of order lr remains
            assert abs(means.mean() - place) < 4 * means.std() / 20 + lr


@pytest.mark.parametrize(("rho", "expected"), [(0.1, 0.44), (0.3, 0.52)])
@pytest.mark.parametrize("probe", ["same", "independent"])
def test_two_centres(rho: float, expected: float, probe: str) -> None:
    floor = si_yun_traps.two_centre_floor(0.7, 1.0, smoothness=1.0, rho=rho, lr=0.01, probe=probe)
    assert floor.equilibrium == pytest.approx(expected)
    assert floor.gap == pytest.approx(0.08 * rho**2)
    rng, n = np.random.default_rng(2), 4000
    x = np.full(n, expected)
    for _ in range(1500):
        xi = np.where(rng.random(n) < 0.7, 1.0, -1.0)
        eta = xi if probe == "same" else np.where(rng.random(n) < 0.7, 1.0, -1.0)
        x = x - 0.01 * (x + rho * np.sign(x - xi) - eta)
    assert (np.abs(x) < 1).all()  # no exits, so that mean and variance are exact
    assert abs(x.mean() - expected) < 4 * x.std() / math.sqrt(n)
    assert abs(x.var() / floor.variance - 1) < 4 * math.sqrt(2 / n)


def test_two_centres_with_a_large_radius() -> None:
    floor = si_yun_traps.two_centre_floor(0.9, 1.0, smoothness=2.0, rho=1.0, lr=0.1, probe="same")
    assert floor.equilibrium == 1.0
    assert math.isnan(floor.variance)


def run(
    trap: si_yun_traps.Trap, x: np.ndarray, lr: float, steps: int, probe: str
) -> tuple[np.ndarray, np.ndarray]:
    rng, total = np.random.default_rng(3), np.zeros(len(x))
    for _ in range(steps):
        sign = rng.choice([-1.0, 1.0], len(x))
        other = sign if probe == "same" else rng.choice([-1.0, 1.0], len(x))
        x = x - lr * trap.component(x + np.sign(trap.component(x, sign)), other)
        total += trap.slope(x) ** 2
    return x, total / steps


@pytest.mark.parametrize("lr", [0.1, 0.3, 1.0])
def test_strongly_convex_trap(lr: float) -> None:
    trap = si_yun_traps.strongly_convex_trap(smoothness=1.0, rho=1.0)
    start, steps = np.full(50, 1.05), int(400 / lr)
    held, _ = run(trap, start, lr, steps, "same")
    assert np.allclose(held, trap.attractor, atol=1e-12)
    assert 0.1 * held.mean() ** 2 == pytest.approx(0.1)  # f - f* = beta rho^2 / 10
    free, _ = run(trap, start, lr, steps, "independent")
    assert 0.1 * (free**2).mean() < 0.02


def test_share_that_the_strongly_convex_trap_holds() -> None:
    trap = si_yun_traps.strongly_convex_trap(smoothness=1.0, rho=1.0)
    end, _ = run(trap, np.random.default_rng(4).uniform(-3, 3, 4000), 0.3, 1400, "same")
    share = np.mean(np.abs(end - 1) < 1e-3)
    assert abs(share - 0.358) < 4 * math.sqrt(0.358 * 0.642 / 4000)


@pytest.mark.parametrize("lr", [0.1, 1.0])
def test_convex_trap(lr: float) -> None:
    trap = si_yun_traps.convex_trap(smoothness=1.0, rho=1.0)
    held, squared = run(trap, np.full(50, 5.2), lr, int(400 / lr), "same")
    assert np.allclose(held, 5.0, atol=1e-10)
    assert squared.mean() == pytest.approx(1 / (9 * math.pi**2), rel=0.02)
    assert trap.squared_gradient == pytest.approx(1 / (9 * math.pi**2))
    free, _ = run(trap, np.full(50, 5.2), lr, int(2000 / lr), "independent")
    assert np.abs(free).max() < 1.0  # reached the minimisers


@pytest.mark.parametrize("make", [si_yun_traps.strongly_convex_trap, si_yun_traps.convex_trap])
def test_both_components_agree_at_the_perturbed_points(make: object) -> None:
    trap = make(smoothness=2.0, rho=0.5)  # type: ignore[operator]
    x = np.linspace(*trap.window, 101)[1:-1]
    up, down = trap.component(x, 1.0), trap.component(x, -1.0)
    assert (up > 0).all()
    assert (down < 0).all()
    one, other = trap.component(x + 0.5, 1.0), trap.component(x - 0.5, -1.0)
    assert np.allclose(one, other, atol=1e-12)
    h = 1e-6  # curvature of the components within the smoothness asked for
    fine = np.linspace(-2, 6, 20001)
    for sign in (1.0, -1.0):
        curvature = (trap.component(fine + h, sign) - trap.component(fine - h, sign)) / (2 * h)
        assert np.abs(curvature).max() <= 2.0 * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: si_yun_traps.sine_attractors(math.pi, smoothness=1, rho=1, lr=1), "multiple of pi"),
        (lambda: si_yun_traps.two_centre_floor(1.5, 1, smoothness=1, rho=1, lr=1, probe="same"), "p must be"),
        (
            lambda: si_yun_traps.two_centre_floor(0.5, 1, smoothness=1, rho=1, lr=2, probe="same"),
            "2 / smoothness",
        ),
        (lambda: si_yun_traps.two_centre_floor(0.5, 1, smoothness=1, rho=1, lr=1, probe="full"), "probe"),
        (lambda: si_yun_traps.convex_trap(smoothness=1, rho=1, place=1.0), "place"),
        (lambda: si_yun_traps.convex_trap(smoothness=1, rho=1, angle=0.1), "angle"),
        (lambda: si_yun_traps.centre_equilibrium(lambda x: 0.5, 0.0, 1.0, bracket=(1, 2)), "bracket"),
        (
            lambda: si_yun_traps.centre_equilibrium(lambda x: 0.5, 0.0, 1.0, bracket=1.0),
            "bracket must be a pair",
        ),
    ],
    ids=["phase", "p", "lr", "probe", "place", "angle", "bracket", "pair"],
)
def test_bad_arguments(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
