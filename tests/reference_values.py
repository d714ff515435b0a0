"""Numbers that are known from elsewhere, and the calls of samdyn that must give them.

`test_reference_values` compares each, and the manual's validation page prints what came out, computed anew at
every build. An entry is cheap: all together take twenty seconds. `source` tells where the number comes from:
a closed form that is evaluated here, a number of a paper or of its authors' code, or a table made by another
method (Chebyshev collocation, exact recursions, long simulations in numpy). Where the source is a closed form
samdyn's figure is a simulation or a solution of equations: a formula is not compared with itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import problems
import torch

import samdyn as sd
from samdyn.theory import first_passage as passage
from samdyn.theory import oikonomou_loizou


@dataclass(frozen=True)
class Reference:
    """A known number.

    Attributes
    ----------
    area : str
        A heading of the page.
    name : str
        What it is, in Markdown.
    source : str
        Where the number comes from.
    value : float
    tolerance : float or None
        The largest difference allowed, relative to the value (absolute where that is 0); None for sampled
        figures, which may be four of their standard errors away.
    compute : callable
        The figure of samdyn, and for a sampled one also its standard error.
    """

    area: str
    name: str
    source: str
    value: float
    tolerance: float | None
    compute: Callable[[], Any]

    def check(self) -> Checked:
        """Compute the figure and compare it."""
        found = self.compute()
        figure, error = found if isinstance(found, tuple) else (found, None)
        figure = float(figure)
        if self.tolerance is None:
            assert error is not None, f"{self.name}: a sampled figure comes with its standard error"
            allowed = 4 * float(error)
        else:
            allowed = self.tolerance * (abs(self.value) or 1.0)
        return Checked(self, figure, allowed, abs(figure - self.value) <= allowed)


@dataclass(frozen=True)
class Checked:
    """A reference, the figure reached, the largest difference allowed, and whether it is kept."""

    reference: Reference
    figure: float
    allowed: float
    passed: bool


COLLOCATION = "Chebyshev collocation and double quadrature, 8 digits"
CLOSED = "closed form"
WELL, TILTED = sd.landscapes.double_well(), sd.landscapes.tilted_double_well(0.2)
HENON = sd.Map.from_function(
    lambda w, a, b: torch.stack([1 - a * w[0] ** 2 + w[1], b * w[0]]), 2, {"a": 1.4, "b": 0.3}, name="Henon"
)
CURVED = sd.Landscape(lambda w, h: h * w[0] ** 2 / 2, dim=1, parameters={"h": 5.0})
SADDLE = sd.Landscape(
    lambda w, a: (3 * w[0] ** 2 - a * w[1] ** 2) / 2, 2, parameters={"a": 0.8}, box=[(-0.1, 0.1)] * 2
)
LOGISTIC = sd.Map.from_function(
    lambda w, r: r * w * (1 - w), 1, {"r": 4.0}, box=[(0.0, 1.0)], name="logistic"
)


def quadratic(*curvatures: float) -> sd.Landscape:
    """The loss sum of h w^2 / 2."""
    return sd.landscapes.quadratic(np.diag(curvatures))


# ----------------------------------------------------------------------
# Where it rests
# ----------------------------------------------------------------------


@cache
def on_the_line(loss: sd.Landscape, rule: sd.Rule, end: float) -> Any:
    """All attractors of a flow in one dimension."""
    return sd.attractors_1d(sd.Flow(loss, rule), [(-end, end)])


def gradient_at(loss: sd.Landscape, x: Any) -> float:
    """The size of the gradient of the loss."""
    return float(np.linalg.norm(loss.gradient(x)))


def where_sam_rests(loss: sd.Landscape, rho: float, near: list[float]) -> float:
    """The size of the loss's gradient at the fixed point of SAM near a start."""
    return float(sd.refine(sd.Map(loss, sd.SAM(rho), lr=0.05), near).gradient_norm)


