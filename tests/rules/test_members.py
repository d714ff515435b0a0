"""The members of the family: limits between them, memory in the state, what each needs, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import problems
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq, root

import samdyn as sd
from samdyn.dynamics.batch_step import sample_table, sampled_step
from samdyn.rules.curvature import leading_eigenvector
from samdyn.rules.oracle import Oracle
from samdyn.systems.step_of_rule import given_to

LOSS = sd.landscapes.coupled_double_well()
X = np.array([[0.3, -0.7], [1.2, 0.4], [-0.6, 0.9]])


def directions(
    rule: sd.Rule, n_steps: int = 4, lr: float = 0.05, seed: int = 0, points: np.ndarray = X
) -> np.ndarray:
    """Points of some steps from three, by the rule's own update on all of them at once."""
    gradient = Oracle(
        lambda x: torch.from_numpy(LOSS.gradient(x.numpy())),
        lambda x: torch.from_numpy(LOSS.value(x.numpy())[:, None]),
        lambda x, v: torch.from_numpy(LOSS.hvp(x.numpy(), v.numpy())),
    )
    rng, x = np.random.default_rng(seed), torch.from_numpy(points.copy())
    memory = {name: torch.full((3, 2), rule.initial.get(name, 0.0)).double() for name in rule.vectors}
    memory |= {name: torch.full((3, 1), rule.initial.get(name, 0.0)).double() for name in rule.numbers}
    orbit = []
    for t in range(n_steps):
        values = given_to(rule, {**rule.coefficients(t), "lr": lr})
        if rule.n_normals(2):
            values["normals"] = torch.from_numpy(rng.standard_normal((3, rule.n_normals(2))))
        step = rule.update(x, memory, gradient, gradient, **values)
        x = x - lr * (step.direction if step.apart is None else step.direction + step.apart)
        memory = dict(step.memory)
        orbit.append(x.numpy())
    return np.array(orbit)


SAME = [
    (sd.ASAM(0.0), sd.GD()),
    (sd.MongeSAM(0.0), sd.GD()),
    (sd.LESAM(0.0, 0.1), sd.GD()),
    (sd.LESAM(0.2, 1e9), sd.SAM(0.2)),
    (sd.PreconditionedSAM(0.0), sd.GD()),
    (sd.PreconditionedSAM(0.2), sd.SAM(0.2)),
    (sd.GSAM(0.0), sd.GD()),
    (sd.GSAM(0.2, alpha=0.0), sd.SAM(0.2)),
    (sd.WSAM(0.0), sd.GD()),
    (sd.WSAM(0.2, gamma=0.5), sd.SAM(0.2)),
    (sd.WSAM(0.2, gamma=0.5, decoupled=False), sd.SAM(0.2)),
    (sd.WSAM(0.2, gamma=0.0), sd.GD()),
    (sd.StableSAM(0.0), sd.GD()),
    (sd.PolyakSAM(0.2, lower=-1e9), sd.SAM(0.2)),
    (sd.SAMON(0.0, blocks=[0]), sd.GD()),
    (sd.SAMON(0.2, blocks=[0, 1]), sd.SAM(0.2)),
    (sd.ZSharp(0.0), sd.GD()),
    (sd.ZSharp(0.2), sd.SAM(0.2)),
    (sd.VaSSO(0.0), sd.GD()),
    (sd.VaSSO(0.2, theta=1.0), sd.SAM(0.2)),
    (sd.FriendlySAM(0.0), sd.GD()),
    (sd.FriendlySAM(0.2, sigma=0.0), sd.SAM(0.2)),
    (sd.InfoSAM(0.0), sd.GD()),
    (sd.InfoSAM(0.2, eps=1e9), sd.SAM(0.2)),
    (sd.LookSAM(0.2, every=1), sd.SAM(0.2)),
    (sd.LookSAM(0.0, alpha=0.0), sd.GD()),
    (sd.AESAM(0.0), sd.GD()),
    (sd.AESAM(0.2, first=-1e9, last=-1e9), sd.SAM(0.2)),
    (sd.LookbehindSAM(0.2, alpha=1.0, steps=1), sd.SAM(0.2)),
    (sd.LookbehindSAM(0.0, alpha=0.5, steps=2), sd.GD()),
    (sd.SAMPa(0.0, lam=0.0), sd.GD()),
    (sd.EigenSAM(0.0), sd.GD()),
    (sd.EigenSAM(0.2, alpha=0.0), sd.SAM(0.2)),
    (sd.XSAM(0.2, alpha=0.0, normalised=False), sd.SAM(0.2)),
    (sd.RSAM(0.2, sigma=0.0), sd.SAM(0.2)),
    (sd.TraceSAM(0.0), sd.GD()),
    (sd.TraceSAM(0.1, weight=0.0), sd.GD()),
    (sd.DetSAM(0.0), sd.GD()),
    (sd.FrobSAM(0.0), sd.GD()),
    (sd.FrobSAM(weight=0.0), sd.GD()),
    (sd.ESAM(0.2, beta=1.0, gamma=1.0), sd.SAM(0.2)),
    (sd.ESAM(0.0, gamma=1.0), sd.GD()),
    (sd.MSAM(0.0, decay=0.0), sd.GD()),
]


@pytest.mark.parametrize(("rule", "end"), SAME, ids=lambda rule: repr(rule))
def test_limits_between_members(rule: sd.Rule, end: sd.Rule) -> None:
    np.testing.assert_allclose(directions(rule), directions(end), rtol=1e-10, atol=1e-12)


LIMITS: list[tuple[Any, Any]] = [
    (lambda rho: sd.UnifiedSAM(rho, 0.0), sd.USAM),
    (lambda rho: sd.UnifiedSAM(rho, 1.0), sd.SAM),
    (lambda rho: sd.GSAM(rho, alpha=0.0), sd.SAM),
    (lambda rho: sd.WSAM(rho, gamma=0.5), sd.SAM),
    (lambda rho: sd.WSAM(rho, gamma=0.0), lambda rho: sd.GD()),
    (lambda rho: sd.VaSSO(rho, theta=1.0), sd.SAM),
    (lambda rho: sd.FriendlySAM(rho, sigma=0.0), sd.SAM),
    (lambda rho: sd.LookSAM(rho, every=1), sd.SAM),
    (lambda rho: sd.LookSAM(0.0), lambda rho: sd.GD()),
    (lambda rho: sd.ZSharp(rho), sd.SAM),
    (lambda rho: sd.ASAM(rho / 1e9, eta=1e9), sd.SAM),  # T is the identity where eta outweighs x
    (lambda rho: sd.PreconditionedSAM(rho), sd.SAM),
    (lambda rho: sd.ESAM(rho, beta=1.0, gamma=1.0), sd.SAM),
    (lambda rho: sd.LookbehindSAM(rho, alpha=1.0, steps=1), sd.SAM),
    (lambda rho: sd.EigenSAM(rho, alpha=0.0), sd.SAM),
    (lambda rho: sd.SAMPa(0.0, lam=0.0), lambda rho: sd.GD()),
]


