"""A trace never outlives what it has read: losses, rules, regions, maps and sums of samples whose state
changes between two calls."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.dynamics.steppers import build_stepper
from samdyn.numerics.vector import Coordinates
from samdyn.trace.function_identity import fingerprint


class Holder:
    """Numbers in a class and in its objects, called or read."""

    depth = 0.0

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        return bump(w, self.depth)


class Slots:
    __slots__ = ("depth",)


@dataclasses.dataclass
class Table:
    """An array whose repr leaves out the middle."""

    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scaled(sd.Rule):
    """A rule whose scale is an attribute of another class."""

    rho: float

    def perturbation(self, x: torch.Tensor, gradient: torch.Tensor, rho: Any = 0.0, **_: Any) -> torch.Tensor:
        return rho * (1.0 + Holder.depth) * gradient


held, slots, table, variable = (
    Holder(),
    Slots(),
    Table(np.zeros(2000)),
    contextvars.ContextVar("depth", default=0.0),
)
outer = Holder()
layer = torch.nn.Linear(1, 1).double()


def bump(w: torch.Tensor, depth: Any) -> torch.Tensor:
    """A bump far from where steps are compared."""
    return 0.0 * w.sum() - depth * torch.exp(-2.0 * ((w[0] - 4.0) ** 2 + w[1] ** 2))


def one(w: torch.Tensor) -> float:
    return held.depth


def two(w: torch.Tensor) -> float:
    return one(w)


def three(w: torch.Tensor) -> float:
    return two(w)


def four(w: torch.Tensor) -> float:
    return three(w)


called, partly = Holder(), functools.partial(Holder())
CARRIERS: dict[str, tuple[Callable[..., Any], Callable[[float], Any]]] = {
    "an object": (lambda w: bump(w, held.depth), lambda d: setattr(held, "depth", d)),
    "a class": (lambda w: bump(w, Holder.depth), lambda d: setattr(Holder, "depth", d)),
    "weights": (lambda w: bump(w, layer.bias[0]), lambda d: layer.bias.data.fill_(d)),
    "a large array": (
        lambda w: bump(w, float(table.values[999])),
        lambda d: table.values.__setitem__(999, d),
    ),
    "slots": (lambda w: bump(w, slots.depth), lambda d: setattr(slots, "depth", d)),
    "a member": (lambda w: bump(w, outer.inner.depth), lambda d: setattr(outer.inner, "depth", d)),  # type: ignore[attr-defined]
    "a context variable": (lambda w: bump(w, variable.get()), variable.set),
    "the environment": (
        lambda w: bump(w, float(os.environ["SAMDYN_TEST_DEPTH"])),
        lambda d: os.environ.__setitem__("SAMDYN_TEST_DEPTH", str(d)),
    ),
    "functions nested four deep": (lambda w: bump(w, four(w)), lambda d: setattr(held, "depth", d)),
    "a callable object": (called, lambda d: setattr(called, "depth", d)),
    "a partial of an object": (partly, lambda d: setattr(partly.func, "depth", d)),
    "getattr": (lambda w: bump(w, getattr(held, "dep" + "th")), lambda d: setattr(held, "depth", d)),
}


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMDYN_TEST_DEPTH", "0.0")
    outer.inner = Holder()  # type: ignore[attr-defined]
    slots.depth = 0.0
    layer.bias.data.zero_()
    held.depth = Holder.depth = 0.0


def slope(system: sd.Map) -> float:
    """What the step of the ensemble moves a point by that lies on the bump's flank."""
    point = torch.tensor([[3.7], [0.1]], dtype=torch.float64)
    numbers = [torch.tensor(v, dtype=torch.float64) for v in system.coefficients().values()]
    return float(build_stepper(system).iterate(Coordinates(point.unbind(0)), (), numbers)[0][0] - 3.7)


@pytest.mark.parametrize("name", CARRIERS)
def test_state_of_a_loss(name: str) -> None:
    """A loss reads a number that changes: the next call computes with the number of now. The right step is
    that of a loss with the number written into it.
    """
    function, change = CARRIERS[name]
    change(0.0)
    step = sd.Map(sd.Landscape(function, dim=2), sd.SAM(0.1), lr=0.5)
    assert slope(step) == 0.0
    for depth in (0.2, 0.7):
        change(depth)
        right = sd.Map(sd.Landscape(lambda w: bump(w, depth), dim=2), sd.SAM(0.1), lr=0.5)  # noqa: B023
        assert slope(step) == slope(right) != 0.0
    change(0.0)