def rest() -> Iterator[Reference]:
    """Fixed points, hallucinated ones among them, and their stability."""
    ref = partial(Reference, "Fixed points and stability")
    yield ref(
        "critical radius of the saddle of Beale's function, USAM",
        f"{CLOSED}, 1/27.75",
        1 / 27.75,
        1e-10,
        lambda: sd.critical_rho(sd.landscapes.beale(), [0.0, 1.0]),
    )
    yield ref(
        "double well, SAM, rho = 1.5: the hallucinated point",
        f"{CLOSED}, rho - 1",
        0.5,
        1e-10,
        lambda: on_the_line(WELL, sd.SAM(1.5), 2.0).x.max(),
    )
    yield ref(
        "double well, SAM, rho = 1.5: its largest learning rate",
        CLOSED,
        1.0,
        1e-9,
        lambda: on_the_line(WELL, sd.SAM(1.5), 2.0).largest_lr[0],
    )
    yield ref(
        "double well, SAM, rho = 1.5: barrier of the virtual loss",
        f"{CLOSED}, (rho^2 - 1)^2/4",
        0.390625,
        1e-9,
        lambda: on_the_line(WELL, sd.SAM(1.5), 2.0).barriers[0, 1],
    )
    yield ref(
        "double well, SAM, rho = 0.5: share of the box that the maximum takes",
        f"{CLOSED}, rho/2",
        0.25,
        1e-9,
        lambda: on_the_line(WELL, sd.SAM(0.5), 2.0).fractions[1],
    )
    yield ref(
        "tilted well, SAM, rho = 1: gradient of the loss where SAM rests",
        "roots of a cubic, 10 digits",
        0.3193383197,
        1e-9,
        lambda: gradient_at(TILTED, on_the_line(TILTED, sd.SAM(1.0), 3.0).x[1:]),
    )
    yield ref(
        "tilted well, SAM, rho = 1: largest learning rate there",
        "roots of a cubic, 10 digits",
        1.5182375872,
        1e-8,
        lambda: on_the_line(TILTED, sd.SAM(1.0), 3.0).largest_lr[1],
    )
    yield ref(
        "double well, USAM, rho = 5: largest learning rate of its hallucinated point",
        f"{CLOSED}, 2/(5 s (s + 3)), s^2 = 1/5",
        2 / (5 * 0.2**0.5 * (0.2**0.5 + 3)),
        1e-9,
        lambda: sd.local_attraction(sd.Map(WELL, sd.USAM(5.0), lr=0.1), [(-1 - 0.2**0.5) / 2]).lr_max,
    )
    yield ref(
        "tilted hat, SAM, rho = 1.5: gradient at the attracting point",
        "roots of a cubic, 10 digits",
        0.4839961273,
        1e-9,
        partial(where_sam_rests, sd.landscapes.tilted_hat(2, 0.1), 1.5, [0.55, 0.01]),
    )
    yield ref(
        "linear network with weight decay 0.1, SAM, rho = 2: gradient where it rests",
        "derived, 10 digits",
        0.4498447190,
        1e-9,
        partial(where_sam_rests, sd.landscapes.uv(0.1), 2.0, [0.46, 0.47]),
    )
    yield ref(
        "the 2-cycle with momentum 0.9, h = 3, lr = rho = 0.1: amplitude of an orbit from 1 % beside it",
        CLOSED,
        0.3 * 0.1 / (2 * 1.9 - 0.3),
        1e-9,
        cycle_with_momentum,
    )
    yield ref(
        "the 2-cycle of SAM on h = 2, lr = 0.25, rho = 0.3: amplitude of an orbit of 4000 steps",
        f"{CLOSED}, Bartlett, Long and Bousquet (2022)",
        0.1,
        1e-9,
        lambda: abs(sd.trajectory(sd.Map(quadratic(2.0), sd.SAM(0.3), lr=0.25), [1.0], n_steps=4000)[-1, 0]),
    )
    yield ref(
        "window of the learning rate, GD on h = 2 with momentum 0.5",
        f"{CLOSED}, 2 (1 + m)/h",
        1.5,
        1e-9,
        lambda: sd.lr_window(sd.Map(quadratic(2.0), sd.GD(), lr=0.1, momentum=0.5), [0.0]).upper,
    )
    yield ref(
        "Si and Yun's sine, SAM, lr = 0.5: squared gradient after 100 steps",
        f"{CLOSED}, 27/(100 pi^2)",
        0.27 / math.pi**2,
        1e-11,
        end_on_the_sine,
    )


def cycle_with_momentum() -> float:
    """Where an orbit is after 600 steps that begins beside the 2-cycle: longer cycles attract others."""
    heavy, near = sd.Map(quadratic(3.0), sd.SAM(0.1), lr=0.1, momentum=0.9), 0.00866
    state = np.array([near, -2 * near / 0.1])  # the velocity that leads there from the other side
    for _ in range(600):
        state = heavy(state)
    return float(state[0])


def end_on_the_sine() -> float:
    """The squared gradient of the loss where SAM is after 100 steps."""
    loss = sd.landscapes.sine_trap()
    end = sd.trajectory(sd.Map(loss, sd.SAM(1.0), lr=0.5), [0.1], n_steps=100)[-1]
    return gradient_at(loss, end) ** 2


