"""First exit times: exact means of the scheme, exact laws, the engine's invariances, labels, bad input."""

from __future__ import annotations

import importlib
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import problems
import pytest
import torch
from problems import CHAIN, EXIT_CASES, diffusion
from scipy import stats

import samdyn as sd
from samdyn.escape.exit.arguments import make_job
from samdyn.escape.kernel import exits as engine
from samdyn.escape.kernel import sweep_torch as torch_sweep
from samdyn.escape.kernel.sweep_choice import can_compile
from samdyn.numerics.random import standard_normal

# the package exports a function of the same name
module = importlib.import_module("samdyn.escape.exit.runs")

WELL = sd.landscapes.double_well()
LEFT = sd.HalfSpace([1.0], 0.0)


def deviation(exits: sd.escape.ExitTimes, exact: float) -> float:
    """Distance of the sample mean from an exact one in standard errors."""
    assert exits.exited.all()
    return (exits.mean - exact) / exits.standard_error


# ---------------------------------------------------------------------- the reference itself


@pytest.mark.parametrize(("name", "dt"), CHAIN)
def test_reference_chain_agrees_with_the_published_one(name: str, dt: float) -> None:
    case = {
        "DW": "C2 to 0",
        "OU": "C13 a=1",
        "saddle": "C16 D=0.01",
        "DW USAM": "C8 to 0",
        "DW SAM": "C11 to 0",
    }
    chain, bridge = CHAIN[name, dt]
    exact = EXIT_CASES[case[name]]
    assert exact.chain_mean(dt, bridge=False) == pytest.approx(chain, rel=1e-7)
    assert exact.chain_mean(dt, bridge=True, whole_steps=True) == pytest.approx(bridge, rel=1e-7)


@pytest.mark.parametrize("name", [name for name, case in EXIT_CASES.items() if case.D >= 0.01])
def test_reference_tends_to_the_continuous_mean(name: str) -> None:
    case = EXIT_CASES[name]
    coarse, fine = case.chain_mean(0.01, bridge=True), case.chain_mean(0.005, bridge=True)
    # first order in dt, so that Richardson's extrapolation leaves the second
    assert 2 * fine - coarse == pytest.approx(case.mean, rel=3e-3 if "C19" in name else 1e-3)
    assert abs(fine - case.mean) < 0.6 * abs(coarse - case.mean)


# ---------------------------------------------------------------------- means of the scheme

# case -> step and number of paths
SIZES = {
    "C2 to 0": (0.1, 4000), "C2 to 1": (0.1, 2000), "C8 to 0": (0.1, 4000), "C8 to 1": (0.1, 2000),
    "C11 to 0": (0.1, 4000), "C11 to 1": (0.1, 2000), "C11 from 0": (0.05, 8000), "C13 a=1": (0.05, 8000),
    "C16 D=1": (0.01, 20000), "C16 D=0.1": (0.02, 20000), "C16 D=0.01": (0.05, 10000),
    "C16 D=0.001": (0.05, 10000), "C16 D=0.0001": (0.05, 10000),
    "C18 rho=0.1": (0.05, 10000), "C18 rho=0.2": (0.05, 10000), "C18 rho=0.5": (0.05, 10000),
    "C19 rho=0.1": (0.05, 10000), "C19 rho=0.2": (0.05, 5000),
}  # fmt: skip


@pytest.mark.parametrize("correction", ["bridge", None])
@pytest.mark.parametrize("name", SIZES)
def test_mean_of_the_scheme(name: str, correction: str | None) -> None:
    case = EXIT_CASES[name]
    dt, n = SIZES[name]
    exact = case.chain_mean(dt, bridge=correction == "bridge")
    exits = sd.exit_times(
        case.system,
        [case.x0],
        case.region,
        n_paths=n,
        t_max=60 * exact,
        dt=dt,
        seed=11,
        correction=correction,
    )
    assert abs(deviation(exits, exact)) < 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["C2 to 0", "C8 to 0", "C11 to 0"])
def test_mean_at_a_short_step(name: str) -> None:
    case = EXIT_CASES[name]
    exits = sd.exit_times(case.system, [-1.0], LEFT, n_paths=4000, t_max=2000.0, dt=0.01, seed=3)
    assert abs(deviation(exits, case.chain_mean(0.01, bridge=True))) < 4
    # the bias of the bridge at this step is below 0.8 % for all three
    assert abs(exits.mean - case.mean) < 4 * exits.standard_error + 0.008 * case.mean


@pytest.mark.slow
def test_sam_holds_at_a_saddle() -> None:
    case = EXIT_CASES["C19 rho=0.3"]
    exits = sd.exit_times(case.system, [0.0], case.region, n_paths=2000, t_max=5000.0, dt=0.02, seed=4)
    assert abs(deviation(exits, case.chain_mean(0.02, bridge=True))) < 4
    # thirty times as long as under SGD; the bias at this step is 4.3 %
    assert abs(exits.mean - case.mean) < 4 * exits.standard_error + 0.045 * case.mean
    assert exits.confidence_interval(0.999)[0] > 20 * problems.C16[0.01]


def test_standard_deviation() -> None:
    case = EXIT_CASES["C16 D=0.01"]
    exits = sd.exit_times(case.system, [0.0], case.region, n_paths=10000, t_max=100.0, dt=0.02, seed=5)
    assert np.std(exits.times) == pytest.approx(problems.C17["std"], rel=0.05)