def test_exit_times_from_a_bump() -> None:
    """The exit times from a bump that has become deep are those of the deep bump."""
    noise = sd.GaussianNoise(std=0.9)
    run = functools.partial(
        sd.exit_times, x0=[4.0, 0.0], region=sd.Ball([4.0, 0.0], 0.5), n_paths=200, t_max=30.0, device="cpu"
    )
    sde = sd.Diffusion(sd.Landscape(CARRIERS["an object"][0], dim=2), sd.SAM(0.1), lr=0.1, noise=noise)
    flat = run(sde).mean
    held.depth = 0.2
    deep = sd.Diffusion(sd.Landscape(lambda w: bump(w, 0.2), dim=2), sd.SAM(0.1), lr=0.1, noise=noise)
    assert run(sde).mean == run(deep).mean > 1.5 * flat


def test_state_of_rules_maps_regions_and_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a rule, a step given as a function, a region, and the quadratics found in a sum."""
    loss = sd.landscapes.quadratic(np.diag([1.0, 2.0]))
    of_rule = sd.Map(loss, Scaled(0.5), lr=0.1)
    of_step = sd.Map.from_function(lambda w: (1.0 + Holder.depth) * w, dim=2)
    region = sd.Region(lambda w: w.norm() - 1.0 - Holder.depth, dim=2)
    joined = region & sd.HalfSpace([1.0, 0.0], 5.0) & ~sd.Ball([-9.0, 0.0], 1.0)
    total = sd.FiniteSum(lambda w, s: (1.0 + Holder.depth) * (s * w).sum() ** 2, np.eye(2), dim=2)
    assert slope(of_rule) == pytest.approx(-0.1 * 3.7 * 1.5)
    assert slope(of_step) == 0.0
    assert not region.contains([1.5, 0.0])
    assert total.quadratics is not None
    assert total.quadratics.hessians[0, 0, 0] == 2.0
    np.testing.assert_array_equal(total.gradient([1.0, 0.0]), [1.0, 0.0])
    monkeypatch.setattr(Holder, "depth", 1.0)
    assert slope(of_rule) == pytest.approx(-0.1 * 3.7 * 2.0)
    assert slope(of_step) == pytest.approx(3.7)
    assert region.contains([1.5, 0.0])
    assert joined.contains([1.5, 0.0])
    assert joined.faces[0].distance(Coordinates(torch.tensor([[1.5], [0.0]]).double())) == -0.5
    assert total.quadratics.hessians[0, 0, 0] == 4.0
    np.testing.assert_array_equal(total.gradient([1.0, 0.0]), [2.0, 0.0])
    np.testing.assert_array_equal(total.hessian([1.0, 0.0])[0, 0], 2.0)


def test_fingerprints_know_or_doubt() -> None:
    """Plain functions have a fingerprint that tells their numbers; objects of unknown classes have none."""
    numbers = [1.0, torch.ones(2)]
    known = [
        lambda w: numbers[0] * (w @ w),
        sd.landscapes.beale().function,
        sd.SAM(0.1),
        functools.partial(lambda w, a: a * w.abs().max(), a=2.0),
    ]
    before = [fingerprint(f) for f in known]
    assert None not in before
    assert before == [fingerprint(f) for f in known]
    numbers[1].mul_(2.0)  # type: ignore[union-attr]
    assert fingerprint(known[0]) != before[0]
    after = fingerprint(known[0])
    numbers[0] = 1.5
    assert fingerprint(known[0]) not in (None, after)
    doubtful = [
        held,
        held.__call__,
        layer,
        lambda w: variable.get() * w,
        lambda w: float(input()) * w,
        lambda w: __import__("math").pi * w,
        numbers.append,
        np.array([None]),
        {1, 2},
    ]
    assert [fingerprint(f) for f in doubtful] == [None] * len(doubtful)