@pytest.mark.parametrize(("made", "end"), LIMITS, ids=lambda make: None)
@settings(max_examples=8, deadline=None)
@given(
    rho=st.floats(0, 1),
    x=arrays(np.float64, (3, 2), elements=st.floats(-2, 2)),
    lr=st.floats(1e-3, 0.1),
)
def test_limits_hold_everywhere(made: Any, end: Any, rho: float, x: Any, lr: float) -> None:
    """Radii, points and learning rates that hypothesis chooses, critical points among them."""
    ends = [directions(rule, 2, lr, points=x) for rule in (made(rho), end(rho))]
    np.testing.assert_allclose(*ends, rtol=1e-6, atol=1e-8)


def zero_radius(name: str) -> sd.Rule:
    """A rule of the public interface with radius 0 and what else it needs."""
    more: dict[str, dict[str, Any]] = {
        "LESAM": {"budget": 0.1},
        "SAMON": {"blocks": [0]},
        "UnifiedSAM": {"lam": 0.5},
        "SAMPa": {"lam": 0.0},
        "RSAM": {"sigma": 0.0},
        "XSAM": {"alpha": 0.0, "normalised": False},
        "MSAM": {"decay": 0.0},
        "PolyakSAM": {"lower": -1e9},
        "ESAM": {"gamma": 1.0},
        "LookbehindSAM": {"steps": 2, "alpha": 0.5},  # two steps of half the length
    }
    rule: sd.Rule = getattr(sd, name)(rho=0.0, **more.get(name, {}))
    return rule


OWN_BASE = {"AdamWSAM", "AdaSAM", "RMSPropSAM", "LightSAM", "LightAdamSAM", "Sassha", "BSAM"}
"""Members with a base step of their own, or none: `test_radius_zero_is_the_base`."""
WITH_RADIUS = sorted(
    name
    for name in sd.__all__
    if isinstance(getattr(sd, name), type)
    and issubclass(getattr(sd, name), sd.Rule)
    and "rho" in getattr(sd, name).__dataclass_fields__
)


@pytest.mark.parametrize("name", [name for name in WITH_RADIUS if name not in OWN_BASE | {"GCSAM"}])
def test_radius_zero_is_gradient_descent(name: str) -> None:
    """Every member with a radius: with 0 it is its base step, in the map's own step."""
    rule = zero_radius(name)
    loss = form_for(rule)
    maps = [sd.Map(loss, which, lr=0.05) for which in (rule, sd.GD())]
    if rule.n_normals(2):
        ends = [np.asarray(sd.trajectory(system, X, n_steps=3, seed=1)) for system in maps]
    else:
        ends = []
        for system in maps:
            states = system.at_rest(X)
            for step in range(3):
                states = system.evaluate(states, step)
            ends.append(states[:, :2])
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-9, atol=1e-12)