# ----------------------------------------------------------------------
# What a parameter changes
# ----------------------------------------------------------------------


def first_bifurcation(*arguments: Any) -> float:
    """The parameter at the first bifurcation of a branch."""
    return float(sd.continuation(*arguments).bifurcations[0].value)


def changes() -> Iterator[Reference]:
    """Bifurcations, orbits and exponents."""
    ref = partial(Reference, "Branches, orbits and exponents")
    beale = sd.Flow(sd.landscapes.beale(), sd.USAM(0.01))
    yield ref(
        "Beale, USAM: rho at which the saddle begins to attract",
        f"{CLOSED}, 1/27.75",
        1 / 27.75,
        1e-9,
        lambda: first_bifurcation(beale, [0.0, 1.0], "rho", (0.0, 0.1)),
    )
    yield ref(
        "double well, USAM: rho of the pitchfork at the maximum",
        CLOSED,
        1.0,
        1e-9,
        lambda: first_bifurcation(sd.Flow(WELL, sd.USAM(0.5)), [0.0], "rho", (0.0, 2.0)),
    )
    yield ref(
        "GD on h = 27.75: lr of the flip",
        f"{CLOSED}, 2/h",
        2 / 27.75,
        1e-9,
        lambda: first_bifurcation(sd.Map(quadratic(27.75), sd.GD(), lr=0.01), [0.0], "lr", (0.001, 1.0)),
    )
    yield ref(
        "USAM(0.2), h = 4, momentum 0.5: lr of the flip",
        f"{CLOSED}, 2 (1 + m)/(h (1 + rho h))",
        3 / (4 * 1.8),
        1e-9,
        lambda: first_bifurcation(
            sd.Map(quadratic(4.0), sd.USAM(0.2), lr=0.1, momentum=0.5), [0.0], "lr", (0.01, 1.0)
        ),
    )
    yield ref(
        "USAM(0.05), lr = 0.1: curvature of the flip, the edge of stability",
        "Agarwala and Dauphin (2023) [memory]; derived",
        (math.sqrt(1 + 8 * 0.05 / 0.1) - 1) / 0.1,
        1e-9,
        lambda: first_bifurcation(sd.Map(CURVED, sd.USAM(0.05), lr=0.1), [0.0], "h", (1.0, 20.0)),
    )
    yield ref(
        "SAM(0.3), lr = 0.1, h = (3, -a): a from which on the 2-cycle traps",
        f"{CLOSED}, lr h^2/(2 - lr h)",
        0.9 / 1.7,
        1e-9,
        cycle_that_traps,
    )
    yield ref(
        "Henon map, b = 0.3: a of the first flip",
        f"{CLOSED}, 3 (1 - b)^2/4",
        0.3675,
        1e-9,
        lambda: first_bifurcation(HENON.with_parameters(a=0.1), henon_point(0.1), "a", (0.05, 1.0)),
    )
    yield ref(
        "logistic map: r at which the 2-cycle flips", f"{CLOSED}, 1 + sqrt 6", 1 + 6**0.5, 1e-9, cycle_flip
    )
    yield ref(
        "logistic map, r = 4: exponent",
        f"{CLOSED}, log 2",
        math.log(2),
        None,
        lambda: exponent(LOGISTIC, [0.1234], 0),
    )
    yield ref(
        "Henon map: larger exponent",
        "literature, 5 digits",
        0.41922,
        None,
        lambda: exponent(HENON, [0.1, 0.1], 0),
    )
    yield ref(
        "Henon map: sum of the exponents",
        f"{CLOSED}, log 0.3",
        math.log(0.3),
        1e-10,
        lambda: sd.lyapunov_exponents(HENON, [0.1, 0.1], 20_000).sum,
    )
    yield ref(
        "normalised SAM at a maximum, lr a = 0.2: exponent",
        f"{CLOSED}, log 1.2",
        math.log(1.2),
        1e-6,
        lambda: sd.capture_set(sd.Map(quadratic(-1.0), sd.SAM(0.5), lr=0.2), [0.0]).lyapunov_exponent,
    )


def henon_point(a: float) -> list[float]:
    """The fixed point of the Henon map with b = 0.3 on the side of the attractor."""
    x = (-0.7 + math.sqrt(0.49 + 4 * a)) / (2 * a)
    return [x, 0.3 * x]