def test_the_correction_matters() -> None:
    case = EXIT_CASES["C13 a=1"]
    bridge, plain = (
        sd.exit_times(
            case.system, [0.0], case.region, n_paths=4000, t_max=100.0, dt=0.05, seed=6, correction=c
        )
        for c in ("bridge", None)
    )
    assert plain.mean - bridge.mean > 8 * math.hypot(plain.standard_error, bridge.standard_error)


@pytest.mark.parametrize("rule", [sd.GD(), sd.USAM(0.2), sd.SAM(0.2)], ids=repr)
def test_steps_of_the_map(rule: sd.Rule) -> None:
    flow = sd.Flow(WELL, rule)
    kinks = (-1.0, 0.0)
    exact = (
        problems.chain_mean(lambda x: flow(x[:, None])[:, 0], 0.2, -1.0, None, 0.0, 0.1, False, kinks) / 0.1
    )
    step = sd.Map(WELL, rule, lr=0.1, noise=sd.GaussianNoise(std=2.0))
    exits = sd.exit_times(step, [-1.0], LEFT, n_paths=8000, t_max=20000, seed=7)
    assert abs(deviation(exits, exact)) < 4
    assert (exits.times == np.round(exits.times)).all()
    assert exits.discrete
    assert exits.correction is None


def test_steps_of_the_map_at_unit_noise() -> None:
    step = sd.Map(WELL, sd.SAM(0.2), lr=0.1, noise=sd.GaussianNoise(std=1.0))
    exits = sd.exit_times(step, [-1.0], LEFT, n_paths=2000, t_max=60000, seed=8)
    assert abs(deviation(exits, problems.STEPS_TO_LEAVE["SAM_0.2"])) < 4


def test_steps_reference() -> None:
    for name, rule in {"GD": sd.GD(), "USAM_0.2": sd.USAM(0.2), "SAM_0.2": sd.SAM(0.2)}.items():
        drift = sd.Flow(WELL, rule)
        mean = problems.chain_mean(
            lambda x, drift=drift: drift(x[:, None])[:, 0], 0.05, -1.0, None, 0.0, 0.1, False, (-1.0, 0.0)
        )
        assert mean / 0.1 == pytest.approx(problems.STEPS_TO_LEAVE[name], rel=1e-7)


# ---------------------------------------------------------------------- laws, faces, shapes


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("dt", [0.05, 0.5])
def test_brownian_motion_with_drift_has_its_exact_law(dt: float, compile: bool) -> None:
    if compile and not can_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler")
    drift, spread, end = 0.7, 1.3, 1.0
    sde = diffusion(problems.constant_drift(drift), sd.GD(), spread**2 / 2)
    exits = sd.exit_times(
        sde, [0.0], sd.HalfSpace([1.0], end), n_paths=200_000, t_max=200.0, dt=dt, seed=9, device="cpu",
        compile=compile,
    )  # fmt: skip
    law = stats.invgauss((end / drift) / (end**2 / spread**2), scale=end**2 / spread**2)
    assert abs(deviation(exits, law.mean())) < 4
    assert stats.kstest(exits.times, law.cdf).pvalue > 1e-4


def test_an_oblique_face_in_two_dimensions() -> None:
    # only the motion along the normal counts: drift (1, 0) on the normal (3, 4)/5 is 0.6
    sde = diffusion(problems.constant_drift(1.0, 0.0), sd.GD(), 0.5)
    exits = sd.exit_times(
        sde, [0.0, 0.0], sd.HalfSpace([3.0, 4.0], 5.0), n_paths=20000, t_max=400.0, dt=0.2, seed=10
    )
    law = stats.invgauss((1 / 0.6) / 1, scale=1)
    assert stats.kstest(exits.times, law.cdf).pvalue > 1e-4
    np.testing.assert_allclose(exits.exit_points @ [0.6, 0.8], 1, atol=1e-12)
    # along the face the exit point given the time is normal: mean drift x time, variance time
    along = exits.exit_points @ [-0.8, 0.6]
    assert stats.kstest((along + 0.8 * exits.times) / np.sqrt(exits.times), "norm").pvalue > 1e-4


@pytest.mark.parametrize(
    ("rate", "D", "key"), [(-1.0, 0.1, "source_0.1"), (-1.0, 0.01, "source_0.01"), (1.0, 0.5, "sink_0.5")]
)
def test_disc(rate: float, D: float, key: str) -> None:
    sde = diffusion(sd.landscapes.quadratic([[rate, 0.0], [0.0, rate]]), sd.GD(), D)
    exits = sd.exit_times(
        sde, [0.0, 0.0], sd.Ball([0.0, 0.0], 1.0), n_paths=10000, t_max=100.0, dt=0.01, seed=12
    )
    # bias of the bridge: of order dt, at most half a step of drift and curvature
    assert abs(exits.mean - problems.C22[key]) < 4 * exits.standard_error + 0.01
    np.testing.assert_allclose(np.linalg.norm(exits.exit_points, axis=1), 1, atol=1e-9)
    angle = np.arctan2(*exits.exit_points.T)
    assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-4


