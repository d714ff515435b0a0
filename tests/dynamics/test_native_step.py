"""Compiled steps are those of numpy to rounding; a path does not depend on the paths beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import problems
import pytest

import samdyn as sd
from samdyn.dynamics import driver as driving
from samdyn.dynamics.backends.native_squares import NativeSquares
from samdyn.dynamics.backends.native_step import NativeStep
from samdyn.dynamics.backends.squares_step import SquaresStep
from samdyn.dynamics.backends.traced_step import TracedStep
from samdyn.dynamics.clock import coefficients_at
from samdyn.dynamics.driver import build_step, drive
from samdyn.dynamics.observers import Nothing
from samdyn.trace.printed.compiling import CompilationError, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")

BEALE = sd.landscapes.beale()
SCHEDULES: dict[str, Any] = {"lr": sd.schedules.PowerDecay(1e-3)}
SYSTEMS = [
    sd.Map(BEALE, sd.SAM(0.1), lr=1e-3),
    sd.Map(BEALE, sd.SAM(0.1), lr=1e-3, momentum=0.5, noise=sd.GaussianNoise(0.5, probe="independent")),
    sd.Map(BEALE, sd.SAM(sd.schedules.PowerDecay(0.3)), **SCHEDULES, noise=sd.GaussianNoise(0.5)),
    sd.Diffusion(BEALE, sd.SAM(0.1), lr=1e-3, noise=sd.CurvatureNoise(4)),
    sd.Diffusion(BEALE, sd.USAM(0.01), **SCHEDULES, noise=sd.GaussianNoise((0.5, 1.0))),
]
NOISES = [
    sd.Minibatch(1),
    sd.Minibatch(2, micro_batch=1),
    sd.Minibatch(5),
    sd.Minibatch(6),
    sd.Minibatch(2, probe="independent", sampling="with replacement"),
    sd.Minibatch(3, probe="full"),
    sd.Minibatch(3, sampling="importance"),
]
SYSTEMS += [sd.Map(problems.r6(), sd.SAM(0.1), lr=0.02, noise=noise) for noise in NOISES]


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_the_same_steps_as_in_numpy(system: Any) -> None:
    n, ends = 37, []
    x = system.at_rest(np.random.default_rng(0).uniform(0.5, 1.0, (n, system.dim)))
    for kind in (TracedStep, NativeStep):
        step = kind(system)
        stream, loaded = step.stream(3, np.arange(100, 100 + n), 50), step.load(x)
        for first, count in ((0, 5), (5, 1), (6, 2), (8, 17)):  # from any step on, across blocks
            loaded = step.advance(loaded, stream, first, count, coefficients_at(system))
        ends.append(loaded)
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("sampling", ["without replacement", "importance"])
@pytest.mark.parametrize(
    ("ridge", "rule"), [(0.0, sd.SAM(0.1)), (0.2, sd.UnifiedSAM(0.1, 0.4)), (0.3, sd.GD())]
)
def test_single_samples_of_least_squares(sampling: str, ridge: float, rule: Any) -> None:
    rng = np.random.default_rng(0)
    loss = sd.FiniteSum.least_squares(rng.standard_normal((20, 13)), rng.standard_normal(20), ridge=ridge)
    system = sd.Map(loss, rule, lr=sd.schedules.PowerDecay(0.02), noise=sd.Minibatch(1, sampling=sampling))
    x, ends = rng.standard_normal((37, 13)), []
    for kind in (SquaresStep, NativeSquares):
        step = kind(system)
        stream, loaded = step.stream(3, np.arange(100, 137), 50), step.load(x)
        for first, count in ((0, 5), (5, 1), (6, 2), (8, 17)):
            loaded = step.advance(loaded, stream, first, count, coefficients_at(system))
        ends.append(step.points(loaded))
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-11, atol=1e-13)
    assert type(build_step(system, path_steps=1e9)) is NativeSquares


def test_bits_do_not_depend_on_the_paths_beside_them() -> None:
    system, n = SYSTEMS[1], 50
    x = system.at_rest(np.random.default_rng(0).uniform(0.5, 1.0, (n, 2)))
    step, values = NativeStep(system), coefficients_at(system)
    whole = step.advance(step.load(x), step.stream(3, np.arange(n), 40), 0, 40, values)
    for chosen in (np.array([7]), np.array([49, 3, 20])):
        alone = step.advance(step.load(x[chosen]), step.stream(3, chosen, 40), 0, 40, values)
        np.testing.assert_array_equal(alone, whole[:, chosen])


@pytest.mark.parametrize("lr", [0.1, sd.schedules.PowerDecay(0.1)])
@pytest.mark.parametrize("kind", [NativeStep, TracedStep])
def test_orbits_are_the_states_of_the_steps(lr: Any, kind: type[TracedStep]) -> None:
    system = sd.Map(sd.landscapes.double_well(), sd.SAM(0.1), lr=lr, noise=sd.GaussianNoise(0.2))
    step, values, start = kind(system), coefficients_at(system, None), np.array([[0.3, -0.5, 0.1]])
    stream = step.stream(3, np.arange(3), 20)
    orbit = step.orbit(start, stream, 2, 4, 3, values)
    ends = [step.advance(start, step.stream(3, np.arange(3), 20), 2, 3 * k, values) for k in range(1, 5)]
    np.testing.assert_array_equal(orbit, ends)
    assert step.orbit(start, stream, 2, 0, 3, values).shape == (0, 1, 3)  # of a fixed point as a cycle


def test_coefficients_of_each_path() -> None:
    system = sd.Map(BEALE, sd.SAM(0.1), lr=1e-3, noise=sd.GaussianNoise(0.5))
    rho = np.linspace(0.0, 0.3, 20)
    x, ends = np.full((20, 2), 0.7), []
    for kind in (TracedStep, NativeStep):
        step = kind(system)
        stream = step.stream(3, np.zeros(20, np.int64), 30)
        ends.append(
            step.advance(step.load(x), stream, 0, 30, lambda _: {"rho": rho, "lr": np.full(20, 1e-3)})
        )
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12)
    assert len(np.unique(ends[1][0])) == 20


def test_large_jobs_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(build_step(SYSTEMS[0], path_steps=driving.COMPILE_FROM)) is NativeStep
    assert type(build_step(SYSTEMS[0], path_steps=driving.COMPILE_FROM - 1)) is TracedStep
    plain = drive(SYSTEMS[0], np.full((5, 2), 0.7), 20, Nothing())
    monkeypatch.setattr(driving, "COMPILE_FROM", 0.0)
    compiled = drive(SYSTEMS[0], np.full((5, 2), 0.7), 20, Nothing())
    np.testing.assert_allclose(compiled, plain, rtol=1e-13)


def test_a_compiler_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise CompilationError("no space left")

    monkeypatch.setattr(driving, "NativeStep", fail)
    with pytest.warns(RuntimeWarning, match="without being compiled: no space left"):
        assert type(build_step(SYSTEMS[0], path_steps=1e9)) is TracedStep


def test_verbs_give_the_same_figures_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trajectory, displacement, convergence and basins, whose jobs are small here."""
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.01, noise=sd.GaussianNoise(1.0))
    well = sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05, noise=sd.GaussianNoise(0.3))
    batches = sd.Map(problems.r6(), sd.SAM(0.1), lr=0.02, noise=sd.Minibatch(2))

    def run() -> list[Any]:
        moved = sd.mean_squared_displacement(sde, [0.0], [0.5, 1.0], n_paths=200)
        return [
            sd.trajectory(sde, np.full((30, 1), -1.0), t_max=0.505, save_every=7),
            moved.mean,
            sd.convergence(batches, [0.5, 0.5], n_steps=60, n_paths=8).final,
            sd.basins(well, [(-2, 2)], resolution=40, n_paths=3).labels,
        ]

    plain = run()
    monkeypatch.setattr(driving, "COMPILE_FROM", 0.0)
    monkeypatch.setattr("samdyn.basin.paths.course.COMPILE_FROM", 0.0)
    for one, other in zip(run(), plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", [sd.SAM(0.1), sd.StableSAM(0.1), sd.DNSAM(0.1), sd.GSAM(0.1), sd.WSAM(0.1)])
def test_directions_of_gradients_of_any_size(rule: sd.Rule) -> None:
    """Rules without a scale of their own make the same step on 1e-200 times the loss, at lr over that; and at
    weights, radius and gradients of 1e200 times the usual ones.
    """

    def steps(size: float, weights: float) -> list[np.ndarray]:
        loss = sd.landscapes.quadratic([[2.0 * size, 0.3 * size], [0.3 * size, size]])
        system = sd.Map(loss, rule.with_parameters(rho=0.1 * weights), lr=0.05 / size)
        x, ends = weights * np.array([[1.0, 0.4], [0.3, -0.7]]), [system(weights * np.array([1.0, 0.4]))]
        for kind in (TracedStep, NativeStep):
            step = kind(system)
            loaded = step.advance(
                step.load(x), step.stream(3, np.arange(2), 1), 0, 1, coefficients_at(system)
            )
            ends.append(np.asarray(step.points(loaded))[0])
        return [end / weights for end in ends]

    usual = steps(1.0, 1.0)
    for ends in (usual, steps(1e-200, 1.0), steps(1.0, 1e200), steps(1.0, 1e-200)):
        np.testing.assert_allclose(ends, [usual[0]] * 3, rtol=1e-12)
