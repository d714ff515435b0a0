"""Splitting: exact committors and exit times of the chain, unbiasedness, ties, invariances, bad input."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import problems
import pytest
import torch
from problems import C4, C5, C25, ExitCase, diffusion

import samdyn as sd
from samdyn.escape import RareExitTime, RareProbability, rare_committor, rare_exit_time
from samdyn.escape.rare import multilevel_splitting as clones
from samdyn.escape.rare import native_stopping, stopping
from samdyn.trace.printed.compiling import compiler

WELL = sd.landscapes.double_well()
A, B = sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], 0.0)
LEFT = sd.HalfSpace([1.0], 0.0)
START = [-0.9]


def well(D: float) -> sd.Diffusion:
    return diffusion(WELL, sd.GD(), D)


def deviation(result: RareProbability | RareExitTime, exact: float) -> float:
    """Distance of an estimate from an exact value in standard errors."""
    return (result.mean - exact) / result.standard_error


def chain_committor(D: float, dt: float, bridge: bool, a: float = -1.0, b: float = 0.0) -> float:
    """Exact probability that the Euler-Maruyama chain in the double well reaches b before a from START.

    Nystrom's method for q = r + K q on (a, b): K is the density of a step that touches neither end, and r the
    probability of a step that touches b without having touched a (or that touches b on its way beyond a).
    """
    s = (2 * D * dt) ** 0.5
    unit, weight = np.polynomial.legendre.leggauss(16)
    nodes, weights = [], []
    for low, high in ((a - 9 * s, a), (a, b), (b, b + 9 * s)):
        edges = np.linspace(low, high, math.ceil((high - low) / (1.5 * s)) + 1)
        half = np.diff(edges)[:, None] / 2
        nodes.append((edges[:-1, None] + half * (1 + unit)).ravel())
        weights.append((half * weight).ravel())
    y, w = np.concatenate(nodes), np.concatenate(weights)
    inside = (y > a) & (y < b)

    def touch(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        if not bridge:
            return (after <= 0) * np.ones_like(before)
        return np.where(after <= 0, 1.0, np.exp(-2 * before * np.maximum(after, 0) / s**2))

    def row(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = x[:, None]
        density = np.exp(-(((y - x - (x - x**3) * dt) / s) ** 2) / 2) / (2 * np.pi) ** 0.5 / s * w
        to_a, to_b = touch(x - a, y - a), touch(b - x, b - y)
        hit = np.where(y <= a, to_b, (1 - to_a) * to_b)
        return (density * (1 - to_a) * (1 - to_b))[:, inside], (density * hit).sum(axis=1)

    kernel, direct = row(y[inside])
    q = np.linalg.solve(np.eye(len(direct)) - kernel, direct)
    first, own = row(np.array(START))
    return float(own[0] + first[0] @ q)


def exit_case(D: float, mean: float) -> ExitCase:
    return ExitCase(well(D), D, -1.0, LEFT, None, 0.0, mean)


# ---------------------------------------------------------------------- exact values


@pytest.mark.parametrize("D", C25)
def test_reference_committor_tends_to_the_continuous_one(D: float) -> None:
    coarse, fine = (chain_committor(D, dt, bridge=True) for dt in (0.02, 0.01))
    assert abs(fine / C25[D] - 1) < 0.013
    assert abs(fine / C25[D] - 1) < 0.6 * abs(coarse / C25[D] - 1)


@pytest.mark.slow
@pytest.mark.parametrize(("D", "dt", "n_clones"), [(0.02, 0.02, 50), (0.01, 0.05, 100)])
def test_committor(D: float, dt: float, n_clones: int) -> None:
    result = rare_committor(well(D), START, A, B, dt=dt, n_clones=n_clones, n_repeats=200, seed=1)
    assert abs(deviation(result, chain_committor(D, dt, bridge=True))) < 4
    # and the diffusion's own value, up to the chain's bias: 2 % and 5 %
    assert abs(result.mean - C25[D]) < 4 * result.standard_error + 0.051 * C25[D]
    assert result.relative_error < 0.07
    assert result.brute_force_steps > 100 * result.path_steps


@pytest.mark.slow
@pytest.mark.parametrize(("D", "mean"), [(0.03, C4["to_0"]), (0.02, C5["to_0"])])
def test_mean_exit_time(D: float, mean: float) -> None:
    origin = sd.Ball([-1.0], (D / 2) ** 0.5)
    result = rare_exit_time(well(D), [-1.0], LEFT, origin, dt=0.05, n_repeats=200, seed=1)
    exact = exit_case(D, mean).chain_mean(0.05, bridge=True)
    assert abs(deviation(result, exact)) < 4
    assert abs(result.mean - mean) < 4 * result.standard_error + 0.022 * mean
    assert result.relative_error < 0.04
    assert result.brute_force_steps > 30 * result.path_steps


def test_mean_exit_time_where_exits_are_not_rare() -> None:
    D = 0.1
    exact = exit_case(D, problems.C2["to_0"]).chain_mean(0.1, bridge=True)
    result = rare_exit_time(
        well(D), [-1.0], LEFT, sd.Ball([-1.0], 0.2), n_repeats=400, n_clones=20, dt=0.1, levels=20, seed=2
    )
    # loops are not quite independent here, and the last step counts whole
    assert abs(result.mean - exact) < 4 * result.standard_error + 0.02 * exact
    assert result.relative_error < 0.03


def test_surface_outside_the_region_is_a_plain_simulation() -> None:
    exact = exit_case(0.1, problems.C2["to_0"]).chain_mean(0.1, bridge=True, whole_steps=True)
    with pytest.warns(UserWarning, match="reaches out of region"):
        result = rare_exit_time(
            well(0.1), [-1.0], LEFT, sd.Ball([-1.0], 0.2), margin=20.0, n_loops=0, n_clones=20, dt=0.1, seed=3
        )
    assert (result.probability.estimates == 1).all()
    assert abs(deviation(result, exact)) < 4


# ---------------------------------------------------------------------- unbiasedness

# few clones, many ties, more kills than one: what a biased variant gets wrong by many standard errors
CHOICES: dict[str, dict[str, Any]] = {
    "one kill": {"n_clones": 5, "n_kill": 1, "levels": 200},
    "many kills": {"n_clones": 6, "n_kill": 4, "levels": 200},
    "ties": {"n_clones": 6, "n_kill": 1, "levels": 3},
    "one level": {"n_clones": 4, "n_kill": 2, "levels": 1},
    "no level": {"n_clones": 2, "levels": [5.0], "reaction_coordinate": lambda w: w[0]},
    "far from the committor": {
        "n_clones": 8, "levels": np.linspace(-1, 1, 30), "reaction_coordinate": lambda w: torch.sin(9 * w[0]),
    },
}  # fmt: skip


@pytest.mark.parametrize("correction", ["bridge", None])
@pytest.mark.parametrize("name", CHOICES)
def test_unbiased(name: str, correction: str | None) -> None:
    exact = chain_committor(0.15, 0.1, bridge=correction == "bridge")
    assert 0.03 < exact < 0.08
    result = rare_committor(
        well(0.15), START, A, B, dt=0.1, n_repeats=4000, correction=correction, seed=4, **CHOICES[name]
    )
    assert abs(deviation(result, exact)) < 4
    assert result.relative_error < 0.08


def test_variance_is_that_of_the_algorithm() -> None:
    n = 50
    result = rare_committor(well(0.1), START, A, B, dt=0.05, n_clones=n, n_kill=1, n_repeats=400, seed=9)
    variance = result.estimates.var(ddof=1) / result.mean**2
    # log(1/p)/n for the ideal coordinate in continuous time; the scatter of a variance is 7 %
    ideal = math.log(1 / result.mean) / n
    assert 0.8 * ideal < variance < 1.5 * ideal


def test_reactive_times_agree_with_unsplit_paths() -> None:
    def reactive(levels: Any, n_clones: int) -> tuple[float, float]:
        result = rare_exit_time(
            well(0.15), [-1.0], LEFT, sd.Ball([-1.0], 0.2), reaction_coordinate=lambda w: w[0],
            levels=levels, dt=0.1, n_repeats=400, n_clones=n_clones, n_loops=0, seed=10,
        )  # fmt: skip
        p = result.probability.estimates
        times = np.nan_to_num(result.time_reactive)
        mean = (p * times).sum() / p.sum()
        return mean, (p * (times - mean)).std() / p.mean() / len(p) ** 0.5

    (split, split_error), (plain, plain_error) = reactive(np.linspace(-0.7, 0, 40), 20), reactive([5.0], 200)
    assert abs(split - plain) < 4 * math.hypot(split_error, plain_error)
    assert plain_error < 0.03 * plain


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_map_agrees_with_direct_simulation(momentum: float) -> None:
    """Two dimensions, normalised SAM, with velocities that a branch has to inherit."""
    loss = sd.landscapes.coupled_double_well()
    system = sd.Map(loss, sd.SAM(0.1), lr=0.1, momentum=momentum, noise=sd.GaussianNoise(1.2 - momentum))
    a, b = sd.Ball([-1.0, 0.0], 0.25), sd.HalfSpace([-1.0, 0.0], 0.2)
    x0 = [-0.6, 0.1]
    result = rare_committor(system, x0, a, b, n_clones=10, n_repeats=400, levels=30, seed=5)
    direct = sd.exit_times(system, x0, ~a & ~b, n_paths=20_000, t_max=5000, seed=6)
    assert direct.exited.all()
    hits = b.contains(direct.exit_points)
    p, error = hits.mean(), hits.std() / len(hits) ** 0.5
    assert 0.01 < p < 0.2
    assert abs(result.mean - p) < 4 * math.hypot(error, result.standard_error)


def test_error_is_calibrated() -> None:
    exact = chain_committor(0.1, 0.1, bridge=True)
    big = rare_committor(well(0.1), START, A, B, dt=0.1, n_clones=20, levels=30, n_repeats=4000, seed=7)
    covered = 0
    for part in big.estimates.reshape(200, 20):
        low, high = RareProbability(part, *_rest(big)).confidence_interval(0.95)
        covered += low < exact < high
    assert 0.90 <= covered / 200 <= 0.99


def _rest(result: RareProbability) -> tuple[Any, ...]:
    names = [field.name for field in dataclasses.fields(result)][1:]
    return tuple(getattr(result, name) for name in names)


# ---------------------------------------------------------------------- invariances


def test_repeats_do_not_depend_on_what_runs_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"dt": 0.1, "n_clones": 10, "levels": 30, "seed": 8}
    many = rare_committor(well(0.1), START, A, B, n_repeats=6, **options)
    few = rare_committor(well(0.1), START, A, B, n_repeats=3, **options)
    np.testing.assert_array_equal(many.estimates[:3], few.estimates)
    exits = rare_exit_time(well(0.1), [-1.0], LEFT, sd.Ball([-1.0], 0.2), n_repeats=6, **options)
    monkeypatch.setattr(clones, "TABLE_BYTES", 1)
    batched = rare_committor(well(0.1), START, A, B, n_repeats=6, **options)
    np.testing.assert_array_equal(many.estimates, batched.estimates)
    assert batched.path_steps == many.path_steps
    one_by_one = rare_exit_time(well(0.1), [-1.0], LEFT, sd.Ball([-1.0], 0.2), n_repeats=6, **options)
    assert one_by_one.mean == exits.mean
    assert one_by_one.standard_error == exits.standard_error
    monkeypatch.setattr(stopping, "SWEEP", 1)
    swept = rare_committor(well(0.1), START, A, B, n_repeats=6, **options)
    np.testing.assert_array_equal(many.estimates, swept.estimates)


def test_seeds_differ() -> None:
    first, second = (
        rare_committor(well(0.1), START, A, B, n_repeats=4, n_clones=10, dt=0.1, seed=seed) for seed in (0, 1)
    )
    assert (first.estimates != second.estimates).any()


def test_default_coordinate_is_minus_the_distance() -> None:
    options: dict[str, Any] = {"dt": 0.1, "n_clones": 10, "n_repeats": 4}
    default = rare_committor(well(0.1), START, A, B, levels=40, **options)
    own = rare_committor(
        well(0.1),
        START,
        A,
        B,
        reaction_coordinate=lambda w: w[0],
        levels=np.linspace(-0.9, 0, 41)[:-1],
        **options,
    )
    np.testing.assert_allclose(default.levels, own.levels)
    np.testing.assert_allclose(default.estimates, own.estimates)


# ---------------------------------------------------------------------- results


def test_results() -> None:
    p = RareProbability(np.array([1e-9, 3e-9]), np.array([3, 4]), 10, 1, np.array([0.0]), 100, 5.0, 0, 0.1, 0)
    assert p.mean == pytest.approx(2e-9)
    assert p.standard_error == pytest.approx(1e-9)
    low, high = p.confidence_interval(0.5)  # Student's t with one degree of freedom has its quartile at 1
    assert (low, high) == pytest.approx((2e-9 * math.exp(-0.5), 2e-9 * math.exp(0.5)))
    assert p.confidence_interval(0.5, "normal") == pytest.approx((1e-9, 3e-9))
    assert p.brute_force_steps == pytest.approx(2e-9 / 1e-18 * 5)
    time = RareExitTime(
        p, np.array([4.0, 6.0]), np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.full(2, 7.0), 300
    )
    assert time.uncorrected == pytest.approx(5 + (1 / 2e-9 - 1) * 3 + 7)
    assert time.standard_error / time.uncorrected == pytest.approx(p.relative_error)
    # the bias of 1/p to first order is the variance of the mean of p over its square, a quarter here
    assert time.mean == pytest.approx(0.75 * time.uncorrected)
    assert "probability: 2e-09" in repr(p)
    assert "mean: 1.125e+09" in repr(time)


def test_nothing_reached_is_said() -> None:
    with pytest.warns(UserWarning, match="no clone reached"):
        none = rare_committor(well(1e-3), START, A, B, n_repeats=2, n_clones=2, levels=1, dt=0.1)
    assert none.mean == 0
    assert none.confidence_interval() == (0.0, 1.0)
    assert none.relative_error == math.inf
    with pytest.warns(UserWarning, match="no clone reached"):
        never = rare_exit_time(
            well(1e-3), [-1.0], LEFT, sd.Ball([-1.0], 0.02), n_repeats=2, n_clones=2, levels=1, dt=0.1
        )
    assert never.mean == never.standard_error == math.inf
    assert never.confidence_interval() == (0.0, math.inf)


def test_divergence_is_said() -> None:
    system = sd.Diffusion(
        sd.Landscape(lambda w: -(w[0] ** 6), dim=1), sd.GD(), lr=0.1, noise=sd.GaussianNoise(3.0)
    )
    with pytest.warns(UserWarning, match="diverged"):
        result = rare_committor(
            system, [0.0], sd.Ball([-1e9], 0.1), sd.Ball([1.5], 0.1), n_repeats=4, n_clones=10, levels=5
        )
    assert result.n_diverged > 0
    assert 0 < result.mean < 1


# ---------------------------------------------------------------------- bad input

NOISE = sd.GaussianNoise(1.0)
BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "system": ({"system": sd.Flow(WELL, sd.GD())}, TypeError, "system must be a Diffusion or a Map"),
    "no noise": ({"system": sd.Map(WELL, sd.GD(), lr=0.1)}, ValueError, "system must have noise"),
    "schedule": (
        {"system": sd.Diffusion(WELL, sd.GD(), lr=lambda step: 0.1, noise=NOISE)},
        ValueError,
        "constant coefficients",
    ),
    "map with dt": (
        {"system": sd.Map(WELL, sd.GD(), lr=0.1, noise=NOISE)},
        ValueError,
        "dt must not be given",
    ),
    "dt": ({"dt": 0.0}, ValueError, "dt must be"),
    "x0 shape": ({"x0": [[-0.9]]}, ValueError, "x0 must have shape"),
    "x0 nan": ({"x0": [math.nan]}, ValueError, "x0 must be finite"),
    "clones": ({"n_clones": 1}, ValueError, "n_clones must be"),
    "kill": ({"n_clones": 5, "n_kill": 5}, ValueError, "n_kill must be"),
    "repeats": ({"n_repeats": 1}, ValueError, "n_repeats must be"),
    "levels": ({"levels": 0}, ValueError, "levels must be"),
    "too many levels": ({"levels": 10**30}, ValueError, "levels must be an integer >= 1 and < 1000000"),
    "levels of levels": ({"levels": [[1, 2], [3]]}, TypeError, "levels must be .* sequence"),
    "infinite levels": ({"levels": [-1.0, math.inf]}, ValueError, "levels must be .* finite"),
    "levels decreasing": ({"levels": [0.0, -1.0]}, ValueError, "levels must be .* increasing"),
    "levels with a function": (
        {"reaction_coordinate": lambda w: w[0]},
        ValueError,
        "levels must be an array",
    ),
    "coordinate": ({"reaction_coordinate": 3.0}, TypeError, "reaction_coordinate must be a function"),
    "vector coordinate": (
        {"reaction_coordinate": lambda w: w, "levels": [0.0]},
        ValueError,
        "reaction_coordinate must .* scalar",
    ),
    "failing coordinate": (
        {"reaction_coordinate": lambda w: w[3], "levels": [0.0]},
        TypeError,
        "reaction_coordinate must",
    ),
    "correction": ({"correction": "shift"}, ValueError, "correction must be"),
    "seed": ({"seed": -1}, ValueError, "seed must be"),
    "t_max": ({"t_max": 0.0}, ValueError, "t_max must be"),
    "std of 0": ({"system": well(0.0)}, ValueError, "system must have noise"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    change, kind, message = BAD[name]
    good: dict[str, Any] = {"system": well(0.1), "dt": 0.1}
    with pytest.raises(kind, match=message):
        rare_committor(**{**good, "x0": START, "origin": A, "target": B, **change})
    with pytest.raises(kind, match=message):
        rare_exit_time(
            **{**good, "x0": [-0.9], "region": LEFT, "origin": sd.Ball([-1.0], 0.2), "n_loops": 0, **change}
        )


def test_bad_regions() -> None:
    system = well(0.1)
    with pytest.raises(TypeError, match="target must be a samdyn region"):
        rare_committor(system, START, A, 0.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x0 must lie outside origin"):
        rare_committor(system, [-1.0], A, B)
    with pytest.raises(ValueError, match="x0 must lie outside target"):
        rare_committor(system, [0.5], A, B)
    with pytest.raises(ValueError, match="must have dim 1"):
        rare_committor(system, START, sd.Ball([0, 0], 1), B)
    with pytest.raises(TypeError, match="origin must be a samdyn region"):
        rare_exit_time(system, [-1.0], LEFT, [-1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x0 must lie inside origin"):
        rare_exit_time(system, [-1.0], LEFT, sd.Ball([-0.5], 0.1))
    with pytest.raises(ValueError, match="x0 must lie inside region"):
        rare_exit_time(system, [0.5], LEFT, sd.Ball([0.5], 0.1))
    with pytest.raises(ValueError, match="margin must be"):
        rare_exit_time(system, [-1.0], LEFT, sd.Ball([-1.0], 0.1), margin=0.0)
    with pytest.raises(ValueError, match="method must be"):
        RareProbability(
            np.ones(2), np.ones(2, dtype=np.int64), 2, 1, np.zeros(1), 1, 1.0, 0, 0.1, 0
        ).confidence_interval(method="exact")


def test_path_that_reaches_neither_region() -> None:
    with pytest.raises(RuntimeError, match="t_max was reached"):
        rare_committor(well(1e-4), [-0.5], sd.Ball([3.0], 0.1), B, t_max=20.0, dt=0.1, n_repeats=2)


# ---------------------------------------------------------------------- the compiled sweep


@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
@pytest.mark.parametrize("correction", ["bridge", None])
@pytest.mark.parametrize("noise", ["plane", "batches"])
def test_compiled_sweeps_give_the_same_estimates(
    noise: str, correction: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if noise == "plane":
        loss = sd.landscapes.coupled_double_well()
        system: Any = sd.Map(loss, sd.SAM(0.1), lr=0.05, momentum=0.3, noise=sd.GaussianNoise(2.0))
        start, region, origin = [-1.0, -1.0], sd.HalfSpace([1.0, 0.0], 0.0), sd.Ball([-1.0, -1.0], 0.3)
    else:
        pulls = sd.FiniteSum(lambda w, s: (w[0] ** 2 - 1) ** 2 / 4 + s * w[0], [-0.9, 0.0, 0.9], dim=1)
        system = sd.Map(pulls, sd.SAM(0.1), lr=0.1, noise=sd.Minibatch(1))
        start, region, origin = [-1.0], sd.HalfSpace([1.0], 0.0), sd.Ball([-1.0], 0.1)
    found = []
    for limit in (10**9, 0):
        monkeypatch.setattr(native_stopping, "COMPILE_FROM", limit)
        found.append(
            rare_exit_time(
                system, start, region, origin, n_repeats=5, n_clones=10, seed=2, correction=correction
            )
        )
    np.testing.assert_allclose(found[1].probability.estimates, found[0].probability.estimates, rtol=1e-12)
    np.testing.assert_allclose(found[1].time_first, found[0].time_first, rtol=1e-12)
    assert found[0].path_steps == found[1].path_steps


@pytest.mark.parametrize(
    "origin", [sd.Ball([-1.0], 1.5), sd.Box([-3.0], [0.1]), sd.HalfSpace([1.0], 0.2)], ids=repr
)
def test_an_origin_that_reaches_out_of_the_region_is_refused(origin: Any) -> None:
    with pytest.raises(ValueError, match="origin must lie inside region"):
        rare_exit_time(well(0.02), [-1.0], LEFT, origin)


def test_a_surface_of_loops_beyond_the_region_is_said() -> None:
    with pytest.warns(UserWarning, match="reaches out of region, to"):
        wide = rare_exit_time(
            well(0.1), [-1.0], LEFT, sd.Ball([-1.0], 0.6), levels=5, n_clones=10, n_repeats=20, dt=0.05
        )
    assert math.isfinite(wide.mean)


def test_an_origin_without_end_is_allowed() -> None:
    near = sd.HalfSpace([1.0], -0.8)  # all that lies beyond the minimum
    result = rare_exit_time(well(0.1), [-1.0], LEFT, near, margin=0.2, n_clones=20, n_repeats=20, dt=0.05)
    assert result.mean > 0