def cycle_flip() -> float:
    """Where the 2-cycle of the logistic map loses its stability."""
    logistic = LOGISTIC.with_parameters(r=3.2)
    (cycle,) = sd.cycles(logistic, period=2)
    return first_bifurcation(logistic, cycle, "r", (3.05, 3.6))


def cycle_that_traps() -> float:
    """The downward curvature at which the 2-cycle of the other mode begins to attract."""
    saddle = sd.Map(SADDLE, sd.SAM(0.3), lr=0.1)
    (cycle,) = (c for c in sd.cycles(saddle, period=2) if c.stability == "attracting")
    return first_bifurcation(saddle, cycle, "a", (0.2, 1.5))


def exponent(system: sd.Map, start: list[float], number: int) -> tuple[float, float]:
    """A Lyapunov exponent and its standard error."""
    found = sd.lyapunov_exponents(system, start, 40_000)
    return float(found.exponents[number]), float(found.standard_error[number])


# ----------------------------------------------------------------------
# How long it stays
# ----------------------------------------------------------------------


def in_the_well(rule: sd.Rule, D: float, end: float = 0.0) -> float:
    """Mean exit time from -1 of the double well, by the backward equation."""
    return float(sd.mean_exit_time(problems.diffusion(WELL, rule, D), sd.HalfSpace([1.0], end))([-1.0]))


def of_the_saddle(rule: sd.Rule, D: float = 0.01) -> float:
    """Mean exit time from the top of -x^2/2 to |x| = 1."""
    return float(
        sd.mean_exit_time(problems.diffusion(problems.line_saddle(), rule, D), sd.Ball([0.0], 1.0))([0.0])
    )


def sampled(case: str, dt: float = 0.01, n_paths: int = 2000) -> tuple[float, float]:
    """Mean exit time by simulation with bridges, from which the exact bias of the step is taken."""
    c = problems.EXIT_CASES[case]
    times = sd.exit_times(c.system, [c.x0], c.region, n_paths=n_paths, t_max=500 * c.mean, dt=dt, seed=1)
    return times.mean - c.chain_mean(dt, bridge=True) + c.mean, times.standard_error


def stays() -> Iterator[Reference]:
    """Exit times, rates and committors."""
    ref = partial(Reference, "Escape")
    for rule, D, end, value in (
        (sd.GD(), 0.2, 0.0, problems.C1["to_0"]),
        (sd.GD(), 0.1, 0.0, problems.C2["to_0"]),
        (sd.GD(), 0.1, 1.0, problems.C2["to_1"]),
        (sd.GD(), 0.02, 0.0, problems.C5["to_0"]),
        (sd.USAM(0.2), 0.1, 0.0, problems.C8["to_0"]),
        (sd.USAM(0.5), 0.1, 0.0, problems.C9["rho_0.5"]),
        (sd.SAM(0.1), 0.1, 0.0, problems.C10["to_0"]),
        (sd.SAM(0.2), 0.1, 0.0, problems.C11["to_0"]),
        (sd.SAM(0.2), 0.03, 0.0, problems.C12["to_0"]),
    ):
        yield ref(
            f"double well, {rule}, D = {D:g}: mean time from -1 to {end:g}",
            COLLOCATION,
            value,
            5e-9,
            partial(in_the_well, rule, D, end),
        )
    for rule, value in (
        (sd.GD(), problems.C16[0.01]),
        (sd.USAM(0.2), problems.C18[0.2]),
        (sd.SAM(0.2), problems.C19[0.2]),
    ):
        yield ref(
            f"saddle -x^2/2, {rule}, D = 0.01: mean time to 1",
            COLLOCATION,
            value,
            5e-9,
            partial(of_the_saddle, rule),
        )
    yield ref(
        "Ornstein-Uhlenbeck, D = 1: mean time from 0 to 3",
        COLLOCATION,
        problems.C13[3],
        5e-9,
        lambda: passage.linear_one_sided(1.0, 1.0, 3.0),
    )
    yield ref(
        "disc, unstable, D = 0.01: mean time to the rim",
        COLLOCATION,
        problems.C22["source_0.01"],
        5e-9,
        lambda: passage.disc(1.0, 0.01, 1.0),
    )
    yield ref(
        "double well, GD, D = 0.1: exit rate",
        COLLOCATION,
        problems.C6["rate_C2"],
        1e-8,
        lambda: sd.exit_rate(problems.diffusion(WELL, sd.GD(), 0.1), sd.HalfSpace([1.0], 0.0)).value,
    )
    yield ref(
        "double well, D = 0.02: exact time over Eyring-Kramers",
        COLLOCATION,
        1.03350,
        1e-5,
        lambda: in_the_well(sd.GD(), 0.02, 1.0) / passage.eyring_kramers(2.0, -1.0, 0.25, 0.02),
    )
    for case in ("C16 D=0.1", "C18 rho=0.2", "C19 rho=0.1"):
        value = problems.EXIT_CASES[case].mean
        rule = problems.EXIT_CASES[case].system.rule
        D = problems.EXIT_CASES[case].D
        yield ref(
            f"saddle -x^2/2, {rule}, D = {D:g}: mean of 2000 simulated paths",
            COLLOCATION,
            value,
            None,
            partial(sampled, case),
        )