def test_radius_zero_is_the_base() -> None:
    """Of members with a base step of their own: that step on the gradient itself."""
    x, m, v, w = X.copy(), 0.0, 0.0, 1e-16
    for t in range(4):
        g = LOSS.gradient(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - 0.05 * m / (1 - 0.9 ** (t + 1)) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
    np.testing.assert_allclose(directions(sd.AdamWSAM(0.0, decoupled_decay=0.0))[-1], x, rtol=1e-10)
    x, m, v = X.copy(), 0.0, 0.0
    for _ in range(4):
        g = LOSS.gradient(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = np.maximum(w, v)
        x = x - 0.05 * m / np.sqrt(w)
    np.testing.assert_allclose(directions(sd.AdaSAM(0.0))[-1], x, rtol=1e-10)
    # RMSProp, AdaGrad of norms, and Adam without corrections
    x, v = X.copy(), 0.0
    for _ in range(4):
        g = LOSS.gradient(x)
        v = 0.99 * v + 0.01 * g**2
        x = x - 0.05 * g / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(directions(sd.RMSPropSAM(0.0))[-1], x, rtol=1e-10)
    x, v = X.copy(), 1e-16
    for _ in range(4):
        g = LOSS.gradient(x)
        v = v + (g**2).sum(axis=1, keepdims=True)
        x = x - 0.05 * g / np.sqrt(v)
    np.testing.assert_allclose(directions(sd.LightSAM(0.0))[-1], x, rtol=1e-10)
    x, m, v = X.copy(), 0.0, 0.0
    for _ in range(4):
        g = LOSS.gradient(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - 0.05 * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(directions(sd.LightAdamSAM(0.0))[-1], x, rtol=1e-10)
    # the centred gradient is what GCSAM steps along
    x = X.copy()
    for _ in range(4):
        g = LOSS.gradient(x)
        x = x - 0.05 * (g - g.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(directions(sd.GCSAM(0.0))[-1], x, rtol=1e-10)
    # the base of Sassha divides by the diagonal, the base of bSAM by its scale, at x instead of x + e
    rng, x, s, mean = np.random.default_rng(0), X.copy(), np.ones_like(X), np.zeros_like(X)
    for _ in range(4):
        noisy = LOSS.gradient(x + rng.standard_normal((3, 2)) / np.sqrt(100.0 * s))
        mean = 0.9 * mean + 0.1 * (LOSS.gradient(x) + 1e-4 * x)
        s = 0.999 * s + 0.001 * (np.sqrt(s) * np.abs(noisy) + 1e-4 + 0.1)
        x = x - 0.05 * mean / s
    np.testing.assert_allclose(directions(sd.BSAM(0.0, n_samples=100.0))[-1], x, rtol=1e-10)
    rng, x, mean, d = np.random.default_rng(0), X.copy(), 0.0, np.zeros_like(X)
    for t in range(4):
        z = np.where(rng.standard_normal((3, 2)) < 0, -1.0, 1.0)
        d = 0.001 * np.abs(z * LOSS.hvp(x, z)) if t == 0 else d
        mean = 0.9 * mean + 0.1 * LOSS.gradient(x)
        x = x - 0.05 * mean / (1 - 0.9 ** (t + 1)) / (np.sqrt(d / 0.001) + 1e-4)
    np.testing.assert_allclose(directions(sd.Sassha(0.0))[-1], x, rtol=1e-9)
    past, lr = sd.PastExtragradient(0.05), 0.05
    # SAMPa's other end: the optimistic method, whose y is the extrapolated point
    y = x = X.copy()
    for _ in range(4):
        y = x - lr * LOSS.gradient(y)
        x = x - lr * LOSS.gradient(y)
    np.testing.assert_allclose(directions(sd.SAMPa(0.3, lam=1.0))[-1], x, rtol=1e-10)
    assert past.rho == lr


DIFFERENTIABLE = [
    sd.GD(), sd.USAM(0.2), sd.UnifiedSAM(0.2, 0.5), sd.SAM(0.2), sd.DNSAM(0.2), sd.Extragradient(0.2),
    sd.PreconditionedSAM(0.2, [1.0, 2.0], [0.5, 1.0]), sd.ZSharp(0.2), sd.LightAdamSAM(0.2, eps=0.1),
    sd.RWSAM(0.2), sd.ESAM(0.2, beta=1.0), sd.FunctionalSAM(0.2),
    sd.PreconditionedFunctionalSAM(0.2, eps=0.1),
    sd.ASAM(0.2), sd.MongeSAM(0.2), sd.LESAM(0.2, 0.05), sd.GSAM(0.2), sd.WSAM(0.2), sd.StableSAM(0.2),
    sd.PolyakSAM(0.2, lower=0.2), sd.SAMON(0.2, blocks=[0]), sd.GCSAM(0.2), sd.VaSSO(0.2),
    sd.FriendlySAM(0.2, sigma=0.5), sd.InfoSAM(0.2, eps=0.1), sd.LookbehindSAM(0.1, steps=2), sd.SAMPa(0.2),
    sd.AdamWSAM(0.2, eps=0.1), sd.RMSPropSAM(0.2, eps=0.1), sd.EigenSAM(0.2), sd.XSAM(0.2), sd.MSAM(0.2),
    sd.PastExtragradient(0.1),
]  # fmt: skip


def form_for(rule: sd.Rule) -> sd.Landscape:
    """A loss of two coordinates in the form that a rule asks for."""
    if "samples" in rule.needs:
        return problems.r6()
    if "outputs" in rule.needs:
        return sd.Landscape.composed(
            lambda y: (y[0] ** 2 + y[1] ** 2 + y[0] * y[1]) / 2,
            lambda w: torch.stack([w[0] * w[1] - 1, torch.tanh(w[0]) + w[1] ** 2]),
            2,
            box=[(-2, 2), (-2, 2)],
        )
    return LOSS


NO_POINTS = [sd.AdaSAM(0.2, eps=0.1), sd.LightSAM(0.2, eps=0.1), sd.LightSAM(0.2, eps=0.1, by_entry=True),
    sd.LookSAM(0.2), sd.AESAM(0.2), sd.FriendlySAM(0.2)]  # fmt: skip
"""Members that are no functions of the point, but whose step is a function of the state."""


@pytest.mark.parametrize("rule", NO_POINTS, ids=repr)
def test_steps_of_states_are_differentiated_too(rule: sd.Rule) -> None:
    """The derivative of the state map, which orbits are made of, beside differences at a state on the way."""
    system = sd.Map(LOSS, rule, lr=0.05)
    state = system.at_rest(X[0])
    for step in range(3):
        state = system.evaluate(state, step)
    state, h = state + 0.01 * np.sin(1 + np.arange(len(state))) * (np.abs(state) > 0.1), 1e-5
    got = torch.func.jacrev(system.point_function())(torch.from_numpy(state)).numpy()
    units = h * np.eye(len(state))
    differences = (system.evaluate(state + units) - system.evaluate(state - units)).T / (2 * h)
    np.testing.assert_allclose(got, differences, atol=1e-6 * (1 + np.abs(differences).max()))


@pytest.mark.parametrize("rule", DIFFERENTIABLE, ids=lambda rule: type(rule).__name__)
def test_linearisations_are_those_of_the_step(rule: sd.Rule) -> None:
    """Jacobians of the state map, memory included, beside central differences of the step."""
    system = sd.Map(form_for(rule), rule, lr=0.05)
    state = system.states(X[:1])[0]
    state = state + 0.05 * np.sin(1 + np.arange(len(state)))  # settled memory may lie on a kink of a norm
    if "started" in rule.numbers:
        state[-1] = 1.0
    got, h = system.jacobian(state), 1e-5
    units = h * np.eye(len(state))
    differences = (system.evaluate(state + units) - system.evaluate(state - units)).T / (2 * h)
    np.testing.assert_allclose(got, differences, atol=1e-6 * (1 + np.abs(differences).max()))


SETTLING = [
    rule for rule in DIFFERENTIABLE if rule.memory and not isinstance(rule, sd.PastExtragradient | sd.MSAM)
]


@pytest.mark.parametrize("rule", SETTLING, ids=lambda rule: type(rule).__name__)
def test_settled_memory_stays(rule: sd.Rule) -> None:
    """Where the weights are held, a step leaves settled memory as it is."""
    system = sd.Map(form_for(rule), rule, lr=0.05)
    states = system.states(X)
    after = system.evaluate(states)
    np.testing.assert_allclose(after[:, 2:], states[:, 2:], atol=1e-9)
    assert states.shape[1] == system.state_dim > 2


def test_memory_in_a_map_is_that_of_the_update() -> None:
    """The traced step of the state map beside the update itself; momentum stands before the memory."""
    rule = sd.VaSSO(0.2, theta=0.3)
    system = sd.Map(LOSS, rule, lr=0.05)
    orbit = sd.trajectory(system, X, n_steps=4)
    np.testing.assert_allclose(np.asarray(orbit)[1:], directions(rule), rtol=1e-10)
    heavy = sd.Map(LOSS, rule, lr=0.05, momentum=0.5)
    assert heavy.state_dim == 2 + 2 + 3
    x, v, d = X[0], np.zeros(2), None
    for _ in range(3):
        g = LOSS.gradient(x)
        d = g if d is None else 0.7 * d + 0.3 * g
        v = 0.5 * v + LOSS.gradient(x + 0.2 * d / np.linalg.norm(d))
        x = x - 0.05 * v
    np.testing.assert_allclose(np.asarray(sd.trajectory(heavy, X[0], n_steps=3))[-1], x, rtol=1e-10)


def test_decoupled_weighting_is_past_the_momentum() -> None:
    g, p = (
        LOSS.gradient(X),
        LOSS.gradient(X + 0.2 * LOSS.gradient(X) / np.linalg.norm(LOSS.gradient(X), axis=1)[:, None]),
    )
    state = np.concatenate([X, np.ones_like(X)], axis=1)
    a = 0.75 / 0.25
    apart = sd.Map(LOSS, sd.WSAM(0.2, gamma=0.75), lr=0.05, momentum=0.5).evaluate(state)
    v = 0.5 + g
    np.testing.assert_allclose(apart, np.concatenate([X - 0.05 * (v + a * (p - g)), v], axis=1), rtol=1e-12)
    coupled = sd.Map(LOSS, sd.WSAM(0.2, gamma=0.75, decoupled=False), lr=0.05, momentum=0.5).evaluate(state)
    v = 0.5 + (1 - a) * g + a * p
    np.testing.assert_allclose(coupled, np.concatenate([X - 0.05 * v, v], axis=1), rtol=1e-12)


ON_A_LINE = [
    sd.SAM(1.5), sd.ASAM(1.2, eta=0.5), sd.MongeSAM(1.5), sd.LESAM(1.5, 0.4), sd.WSAM(1.2, gamma=0.6),
    sd.GSAM(1.5), sd.LookbehindSAM(0.4, steps=2), sd.SAMON(1.5, blocks=[0]), sd.USAM(1.7),
    sd.UnifiedSAM(1.5, 0.5), sd.DNSAM(1.5), sd.PreconditionedSAM(0.75, [2.0], [3.0]), sd.ZSharp(1.5),
    sd.StableSAM(1.5), sd.PolyakSAM(1.5, lower=-9.0), sd.ESAM(1.5, beta=1.0, gamma=1.0),
    sd.FunctionalSAM(0.8), sd.Extragradient(0.7), sd.RWSAM(1.5), sd.ESAM(1.5, beta=1.0),
]  # fmt: skip
WELL_OF_OUTPUTS = sd.Landscape.composed(lambda y: y**2 / 4, lambda w: w[0] ** 2 - 1, 1, box=[(-2, 2)])
"""The double well as an objective of an output."""
SAMPLED_WELL = sd.FiniteSum(
    lambda w, s: (w[0] ** 2 - 1) ** 2 / 4 + s[0] * w[0], [[0.4], [-0.1], [-0.3]], 1, box=[(-2, 2)]
)
"""The double well as a mean of three samples, whose gradients do not vanish with it."""


@pytest.mark.parametrize("rule", ON_A_LINE, ids=lambda rule: type(rule).__name__)
def test_fixed_points_are_those_of_brute_force(rule: sd.Rule) -> None:
    """In one dimension: sign changes of the field on a grid, refined; smooth ones, and jumps."""
    forms = {"outputs": WELL_OF_OUTPUTS, "samples": SAMPLED_WELL}
    well = next((forms[need] for need in rule.needs if need in forms), sd.landscapes.double_well())
    system = sd.Map(well, rule, lr=0.1)
    x = np.linspace(-2.2, 2.2, 4402)  # no grid point on a critical point

    def field(z: Any) -> Any:
        return (system(np.reshape(z, (-1, 1))) - np.reshape(z, (-1, 1)))[:, 0]

    values = field(x)
    found, crossed = [], []
    for i in np.flatnonzero(values[1:] * values[:-1] < 0):
        z = brentq(lambda y: float(field(y)[0]), x[i], x[i + 1], xtol=1e-13)
        if abs(well.gradient([z])[0]) > 1e-6:
            jumps = abs(field(z + 1e-9)[0] - field(z - 1e-9)[0]) > 1e-6
            (crossed if jumps else found).append(z)
    points = sd.fixed_points(system, box=[(-2.2, 2.2)])
    # What rests by the convention g/abs(g) = 0 on a jump of the field has no stability, and is no zero of it;
    # nor are the intervals in which a Polyak step is zero, which have no sign change.
    smooth = [p for p in points if p.kind == "hallucinated" and p.stability != "jump" and not p.dimension]
    got = sorted(float(p.x[0]) for p in smooth)
    np.testing.assert_allclose(got, found, atol=1e-8)
    # where the field changes its sign by a jump of the rule's own, the point is listed as one
    jumping = np.array([p.x[0] for p in points if p.kind == "hallucinated" and p.stability == "jump"])
    assert all(np.abs(jumping - z).min(initial=np.inf) < 1e-8 for z in crossed)
    assert bool(crossed) == isinstance(rule, sd.StableSAM | sd.RWSAM | sd.LookbehindSAM)


def test_a_centred_gradient_of_one_entry_is_nothing() -> None:
    """GCSAM on a line: every point rests, which is a family of the whole box."""
    system = sd.Map(sd.landscapes.double_well(), sd.GCSAM(1.5), lr=0.1)
    x = np.linspace(-2.2, 2.2, 45)[:, None]
    np.testing.assert_array_equal(system(x), x)
    (family,) = sd.fixed_points(system, box=[(-2.2, 2.2)], n_starts=64).families
    assert family.dimension == 1
    assert np.ptp(family.points) > 4


def test_reweighted_samples_rest_beside_the_minimum() -> None:
    """RW-SAM's direction vanishes elsewhere than the gradient of the mean: its field is not 0 at the minimum,
    and its orbits hover where the direction vanishes.
    """
    loss, rule = problems.r6(), sd.RWSAM(0.1)
    flow = sd.Flow(loss, rule)
    minimum = loss.minimum().x
    assert np.linalg.norm(flow(minimum)) > 0.1

    def direction(x: np.ndarray) -> np.ndarray:
        g = loss.sample_gradients(x)
        return np.exp(np.linalg.norm(g, axis=1)) @ g

    rest = root(direction, minimum, tol=1e-12).x
    end = sd.trajectory(sd.Map(loss, rule, lr=0.01), [0.0, 0.2], n_steps=1000)[-1]
    assert np.linalg.norm(end - rest) < 0.01 < np.linalg.norm(minimum - rest)
    on_a_line = sd.fixed_points(sd.Flow(SAMPLED_WELL, sd.RWSAM(0.1)), n_starts=16)
    assert {p.kind for p in on_a_line} == {"hallucinated"}
    assert [p.stability for p in on_a_line].count("jump") == 3
    # with weights that are alike it is SAM
    np.testing.assert_allclose(
        sd.Flow(loss, sd.RWSAM(0.1, temperature=0.0))(X), sd.Flow(loss, sd.SAM(0.1))(X), rtol=1e-12
    )


def test_settled_eigenvectors() -> None:
    """The closed form in the plane beside an eigendecomposition, and multiples of the identity."""
    rng = np.random.default_rng(0)
    matrices = [a + a.T for a in rng.standard_normal((40, 2, 2))]
    for h in [*matrices, np.diag([1.0, -3.0]), np.diag([-2.0, 1.0]), np.array([[1.0, 1e-9], [1e-9, 0.5]])]:
        values, columns = np.linalg.eigh(h)
        v = leading_eigenvector(torch.from_numpy(h)).numpy()
        expected = columns[:, np.abs(values).argmax()]
        np.testing.assert_allclose(np.outer(v, v), np.outer(expected, expected), atol=1e-12)
    np.testing.assert_array_equal(leading_eigenvector(2 * torch.eye(2)), [1.0, 0.0])
    v = leading_eigenvector(torch.diag(torch.tensor([1.0, -3.0, 2.0]))).numpy()
    np.testing.assert_allclose(np.abs(v), [0, 1, 0], atol=1e-12)
    # beside a critical point it is the loss's: Eigen-SAM turns from SAM there
    well = sd.landscapes.double_well(2)
    flows = [sd.Flow(well, rule) for rule in (sd.EigenSAM(0.3, alpha=0.5), sd.SAM(0.3))]
    assert np.abs(flows[0]([-0.9, 0.1]) - flows[1]([-0.9, 0.1])).max() > 1e-2


def test_perturbations_are_where_members_look() -> None:
    """Of those that do not perturb along g/abs(g): `perturbation` says where the step does look."""
    x, well = np.array([0.3, -0.7]), sd.landscapes.double_well(2)
    g = well.gradient(x)
    u = g / np.linalg.norm(g)
    v = np.array([0.0, 1.0])  # the Hessian there is diag(3 0.09 - 1, 1)
    e = 0.2 * (u + 0.5 * np.sign(g @ v) * (v - (u @ v) * u))
    got = sd.Map(well, sd.EigenSAM(0.2, alpha=0.5), lr=0.1).perturbation(x)
    np.testing.assert_allclose(got, e, rtol=1e-12)
    np.testing.assert_array_equal(sd.Map(well, sd.MSAM(0.2), lr=0.1).perturbation(x), [0.0, 0.0])
    rows = problems.r6()
    gradients = rows.sample_gradients(x)
    mean = np.exp(np.linalg.norm(gradients, axis=1)) @ gradients
    got = sd.Map(rows, sd.RWSAM(0.2), lr=0.1).perturbation(x)
    np.testing.assert_allclose(got, 0.2 * mean / np.linalg.norm(mean), rtol=1e-12)


def test_who_can_rest_where_the_gradient_does_not_vanish() -> None:
    """Single-well facts on the double well at rho = 1.5, whose hallucinated point of SAM is -0.5."""
    well, x = sd.landscapes.double_well(), np.array([-0.5])
    assert abs(well.gradient(x + 1.5))[0] < 1e-12
    # GSAM moves uphill there, by alpha g
    moved = sd.Map(well, sd.GSAM(1.5, alpha=0.4), lr=0.1)(x)
    np.testing.assert_allclose(moved - x, 0.04 * well.gradient(x), rtol=1e-12)
    # WSAM rests where g(y) = ((2 gamma - 1)/gamma) g
    for point in sd.fixed_points(sd.Map(well, sd.WSAM(1.5, gamma=0.6), lr=0.1), box=[(-2.2, 2.2)]):
        if point.kind == "hallucinated":
            g = well.gradient(point.x)
            p = well.gradient(point.x + 1.5 * np.sign(g))
            np.testing.assert_allclose(p, (0.2 / 0.6) * g, atol=1e-9)
    # MSAM's fixed points have no velocity, and so no perturbation
    assert {p.kind for p in sd.fixed_points(sd.Map(well, sd.MSAM(1.5), lr=0.1))} <= {"minimum", "maximum"}
    # averages settle at the gradient: VaSSO rests where SAM does, with multipliers of its own
    vasso = sd.Map(well, sd.VaSSO(1.5), lr=0.1)
    (point,) = [p for p in sd.fixed_points(vasso) if p.kind == "hallucinated" and p.x[0] < 0]
    np.testing.assert_allclose(point.x, [-0.5], atol=1e-10)
    np.testing.assert_allclose(sorted(np.abs(point.eigenvalues)), [0.0, 0.6, 0.8], atol=1e-9)
    # plain SAMPa rests there too, with its auxiliary point beside it: not at critical points only
    sampa = sd.Map(well, sd.SAMPa(1.5, lam=0.0), lr=0.1)
    y = brentq(lambda z: z + 0.5 + 0.1 * float(well.gradient([z])[0]), -1, 0)
    state = np.array([-0.5, y, 1.0])
    np.testing.assert_allclose(sampa.evaluate(state), state, atol=1e-12)


def test_scalings_that_asam_does_not_see() -> None:
    """T8 of the reference: (w1 w2 - 1)^2 at (0.5, 3), scaled by (4, 1/4)."""
    loss = sd.Landscape(lambda w: (w[0] * w[1] - 1) ** 2, dim=2)
    w, scale = np.array([0.5, 3.0]), np.array([4.0, 0.25])
    for rule, invariant in ((sd.ASAM(0.1, eta=0.0), True), (sd.SAM(0.1), False)):
        system = sd.Map(loss, rule, lr=0.1)
        here, there = scale * system.perturbation(w), system.perturbation(scale * w)
        assert np.allclose(here, there, rtol=1e-12) == invariant
        expected = ([0.14142136, 0.05303301],) * 2
        if not invariant:
            expected = [0.3945576, 0.0041100], [0.0351123, 0.0936329]
        np.testing.assert_allclose([here, there], expected, atol=5e-8)


def test_sign_of_momentum_sam() -> None:
    """T8: h = 10, lr = 0.02, decay 0.9, rho = 0.05 from 0.3, root mean square of the last 500 of 4000."""
    system = sd.Map(sd.landscapes.quadratic([[10.0]]), sd.MSAM(0.05, decay=0.9), lr=0.02)
    tail = np.asarray(sd.trajectory(system, [0.3], n_steps=4000))[-500:, 0]
    assert np.sqrt((tail**2).mean()) == pytest.approx(0.00277778, rel=1e-4)
    x, v, squares = 0.3, 0.0, []
    for _ in range(4000):  # with a plus it would go round far away
        v = 0.9 * v + 10 * (x + 0.05 * np.sign(v))
        x -= 0.02 * v
        squares.append(x * x)
    assert np.sqrt(np.mean(squares[-500:])) == pytest.approx(0.2014702, rel=1e-5)


def test_members_on_samples_by_hand() -> None:
    loss = problems.r6()
    x = np.array([0.4, -0.8])
    values, gradients = loss.sample_values(x), loss.sample_gradients(x)
    y = x + 0.3 * loss.gradient(x) / np.linalg.norm(loss.gradient(x))
    kept = np.argsort(loss.sample_values(y) - values)[-3:]
    esam = sd.Map(loss, sd.ESAM(0.3, beta=1.0, gamma=0.5), lr=0.1)
    np.testing.assert_allclose(esam(x), x - 0.1 * loss.sample_gradients(y)[kept].mean(axis=0), rtol=1e-12)
    weights = np.exp(0.7 * np.linalg.norm(gradients, axis=1))
    mean = weights @ gradients
    step = sd.Map(loss, sd.RWSAM(0.3, temperature=0.7), lr=0.1)(x)
    np.testing.assert_allclose(
        step, x - 0.1 * loss.gradient(x + 0.3 * mean / np.linalg.norm(mean)), rtol=1e-12
    )
    plain = [sd.Map(loss, rule, lr=0.1)(x) for rule in (sd.RWSAM(0.3, temperature=0.0), sd.SAM(0.3))]
    np.testing.assert_allclose(plain[0], plain[1], rtol=1e-12)
    # batches: the half of each batch that the perturbation hurts most
    noise = sd.Minibatch(batch_size=4)
    batches = sd.Map(loss, sd.ESAM(0.3, gamma=0.5), lr=0.01, noise=noise)
    paths = np.asarray(sd.trajectory(batches, np.tile(x, (3, 1)), n_steps=3, seed=4))
    assert np.isfinite(paths).all()
    assert np.ptp(paths[-1], axis=0).min() > 1e-4  # other batches and other masks on other paths


def test_functional_sam() -> None:
    """Beside the Jacobian by hand; gradient descent on a linear model, and on a module as on its function."""
    loss = sd.Landscape.composed(
        lambda y: ((y - 1) ** 2).sum() / 2, lambda w: torch.stack([w[0] * w[1], w[0]]), 2
    )
    x = np.array([2.0, 1.0])
    y = x + 0.3 * loss.gradient(x) / np.linalg.norm(loss.gradient(x))
    jacobian, slope = np.array([[y[1], y[0]], [1.0, 0.0]]), np.array([x[0] * x[1] - 1, x[0] - 1])
    step = sd.Map(loss, sd.FunctionalSAM(0.3), lr=0.1)
    np.testing.assert_allclose(step(x), x - 0.1 * jacobian.T @ slope, rtol=1e-12)
    linear = sd.Landscape.composed(lambda y: (y**4).sum(), lambda w: torch.stack([w[0] + w[1], w[0]]), 2)
    steps = [sd.Map(linear, rule, lr=0.01)(x) for rule in (sd.FunctionalSAM(0.3), sd.GD())]
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-12)
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)).double()
    inputs, targets = torch.randn(5, 2).double(), torch.randn(5, 1).double()
    net = sd.from_module(module, torch.nn.functional.mse_loss, (inputs, targets))

    def outputs(w: Any) -> Any:
        a, b, c, d = w[:4].reshape(2, 2), w[4:6], w[6:8].reshape(1, 2), w[8:]
        return torch.tanh(inputs @ a.T + b) @ c.T + d

    twin = sd.Landscape.composed(lambda y: ((y - targets) ** 2).mean(), outputs, 9)
    at = net.x0
    for rule in (sd.FunctionalSAM(0.3), sd.PreconditionedFunctionalSAM(0.3)):
        np.testing.assert_allclose(sd.Map(net, rule, lr=0.1)(at), sd.Map(twin, rule, lr=0.1)(at), rtol=1e-9)
    batch = sd.Map(net, sd.FunctionalSAM(0.3), lr=0.1, noise=sd.Minibatch(batch_size=5))
    whole = sd.Map(net, sd.FunctionalSAM(0.3), lr=0.1)(at)
    np.testing.assert_allclose(np.asarray(sd.trajectory(batch, at, n_steps=1))[-1], whole, rtol=1e-9)


def test_random_members_draw_numbers_of_their_own() -> None:
    """Means of one step of Frob- and Trace-SAM, exact on a quadratic (T10), at 4 standard errors."""
    h = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 3.0]])
    x, n = np.array([0.2, -0.1, 0.3]), 20_000
    loss = sd.landscapes.quadratic(h)
    frob = sd.Map(loss, sd.FrobSAM(0.3, weight=1.0), lr=1.0)
    after = np.asarray(sd.trajectory(frob, np.tile(x, (n, 1)), n_steps=1, seed=3))[-1]
    exact = h @ x + h @ (h @ x) + 0.3**2 * h @ h @ np.zeros(3)  # E Cov(f, g)/rho^2 = H g, the odd part
    error = (x - after).std(axis=0) / n**0.5
    assert (np.abs((x - after).mean(axis=0) - exact) < 4 * error).all()
    trace = sd.Map(loss, sd.TraceSAM(0.1), lr=1.0)
    moved = x - np.asarray(sd.trajectory(trace, np.tile(x, (n, 1)), n_steps=1, seed=3))[-1]
    assert (np.abs(moved.mean(axis=0) - h @ x) < 4 * moved.std(axis=0) / n**0.5).all()
    again = x - np.asarray(sd.trajectory(trace, np.tile(x, (5, 1)), n_steps=1, seed=3))[-1]
    np.testing.assert_array_equal(again, moved[:5])
    noisy = sd.Map(loss, sd.RSAM(0.1, sigma=0.5), lr=0.1, noise=sd.GaussianNoise(std=0.1))
    assert noisy.n_normals == 6