@pytest.mark.parametrize("key", [(1, 1, 0.1), (1, 2, 0.1)])
def test_box_of_a_saddle(key: tuple[float, float, float]) -> None:
    a, b, D = key
    sde = diffusion(sd.landscapes.quadratic([[-a, 0.0], [0.0, b]]), sd.GD(), D)
    exits = sd.exit_times(
        sde, [0.0, 0.0], sd.Box([-1, -1], [1, 1]), n_paths=10000, t_max=100.0, dt=0.01, seed=13
    )
    assert abs(exits.mean - problems.C20[key]) < 4 * exits.standard_error + 0.01
    counts = list(exits.face_counts().values())
    assert sum(counts) == 10000
    for pair in (counts[:2], counts[2:]):  # symmetric
        assert abs(pair[0] - pair[1]) < 4 * math.sqrt(sum(pair))
    through = np.argmax(np.abs(exits.exit_points), axis=1)
    np.testing.assert_array_equal(through, exits.faces // 2)
    np.testing.assert_allclose(np.abs(exits.exit_points).max(axis=1), 1, atol=1e-9)


def test_two_dimensions_with_usam() -> None:
    sde = diffusion(sd.landscapes.quadratic([[-1.0, 0.0], [0.0, 1.0]]), sd.USAM(0.2), 0.1)
    exits = sd.exit_times(
        sde, [0.0, 0.0], sd.Box([-1, -1], [1, 1]), n_paths=10000, t_max=100.0, dt=0.01, seed=14
    )
    assert abs(exits.mean - problems.C21) < 4 * exits.standard_error + 0.012


def test_one_start_for_each_path() -> None:
    sde = diffusion(sd.landscapes.double_well(2), sd.SAM(0.1), 0.1)
    x0 = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
    together = sd.exit_times(sde, x0, sd.Ball([0.0, 0.0], 1.0), t_max=50.0, dt=0.02, seed=1)
    first = sd.exit_times(sde, x0[:20], sd.Ball([0.0, 0.0], 1.0), t_max=50.0, dt=0.02, seed=1)
    assert len(together) == 50
    np.testing.assert_array_equal(together.times[:20], first.times)


def test_curvature_noise_at_a_saddle() -> None:
    # |H| / B = 1/B along the unstable direction: the same chain as isotropic noise of that strength
    loss = problems.line_saddle()
    curvature = sd.Diffusion(loss, sd.GD(), lr=0.02, noise=sd.CurvatureNoise(batch_size=4.0))
    isotropic = sd.Diffusion(loss, sd.GD(), lr=0.02, noise=sd.GaussianNoise(std=0.5))
    a, b = (
        sd.exit_times(s, [0.0], sd.Ball([0.0], 1.0), n_paths=500, t_max=50.0, seed=2)
        for s in (curvature, isotropic)
    )
    np.testing.assert_allclose(a.times, b.times, rtol=1e-12)


# ---------------------------------------------------------------------- the same paths


def planar(rule: sd.Rule | None = None, noise: sd.GaussianNoise | None = None) -> tuple[sd.Diffusion, Any]:
    sde = sd.Diffusion(
        sd.landscapes.double_well(2), rule or sd.SAM(0.2), lr=0.05, noise=noise or sd.GaussianNoise(std=3.0)
    )
    return sde, sd.Ball([-1.0, 0.0], 0.9)


def assert_same(a: sd.escape.ExitTimes, b: sd.escape.ExitTimes) -> None:
    for name in ("times", "exited", "exit_points", "diverged", "faces", "watched"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("correction", ["bridge", None])
def test_a_path_does_not_depend_on_how_many_there_are(correction: str | None) -> None:
    sde, region = planar()
    few, many = (
        sd.exit_times(sde, [-1.0, 0.0], region, n_paths=n, t_max=20.0, seed=5, correction=correction)
        for n in (200, 400)
    )
    for name in ("times", "exited", "exit_points", "faces", "watched"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:200])


def test_the_seed_changes_the_paths() -> None:
    sde, region = planar()
    one, same, other = (
        sd.exit_times(sde, [-1.0, 0.0], region, n_paths=100, t_max=20.0, seed=s) for s in (1, 1, 2)
    )
    assert_same(one, same)
    assert not np.isin(other.times, one.times).any()


@pytest.mark.parametrize(("tile", "sweep"), [(7, 16), (1, 3), (64, 1), (1 << 14, 1000)])
def test_tiles_and_sweeps_change_nothing(tile: int, sweep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sde, region = planar()
    run = partial(sd.exit_times, sde, [-1.0, 0.0], region, n_paths=60, t_max=3.0, seed=6)
    whole = run()
    assert 0 < whole.n_censored < 60
    monkeypatch.setattr(module, "first_exits", partial(engine.first_exits, tile=tile))
    monkeypatch.setattr(engine, "SWEEP", sweep)
    assert_same(run(), whole)


def test_small_replay_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sde, region = planar()
    run = partial(sd.exit_times, sde, [-1.0, 0.0], region, n_paths=60, t_max=3.0, seed=6)
    whole = run()
    monkeypatch.setattr(engine, "REPLAY", 5)
    assert_same(run(), whole)


def test_the_number_of_the_first_path(monkeypatch: pytest.MonkeyPatch) -> None:
    sde, region = planar()
    whole = sd.exit_times(sde, [-1.0, 0.0], region, n_paths=60, t_max=3.0, seed=6)
    monkeypatch.setattr(module, "first_exits", partial(engine.first_exits, first_row=40))
    tail = sd.exit_times(sde, [-1.0, 0.0], region, n_paths=20, t_max=3.0, seed=6)
    np.testing.assert_array_equal(tail.times, whole.times[40:])
    np.testing.assert_array_equal(tail.exit_points, whole.exit_points[40:])


SADDLE = sd.landscapes.saddle(1.0, 1.0)
NOISES = [sd.GaussianNoise(0.5, probe=p) for p in ("full", "same", "independent")]


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("noise", NOISES, ids=lambda n: n.probe)
def test_exits_of_a_map_are_those_of_its_trajectories(noise: sd.GaussianNoise, momentum: float) -> None:
    step = sd.Map(SADDLE, sd.SAM(0.1), lr=0.1, momentum=momentum, noise=noise)
    region = sd.Ball([0.0, 0.0], 0.5)
    paths = sd.trajectory(step, np.zeros((40, 2)), n_steps=200, seed=3)
    exits = sd.exit_times(step, [0.0, 0.0], region, n_paths=40, t_max=200, seed=3)
    outside = ~region.contains(paths)
    assert exits.exited.sum() > 20
    np.testing.assert_array_equal(exits.exited, outside.any(axis=0))
    first = outside.argmax(axis=0)[exits.exited]
    np.testing.assert_array_equal(exits.times[exits.exited], first)
    at = paths[first, np.flatnonzero(exits.exited)]
    np.testing.assert_allclose(exits.exit_points[exits.exited], at, rtol=1e-12)


def test_exits_of_a_diffusion_chain_are_those_of_its_trajectories() -> None:
    sde, region = planar()
    paths = sd.trajectory(sde, np.tile([-1.0, 0.0], (40, 1)), t_max=10.0, dt=0.05, seed=4)
    exits = sd.exit_times(sde, [-1.0, 0.0], region, n_paths=40, t_max=10.0, dt=0.05, seed=4, correction=None)
    outside = ~region.contains(paths)
    np.testing.assert_array_equal(exits.exited, outside.any(axis=0))
    first = outside.argmax(axis=0)[exits.exited]
    np.testing.assert_allclose(exits.times[exits.exited], first * 0.05, rtol=1e-12)


def test_the_bridge_never_leaves_later_than_the_chain() -> None:
    sde, region = planar()
    run = partial(sd.exit_times, sde, [-1.0, 0.0], region, n_paths=300, t_max=20.0, seed=8)
    bridge, plain = run(), run(correction=None)
    both = bridge.exited & plain.exited
    assert (plain.exited <= bridge.exited).all()
    assert (bridge.times[both] <= plain.times[both]).all()
    assert (bridge.times[both] < plain.times[both] - 0.05).any()


def test_momentum_by_hand() -> None:
    lr, momentum, std, n = 0.1, 0.7, 0.6, 30
    step = sd.Map(problems.line_saddle(), sd.USAM(0.3), lr=lr, momentum=momentum, noise=sd.GaussianNoise(std))
    exits = sd.exit_times(step, [0.0], sd.Ball([0.0], 1.0), n_paths=n, t_max=500, seed=21)
    z = standard_normal(21, np.arange(n), np.arange(500)[:, None], 1)[..., 0]
    x, v, left = np.zeros(n), np.zeros(n), np.zeros(n)
    for k in range(500):
        v = momentum * v - (x + 0.3 * -x) + std * z[k]
        x = x - lr * v
        left[(left == 0) & (np.abs(x) >= 1)] = k + 1
    np.testing.assert_array_equal(exits.times, left)


def test_schedules_are_followed() -> None:
    rho, lr = sd.schedules.Delayed(0.5, 30), sd.schedules.PowerDecay(0.2, 0.25)
    step = sd.Map(SADDLE, sd.SAM(rho), lr=lr, noise=sd.GaussianNoise(0.5))
    region = sd.Ball([0.0, 0.0], 0.7)
    paths = sd.trajectory(step, np.zeros((30, 2)), n_steps=150, seed=3)
    exits = sd.exit_times(step, [0.0, 0.0], region, n_paths=30, t_max=150, seed=3)
    first = (~region.contains(paths)).argmax(axis=0)
    np.testing.assert_array_equal(exits.times[exits.exited], first[exits.exited])


def test_a_delayed_radius_leaves_the_first_steps_alone() -> None:
    noise = sd.GaussianNoise(2.0)
    plain = sd.Diffusion(WELL, sd.GD(), lr=0.05, noise=noise)
    delayed = sd.Diffusion(WELL, sd.USAM(sd.schedules.Delayed(2.0, 200)), lr=0.05, noise=noise)
    a, b = (
        sd.exit_times(s, [-1.0], LEFT, n_paths=400, t_max=100.0, dt=0.05, seed=9) for s in (plain, delayed)
    )
    early = a.times < 10.0
    assert 20 < early.sum() < 380
    np.testing.assert_array_equal(a.times[early], b.times[early])
    assert (a.times[~early] != b.times[~early]).any()


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="no C++ compiler")
@pytest.mark.parametrize("correction", ["bridge", None])
def test_compiled_and_eager_paths_are_the_same(correction: str | None) -> None:
    sde, region = planar()
    run = partial(
        sd.exit_times, sde, [-1.0, 0.0], region, n_paths=300, t_max=10.0, seed=5, correction=correction
    )
    eager, compiled = run(compile=False, device="cpu"), run(compile=True, precision="double", device="cpu")
    np.testing.assert_array_equal(eager.exited, compiled.exited)
    np.testing.assert_array_equal(eager.faces, compiled.faces)
    np.testing.assert_allclose(eager.times, compiled.times, rtol=1e-7)
    np.testing.assert_allclose(eager.exit_points, compiled.exit_points, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(torch.device("cpu")), reason="no C++ compiler")
def test_many_compiled_kernels_in_one_process() -> None:
    region = sd.Ball([0.0], 1.0)
    for k in range(12):  # noiseless maps, whose kernels compile quickly
        step = sd.Map(sd.landscapes.quadratic([[-1.0 - k]]), sd.GD(), lr=0.1)
        exits = sd.exit_times(step, [0.5], region, n_paths=2 + k, t_max=20, compile=True, device="cpu")
        # 0.5 (1 + 0.1 (1 + k))^t reaches 1
        assert (exits.times == math.ceil(math.log(2) / math.log(1.1 + 0.1 * k))).all()


@pytest.mark.parametrize("name", ["C16 D=0.01", "C19 rho=0.1", "C2 to 0"])
def test_single_precision_has_the_same_statistics(name: str) -> None:
    case = EXIT_CASES[name]
    dt, n = SIZES[name]
    exits = sd.exit_times(
        case.system,
        [case.x0],
        case.region,
        n_paths=n,
        t_max=60 * case.mean,
        dt=dt,
        seed=15,
        precision="single",
    )
    assert abs(deviation(exits, case.chain_mean(dt, bridge=True))) < 4


def test_single_precision_paths_stay_close() -> None:
    case = EXIT_CASES["C16 D=0.1"]
    run = partial(sd.exit_times, case.system, [0.0], case.region, n_paths=500, t_max=50.0, dt=0.02, seed=1)
    a, b = run(precision="single"), run(precision="double")
    assert np.mean(np.abs(a.times - b.times) < 1e-3) > 0.98


@pytest.mark.gpu
def test_gpu_paths_are_the_same() -> None:
    sde, region = planar()
    run = partial(sd.exit_times, sde, [-1.0, 0.0], region, n_paths=300, t_max=10.0, seed=5, compile=False)
    cpu, gpu = run(device="cpu", precision="double"), run(device="cuda", precision="double")
    np.testing.assert_array_equal(cpu.exited, gpu.exited)
    np.testing.assert_allclose(cpu.times, gpu.times, rtol=1e-7)


# ---------------------------------------------------------------------- censoring and labels


@pytest.mark.parametrize("t_max", [3.0, 3.02, 4.99])
def test_censoring(t_max: float) -> None:
    sde, region = planar()
    # one engine for both: compiled paths are those of torch to rounding, and these are compared bit by bit
    run = partial(sd.exit_times, sde, [-1.0, 0.0], region, n_paths=200, seed=5, compile=False)
    short, long = run(t_max=t_max), run(t_max=1000.0)
    assert long.exited.all()
    assert t_max <= short.t_max < t_max + sde.lr
    np.testing.assert_array_equal(short.exited, long.times <= short.t_max)
    np.testing.assert_array_equal(short.times[short.exited], long.times[short.exited])
    assert np.isnan(short.times[~short.exited]).all()
    assert np.isnan(short.exit_points[~short.exited]).all()
    assert (short.watched[~short.exited] == short.t_max).all()
    assert (short.faces[~short.exited] == -1).all()
    assert short.n_exited + short.n_censored == 200


def test_a_map_that_leaves_in_the_last_step_counts() -> None:
    step = sd.Map(problems.constant_drift(1.0), sd.GD(), lr=0.25)
    region = sd.HalfSpace([1.0], 1.0)
    leaves = sd.exit_times(step, [0.0], region, n_paths=2, t_max=4)
    with pytest.warns(UserWarning, match="t_max"):
        stays = sd.exit_times(step, [0.0], region, n_paths=2, t_max=3)
    assert leaves.times.tolist() == [4, 4]
    assert stays.n_censored == 2


@pytest.mark.parametrize("correction", ["bridge", None])
def test_ctrl_c_returns_what_is_done(correction: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    sde, region = planar()
    run = partial(
        sd.exit_times, sde, [-1.0, 0.0], region, n_paths=200, t_max=50.0, seed=5, correction=correction
    )
    whole = run()
    calls = []

    def stop(step: int, inside: int) -> None:
        calls.append((step, inside))
        if len(calls) == 2:
            raise KeyboardInterrupt

    def interrupted(*arguments: Any, progress: Any = None, **options: Any) -> Any:
        return engine.first_exits(*arguments, progress=stop, **options)

    monkeypatch.setattr(module, "first_exits", interrupted)
    part = run()
    steps, inside = calls[-1]
    assert part.t_max == pytest.approx(steps * 0.05)
    assert part.n_censored == inside > 0
    np.testing.assert_array_equal(part.exited, whole.times <= part.t_max)
    np.testing.assert_array_equal(part.times[part.exited], whole.times[part.exited])


@pytest.mark.parametrize(("stop_at", "steps"), [(7, 0), (25, 8)])
def test_ctrl_c_within_a_sweep(stop_at: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sde, region = planar()
    run = partial(sd.exit_times, sde, [-1.0, 0.0], region, n_paths=200, t_max=50.0, seed=5, device="cpu")
    whole = run()
    original, count = torch_sweep.advance_block, 0

    def fragile(*inputs: Any) -> Any:
        nonlocal count
        count += 1
        if count == stop_at:  # sweeps of two blocks, and ten tiles: the first sweep has twenty calls
            raise KeyboardInterrupt
        return original(*inputs)

    monkeypatch.setattr(torch_sweep, "advance_block", fragile)
    monkeypatch.setattr(engine, "SWEEP", 2)
    monkeypatch.setattr(module, "first_exits", partial(engine.first_exits, tile=20))
    part = run()
    assert count == stop_at
    assert part.t_max == pytest.approx(steps * 0.05)
    np.testing.assert_array_equal(part.exited, whole.times <= part.t_max)
    np.testing.assert_array_equal(part.times[part.exited], whole.times[part.exited])
    assert (part.watched[~part.exited] == part.t_max).all()


def test_a_path_at_infinity_has_diverged() -> None:
    loss = sd.Landscape(lambda w: -(w[0] ** 4) / 4, dim=1)
    step = sd.Map(loss, sd.GD(), lr=0.1)
    # to the left there is no face to leave through
    exits = sd.exit_times(step, np.array([[-4.0], [-0.1]]), sd.HalfSpace([1.0], 5.0), t_max=100)
    assert exits.diverged.tolist() == [True, False]
    assert not exits.exited.any()
    assert exits.n_diverged == exits.n_censored == 1
    assert exits.watched[0] < 20
    assert np.isnan(exits.times[0])


def test_a_path_that_becomes_nan_has_diverged() -> None:
    loss = sd.Landscape(lambda w: w[0] ** 4 / 4, dim=1)
    step = sd.Map(loss, sd.GD(), lr=1.0)  # overshoots from side to side until inf - inf
    plane = sd.Region(lambda w: -torch.exp(-(w[0] ** 2)) - 1.0, dim=1)
    exits = sd.exit_times(step, np.array([[4.0], [0.5]]), plane, t_max=50)
    assert exits.diverged.tolist() == [True, False]
    assert exits.faces.tolist() == [-1, -1]
    assert "diverged" in repr(exits)


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    sde, region = planar()
    sd.exit_times(sde, [-1.0, 0.0], region, n_paths=10, t_max=5.0, progress=True)
    assert "exit times" in capsys.readouterr().err
    sd.exit_times(sde, [-1.0, 0.0], region, n_paths=10, t_max=5.0)
    assert capsys.readouterr().err == ""


def test_a_loss_that_cannot_be_traced_gives_the_same_paths() -> None:
    def through_solve(w: torch.Tensor) -> torch.Tensor:
        return w @ torch.linalg.solve(torch.eye(2, dtype=w.dtype) * 2, w)

    noise = sd.GaussianNoise(1.0)
    plain = sd.Diffusion(sd.landscapes.quadratic([[1.0, 0.0], [0.0, 1.0]]), sd.SAM(0.1), lr=0.05, noise=noise)
    opaque = sd.Diffusion(sd.Landscape(through_solve, dim=2), sd.SAM(0.1), lr=0.05, noise=noise)
    a, b = (
        sd.exit_times(s, [0.1, 0.0], sd.Ball([0.0, 0.0], 0.4), n_paths=50, t_max=20.0, seed=3)
        for s in (plain, opaque)
    )
    np.testing.assert_allclose(a.times, b.times, rtol=1e-9)


# ---------------------------------------------------------------------- bad input

BALL = sd.Ball([0.0, 0.0], 1.0)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"system": sd.Flow(SADDLE, sd.GD())}, TypeError, "system must be a Diffusion or a Map, got Flow"),
        ({"system": SADDLE}, TypeError, "system must be a Diffusion or a Map, got Landscape"),
        ({"compile": "no"}, ValueError, "compile must be True, False or 'auto', got 'no'"),
        ({"compile": 1.0}, ValueError, "compile must be True, False or 'auto', got 1.0"),
        ({"compile": np.ones(2)}, ValueError, "compile must be True, False or 'auto', got array"),
        ({"progress": np.ones(2)}, TypeError, "progress must be True or False, got array"),
        ({"progress": "yes"}, TypeError, "progress must be True or False, got 'yes'"),
        ({"t_max": 1e12}, ValueError, r"t_max must be at most 2\^34 steps of dt = 0.01, got t_max = 1e\+12"),
        ({"x0": [0.0]}, ValueError, r"x0 must have shape \(..., 2\), got shape \(1,\)"),
        ({"x0": 0.0}, ValueError, r"x0 must have shape \(..., 2\), got shape \(\)"),
        (
            {"x0": np.zeros((2, 2, 2))},
            ValueError,
            r"x0 must have shape \(2,\) or \(n, 2\), got shape \(2, 2, 2\)",
        ),
        ({"x0": np.zeros((0, 2)), "n_paths": None}, ValueError, "x0 must hold at least one start, got none"),
        ({"x0": [math.nan, 0.0]}, ValueError, "x0 must be finite, got"),
        ({"x0": [math.inf, 0.0]}, ValueError, "x0 must be finite, got"),
        ({"x0": "origin"}, TypeError, "x0 must be an array of points"),
        (
            {"x0": [2.0, 0.0]},
            ValueError,
            r"x0 must lie inside the region, got \[2. 0.\] at signed distance 1 of Ball",
        ),
        ({"x0": [1.0, 0.0]}, ValueError, "x0 must lie inside the region"),
        (
            {"x0": np.array([[0.0, 0.0], [0.0, 3.0]]), "n_paths": None},
            ValueError,
            r"x0 must lie .* got \[0. 3.\]",
        ),
        ({"n_paths": 0}, ValueError, "n_paths must be an integer >= 1, got 0"),
        ({"n_paths": -5}, ValueError, "n_paths must be an integer >= 1, got -5"),
        ({"n_paths": 2.5}, ValueError, "n_paths must be an integer >= 1, got 2.5"),
        ({"n_paths": math.inf}, ValueError, "n_paths must be an integer >= 1, got inf"),
        ({"n_paths": math.nan}, ValueError, "n_paths must be an integer >= 1, got nan"),
        ({"n_paths": 10**30}, ValueError, r"n_paths must be below 2\^40, got 1000"),
        ({"n_paths": "many"}, TypeError, "n_paths must be an integer >= 1, got 'many'"),
        (
            {"x0": np.zeros((3, 2)), "n_paths": 4},
            ValueError,
            r"n_paths must equal the number of starts .*\(3\), got 4",
        ),
        ({"t_max": 0.0}, ValueError, "t_max must be a finite number > 0, got 0.0"),
        ({"t_max": -1.0}, ValueError, "t_max must be a finite number > 0, got -1.0"),
        ({"t_max": math.inf}, ValueError, "t_max must be a finite number > 0, got inf"),
        ({"t_max": None}, TypeError, "t_max must be a finite number > 0, got None"),
        ({"dt": 0.0}, ValueError, "dt must be a finite number > 0, got 0.0"),
        ({"dt": math.nan}, ValueError, "dt must be a finite number > 0, got nan"),
        ({"dt": 20.0}, ValueError, "dt must be at most t_max, got dt=20.0 and t_max=10.0"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"seed": 1 << 64}, ValueError, "seed must be"),
        ({"seed": "a"}, TypeError, "seed must be"),
        ({"correction": "shift"}, ValueError, "correction must be 'bridge' or None, got 'shift'"),
        ({"correction": np.ones(2)}, ValueError, "correction must be 'bridge' or None, got array"),
        ({"device": "tpu"}, ValueError, "device must be 'cpu' or 'cuda', got 'tpu'"),
        ({"device": 10**30}, ValueError, "device must be 'cpu' or 'cuda', got 1000"),
        ({"device": "cuda:99"}, ValueError, "device must be present, got 'cuda:99'"),
        ({"precision": "half"}, ValueError, "precision must be 'single' or 'double', got 'half'"),
        ({"precision": ["single"]}, ValueError, r"precision must be 'single' or 'double', got \['single'\]"),
        ({"region": None}, TypeError, "region must be a samdyn region .* got None"),
        ({"region": [(-1, 1), (-1, 1)]}, TypeError, "region must be a samdyn region"),
        ({"region": sd.Ball([0.0], 1.0)}, ValueError, "region must have dim 2, got Ball"),
    ],
)
def test_bad_input(changes: dict[str, Any], error: type[Exception], match: str) -> None:
    noise = sd.GaussianNoise(1.0)
    good: dict[str, Any] = {
        "system": sd.Diffusion(SADDLE, sd.SAM(0.1), lr=0.01, noise=noise),
        "x0": [0.0, 0.0],
        "region": BALL,
        "n_paths": 10,
        "t_max": 10.0,
    }
    arguments = {**good, **changes}
    with pytest.raises(error, match=match):
        sd.exit_times(arguments.pop("system"), arguments.pop("x0"), arguments.pop("region"), **arguments)


