"""Labels do not depend on the units in which a problem is written down.

A loss c f((w - b)/s) is f in other units of length and of height, elsewhere: radii scale by s, learning
rates, times and the radius of the unnormalised rule by s^2/c, noise by c/s. What a verb says must stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import samdyn as sd
from samdyn.numerics.scales import displacement_tolerance, length_scale
from samdyn.numerics.vector import unit
from samdyn.systems.jump import jump_length

Answer = Any


def tilted(w: Tensor) -> Tensor:
    """Two minima and a saddle, without symmetry."""
    return (w[0] ** 2 - 1) ** 2 / 4 + 0.15 * w[0] + w[1] ** 2 * (1 + 0.3 * w[0]) / 2 + 0.2 * w[0] * w[1]


def on_a_line(w: Tensor) -> Tensor:
    """A tilted double well."""
    return (w[0] ** 2 - 1) ** 2 / 4 + 0.1 * w[0]


# critical points of `tilted`, and a hallucinated point of SAM(1.5), by Newton's method in the plain units
LOW, SADDLE, HIGH = [-1.1003, 0.3285], [0.1477, -0.0283], [0.93098579, -0.14554661]
HALLUCINATED = [-0.5564, 0.0484]


@dataclass(frozen=True)
class Units:
    """Length, shift in widths of the box, and height."""

    size: float = 1.0
    shift: float = 0.0
    height: float = 1.0

    @property
    def time(self) -> float:
        """The unit of learning rates and times."""
        return self.size**2 / self.height

    @property
    def slope(self) -> float:
        """The unit of gradients."""
        return self.height / self.size

    def to(self, x: Any) -> Any:
        """Positions in these units."""
        return 4 * self.size * self.shift + self.size * np.asarray(x, dtype=float)

    def back(self, x: Any) -> Any:
        """Positions in the plain ones."""
        return (np.asarray(x) - 4 * self.size * self.shift) / self.size

    def loss(self, f: Callable[[Tensor], Tensor] = tilted, dim: int = 2) -> sd.Landscape:
        """The loss in these units."""
        b, s, c = 4 * self.size * self.shift, self.size, self.height
        return sd.Landscape(
            lambda w: c * f((w - b) / s), dim=dim, box=[tuple(self.to([-2, 2]))] * dim, name="loss"
        )

    def flow(self, rule: sd.Rule) -> sd.Flow:
        """The flow of a rule, whose radius is in these units already."""
        return sd.Flow(self.loss(), rule)

    def map(self, rule: sd.Rule, lr: float) -> sd.Map:
        """The map with a learning rate in the plain units."""
        return sd.Map(self.loss(), rule, lr=lr * self.time)

    def point(self, x: list[float], rho: float = 0.0) -> Any:
        """A critical point polished to rounding, or with rho a hallucinated one, in these units."""
        return self.to(_polished(tuple(x), rho))


def _polished(x: tuple[float, ...], rho: float) -> Any:
    flow = sd.Flow(sd.Landscape(tilted, 2), sd.SAM(rho) if rho else sd.GD())
    point = np.array(x)
    for _ in range(8):
        point = point - np.linalg.solve(flow.jacobian(point), flow(point))
    return point


PLAIN = Units()
UNITS = {
    "small and steep": Units(size=1e-6, height=1e8),
    "large and flat": Units(size=1e6, height=1e-8),
    "far away": Units(shift=1e6),
    "all": Units(size=1e-3, shift=-1e3, height=1e-5),
}
VERBS: dict[str, Callable[[Units], Answer]] = {}


def verb(function: Callable[[Units], Answer]) -> Callable[[Units], Answer]:
    """One of the verbs that are asked in every system of units."""
    VERBS[function.__name__] = function
    return function


def same(found: Answer, right: Answer) -> bool:
    """Whether two answers agree: words exactly, numbers to what a shift by 1e6 widths leaves of them."""
    if isinstance(right, list | tuple):
        return len(found) == len(right) and all(same(a, b) for a, b in zip(found, right, strict=True))
    if isinstance(right, float):
        return bool(np.isclose(found, right, rtol=3e-3, atol=1e-4))
    return bool(found == right)


def points(u: Units, system: Any) -> Answer:
    """Fixed points in an order that rounding does not change."""
    found = [
        (p.kind, p.stability, u.back(p.x).round(4).tolist()) for p in sd.fixed_points(system, n_starts=128)
    ]
    return sorted(found, key=lambda p: p[2])


@verb
def fixed_points(u: Units) -> Answer:
    """Genuine and hallucinated ones."""
    return points(u, u.flow(sd.SAM(0.4 * u.size)))


@verb
def fixed_points_of_a_map(u: Units) -> Answer:
    """Of the unnormalised rule."""
    return points(u, u.map(sd.USAM(1.3 * u.time), 0.1))


@verb
def linearize(u: Units) -> Answer:
    """Where there is a Jacobian, and where the field jumps."""
    smooth = sd.linearize(u.flow(sd.USAM(0.4 * u.time)), u.point(SADDLE))
    held = sd.linearize(u.map(sd.SAM(0.4 * u.size), 0.1), u.point(SADDLE))
    rates = sorted((np.real(smooth.eigenvalues) * u.time).tolist())
    return smooth.stability, rates, held.stability, held.chatter_radius / u.size


@verb
def critical_rho(u: Units) -> Answer:
    """At the saddle."""
    return sd.critical_rho(u.loss(), u.point(SADDLE)) / u.time


@verb
def what_is_no_critical_point(u: Units) -> Answer:
    """A point that is off by a four-hundredth of the box is refused by all that ask for one."""
    off, flow = u.point(SADDLE) + 0.01 * u.size, u.flow(sd.SAM(0.4 * u.size))

    def accepts(call: Callable[[], Any]) -> bool:
        try:
            call()
        except ValueError:
            return False
        return True

    return [
        accepts(lambda: sd.critical_rho(u.loss(), off)),
        accepts(lambda: sd.capture_set(flow, off)),
        accepts(lambda: sd.lr_window(u.flow(sd.GD()), off)),
        accepts(lambda: sd.local_attraction(flow, off)),
        accepts(lambda: sd.local_attraction(flow, u.point(SADDLE))),
        accepts(lambda: sd.manifold(u.flow(sd.GD()), off, "unstable", length=u.size)),
        accepts(lambda: sd.manifold(u.map(sd.GD(), 1e-6), off, "unstable", length=u.size)),
        accepts(lambda: sd.spherical_minima(u.loss(), off, [0.1 * u.size])),
    ]


@verb
def capture_set(u: Units) -> Answer:
    """Of the flow and of the map."""
    flow = sd.capture_set(u.flow(sd.SAM(0.3 * u.size)), u.point(SADDLE))
    step = sd.capture_set(u.map(sd.SAM(0.3 * u.size), 0.3), u.point(SADDLE))
    radii = [flow.radius / u.size, flow.quadratic_radius / u.size, step.chatter_radius / u.size]
    return flow.kind, flow.stability, flow.motion, step.motion, step.period, radii


@verb
def local_attraction(u: Units) -> Answer:
    """Of a hallucinated point."""
    test = sd.local_attraction(u.flow(sd.SAM(1.5 * u.size)), u.point(HALLUCINATED, 1.5))
    return test.endpoint_kind, test.attracting, test.tangent_dimension, test.lr_max / u.time


@verb
def stability_windows(u: Units) -> Answer:
    """Of learning rate and momentum."""
    x = u.point(HALLUCINATED, 1.5)
    rate = sd.lr_window(u.map(sd.SAM(1.5 * u.size), 0.5), x)
    momentum = sd.momentum_windows(u.map(sd.SAM(1.5 * u.size), 0.5), x)
    return rate.upper / u.time, rate.border, [(w.lower, w.upper, w.border) for w in momentum]


@verb
def continuation(u: Units) -> Answer:
    """Through the radius at which the saddle becomes an attractor, and from border to border."""
    smooth = sd.continuation(
        u.flow(sd.USAM(0.9 * u.time)), u.point(SADDLE), "rho", (0.8 * u.time, 1.3 * u.time), max_step=0.05
    )
    met = [(b.kind, b.value / u.time) for b in smooth.bifurcations]
    return met, smooth.ends


@verb
def continuation_to_borders(u: Units) -> Answer:
    """Of a hallucinated point."""
    branch = sd.continuation(
        u.flow(sd.SAM(1.5 * u.size)),
        u.point(HALLUCINATED, 1.5),
        "rho",
        (0.2 * u.size, 3 * u.size),
        max_step=0.05,
    )
    return [(b.kind, b.value / u.size) for b in branch.bifurcations], branch.ends


@verb
def continuation_to_a_flip(u: Units) -> Answer:
    """Of a minimum, in the learning rate."""
    branch = sd.continuation(
        u.map(sd.GD(), 1.1), u.point(HIGH), "lr", (1.0 * u.time, 1.5 * u.time), max_step=0.05
    )
    return [(b.kind, b.value / u.time) for b in branch.bifurcations], branch.ends


@verb
def cycles(u: Units) -> Answer:
    """Of period 2."""
    found = sd.cycles(u.map(sd.GD(), 1.3), period=2)
    return sorted((c.stability, u.back(c.x).round(3).tolist()) for c in found)


@verb
def transient_growth(u: Units) -> Answer:
    """Of a minimum under the unnormalised rule."""
    growth = sd.linearize(u.flow(sd.USAM(0.4 * u.time)), u.point(LOW)).transient_growth()
    return growth.largest, growth.numerical_abscissa * u.time


@verb
def lyapunov_exponents(u: Units) -> Answer:
    """Of a map that settles at a minimum."""
    spectrum = sd.lyapunov_exponents(u.map(sd.GD(), 0.5), u.to([0.9, 0.1]), 1000)
    return [float(e) for e in spectrum.exponents]


@verb
def mean_exit_time(u: Units) -> Answer:
    """From a well on the line, and its rate."""
    noise = sd.GaussianNoise(std=u.slope)
    sde = sd.Diffusion(u.loss(on_a_line, 1), sd.GD(), lr=0.1 * u.time, noise=noise)
    well = sd.HalfSpace([1.0], float(u.to(0.05)))
    mean = float(sd.mean_exit_time(sde, well)(u.to([-1.0]))) / u.time
    return mean, sd.exit_rate(sde, well).value * u.time * 1e3


@verb
def exit_times(u: Units) -> Answer:
    """The same random numbers leave at the same times."""
    noise = sd.GaussianNoise(std=2 * u.slope)
    sde = sd.Diffusion(u.loss(on_a_line, 1), sd.GD(), lr=0.1 * u.time, noise=noise)
    well = sd.HalfSpace([1.0], float(u.to(0.05)))
    left = sd.exit_times(sde, u.to([-1.0]), well, n_paths=100, t_max=100 * u.time)
    return float(np.nanmedian(left.times)) / u.time


@verb
def minimum_action(u: Units) -> Answer:
    """From a minimum over the saddle: the descent's tolerances were absolute."""
    path = sd.minimum_action(u.flow(sd.GD()), u.point(HIGH), u.point(SADDLE), n_points=21)
    return path.action / u.height, path.converged