# ----------------------------------------------------------------------
# Batches
# ----------------------------------------------------------------------


def largest_rate(rho: float, probe: str, size: int) -> float:
    """The critical learning rate of four rows through a common minimum."""
    noise = sd.Minibatch(batch_size=size, probe=probe)
    return float(sd.critical_learning_rate(sd.Map(problems.s4(), sd.USAM(rho), lr=0.1, noise=noise)))


def batches() -> Iterator[Reference]:
    """Second moments, stationary laws, constants of convergence theorems."""
    ref = partial(Reference, "Batches and convergence")
    for rho, probe, size, value in (
        (0.0, "same", 1, 0.17789367),
        (0.0, "same", 2, 0.32564887),
        (0.05, "same", 1, 0.10609079),
        (0.05, "full", 1, 0.15082977),
        (0.05, "independent", 1, 0.1437354),
        (0.2, "same", 2, 0.13495158),
    ):
        yield ref(
            f'four rows, USAM({rho:g}), batches of {size}, probe "{probe}": critical learning rate',
            "exact moment recursion, bisection",
            value,
            1e-7,
            partial(largest_rate, rho, probe, size),
        )
    yield ref(
        "USAM, h = 1, rho = 0.5, lr = 0.01: variance of 2000 simulated paths",
        f"{CLOSED} of the recursion",
        0.00755668,
        None,
        stationary_variance,
    )
    yield ref(
        "SAM(0.2), h = 2, noise of 0.5 in its perturbation too: mean step from 0.3 of 20000 paths, over lr",
        f"{CLOSED}, -h (x + rho erf(h x/(0.5 sqrt 2)))",
        -2 * (0.3 + 0.2 * math.erf(0.6 / (0.5 * 2**0.5))),
        None,
        mean_step,
    )
    full = oikonomou_loizou.ExpectedResidual(0.0, 1.0, 0.0, 10.0)
    for lam, radius, rate in (
        (0.0, 0.0166667, 0.0236842105),
        (0.3, 0.0252525253, 0.0235295530),
        (1.0, 0.05, 0.025),
    ):
        rho = oikonomou_loizou.largest_radius(full, strong_convexity=0.1, lam=lam) / 2
        name = f"Unified SAM, lam = {lam:g}, L = 10, mu = 0.1"
        yield ref(
            f"{name}: half the largest radius",
            "Oikonomou and Loizou (2025), output of their code",
            radius,
            5e-6,
            partial(float, rho),
        )
        yield ref(
            f"{name}: largest learning rate there",
            "Oikonomou and Loizou (2025), output of their code",
            rate,
            5e-9,
            partial(oikonomou_loizou.largest_learning_rate, full, strong_convexity=0.1, rho=rho, lam=lam),
        )


def mean_step() -> tuple[float, float]:
    """The mean of a step of 20000 paths, over lr, and its standard error."""
    system = sd.Map(quadratic(2.0), sd.SAM(0.2), lr=0.1, noise=sd.GaussianNoise(0.5, probe="same"))
    start, end = sd.trajectory(system, np.full((20_000, 1), 0.3), n_steps=1, seed=1)[..., 0]
    steps = (end - start) / 0.1
    return float(steps.mean()), float(steps.std(ddof=1)) / len(steps) ** 0.5


def stationary_variance() -> tuple[float, float]:
    """The variance of 2000 paths of the map after 1500 steps, and its standard error."""
    system = sd.Map(quadratic(1.0), sd.USAM(0.5), lr=0.01, noise=sd.GaussianNoise(1.0, probe="same"))
    moved = sd.mean_squared_displacement(system, [0.0], 1500, n_paths=2000, seed=1)
    return float(moved.mean[-1]), float(moved.standard_error[-1])


REFERENCES: tuple[Reference, ...] = (*rest(), *changes(), *stays(), *batches())