def test_bad_input_of_a_map() -> None:
    step = sd.Map(SADDLE, sd.GD(), lr=0.1, noise=sd.GaussianNoise(1.0))
    with pytest.raises(ValueError, match=r"dt must not be given for a Map, whose time is its step, got 0.1"):
        sd.exit_times(step, [0.0, 0.0], BALL, t_max=10, dt=0.1)
    with pytest.raises(ValueError, match=r"dt must be at most t_max, got dt=1.0 and t_max=0.5"):
        sd.exit_times(step, [0.0, 0.0], BALL, t_max=0.5)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: sd.Ball([0.0, 0.0], -1.0), ValueError, "radius must be a finite number > 0, got -1.0"),
        (lambda: sd.Box([1.0, 0.0], [0.0, 1.0]), ValueError, "lower must be < upper"),
        (lambda: sd.Ball([0.0], 1.0) & sd.Ball([5.0], 1.0), ValueError, "region must not be empty"),
        (
            lambda: sd.HalfSpace([1.0], 0.0) & sd.HalfSpace([-1.0], -1.0),
            ValueError,
            "region must not be empty",
        ),
    ],
)
def test_empty_regions(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_compile_of_a_loss_that_cannot_be_traced() -> None:
    loss = sd.Landscape(lambda w: w @ torch.linalg.solve(torch.eye(2, dtype=w.dtype), w), dim=2)
    sde = sd.Diffusion(loss, sd.GD(), lr=0.1, noise=sd.GaussianNoise(1.0))
    with pytest.raises(ValueError, match="compile must be False"):
        sd.exit_times(sde, [0.0, 0.0], BALL, t_max=1.0, compile=True)


# ---------------------------------------------------------------------- plain maps, lost losses, precision


def test_a_plain_map() -> None:
    doubling = sd.Map.from_function(lambda w: 2 * w, 2)
    exits = sd.exit_times(doubling, [[0.1, 0.0], [0.0, 0.3], [0.0, 0.0]], BALL, t_max=50)
    np.testing.assert_array_equal(exits.times, [4, 2, math.nan])
    assert len(sd.exit_times(doubling, [0.1, 0.0], BALL, t_max=50)) == 1  # without noise all paths are one
    moving = sd.Map.from_function(lambda w, a: a * w, 2, parameters={"a": lambda step: 2.0})
    with pytest.raises(TypeError, match="system must have parameters that are numbers, got Map"):
        sd.exit_times(moving, [0.1, 0.0], BALL, t_max=50)


def test_a_schedule_that_starts_at_zero() -> None:
    sde = sd.Diffusion(SADDLE, sd.GD(), lr=sd.schedules.Delayed(0.1, 5), noise=sd.GaussianNoise(1.0))
    for dt in (None, 0.1):
        with pytest.raises(ValueError, match=r"system must have lr\(0\) > 0, .* got 0 from Delayed"):
            sd.exit_times(sde, [0.0, 0.0], BALL, t_max=10.0, dt=dt)


def test_a_flow_is_told_what_to_do() -> None:
    with pytest.raises(TypeError, match="which has no step: use sd"):
        sd.exit_times(sd.Flow(SADDLE, sd.GD()), [0.0, 0.0], BALL, t_max=10.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", ["diffusion", "map"])
def test_a_loss_without_values(kind: str, value: float) -> None:
    loss = sd.Landscape(lambda w: value * w @ w, dim=2)
    noise = sd.GaussianNoise(1.0)
    system: Any = sd.Map(loss, sd.GD(), lr=0.1, noise=noise)
    if kind == "diffusion":
        system = sd.Diffusion(loss, sd.GD(), lr=0.1, noise=noise)
    with pytest.raises(ValueError, match="system must have a finite step at x0, got one that is not finite"):
        sd.exit_times(system, [0.1, 0.0], BALL, n_paths=10, t_max=10.0)


def test_very_many_steps_are_announced() -> None:
    sde = sd.Diffusion(SADDLE, sd.SAM(0.1), lr=0.01, noise=sd.GaussianNoise(20.0))
    with pytest.warns(UserWarning, match=r"t_max = 2e\+07 is 2e\+09 steps of dt = 0.01 a path") as caught:
        exits = sd.exit_times(sde, [0.0, 0.0], BALL, n_paths=10, t_max=2e7, compile=False)
    assert exits.exited.all()
    assert [Path(w.filename).name for w in caught] == ["test_times.py"]


@pytest.mark.parametrize(
    ("center", "radius", "std", "precision"),
    [
        (0.0, 0.5, 2.0, "single"),
        (1.0, 0.5, 2.0, "single"),
        (1e5, 0.5, 2.0, "double"),  # numbers are 0.008 apart there, a step is 0.02
        (1.0, 1e-4, 2.0, "double"),  # a region of less than 2^14 spacings
        (1.0, 0.5, 1e-4, "double"),  # steps of 1e-6
        (1.0, 0.5, 0.0, "double"),
    ],
)
def test_single_precision_only_where_it_is_fine(
    center: float, radius: float, std: float, precision: str
) -> None:
    loss = sd.Landscape(lambda w: w @ w, dim=2)
    sde = sd.Diffusion(loss, sd.GD(), lr=0.01, noise=sd.GaussianNoise(std))
    for n_paths, expected in ((10**8, precision), (10**4, "double")):  # and only where it pays
        job = make_job(
            [sde], (), [center, 0.0], sd.Ball([center, 0.0], radius), n_paths, t_max=1.0, dt=None, seed=0,
            correction="bridge", device="cpu", precision=None, compile=True,
        )  # fmt: skip
        assert job.precision == expected


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("noise", [sd.GaussianNoise(3.0), sd.CurvatureNoise(batch_size=1)])
def test_a_start_where_the_distance_has_no_gradient(compile: bool, noise: Any) -> None:
    """The centre of a ball; it must not be lost there, nor kept."""
    if compile and not can_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler")
    sde = sd.Diffusion(sd.landscapes.quadratic([[4.0, 0.0], [0.0, 9.0]]), sd.GD(), lr=0.1, noise=noise)
    run = partial(sd.exit_times, sde, [0.0, 0.0], n_paths=300, t_max=20.0, compile=compile, device="cpu")
    ball = run(sd.Ball([0.0, 0.0], 1.0))
    assert ball.exited.mean() > 0.5
    assert ball.times[ball.exited].mean() > sde.lr
    for distance in ((lambda w: (w @ w) ** 0.5 - 1.0), (lambda w: torch.linalg.norm(w) - 1.0)):
        exits = run(sd.Region(distance, dim=2))
        np.testing.assert_array_equal(exits.exited, ball.exited)
        np.testing.assert_allclose(exits.watched, ball.watched, rtol=1e-9)
        np.testing.assert_allclose(exits.exit_points, ball.exit_points, rtol=1e-9, atol=1e-9)


RADIUS = 0.5


def to_the_circle(w: torch.Tensor) -> torch.Tensor:
    return torch.linalg.norm(w) - RADIUS


@pytest.mark.parametrize("compile", [False, True])
def test_a_region_whose_function_reads_a_number_that_changes(
    compile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a session where a radius is set anew: what was compiled for the one before must not serve."""
    if compile and not can_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler")
    sde = sd.Diffusion(SADDLE, sd.GD(), lr=0.01, noise=sd.GaussianNoise(1.0))
    faces = []
    for radius in (0.5, 0.9, 0.5):
        monkeypatch.setitem(globals(), "RADIUS", radius)
        region = sd.Region(to_the_circle, dim=2)
        exits = sd.exit_times(sde, [0.1, 0.0], region, 100, t_max=100.0, compile=compile, device="cpu")
        assert exits.exited.all()
        np.testing.assert_allclose(np.linalg.norm(exits.exit_points, axis=1), radius, rtol=1e-6)
        faces.append(region.faces)
    assert faces[0] == faces[2]
    assert faces[0] != faces[1]