@verb
def convergence(u: Units) -> Answer:
    """What the runs end as: a fixed point, a cycle, and SAM on its cycle about a minimum."""
    systems = [u.map(sd.GD(), 0.3), u.map(sd.GD(), 1.3), u.map(sd.SAM(1e-4 * u.size), 0.3)]
    ends = [sd.convergence(system, u.to([1.0, 0.0]), 2000) for system in systems]
    return [(run.limit_sets()[0].kind, run.limit_sets()[0].period) for run in ends]


@verb
def spherical_minima(u: Units) -> Answer:
    """Heights on spheres: the point was not on its sphere in small units."""
    found = sd.spherical_minima(u.loss(), u.point(HIGH), [0.2 * u.size, 0.5 * u.size])
    return [float(v) for v in found.values / u.height], found.hallucinated.tolist()


@verb
def attractors_1d(u: Units) -> Answer:
    """Kinds, and the learning rates up to which a map keeps them."""
    found = sd.attractors_1d(sd.Map(u.loss(on_a_line, 1), sd.SAM(0.3 * u.size), lr=0.2 * u.time))
    return list(found.kinds), (found.largest_lr / u.time).tolist(), found.fractions.tolist()


@verb
def critical_learning_rate(u: Units) -> Answer:
    """A radius of 1e-13 is as good as any other."""
    loss, b, s, c = u.loss(), 4 * u.size * u.shift, u.size, u.height
    samples = sd.FiniteSum(lambda w, h: h * c * tilted((w - b) / s), np.array([1.0, 2.0]), dim=loss.dim)
    system = sd.Map(samples, sd.USAM(0.2 * u.time), lr=0.1 * u.time, noise=sd.Minibatch(1))
    return float(sd.critical_learning_rate(system, u.point(HIGH))) / u.time