def test_blocks_of_a_network() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3), torch.nn.Linear(3, 1)).double()
    data = torch.randn(4, 2).double(), torch.randn(4, 1).double()
    net = sd.from_module(module, torch.nn.functional.mse_loss, data)
    x = net.x0 + 0.1
    moved = sd.Map(net, sd.SAMON(0.3), lr=0.1).perturbation(x)
    assert set(np.flatnonzero(moved)) == set(range(9, 15))
    np.testing.assert_allclose(np.linalg.norm(moved), 0.3)
    named = sd.Map(net, sd.SAMON(0.3, blocks=["1.weight", "1.bias"]), lr=0.1).perturbation(x)
    np.testing.assert_array_equal(moved, named)
    centred = sd.Map(net, sd.GCSAM(0.3), lr=0.1).perturbation(x)
    np.testing.assert_allclose(centred[:6].reshape(3, 2).sum(axis=1), 0, atol=1e-12)
    assert np.abs(centred[6:9]).max() > 0
    biases = sd.Map(net, sd.ASAM(0.3, largest=True), lr=0.1).perturbation(x)
    np.testing.assert_allclose(np.abs(biases[6:9]), 0.3)


NOT_HERE = [
    (lambda: sd.Map(LOSS, sd.FunctionalSAM(0.1), lr=0.1), "needs, the loss as an objective of outputs"),
    (lambda: sd.Map(LOSS, sd.SAMON(0.1), lr=0.1), "loss must have the block 'normalisation'"),
    (lambda: sd.Map(LOSS, sd.SAMON(0.1, blocks=[5]), lr=0.1), "coordinates below 2, got 5"),
    (lambda: sd.Map(LOSS, sd.ESAM(0.1), lr=0.1), "needs, the samples of a batch"),
    (
        lambda: sd.Map(problems.r6(), sd.ESAM(0.1), lr=0.1, noise=sd.GaussianNoise()),
        "noise must be sd.Minibatch",
    ),
    (lambda: sd.Flow(LOSS, sd.LookSAM(0.1)), "in a Flow, got .*counts its steps"),
    (lambda: sd.Flow(LOSS, sd.MSAM(0.1)), "along its own last move"),
    (lambda: sd.Flow(LOSS, sd.FriendlySAM(0.1)), "no direction at rest"),
    (lambda: sd.Flow(LOSS, sd.TraceSAM()), "draws random numbers"),
    (lambda: sd.Map(LOSS, sd.RSAM(0.1), lr=0.1)([0.0, 1.0]), "draws random numbers"),
    (lambda: sd.fixed_points(sd.Map(LOSS, sd.LookSAM(0.1), lr=0.1)), "counts its steps"),
    (lambda: sd.fixed_points(sd.Map(LOSS, sd.TraceSAM(), lr=0.1)), "draws random numbers"),
    (lambda: sd.linearize(sd.Map(LOSS, sd.AdaSAM(0.1), lr=0.1), [0.1, 0.2]), "largest second moment"),
    (
        lambda: sd.local_attraction(sd.Map(LOSS, sd.GSAM(0.1), lr=0.1), [0.1, 0.2]),
        r"must step along the gradient at x \+ e\(x\) for local_attraction",
    ),
    (
        lambda: sd.hallucinated_share(sd.Map(LOSS, sd.VaSSO(0.1), lr=0.1)),
        r"must step along the gradient at x \+ e\(x\) for hallucinated_share",
    ),
    (lambda: sd.PreconditionedSAM(0.1, [1.0, -1.0]), "constraint must hold positive numbers"),
    (lambda: sd.Map(LOSS, sd.PreconditionedSAM(0.1, [1.0] * 3), lr=0.1), "constraint must have 2 entries"),
    (lambda: sd.WSAM(0.1, gamma=1.0), r"gamma must be a number in \[0, 1\)"),
    (lambda: sd.FrobSAM(n_probes=1), "n_probes must be"),
    (lambda: sd.ESAM(0.1, beta=1.5), r"beta must be a number in \(0, 1\]"),
    (
        lambda: sd.Diffusion(problems.r6(), sd.VaSSO(0.1), lr=0.1, noise=sd.Minibatch(2)),
        "memory averages it over steps",
    ),
    (
        lambda: sd.Map(problems.r6(), sd.VaSSO(0.1), lr=0.1, noise=sd.Minibatch(2, micro_batch=1)),
        "micro_batch must be left out",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), NOT_HERE, ids=[message[:30] for _, message in NOT_HERE])