RIGHT: dict[str, Answer] = {}


@verb
def refine(u: Units) -> Answer:
    """From beside a hallucinated point and a minimum. Right: each of them, in any units.

    Tolerances were shares of 1 + |x|: in small units, and far away, the hallucinated point was a saddle.
    """
    jumps, smooth = u.flow(sd.SAM(1.5 * u.size)), u.flow(sd.GD())
    found = [
        sd.refine(jumps, u.to(np.add(u.back(u.point(HALLUCINATED, 1.5)), [0.01, 0.02]))),
        sd.refine(smooth, u.to(np.add(u.back(u.point(LOW)), [0.05, 0.02]))),
    ]
    return [(p.ended, p.kind, p.stability, *u.back(p.x).tolist()) for p in found]


@verb
def diagnose(u: Units) -> Answer:
    """Runs on their way, about a saddle and at a hallucinated point: far away each was "at rest"."""
    slow, fast = u.map(sd.SAM(0.3 * u.size), 0.02), u.map(sd.SAM(1.5 * u.size), 0.1)
    starts = [(slow, [0.6, 0.5]), (slow, [0.15, -0.02]), (fast, HALLUCINATED), (slow, LOW)]
    return [sd.diagnose(system, u.to(x)).verdict for system, x in starts]


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("name", VERBS)
@pytest.mark.slow
def test_the_unit_changes_no_answer(name: str, units: str) -> None:
    """Kind: a decision by a magic magnitude, not the problem's scales. Right: what plain units give."""
    if name not in RIGHT:
        RIGHT[name] = VERBS[name](PLAIN)
    found = VERBS[name](UNITS[units])
    assert same(found, RIGHT[name]), f"{found} instead of {RIGHT[name]}"