def test_what_is_refused_says_what_is_needed(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_diffusions_carry_noise_through_both_gradients() -> None:
    """WSAM's direction is (1 - a) g + a P: to first order its noise is (1 - a) of one and a of the other."""
    noise = sd.GaussianNoise(std=2.0)
    sde = sd.Diffusion(LOSS, sd.WSAM(0.2, gamma=0.8), lr=0.1, noise=noise)
    np.testing.assert_allclose(sde.covariance(X[0]), 0.1 * 4 * 16 * np.eye(2), rtol=1e-10)
    flow = sd.Flow(LOSS, sd.VaSSO(0.2))
    np.testing.assert_allclose(flow(X), sd.Flow(LOSS, sd.SAM(0.2))(X), rtol=1e-12)
    np.testing.assert_allclose(sd.Diffusion(LOSS, sd.VaSSO(0.2), 0.1, noise).drift(X), flow(X), rtol=1e-12)


def test_exit_times_and_basins_of_members_with_memory() -> None:
    """By the same keyed numbers a member that is SAM leaves when SAM does, and lands where SAM does."""
    well, noise = sd.landscapes.double_well(), sd.GaussianNoise(std=1.0)
    means = []
    for rule in (sd.SAM(0.2), sd.VaSSO(0.2, theta=1.0), sd.LookSAM(0.2, every=1)):
        system = sd.Map(well, rule, lr=0.1, noise=noise)
        times = sd.exit_times(system, [-1.0], sd.HalfSpace([1.0], 0.0), n_paths=20, t_max=3000, seed=2)
        means.append(np.sort(times.times))
    np.testing.assert_allclose(means[1], means[0])
    np.testing.assert_allclose(means[2], means[0])
    fractions = [
        sd.basins(sd.Map(well, rule, lr=0.1), resolution=40).labels for rule in (sd.GD(), sd.VaSSO(0.0))
    ]
    np.testing.assert_array_equal(*fractions)


def test_adaptive_bases_in_every_verb() -> None:
    """SAM on the base of AdamW: its moments are part of the state that is linearised, followed and left."""
    well = sd.landscapes.double_well()
    rule = sd.AdamWSAM(1.5, eps=0.1, decoupled_decay=0.0)
    system = sd.Map(well, rule, lr=0.01)
    found = [p for p in sd.fixed_points(system, n_starts=64) if p.kind == "hallucinated"]
    np.testing.assert_allclose(sorted(p.x[0] for p in found), [-0.5, 0.5], atol=1e-9)
    at = sd.linearize(system, [-0.5])
    # P = 0: x' = x - lr m/eps and m' = b1 m + (1 - b1) h x, beside which the second moment and 1 - b^t fade
    h = float(system.jacobian([-0.5])[1, 0]) / 0.1
    assert h == pytest.approx(well.hessian([1.0])[0, 0], rel=1e-9)
    own = np.linalg.eigvals([[1 - 0.1 * 0.1 * h, -0.1 * 0.9], [0.1 * h, 0.9]])
    np.testing.assert_allclose(
        np.sort_complex(at.eigenvalues), np.sort_complex([*own, 0.999, 0.999, 0.9]), atol=1e-9
    )
    assert at.stability == "attracting"
    orbit = np.asarray(sd.trajectory(system, [-0.52], n_steps=2000))
    assert orbit[-1, 0] == pytest.approx(-0.5, abs=1e-3)
    # with the usual eps the linear part is as steep as lr (1 - b1) h/eps, and holds at distances of eps alone
    steep = sd.linearize(sd.Map(well, sd.AdamWSAM(1.5, decoupled_decay=0.0), lr=0.01), [-0.5])
    assert steep.spectral_radius == pytest.approx(0.01 * 0.1 * 2 / 1e-8, rel=1e-4)
    noisy = sd.Map(well, sd.AdamWSAM(0.2, eps=0.1), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    times = sd.exit_times(noisy, [-1.0], sd.HalfSpace([1.0], 0.0), n_paths=20, t_max=5000, seed=2)
    assert np.isfinite(times.times).sum() > 5
    labels = [
        sd.basins(sd.Map(well, which, lr=0.05), resolution=20, n_starts=2).labels
        for which in (sd.AdamWSAM(0.0, eps=0.1, decoupled_decay=0.0), sd.GD())
    ]
    np.testing.assert_array_equal(*labels)


EVERY = [
    sd.GD(), sd.SAM(0.2), sd.USAM(0.2), sd.UnifiedSAM(0.2, 0.5), sd.DNSAM(0.2), sd.Extragradient(0.1),
    *DIFFERENTIABLE[6:], sd.FriendlySAM(0.2), sd.LookSAM(0.2),
    sd.AESAM(0.2), sd.AdaSAM(0.2), sd.LightSAM(0.2), sd.Sassha(0.2), sd.BSAM(0.2), sd.RSAM(0.2), sd.DetSAM(),
    sd.FrobSAM(), sd.TraceSAM(), sd.ESAM(0.2),
    sd.UniversalSAM(0.2, psi=torch.tanh, n_probes=2),
]  # fmt: skip


def test_every_rule_is_among_them() -> None:
    public = {name: getattr(sd, name) for name in sd.__all__}
    rules = {name for name, thing in public.items() if isinstance(thing, type) and issubclass(thing, sd.Rule)}
    assert rules - {type(rule).__name__ for rule in EVERY} == {"Rule"}


def loss_of_batches(rule: sd.Rule) -> tuple[sd.Landscape, np.ndarray]:
    """A loss with samples, and a start: where outputs are asked for, a network."""
    if "outputs" not in rule.needs:
        return problems.r6(), np.array([0.4, -0.8])
    net = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Tanh()).double()
    data = torch.linspace(-1, 1, 6).double()[:, None], torch.linspace(0, 1, 6).double()[:, None]
    return sd.from_module(net, torch.nn.functional.mse_loss, data), np.array([0.4, -0.8])


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: type(rule).__name__)
def test_every_member_in_every_view(rule: sd.Rule) -> None:
    """A step of a map with noise and on batches, and the drift of a diffusion or the reason for none."""
    rng = np.random.default_rng(5)
    loss, start = loss_of_batches(rule)
    noise, batches = sd.GaussianNoise(std=0.1, probe="independent"), sd.Minibatch(batch_size=2)
    if "samples" not in rule.needs:
        system = sd.Map(loss, rule, lr=0.01, noise=noise)
        state = torch.from_numpy(system.at_rest(start))
        normals = torch.from_numpy(rng.standard_normal(system.n_normals))
        after = system.advance(state, normals, **system.coefficients())
        assert after.shape == state.shape
        assert after.isfinite().all()
        assert not torch.equal(after, system.advance(state, -normals, **system.coefficients()))
    system = sd.Map(loss, rule, lr=0.01, noise=batches)
    if "outputs" in rule.needs:  # batches of a module are drawn by the module itself
        ends = np.asarray(sd.trajectory(system, np.tile(start, (2, 1)), n_steps=2, seed=3))
        assert np.isfinite(ends).all()
        assert np.abs(ends[-1, 0] - ends[-1, 1]).max() > 1e-8
        drift = sd.Diffusion(loss, rule, lr=0.01, noise=sd.GaussianNoise(std=0.1)).drift(start)
        np.testing.assert_allclose(drift, sd.Flow(loss, rule)(start))
        return
    names = tuple(system.coefficients())
    step = sampled_step(system, names, torch.from_numpy(sample_table(system)))
    own = rng.standard_normal(system.n_normals)
    values = [system.coefficients()[name] for name in names]
    inputs = np.concatenate([system.at_rest(start), [1.0, 4.0], own, values])
    after = step(torch.from_numpy(inputs))
    assert after.shape == (system.state_dim,)
    assert after.isfinite().all()
    assert not np.allclose(after[:2].numpy(), start, atol=1e-6)
    if rule.without_flow is None and "samples" in rule.needs:
        assert np.isfinite(sd.Flow(loss, rule)(start)).all()
        with pytest.raises(ValueError, match=r"noise must not be sd\.Minibatch in a Diffusion"):
            sd.Diffusion(loss, rule, lr=0.01, noise=batches)
    elif rule.without_flow is None:
        full = sd.GaussianNoise(std=0.1)
        drift = sd.Diffusion(loss, rule, lr=0.01, noise=full).drift(start)
        np.testing.assert_allclose(drift, sd.Flow(loss, rule)(start))
        assert np.isfinite(drift).all()
    else:
        with pytest.raises(ValueError, match="must have a limit for small learning rates in a Flow"):
            sd.Flow(loss, rule)
        with pytest.raises(ValueError, match="must have a limit for small learning rates in a Diffusion"):
            sd.Diffusion(loss, rule, lr=0.01, noise=noise)


def test_members_with_products_on_a_network() -> None:
    """Products of a module in double precision, with what the rule draws or keeps in it."""
    net = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Tanh()).double()
    data = torch.linspace(-1, 1, 6).double()[:, None], torch.linspace(0, 1, 6).double()[:, None]
    loss = sd.from_module(net, torch.nn.functional.mse_loss, data)
    for rule in (sd.Sassha(0.1), sd.EigenSAM(0.1), sd.XSAM(0.1)):
        path = np.asarray(sd.trajectory(sd.Map(loss, rule, lr=0.01), [0.4, -0.8], n_steps=3))
        assert np.isfinite(path).all()
        assert np.abs(path[-1] - path[0]).max() > 1e-4


def test_looksam_on_a_line_is_descent_between_its_steps() -> None:
    """Nothing of P is normal to g there, and rounding is no direction."""
    well = sd.landscapes.double_well()
    path = np.asarray(sd.trajectory(sd.Map(well, sd.LookSAM(0.3, every=4), lr=0.05), [0.3], n_steps=40))
    for t in range(40):
        rule = sd.SAM(0.3) if t % 4 == 0 else sd.GD()
        np.testing.assert_allclose(path[t + 1], sd.Map(well, rule, lr=0.05)(path[t]), rtol=1e-12)