@pytest.mark.parametrize("speed", [1e-8, 1.0, 1e8])
def test_a_slow_hopf_point_is_one(speed: float) -> None:
    """Kind: a magic magnitude, 1e-6, next to which a slow rotation was none: it was called a branch point."""

    def field(w: Tensor, mu: float) -> Tensor:
        grow = mu - w @ w
        return speed * torch.stack([grow * w[0] - w[1], w[0] + grow * w[1]])

    flow = sd.Flow.from_function(field, 2, box=[(-1, 1), (-1, 1)], parameters={"mu": -0.3})
    branch = sd.continuation(flow, [0.0, 0.0], "mu", (-0.5, 0.5), max_step=0.05)
    assert [(b.kind, round(b.value, 9) + 0.0) for b in branch.bifurcations] == [("Hopf", 0.0)]


@dataclass(frozen=True)
class Adaptive(sd.Rule):
    """Adaptive SAM: the perturbation is longer where the weights are."""

    rho: float

    def perturbation(self, x: Any, gradient: Any, rho: float) -> Any:
        """Of length rho |x| in one dimension."""
        return rho * x.abs() * unit(x.abs() * gradient)


def test_the_perturbation_is_as_long_as_it_is_where_the_point_is() -> None:
    """Kind: a magic place. The length was taken at x = 0, where an adaptive rule has another one: 0.

    Right: 0.1 times 5, and a map that hovers within lr rho |x| |h| / (1 - ...) of that order.
    """
    loss = sd.Landscape(lambda w: -((w[0] - 5) ** 2), dim=1, box=[(4, 6)])
    assert jump_length(Adaptive(0.1), np.array([5.0])) == pytest.approx(0.5)
    held = sd.capture_set(sd.Map(loss, Adaptive(0.1), lr=0.1), [5.0])
    assert (held.stability, held.motion) == ("trapping", "bounded chaos")
    # beside the point the flow is captured up to where w - 5 = 0.1 w; no formula of the quadratic holds
    assert held.radius == pytest.approx(5 - 5 / 1.1, rel=5e-3)
    assert np.isnan(held.quadratic_radius)


def test_the_lengths_of_the_usual_rules_are_exact() -> None:
    """Kind: the same. Of rules that do not depend on x nothing changes, in any dimension."""
    x = np.array([3.0, -4.0, 1.0])
    assert jump_length(sd.SAM(0.3), x) == 0.3
    assert jump_length(sd.UnifiedSAM(0.5, 0.1), x) == jump_length(sd.UnifiedSAM(0.5, 0.1))
    saddle = sd.landscapes.quadratic([[3.0, 0.0], [0.0, -2.0]])
    held = sd.capture_set(sd.Flow(saddle, sd.UnifiedSAM(0.5, 0.1)), [0.0, 0.0])
    assert held.quadratic_radius == pytest.approx(0.05 / (1 - 0.45 * 2))
    softened = sd.capture_set(sd.Flow(saddle, sd.SAM(0.3, eps=1e-12)), [0.0, 0.0])
    assert softened.quadratic_radius == pytest.approx(0.3, rel=1e-5)


def test_borders_of_a_rule_with_a_small_number_in_the_norm() -> None:
    """Kind: a magic gradient of 1e-100 beside a border, on which a rule with eps = 1e-12 does not act.

    Right: on the double well the hallucinated point of SAM ends at the saddle at rho = 1.
    """
    loss = sd.landscapes.double_well()
    ends = []
    for rule in (sd.SAM(1.5), sd.SAM(1.5, eps=1e-12)):
        branch = sd.continuation(sd.Flow(loss, rule), [-0.5], "rho", (0.5, 3.0), max_step=0.05)
        ends.append([(b.kind, round(b.value, 5)) for b in branch.bifurcations])
    assert ends[0] == ends[1]
    assert ("border", 1.0) in ends[0]


def test_lengths_of_a_problem() -> None:
    """Kind: a magic magnitude. Right: a share of the box, and what rounding leaves far from 0."""
    box = np.array([[0.0, 3e-6], [0.0, 4e-6]])
    assert float(length_scale(box, [0.0, 0.0])) == pytest.approx(5e-6)
    assert float(displacement_tolerance(box, [0.0, 0.0], 1e-6)) == pytest.approx(5e-12)
    assert float(displacement_tolerance(box + 1e9, [1e9, 1e9], 1e-6)) > 1e-6