@pytest.mark.parametrize("rule", [sd.AdamWSAM, sd.AdaSAM, sd.RMSPropSAM, sd.LightAdamSAM])
def test_weights_of_the_past_are_shares(rule: Any) -> None:
    """With 1 an average stands still and beyond it grows; without eps a gradient of 0 gives nan."""
    weight = "decay" if rule is sd.RMSPropSAM else "beta2"
    for wrong in (1.0, 1.5):
        with pytest.raises(ValueError, match=f"{weight} must be"):
            rule(0.1, **{weight: wrong})
    with pytest.raises(ValueError, match="eps must be"):
        rule(0.1, eps=0.0)


@pytest.mark.parametrize(
    ("rule", "name", "most"),
    [
        (sd.VaSSO, "theta", 1),
        (sd.FriendlySAM, "lam", 1),
        (sd.InfoSAM, "decay", 1),
        (sd.AESAM, "decay", 1),
        (sd.BSAM, "beta1", 1),
        (sd.BSAM, "beta2", 1),
        (sd.PreconditionedFunctionalSAM, "beta", 1),
        (sd.SAMPa, "lam", 1),
        (sd.LookbehindSAM, "alpha", 1),
        (sd.XSAM, "alpha", 2),
        (sd.Sassha, "beta1", 1 - 1e-12),
        (sd.Sassha, "beta2", 1 - 1e-12),
    ],
)
def test_weights_of_averages_have_a_largest_value(rule: Any, name: str, most: float) -> None:
    """Beyond 1 the weight of the other part is negative, and what was called an average grows."""
    rest = {"n_samples": 100} if rule is sd.BSAM else {}
    assert getattr(rule(0.1, **{name: most}, **rest), name) == most
    with pytest.raises(ValueError, match=f"{name} must be"):
        rule(0.1, **{name: 1.001 * most + 0.01}, **rest)


def test_the_leading_eigenvector_of_very_small_and_large_matrices() -> None:
    matrix = torch.tensor([[1.0, 2.0], [2.0, -1.0]], dtype=torch.float64)
    usual = leading_eigenvector(matrix)
    for scale in (1e-170, 1e170):
        torch.testing.assert_close(leading_eigenvector(scale * matrix), usual)
    assert abs(float(usual @ matrix @ usual) - 5**0.5) < 1e-12
